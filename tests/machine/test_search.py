"""The search: every candidate is counted once, what it ranks is what a plain loop over layouts ranks."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from scaleplan.chain.memory import Wishes, errors_of, pass_of, stack_named
from scaleplan.chain.step_time import device_named, efficiency_of, kernels_of
from scaleplan.machine import search as rooms
from scaleplan.machine.activations import Batch
from scaleplan.machine.candidates import LEAST_FIRST, Candidates, How, Space, degrees
from scaleplan.machine.held import Formats
from scaleplan.machine.inverse import divisors
from scaleplan.machine.layer_time import Passes
from scaleplan.machine.layout import Layout, fixed_sizes, rules
from scaleplan.machine.ledger import COLUMNS, HEADING
from scaleplan.machine.memory import Phase, Training, stages
from scaleplan.machine.offload import OFFLOADS
from scaleplan.machine.recipe import optimizer_named
from scaleplan.machine.search import (
    Constraint,
    Peaks,
    Priced,
    batches,
    fastest,
    largest_part,
    peaks_of,
    recommended,
    recommended_of,
    search,
    times_of,
)
from scaleplan.machine.step_time import Step, step_time
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
    asked = run(n_devices=8, batch=8)
    space, sizes = asked.space, fixed_sizes(asked.bill.arch)
    steps = []
    for tp, pp, cp, vpp, micro in product(*[divisors(8)] * 3, divisors(8), divisors(8)):
        if 8 % (tp * pp * cp):
            continue
        dp = 8 // (tp * pp * cp)
        for zero, sequence, how in product((0, 1, 2, 3), (False, True), ("none", "per-op", "full")):
            layout = Layout(tp, pp, cp, dp, 1, vpp, zero, sequence)
            rounds = space.global_batch_size_seqs / (dp * micro)
            skipped = (zero and dp * cp == 1) or (sequence and tp == 1) or (vpp > 1 and (8 % (pp * vpp) or rounds % pp))
            if skipped or not all(rule.holds for rule in rules(layout, sizes, 4096, micro, 8)):
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


# ----------------------------------------------------------------------------------------------------------- parts of a search


def candidates_of(n: int, **words: object) -> Candidates:
    columns = {name: np.ones(n, dtype=np.int64) for name in Candidates._fields}
    columns |= {name: np.zeros(n, dtype=np.int64) for name in ("n_shards", "recompute", "offload", "reason", "zero_stage")}
    return Candidates(**columns | {"sequence_parallel": np.zeros(n, bool)} | {name: np.array(column) for name, column in words.items()})


def phase(name: str, *parts: list[int]) -> Phase:
    return Phase(name, *map(np.array, parts))


LOSS = phase("loss", [70, 5, 5, 1], [10, 60, 5, 1], [10, 5, 50, 1], [7, 7, 7, 9], [3, 3, 3, 1])
UPDATE = phase("update", [20, 20, 5, 1], [20, 20, 5, 1], [20, 20, 5, 1], [20, 20, 5, 1], [19, 21, 51, 9])


def test_the_largest_part_is_the_one_with_most_bytes():
    """Weights, gradients, optimizer, activations, other; of equal ones the first."""
    assert largest_part(LOSS, 4).tolist() == [0, 1, 2, 3]
    assert largest_part(UPDATE, 4).tolist() == [0, 4, 4, 4]


def test_the_peak_is_the_fullest_moment_of_the_fullest_stage(monkeypatch: pytest.MonkeyPatch):
    """Of 100, 80, 70, 13 bytes at the loss and 99, 101, 71, 13 at the update; of equal moments the first says what takes most."""
    for order in ([LOSS, UPDATE], [UPDATE, LOSS]):
        found = [SimpleNamespace(phases=order[:1]), SimpleNamespace(phases=order[1:])]
        monkeypatch.setattr(rooms, "stages", lambda bill, layout, training, found=found: found)
        peaks = peaks_of(run(), candidates_of(4), How())

        assert isinstance(peaks, Peaks)
        assert peaks.peak_bytes.tolist() == [100, 101, 71, 13]
        assert peaks.largest.tolist() == [0, 4, 4, 3 if order[0] is LOSS else 4]


@pytest.mark.parametrize("words", [{}, EXPERTS])
def test_seconds_of_many_are_those_of_each_alone(words: dict):
    """Candidates that differ in one column only: none takes the seconds of another."""
    asked = run(**words)
    degrees = [(1, 1, 1, 16, 1, 1), (2, 1, 1, 8, 1, 2), (4, 1, 2, 2, 1, 4), (2, 2, 2, 2, 1, 2), (1, 4, 2, 2, 1, 1)]
    degrees += [(2, 1, 1, 8, 2, 2), (2, 1, 1, 8, 2, 1), (2, 1, 1, 8, 8, 2)] if words else []
    cases = [(*d, micro, zero, sp and d[0] > 1) for d in degrees for micro in (1, 2) for zero in (0, 1, 3) for sp in (False, True)]
    names = ("tp", "pp", "cp", "dp", "ep", "etp", "micro_batch_size_seqs", "zero_stage", "sequence_parallel")
    some = candidates_of(len(cases), **dict(zip(names, map(list, zip(*cases, strict=True)), strict=True)))
    found = times_of(asked, some, How("full")).step_s

    for case, step_s in zip(cases, found.tolist(), strict=True):
        tp, pp, cp, dp, ep, etp, micro, zero, sp = case
        layout = Layout(tp, pp, cp, dp, ep, 1, zero, sp, None, None if etp == tp else etp)
        step = Step(micro, 4096, 32 // (dp * micro), Passes("full"))
        assert step_s == pytest.approx(float(step_time(asked.bill, layout, step, asked.machine.kernels).step_s), rel=1e-9)


def test_candidates_are_priced_by_recomputation_and_offload_some_at_a_time(monkeypatch: pytest.MonkeyPatch):
    """Every legal one once, with its own recomputation and offload, at most three in one pass."""
    monkeypatch.setattr(rooms, "AT_ONCE", 3)
    chance = random.Random(5)
    some = candidates_of(60, recompute=[chance.randrange(4) for _ in range(60)], offload=[chance.randrange(3) for _ in range(60)])
    legal = np.array([chance.random() < 0.8 for _ in range(60)])
    parts = list(batches(some, legal))

    assert sorted(place for _, places in parts for place in places.tolist()) == np.flatnonzero(legal).tolist()
    for how, places in parts:
        assert 1 <= len(places) <= 3
        assert {LEAST_FIRST[i] for i in some.recompute[places]} == {how.recompute}
        assert {OFFLOADS[i] for i in some.offload[places]} == {how.offload}
    assert len(parts) < 35


@pytest.mark.parametrize("top", [1, 2, 5, 9, 40])
@pytest.mark.parametrize("seed", range(3))
def test_the_fastest_are_the_first_of_a_sorted_list(top: int, seed: int):
    """By seconds, then by bytes, those that do not fit left out; many take the same time."""
    chance = random.Random(seed)
    steps = [chance.choice((2.0, 3.0, 3.0, 3.0, 5.0, math.inf)) for _ in range(37)]
    peaks = chance.sample(range(100, 900), 37)
    listed = sorted((step, peak, place) for place, (step, peak) in enumerate(zip(steps, peaks, strict=True)) if step < math.inf)

    assert fastest(Priced(candidates_of(37), np.array(peaks), np.array(steps)), top) == [place for *_, place in listed[:top]]


def test_of_nothing_that_fits_nothing_is_the_fastest():
    assert fastest(Priced(candidates_of(2), np.array([7, 9]), np.array([math.inf, math.inf])), 3) == []


def test_ten_layouts_are_ranked_where_no_number_is_given():
    """Tokens a second of a row of the ledger are those of the global batch on each device."""
    found, rows = search(run())
    first = dict(zip(HEADING, next(row for row in rows if row[HEADING.index("fits")]), strict=True))

    assert found.n_fitting > 20 and len(found.ranked) == 10
    assert first["tokens_per_s_per_device"] == pytest.approx(32 * 4096 / first["step_s"] / 16, rel=1e-12)


@pytest.mark.parametrize(("rank", "recommended_at"), [(2, 2), (19, 19), (20, 0)])
def test_twenty_of_the_fastest_are_looked_at_for_one_that_is_sure(monkeypatch: pytest.MonkeyPatch, rank: int, recommended_at: int):
    """All within 2 %, and one of them sure to fit: the 20th is found, the 21st is not; five are shown."""
    base = search(run())[0].ranked[0]
    priced = Priced(candidates_of(30, tp=list(range(30))), np.full(30, 7), np.linspace(1.0, 1.01, 30))

    def row_of(run: Run, one: Candidates) -> Row:
        place = int(one.tp[0])
        return base._replace(step_s=float(priced.step_s[place]), verdict="fits" if place == rank else "unsure", micro_batch_size_seqs=place)

    monkeypatch.setattr(rooms, "row_of", row_of)
    rows = [row_of(run(), candidates_of(1, tp=[place])) for place in range(5)]
    found = recommended_of(run(), priced, rows)
    assert found is not None and found.micro_batch_size_seqs == recommended_at


@pytest.mark.parametrize(("step_s", "chosen_s"), [(2.04, 2.04), (2.041, 2.0), (2.0, 2.0)])
def test_exactly_two_percent_is_within_two_percent(step_s: float, chosen_s: float):
    base = search(run())[0].ranked[0]
    rows = [base._replace(step_s=2.0, verdict="unsure"), base._replace(step_s=step_s, verdict="fits")]
    found = recommended(rows)

    assert found is not None and found.step_s == chosen_s
    assert recommended([rows[0], rows[0]._replace(step_s=2.03), rows[0]._replace(step_s=2.035, verdict="fits")]).step_s == 2.035


def test_what_does_not_fit_falls_for_the_part_that_takes_most():
    """20 billion parameters on eight H100s: every reason is counted as often as candidates have it, each priced alone."""
    asked = run(n_devices=8, batch=8, n_layers=40, d_model=6144, n_heads=48, n_kv_heads=8, d_ff=20480)
    asked = asked._replace(space=asked.space._replace(recompute=("none", "full"), zero_stages=(0, 3)))
    found, _ = search(asked, constraints=[Constraint("tp<=2", "tp", lambda tp: tp <= 2), Constraint("cp=1", "cp", lambda cp: cp == 1)])
    expected, tp4, cp2 = Counter[str](), 0, 0
    for (tp, pp, cp, dp), vpp, micro in product(degrees(8), divisors(40), divisors(8)):
        for zero, sp, how in product((0, 3), (False, True), ("none", "full")):
            layout, rounds = Layout(tp, pp, cp, dp, 1, vpp, zero, sp), 8 / (dp * micro)
            skipped = (zero and dp * cp == 1) or (sp and tp == 1) or (vpp > 1 and (40 % (pp * vpp) or rounds % pp))
            if skipped or not all(rule.holds for rule in rules(layout, fixed_sizes(asked.bill.arch), 4096, micro, 8)):
                continue
            tp4, cp2 = tp4 + (tp > 2), cp2 + (tp <= 2 and cp > 1)
            if tp <= 2 and cp == 1:
                expected[why(asked, layout, micro, int(rounds), how)] += 1
    fitting = expected.pop("")

    assert {name: n for name, n in found.rejected.items() if name.startswith("memory")} == expected and len(expected) > 1
    assert (found.n_fitting, found.rejected["tp<=2"], found.rejected["cp=1"]) == (fitting, tp4, cp2)
    assert list(found.rejected.values()) == sorted(found.rejected.values(), reverse=True)


def why(asked: Run, layout: Layout, micro: int, rounds: int, recompute: str) -> str:
    """The part that takes most at the fullest moment of a layout that does not fit; nothing for one that does."""
    machine = asked.machine
    training = Training(Batch(micro, 4096), rounds, machine.formats, machine.passes(recompute), machine.stack)
    peak = max((phase for stage in stages(asked.bill, layout, training) for phase in stage.phases), key=lambda phase: phase.total_bytes)
    if peak.total_bytes <= 0.9 * machine.kernels.device.capacity_bytes:
        return ""
    parts = {"weights": peak.weights_bytes, "gradients": peak.gradients_bytes, "optimizer": peak.optimizer_bytes}
    parts |= {"activations": peak.activations_bytes, "other": peak.other_bytes}
    return f"memory: mostly {max(parts, key=lambda name: parts[name])}"


def test_the_closest_keeps_the_conditions():
    """Where nothing fits, a candidate that a condition rejected, whose bytes nobody counted, is not the closest."""
    asked = run(n_devices=8, batch=8, n_layers=96, d_model=12288, n_heads=96, n_kv_heads=96, d_ff=32768)
    found, _ = search(asked, constraints=[Constraint("tp=4", "tp", lambda tp: tp == 4)])
    assert found.closest is not None and found.closest.layout.tp == 4
    assert search(asked, constraints=[Constraint("tp=3", "tp", lambda tp: tp == 3)])[0].closest is None
