"""How a forward pass is run, as far as that changes what it keeps, and which inputs products keep.

`Keeping` says how a software stack computes a block, `Pass` how one pass is run. A product keeps its input for the gradient of its matrix.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from scaleplan.errors import UnknownName
from scaleplan.model.arch import Size
from scaleplan.model.items import Kept, Layer


class Keeping(NamedTuple):
    """How a software stack computes a block, as far as that changes what is kept.

    in_steps          modules are written in single operations: an RMS norm keeps a 32-bit copy and the normalised values, attention
                      without a fused kernel repeats keys and values for every query head and upcasts its softmax
    gate_in_steps     a gated feed-forward keeps the activated gate as a tensor of its own
    norm_stats_bytes  bytes of one statistic of a layer norm; None: as wide as the residual stream; 0: not counted
    more_per_width    bytes for each token, layer and unit of width that kernels keep beyond the count
    """

    in_steps: bool = False
    gate_in_steps: bool = True
    norm_stats_bytes: int | None = 4
    more_per_width: Size = 0


class Pass(NamedTuple):
    """One way to run the forward pass.

    fused_attention  a kernel that never writes the scores (flash, memory-efficient)
    autocast         weights and residual stream are wider than the products: each product keeps a narrow copy of its input
    narrow           products work in fewer than 32 bits
    dropout          masks are kept, and what was masked
    recompute        none; selective (the attention core); per-op (cheap operations and every second product); full; or modules
                     of `MODULES` joined by `+`, whose outputs are computed again
    narrow_inputs    products keep their inputs in a narrow format of their own
    narrow_gate      a gated activation keeps its inputs like a product, and its output is computed again
    one_sequence     the batch is one sequence, so that folding sequences and heads into one axis copies nothing
    """

    keeping: Keeping
    fused_attention: bool = True
    autocast: bool = False
    narrow: bool = True
    dropout: bool = False
    recompute: str = "none"
    one_sequence: Any = False
    narrow_inputs: bool = False
    narrow_gate: bool = False


RECOMPUTATIONS = ("none", "selective", "per-op", "full")
MODULES = ("core_attn", "layernorm", "mla_up_proj", "mlp_act", "moe_act", "mlp", "moe")
"""Modules that can be recomputed alone, by Megatron Core's names: the attention core, norms, the expansion of latents, the activation of
dense and of routed feed-forwards, and the two whole."""


def recomputation(text: str) -> str:
    """A recomputation by name: one of the four words, or modules joined by `+`; raises UnknownName."""
    if text in RECOMPUTATIONS or recomputed_modules(text) is not None:
        return text
    wrong = next((name for name in text.split("+") if name not in MODULES), text) if "+" in text else text
    raise UnknownName("recomputation", wrong, [*RECOMPUTATIONS, *MODULES])


def recomputed_modules(recompute: str) -> frozenset[str] | None:
    """The modules that a recomputation names; None where it is none, per-op, full, or a name that is not known."""
    if recompute == "selective":
        return frozenset({"core_attn"})
    names = frozenset(recompute.split("+"))
    return names if names <= set(MODULES) else None


# ---------------------------------------------------------------------------------------------------- inputs of products


def read(layer: Layer, groups: tuple[str, ...], *ends: str, but: tuple[str, ...] = ()) -> tuple[int, int]:
    """Matrices of some groups whose name ends in one of `ends` (any, without): how many there are, and whose input is kept.

    A product keeps its input for the gradient of its matrix alone: a frozen matrix keeps none, unless an adapter reads the same input.
    """
    adapted = {w.name.removesuffix(" adapter A") for w in layer.weights if w.group == "lora" and w.name.endswith(" adapter A")}
    picked = [w for w in layer.weights if w.matmul and w.group in groups and w.name.endswith(ends or ("",)) and w.name not in but]
    return len(picked), sum(w.trainable or w.name in adapted for w in picked)


def read_by(n_products: int, matrices: tuple[int, int], name: str, width: Size, stream: str, how: Pass) -> Iterator[Kept]:
    """The input that several products read: one tensor, or under autocast a narrow copy for each; none where all are frozen."""
    picked, keeping = matrices
    if picked and not keeping:
        return
    copies = min(n_products, keeping) if how.autocast and picked else n_products if how.autocast else 1
    yield Kept(name, width * copies, **input_kind(how), stream=stream, sequence_parallel=True, gone_with=frozenset({"layernorm"}))


def input_kind(how: Pass) -> dict[str, Any]:
    """The number format in which products keep their input."""
    return {"dtype": "input" if how.narrow_inputs else "compute"}
