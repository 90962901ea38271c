"""Software stacks: every one loads, and what it says has a meaning."""

from __future__ import annotations

from typing import get_args

import pytest

from scaleplan import library
from scaleplan.chain.memory import stack_named
from scaleplan.chain.step_time import device_named, efficiencies, stack_time
from scaleplan.errors import InputError, UnknownName
from scaleplan.library import citations, cited
from scaleplan.machine.activations import ATTENTION_KERNELS
from scaleplan.machine.efficiency import hardware_shares
from scaleplan.machine.layout import Placement
from scaleplan.machine.recipe import RECIPE_USERS
from scaleplan.machine.serving_pass import engine_of
from scaleplan.machine.stack import stack_of

MOST_FITTED = 5


@pytest.mark.parametrize("name", library.names("stacks"))
def test_a_stack_says_what_memory_needs(name: str):
    """Recipe, kernel, placement and constants are known names and plausible numbers."""
    stack = stack_named(name)

    assert stack.recipe in RECIPE_USERS
    assert stack.attention in ATTENTION_KERNELS
    assert stack.placement in get_args(Placement)
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


@pytest.mark.parametrize("name", [preset.name for preset in library.all_of("stacks") if "time" in preset.data])
def test_a_stack_says_what_step_time_needs(name: str):
    """Shares lie between 0 and 1, times and bytes are those of a program that runs."""
    shares = stack_time(name)
    table = library.load("stacks", name).data["time"]

    hidden = (shares.dp_hidden, shares.sharded_hidden, shares.gather_hidden, shares.tp_hidden, shares.hop_hidden)
    assert all(0 <= share <= 1 for share in hidden)
    assert 0.2 <= shares.fusion <= 1.7
    assert 2e-6 <= shares.launch_s <= 200e-6
    assert 0 <= shares.fixed_s <= 2
    assert shares.gradient_bytes in (2, 4)
    assert set(citations(table)) <= set(library.sources())


def test_shares_of_hardware_are_of_known_generations():
    """Every generation named is one that a device has; shares are at most 1 and their source is known."""
    table = efficiencies()
    generations = {preset.data["arch"] for preset in library.all_of("hardware")}

    assert set(table["generation"]) <= generations
    for device in map(device_named, sorted(set(library.names("hardware")) - {"tpu-v2"})):  # tpu-v2: no rate of its links is known
        shares = hardware_shares(table, device)
        assert 0.3 < shares.product < 0.95
        assert max(shares.memory, shares.link, shares.network, shares.flash3) <= 1
    assert set(cited(table)) <= set(library.sources())


@pytest.mark.parametrize("name", [preset.name for preset in library.all_of("stacks") if "serving" in preset.data])
def test_a_serving_engine_says_what_it_was_fitted_and_scored_on(name: str):
    """Shares of the device's rates, at most all of them; the fitted constants are named, and the error on other rows is at most 15 %."""
    table = library.load("stacks", name).data["serving"]
    engine = engine_of(name, {"serving": table})

    assert all(0 < getattr(engine, share) <= 1 for share in ("product", "narrow_product", "attention", "memory", "cache", "link"))
    assert 0 < engine.factor_p10 < 1 < engine.factor_p90
    assert set(table["fitted"]["constants"]) <= set(engine._fields)
    assert table["fitted"]["held_out_n_rows"] >= 10 and table["fitted"]["held_out_rate_median_error"] <= 0.15


@pytest.mark.parametrize("wrong", ["gradient_bytes = 1e300", "launch_s = 1e300", "pace = 1e-300", "fusion = -1"])
def test_a_number_that_no_stack_has_is_refused_by_its_key(tmp_path, wrong):
    """Bytes of a value, seconds and paces are within a million of one."""
    path = tmp_path / "mine.toml"
    path.write_text(f'title = "mine"\n[time]\nlike = "megatron21"\n{wrong}\n')
    with pytest.raises(InputError, match=f"`time.{wrong.split()[0]}`: should be "):
        library.load("stacks", str(path))
