"""The cells of the table in internal/tokens/textcost, and which of them share one cost when it is fitted."""

import pathlib
import re

import numpy as np

UNIT = 120
LETTERS, PAIRS, REPEATS = 0, 32 * 32 * 32, 32 * 32 * 32 + 128 * 128
CYRILLIC = REPEATS + 128
PLANE = CYRILLIC + 64 * 64
SPACE, OTHER, DIGIT, UPPER, BEYOND, BEGIN = 0, 27, 28, 29, 30, 31
CONTEXTS = (1, SPACE, OTHER, UPPER, BEGIN)  # those before a letter that differ; they are stored in this order
ROOT = pathlib.Path(__file__).parents[3]
TARGET = ROOT / "internal" / "tokens" / "textcost"
SEEDS = ROOT / "internal" / "tokens" / "corpus" / "seeds"


# A digit or a control character is one token at most, and the space before a control character: no margin is needed.
FIXED = {
    ("digit", "other"): 1.0,
    ("repeat", "digit"): 1.0,
    ("control", "other"): 1.0,
    ("control", "space"): 2.0,
    ("repeat", "control"): 1.0,
}


def kind(c):
    return "l" if "a" <= c <= "z" else "u" if "A" <= c <= "Z" else "d" if "0" <= c <= "9" else "s" if c == " " else "o"


def cells(text, start="\n"):
    """Returns the cells of an ASCII text that follows start."""
    found, previous, before = [], "\n", "\n"
    cls, context = OTHER, OTHER
    for at, c in enumerate(start + text):
        k, was = kind(c), kind(previous)
        if k == "l":
            cell = LETTERS + (context << 10 | cls << 5 | ord(c) & 31)
            context, cls = cls, ord(c) & 31
        else:
            cell = REPEATS + ord(c) if c == previous == before else PAIRS + (ord(previous) << 7 | ord(c))
            if k == "u":
                context, cls = (cls, UPPER) if was == "u" else (BEGIN, ord(c) & 31)
            else:
                context = cls
                cls = DIGIT if k == "d" else SPACE if k == "s" and previous != " " else OTHER
        before, previous = previous, c
        if at >= len(start):
            found.append(cell)
    return found


def alike(context):
    """Returns which of CONTEXTS a class is like, as the class two characters before a letter."""
    return 1 if 1 <= context <= 26 else OTHER if context in (DIGIT, BEYOND) else context


def shared(cell):
    """Returns the variable of a cell."""
    if cell < PAIRS:
        context, cls, letter = cell >> 10, cell >> 5 & 31, cell & 31
        if cls in (OTHER, DIGIT, BEYOND):
            return ("first", OTHER, letter)
        if cls in (SPACE, UPPER):
            return ("first", cls, letter)
        return ("letter", alike(context), cls, letter)
    if cell >= REPEATS:
        c = chr(cell - REPEATS)
        return ("repeat", "upper" if kind(c) == "u" else "digit" if kind(c) == "d" else c if " " <= c or c in "\n\r\t" else "control")
    p, c = chr(cell - PAIRS >> 7), chr(cell - PAIRS & 127)
    if kind(c) == "d":
        return ("digit", "space" if p == " " else "other")
    if kind(c) == "u":
        return ("capital", p if kind(p) in "us" else kind(p), c) if kind(p) != "d" else ("capital", "o", c)
    if ord(c) < 32 and c not in "\n\r\t":
        return ("control", "space" if p == " " else "other")
    if ord(p) < 32 and p not in "\n\r\t" or p == "\x7f":
        return ("sign", "control", c)
    return ("sign", kind(p) if kind(p) in "lud" else p, c)


def usual_cells(names):
    """Returns how often each variable stands in the seed texts."""
    usual = {}
    for name in names:
        for cell in cells(re.sub(r"[^\x00-\x7e]", "", (SEEDS / f"{name}.txt").read_text())):
            key = shared(cell)
            usual[key] = usual.get(key, 0) + 1
    return usual


