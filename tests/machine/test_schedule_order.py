"""Orders of pipeline schedules against those drawn in the papers, and the counts that a schedule takes."""

from __future__ import annotations

from itertools import product

import pytest

from scaleplan.errors import InputError
from scaleplan.machine.schedule_order import Op, Slot, orders
from scaleplan.machine.schedules import SCHEDULES, PassTimes, Schedule
from scaleplan.machine.timeline import even, run_schedule

LETTERS = {"forward": "F", "backward": "B", "input_gradient": "B", "weight_gradient": "W"}


def drawn(slots: list[Slot], pp: int, *, chunks: bool = False) -> str:
    """As papers draw a rank: F forward, B backward (of the inputs where W, of the weights, is apart); a quote: its second stage."""
    return " ".join(
        "+".join(f"{LETTERS[op.kind]}{op.micro_batch}{chr(39) if chunks and op.stage >= pp else ''}" for op in slot) for slot in slots
    )


@pytest.mark.parametrize(
    ("rank", "order"),
    [
        (0, "F0 F1 F2 F3 B0 F4 B1 B2 B3 B4"),
        (1, "F0 F1 F2 B0 F3 B1 F4 B2 B3 B4"),
        (2, "F0 F1 B0 F2 B1 F3 B2 F4 B3 B4"),
        (3, "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4"),
    ],
)
def test_one_forward_one_backward_is_as_drawn(rank: int, order: str):
    """narayanan2021 figure 4 (top): p - 1 - i forward passes, then pairs, then the backward passes that are left."""
    assert drawn(orders("1f1b", 4, 1, 5)[rank], 4) == order
    assert {op.stage for slot in orders("1f1b", 4, 1, 5)[rank] for op in slot} == {rank}


@pytest.mark.parametrize(
    ("rank", "order"),
    [
        (0, "F0 F1 F0' F1' F2 B0' F3 B1' F2' B0 F3' B1 B2' B3' B2 B3"),
        (1, "F0 F1 F0' B0' F1' B1' F2 B0 F3 B1 F2' B2' F3' B3' B2 B3"),
    ],
)
def test_interleaved_stages_are_as_drawn(rank: int, order: str):
    """narayanan2021 figure 4 (bottom), on two ranks of two stages: rounds of two micro-batches, 2 (p - i - 1) + (v - 1) p passes ahead."""
    assert drawn(orders("interleaved", 2, 2, 4)[rank], 2, chunks=True) == order
    assert drawn(orders("1f1b", 2, 2, 4)[rank], 2, chunks=True) == order


@pytest.mark.parametrize(
    ("rank", "order"),
    [
        (0, "F0 F1 F2 B0 W0 F3 B1 W1 F4 B2 W2 B3 W3 B4 W4"),
        (1, "F0 F1 B0 F2 B1 W0 F3 B2 W1 F4 B3 W2 B4 W3 W4"),
        (2, "F0 B0 F1 B1 F2 B2 W0 F3 B3 W1 F4 B4 W2 W3 W4"),
    ],
)
def test_gradients_of_weights_wait_as_drawn(rank: int, order: str):
    """qi2024 figure 2 (ZB-H1): 1F1B in which rank i computes the gradients of the weights i micro-batches later."""
    assert drawn(orders("zb1p", 3, 1, 5)[rank], 3) == order


@pytest.mark.parametrize(
    ("schedule", "pp", "vpp", "fewest", "refused"),
    [
        ("zbv", 5, 1, 9, (8, 3)),
        ("dualpipe", 6, 1, 12, (11, 10, 6, 2)),
        ("interleaved", 5, 3, 5, (4, 6, 7)),
        ("1f1b", 5, 3, 5, (4, 6, 7)),
        ("1f1b", 5, 1, 1, ()),
        ("gpipe", 5, 1, 1, ()),
        ("zb1p", 5, 1, 1, ()),
    ],
)
def test_the_fewest_micro_batches_of_a_schedule(schedule: Schedule, pp: int, vpp: int, fewest: int, refused: tuple[int, ...]):
    """2p - 1 of ZBV and an even 2p of DualPipe, which fill both ways of the pipeline; whole rounds of p of an interleaved schedule."""
    assert len(orders(schedule, pp, vpp, fewest)) == pp
    for m in refused:
        with pytest.raises(InputError, match=f"there are {m}$"):
            orders(schedule, pp, vpp, m)


def test_dualpipe_runs_on_an_even_number_of_ranks():
    """Half of the micro-batches enter at each end, and ranks come in pairs."""
    assert len(orders("dualpipe", 4, 1, 8)) == 4
    with pytest.raises(InputError, match="even pp"):
        orders("dualpipe", 5, 1, 12)


SIZES = [(2, 4), (2, 8), (4, 8), (4, 16), (6, 12), (8, 32)]
"""Ranks and micro-batches that every schedule takes."""


