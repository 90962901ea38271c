"""Schedules run operation by operation, by hand: when each pass starts, what is held, and the trace of it."""

from __future__ import annotations

import pytest

from scaleplan.machine.schedule_order import Op, Slot
from scaleplan.machine.schedules import PassTimes
from scaleplan.machine.timeline import Event, Timeline, chrome_trace, even, of_stages, run_schedule, simulate

PASSES = PassTimes(3.0, 5.0, 7.0)
FORWARD, WHOLE = 3.0, 12.0


def spans(timeline: Timeline, rank: int) -> list[tuple[float, float]]:
    return [(event.start_s, event.end_s) for event in timeline.ranks[rank]]


def test_two_micro_batches_on_two_ranks_by_hand():
    """1F1B, forward 3 s, backward 12 s, hops of 0.25 s: rank 1 waits for each forward pass, rank 0 for each backward pass.

    rank 0   F0 0-3    F1 3-6                    B0 18.5-30.5           B1 33.5-45.5
    rank 1   F0 3.25-6.25  B0 6.25-18.25  F1 18.25-21.25  B1 21.25-33.25
    """
    ran = run_schedule("1f1b", 2, 1, 2, even(PASSES), hop_s=0.25)

    assert spans(ran, 0) == [(0.0, 3.0), (3.0, 6.0), (18.5, 30.5), (33.5, 45.5)]
    assert spans(ran, 1) == [(3.25, 6.25), (6.25, 18.25), (18.25, 21.25), (21.25, 33.25)]
    assert ran.step_s == 45.5


def test_a_step_ends_with_its_last_rank():
    """Whichever rank that is."""
    op = (Op("forward", 0, 0),)
    assert Timeline(((Event(0, op, 0.0, 4.0), Event(0, op, 4.0, 9.0)), (Event(1, op, 1.0, 7.0),))).step_s == 9.0
    assert Timeline(((Event(0, op, 0.0, 4.0),), (Event(1, op, 1.0, 7.0), Event(1, op, 8.0, 11.0)))).step_s == 11.0


def test_gradients_of_weights_apart_wait_for_those_of_inputs_only():
    """ZB-H1 on two ranks, one micro-batch: F 0-3 | F 3-6, B 6-11, W 11-18 | B 11-16, W 16-23: rank 0 does not wait for rank 1's W."""
    ran = run_schedule("zb1p", 2, 1, 1, even(PASSES))

    assert spans(ran, 0) == [(0.0, 3.0), (11.0, 16.0), (16.0, 23.0)]
    assert spans(ran, 1) == [(3.0, 6.0), (6.0, 11.0), (11.0, 18.0)]


def test_virtual_stages_share_the_time_of_their_rank():
    """Two stages of a rank take half each: F0 1.5 s through four stages, back 6 s each."""
    ran = run_schedule("interleaved", 2, 2, 2, even(PASSES, 2))

    assert spans(ran, 0)[:3] == [(0.0, 1.5), (1.5, 3.0), (3.0, 4.5)]
    assert ran.step_s == pytest.approx(2 * (FORWARD + WHOLE) + (FORWARD + WHOLE) / 2)


def test_unequal_stages_take_their_own_time():
    """Stage 0 takes 3 and 12 s, stage 1 2 and 8 s: one micro-batch there and back takes 3 + 2 + 8 + 12."""
    ran = run_schedule("1f1b", 2, 1, 1, of_stages([PASSES, PassTimes(2.0, 3.0, 5.0)]))

    assert spans(ran, 0) == [(0.0, 3.0), (13.0, 25.0)]
    assert spans(ran, 1) == [(3.0, 5.0), (5.0, 13.0)]


@pytest.mark.parametrize(
    ("overlapped", "seconds"), [((None, None), (15.0 + 10.0) / 2), ((13.0, None), (13.0 + 10.0) / 2), ((13.0, 9.0), 11.0)]
)
def test_passes_that_run_together_take_the_mean_of_their_stages(overlapped: tuple[float | None, float | None], seconds: float):
    """Half of a pair on each of the two stages: forward and backward one after the other, or what was measured of them together."""
    stages = [PASSES._replace(overlapped=overlapped[0]), PassTimes(2.0, 3.0, 5.0, overlapped[1])]
    pair: Slot = (Op("forward", 0, 4), Op("backward", 1, 2))

    assert of_stages(stages)(pair) == pytest.approx(seconds, rel=1e-12)
    assert even(PASSES._replace(overlapped=11.0), 2)(pair) == pytest.approx(5.5)
    assert [even(PASSES)((Op(kind, 1, 0),)) for kind in ("forward", "backward", "input_gradient", "weight_gradient")] == [3, 12, 5, 7]


