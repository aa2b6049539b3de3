"""Compares the table in internal/tokens/textcost/normalise.go with Python's unicodedata, and prints the latter's version.

It holds the characters that normalisation form C makes longer, and the marks behind which another character is longer.
"""

import pathlib
import re
import sys
import unicodedata

TABLE = pathlib.Path(__file__).parents[3] / "internal" / "tokens" / "textcost" / "normalise.go"


def added(text):
    return len(unicodedata.normalize("NFC", text).encode()) - len(text.encode())


def characters():
    return (chr(p) for p in range(0x110000) if not 0xD800 <= p < 0xE000)


def lengthened():
    """Returns the characters of the table and the most bytes that one adds, with what stands before it."""
    alone = {c: added(c) for c in characters() if added(c) > 0}
    marks = [c for c in characters() if unicodedata.combining(c)]
    composed = [c for c in characters() if unicodedata.normalize("NFD", c) != c and not "\uac00" <= c <= "\ud7a3"]
    for c in composed:
        for mark in marks:
            more = added(c + mark) - max(alone.get(c, 0), 0)
            if more > alone.get(mark, 0):
                alone[mark] = more
    return alone


def main():
    ranges = re.findall(r"\{0x([0-9a-f]+), 0x([0-9a-f]+)\}", TABLE.read_text())
    table = {chr(p) for low, high in ranges for p in range(int(low, 16), int(high, 16) + 1)}
    found = lengthened()
    print("Unicode", unicodedata.unidata_version, len(found), "characters")
    wrong = {c: n for c, n in found.items() if c not in table or n > (3 if c <= "\uffff" else 8)}
    wrong |= {c: 0 for c in table if c not in found}
    for c, n in sorted(wrong.items()):
        print(f"U+{ord(c):04X} adds {n} bytes", file=sys.stderr)
    if wrong:
        raise SystemExit(f"{TABLE.name} is wrong about {len(wrong)} characters")


if __name__ == "__main__":
    main()
