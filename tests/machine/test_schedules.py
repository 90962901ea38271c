"""Closed forms of pipeline schedules against the schedules themselves, run operation by operation."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.errors import InputError
from scaleplan.machine.layout import Layout
from scaleplan.machine.schedule_order import orders
from scaleplan.machine.schedules import SCHEDULES, PassTimes, Schedule, bubble_s, in_flight, staged
from scaleplan.machine.timeline import Timeline, chrome_trace, even, of_stages, run_schedule

seconds = st.floats(0.2, 3.0, allow_nan=False)


def chunks_of(schedule: str, vpp: int) -> int:
    """Stages that a rank runs micro-batches through in one direction."""
    return 2 if schedule == "zbv" else vpp


def enough(schedule: str, pp: int, more: int) -> int:
    """A number of micro-batches that the schedule takes and that fills the pipeline."""
    if schedule == "interleaved":
        return pp * (1 + more)
    if schedule == "dualpipe":
        return 2 * (pp + more)
    return (2 * pp - 1 if schedule == "zbv" else pp) + more


def run(schedule: Schedule, pp: int, vpp: int, m: int, passes: PassTimes) -> Timeline:
    return run_schedule(schedule, pp, vpp, m, even(passes, chunks_of(schedule, vpp)))


@pytest.mark.parametrize("schedule", SCHEDULES)
@settings(max_examples=60, deadline=None)
@given(
    half=st.integers(1, 4),
    odd=st.booleans(),
    vpp=st.integers(2, 3),
    more=st.integers(0, 9),
    f=seconds,
    b=seconds,
    w=seconds,
    hidden=st.floats(0, 1),
)
def test_bubble_is_what_the_schedule_run_op_by_op_takes_beyond_its_work(schedule, half, odd, vpp, more, f, b, w, hidden):
    """Any number of stages and micro-batches, any times of the three passes, any overlap of a pair that leaves its backward pass whole."""
    pp = 2 * half + (1 if odd and schedule != "dualpipe" else 0)
    vpp = vpp if schedule == "interleaved" else 1
    m = enough(schedule, pp, more)
    pair = max(b + w, f + b + w - hidden * min(f, b + w)) if schedule == "dualpipe" else None
    passes = PassTimes(f, b, w, pair)

    ran = run(schedule, pp, vpp, m, passes)

    assert ran.step_s == pytest.approx(m * passes.pair + bubble_s(schedule, pp, vpp, passes), rel=1e-9)


TIMES = [
    (1, 4, 4),
    (5, 1, 1),
    (1, 4, 1),
    (2, 3, 4),
    (3, 2, 4),
    (4, 1, 2),
    (4, 3, 0.5),
    (4.5, 4, 1),
    (1, 1, 1),
    (1, 2, 3),
    (3, 2, 1),
    (2, 2, 0.25),
    (8, 7, 2),
    (3, 2, 5),
]
"""Forward pass, gradients of inputs and of weights: each path that can bind a step binds one of them."""


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("times", TIMES, ids=str)
def test_a_step_is_its_micro_batches_and_the_path_that_binds(schedule, times):
    """Passes of very different lengths, without drawing, on 2, 4 and 6 ranks."""
    passes, vpp = PassTimes(*times), 3 if schedule == "interleaved" else 1
    for pp in (2, 4, 6):
        m = enough(schedule, pp, 2)
        assert run(schedule, pp, vpp, m, passes).step_s == pytest.approx(m * passes.pair + bubble_s(schedule, pp, vpp, passes), rel=1e-9)


@pytest.mark.parametrize("schedule", ["zb1p", "zbv", "dualpipe"])
def test_one_rank_has_no_bubble(schedule):
    """Whatever its passes take: there is nobody to wait for."""
    assert bubble_s(schedule, 1, 1, PassTimes(3.0, 5.0, 7.0)) == 0


def test_bubbles_of_uneven_passes_by_hand():
    """F 3, B 5, W 4 s on 6 ranks of 2 virtual stages: 5 x 12; half of it; 5 max(3 + 5 - 4, 3, 5)."""
    passes = PassTimes(3.0, 5.0, 4.0)

    assert (passes.backward, passes.both, passes.pair) == (9.0, 12.0, 12.0)
    assert passes._replace(overlapped=10.0).pair == 10.0
    assert bubble_s("gpipe", 6, 2, passes) == 60.0
    assert bubble_s("interleaved", 6, 2, passes) == bubble_s("1f1b", 6, 2, passes) == 30.0
    assert bubble_s("zb1p", 6, 1, passes) == 25.0


@pytest.mark.parametrize(
    ("schedule", "p", "v", "stage", "few", "many"),
    [
        ("gpipe", 6, 1, 2, (3, 3), (29, 29)),
        ("gpipe", 1, 1, 0, (3, 1), (29, 1)),
        ("gpipe", 6, 2, 2, (3, 6), (29, 58)),
        ("1f1b", 6, 1, 2, (3, 3), (29, 4)),
        ("interleaved", 6, 3, 2, (6, 18), (30, 2 * 3 + 2 * 6 + 1)),
        ("interleaved", 6, 3, 0, (6, 18), (30, 2 * 5 + 2 * 6 + 1)),
        ("zb1p", 6, 1, 2, (3, 3), (29, 6)),
        ("zbv", 6, 2, 2, (3, 6), (29, 12)),
        ("dualpipe", 6, 1, 2, (3, 3), (30, 7)),
        ("dualpipe", 6, 2, 2, (3, 6), (30, 14)),
    ],
)
def test_micro_batches_in_flight_by_hand(schedule, p, v, stage, few, many):
    """Of (micro-batches, expected): all of a few; p - i, 2 (p - i - 1) + (v - 1) p + 1, p on each of 1 or 2 stages, p + 1 of many."""
    for m, expected in (few, many):
        assert in_flight(stage, Layout(pp=p, n_virtual_stages=v), m, schedule) == expected


@pytest.mark.parametrize("schedule", SCHEDULES)
@settings(max_examples=40, deadline=None)
@given(half=st.integers(1, 4), vpp=st.integers(2, 3), more=st.integers(0, 9))
def test_micro_batches_in_flight_are_those_of_the_schedule_run_op_by_op(schedule, half, vpp, more):
    """The most on every rank; counted by stage, so a micro-batch on one of v stages counts once in v."""
    pp, vpp = 2 * half, vpp if schedule == "interleaved" else 1
    m = enough(schedule, pp, more)
    ran = run(schedule, pp, vpp, m, PassTimes(1, 1, 1))
    layout = Layout(pp=pp, n_virtual_stages=chunks_of(schedule, vpp))

    for rank in range(pp):
        assert ran.peak_held(rank) == in_flight(rank, layout, m, schedule)


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "zb1p"])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_fewer_micro_batches_than_stages_are_all_that_can_be_in_flight(schedule, m):
    ran = run(schedule, 4, 1, m, PassTimes(1, 1, 1))
    assert [ran.peak_held(rank) for rank in range(4)] == [in_flight(rank, Layout(pp=4), m, schedule) for rank in range(4)]


def test_published_bubbles():
    """1F1B (p-1)(F+B); interleaved that over v; ZB-H1 (p-1)(F+B-W); DualPipe (p/2-1)(F&B + B + W - 3W); F = B = W = 1, p = 8."""
    one = PassTimes(1, 1, 1)
    found = {schedule: bubble_s(schedule, 8, 2, one) for schedule in SCHEDULES}
    assert found == {"gpipe": 21, "1f1b": 10.5, "interleaved": 10.5, "zb1p": 7, "zbv": 3.5, "dualpipe": 6}


def test_every_pass_runs_once():
    """Each micro-batch goes forward and backward through every stage exactly once, whatever the schedule."""
    for schedule in SCHEDULES:
        pp, m = 4, 8
        stages = pp * (2 if schedule in ("interleaved", "zbv") else 1)
        virtual = staged(Layout(pp=pp), schedule).n_virtual_stages
        ops = [op for slots in orders(schedule, pp, virtual, m) for slot in slots for op in slot]
        assert len(ops) == len(set(ops))
        for kinds in (("forward",), ("backward", "input_gradient")):
            passed = [(op.stage, op.micro_batch) for op in ops if op.kind in kinds]
            assert sorted(passed) == [(stage, i) for stage in range(stages) for i in range(m)]
        split = {op[1:] for op in ops if op.kind == "input_gradient"}
        assert split == {op[1:] for op in ops if op.kind == "weight_gradient"}


def test_interleaving_has_two_virtual_stages_where_a_layout_names_none():
    """Where there is a pipeline, and no layout that names some is changed; the other schedules take none."""
    given = [
        (Layout(pp=4), "interleaved"),
        (Layout(pp=4, n_virtual_stages=3), "interleaved"),
        (Layout(), "interleaved"),
        (Layout(pp=4), "1f1b"),
    ]

    assert [staged(layout, schedule).n_virtual_stages for layout, schedule in given] == [2, 3, 1, 1]


def test_two_stages_are_a_pipeline_too():
    assert staged(Layout(pp=2), "interleaved").n_virtual_stages == 2


def test_a_slow_last_stage_is_waited_for_by_every_micro_batch():
    """Three stages of 1 and one of 2: m times the slowest, and the others once on the way there and back."""
    stages = [PassTimes(1, 1, 1)] * 3 + [PassTimes(2, 2, 2)]
    ran = run_schedule("1f1b", 4, 1, 8, of_stages(stages))
    assert ran.step_s == 8 * 6 + 3 * 3


def test_a_hop_is_waited_for_once_on_the_way_out_and_once_back_where_the_pipeline_fills():
    """GPipe with hops of 0.5 s: p - 1 hops forward, p - 1 hops back."""
    without, hopping = (run_schedule("gpipe", 4, 1, 6, even(PassTimes(1, 1, 1)), hop).step_s for hop in (0.0, 0.5))
    assert hopping == without + 2 * 3 * 0.5


@pytest.mark.parametrize(
    ("schedule", "pp", "vpp", "m"), [("interleaved", 4, 2, 6), ("zbv", 4, 1, 6), ("dualpipe", 3, 1, 12), ("dualpipe", 4, 1, 7)]
)
def test_what_a_schedule_cannot_run_is_refused(schedule, pp, vpp, m):
    with pytest.raises(InputError, match=str(m)):
        orders(schedule, pp, vpp, m)


def test_a_trace_shows_every_operation_and_the_memory_over_time():
    """A bar for each operation in microseconds; the counter peaks at what is in flight and ends where it began."""
    ran = run("1f1b", 4, 1, 6, PassTimes(1, 1, 1))
    trace = json.loads(json.dumps(chrome_trace(ran, [100.0] * 4, [10.0] * 4)))["traceEvents"]
    bars = [event for event in trace if event["ph"] == "X"]
    levels = [event["args"]["bytes"] for event in trace if event["ph"] == "C" and event["pid"] == 0]

    assert len(bars) == 4 * 6 * 2
    assert max(bar["ts"] + bar["dur"] for bar in bars) == pytest.approx(1e6 * ran.step_s)
    assert max(levels) == 140 and levels[0] == levels[-1] == 100