def ops(schedule: Schedule, pp: int, m: int) -> list[list[Op]]:
    return [[op for slot in slots for op in slot] for slots in orders(schedule, pp, 2 if schedule == "interleaved" else 1, m)]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("pp", "m"), SIZES)
def test_each_micro_batch_passes_each_stage_once_each_way(schedule: Schedule, pp: int, m: int):
    """Forward, backward of the inputs, of the weights (with it, or apart and after it); V-shaped and interleaved ranks have two stages."""
    listed = ops(schedule, pp, m)
    stages = range(pp * (2 if schedule in ("interleaved", "zbv") else 1))
    every = sorted(product(stages, range(m)))
    kinds = {kind: sorted(op[1:] for rank in listed for op in rank if op.kind == kind) for kind in LETTERS}

    assert kinds["forward"] == sorted(kinds["backward"] + kinds["input_gradient"]) == every
    assert kinds["input_gradient"] == kinds["weight_gradient"]
    for rank in listed:
        place = {op: number for number, op in enumerate(rank)}
        assert all(place[op] > place[Op("input_gradient", *op[1:])] for op in rank if op.kind == "weight_gradient")
        assert all(place[op] > place[Op("forward", *op[1:])] for op in rank if op.kind in ("backward", "input_gradient"))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_step_of_equal_passes_takes_what_is_published(schedule: Schedule):
    """Beyond the passes of m micro-batches, of 1 s each: the bubbles of the papers.

    GPipe and 1F1B 3 (p - 1), interleaved half of it (narayanan2021); ZB-H1 p - 1, ZBV none but that ranks start up to (p - 1) / 2 late
    (qi2024); DualPipe (p / 2 - 1) (2 + 2 - 3) of pairs that take 3 (dualpipe).
    """
    virtual = 2 if schedule == "interleaved" else 1
    seconds = even(PassTimes(1.0, 1.0, 1.0), 2 if schedule in ("interleaved", "zbv") else 1)
    for pp, m in SIZES:
        bubble = {"gpipe": 3 * (pp - 1), "1f1b": 3 * (pp - 1), "interleaved": 1.5 * (pp - 1), "zb1p": pp - 1, "zbv": (pp - 1) / 2}
        bubble["dualpipe"] = (pp / 2 - 1) * (3 + 2 - 3)
        assert run_schedule(schedule, pp, virtual, m, seconds).step_s == pytest.approx(3 * m + bubble[schedule])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("pp", "m"), SIZES[:5])
def test_ranks_hold_what_is_published(schedule: Schedule, pp: int, m: int):
    """GPipe all m; 1F1B p - i; ZB-H1 p on every rank; ZBV p of its two stages each; DualPipe p + 1 (README); interleaved 3 p - 2 i - 1."""
    held = {
        "gpipe": [m] * pp,
        "1f1b": [pp - rank for rank in range(pp)],
        "interleaved": [3 * pp - 2 * rank - 1 for rank in range(pp)],
        "zb1p": [pp] * pp,
        "zbv": [2 * pp] * pp,
        "dualpipe": [pp + 1] * pp,
    }
    ran = run_schedule(schedule, pp, 2 if schedule == "interleaved" else 1, m, even(PassTimes(1.0, 1.0, 1.0)))

    assert [ran.peak_held(rank) for rank in range(pp)] == held[schedule]


@pytest.mark.parametrize(("pp", "m"), SIZES)
def test_half_of_the_last_passes_of_dualpipe_are_split(pp: int, m: int):
    """dualpipe: rank i runs i + 1 whole backward passes and i + 1 split ones, W and B in turn, and the i + 1 W that are left."""
    for near, slots in enumerate(orders("dualpipe", pp, 1, m)[: pp // 2]):
        order = drawn(slots, pp).split()
        back = [f"{slot[0]}w" if slot[0] == "B" and f"W{slot[1:]}" in order else slot[0] for slot in order if "F" not in slot]
        alternating = ["W", "Bw"] * (pp // 2 - near - 1)

        assert back[-3 * (near + 1) - len(alternating) :] == ["B"] * (near + 1) + ["Bw"] * (near + 1) + alternating + ["W"] * (near + 1)


@pytest.mark.parametrize(("pp", "m"), [(2, 4), (2, 6), (4, 8), (6, 20), (8, 20)])
def test_the_ends_of_dualpipe_mirror_each_other(pp: int, m: int):
    """Rank i does to one half of the micro-batches what rank p - 1 - i does to the other, the stages counted from its own end."""

    def mirrored(slots: list[Slot]) -> list[Slot]:
        return [tuple(op._replace(micro_batch=(op.micro_batch + m // 2) % m) for op in slot) for slot in slots]

    ranks = orders("dualpipe", pp, 1, m)
    assert ranks == [mirrored(slots) for slots in reversed(ranks)]
    assert all(
        op.stage == (rank if op.micro_batch < m // 2 else pp - 1 - rank)
        for rank, slots in enumerate(ranks)
        for slot in slots
        for op in slot
    )
