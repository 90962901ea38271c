"""The lines of training FLOP, per token and of a run: for `flops`, and for the questions that a count of FLOP begins."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Line, line
from scaleplan.arithmetic import names_in
from scaleplan.chain.compute import Compute, per_token
from scaleplan.model.conventions import CONVENTIONS, convention_inputs
from scaleplan.model.flops import recomputed_flops


def training_lines(compute: Compute, tokens: float | None) -> list[Line]:
    """Training FLOP per token and of the run, in the convention asked for."""
    batch = compute.batch
    key, label = "training_flops_per_token", f"training, per token ({compute.convention})"
    if compute.convention in CONVENTIONS and compute.convention != "exact":
        row = convention_line(compute, compute.convention)
        one = row._replace(key=key, label=label)
    else:
        inputs = {"forward_flops": batch.forward_flops, "backward_flops": batch.backward_flops, "n_tokens": compute.batch_tokens}
        value = per_token(batch.training_flops, compute.batch_tokens)
        one = line(key, label, value, "FLOP/token", "(forward_flops + backward_flops) / n_tokens", **inputs)
    return [one] if tokens is None else [one, run_line("training_flops", "training", one.value, tokens)]


def recompute_lines(compute: Compute, tokens: float | None, recompute: str) -> list[Line]:
    """FLOP with what is recomputed in the backward pass."""
    batch = compute.batch
    again = recomputed_flops(batch, recompute)
    inputs = {
        "forward_flops": batch.forward_flops,
        "backward_flops": batch.backward_flops,
        "recomputed_flops": again,
        "n_tokens": compute.batch_tokens,
    }
    value = per_token(batch.training_flops + again, compute.batch_tokens)
    formula = "(forward_flops + backward_flops + recomputed_flops) / n_tokens"
    label = f"training with {recompute} recomputation, per token"
    lines = [
        line("batch.recomputed_flops", "recomputed, the batch", again, "FLOP"),
        line("hardware_flops_per_token", label, value, "FLOP/token", formula, **inputs),
    ]
    if tokens is not None:
        lines.append(run_line("hardware_flops", "training, hardware FLOP", value, tokens))
    return lines


def convention_line(compute: Compute, name: str) -> Line:
    """One convention with its arithmetic and its source."""
    way = CONVENTIONS[name]
    known = convention_inputs(compute.bill, compute.params, compute.batch.lengths)
    inputs: dict[str, Any] = {each: known[each] for each in names_in(way.arithmetic)}
    value = per_token(compute.conventions[name], compute.seq_len)
    key = f"conventions.{name}.training_flops_per_token"
    return line(key, f"{name}: {way.meaning}", value, "FLOP/token", way.arithmetic, sources=way.sources, **inputs)


def run_line(key: str, label: str, flops_per_token: Any, tokens: float) -> Line:
    """FLOP of a whole run from that of a token."""
    each = f"{key}_per_token"
    return line(key, label, flops_per_token * tokens, "FLOP", f"{each} * tokens", **{each: flops_per_token, "tokens": tokens})
