"""Software stacks: every one loads, and what it says has a meaning."""

from __future__ import annotations

import pytest

from scaleplan import library
from scaleplan.chain.memory import stack_named
from scaleplan.errors import UnknownName
from scaleplan.machine.activations import ATTENTION_KERNELS
from scaleplan.machine.pipeline import PLACEMENTS
from scaleplan.machine.recipe import RECIPES
from scaleplan.machine.stack import stack_of

MOST_FITTED = 5


@pytest.mark.parametrize("name", library.names("stacks"))
def test_a_stack_says_what_memory_needs(name: str):
    """Recipe, kernel, placement and constants are known names and plausible numbers."""
    stack = stack_named(name)

    assert stack.recipe in RECIPES
    assert stack.attention in ATTENTION_KERNELS
    assert stack.placement in PLACEMENTS
    assert 0 <= stack.dropout < 1
    assert stack.bytes_per_logit is None or 4 <= stack.bytes_per_logit <= 20
    assert 0 <= stack.context_bytes <= 2 * 2**30
    assert stack.sources


def test_few_numbers_are_fitted_and_each_says_on_what():
    """At most five constants are fitted in all stacks together; each stack with any says on which rows and how well it does on others."""
    fitted = [
        data["memory"]["fitted"] for data in (preset.data for preset in library.all_of("stacks")) if "fitted" in data.get("memory", {})
    ]

    assert sum(len(one["constants"]) for one in fitted) <= MOST_FITTED
    for one in fitted:
        assert one["rows"] and one["n_rows"] > 100 and one["held_out_n_rows"] > 100
        assert one["held_out_mean_error"] <= 0.12 and one["held_out_median_error"] <= 0.08


def test_a_key_without_a_meaning_is_refused():
    """A misspelt constant is not dropped in silence."""
    with pytest.raises(UnknownName, match="bytes_per_logits"):
        stack_of("mine", {"memory": {"bytes_per_logits": 8}})
