"""How a model is spread over devices: the degrees of parallelism, what is legal, and the nearest layout that is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

from scaleplan.errors import InputError, ScaleplanError, UsageError, clipped, raise_all
from scaleplan.model.arch import Arch, FeedForward, Size
from scaleplan.model.items import total
from scaleplan.model.mixers.attention import Attention
from scaleplan.model.mixers.latent import LatentAttention
from scaleplan.wording import field

Placement: TypeAlias = Literal["even", "balanced"]
"""How layers are spread over pipeline stages; `balanced` counts the head as layers."""


class Layout(NamedTuple):
    """Degrees of parallelism; their product is the number of devices (expert parallelism works inside data parallelism).

    tp, pp, cp, dp, ep  tensor, pipeline, context, data and expert parallel
    n_virtual_stages    stages that each pipeline rank holds (interleaving)
    zero_stage          what the data parallel ranks divide: 1 optimizer, 2 and gradients, 3 and weights (FSDP)
    sequence_parallel   norms and dropout are divided by tokens over the tensor parallel ranks
    n_shards            ranks over which ZeRO divides, where that is fewer than there are (HSDP)
    etp                 tensor parallel of the routed experts, where it is not that of the rest
    stage_layers        layers of each of the pp x vpp stages, in the order of the model, where they are not spread evenly

    Ranks count innermost first: tp, cp, dp, pp.
    """

    tp: Size = 1
    pp: Size = 1
    cp: Size = 1
    dp: Size = 1
    ep: Size = 1
    n_virtual_stages: Size = 1
    zero_stage: Size = 0
    sequence_parallel: Any = False
    n_shards: Size | None = None
    etp: Size | None = None
    stage_layers: tuple[int, ...] | None = None

    @property
    def n_devices(self) -> Size:
        return self.tp * self.pp * self.cp * self.dp

    @property
    def replicas(self) -> Size:
        """Ranks that hold the same weights before ZeRO divides them: data parallel times context parallel."""
        return self.dp * self.cp

    @property
    def shards(self) -> Size:
        """Ranks over which ZeRO divides: all that hold the same weights, or fewer (HSDP)."""
        return self.replicas if self.n_shards is None else self.n_shards

    @property
    def expert_tp(self) -> Size:
        """Tensor parallel ranks that share a routed expert."""
        return self.tp if self.etp is None else self.etp

    def spelled(self) -> str:
        """As it is typed: `tp8,pp8,dp4,sp,zero1`."""
        degrees = [f"{part}{getattr(self, field)}" for part, field in PARTS.items() if field in ALWAYS or not is_default(self, field)]
        return ",".join([*degrees, *(["sp"] if self.sequence_parallel else [])])


PARTS = {
    "tp": "tp", "pp": "pp", "cp": "cp", "dp": "dp", "ep": "ep", "vpp": "n_virtual_stages", "zero": "zero_stage", "shard": "n_shards",
    "etp": "etp",
}  # fmt: skip
ALWAYS = ("tp", "pp", "dp")
WORDS: dict[str, dict[str, Any]] = {"sp": {"sequence_parallel": True}, "fsdp": {"zero_stage": 3}}
SHARDS_OPTIMIZER, SHARDS_GRADIENTS, SHARDS_WEIGHTS = 1, 2, 3
"""Stages of ZeRO from which optimizer states, gradients and weights are divided (rajbhandari2020)."""
HIGHEST_ZERO_STAGE = SHARDS_WEIGHTS
LARGEST_DEGREE = 2**24


def is_default(layout: Layout, field: str) -> bool:
    """Whether a degree is left at what an absent part means."""
    return bool(getattr(layout, field) == Layout._field_defaults[field])


def parse_layout(text: str) -> Layout:
    """`tp8,pp8,dp4,cp1,ep1,vpp2,zero1,sp` in any order; absent parts are 1, or off."""
    fields: dict[str, Any] = {}
    example = "like `tp8,pp4,dp16,sp,zero1`"
    if not text.strip():
        raise UsageError("the layout is empty", hint=f"a layout is {example}")
    for part in text.split(","):
        word = part.strip().lower()
        if word in WORDS:
            added = WORDS[word]
        else:
            found = re.fullmatch(r"([a-z]+)(\d{1,9})", word)
            if found is None or found[1] not in PARTS:
                joined = re.sub(r"\s*[=:]\s*", "", word)
                mend = f"write `{clipped(joined)}`" if joined != word else f"parts are {', '.join([*PARTS, *WORDS])}"
                raise UsageError(f"no part of a layout is `{clipped(part)}`", hint=f"{mend}; a layout is {example}")
            added = {PARTS[found[1]]: degree(found[1], int(found[2]), part)}
        twice = next((key for key in added if key in fields), None)
        if twice is not None:
            raise UsageError(f"the layout says `{clipped(part)}` and has it already", hint=f"each part once, {example}")
        fields |= added
    return Layout(**fields)


def degree(part: str, value: int, text: str) -> int:
    """A degree in its range."""
    least, most = (0, HIGHEST_ZERO_STAGE) if part == "zero" else (1, LARGEST_DEGREE)
    if not least <= value <= most:
        raise UsageError(f"`{clipped(text)}` is out of range", hint=f"{part} is {least} to {most}")
    return value


# --------------------------------------------------------------------------------------------------------------- legality


class Rule(NamedTuple):
    """One rule that a layout must keep, for one layout or for arrays of them.

    holds    true where it is kept
    reason   what is wrong where it is not, with the names of `numbers` in braces
    divides  (part, whole): the degree should divide the whole; gives the nearest that does
    """

    part: str
    holds: Any
    reason: str
    numbers: dict[str, Any]
    divides: tuple[str, str] | None = None

    def says(self, row: int | None = None) -> str:
        """The reason with its numbers, of one row of arrays."""
        return self.reason.format(**{name: at(value, row) for name, value in self.numbers.items()})

    def hint(self) -> str | None:
        """The nearest degrees that keep the rule."""
        if self.divides is None:
            return None
        part, whole = (int(self.numbers[name]) for name in self.divides)
        near = nearest_divisors(part, whole)
        return f"the nearest that does: {' or '.join(f'{self.part}{n}' for n in near)}"


def at(value: Any, row: int | None) -> Any:
    """An element of an array, or the number itself."""
    return value[row] if row is not None and hasattr(value, "shape") and value.shape else value


def nearest_divisors(part: int, whole: int) -> list[int]:
    """The largest divisor below and the smallest above a number that does not divide, if one of the 4,096 numbers above does."""
    below = next((n for n in range(min(part, whole), 1, -1) if whole % n == 0), 1)
    above = next((n for n in range(part + 1, min(whole, part + 4096) + 1) if whole % n == 0), None)
    return [below] if above is None else [below, above]


class Fixed(NamedTuple):
    """The sizes of a model that layouts must divide; None where it has none."""

    n_layers: Size
    n_heads: Size | None
    n_kv_heads: Size | None
    d_ff: Size | None
    n_experts: Size | None
    d_expert: Size | None = None


def fixed_sizes(arch: Arch) -> Fixed:
    """Of the first attention, feed-forward and experts there are; layers of all stacks."""
    blocks = [block for stack in arch.stacks for block in stack.blocks]
    mixers = [b.mixer for b in blocks if isinstance(b.mixer, Attention | LatentAttention)]
    dense = [b.feed_forward for b in blocks if isinstance(b.feed_forward, FeedForward)]
    routed = [f.experts for f in dense if f.experts is not None]
    first = mixers[0] if mixers else None
    return Fixed(
        n_layers=total(count for stack in arch.stacks for _, count in stack.order),
        n_heads=None if first is None else first.n_heads,
        n_kv_heads=first.n_kv_heads if isinstance(first, Attention) else None,
        d_ff=next((f.d_ff for f in dense if f.d_ff is not None), routed[0].d_ff if routed else None),
        n_experts=routed[0].n_experts if routed else None,
        d_expert=routed[0].d_ff if routed else None,
    )


def rules(layout: Layout, sizes: Fixed, seq_len: Size, micro: Size, in_all: Size) -> Iterator[Rule]:
    """Every rule of a layout, for a micro-batch of `micro` and a global batch of `in_all` sequences.

    Sources: narayanan2021 (pipelines, interleaving); shoeybi2019 (tensor parallel).
    """
    n, tp, pp = layout._asdict(), layout.tp, layout.pp
    if sizes.n_heads is not None:
        reason = "tp {tp} does not divide the {whole} attention heads"
        yield Rule("tp", sizes.n_heads % tp == 0, reason, n | {"whole": sizes.n_heads}, ("tp", "whole"))
    if sizes.n_kv_heads is not None:
        kv = sizes.n_kv_heads
        fits = (kv % tp == 0) | (tp % kv == 0)
        yield Rule(
            "tp", fits, "tp {tp} neither divides the {whole} key-value heads nor is a multiple of them", n | {"whole": kv}, ("tp", "whole")
        )
    if sizes.d_ff is not None:
        reason = "tp {tp} does not divide the feed-forward width {whole}"
        yield Rule("tp", sizes.d_ff % tp == 0, reason, n | {"whole": sizes.d_ff}, ("tp", "whole"))
    layers = sizes.n_layers
    yield Rule("pp", pp <= layers, "pp {pp} is more stages than the {whole} layers there are", n | {"whole": layers}, ("pp", "whole"))
    vpp = layout.n_virtual_stages
    yield Rule("vpp", (vpp == 1) | (pp > 1), "vpp {n_virtual_stages} needs a pipeline: pp is 1", n)
    reason = "pp {pp} times vpp {n_virtual_stages} is more stages than the {whole} layers there are, and the table and the head"
    yield Rule("vpp", (vpp == 1) | (pp * vpp <= layers + 2), reason, n | {"whole": layers})
    yield Rule(
        "cp", seq_len % layout.cp == 0, "cp {cp} does not divide the sequence of {whole} tokens", n | {"whole": seq_len}, ("cp", "whole")
    )
    yield from stage_rules(layout, layers, n)
    yield Rule("ep", *expert_rule(layout, sizes, n))
    yield from expert_tensor_rules(layout, sizes, n)
    replicas = layout.dp * micro
    reason = "a global batch of {whole} sequences is not a whole number of micro-batches of {micro} on dp {dp}"
    yield Rule("dp", in_all % replicas == 0, reason, n | {"whole": in_all, "micro": micro, "step": replicas})
    yield from shard_rules(layout, n)


def stage_rules(layout: Layout, n_layers: Size, n: dict[str, Any]) -> Iterator[Rule]:
    """Layers given stage by stage: one number for each stage, at least 1, that add up to the layers."""
    if layout.stage_layers is None:
        return
    n = n | {"count": len(layout.stage_layers), "least": min(layout.stage_layers, default=0), "sum": sum(layout.stage_layers)}
    n |= {"whole": n_layers, "stages": layout.pp * layout.n_virtual_stages}
    where = field("stage_layers")
    yield Rule("stages", n["count"] == n["stages"], f"{where} has {{count}} numbers; the layout has {{stages}} stages", n)
    yield Rule("stages", n["least"] > 0, f"{where} has a stage of `{{least}}` layers; a stage holds at least 1", n)
    yield Rule("stages", n["sum"] == n_layers, f"{where} adds up to {{sum}} layers; the model has {{whole}}", n)


def expert_rule(layout: Layout, sizes: Fixed, n: dict[str, Any]) -> tuple[Any, str, dict[str, Any], tuple[str, str] | None]:
    """Expert parallelism divides the experts, and its ranks are data, context and tensor parallel ones."""
    if sizes.n_experts is None:
        return layout.ep == 1, "`ep{ep}` needs experts; this model has none", n, None
    ranks = layout.replicas * layout.tp
    divides = sizes.n_experts % layout.ep == 0
    reason = "`ep{ep}` must divide the {whole} experts, and the {ranks} ranks of dp, cp and tp"
    nearest = ("ep", "ranks") if isinstance(divides, bool) and divides else ("ep", "whole")
    return divides & (ranks % layout.ep == 0), reason, n | {"whole": sizes.n_experts, "ranks": ranks}, nearest


def expert_tensor_rules(layout: Layout, sizes: Fixed, n: dict[str, Any]) -> Iterator[Rule]:
    """Tensor parallelism of the experts divides their width, and with ep the ranks of tp, cp and dp."""
    if layout.etp is None:
        return
    if sizes.n_experts is None:
        yield Rule("etp", layout.etp == layout.tp, "`etp{etp}` needs experts; this model has none", n)
        return
    n = n | {"whole": sizes.d_expert, "ranks": layout.replicas * layout.tp, "both": layout.ep * layout.etp}
    yield Rule("etp", sizes.d_expert % layout.etp == 0, "`etp{etp}` does not divide the experts' width {whole}", n, ("etp", "whole"))
    reason = "`ep{ep}` times `etp{etp}` does not divide the {ranks} ranks of tp, cp and dp"
    yield Rule("etp", n["ranks"] % n["both"] == 0, reason, n)


def shard_rules(layout: Layout, n: dict[str, Any]) -> Iterator[Rule]:
    """A smaller group of ranks that ZeRO divides over must divide all of them, and there is none without ZeRO."""
    n, whole = n | {"whole": layout.replicas}, layout.shards == layout.replicas
    yield Rule("shard", layout.replicas % layout.shards == 0, "shard {n_shards} does not divide the {whole} ranks of dp and cp", n)
    if layout.n_shards is not None:
        yield Rule("zero", (layout.zero_stage > 0) | whole, "shard {n_shards} needs ZeRO, such as zero3: without it nothing is divided", n)


def check_layout(layout: Layout, sizes: Fixed, seq_len: int, micro: int, in_all: int) -> None:
    """Refuse one layout that breaks a rule, naming every rule and the nearest legal values."""
    broken = [rule for rule in rules(layout, sizes, seq_len, micro, in_all) if not rule.holds]
    errors: list[ScaleplanError] = [InputError(f"{field('layout')}: {rule.says()}", hint=rule.hint()) for rule in broken]
    raise_all(errors)
