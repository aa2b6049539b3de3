"""Raises costs until short units, repeated, and the texts that search.py found are within their bound."""

import json
import random

import numpy as np
import scipy.sparse as sparse
from scipy.optimize import linprog

import vocabularies as v
import words
from cells import FIXED, UNIT, text_row, usual_cells, with_margin

MARGIN = 1.04


def repair(solved, listed, path):
    found = json.loads(path.read_text()) if path.exists() else []
    texts = sorted(set(words.cycles(random.Random(len(found)), 60000)) | {joiner + joiner.join([unit] * (200 // (len(unit) + len(joiner)) + 1)) for joiner, unit in found})
    texts = [text for text in texts if text.isascii() and "\x7f" not in text]
    counts = np.max([count(texts) for count in v.load().values()], axis=0)
    found = [text_row(text, solved, listed) for text in texts]
    counts = np.minimum(counts, [len(text) for text in texts])
    wanted = with_margin([keys for keys, _ in found], counts, MARGIN) - np.array([tokens for _, tokens in found])
    names, position, at, columns, values = [], {}, [0], [], []
    for keys, _ in found:
        for key in set(keys):
            if key not in position:
                position[key] = len(names)
                names.append(key)
            columns.append(position[key])
            values.append(keys.count(key))
        at.append(len(columns))
    a = sparse.csr_matrix((values, columns, at), shape=(len(texts), len(names)), dtype=float)
    low = np.array([solved.get(name, 1.0) for name in names])
    usual = usual_cells(["english", "go", "python", "javascript"])
    cost = np.array([1 + usual.get(name, 0) for name in names], dtype=float)
    slack = a @ low - wanted
    broken = np.flatnonzero(slack < 0)
    print(f"repair: {len(texts)} texts, {len(broken)} broken", flush=True)
    if len(broken) == 0:
        return
    between = [(x, x if name in FIXED else 255 / UNIT) for name, x in zip(names, low)]
    close = np.flatnonzero(slack < 3)  # the others hold whatever is raised
    result = linprog(cost, A_ub=-a[close], b_ub=-wanted[close], bounds=between, method="highs")
    if result.x is None:
        raise SystemExit(f"repair: {result.message}")
    print(f"repair: {np.count_nonzero(result.x > low + 1e-6)} cells raised by up to {(result.x - low).max():.2f}")
    solved.update(zip(names, result.x))
