"""Every layout of a model on so many devices: against plain loops that list them one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from scaleplan.errors import InputError
from scaleplan.machine import candidates
from scaleplan.machine.candidates import (
    LEAST_FIRST,
    LEGAL,
    Candidates,
    Space,
    check_number,
    degrees,
    enumerate_layouts,
    n_degrees,
    shapes_of,
)
from scaleplan.machine.layout import Fixed, fixed_sizes
from scaleplan.machine.offload import OFFLOADS
from scaleplan.model.shape import arch_of_shape

DENSE, ROUTED = Fixed(6, 12, 4, 60, None), Fixed(6, 12, 4, 60, 12, 40)
SPACE = Space(24, 36, 12)
WIDE = SPACE._replace(
    recompute=("none", "selective", "full"), zero_stages=(0, 1, 3), shard_groups=(4, 6, 8), offloads=("none", "optimizer", "all"),
    most_micro=4,
)  # fmt: skip
Shape = tuple[int, int, int, int, int, int, int, int]


def whole(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def shapes(space: Space, sizes: Fixed) -> Iterator[Shape]:
    """Every (tp, pp, cp, dp, ep, etp, vpp, micro-batch): products are the devices, the others divide what they split."""
    n, experts = space.n_devices, whole(sizes.n_experts) if sizes.n_experts else [1]
    micro = [b for b in whole(space.global_batch_size_seqs) if b <= space.most_micro]
    for tp, pp, cp in product(whole(n), repeat=3):
        if n % (tp * pp * cp) == 0:
            for vpp, ep, b in product(whole(sizes.n_layers), experts, micro):
                for etp in {tp, 1} if sizes.n_experts else {tp}:
                    yield tp, pp, cp, n // (tp * pp * cp), ep, etp, vpp, b


def why_not(shape: Shape, space: Space, sizes: Fixed) -> str:
    """The first rule that a shape breaks, said in plain terms; none for a legal one."""
    tp, pp, cp, dp, ep, etp, vpp, b = shape
    ranks, layers, in_all = tp * cp * dp, sizes.n_layers, space.global_batch_size_seqs
    ordered = {
        "vpp does not divide the layers of a stage": vpp > 1 and layers % (pp * vpp),
        "an interleaved pipeline needs a multiple of pp micro-batches": vpp > 1 and (in_all // (dp * b)) % pp,
        "tp does not divide the attention heads": sizes.n_heads % tp,
        "tp neither divides the key-value heads nor is a multiple of them": sizes.n_kv_heads % tp and tp % sizes.n_kv_heads,
        "pp is more stages than the layers there are": pp > layers,
        "vpp needs a pipeline: pp is 1": vpp > 1 and pp == 1,
        "cp does not divide the sequence of tokens": space.seq_len % cp,
        "ep must divide the experts, and the ranks of dp, cp and tp": sizes.n_experts and (sizes.n_experts % ep or ranks % ep),
        "etp does not divide the experts' width": sizes.d_expert and sizes.d_expert % etp,
        "ep times etp does not divide the ranks of tp, cp and dp": sizes.n_experts and ranks % (ep * etp),
        "a global batch of sequences is not a whole number of micro-batches on dp": in_all % (dp * b),
    }
    return next((reason for reason, broken in ordered.items() if broken), "")


def chosen(shape: Shape, space: Space) -> Iterator[tuple[Any, ...]]:
    """The choices of a shape that come to something of their own: (ZeRO, shards or 0, sequence parallel, recomputation, offload)."""
    tp, _, cp, dp = shape[:4]
    zeros = [(stage, 0) for stage in space.zero_stages if stage == 0 or dp * cp > 1]
    for group in space.shard_groups:
        shards = group // tp
        if 3 in space.zero_stages and tp * shards == group and shards % cp == 0 and 1 < shards < dp * cp and dp * cp % shards == 0:
            zeros.append((3, shards))
    recompute = [how for how in space.recompute if how != "selective" or space.stores_scores]
    for (stage, shards), sequence, how, host in product(zeros, (False, True), recompute, space.offloads):
        if not (sequence and tp == 1) and not (host == "all" and stage < 3):
            yield stage, shards, sequence, how, host


def rows(some: Candidates) -> list[tuple[Any, ...]]:
    """Each candidate as numbers and words."""
    columns = [column.tolist() for column in some[:11]]
    return list(zip(*columns, [LEAST_FIRST[i] for i in some.recompute.tolist()], [OFFLOADS[i] for i in some.offload.tolist()], strict=True))


@pytest.mark.parametrize(("sizes", "n_devices"), [(DENSE, 24), (ROUTED, 12)], ids=["dense", "experts"])
@pytest.mark.parametrize("scores", [False, True], ids=["flash", "scores"])
def test_legal_candidates_are_those_of_plain_loops(sizes: Fixed, n_devices: int, scores: bool):
    """Every shape that breaks no rule with every choice that differs from a simpler one, each once."""
    space = WIDE._replace(stores_scores=scores, n_devices=n_devices)
    listed = enumerate_layouts(space, sizes).legal()
    found = rows(listed.take(np.flatnonzero(listed.reason == LEGAL)))
    legal = [shape for shape in shapes(space, sizes) if not why_not(shape, space, sizes)]

    assert len(found) == len(set(found))
    assert set(found) == {(*shape, *choice) for shape in legal for choice in chosen(shape, space)}
    assert listed.n == len(legal) * (3 + 3) * 2 * 3 * 3


@pytest.mark.parametrize("sizes", [DENSE, ROUTED], ids=["dense", "experts"])
def test_shapes_are_counted_by_the_first_rule_that_they_break(sizes: Fixed):
    """In the order in which rules are asked; all choices of a shape fall with it."""
    found = enumerate_layouts(SPACE, sizes)
    expected = Counter(why_not(shape, SPACE, sizes) for shape in shapes(SPACE, sizes))
    counts = {reason: int(n) for reason, n in zip(found.reasons, found.n_shapes, strict=True) if n}

    assert counts.pop("legal") == expected.pop("")
    assert counts == expected
    assert found.n_considered == (sum(expected.values()) + found.shapes.n) * 4 * 2 * 4


def test_illegal_candidates_are_every_choice_of_every_illegal_shape(monkeypatch: pytest.MonkeyPatch):
    """Each once with its rule, however many are listed at a time."""
    monkeypatch.setattr(candidates, "EXPANDED_AT_ONCE", 7)
    space = WIDE._replace(n_devices=6, shard_groups=())
    found = enumerate_layouts(space, DENSE)
    parts = list(found.illegal())
    listed = [(row, found.reasons[reason]) for part in parts for row, reason in zip(rows(part), part.reason.tolist(), strict=True)]
    illegal = {shape: reason for shape in shapes(space, DENSE) if (reason := why_not(shape, space, DENSE))}

    assert len(listed) == len(set(listed)) == len(illegal) * 3 * 2 * 3 * 3
    assert {(row[:8], reason) for row, reason in listed} == set(illegal.items())
    assert max(part.n for part in parts) == 7 * 3 * 2 * 3 * 3


@pytest.mark.parametrize(("at_once", "pieces"), [(1, 40), (24 * 6 - 1, 40), (24 * 6, 40), (24 * 6 * 2, 20), (24 * 6 * 3, 14), (10**6, 1)])
def test_shapes_are_made_some_at_a_time(monkeypatch: pytest.MonkeyPatch, at_once: int, pieces: int):
    """12 devices have 40 sets of degrees, each with 4 virtual stages, 6 degrees of experts, etp 1 or tp, and 3 micro-batches."""
    monkeypatch.setattr(candidates, "SHAPES_AT_ONCE", at_once)
    space = SPACE._replace(n_devices=12, most_micro=3)

    assert sum(1 for _ in shapes_of(space, ROUTED)) == pieces


def test_why_a_choice_is_none_of_its_own():
    """Of 8 devices as tp 2 and dp 4, alone, and as tp 8: the first reason that holds."""
    space = Space(8, 64, 8, ("none", "selective"), (0, 3), shard_groups=(4, 8), offloads=("none", "all"), most_micro=1)
    found = enumerate_layouts(space, Fixed(1, 8, 8, 64, None))
    listed = found.legal()
    reasons = {(row[0], row[3], *row[8:]): found.reasons[reason] for row, reason in zip(rows(listed), listed.reason.tolist(), strict=True)}

    assert reasons[2, 4, 3, 2, True, "none", "all"] == "legal"
    assert reasons[2, 4, 3, 4, True, "none", "none"] == "the group of a hybrid sharding is not a part of the data parallel ranks"
    assert reasons[2, 4, 0, 0, True, "none", "all"] == "offloaded weights need ZeRO 3"
    assert reasons[2, 4, 0, 0, True, "selective", "all"] == "selective recomputation needs stored scores"
    assert reasons[1, 8, 0, 0, True, "selective", "all"] == "sequence parallelism needs tp"
    assert reasons[8, 1, 3, 0, True, "selective", "none"] == "ZeRO needs several data parallel ranks"


@pytest.mark.parametrize(("name", "most"), [("MOST_SHAPES", 20_000_000), ("MOST_LEGAL", 5_000_000)])
def test_more_than_some_millions_are_refused(name: str, most: int):
    """Of all shapes 20 million, of legal layouts 5 million are gone through."""
    check_number(most, getattr(candidates, name), "layouts", SPACE)
    with pytest.raises(InputError, match=f"{most + 1:,} layouts of 24 devices and 12 sequences; at most {most:,}"):
        check_number(most + 1, getattr(candidates, name), "layouts", SPACE)


def test_what_is_refused_is_the_number_of_shapes_and_of_legal_layouts(monkeypatch: pytest.MonkeyPatch):
    """All of which plain loops list; a shape whose etp is its tp of 1 is counted twice, as it is before it is looked at."""
    listed = list(shapes(SPACE, ROUTED))
    n_shapes = len(listed) + sum(shape[0] == 1 for shape in listed)
    n_legal = 32 * sum(not why_not(shape, SPACE, ROUTED) for shape in listed)

    for name, most in (("MOST_SHAPES", n_shapes), ("MOST_LEGAL", n_legal)):
        monkeypatch.setattr(candidates, name, most)
        enumerate_layouts(SPACE, ROUTED)
        monkeypatch.setattr(candidates, name, most - 1)
        with pytest.raises(InputError, match=f"at most {most - 1:,} are searched"):
            enumerate_layouts(SPACE, ROUTED)
        monkeypatch.undo()


def test_micro_batches_of_up_to_2_to_the_20_sequences_are_tried():
    """Where no limit is given: of 2^21 sequences on one device all powers of two but the last."""
    found = enumerate_layouts(Space(1, 64, 2**21), Fixed(1, 8, 8, 64, None)).shapes

    assert found.micro_batch_size_seqs.tolist() == [2**k for k in range(21)]
    assert enumerate_layouts(Space(1, 64, 12, most_micro=4), Fixed(1, 8, 8, 64, None)).shapes.micro_batch_size_seqs.tolist() == [1, 2, 3, 4]


def hand_made(**words: object) -> Candidates:
    columns: dict[str, Any] = {name: [1, 1, 1] for name in Candidates._fields}
    columns |= {
        "tp": [2, 4, 8],
        "pp": [3, 5, 7],
        "cp": [2, 4, 3],
        "dp": [6, 10, 9],
        "ep": [2, 5, 3],
        "etp": [2, 4, 8],
        "n_shards": [0, 0, 0],
    }
    columns |= {"zero_stage": [0, 1, 3], **words}
    return Candidates(**{name: np.array(column) for name, column in columns.items()})


def test_zero_divides_over_all_replicas_or_over_a_group():
    """None without ZeRO, dp x cp with it, the group where one is named."""
    assert hand_made().shards.tolist() == [1, 40, 27]
    assert hand_made(n_shards=[0, 0, 9]).shards.tolist() == [1, 40, 9]
    assert hand_made(n_shards=[0, 0, 1]).shards.tolist() == [1, 40, 1]


def test_a_layout_of_arrays_is_that_of_each_candidate():
    """Groups of shards and degrees of experts are named only where a candidate has some."""
    plain = hand_made().layout()
    assert plain.n_shards is None and plain.etp is None
    assert plain.n_devices.tolist() == [72, 800, 1512]
    own = hand_made(n_shards=[0, 8, 9], etp=[2, 1, 8], sequence_parallel=[True, False, True], n_virtual_stages=[2, 3, 5]).layout()
    assert own.n_shards.tolist() == [12, 8, 9]
    assert own.etp.tolist() == [2, 1, 8]
    assert [own.tp.tolist(), own.ep.tolist(), own.zero_stage.tolist()] == [[2, 4, 8], [2, 5, 3], [0, 1, 3]]
    assert [own.sequence_parallel.tolist(), own.n_virtual_stages.tolist()] == [[True, False, True], [2, 3, 5]]


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


def test_a_million_candidates_for_gpt_3():
    """512 devices and 1,536 sequences: degrees x micro-batches x virtual stages x ZeRO x sequence parallel x recomputation."""
    arch = arch_of_shape({"n_layers": 96, "d_model": 12288, "n_heads": 96, "n_vocab": 51200, "gated": False, "n_positions": 2048})

    assert enumerate_layouts(Space(512, 2048, 1536), fixed_sizes(arch)).n_considered > 1_000_000
