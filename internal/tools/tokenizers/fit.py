"""Fits the table of internal/tokens/textcost to real tokenizers and writes costs.bin and words.txt.

Each step is a linear program: the cheapest costs for the text that is common, such that no word or run of a large pool
costs less than MARGIN times its count by the tokenizer that makes the most tokens of it. Rows that a solution breaks are
added until none is broken. Cells that are alike share one variable, so that a cell is never fitted to a single word.
"""

import argparse
import multiprocessing
import pathlib
import pickle
import re
import subprocess
import tempfile
import time

import numpy as np
import scipy.sparse as sparse
from scipy.optimize import linprog

import vocabularies as v
import words as w
from cells import FIXED, ROOT, SEEDS, UNIT, cells, positions, read_table, shared, text_row, usual_cells, with_margin, write_table
from repair import repair

MARGIN = 1.06

counters = v.load()


# --- counting ---


def behind(texts, carriers):
    """Returns the tokens that each text adds behind any of the carriers, by the tokenizer that adds the most."""
    top = np.zeros(len(texts), dtype=np.int32)
    for count in counters.values():
        for carrier in carriers:
            base = max(count([carrier])[0], count([carrier + "the"])[0] - 1)
            if carrier.startswith("\n "):
                base = count([carrier + "the"])[0] - 1
            added = np.array(count([carrier + text for text in texts]), dtype=np.int32) - base
            np.maximum(top, added, out=top)
    return top


def count_job(job):
    return behind(*job)


def behind_parallel(texts, carriers):
    half = (len(texts) + 1) // 2
    with multiprocessing.Pool(2) as workers:
        return np.concatenate(workers.map(count_job, [(texts[:half], carriers), (texts[half:], carriers)]))


# --- linear programs ---


class Program:
    """A linear program over shared cells. What an earlier step solved can only rise."""

    def __init__(self, solved):
        self.solved = solved

    def solve(self, name, texts, rows, counts, weights, low, known=0.0, rounds=12, first=12000, high=255 / UNIT):
        names = sorted({key for row in rows for key in row}, key=repr)
        position = {key: i for i, key in enumerate(names)}
        columns = [position[key] for row in rows for key in row]
        at = np.cumsum([0] + [len(row) for row in rows])
        a = sparse.csr_matrix((np.ones(len(columns)), columns, at), shape=(len(rows), len(names)))
        a.sum_duplicates()
        wanted = with_margin(rows, np.array(counts), MARGIN) - known
        between = [(self.solved.get(key, 0.0 if key[0] == "sign" and key[2] == " " else low), self.solved[key] if key in FIXED else high) for key in names]
        usual = np.asarray(a.sum(axis=0)).ravel()
        cost = 0.1 * usual / usual.sum()
        total = sum(weights.get(key, 0) for key in names) or 1
        cost += np.array([weights.get(key, 0) / total for key in names])
        active = np.zeros(len(rows), bool)
        active[np.random.default_rng(1).permutation(len(rows))[:first]] = True
        for turn in range(rounds):
            began = time.time()
            result = linprog(cost, A_ub=-a[active], b_ub=-wanted[active], bounds=between, method="highs")
            if result.x is None:
                raise SystemExit(f"{name}: {result.message}")
            short = wanted - a @ result.x
            broken = np.flatnonzero(short > 0.01)
            print(f"{name} {turn}: {active.sum()} rows, {len(names)} cells, {time.time() - began:.0f} s, {len(broken)} broken, "
                  f"worst {short.max():.2f} {texts[short.argmax()]!r}", flush=True)
            if len(broken) == 0:
                break
            active &= short > -1
            active[broken[np.argsort(-short[broken])][:8000]] = True
        return dict(zip(names, result.x))


def word_rows(texts, listed):
    """Returns rows of words behind a space and behind other characters, with their counts, without the listed ones."""
    rows, counts, kept = [], [], []
    for carriers, start in ((w.SPACED, "\n "), (w.OTHER, "\n")):
        for text, count in zip(texts, behind_parallel(texts, carriers)):
            if (text, start) in listed:
                continue
            rows.append([shared(cell) for cell in cells(text, start)])
            counts.append(count)
            kept.append(start + text)
    return kept, rows, counts


def list_words(vocabulary, limit):
    """Returns the best known words that are one token for every tokenizer, and where: see words.txt."""
    candidates = sorted((x for x in vocabulary if len(x) > 1), key=lambda x: (vocabulary[x], x))
    flags = np.zeros(len(candidates), dtype=int)
    forms = (("\n ", str), ("\n", str), ("\n ", str.capitalize), ("\n", str.capitalize))
    for bit, (start, form) in enumerate(forms):
        carriers = w.SPACED if start == "\n " else w.OTHER
        flags |= (behind_parallel([form(x) for x in candidates], carriers) <= 1).astype(int) << bit
    kept = [(x, f) for x, f in zip(candidates, flags) if f & 5][:limit]
    return kept


