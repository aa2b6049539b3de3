"""Raises costs until the texts that search.py found are within their bound."""

import json

import numpy as np
import scipy.sparse as sparse
from scipy.optimize import linprog

import vocabularies as v
from cells import cells, kind, shared, usual_cells


def word_runs(text):
    """Yields (start, end) of the runs of ASCII letters that may be listed words."""
    at = 0
    while at < len(text):
        if kind(text[at]) not in "lu":
            at += 1
            continue
        end = at + 1
        while end < len(text) and kind(text[end]) in "lu":
            end += 1
        yield at, end
        at = end


def row(text, solved, listed):
    """Returns the shared cells of an ASCII text and the tokens that its listed words cost instead of theirs."""
    keys = [shared(cell) for cell in cells(text)]
    tokens, dropped = 0.0, set()
    for start, end in word_runs(text):
        spaced = start > 0 and text[start - 1] == " " and (start == 1 or text[start - 2] != " ")
        if (text[start:end], "\n " if spaced else "\n") in listed and sum(solved.get(keys[i], 1) for i in range(start, end)) > 1.05:
            tokens += 1.05
            dropped.update(range(start, end))
    return [key for i, key in enumerate(keys) if i not in dropped], tokens


def repair(solved, listed, path):
    texts = sorted({joiner + joiner.join([unit] * (200 // (len(unit) + len(joiner)) + 1)) for joiner, unit in json.loads(path.read_text())})
    texts = [text for text in texts if all(31 < ord(c) < 127 or c in "\n\r\t" for c in text)]
    counts = np.max([count(texts) for count in v.load().values()], axis=0)
    names, position, at, columns, values, wanted = [], {}, [0], [], [], []
    for text, count in zip(texts, counts):
        keys, tokens = row(text, solved, listed)
        for key in set(keys):
            if key not in position:
                position[key] = len(names)
                names.append(key)
            columns.append(position[key])
            values.append(keys.count(key))
        at.append(len(columns))
        wanted.append(1.03 * min(count, len(text)) - tokens)
    a = sparse.csr_matrix((values, columns, at), shape=(len(texts), len(names)), dtype=float)
    low = np.array([solved.get(name, 1.0) for name in names])
    usual = usual_cells(["english", "go", "python", "javascript"])
    cost = np.array([1 + usual.get(name, 0) for name in names], dtype=float)
    slack = a @ low - np.array(wanted)
    broken = np.flatnonzero(slack < 0)
    print(f"repair: {len(texts)} texts, {len(broken)} broken", flush=True)
    if len(broken) == 0:
        return
    result = linprog(cost, A_ub=-a, b_ub=-np.array(wanted), bounds=[(x, 2.12) for x in low], method="highs")
    if result.x is None:
        raise SystemExit(f"repair: {result.message}")
    print(f"repair: {np.count_nonzero(result.x > low + 1e-6)} cells raised by up to {(result.x - low).max():.2f}")
    solved.update(zip(names, result.x))
