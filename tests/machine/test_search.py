"""The search: every candidate is counted once, what it ranks is what a plain loop over layouts ranks."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from scaleplan.chain.memory import Wishes, errors_of, pass_of, stack_named
from scaleplan.chain.step_time import device_named, efficiency_of, kernels_of
from scaleplan.errors import InputError
from scaleplan.machine.candidates import Space, degrees, enumerate_layouts, n_degrees
from scaleplan.machine.held import Formats
from scaleplan.machine.inverse import divisors
from scaleplan.machine.layer_time import Passes
from scaleplan.machine.layout import Layout, fixed_sizes, rules
from scaleplan.machine.ledger import COLUMNS, HEADING
from scaleplan.machine.recipe import optimizer_named
from scaleplan.machine.scaling import Point, fewest, pareto, scaling
from scaleplan.machine.search import Constraint, recommended, search
from scaleplan.machine.step_time import Step
from scaleplan.machine.training_run import Machine, Row, Run, explained
from scaleplan.model.bill import bill_of
from scaleplan.model.shape import arch_of_shape

WORDS = {"n_layers": 8, "d_model": 2048, "n_heads": 16, "n_kv_heads": 8, "d_ff": 8192, "n_vocab": 32000, "gated": True, "norm": "rms"}
EXPERTS = {"n_experts": 8, "n_experts_per_token": 2, "d_ff_expert": 4096}


def run(n_devices: int = 16, batch: int = 32, seq_len: int = 4096, **words: object) -> Run:
    """A small model on H100s, bf16, with Megatron Core."""
    stack, device = stack_named("mcore24"), device_named("h100-sxm")
    kernels = kernels_of(device, efficiency_of(device, "mcore24"), "bf16-mixed", "flash")
    machine = Machine(
        kernels,
        stack,
        Formats(stack.precision("bf16-mixed"), optimizer_named("adamw")),
        lambda recompute: pass_of(Wishes(attention="flash", recompute=recompute), stack)._replace(one_sequence=False),
        errors_of("mcore24"),
    )
    return Run(bill_of(arch_of_shape({**WORDS, **words})), Space(n_devices, seq_len, batch), machine)


def test_every_candidate_fits_or_fell_for_one_reason():
    """The counts add up, for a dense model and for experts."""
    for asked in (run(), run(**EXPERTS)):
        found, _ = search(asked)

        assert found.n_fitting + sum(found.rejected.values()) == found.n_considered
        assert found.n_fitting > 0 and all(found.rejected.values())


@pytest.mark.parametrize("words", [{}, EXPERTS])
def test_a_ledger_has_every_candidate_once(words: dict):
    """Its reasons are the counts of the search; no two rows are alike."""
    found, rows = search(run(n_devices=8, batch=16, **words))
    listed = [dict(zip(HEADING, row, strict=True)) for row in rows]

    assert len(listed) == found.n_considered
    counts = Counter(row["reason"] for row in listed)
    assert counts.pop("") == found.n_fitting
    assert counts == found.rejected
    assert len({tuple(row[name] for name in COLUMNS) for row in listed}) == len(listed)


def test_the_search_finds_what_a_loop_over_layouts_finds():
    """Each degree by itself, each layout priced alone: the same fastest step, the same number that fit."""
    asked = run()
    space, sizes = asked.space, fixed_sizes(asked.bill.arch)
    steps = []
    for tp, pp, cp, vpp, micro in product(*[divisors(16)] * 3, divisors(8), divisors(32)):
        if 16 % (tp * pp * cp):
            continue
        dp = 16 // (tp * pp * cp)
        for zero, sequence, how in product((0, 1, 2, 3), (False, True), ("none", "per-op", "full")):
            layout = Layout(tp, pp, cp, dp, 1, vpp, zero, sequence)
            rounds = space.global_batch_size_seqs / (dp * micro)
            skipped = (zero and dp * cp == 1) or (sequence and tp == 1) or (vpp > 1 and (8 % (pp * vpp) or rounds % pp))
            if skipped or not all(rule.holds for rule in rules(layout, sizes, 4096, micro, 32)):
                continue
            row = explained(asked, layout, Step(micro, 4096, int(rounds), Passes(how)))
            if row.fits:
                steps.append(row.step_s)
    found, _ = search(asked, top=20)

    assert found.n_fitting == len(steps)
    assert [row.step_s for row in found.ranked] == pytest.approx(sorted(steps)[:20], rel=1e-9)


def test_hybrid_sharding_is_searched_where_there_are_groups():
    """ZeRO 3 inside each group of devices that divides the ranks, each layout priced alone: the same steps, the same number that fit."""
    plain, asked = run(), run()
    asked = asked._replace(space=asked.space._replace(shard_groups=(4, 8)))
    more = []
    for tp, pp, cp, vpp, micro in product(*[divisors(16)] * 3, divisors(8), divisors(32)):
        dp, rounds = 16 // (tp * pp * cp), 32 // max(1, 16 // (tp * pp * cp) * micro)
        illegal = 16 % (tp * pp * cp) or (vpp > 1 and (8 % (pp * vpp) or rounds % pp))
        for group, sequence, how in product((4, 8), (False, True), ("none", "per-op", "full")):
            shards = group // tp
            if illegal or shards < 2 or shards % cp or shards >= dp * cp or (dp * cp) % shards or (sequence and tp == 1):
                continue
            layout = Layout(tp, pp, cp, dp, 1, vpp, 3, sequence, shards)
            if all(rule.holds for rule in rules(layout, fixed_sizes(asked.bill.arch), 4096, micro, 32)):
                row = explained(asked, layout, Step(micro, 4096, rounds, Passes(how)))
                more += [row.step_s] if row.fits else []
    found, rows = search(asked, constraints=[Constraint("hybrid", "n_shards", lambda shards: shards > 0)], top=20)

    assert found.n_fitting == len(more)
    assert [row.step_s for row in found.ranked] == pytest.approx(sorted(more)[:20], rel=1e-9)
    assert search(asked)[0].n_fitting == search(plain)[0].n_fitting + len(more)
    assert found.n_fitting + sum(found.rejected.values()) == found.n_considered == sum(1 for _ in rows)


def test_conditions_are_kept_and_counted():
    """What breaks them is rejected by their text."""
    conditions = [Constraint("tp=2", "tp", lambda tp: tp == 2), Constraint("pp<=2", "pp", lambda pp: pp <= 2)]
    found, _ = search(run(), constraints=conditions)

    assert all(row.layout.tp == 2 and row.layout.pp <= 2 for row in found.ranked)
    assert found.rejected["tp=2"] > 0 and found.rejected["pp<=2"] > 0
    assert found.n_fitting + sum(found.rejected.values()) == found.n_considered


def test_a_search_that_is_stopped_has_the_best_so_far():
    """A true answer of the progress callback ends it; the rest is counted as not priced."""
    seen: list[tuple[int, int]] = []
    found, _ = search(run(), progress=lambda done, total: bool(seen.append((done, total))) or True)

    assert len(seen) == 1
    assert found.rejected["not priced: stopped"] == seen[0][1] - seen[0][0]
    assert found.n_fitting + sum(found.rejected.values()) == found.n_considered


def test_a_million_candidates_for_gpt_3():
    """512 devices and 1,536 sequences: degrees x micro-batches x virtual stages x ZeRO x sequence parallel x recomputation."""
    arch = arch_of_shape({"n_layers": 96, "d_model": 12288, "n_heads": 96, "n_vocab": 51200, "gated": False, "n_positions": 2048})

    assert enumerate_layouts(Space(512, 2048, 1536), fixed_sizes(arch)).n_considered > 1_000_000


@pytest.mark.parametrize("n", [1, 2, 8, 30, 36, 97, 512, 1440, 2**9 * 7])
def test_degrees_are_counted_without_being_listed(n):
    """Every (tp, pp, cp, dp) with this product: as many as the list has."""
    listed = degrees(n)

    assert n_degrees(n) == len(listed) == len(set(listed))
    assert all(tp * pp * cp * dp == n for tp, pp, cp, dp in listed)


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_layouts_are_the_same_however_many_are_looked_at_together(monkeypatch, at_once):
    """Legal ones in the same order, the others as often by each rule."""
    arch = arch_of_shape({"n_layers": 12, "d_model": 512, "n_heads": 8, "n_vocab": 1000, "gated": False, "n_positions": 2048})
    space = Space(48, 2048, 24)
    together = enumerate_layouts(space, fixed_sizes(arch))
    monkeypatch.setattr("scaleplan.machine.candidates.SHAPES_AT_ONCE", at_once)
    apart = enumerate_layouts(space, fixed_sizes(arch))

    assert apart.n_shapes.tolist() == together.n_shapes.tolist() and apart.reasons == together.reasons
    assert all((a == b).all() for a, b in zip(apart.shapes, together.shapes, strict=True))
    assert sum(some.n for some in apart.illegal()) == (apart.n_shapes[1:].sum()) * len(apart.choices)


def test_more_layouts_than_can_be_searched_are_refused_before_they_are_listed():
    """8,648,640 devices have 448 divisors."""
    arch = arch_of_shape({"n_layers": 60, "d_model": 512, "n_heads": 8, "n_vocab": 1000, "gated": False, "n_positions": 2048})

    with pytest.raises(InputError, match="are searched"):
        enumerate_layouts(Space(8_648_640, 2048, 1536), fixed_sizes(arch))


def test_a_count_that_no_cluster_has_is_refused_at_once():
    """The divisors of a number of sixty digits would take longer than anybody waits."""
    assert divisors(999_999_999_989) == [1, 999_999_999_989]  # the largest prime below 10^12
    with pytest.raises(InputError, match="too large to be divided"):
        divisors(10**60 - 1)


@pytest.mark.parametrize("n", [1, 2, 12, 97, 360, 961, 2**9 * 7])
def test_divisors_are_those_that_leave_no_rest(n):
    assert divisors(n) == [d for d in range(1, n + 1) if n % d == 0]


def test_where_nothing_fits_the_closest_is_told():
    """175B parameters on eight H100s: no layout fits; none needs less than the one that is named."""
    found, rows = search(run(n_devices=8, batch=8, n_layers=96, d_model=12288, n_heads=96, n_kv_heads=96, d_ff=32768))
    peaks = [row[HEADING.index("peak_bytes")] for row in rows]

    assert found.ranked == [] and found.n_fitting == 0
    assert found.closest is not None and not found.closest.fits
    assert found.closest.peak_bytes == min(peak for peak in peaks if peak)


def test_memory_that_is_sure_goes_before_two_percent_of_speed():
    """Of 1.00 s unsure and 1.01 s sure the second is recommended; of 1.03 s sure the first."""
    base = search(run())[0].ranked[0]

    def rows(*given: tuple[float, str]) -> list[Row]:
        return [base._replace(step_s=step, verdict=word) for step, word in given]

    assert recommended(rows((1.0, "unsure"), (1.01, "fits"))).step_s == 1.01
    assert recommended(rows((1.0, "unsure"), (1.03, "fits"))).step_s == 1.0
    assert recommended([]) is None


def test_fewest_devices_for_a_deadline():
    """One step fewer would be late: counted by trying every number of nodes."""
    row = search(run())[0].ranked[0]
    steps = {8: 4.0, 16: 2.2, 24: 1.6, 32: 1.3}

    def best(n: int) -> Row:
        return row._replace(step_s=steps[n])

    found = fewest(best, [32, 16, 8, 24], n_steps=100, deadline_s=170, least_device_s=8 * 150)
    assert found is not None and (found.n_devices, found.wall_s) == (24, 160.0)
    assert fewest(best, steps, n_steps=100, deadline_s=1, least_device_s=1) is None
    stopped = fewest(best, steps, n_steps=100, deadline_s=170, least_device_s=1, goodput=lambda n: 0.9 if n < 32 else 0.8)
    assert stopped is not None and (stopped.n_devices, stopped.wall_s) == (32, pytest.approx(130 / 0.8))


def test_adding_devices_stops_paying_where_half_of_them_are_lost():
    """Doubling that gains less than a factor of 2 ** 0.5 does not pay."""
    row = search(run())[0].ranked[0]
    times = {8: 8.0, 16: 4.2, 32: 2.4, 64: 1.9}
    points = [Point(n, row, wall_s) for n, wall_s in times.items()]

    assert scaling(points).stops_paying == 32
    assert [point.device_hours for point in points] == pytest.approx([n * t / 3600 for n, t in times.items()])
    assert isinstance(points[0], Point)


def test_two_points_of_one_count_are_judged_by_the_faster():
    """A count that is given twice with other layouts is one step of the scaling."""
    row = search(run())[0].ranked[0]
    points = [Point(n, row, seconds) for n, seconds in ((8, 8.0), (16, 9.0), (16, 4.2), (32, 2.4), (64, 1.9), (64, 1.9))]
    assert scaling(points).stops_paying == 32


def test_the_front_is_what_no_other_point_beats():
    """Time and devices: 3 s on 8 is beaten by 2 s on 8."""
    assert pareto([(4.0, 4), (2.0, 8), (3.0, 8), (1.9, 16)]) == [0, 1, 3]
