"""What the tests of the families share: counts of the reference library, and what its classes fill in for absent keys.

`tests/published/families.jsonl` holds a config a line with the counts of the model that transformers 5.23.0 builds from it on torch
2.13.0's meta device: shapes of released models, and the defaults of each config class with sizes and switches changed.
`tests/published/class_defaults.csv` holds defaults of config classes.
"""

from __future__ import annotations

import json
from typing import Any

from tests.cases import PUBLISHED, published_rows

from scaleplan.errors import ScaleplanError
from scaleplan.model.arch import Arch, Block
from scaleplan.model.bill import bill_of
from scaleplan.model.families import FAMILIES, MODULES
from scaleplan.model.families.family import Config
from scaleplan.model.huggingface import TEXT_TABLES, arch_of_family, read_config
from scaleplan.model.params import count_params

Row = dict[str, Any]
COUNTS = ("n_params", "n_active_params", "n_non_embedding_params", "n_active_non_embedding_params", "n_embedding_params", "n_head_params")
LINES: list[Row] = [json.loads(line) for line in (PUBLISHED / "families.jsonl").read_text(encoding="utf-8").splitlines()]


def models_of(module: str) -> list[Row]:
    """Configs and counts of the families of a module; multimodal ones are of none."""
    return [line for line in LINES if line["config"]["model_type"] in MODULES[module].split()]


def wrappers() -> list[Row]:
    """Configs and counts of multimodal models."""
    return [line for line in LINES if line["config"]["model_type"] not in FAMILIES]


def defaults_of(module: str) -> list[dict[str, str]]:
    """Rows of `class_defaults.csv` about the families of a module."""
    return [row for row in published_rows("class_defaults.csv") if row["family"] in MODULES[module].split()]


def named(row: Row) -> str:
    """What a row is called among the tests."""
    return row["name"] if "name" in row else f"{row['family']}-{row['key']}"


def assert_same_counts(row: Row) -> None:
    """Parameters in total, active, without embeddings, of tables and head are those of the reference library."""
    count = count_params(bill_of(read_config(row["config"]).arch))

    assert {key: getattr(count, key) for key in COUNTS} == {key: row[key] for key in COUNTS}


def assert_absence_means_the_default(row: dict[str, str]) -> None:
    """A config without the key is the config with the class's default, and another value would have been seen, or refused."""
    kind, key = row["family"], row["key"]
    base = text_of(next(line["config"] for line in LINES if line["name"] == row["config"]))
    config = {name: value for name, value in {**base, **json.loads(row["with"])}.items() if name != key}
    written = built(kind, {**config, key: json.loads(row["default"])})

    assert built(kind, config) == written
    assert said_or_refused(kind, {**config, key: json.loads(row["other"])}) != written


def text_of(config: dict[str, Any]) -> dict[str, Any]:
    """The text model inside a multimodal config."""
    if config["model_type"] in FAMILIES:
        return config
    return next((config[key] for key in TEXT_TABLES if isinstance(config.get(key), dict)), config)


def built(kind: str, config: dict[str, Any]) -> Arch:
    """The architecture that a family makes of a config."""
    return arch_of_family(FAMILIES[kind], Config(config), "")[0]


def said_or_refused(kind: str, config: dict[str, Any]) -> Arch | str:
    """The architecture, or why there is none."""
    try:
        return built(kind, config)
    except ScaleplanError as error:
        return error.message


def layers(arch: Arch, stack: int = -1) -> list[Block]:
    """What each layer of a stack is, first layer first."""
    found = arch.stacks[stack]
    return [found.blocks[kind] for kind, count in found.order for _ in range(count)]


def windows(arch: Arch, stack: int = -1) -> list[int]:
    """Keys in the window of each layer, 0 where all are seen."""
    return [0 if block.mixer.span is None else block.mixer.span.local for block in layers(arch, stack)]


def mixers(arch: Arch) -> list[str]:
    """The class of the mixer of each layer."""
    return [type(block.mixer).__name__ for block in layers(arch)]


def experts(arch: Arch, stack: int = -1) -> list[int]:
    """Which layers have experts."""
    return [number for number, block in enumerate(layers(arch, stack)) if block.feed_forward and block.feed_forward.experts]


def n_params(arch: Arch) -> int:
    """All parameters."""
    return int(count_params(bill_of(arch)).n_params)


def like(kind: str, without: tuple[str, ...] = (), **changes: Any) -> Arch:
    """The first model of a family in `families.jsonl`, with keys left out or changed."""
    config = next(line["config"] for line in LINES if line["config"]["model_type"] == kind)
    return built(kind, {key: value for key, value in config.items() if key not in without} | changes)
