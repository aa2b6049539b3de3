#!/usr/bin/env python3
"""Compares the price table with the Bedrock rows of LiteLLM and genai-prices, region by region.

Run `make check-prices` from the root of the repository. It installs the two packages at the versions that the table was
made from, asks the catalog for its price of every row, and prints the rows that are dearer than the catalog's: a call at
such a price would cost more than what is reserved for it. Rows that are known to be wrong, and why, are listed below and
counted apart. With -v it prints the rows below the catalog's price, too. The exit status is 1 when a dearer row is left that nothing
explains.
"""

import collections
import datetime
import json
import pathlib
import re
import subprocess
import sys

import genai_prices.data

TABLE_DATE = datetime.date(2026, 11, 28)

# The region that a row without one is compared in. A geography has no single price: LiteLLM repeats that of Frankfurt for
# "eu" and that of Tokyo for "apac".
REGION_OF_GEOGRAPHY = {
    "": "us-east-1",
    "us": "us-east-1",
    "global": "us-east-1",
    "eu": "eu-central-1",
    "apac": "ap-northeast-1",
    "jp": "ap-northeast-1",
    "au": "ap-southeast-2",
    "in": "ap-south-1",
    "ca": "ca-central-1",
    "us-gov": "us-gov-west-1",
}
REGION = re.compile(r"^[a-z]{2}(-[a-z]+)+-\d$")

# The rate of the catalog that each price of a LiteLLM row stands for.
RATES = {
    "input_cost_per_token": "Input",
    "output_cost_per_token": "Output",
    "cache_read_input_token_cost": "CacheRead",
    "cache_creation_input_token_cost": "CacheWrite5m",
    "cache_creation_input_token_cost_above_1hr": "CacheWrite1h",
}
LONG = re.compile(r"_above_\d+k_tokens")
TIERS = {"_priority": "priority", "_flex": "flex", "_ultrafast": "ultrafast"}
FEES = {
    "input_cost_per_image": "Image",
    "output_cost_per_image": "OutputImage",
    "input_cost_per_query": "Query",
    "input_cost_per_video_per_second": "VideoSecond",
    "input_cost_per_audio_per_second": "AudioSecond",
}
MEDIA = {
    "input_cost_per_image_token": "ImageInput",
    "input_cost_per_audio_token": "AudioInput",
    "output_cost_per_audio_token": "AudioOutput",
}

# Rows that are dearer than the catalog's and do not count: a pattern over "source row", and why.
EXPLAINED = [
    (r"LiteLLM anthropic\.claude-3-7-sonnet-20240620-v1:0$", "Claude 3.7 Sonnet has no such date; the row holds the price of GovCloud"),
    (r"LiteLLM .*/stability\.stable-diffusion-xl-v[01]$", "the model ended, and the service refuses calls"),
    (r"LiteLLM anthropic\.claude-haiku-4-5@20251001$", "the id is spelled for another cloud"),
    (r"genai-prices nvidia\.nemotron-[a-z0-9.-]+:0$", "the model ids of Nemotron have no version"),
]

# One price that a source claims for a model: in USD per token, or in USD for a fee.
Claim = collections.namedtuple("Claim", "source row model region kind name tier usd")


def litellm_claims():
    path = next(pathlib.Path(p) for p in sys.path if (pathlib.Path(p) / "litellm").is_dir())
    table = json.loads((path / "litellm" / "model_prices_and_context_window_backup.json").read_text())
    for row, fields in table.items():
        if not str(fields.get("litellm_provider", "")).startswith("bedrock"):
            continue
        model, region = place_of(row)
        if model is None:
            continue
        for field, usd in fields.items():
            claim = claim_of(field, usd)
            if claim:
                yield Claim("LiteLLM", row, model, region, *claim, usd)


def place_of(row):
    """Returns the model id and the region of a LiteLLM row, or None for what is no price of a call."""
    parts = row.split("/")
    if "commitment" in row or "claude_platform" in parts:
        return None, None
    model = parts[-1]
    region = next((part for part in parts[:-1] if REGION.match(part)), None)
    if model.startswith("claude-"):
        model = "anthropic." + model
    return model, region or REGION_OF_GEOGRAPHY.get(model.split(".")[0], "us-east-1")


def claim_of(field, usd):
    """Returns the kind, the name and the tier of a field of a LiteLLM row, or None for what is no price."""
    if not isinstance(usd, (int, float)) or usd <= 0 or "batches" in field:
        return None
    if field in FEES:
        return "fee", FEES[field], None
    if field in MEDIA:
        return "media", MEDIA[field], None
    tier = None
    for suffix, name in TIERS.items():
        if field.endswith(suffix):
            field, tier = field.removesuffix(suffix), name
    kind = "long" if LONG.search(field) else "rate"
    name = RATES.get(LONG.sub("", field))
    return (kind, name, tier) if name else None


