"""Formulas of bytes that parameters take, in training and while serving, for the lines of every shape of `memory`."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.answer import Line, line
from scaleplan.machine.held import Formats, Held
from scaleplan.machine.recipe import Optimizer, Precision
from scaleplan.machine.serving_formats import Format, is_quantised
from scaleplan.model.adapters import pruned_params
from scaleplan.model.items import Bill
from scaleplan.numeric import ceil_div


class Term(NamedTuple):
    """A part of a formula, and the numbers of its names."""

    formula: str
    inputs: dict[str, Any]


def weights_term(held: Held, formats: Formats, kind: str = "") -> Term:
    """Bytes of the weights of one kind of parameters before ZeRO divides them; `kind` begins the names of their numbers."""
    precision = formats.precision
    n, each = f"n_{kind}params", {"bytes_per_weight": precision.weight_bytes}
    if formats.frozen is None:
        found = Term(f"{n} * bytes_per_weight", {n: held.params, **each})
    else:
        trainable, bits = f"n_{kind}trainable_params", f"{kind}frozen_bits"
        inputs = {trainable: held.trainable, **each, bits: held.frozen_bits}
        found = Term(f"{trainable} * bytes_per_weight + ceil({bits} / 8)", inputs)
    if isinstance(held.copied, int) and held.copied == 0:
        return found
    copied = f"n_{kind}quantised_params"
    copies = {copied: held.copied, "copy_bits_of_32": precision.copy_bits}
    return Term(f"{found.formula} + ceil({copied} * copy_bits_of_32 / 256)", {**found.inputs, **copies})


def gradients_term(held: Held, precision: Precision, kind: str = "") -> Term:
    """Bytes of the gradients of one kind of parameters before ZeRO divides them."""
    n = f"n_{kind}trainable_params"
    return Term(f"{n} * bytes_per_gradient", {n: held.trainable, "bytes_per_gradient": precision.gradient_bytes})


def over_ranks(term: Term, ranks: Any, kind: str = "") -> Term:
    """The term divided over the ranks of ZeRO; as it is on one."""
    if isinstance(ranks, int) and ranks == 1:
        return term
    whole = f"({term.formula})" if " + " in term.formula else term.formula
    return Term(f"ceil({whole} / n_{kind}shards)", {**term.inputs, f"n_{kind}shards": ranks})


def together(*terms: Term) -> Term:
    """The sum of several terms."""
    inputs: dict[str, Any] = {}
    for term in terms:
        inputs |= term.inputs
    return Term(" + ".join(term.formula for term in terms), inputs)


def optimizer_lines(bill: Bill, optimizer: Optimizer, precision: Precision, key: str, label: str, value: int) -> list[Line]:
    """Optimizer states and master copies; a formula where every parameter has the same bytes, beside a counter for each tensor."""
    sources = precision.sources
    if optimizer.factored or optimizer.block_states or optimizer.matrices:
        return [line(key, label, value, "bytes", sources=("dettmers2021", *sources) if optimizer.block_states else sources)]
    each = optimizer.states * precision.moment_bytes + 4 * optimizer.wide_states + precision.master_bytes
    inputs: dict[str, Any] = {"n_trainable_params": bill.n_params(lambda w: w.trainable), "bytes_per_param": each}
    formula = "n_trainable_params * bytes_per_param"
    if precision.counts_steps and optimizer.step_bytes:
        formula += " + n_trainable_tensors * bytes_per_counter"
        inputs |= {"n_trainable_tensors": n_tensors(bill), "bytes_per_counter": optimizer.step_bytes}
    return [line(key, label, value, "bytes", formula, sources=sources, **inputs)]


def n_tensors(bill: Bill) -> int:
    """Tensors that are trained."""
    return sum(tensor_counts(bill))


def tensor_counts(bill: Bill) -> list[int]:
    """How many tensors of each row of the bill are trained."""
    return [layer.copies * weight.stored for layer, weight in bill.weights() if weight.trainable]


def tensors_line(bill: Bill) -> Line:
    """How many tensors the optimizer counts the steps of."""
    return line("n_trainable_tensors", "tensors that are trained", n_tensors(bill), "", "sum(counts)", counts=tensor_counts(bill))


# ------------------------------------------------------------------------------------------------------------------ serving


def is_plain(stored: Format) -> bool:
    """Whether a grouped format treats all matrices of the layers alike and nothing else."""
    return not (stored.head or stored.table or stored.wide or stored.half_wide or stored.experts)


def quantised_params(bill: Bill) -> list[int]:
    """Parameters of each matrix of the layers."""
    return [layer.copies * weight.n_params for layer, weight in bill.weights() if is_quantised(layer, weight)]


def n_groups(bill: Bill, stored: Format) -> int:
    """Groups of weights that share a scale."""
    found = [layer.copies * ceil_div(weight.n_params, stored.group) for layer, weight in bill.weights() if is_quantised(layer, weight)]
    return int(sum(found))


def group_lines(bill: Bill, stored: Format, key: str) -> list[Line]:
    """What the formula of a grouped format counts: quantised parameters, and the groups that share a scale."""
    parts = quantised_params(bill)
    return [
        line(f"{key}n_quantised_params", "quantised parameters", sum(parts), "params", "sum(parts)", parts=parts),
        line(f"{key}n_groups", f"groups of {stored.group:,} weights with one scale", n_groups(bill, stored), ""),
    ]


def sparse_lines(bill: Bill, stored: Format, value: int) -> list[Line]:
    """Weights of which the zeros of the layers' matrices are not stored: what is kept, where it stands, and everything else."""
    sparsity = stored.sparsity
    assert sparsity is not None, "asked where there is one"
    parts = quantised_params(bill)
    zeros = pruned_params(bill, sparsity.share)
    sources = [source for source in (stored.source, "sparse24-layout" if sparsity.group else "sparseml-compression") if source]
    lines = [
        line("weights.n_matrix_params", "parameters of the layers' matrices", sum(parts), "params", "sum(parts)", parts=parts),
        line("weights.n_zero_params", "of these zero and not stored", int(zeros), "params"),
    ]
    return [*lines, line("weights_bytes", "weights", value, "bytes", sources=sources)]


def served_line(bill: Bill, stored: Format, key: str, label: str, value: int) -> Line:
    """Weights in a format of serving, on one device that holds them all."""
    sources = (stored.source,) if stored.source else ()
    if not stored.group:
        return line(key, label, value, "bytes", "n_params * bits / 8", sources=sources, n_params=bill.n_params(), bits=stored.bits)
    if not is_plain(stored):
        return line(key, label, value, "bytes", sources=sources)
    formula = "ceil(((n_params - n_quantised_params) * 16 + n_quantised_params * bits + n_groups * bits_per_group) / 8)"
    inputs: dict[str, Any] = {"n_params": bill.n_params(), "n_quantised_params": sum(quantised_params(bill)), "bits": stored.bits}
    inputs |= {"n_groups": n_groups(bill, stored), "bits_per_group": stored.group_bits}
    return line(key, label, value, "bytes", formula, sources=sources, **inputs)
