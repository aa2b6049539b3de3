"""Writes what AWS's service model says of bedrock-runtime's requests as a table: bedrockguard/bedrocktest/internal/shapes/shapes.json.

Run by `make service-model`, which installs the pinned botocore of requirements.txt. The table holds the constraints alone: members,
types, lengths, ranges, patterns, enums, required members and unions. It holds no documentation.
"""

import datetime
import gzip
import json
import pathlib
import sys

import botocore

OPERATIONS = [
    "Converse", "ConverseStream", "CountTokens", "InvokeModel", "InvokeModelWithResponseStream",
    "ApplyGuardrail", "InvokeGuardrailChecks", "StartAsyncInvoke", "GetAsyncInvoke", "ListAsyncInvokes",
]


def load():
    path = pathlib.Path(botocore.__file__).parent / "data/bedrock-runtime/2023-09-30/service-2.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


def entry(shape):
    """A shape as the table has it, and the names that it refers to."""
    out, refers = {"type": shape["type"]}, []
    for name in ("min", "max", "pattern", "enum", "required", "union", "document", "box"):
        if name in shape and name != "box":
            out[name] = shape[name]
    if "members" in shape:
        out["members"] = {}
        for name, member in shape["members"].items():
            m = {"shape": member["shape"]}
            for part in ("location", "locationName"):
                if part in member:
                    m[part] = member[part]
            out["members"][name] = m
            refers.append(member["shape"])
    if "payload" in shape:
        out["payload"] = shape["payload"]
    for part in ("member", "key", "value"):
        if part in shape:
            out[part] = shape[part]["shape"]
            refers.append(shape[part]["shape"])
    return out, refers


def main(out):
    model = load()
    operations, shapes, open_ = {}, {}, []
    for name in OPERATIONS:
        op = model["operations"][name]
        operations[name] = op["input"]["shape"]
        open_.append(op["input"]["shape"])
    while open_:
        name = open_.pop()
        if name in shapes:
            continue
        shapes[name], refers = entry(model["shapes"][name])
        open_ += refers
    table = {
        "source": f"the service model of bedrock-runtime {model['metadata']['apiVersion']} in botocore {botocore.__version__}",
        "date": datetime.date.today().isoformat(),
        "operations": operations,
        "shapes": dict(sorted(shapes.items())),
    }
    lines = ["{"]
    for name in ("source", "date", "operations"):
        lines.append(f" {json.dumps(name)}: {json.dumps(table[name])},")
    lines.append(' "shapes": {')
    lines.append(",\n".join(f"  {json.dumps(name)}: {json.dumps(shape)}" for name, shape in table["shapes"].items()))
    lines += [" }", "}"]
    pathlib.Path(out).write_text("\n".join(lines) + "\n")
    print(f"{out}: {len(shapes)} shapes of {len(operations)} operations, {table['source']}")


if __name__ == "__main__":
    main(sys.argv[1])