def plane():
    """Returns the tokens of each character of the basic plane, at most its bytes."""
    points = [p for p in range(0x7f, 0x10000) if not 0xD800 <= p < 0xE000]
    top = np.maximum(behind_parallel([chr(p) for p in points], ("\n", "x")), 1)
    table = np.full(0x10000, 3)
    for p, count in zip(points, top):
        table[p] = min(count, len(chr(p).encode()), 3)
    table[:0x7f] = 1
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=60000, help="words of each kind in the pools")
    parser.add_argument("--found", type=pathlib.Path, default=pathlib.Path(__file__).parent / "build" / "found.json", help="what search.py found")
    parser.add_argument("--again", action="store_true", help="fit from the last solution, only to what was found")
    args = parser.parse_args()
    if args.again:
        solved, kept, characters = read_table()
        solved.update(FIXED)
    else:
        solved, kept = fit_all(args.scale)
        characters = step("plane", plane)
    repair(solved, positions(kept), args.found)
    write_table(solved, kept, characters)


def fit_all(scale):
    """Returns the shared costs and the listed words. Each step is kept in build/, so that a run can go on where it ended."""
    solved, vocabulary = dict(FIXED), w.vocabulary_words("[a-z]{1,16}")
    kept = step("listed", lambda: list_words({x: n for x, n in vocabulary.items() if len(x) <= 12}, 7000))
    print(len(kept), "words listed", flush=True)
    listed = positions(kept)
    lower = w.pool(w.random_source(1), vocabulary, w.LETTERS, scale)
    solved.update(step("small", lambda: fit_words("small letters", solved, lower, listed, ["english"])))
    capital = sorted(set(w.cased(w.random_source(2), lower, int(scale * 4))))
    solved.update(step("capitals", lambda: fit_words("capitals", solved, capital, listed, ["english", "go", "javascript"])))
    solved.update(step("signs", lambda: fit_signs(solved, listed, vocabulary, scale)))
    solved.update(step("cyrillic", lambda: fit_cyrillic(solved, scale)))
    return solved, kept


def step(name, make):
    path = pathlib.Path(__file__).parent / "build" / f"fit-{name}.pickle"
    if not path.exists():
        path.write_bytes(pickle.dumps(make()))
    return pickle.loads(path.read_bytes())


def fit_words(name, solved, texts, listed, usual):
    kept, rows, counts = word_rows(texts, listed)
    return Program(solved).solve(name, kept, rows, counts, usual_cells(usual), 0.02)


def fit_signs(solved, listed, vocabulary, scale):
    texts = sorted(set(w.soups(w.random_source(3), sorted(vocabulary), int(scale * 2))) | set(corpora(range(101, 141), 400)))
    found = [text_row(text, solved, listed) for text in texts]
    code = ["go", "python", "javascript", "rust", "other_code", "markup", "english"]
    counts = behind_parallel(texts, ("\n",))
    known = np.array([tokens for _, tokens in found])
    return Program(solved).solve("signs", texts, [row for row, _ in found], counts, usual_cells(code), 0.15, known, high=255 / UNIT)


def corpora(seeds, size):
    """Yields generated texts that are ASCII alone. Those that are measured have other seeds."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["go", "run", "./internal/tokens/cmd/textcost", "write", folder, str(size), *map(str, seeds)], cwd=ROOT, check=True)
        for path in pathlib.Path(folder).iterdir():
            text = path.read_bytes().decode()
            if text.isascii():
                yield text


def cyrillic_cells(text, previous):
    row = []
    for c in text:
        row.append(("cyrillic", previous, ord(c) - 0x430 + 1))
        previous = ord(c) - 0x430 + 1
    return row


def fit_cyrillic(solved, scale):
    vocabulary = w.vocabulary_words(r"[\u0430-\u044f]{1,16}")
    alphabet = "".join(map(chr, range(0x430, 0x450)))
    texts = w.pool(w.random_source(4), vocabulary, alphabet, scale)
    texts += [(a + b + c) * 16 for a in alphabet for b in alphabet for c in alphabet if a < b or a < c]
    rows, counts, kept = [], [], []
    for carriers, before in ((w.SPACED, 63), (w.OTHER, 0)):
        rows += [cyrillic_cells(text, before) for text in texts]
        counts += list(behind_parallel(texts, carriers))
        kept += texts
    usual = {}
    for text in re.findall(r"[\u0430-\u044f]+", (SEEDS / "prose.txt").read_text()):
        for key in cyrillic_cells(text, 63):
            usual[key] = usual.get(key, 0) + 1
    return Program(solved).solve("cyrillic", kept, rows, counts, usual, 0.02)


if __name__ == "__main__":
    main()