def genai_claims():
    provider = next(p for p in genai_prices.data.providers if p.id == "aws")
    names = {
        "input_mtok": "Input",
        "output_mtok": "Output",
        "cache_read_mtok": "CacheRead",
        "cache_write_mtok": "CacheWrite5m",
        "cache_write_1h_mtok": "CacheWrite1h",
    }
    for model in provider.models:
        prices = model.prices
        if isinstance(prices, list):
            started = [p for p in prices if starts(p) <= TABLE_DATE]
            prices = started[-1].prices
        geography, _, rest = model.id.partition(".")
        name = rest if geography == "regional" else model.id
        region = REGION_OF_GEOGRAPHY.get(geography, "us-east-1")
        for field, rate in names.items():
            price = getattr(prices, field, None)
            if price is None:
                continue
            tiers = getattr(price, "tiers", [])
            yield Claim("genai-prices", model.id, name, region, "rate", rate, None, float(getattr(price, "base", price)) / 1e6)
            for tier in tiers:
                yield Claim("genai-prices", model.id, name, region, "long", rate, None, float(tier.price) / 1e6)


def starts(conditional):
    return getattr(conditional.constraint, "start_date", None) or datetime.date.min


def quotes(claims):
    """Asks the catalog for its prices of every model and region at once."""
    places = sorted({(claim.model, claim.region) for claim in claims})
    lines = "".join(f"{model}\t{region}\n" for model, region in places)
    command = ["go", "run", "./internal/catalog/pricetable", "-quote"]
    answers = subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(zip(places, map(json.loads, answers), strict=True))


def charged(claim, quote):
    """Returns what the catalog charges in USD: for a token, or as a fee. None is a price that it does not know."""
    if claim.kind == "fee":
        fee = quote["fees"][claim.name]
        if claim.name == "Query":
            fee = fee or quote["fees"]["Request"]  # an embedding model's query is a request
        return fee / 1e9 or None
    if claim.kind == "media":
        text = {"ImageInput": "Input", "AudioInput": "Input", "AudioOutput": "Output", "ImageOutput": "Output"}[claim.name]
        return (quote["media"][claim.name] or quote["price"]["Rates"][text]) / 1e12 or None
    rates = quote["price"]["LongContext"]["Rates"] if claim.kind == "long" else quote["price"]["Rates"]
    factor = quote["tiers"][claim.tier] if claim.tier else 1000
    return rates[claim.name] * factor / 1000 / 1e12 or None


def explanation(claim):
    return next((why for pattern, why in EXPLAINED if re.search(pattern, f"{claim.source} {claim.row}")), None)


def described(claim):
    tier = f" {claim.tier}" if claim.tier else ""
    return f"{claim.source} {claim.row} in {claim.region}: {claim.kind} {claim.name}{tier} {claim.usd:.10g}"


def main(verbose):
    claims = [*litellm_claims(), *genai_claims()]
    catalog = quotes(claims)
    counts, explained = collections.Counter(), collections.defaultdict(list)
    unexplained, unknown = [], set()
    for claim in claims:
        quote = catalog[claim.model, claim.region]
        ours = None if quote.get("problem") else charged(claim, quote)
        where = "assumed" if quote.get("assumed") else "known"
        if ours is not None and claim.usd <= ours * (1 + 1e-9):
            equal = claim.usd >= ours * (1 - 1e-3)
            counts[f"{claim.source}: {'equal' if equal else 'catalog is dearer'}, price {where}"] += 1
            if verbose and not equal:
                print(f"below   {described(claim)}, catalog {ours:.10g} USD")
            continue
        why = explanation(claim)
        if why:
            explained[why].append(claim)
        elif ours is None:
            unknown.add((claim.source, claim.row, quote.get("problem") or f"no {claim.name} ({claim.kind})"))
        else:
            unexplained.append((claim, ours))
    print(f"{len(claims)} prices of {len(catalog)} models and regions compared")
    for name, count in sorted(counts.items()):
        print(f"  {count:5d}  {name}")
    for why, rows in explained.items():
        print(f"  {len(rows):5d}  not counted: {why}")
    for source, row, problem in sorted(unknown):
        print(f"UNKNOWN {source} {row}: {problem}")
    for claim, ours in unexplained:
        print(f"DEARER  {described(claim)}, catalog {ours:.10g} USD")
    return 1 if unexplained or unknown else 0


if __name__ == "__main__":
    sys.exit(main("-v" in sys.argv))
