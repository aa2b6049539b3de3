"""Makes the words that the table is fitted to, from the vocabularies themselves and at random."""

import collections
import json
import random
import re

import vocabularies as v

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# What a word is counted behind: a single space, and characters that are neither letters nor a single space.
SPACED = ("\n ",)
OTHER = ("\n", "(", "_", '"', ".", "\n   ", "\\", "7", "-", "/")

# The same for words of more than one token, and what they are counted before.
SIGNS_BEFORE = OTHER + tuple("!#$%&')*+,:;<=>?@[]^`{|}~\t")
SIGNS_AFTER = tuple(" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\n7")


def vocabulary_words(pattern, low=1, high=16):
    """Returns the words of several vocabularies that match a pattern, with the best rank that one has in any of them."""
    best = {}

    def note(text, rank):
        text = text.strip(" \u2581\u0120")
        if low <= len(text) <= high and re.fullmatch(pattern, text):
            best[text] = min(best.get(text, rank), rank)

    for path in (
        v.package("llama_models") / "llama3" / "tokenizer.model",
        v.package("llama_models") / "llama4" / "tokenizer.model",
        v.package("dashscope") / "resources" / "qwen.tiktoken",
    ):
        for raw, rank in v.ranks_of(path).items():
            note(raw.decode(errors="replace"), rank)
    for name in ("gemma3", "command_r_plus"):
        path = v.NODE / "@lenml" / f"tokenizer-{name}" / "models" / "tokenizer.json"
        for text, rank in json.loads(path.read_text())["model"]["vocab"].items():
            note(text, rank)
    return best


def mutated(r, word, letters):
    at = r.randrange(len(word))
    match r.randrange(4):
        case 0:
            return word[:at] + r.choice(letters) + word[at + 1 :]
        case 1:
            return word[:at] + r.choice(letters) + word[at:]
        case 2:
            return word[:at] + word[at + 1 :] or word
        case _:
            return "".join(r.sample(word, len(word)))


def plausible(r, words, count, letters_before=2):
    """Yields words made by a Markov chain over the letters of the given words."""
    following = collections.defaultdict(list)
    for word in words:
        text = "^" * letters_before + word + "$"
        for i in range(letters_before, len(text)):
            following[text[i - letters_before : i]].append(text[i])
    for _ in range(count):
        word = "^" * letters_before
        while len(word) < 18 + letters_before:
            letter = r.choice(following[word[-letters_before:]])
            if letter == "$":
                break
            word += letter
        if len(word) > letters_before:
            yield word[letters_before:]


def pool(r, vocabulary, letters, scale):
    """Returns words of one alphabet: listed ones, pieced together, changed, plausible, random and repetitive ones."""
    words = set(vocabulary)
    known = sorted(vocabulary)
    for a in letters:
        words.update(a * n for n in range(1, 40))
        for b in letters:
            words.update((a + b, (a + b) * 4))
            if len(letters) < 30:
                words.update(a + b + c for c in letters)
    for _ in range(int(scale)):
        words.add((r.choice(known) + r.choice(known))[:18])
        words.add(mutated(r, r.choice(known), letters))
        words.add("".join(r.choice(letters) for _ in range(r.randint(3, 14))))
    words.update(plausible(r, known, int(scale)))
    return sorted(words)


def cased(r, lower, count):
    """Yields words with capitals: at the start, in humps, throughout, at random."""
    for _ in range(count):
        a, b = r.choice(lower), r.choice(lower)
        match r.randrange(8):
            case 0 | 1:
                yield a.capitalize()
            case 2:
                yield a + b.capitalize()
            case 3:
                yield a.capitalize() + b.capitalize()
            case 4:
                yield a.upper()
            case 5:
                yield a[:4].upper() + b
            case 6:
                yield "".join(r.choice(LETTERS + LETTERS.upper()) for _ in range(r.randint(2, 14)))
            case _:
                yield "".join(r.choice((str.upper, str.lower))(x) for x in a)


def soups(r, known, count):
    """Yields runs of punctuation, white space and digits: between letters, between words, and repeated."""
    signs = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    alphabet = signs + signs + "   \n\t\r07\x01"
    tokens = [t for t in vocabulary_words(r"[^a-zA-Z]{2,8}", 2, 8) if t.isascii()]
    for a in alphabet:
        for b in alphabet:
            yield f"x{a}{b}x"
            yield f"x {a}{b} x"
            yield "x" + (a + b) * 9 + "x"
            yield "x" + (a + b + " ") * 9 + "x"
            yield "x" + (a + b + "\n") * 9 + "x"
            yield "x" + a * 2 + b * 2 + "x"
    for a in set(alphabet):
        for n in list(range(1, 90)) + [100, 120, 128, 130, 200, 257, 500]:
            yield "x" + a * n + "x"
            yield "\n" + a * n + "\n"
            yield "\n" + a * n + "x"
    for _ in range(count):
        soup = one_soup(r, signs, alphabet, tokens)
        yield "x" + soup + r.choice("xX")
        yield (soup + r.choice((" ", "\n", ", ", "", "\t", "\n    "))) * 8
        yield "".join(r.choice(known)[:9] + soup for _ in range(6))
        yield "".join(r.choice(known)[:9].capitalize() + r.choice((soup, soup[:1], soup[:2])) for _ in range(6))


def one_soup(r, signs, alphabet, tokens):
    length = r.randint(2, 10)
    match r.randrange(5):
        case 0:
            return "".join(r.choice(alphabet) for _ in range(length))
        case 1 | 2:
            return "".join(r.choice(tokens) for _ in range(r.randint(1, 3)))
        case 3:
            return "".join(r.choice(signs) * r.randint(1, 4) for _ in range(length // 2 + 1))
        case _:
            return "".join(r.choice(r.choice((signs, " x", "\n ", "0 "))) for _ in range(length))


def cycles(r, count):
    """Yields short units repeated: all pairs and triples of small letters, capitals and signs, and random longer ones."""
    upper, signs = LETTERS.upper(), "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \n\t"
    for letters in (LETTERS, upper, signs):
        for a in letters:
            for b in letters:
                yield (a + b) * 30
                for c in letters:
                    if a < b or a < c:  # the others begin elsewhere in the same cycle
                        yield (a + b + c) * 20
    for a in LETTERS:
        for b in LETTERS:
            for shape in (a.upper() + b, a.upper() + b.upper() + a, a.upper() + b + a, a.upper() + b + b.upper()):
                yield shape * (60 // len(shape))
    for _ in range(count):
        letters = r.choice((signs, signs, signs + "aeTX", LETTERS + signs, LETTERS, upper, LETTERS + upper, LETTERS + upper + "0123456789+/", LETTERS + "234567_.", LETTERS + " .,:;\n\"'()"))
        unit = "".join(r.choice(letters) for _ in range(r.randint(3, 6)))
        yield unit * (60 // len(unit))


def random_source(seed):
    return random.Random(seed)
