"""FLOP where a share of the weights is zero: all products with zeros skipped, or as far as a device that skips a pattern can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan import units
from scaleplan.answer import Line, line
from scaleplan.chain.compute import Compute, per_token
from scaleplan.model.flops import SparseFlops, serving_flops
from scaleplan.questions.training_lines import run_line

if TYPE_CHECKING:
    from scaleplan.model.sparsity import Sparsity

SPARSE = (
    ("training", "training, per token, products with zeros skipped", "{times} * zero_flops"),
    ("skipped_training", "training, per token, zeros skipped but in gradients of weights", "2 * zero_flops"),
)


def sparse_lines(sparse: SparseFlops | None, compute: Compute, tokens_of_run: Any) -> list[Line]:
    """FLOP without those of zeros: of the forward pass and of training, all skipped or as far as a weight is an operand."""
    if sparse is None:
        return []
    batch, tokens = compute.batch, compute.batch_tokens
    known: dict[str, Any] = {"zero_flops": sparse.zero_flops, "n_tokens": tokens}
    forward = {"forward_flops": batch.forward_flops, **known}
    lines = [
        line("sparse.zero_flops", "products with zeros, forward", sparse.zero_flops, "FLOP"),
        line(
            "sparse.forward_flops_per_token",
            "forward, per token, products with zeros skipped",
            per_token(sparse.forward_flops, tokens),
            "FLOP/token",
            "(forward_flops - zero_flops) / n_tokens",
            **forward,
        ),
    ]
    times = 3 if batch.training_flops - sparse.training_flops == 3 * sparse.zero_flops else 2  # frozen weights have no gradient
    for name, label, zeros in SPARSE:
        value = per_token(getattr(sparse, f"{name}_flops"), tokens)
        formula = f"(forward_flops + backward_flops - {zeros.format(times=times)}) / n_tokens"
        inputs = {"backward_flops": batch.backward_flops, **forward}
        lines.append(line(f"sparse.{name}_flops_per_token", label, value, "FLOP/token", formula, **inputs))
        if tokens_of_run is not None:
            whole = run_line(f"{name}_flops", label.replace(", per token", ""), value, tokens_of_run)
            lines.append(whole._replace(key=f"sparse.{name}_flops"))
    return lines


def sparse_result(sparsity: Sparsity | None, compute: Compute, found: dict[str, Any]) -> dict[str, Any] | None:
    """The keys of sparse weights; None where all of them count."""
    if sparsity is None:
        return None
    keys = ("zero_flops", "forward_flops_per_token", *(f"{name}_flops{end}" for name, _, _ in SPARSE for end in ("_per_token", "")))
    serving = serving_flops(compute.bill, compute.seq_len, sparsity.share)
    known = {key: found.get(f"sparse.{key}") for key in keys}
    return {"share": sparsity.share, "pattern": sparsity.pattern, **known, **serving._asdict()}


def sparse_note(sparsity: Sparsity, sparse: dict[str, Any]) -> str:
    """What is zero, who skips it, and what serving takes without it."""
    prefill, decode = (units.show_si(sparse[key], "FLOP") for key in ("prefill_flops", "decode_flops_per_token"))
    who = f"devices with a sparse rate for {sparsity.pattern} skip" if sparsity.pattern else "few devices skip"
    return (
        f"{sparsity.shown()} of the layers' matrices are zero: {who} their products, others compute them all. "
        f"Inference without them: prefill {prefill}, decode {decode} per token."
    )
