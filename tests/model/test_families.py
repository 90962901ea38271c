"""Every family of configs against the reference library, count by count.

`tests/published/families.jsonl` holds a config a line with the counts of the model that transformers 5.23.0 builds from it on torch
2.13.0's meta device: shapes of released models, and the defaults of each config class with sizes and switches changed.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from scaleplan.model.bill import bill_of
from scaleplan.model.families import FAMILIES, MODULES
from scaleplan.model.huggingface import read_config
from scaleplan.model.params import count_params

ROWS = [json.loads(line) for line in (Path(__file__).parents[1] / "published" / "families.jsonl").read_text(encoding="utf-8").splitlines()]
COUNTS = ("n_params", "n_active_params", "n_non_embedding_params", "n_active_non_embedding_params", "n_embedding_params", "n_head_params")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_counts_equal_those_of_the_reference_library(row: dict[str, Any]) -> None:
    """Parameters in total, active, without embeddings, of tables and head: no difference."""
    count = count_params(bill_of(read_config(row["config"]).arch))

    assert {key: getattr(count, key) for key in COUNTS} == {key: row[key] for key in COUNTS}


def test_every_family_has_a_checked_config() -> None:
    """A family that no config checks is not supported."""
    configs = [row["config"] for row in ROWS]
    checked = {config["model_type"] for config in [*configs, *(config["text_config"] for config in configs if "text_config" in config)]}

    assert set(FAMILIES) <= checked


def test_the_table_of_modules_is_complete() -> None:
    """Every family that a module describes is listed under it, and nothing else is."""
    for module, kinds in MODULES.items():
        assert set(import_module(f"scaleplan.model.families.{module}").FAMILIES) == set(kinds.split())