def test_a_pair_starts_when_both_of_its_passes_can():
    """Rank 0 runs F0 of its own stage beside B0 of rank 1's, which is there after 6 s and a hop."""
    order = [
        [(Op("forward", 0, 0),), (Op("forward", 0, 1), Op("backward", 0, 0)), (Op("backward", 0, 1),)],
        [(Op("forward", 1, 0),), (Op("backward", 1, 0),), (Op("forward", 1, 1),), (Op("backward", 1, 1),)],
    ]
    ran = simulate(order, lambda slot: 4.0 if len(slot) > 1 else 3.0, hop_s=0.5)

    assert spans(ran, 0) == [(0.0, 3.0), (10.0, 14.0), (21.0, 24.0)]
    assert spans(ran, 1) == [(3.5, 6.5), (6.5, 9.5), (14.5, 17.5), (17.5, 20.5)]


def test_an_order_that_waits_for_itself_is_our_mistake():
    with pytest.raises(AssertionError, match="deadlocks"):
        simulate([[(Op("backward", 0, 0),), (Op("forward", 0, 0),)]], lambda slot: 1.0)


def test_a_micro_batch_is_held_from_its_forward_pass_to_its_last_backward_pass():
    """1F1B on rank 0 of two, as above: 1 from 0 s, 2 from 3 s, 1 from 30.5 s, none from 45.5 s; with gradients apart until the weights'."""
    ran = run_schedule("1f1b", 2, 1, 2, even(PASSES), hop_s=0.25)
    assert list(ran.held(0)) == [(0.0, 1), (3.0, 2), (30.5, 1), (45.5, 0)]
    assert (ran.peak_held(0), ran.peak_held(1)) == (2, 1)

    apart = run_schedule("zb1p", 2, 1, 1, even(PASSES))
    assert list(apart.held(0)) == [(0.0, 1), (23.0, 0)]
    whole = Timeline(((Event(0, (Op("forward", 0, 0),), 1.0, 2.0), Event(0, (Op("input_gradient", 0, 0),), 5.0, 7.0)),))
    assert list(whole.held(0)) == [(1.0, 1), (7.0, 0)]


def test_a_pair_lets_go_of_one_and_takes_another():
    """From its start both are held, from its end one."""
    pair = (Op("forward", 1, 1), Op("backward", 0, 0))
    ran = Timeline(((Event(0, (Op("forward", 0, 0),), 0.0, 2.0), Event(0, pair, 3.0, 8.0)),))

    assert list(ran.held(0)) == [(0.0, 1), (3.0, 2), (8.0, 1)]


def test_a_trace_in_microseconds_with_bytes_by_hand():
    """Rank 0 of 1F1B above: 500 bytes that stay and 30 for each micro-batch; a bar has its stage, micro-batch, start and duration."""
    ran = run_schedule("1f1b", 2, 1, 2, even(PASSES), hop_s=0.25)
    events = chrome_trace(ran, [500.0, 900.0], [30.0, 70.0])["traceEvents"]
    levels = {rank: [(e["ts"], e["args"]["bytes"]) for e in events if e["ph"] == "C" and e["pid"] == rank] for rank in (0, 1)}
    bars = [(e["name"], e["tid"], e["ts"], e["dur"], e["args"]) for e in events if e["ph"] == "X" and e["pid"] == 0]

    assert levels[0] == [(0, 500), (0, 530), (3e6, 560), (30.5e6, 530), (45.5e6, 500)]
    assert levels[1] == [(0, 900), (3.25e6, 970), (18.25e6, 900), (18.25e6, 970), (33.25e6, 900)]
    assert bars[1] == ("forward 1", "compute", 3e6, 3e6, {"stage": 0, "micro_batch": 1})
    assert bars[2] == ("backward 0", "compute", 18.5e6, 12e6, {"stage": 0, "micro_batch": 0})
    assert [e["args"]["name"] for e in events if e["ph"] == "M"] == ["pipeline rank 0", "pipeline rank 1"]


def test_passes_that_run_together_are_two_bars_in_rows_of_their_own():
    pair = (Op("forward", 1, 1), Op("backward", 0, 0))
    events = chrome_trace(Timeline(((Event(0, (Op("forward", 0, 0),), 0.0, 2.0), Event(0, pair, 3.0, 8.0)),)), [0.0], [1.0])["traceEvents"]
    bars = [(e["cat"], e["tid"], e["ts"], e["dur"]) for e in events if e["ph"] == "X"]

    assert bars == [("forward", "compute", 0.0, 2e6), ("forward", "forward", 3e6, 5e6), ("backward", "backward", 3e6, 5e6)]
