"""What would free memory on a layout, ranked: each change alone, what it saves at the peak and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from scaleplan.chain.memory import Setup, Wishes, training_setup
from scaleplan.errors import ScaleplanError
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import best_recompute_every
from scaleplan.machine.pipeline import places
from scaleplan.model.flops import count_flops, recomputed_flops


class Lever(NamedTuple):
    """One change and what it does to the peak.

    change      as it is typed
    cost        what it costs, in words; `more_flops_fraction` where that is work that is done twice
    """

    change: str
    peak_bytes: int
    saved_bytes: int
    cost: str
    more_flops_fraction: float | None = None


def levers(setup: Setup, wishes: Wishes) -> list[Lever]:
    """Every change that lowers the peak, most first."""
    before = setup.peak_bytes()
    found = []
    for change, layout, wish, cost in changes(setup, wishes):
        try:
            after = training_setup(setup.bill, layout, wish, setup.run.stack).peak_bytes()
        except ScaleplanError:  # not legal here
            continue
        if after < before:
            share = more_flops(setup, wish) if wish.recompute != wishes.recompute else None
            words = cost if share is None else f"{100 * share:.1f} % more FLOP"
            found.append(Lever(change, after, before - after, words, share))
    return sorted(found, key=lambda lever: (-lever.saved_bytes, lever.change))


def changes(setup: Setup, wishes: Wishes) -> Iterator[tuple[str, Layout, Wishes, str]]:
    """What could be changed: (how it is typed, layout, wishes, cost)."""
    layout = setup.layout
    for recompute in ("selective", "per-op", "full"):
        if recompute != wishes.recompute:
            yield f"recompute={recompute}", layout, wishes._replace(recompute=recompute), ""
    yield from in_groups(setup, wishes)
    if not setup.run.how.fused_attention:
        yield "attention=flash", layout, wishes._replace(attention="flash"), "none"
    yield from of_layout(layout, wishes)
    if wishes.optimizer in ("adam", "adamw"):
        yield "optimizer=adamw-8bit", layout, wishes._replace(optimizer="adamw-8bit"), "8-bit states"
    if wishes.offload == "none":
        yield "offload=optimizer", layout, wishes._replace(offload="optimizer"), "states move to the host each step"
    if wishes.micro_batch_size_seqs % 2 == 0:
        half = wishes._replace(micro_batch_size_seqs=wishes.micro_batch_size_seqs // 2, global_batch_size_seqs=setup.global_batch_size_seqs)
        yield f"micro-batch-size-seqs={half.micro_batch_size_seqs}", layout, half, "more, smaller products"


def in_groups(setup: Setup, wishes: Wishes) -> Iterator[tuple[str, Layout, Wishes, str]]:
    """Full recomputation of the best number of layers in a row from one kept input, where that is more than one."""
    full = wishes._replace(recompute="full", recompute_every=1)
    stage = training_setup(setup.bill, setup.layout, full, setup.run.stack).worst()
    place = next(place for place in places(setup.bill, setup.layout, setup.run.stack.placement) if place.name == stage.name)
    n_layers, parts = int(sum(count for _, count in place.counts)), stage.parts
    if n_layers == 0 or not parts.recomputed:
        return
    every = best_recompute_every(n_layers, parts.layers / n_layers, parts.recomputed)
    if every > 1 and every != wishes.recompute_every:
        cost = "the same" if wishes.recompute == "full" else ""
        yield f"recompute=full,recompute-every={every}", setup.layout, full._replace(recompute_every=every), cost


def of_layout(layout: Layout, wishes: Wishes) -> Iterator[tuple[str, Layout, Wishes, str]]:
    """The same devices, used otherwise."""
    if layout.replicas > 1:
        costs = {1: "weights are gathered once a step", 2: "the same", 3: "weights are gathered in every pass"}
        for stage, cost in costs.items():
            if stage > layout.zero_stage:
                yield f"zero{stage}", layout._replace(zero_stage=stage), wishes, cost
    if layout.tp > 1 and not layout.sequence_parallel:
        yield "sp", layout._replace(sequence_parallel=True), wishes, "none"
    if layout.dp % 2 == 0:
        for part in ("tp", "pp", "cp"):
            doubled = layout._replace(dp=layout.dp // 2, **{part: getattr(layout, part) * 2})
            yield f"{part}{getattr(doubled, part)},dp{doubled.dp}", doubled, wishes, "more communication"


def more_flops(setup: Setup, wishes: Wishes) -> float:
    """Work done twice beyond what is done twice now, over the training FLOP of a step."""
    batch = setup.run.batch
    count = count_flops(
        setup.bill, batch.seq_len if batch.encoder_seq_len is None else batch.encoder_seq_len, decoder_seq_len=batch.seq_len
    )
    again, now = (recomputed_flops(count, how) for how in (wishes.recompute, setup.run.how.recompute))
    return float((again - now) / count.training_flops)