def write_table(solved, listed, characters):
    table = np.full(PLANE, UNIT, dtype=int)
    for cell in range(CYRILLIC):
        key = shared(cell)
        if key in solved:
            table[cell] = int(np.ceil(solved[key] * UNIT - 1e-6))
    for p in range(128):  # what a character beyond ASCII adds by what stands before it
        table[PAIRS + (p << 7 | 0x7F)] = UNIT if chr(p) == " " else UNIT // 8 if kind(chr(p)) in "lu" else 0
    for previous in range(64):
        for letter in range(1, 33):
            key = ("cyrillic", previous, letter)
            table[CYRILLIC + (previous << 6 | letter)] = int(np.ceil(solved.get(key, 1.06) * UNIT - 1e-6))
    bits = characters.reshape(-1, 4)
    packed = bits[:, 0] | bits[:, 1] << 2 | bits[:, 2] << 4 | bits[:, 3] << 6
    assert table.min() >= 0 and table.max() < 256
    letters = b"".join(bytes(table[context << 10 : context + 1 << 10].astype(np.uint8)) for context in CONTEXTS)
    (TARGET / "costs.bin").write_bytes(letters + bytes(table[PAIRS:].astype(np.uint8)) + bytes(packed.astype(np.uint8)))
    lines = [
        "# Common words and the most tokens that a tokenizer measured makes of each, made by internal/tools/tokenizers/fit.py.",
        "# Before the word stand two hexadecimal digits, two bits each for: behind a space (the lowest), behind other",
        "# characters, and both with a capital. 0 is not listed.",
    ]
    lines += [f"{packed_tokens(tokens):02x}{x}" for x, tokens in sorted(listed)]
    (TARGET / "words.txt").write_text("\n".join(lines) + "\n")



def packed_tokens(tokens):
    return sum(n << 2 * i for i, n in enumerate(tokens))


def read_table():
    """Returns the costs, listed words and characters that write_table wrote."""
    stored = (TARGET / "costs.bin").read_bytes()
    raw = bytearray(PAIRS)
    for context in range(32):
        at = CONTEXTS.index(alike(context)) << 10
        raw[context << 10 : context + 1 << 10] = stored[at : at + 1024]
    raw += stored[len(CONTEXTS) << 10 :]
    solved = {shared(cell): raw[cell] / UNIT for cell in range(CYRILLIC) if cell < PAIRS or cell >= REPEATS or (cell - PAIRS & 127) != 127}
    for previous in range(64):
        for letter in range(1, 33):
            solved[("cyrillic", previous, letter)] = raw[CYRILLIC + (previous << 6 | letter)] / UNIT
    packed = np.frombuffer(raw[PLANE:], dtype=np.uint8)
    characters = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=1).reshape(-1).astype(int)
    lines = [line for line in (TARGET / "words.txt").read_text().split("\n") if line and line[0] != "#"]
    listed = [(line[2:], tuple(int(line[:2], 16) >> shift & 3 for shift in (0, 2, 4, 6))) for line in lines]
    return solved, listed, characters


# Where a word is listed, in the order of its tokens: what stands before it, and how it is spelled.
FORMS = (("\n ", str), ("\n", str), ("\n ", str.capitalize), ("\n", str.capitalize))


def positions(kept):
    """Returns the tokens of (word as it is spelled, what stands before it) for all that the list of words stands for."""
    return {(form(x), start): n for x, tokens in kept for (start, form), n in zip(FORMS, tokens) if n}


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


def text_row(text, solved, listed):
    """Returns the shared cells of an ASCII text and the tokens that its listed words cost instead of theirs."""
    keys = [shared(cell) for cell in cells(text)]
    tokens, dropped = 0.0, set()
    for start, end in word_runs(text):
        spaced = start > 0 and text[start - 1] == " " and (start == 1 or text[start - 2] != " ")
        known = 1.05 * listed.get((text[start:end], "\n " if spaced else "\n"), 255)
        if sum(solved.get(keys[i], 1) for i in range(start, end)) > known:
            tokens += known
            dropped.update(range(start, end))
    return [key for i, key in enumerate(keys) if i not in dropped], tokens


def with_margin(rows, counts, margin):
    """Returns the counts times a margin, but for the tokens of cells that are certain."""
    certain = np.array([sum(FIXED.get(key, 0) for key in row) for row in rows])
    return counts + (margin - 1) * np.maximum(counts - certain, 0)
