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
from cells import FIXED, FORMS, ROOT, SEEDS, UNIT, cells, positions, read_table, shared, text_row, usual_cells, with_margin, write_table
from repair import repair
from search import Bounds

MARGIN = 1.06
WORDS = 20000  # how many are listed

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


def between(texts, carrier):
    """Returns the tokens that each text adds between a carrier and any sign, as behind does."""
    top = np.zeros(len(texts), dtype=np.int32)
    for count in counters.values():
        for follower in w.SIGNS_AFTER:
            base = count([carrier + "the" + follower])[0] - 1
            np.maximum(top, np.array(count([carrier + text + follower for text in texts]), dtype=np.int32) - base, out=top)
    return top


def between_job(job):
    return between(*job)


def between_parallel(texts, carrier):
    half = (len(texts) + 1) // 2
    with multiprocessing.Pool(2) as workers:
        return np.concatenate(workers.map(between_job, [(texts[:half], carrier), (texts[half:], carrier)]))


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
            if listed.get((text, start)) == 1:
                continue
            rows.append([shared(cell) for cell in cells(text, start)])
            counts.append(count)
            kept.append(start + text)
    return kept, rows, counts


def list_words(vocabulary, limit):
    """Returns the best known words that are one token for every tokenizer, and where: see words.txt."""
    candidates = sorted((x for x in vocabulary if len(x) > 1), key=lambda x: (vocabulary[x], x))
    single = []
    for start, form in FORMS:
        single.append(behind_parallel([form(x) for x in candidates], w.SPACED if start == "\n " else w.OTHER) <= 1)
    kept = [(x, tuple(int(n) for n in tokens)) for x, *tokens in zip(candidates, *single) if tokens[0] or tokens[1]]
    return kept[:limit]


def list_longer(solved, vocabulary, kept, limit, gain=0.25):
    """Returns the list with more words, and with the positions in which they are two or three tokens, where that saves enough.

    They are counted behind and before every sign, because a merge across their edges could cost another token.
    """
    old = dict(kept)
    candidates = sorted((x for x in vocabulary if len(x) > 2), key=lambda x: (vocabulary[x], x))[: 2 * limit]
    found = {x: list(old.get(x, (0, 0, 0, 0))) for x in candidates}
    for at, (start, form) in enumerate(FORMS):
        texts = [x for x in candidates if not found[x][at]]
        spelled = [form(x) for x in texts]
        carriers = w.SPACED if start == "\n " else w.SIGNS_BEFORE
        most = np.maximum(behind_parallel(spelled, carriers), between_parallel(spelled, start))
        for x, word, n in zip(texts, spelled, most):
            letters = sum(solved[shared(cell)] for cell in cells(word, start))
            if 1 <= n <= 3 and letters - 1.05 * n >= gain:
                found[x][at] = int(n)
    more = [x for x in candidates if x not in old and any(found[x])][: limit - len(old)]
    return [(x, tuple(found.get(x, tokens))) for x, tokens in kept] + [(x, tuple(found[x])) for x in more]


def hold(solved, kept, characters):
    """Writes the table, and raises the tokens of the words that break their bound when they are repeated behind any sign.

    A word that would be more than three tokens is listed no more in that position.
    """
    words = {x: list(tokens) for x, tokens in kept}
    suspects = [(x, at, sign) for x in words for at, (start, _) in enumerate(FORMS) for sign in ([" "] if start == "\n " else w.SIGNS_BEFORE)]
    while suspects:
        write_table(solved, [(x, tuple(tokens)) for x, tokens in words.items() if any(tokens)], characters)
        suspects = [(x, at, sign) for x, at, sign in suspects if words[x][at]]
        texts = [(sign + FORMS[at][1](x)) * 8 for x, at, sign in suspects]
        with tempfile.TemporaryDirectory() as folder:
            limits = Bounds(folder)(texts)
        broken = {(x, at) for (x, at, _), n, limit in zip(suspects, count_parallel(texts), limits) if n > limit}
        for x, at in broken:
            words[x][at] = (words[x][at] + 1) % 4
        print(f"hold: {len(suspects)} texts, {len(broken)} words raised", flush=True)
        suspects = [suspect for suspect in suspects if suspect[:2] in broken]


def count_all(texts):
    return np.max([count(texts) for count in counters.values()], axis=0)


def count_parallel(texts):
    with multiprocessing.Pool(2) as workers:
        return np.concatenate(workers.map(count_all, [texts[i : i + 50000] for i in range(0, len(texts), 50000)], chunksize=1))


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
    parser.add_argument("--words", action="store_true", help="keep the costs, and list the words anew that are two or three tokens")
    args = parser.parse_args()
    if args.again or args.words:
        solved, kept, characters = read_table()
        solved.update(FIXED)
        if args.words:
            single = [(x, tuple(n if n == 1 else 0 for n in tokens)) for x, tokens in kept]
            kept = list_longer(solved, w.vocabulary_words("[a-z]{1,15}"), [(x, t) for x, t in single if any(t)], WORDS)
    else:
        solved, kept = fit_all(args.scale)
        characters = step("plane", plane)
    repair(solved, positions(kept), args.found)
    hold(solved, kept, characters)


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
    return solved, step("longer", lambda: list_longer(solved, w.vocabulary_words("[a-z]{1,15}"), kept, WORDS))


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
