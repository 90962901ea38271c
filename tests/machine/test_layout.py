"""Layouts as they are typed, what is legal, and which stage holds what."""

from __future__ import annotations

import random
from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.machine.layout import Fixed, Layout, Placement, check_layout, fixed_sizes, nearest_divisors, parse_layout, rules
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


def test_devices_and_replicas_are_products_of_degrees():
    """tp 2, pp 3, cp 5, dp 7: 210 devices, of which 35 hold the same weights; ZeRO divides over them, or over a smaller group."""
    layout = Layout(tp=2, pp=3, cp=5, dp=7)

    assert (layout.n_devices, layout.replicas, layout.shards, layout.expert_tp) == (210, 35, 35, 2)
    assert (layout._replace(n_shards=5).shards, layout._replace(etp=1).expert_tp) == (5, 1)


def test_one_device_is_what_no_degree_says():
    """Absent degrees are 1, and off: spelled with the three that are always said."""
    assert Layout() == Layout(1, 1, 1, 1, 1, 1, 0, False)
    assert Layout().spelled() == "tp1,pp1,dp1"
    assert Layout(cp=2, ep=3, n_virtual_stages=4, zero_stage=2, etp=1, n_shards=5).spelled() == "tp1,pp1,cp2,dp1,ep3,vpp4,zero2,shard5,etp1"


def test_fsdp_is_zero_3():
    """zhao2023: weights, gradients and optimizer states are divided, as in stage 3 of rajbhandari2020."""
    assert parse_layout("dp4,fsdp") == parse_layout("dp4,zero3") == Layout(dp=4, zero_stage=3)


@pytest.mark.parametrize(("inside", "outside"), [("zero0", "zero4"), ("zero3", "zero4"), ("tp1", "tp0"), ("tp16777216", "tp16777217")])
def test_degrees_from_one_to_2_to_the_24_and_stages_of_zero_to_three(inside: str, outside: str):
    assert parse_layout(inside)
    with pytest.raises(UsageError, match="out of range"):
        parse_layout(outside)


@pytest.mark.parametrize("text", ["tp=8", "tp:8", "tp = 8"])
def test_a_sign_between_part_and_degree_is_told(text: str):
    """What should have been written is said; another unknown part lists the parts there are."""
    with pytest.raises(UsageError) as refused:
        parse_layout(text)
    assert "write `tp8`" in refused.value.report()
    with pytest.raises(UsageError) as unknown:
        parse_layout("qq8")
    assert "write" not in unknown.value.report() and "fsdp" in unknown.value.report()


@pytest.mark.parametrize("whole", [1, 2, 4, 7, 12, 96, 97])
@pytest.mark.parametrize("part", [1, 2, 3, 5, 6, 8, 11, 40, 95, 98, 300])
def test_nearest_divisors_are_those_of_a_list_of_all(part: int, whole: int):
    """The last divisor up to the number and the first beyond it."""
    every = [d for d in range(1, whole + 1) if whole % d == 0]

    assert nearest_divisors(part, whole) == [d for d in every if d <= part][-1:] + [d for d in every if d > part][:1]


def test_a_divisor_beyond_the_next_4096_numbers_is_not_near():
    """4,111 is a prime: the next divisor after 15 is 4,096 away, after 14 one more."""
    assert nearest_divisors(15, 4111) == [1, 4111]
    assert nearest_divisors(14, 4111) == [1]
    assert nearest_divisors(5000, 10_007) == [1]


def broken(layout: Layout, sizes: Fixed, seq_len: int, micro: int, in_all: int) -> set[str]:
    """The parts of a layout that break a rule, said in plain terms."""
    tp, pp, cp, dp, ep, vpp = layout[:6]
    shards, etp, given = layout.n_shards or dp * cp, layout.etp, layout.stage_layers
    ranks = tp * cp * dp
    divided = [sizes.n_heads, sizes.d_ff]
    kv = sizes.n_kv_heads
    found = {
        "tp": any(n is not None and n % tp for n in divided) or (kv is not None and kv % tp and tp % kv),
        "pp": pp > sizes.n_layers,
        "vpp": vpp > 1 and (pp == 1 or pp * vpp > sizes.n_layers + 2),
        "cp": seq_len % cp,
        "stages": given is not None and (len(given) != pp * vpp or min(given) < 1 or sum(given) != sizes.n_layers),
        "ep": ep > 1 if sizes.n_experts is None else sizes.n_experts % ep or ranks % ep,
        "dp": in_all % (dp * micro),
        "shard": (dp * cp) % shards,
        "zero": shards != dp * cp and layout.zero_stage == 0,
    }
    if etp is not None:
        found["etp"] = etp != tp if sizes.d_expert is None else sizes.d_expert % etp or ranks % (ep * etp)
    return {part for part, is_broken in found.items() if is_broken}


