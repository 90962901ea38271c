"""Layouts as they are typed, what is legal, and which stage holds what."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.machine.layout import Layout, Placement, check_layout, fixed_sizes, nearest_divisors, parse_layout, rules
from scaleplan.machine.pipeline import head_stage, layers_before
from scaleplan.machine.schedules import in_flight
from scaleplan.model.shape import arch_of_shape

GPT3 = fixed_sizes(arch_of_shape({"n_layers": 96, "d_model": 12288, "n_heads": 96, "n_vocab": 50257, "n_positions": 2048}))


def test_parts_in_any_order_and_absent_parts_off():
    """`zero1,sp,dp4,tp8` is tensor parallel 8, data parallel 4, ZeRO 1 and sequence parallel; the rest is 1 or off."""
    assert parse_layout("zero1, sp,dp4,TP8") == Layout(tp=8, dp=4, zero_stage=1, sequence_parallel=True)


def test_a_layout_is_spelled_as_it_is_typed():
    """What is spelled parses to the same layout."""
    layout = parse_layout("tp8,pp8,dp4,cp2,vpp2,zero1,sp,ep4,shard2")
    assert parse_layout(layout.spelled()) == layout


@pytest.mark.parametrize("text", ["", " ", "qq8", "tp8,qq8", "tp0", "tp", "8", "zero4", "tp8,tp4", "tp-2", "tp8;pp4", "tp" + "9" * 40])
def test_what_is_no_layout_is_refused(text: str):
    """Unknown, repeated, empty and senseless parts are refused."""
    with pytest.raises(UsageError):
        parse_layout(text)


@pytest.mark.parametrize(
    ("text", "said", "nearest"),
    [
        ("tp5,pp8", "tp 5 does not divide the 96 attention heads", "tp4 or tp6"),
        ("tp8,pp97", "pp 97 is more stages than the 96 layers", "pp96"),
        ("cp3", "cp 3 does not divide the sequence of 2048", "cp2 or cp4"),
        ("ep2,dp2", "`ep2` needs experts", None),
        ("vpp2", "vpp 2 needs a pipeline", None),
        ("dp3", "a global batch of 64 sequences is not a whole number", None),
    ],
)
def test_a_broken_rule_is_named_with_the_nearest_legal_value(text: str, said: str, nearest: str | None):
    """Each rule that a layout breaks is named, with the degrees next to it that keep the rule."""
    with pytest.raises(ScaleplanError) as refused:
        check_layout(parse_layout(text), GPT3, 2048, 1, 64)
    assert said in refused.value.report()
    assert nearest is None or nearest in refused.value.report()


def test_the_layout_of_gpt3_is_legal():
    """TP 8 and PP 8 on 64 devices (narayanan2021) break no rule."""
    check_layout(parse_layout("tp8,pp8,dp1"), GPT3, 2048, 1, 64)


def test_rules_hold_row_by_row_for_arrays():
    """Of tensor parallel 4, 5, 6, 64 only 4 and 6 divide 96 heads."""
    layout = Layout(tp=np.array([4, 5, 6, 64]), pp=1, dp=1)
    first = next(iter(rules(layout, GPT3, 2048, 1, 64)))

    assert first.holds.tolist() == [True, False, True, False]
    assert first.says(1) == "tp 5 does not divide the 96 attention heads"


@given(st.integers(1, 300), st.integers(1, 300))
def test_the_nearest_divisors_divide(part: int, whole: int):
    """They divide the whole, and none lies between them and what was asked for."""
    near = nearest_divisors(part, whole)
    assert all(whole % n == 0 for n in near)
    assert not any(whole % n == 0 for n in range(near[0] + 1, min(near[-1], part)))


@given(st.integers(1, 64), st.integers(1, 128), st.sampled_from(get_args(Placement)), st.sampled_from([0.5, 4.0, 13.7]))
def test_stages_hold_every_layer_once(pp: int, n_layers: int, placement: str, head: float):
    """Layers before a stage never fall, start at 0, and none comes after the stage of the head."""
    pp = min(pp, n_layers)
    layout = Layout(pp=pp)
    before = [layers_before(stage, layout, n_layers, head, placement) for stage in range(pp)] + [n_layers]
    last = head_stage(layout, n_layers, head, placement)

    assert before[0] == 0
    assert before == sorted(before)
    assert all(count == n_layers for count in before[last + 1 :])
    assert placement == "balanced" or last == pp - 1


def test_a_balanced_placement_counts_the_head_as_layers():
    """16 layers and a head worth 4 on two stages: the first passes half of 20 with its 11th layer."""
    assert layers_before(1, Layout(pp=2), 16, 4.0, "balanced") == 11


@pytest.mark.parametrize(
    ("schedule", "vpp", "expected"), [("1f1b", 1, 8), ("gpipe", 1, 64), ("zb1p", 1, 8), ("dualpipe", 1, 9), ("1f1b", 3, 31)]
)
def test_micro_batches_that_wait_on_the_first_of_eight_stages(schedule: str, vpp: int, expected: int):
    """p of 1F1B, all of GPipe, p of ZB1P, p + 1 of DualPipe; interleaved, p (1 + (p - 1) / (p v)) times v: 8 (1 + 7/24) 3 = 31."""
    assert in_flight(0, Layout(pp=8, n_virtual_stages=vpp), 64, schedule) == expected


def test_no_more_wait_than_there_are():
    """Two micro-batches cannot fill eight stages."""
    assert in_flight(0, Layout(pp=8), 2) == 2
    assert in_flight(7, Layout(pp=8), 64) == 1


def test_a_group_of_shards_needs_zero():
    """Without ZeRO each rank has everything, whatever the group."""
    sizes = fixed_sizes(arch_of_shape({"n_layers": 8, "d_model": 512, "n_heads": 8, "n_vocab": 1000}))
    with pytest.raises(ScaleplanError, match="shard 4 needs ZeRO"):
        check_layout(parse_layout("dp8,shard4"), sizes, 1024, 1, 8)
    for text in ("dp8,zero1,shard4", "dp8,zero3,shard4", "dp8"):
        check_layout(parse_layout(text), sizes, 1024, 1, 8)
