"""Searches for texts whose count comes close to their bound, or breaks it, by changing texts that came close.

For each measured tokenizer a population of short units is repeated into texts, behind different characters. Units are
changed at random, and those with the highest count for their bound go on. It prints the worst texts and writes the units
to a file that fit.py takes with --extra.
"""

import argparse
import json
import pathlib
import random
import string
import subprocess
import tempfile

import vocabularies as v
import words as w

ROOT = pathlib.Path(__file__).parents[3]
JOINERS = (" ", "", "\n", ".", "_", "  ", ", ", "1")
SIGNS = string.punctuation


class Bounds:
    """The bounds of texts, by a Go command that stays running."""

    def __init__(self, folder):
        command = str(pathlib.Path(folder) / "textcost")
        subprocess.run(["go", "build", "-o", command, "./internal/tokens/cmd/textcost"], cwd=ROOT, check=True)
        self.command = command

    def __call__(self, texts):
        lines = "\n".join(json.dumps(text) for text in texts)
        out = subprocess.run([self.command, "bound"], input=lines, text=True, capture_output=True, check=True).stdout
        return [int(line) for line in out.split()]


def alphabets():
    cyrillic = "".join(map(chr, range(0x410, 0x460)))
    accents = "\u00e9\u00e8\u00fc\u00f6\u00e4\u00df\u00f1\u00e7\u0142\u017c\u011f\u0131\u0161\u010d\u1ea1\u1ed9\u00c9\u00d6"
    greek = "".join(map(chr, range(0x3B1, 0x3CA)))
    wild = "\u4e2d\u6587\u306e\uac00\u0e01\u0915\u093f\u05d0\u0627\u200d\u20ac\u2014\u2019\u00a0\u3002\U0001f600\u0301"
    lower = string.ascii_lowercase
    return (lower, lower, lower + accents, string.ascii_letters, string.ascii_letters + string.digits, lower + SIGNS, SIGNS,
            SIGNS + " \n\t", SIGNS + string.digits + " ", cyrillic, lower + greek, lower + cyrillic + wild + " ", string.printable)


def change(r, unit, alphabet, known):
    at = r.randrange(len(unit) + 1)
    match r.randrange(7):
        case 0 | 1:
            return unit[:at] + r.choice(alphabet) + unit[at + 1 :]
        case 2:
            return unit[:at] + r.choice(alphabet) + unit[at:]
        case 3:
            return unit[:at] + unit[at + 1 :]
        case 4:
            return unit[:at] + r.choice(known) + unit[at:]
        case 5:
            return unit[:at] + unit[at : at + 3].swapcase() + unit[at + 3 :]
        case _:
            return unit[:at] + unit[max(at - 2, 0) : at] + unit[at:]


def climb(r, count, bounds, alphabet, known, generations, size=60):
    population = [("".join(r.choice(alphabet) for _ in range(r.randint(1, 10))), r.choice(JOINERS)) for _ in range(size)]
    population += [(r.choice(known) + r.choice(known), r.choice(JOINERS)) for _ in range(size)]
    scored = []
    for _ in range(generations):
        population += [(change(r, unit, alphabet, known)[:24] or "a", joiner if r.random() < 0.9 else r.choice(JOINERS))
                       for unit, joiner in population for _ in range(2)]
        population = sorted(set(population))
        texts = [joiner + joiner.join([unit] * (200 // (len(unit) + len(joiner)) + 1)) for unit, joiner in population]
        ratio = [c / b for c, b in zip(count(texts), bounds(texts))]
        order = sorted(range(len(population)), key=lambda i: -ratio[i])
        scored = [(ratio[i], *population[i]) for i in order[:size]]
        population = [population[i] for i in order[: size]]
    return scored


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--generations", type=int, default=25)
    parser.add_argument("--found", type=pathlib.Path, default=pathlib.Path(__file__).parent / "build" / "found.json")
    parser.add_argument("--names", nargs="*", default=v.MEASURED)
    args = parser.parse_args()
    r = random.Random(args.seed)
    known = sorted(x for x in w.vocabulary_words("[a-z]{2,8}"))
    found, worst = [], []
    with tempfile.TemporaryDirectory() as folder:
        bounds = Bounds(folder)
        for name, count in v.load(args.names).items():
            for alphabet in alphabets():
                scored = climb(r, count, bounds, alphabet, known, args.generations)
                found += [(joiner, unit) for ratio, unit, joiner in scored if ratio > 0.98]
                worst += [(ratio, name, joiner, unit) for ratio, unit, joiner in scored[:3]]
            top = max(x for x in worst if x[1] == name)
            print(name, f"{top[0]:.3f}", repr(top[2]), repr(top[3]), flush=True)
    for ratio, name, joiner, unit in sorted(worst, reverse=True)[:40]:
        print(f"{ratio:.3f} {name} {joiner!r} {unit!r}")
    old = json.loads(args.found.read_text()) if args.found.exists() else []
    args.found.write_text(json.dumps(sorted(set(map(tuple, old)) | set(found)), indent=0) + "\n")
    print(len(found), "units came within 2 % of their bound or broke it")


if __name__ == "__main__":
    main()
