"""Counts the corpora with every tokenizer, rewrites the recorded counts, and prints the table of bounds against counts.

The corpora come from the Go command internal/tokens/cmd/textcost, which also tells the bounds. What is recorded are numbers
alone: kind, seed and size name a text, and the Go tests make the same text again.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import vocabularies as v

ROOT = pathlib.Path(__file__).parents[3]
RECORD = ROOT / "internal" / "tokens" / "testdata" / "counts.tsv"
SIZES = ((1024, (1, 2, 3)), (16384, (4,)))
LARGE = ((1 << 20, (5,)),)
LARGE_KINDS = ("english", "code go", "json lines", "csv", "base64", "splices", "prose russian")


def corpora(command):
    """Yields kind, seed, size and text."""
    with tempfile.TemporaryDirectory() as folder:
        for size, seeds in SIZES + LARGE:
            subprocess.run([command, "write", folder, str(size), *map(str, seeds)], check=True)
        for path in sorted(pathlib.Path(folder).iterdir()):
            kind, size, seed = path.stem.rsplit("-", 2)
            if int(size) < 1 << 20 or kind in LARGE_KINDS:
                yield kind, int(seed), int(size), path.read_bytes().decode()


def bounds(command, texts):
    lines = "\n".join(json.dumps(text) for text in texts)
    out = subprocess.run([command, "bound"], input=lines, text=True, capture_output=True, check=True).stdout
    return [int(line) for line in out.split()]


def main():
    with tempfile.TemporaryDirectory() as folder:
        command = str(pathlib.Path(folder) / "textcost")
        subprocess.run(["go", "build", "-o", command, "./internal/tokens/cmd/textcost"], cwd=ROOT, check=True)
        rows = list(corpora(command))
        texts = [row[3] for row in rows]
        limit = bounds(command, texts)
    names = v.MEASURED + v.GUIDES
    counts = {name: count(texts) for name, count in v.load(names).items()}
    record(rows, names, counts)
    table(rows, names, counts, limit)


def record(rows, names, counts):
    lines = ["# Token counts of generated texts, written by internal/tools/tokenizers/measure.py.", "\t".join(("kind", "seed", "size", *names))]
    for i, (kind, seed, size, _) in enumerate(rows):
        lines.append("\t".join((kind, str(seed), str(size), *(str(counts[name][i]) for name in names))))
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text("\n".join(lines) + "\n")


def group(kind):
    first = kind.split()[0]
    return first if first in ("code", "prose", "random") else kind


def table(rows, names, counts, limit):
    """Prints the bound as a multiple of each tokenizer's count: smallest and largest over the texts of a kind."""
    kinds = sorted({group(row[0]) for row in rows})
    print("| kind | " + " | ".join(names) + " | largest measured |\n|---|" + "---|" * (len(names) + 1))
    for kind in kinds:
        cells = []
        at = [i for i, row in enumerate(rows) if group(row[0]) == kind]
        for name in names:
            ratios = [limit[i] / counts[name][i] for i in at]
            cells.append(f"{min(ratios):.2f}-{max(ratios):.2f}")
        ratios = [limit[i] / max(counts[name][i] for name in v.MEASURED) for i in at]
        print(f"| {kind} | " + " | ".join(cells) + f" | {min(ratios):.2f}-{max(ratios):.2f} |")
    short = [(rows[i][:3], name, limit[i], counts[name][i]) for i in range(len(rows)) for name in v.MEASURED if counts[name][i] > limit[i]]
    for line in short:
        print("BROKEN", *line, file=sys.stderr)
    if short:
        raise SystemExit(f"{len(short)} counts are above the bound")


if __name__ == "__main__":
    main()
