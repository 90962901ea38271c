"""A plan file to begin with, and the JSON Schema of plan files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Answer
from scaleplan.questions.fields import Field
from scaleplan.questions.plan_file import LISTS, OPEN_WORDS, PLAIN, SEARCHED, WORK, key_fields
from scaleplan.wording import keyword

if TYPE_CHECKING:
    from scaleplan.questions.plan import Keys, Starter

DRAFT = "https://json-schema.org/draft/2020-12/schema"
STARTER = """\
# A training plan. Every key is optional where another one says the same; `scaleplan plan --schema` lists them all.
title = "A first plan"

[model]
preset = "llama-3-8b"          # or config = "config.json", n_params = "7B", or target = "7B" for a shape near that size

[training]
tokens = "1T"                  # or "optimal": as many as the law wants for this model
seq_len = 8192
batch_size_tokens = "4Mi"      # tokens of a step
# task = "hellaswag"           # accuracy to expect
# precision = "bf16-mixed"     # of the step of a layout

[hardware]
device = "h100-sxm"            # `scaleplan presets hardware` lists devices
n_devices = 256                # or leave it out and give [run] deadline; or { choices = [128, 256] } with a [goal]
# layout = "tp2,dp128,zero1"   # with a layout the step time and the memory are those of the layout

[site]
region = "us-east4"            # or grid_intensity = "385g/kWh"
# usd_per_device_hour = 2.5    # without it: the median of providers
# pue = 1.1

# [run]
# deadline = "30d"
# mfu = "40%"                  # without it: the spread of published whole runs

# [serving]
# tokens = "10T"               # read and written in the model's lifetime
# time = "1y"                  # or requests_per_s: the fleet is as large as that needs

# [[cost]]
# name = "people"
# usd = 5000
# per = "day"                  # device_hour, day, run or terabyte_month

[[limit]]
quantity = "money.usd"         # a dotted path of `scaleplan plan --json`
max = "$1M"

[[limit]]
quantity = "carbon.kgco2e"
max = "200t"
level = "warn"
"""
"""What `plan --init` prints."""


def solve(asked: Starter | Keys) -> str:
    """The text of the file."""
    return STARTER if hasattr(asked, "init") else json.dumps(schema(), indent=2) + "\n"


def explain(asked: Starter | Keys, solved: str) -> Answer:
    """The file itself."""
    result: dict[str, Any] = {"toml": solved} if hasattr(asked, "init") else {"json_schema": json.loads(solved)}
    return Answer("plan", {}, result, [], text=solved)


def schema() -> dict[str, Any]:
    """The JSON Schema of plan files, from the fields."""
    sections: dict[str, dict[str, Any]] = {}
    for key, one in key_fields().items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, {})[name] = key_schema(key, one)
    sections["model"]["config"] = {"type": "string", "description": "A Hugging Face config.json or its folder."}
    properties: dict[str, Any] = {"title": {"type": "string", "description": "What the plan is called."}}
    properties |= {name: table(keys) for name, keys in sections.items()}
    properties["goal"] = table(
        {"minimize": {"type": "string", "description": "The dotted path that chooses among the values of searched keys."}}
    )
    properties |= {each: {"type": "array", "items": table(list_keys(each))} for each in LISTS}
    assert {key.partition(".")[0] for key in PLAIN} <= set(properties), "every plain key has its place"
    return {"$schema": DRAFT, "title": "scaleplan plan file", "type": "object", "additionalProperties": False, "properties": properties}


def table(keys: dict[str, Any]) -> dict[str, Any]:
    """A table that has these keys and no others."""
    return {"type": "object", "additionalProperties": False, "properties": keys}


def key_schema(key: str, one: Field) -> dict[str, Any]:
    """What a key takes."""
    about = {"description": one.explained(keyword)}
    if one.kind == "switch":
        return {**about, "type": "boolean"}
    if one.kind == "list":
        return {**about, "type": ["string", "array"]}
    if one.choices:
        plain: dict[str, Any] = {"enum": [*one.choices, *OPEN_WORDS.get(key, ())]}
    else:
        plain = {"type": ["string", "number"] if one.number is not None else "string"}
    searched = table({"choices": {"type": "array"}, "range": {"type": "string"}}) | {"minProperties": 1}
    assert set(searched["properties"]) == set(SEARCHED), "a searched key has a choice or a range"
    return {**about, "anyOf": [plain, searched]}


NUMBER = {"type": ["string", "number"]}
WORDS = {"type": "string"}


def list_keys(each: str) -> dict[str, Any]:
    """Keys of `[[stage]]`, `[[cost]]` and `[[limit]]`."""
    work = {name: WORDS if name == "model" else NUMBER for name in WORK}
    known: dict[str, dict[str, Any]] = {
        "work": {"type": "array", "items": table(work)},
        "per": {"enum": ["device_hour", "day", "run", "terabyte_month"]},
        "at": {"enum": ["p10", "p50", "p90"]},
        "level": {"enum": ["error", "warn"]},
        "name": WORDS,
        "quantity": WORDS,
    }
    return {name: known.get(name, NUMBER) for name in LISTS[each]}
