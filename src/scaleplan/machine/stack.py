"""A software stack: how its code computes and what it keeps in memory, from presets/stacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.errors import UnknownName
from scaleplan.machine.layout import Placement
from scaleplan.machine.recipe import USUAL_RECIPE, Narrow, Precision, precision_named
from scaleplan.model.passes import Keeping
from scaleplan.numeric import where


class Stack(NamedTuple):
    """What memory needs to know of a software stack.

    keeping          how its blocks are computed
    attention        the attention kernel that it uses
    dropout          the dropout that its models are trained with
    recipe           bytes of a parameter in its mixed precision
    placement        how layers are spread over pipeline stages: `even`, or `balanced` with the head counted as layers
    bytes_per_logit  bytes for each logit at the peak of the loss; None: counted tensor by tensor
    context_bytes    device memory before the first tensor: context, libraries, workspace
    group_bytes      buffers of the communicator of each kind of parallelism that is used: tensor, pipeline, data and context
    bucket_copies    copies of the gradients in buckets of the plain data parallel wrapper
    most_gathered    parameters that ZeRO 3 puts together at once at most; None: two layers
    fragments        share of what a step allocates and frees that the allocator holds on top of it
    fp8_copies       narrow copies of each matrix beside the 16-bit weights, in training with 8-bit products
    fp8_inputs       products in 8 bits keep their input in 8 bits
    waiting_bytes    bytes for each token of a micro-batch and unit of width, in whole tensors that wait for tensor parallel collectives:
                     without a pipeline nothing stops the host from queueing layers ahead of the device
    hybrid_sharding  ZeRO 3 can divide weights inside a group of ranks and copy them across groups
    peak_factor      measured over counted bytes, of a stack that measured peaks corrected
    peaks            counted bytes of a layout whose peak was measured, and measured over counted
    base             the stack that was corrected; empty of one that was not
    """

    name: str
    keeping: Keeping = Keeping()
    attention: str = "flash"
    dropout: float = 0.0
    recipe: int = USUAL_RECIPE
    placement: Placement = "even"
    bytes_per_logit: int | None = 8
    context_bytes: int = 0
    group_bytes: int = 0
    bucket_copies: int = 0
    most_gathered: int | None = None
    waiting_bytes: int = 0
    fragments: float = 0.0
    fp8_copies: int = 0
    fp8_inputs: bool = False
    hybrid_sharding: bool = False
    peak_factor: float = 1.0
    peaks: tuple[tuple[float, ...], ...] = ()
    base: str = ""
    sources: tuple[str, ...] = ()

    @property
    def is_corrected(self) -> bool:
        """Whether measured peaks corrected it."""
        return self.peak_factor != 1.0 or bool(self.peaks)

    def factor_of(self, counted_bytes: Any) -> Any:
        """Bytes over those counted: of a layout whose peak was measured its own, else that of the stack."""
        factor: Any = self.peak_factor
        for counted, own in self.peaks:
            factor = where(counted_bytes == counted, own, factor)
        return factor

    def precision(self, name: str) -> Precision:
        """A precision by name, with the bytes that this stack keeps in it."""
        return precision_named(name, self.recipe, Narrow(self.fp8_copies, self.fp8_inputs))


def stack_of(name: str, data: Mapping[str, Any], sources: tuple[str, ...] = ()) -> Stack:
    """A stack from its parsed preset: table `memory`, with `memory.keeping` for what its blocks keep."""
    memory = dict(data.get("memory", {}))
    kept = fields_of(memory.pop("keeping", {}), Keeping._fields, "memory.keeping")
    known = fields_of(memory, Stack._fields, "memory")
    known |= {"peaks": tuple(map(tuple, known["peaks"]))} if "peaks" in known else {}
    if kept.get("norm_stats_bytes") == "residual":
        kept["norm_stats_bytes"] = None
    if known.get("bytes_per_logit") == "counted":
        known["bytes_per_logit"] = None
    known["base"] = str(data.get("calibration", {}).get("stack", ""))
    return Stack(name=name, keeping=Keeping(**kept), sources=sources, **known)


ABOUT = ("source", "date", "note", "fitted")
"""Keys that say where numbers are from."""


def fields_of(table: Mapping[str, Any], fields: tuple[str, ...], where: str) -> dict[str, Any]:
    """The values of a table, whose keys must all have a meaning."""
    for key in table:
        if key not in (*fields, *ABOUT):
            raise UnknownName(f"key of [{where}]", key, fields)
    return {key: value for key, value in table.items() if key in fields}