DENSE, ROUTED = Fixed(6, 12, 4, 60, None), Fixed(10, 24, 2, None, 12, 40)


@pytest.mark.parametrize("sizes", [DENSE, ROUTED], ids=["dense", "experts"])
@pytest.mark.parametrize("seed", range(5))
def test_rules_are_those_said_in_plain_terms(sizes: Fixed, seed: int):
    """Degrees that divide what they should and degrees that do not, one by one; each rule is kept by some and broken by others."""
    chance, seen = random.Random(seed), Counter[str]()
    for _ in range(400):
        degrees = ((1, 2, 3, 4, 8), range(1, 14), (1, 2, 3), range(1, 9), (1, 2, 3, 4, 6), range(1, 5))
        tp, pp, cp, dp, ep, vpp = map(chance.choice, degrees)
        listed = tuple(chance.choice((0, 1, 2, 3)) for _ in range(pp * vpp - chance.choice((0, 0, 0, 1)))) or None
        zero, shards, etp = map(chance.choice, ((0, 1, 3), (None, None, 1, 2, 3, 6), (None, 1, 2, 4)))
        layout = Layout(tp, pp, cp, dp, ep, vpp, zero, False, shards, etp, chance.choice((None, None, listed)))
        micro, in_all = chance.choice((1, 2, 3)), chance.choice((12, 30, 48))
        expected = broken(layout, sizes, 4096, micro, in_all)
        seen.update(expected)
        assert {rule.part for rule in rules(layout, sizes, 4096, micro, in_all) if not rule.holds} == expected
    assert {"tp", "pp", "vpp", "cp", "ep", "dp", "shard", "zero", "etp", "stages"} == set(seen)


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (Layout(pp=2, n_virtual_stages=3, stage_layers=(1, 1, 1, 1, 2)), "has 5 numbers; the layout has 6 stages"),
        (Layout(pp=3, stage_layers=(4, 0, 2)), "has a stage of `0` layers"),
        (Layout(pp=3, stage_layers=(1, 2, 4)), "adds up to 7 layers; the model has 6"),
        (Layout(pp=3, n_virtual_stages=3), "pp 3 times vpp 3 is more stages than the 6 layers"),
        (Layout(dp=5), "a global batch of 24 sequences is not a whole number of micro-batches of 2 on dp 5"),
        (Layout(dp=12, cp=2, n_shards=7, zero_stage=1), "shard 7 does not divide the 24 ranks of dp and cp"),
        (Layout(tp=8), "tp 8 does not divide the 12 attention heads"),
    ],
)
def test_a_refusal_says_the_numbers_of_the_rule(layout: Layout, said: str):
    with pytest.raises(ScaleplanError) as refused:
        check_layout(layout, DENSE, 4096, 2, 24)
    assert said in refused.value.report()


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (Layout(tp=2, cp=3, dp=5, ep=5), "`ep5` must divide the 12 experts, and the 30 ranks of dp, cp and tp"),
        (Layout(tp=2, cp=2, dp=2, ep=4, etp=4), "`ep4` times `etp4` does not divide the 8 ranks"),
        (Layout(tp=2, cp=2, dp=3, etp=3), "`etp3` does not divide the experts' width 40"),
    ],
)
def test_a_refusal_of_experts_says_the_numbers_of_the_rule(layout: Layout, said: str):
    with pytest.raises(ScaleplanError) as refused:
        check_layout(layout, ROUTED, 4096, 1, 30)
    assert said in refused.value.report()


def test_stages_of_virtual_ranks_may_hold_table_and_head_alone():
    """6 layers, the table and the head are on 8 stages at most: 4 ranks of 2; 3 ranks of 3 are more."""
    check_layout(Layout(pp=4, n_virtual_stages=2), DENSE, 4096, 1, 4)
    with pytest.raises(ScaleplanError, match="more stages"):
        check_layout(Layout(pp=3, n_virtual_stages=3), DENSE, 4096, 1, 3)
