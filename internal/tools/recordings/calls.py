"""Writes the Bedrock calls of a folder of recordings as JSON lines, for bedrocktest's replay.

    calls.py FOLDER > calls.jsonl

The folder has one subfolder for each repository, named owner+name, with its recordings in the folders that they have there. Read are
cassettes of VCR and its relatives (YAML), of nock and of the Datadog test agent (JSON), and mappings of WireMock (YAML or JSON, with
the files that they name). Bodies stay on this machine: nothing of what this program writes belongs into the repository.
"""

import base64
import gzip
import json
import pathlib
import re
import sys
import zlib
from urllib.parse import urlsplit

import yaml


class Loader(yaml.CSafeLoader):
    """Takes tags of Python objects for the plain value behind them."""


def _plain(loader, suffix, node):
    if isinstance(node, yaml.SequenceNode):
        items = loader.construct_sequence(node, deep=True)
        return items[0] if len(items) == 1 else items
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_scalar(node)


Loader.add_multi_constructor("tag:yaml.org,2002:python/", _plain)
Loader.add_multi_constructor("!ruby/", _plain)
Loader.add_constructor("!binary", Loader.construct_yaml_binary)

BEDROCK = re.compile(r"bedrock-(runtime|mantle)\.")
ROUTE = re.compile(r"^/(model/[^/]+/[a-z-]+|guardrail/.*|v1/.*|openai/.*|anthropic/.*|async-invoke.*)$")


def octets(value):
    """The bytes of a body in any of the forms in which recordings keep one."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, (dict, list)):
        return json.dumps(value).encode()
    return str(value).encode()


def body(part):
    value = part.get("parsed_body", part.get("body")) if isinstance(part, dict) else part
    if isinstance(value, dict):
        if "base64_string" in value:
            return base64.b64decode(value["base64_string"])
        if "string" in value:
            text = value["string"]
            return octets(text)
    return octets(value)


def headers(raw):
    """Headers as one string each, in lower case; what was taken out of a recording is left out."""
    out = {}
    if isinstance(raw, list):  # nock: name, value, name, value
        raw = dict(zip(raw[::2], raw[1::2]))
    for name, value in (raw or {}).items():
        if isinstance(value, dict):
            value = value.get("equalTo", "")
        if isinstance(value, list):
            value = value[0] if value else ""
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(name, list):
            name = name[0]
        if "REDACTED" not in str(value):
            out[str(name).lower()] = str(value)
    return out


def unzipped(data, head):
    coding = head.get("content-encoding", "")
    try:
        if coding == "gzip":
            return gzip.decompress(data)
        if coding == "deflate":
            return zlib.decompress(data)
    except (OSError, zlib.error, EOFError):
        pass
    return data


def call(url, sent_head, sent, status, head, answer):
    parts = urlsplit(url)
    head = headers(head)
    return {
        "host": parts.netloc, "path": parts.path, "headers": headers(sent_head), "body": sent, "status": int(status),
        "answerHeaders": head, "answer": unzipped(answer, head),
    }


def from_vcr(file):
    pairs = file.get("interactions") or file.get("http_interactions")
    if pairs is None:
        pairs = [{"request": q, "response": a} for q, a in zip(file.get("requests") or [], file.get("responses") or [])]
    for pair in pairs:
        q, a = pair["request"], pair["response"]
        status = a.get("status", a.get("status_code"))
        if isinstance(status, dict):
            status = status["code"]
        yield call(q.get("uri") or q.get("url"), q.get("headers"), body(q), status, a.get("headers"), body(a))


def from_nock(file):
    for one in file:
        answer = one["response"]
        if isinstance(answer, str) and re.fullmatch(r"(?:[0-9a-f]{2})+", answer):
            answer = bytes.fromhex(answer)
        elif isinstance(answer, list) and all(isinstance(a, str) for a in answer):
            answer = b"".join(bytes.fromhex(a) for a in answer)
        yield call(one["scope"] + one["path"], one.get("reqheaders"), octets(one.get("body")), one["status"], one.get("rawHeaders"), octets(answer))


def from_wiremock(file, path):
    q, a = file["request"], file["response"]
    sent = b""
    for pattern in q.get("bodyPatterns") or []:
        sent = octets(pattern.get("equalToJson", ""))
    if "bodyFileName" in a:
        answer = (path.parent.parent / "__files" / a["bodyFileName"]).read_bytes()
    elif "base64Body" in a:
        answer = base64.b64decode(a["base64Body"])
    else:
        answer = octets(a.get("body"))
    yield call("https://bedrock-runtime.us-east-1.amazonaws.com" + (q.get("url") or q.get("urlPath")), q.get("headers"), sent, a["status"], a.get("headers"), answer)


def from_agent(file):
    q, a = file["request"], file["response"]
    answer = a.get("body") or ""
    try:
        data = base64.b64decode(answer, validate=True) if answer else b""
    except ValueError:
        data = answer.encode()
    if answer[:1] in "{[":
        data = answer.encode()
    yield call(q["url"], q.get("headers"), octets(q.get("body")), a["status"]["code"] if isinstance(a["status"], dict) else a["status"], a.get("headers"), data)


def calls(path):
    text = path.read_bytes()
    for file in [json.loads(text)] if path.suffix == ".json" else yaml.load_all(text, Loader):
        yield from of_file(file, path)


def of_file(file, path):
    if isinstance(file, list):
        if file and isinstance(file[0], dict) and "scope" in file[0]:
            yield from from_nock(file)
    elif isinstance(file, dict) and ("interactions" in file or "http_interactions" in file or "requests" in file):
        yield from from_vcr(file)
    elif isinstance(file, dict) and isinstance(file.get("request"), dict) and "response" in file:
        if "bodyPatterns" in file["request"] or "persistent" in file:
            yield from from_wiremock(file, path)
        elif "url" in file["request"]:
            yield from from_agent(file)


def main(folder):
    root = pathlib.Path(folder)
    for path in sorted(root.rglob("*")):
        if path.suffix not in (".yaml", ".yml", ".json") or "__files" in path.parts:
            continue
        try:
            found = list(calls(path))
        except Exception as e:  # a recording that can't be read is told, and the others are measured
            print(f"{path}: {type(e).__name__}: {str(e)[:120]}", file=sys.stderr)
            continue
        relative = path.relative_to(root)
        for c in found:
            if not (BEDROCK.search(c["host"]) or ROUTE.match(c["path"])) or not ROUTE.match(c["path"]):
                continue
            c["repository"], c["file"] = relative.parts[0].replace("+", "/"), "/".join(relative.parts[1:])
            for key in ("body", "answer"):
                c[key] = base64.b64encode(c[key]).decode()
            print(json.dumps(c))


if __name__ == "__main__":
    main(sys.argv[1])
