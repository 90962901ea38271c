"""Multimodal configs around a text model, and what all families have in common; each family: `families/`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from tests.model.families.reference import LINES, Row, assert_same_counts, named, wrappers

from scaleplan.errors import InputError
from scaleplan.model.bill import bill_of
from scaleplan.model.families import FAMILIES, MODULES
from scaleplan.model.huggingface import read_config
from scaleplan.model.params import count_params


@pytest.mark.parametrize("row", wrappers(), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """Parameters of multimodal models in total, active, without embeddings, of tables and head: no difference."""
    assert_same_counts(row)


MISTRAL = {"model_type": "mistral", "hidden_size": 64, "intermediate_size": 128} | {
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "vocab_size": 100,
}


def n_params(config: dict[str, Any]) -> int:
    return count_params(bill_of(read_config(config).arch)).n_params


def test_an_absent_key_is_what_the_class_fills_in_and_null_is_not() -> None:
    """Mistral's class has 8 key and value heads where the key is absent; null means one for each query head."""
    absent, null = n_params(MISTRAL), n_params(MISTRAL | {"num_key_value_heads": None})

    assert absent == n_params(MISTRAL | {"num_key_value_heads": 8})
    assert null == n_params(MISTRAL | {"num_key_value_heads": 16})


@pytest.mark.parametrize(("outer", "inner", "tied"), [(True, None, True), (False, None, False), (True, True, True), (False, False, False)])
def test_the_outer_config_says_whether_the_head_is_tied(outer: bool, inner: bool | None, tied: bool) -> None:
    """The head belongs to the whole multimodal model, so its config decides."""
    config = {"model_type": "mistral3", "text_config": MISTRAL | {"tie_word_embeddings": inner}, "tie_word_embeddings": outer}

    assert n_params(config) == n_params(MISTRAL | {"tie_word_embeddings": tied})


@pytest.mark.parametrize(("outer", "inner"), [(True, False), (False, True), (None, None)])
def test_a_head_of_which_nobody_knows_is_refused(outer: bool | None, inner: bool | None) -> None:
    """Contradiction, and silence where class and checkpoints disagree."""
    config = {"model_type": "mistral3", "text_config": MISTRAL | {"tie_word_embeddings": inner}, "tie_word_embeddings": outer}

    with pytest.raises(InputError, match="tie_word_embeddings"):
        read_config(config)


def test_every_family_has_a_checked_config() -> None:
    """A family that no config checks is not supported."""
    configs = [line["config"] for line in LINES]
    checked = {config["model_type"] for config in [*configs, *(config["text_config"] for config in configs if "text_config" in config)]}

    assert set(FAMILIES) <= checked


def test_the_table_of_modules_is_complete() -> None:
    """Every family that a module describes is listed under it, and nothing else is."""
    for module, kinds in MODULES.items():
        assert set(import_module(f"scaleplan.model.families.{module}").FAMILIES) == set(kinds.split())
