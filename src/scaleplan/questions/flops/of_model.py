"""The FLOP of one model: a batch, a token, a run, every convention, and the way from 6 N to the exact count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import units
from scaleplan.answer import Answer, Caution, Column, Line, Table, line, quantities
from scaleplan.chain.compute import Compute, compute_of, per_token
from scaleplan.chain.lengths import chosen_decoder_length, chosen_length, length_cautions
from scaleplan.chain.tokens import training_tokens, whole_sequences
from scaleplan.model.adapters import adapted_bill
from scaleplan.model.conventions import CONVENTIONS, convention_inputs, from_six_n, frozen_flops
from scaleplan.model.flops import Counting, SparseFlops, count_flops, serving_flops, share_of_dense, sparse_flops
from scaleplan.questions.flops.formats import format_lines, formats_of
from scaleplan.questions.flops.sparse import sparse_lines, sparse_note, sparse_result
from scaleplan.questions.training_lines import convention_line, recompute_lines, training_lines
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.model.sparsity import Sparsity
    from scaleplan.questions.flops import OfModel


class Counted(NamedTuple):
    """The compute of the model, the tokens of the run where they are known, and what is left without zeros where weights are sparse."""

    compute: Compute
    tokens: float | None
    sparsity: Sparsity | None = None
    sparse: SparseFlops | None = None


def solve(asked: OfModel) -> Counted:
    """The compute of a model; the tokens, the length and the batch may be arrays."""
    length, _ = chosen_length(asked.model, asked.seq_len)
    bill = adapted_bill(asked.model.arch, asked.lora)
    how = Counting(causal=asked.causal, window=asked.windowed, head=not asked.no_logits)
    batch = asked.batch_size_seqs
    if asked.batch_size_tokens is not None:
        batch = whole_sequences(asked.batch_size_tokens, length)
    compute = compute_of(
        bill,
        length,
        convention=asked.flops_convention,
        decoder_seq_len=chosen_decoder_length(asked.model, bill, length, asked.decoder_seq_len),
        batch_size_seqs=1 if batch is None else batch,
        how=how,
    )
    counted = Counted(compute, training_tokens(asked, length))
    if asked.sparsity is None:
        return counted
    sparse = sparse_flops(bill, compute.batch, how._replace(sparsity=asked.sparsity.share))
    return counted._replace(sparsity=asked.sparsity, sparse=sparse)


def explain(asked: OfModel, solved: Counted) -> Answer:
    """The answer for one model."""
    model, length = asked.model, solved.compute.seq_len
    lines = [*lines_of(solved, asked.recompute), *sparse_lines(solved.sparse, solved.compute, solved.tokens)]
    lines += format_lines(asked.precision, solved.compute)
    result = result_of(solved, lines)
    inputs = {
        "model": model.label,
        "seq_len": length,
        "tokens": solved.tokens,
        "flops_convention": asked.flops_convention,
        "causal": asked.causal,
        "windowed": asked.windowed,
        "no_logits": asked.no_logits,
        "recompute": asked.recompute,
        "lora": asked.lora and asked.lora._asdict(),
        "sparsity": asked.sparsity and asked.sparsity.spelled(),
        "precision": asked.precision,
    }
    return Answer(
        "flops",
        {key: value for key, value in inputs.items() if value not in (None, False)},
        result,
        [quantities(f"{model.label}, sequence length {length:,}", lines), conventions_table(result), steps_table(result)],
        lines=[*lines, *convention_lines(solved, result)],
        warnings=[*model.cautions, *length_cautions(model, length), *window_cautions(asked, solved.compute)],
        notes=notes_of(asked, result),
        more_sources=model.sources,
    )


def window_cautions(asked: OfModel, compute: Compute) -> list[Caution]:
    """A warning where no window hides a pair: the model has none, or sequences are shorter than it."""
    batch = compute.batch
    if not asked.windowed:
        return []
    how = Counting(causal=asked.causal, head=not asked.no_logits)
    whole = count_flops(
        compute.bill, compute.seq_len, decoder_seq_len=batch.lengths.decoder, batch_size_seqs=batch.batch_size_seqs, how=how
    )
    if whole.attention_flops != batch.attention_flops:
        return []
    message = (
        f"no attention window of {asked.model.label} is shorter than {compute.seq_len:,} tokens: {field('windowed')} counts every pair"
    )
    return [Caution("window", message)]


def lines_of(counted: Counted, recompute: str | None) -> list[Line]:
    """The numbers of the answer, each with its formula."""
    compute = counted.compute
    batch = compute.batch
    by_group = {f"{group}_flops": flops for group, flops in batch.groups.items()}
    forward = {"linear_flops": batch.linear_flops, "attention_flops": batch.attention_flops, "scan_flops": batch.scan_flops}
    tokens = {"n_tokens": compute.batch_tokens}
    lines = [
        Line("batch.linear_flops", "matmuls with weights, forward", batch.linear_flops, "FLOP", " + ".join(by_group) or None, by_group),
        Line("batch.attention_flops", "attention scores, forward", batch.attention_flops, "FLOP", *attention_formula(compute)),
        Line("batch.forward_flops", "forward, the batch", batch.forward_flops, "FLOP", " + ".join(forward), forward),
        *backward_lines(compute),
        line("batch.batch_tokens", "tokens of the batch", compute.batch_tokens, "tokens", "batch_size_seqs * seq_len", **sizes(compute)),
        ratio("forward_flops_per_token", "forward, per token", "forward_flops / n_tokens", forward_flops=batch.forward_flops, **tokens),
    ]
    lines += training_lines(counted.compute, counted.tokens)
    if recompute not in (None, "none"):
        lines += recompute_lines(counted.compute, counted.tokens, str(recompute))
    return lines


def sizes(compute: Compute) -> dict[str, Any]:
    """Sequences of the batch and their length."""
    return {"batch_size_seqs": compute.batch.batch_size_seqs, "seq_len": compute.seq_len}


def ratio(key: str, label: str, formula: str, **inputs: Any) -> Line:
    """A quotient per token, whole where it can be."""
    above, below = inputs.values()
    return line(key, label, per_token(above, below), "FLOP/token", formula, **inputs)


def backward_lines(compute: Compute) -> list[Line]:
    """Twice the forward pass, less the gradients of frozen weights."""
    batch = compute.batch
    frozen = frozen_flops(batch)
    if not frozen:
        return [
            line(
                "batch.backward_flops",
                "backward, the batch",
                batch.backward_flops,
                "FLOP",
                "2 * forward_flops",
                forward_flops=batch.forward_flops,
            )
        ]
    inputs = {"forward_flops": batch.forward_flops, "frozen_flops": frozen}
    return [
        line("batch.frozen_flops", "gradients of frozen weights, not computed", frozen, "FLOP"),
        line("batch.backward_flops", "backward, the batch", batch.backward_flops, "FLOP", "2 * forward_flops - frozen_flops", **inputs),
    ]


def attention_formula(compute: Compute) -> tuple[str | None, dict[str, Any] | None]:
    """The plain formula where every layer is alike and the square is full, else none."""
    scores = [(layer, o) for layer, o in compute.bill.operations() if o.per_pair]
    s, batch = compute.seq_len, compute.batch
    if len(scores) != 1:
        return None, None
    (layer, operation), seqs = scores[0], batch.batch_size_seqs
    if layer.runs * operation.per_pair * s * s * seqs != batch.attention_flops:
        return None, None
    inputs = {"batch_size_seqs": seqs, "seq_len": s, "n_layers": layer.runs, "flops_per_pair": operation.per_pair}
    return "batch_size_seqs * seq_len ** 2 * n_layers * flops_per_pair", inputs


# ------------------------------------------------------------------------------------------------------------------- result


def result_of(counted: Counted, lines: list[Line]) -> dict[str, Any]:
    """The keys that other programs read."""
    found = {line.key: line.value for line in lines}
    compute, batch, s = counted.compute, counted.compute.batch, counted.compute.seq_len
    terms = {"6 N of the parameters that a token passes": compute.conventions["six_n"]} | from_six_n(compute.bill, batch.lengths)
    return {
        "batch": {
            "batch_size_seqs": batch.batch_size_seqs,
            "seq_len": s,
            "batch_tokens": compute.batch_tokens,
            "decoder_seq_len": batch.lengths.decoder if len(compute.bill.arch.stacks) > 1 else None,
            "forward_flops": batch.forward_flops,
            "backward_flops": batch.backward_flops,
            "linear_flops": batch.linear_flops,
            "attention_flops": batch.attention_flops,
            "scan_flops": batch.scan_flops,
            "frozen_flops": frozen_flops(batch),
            "recomputed_flops": found.get("batch.recomputed_flops"),
            "flops_per_pair": (attention_formula(compute)[1] or {}).get("flops_per_pair"),
            "groups": batch.groups,
        },
        "flops_convention": compute.convention,
        "forward_flops_per_token": found["forward_flops_per_token"],
        "training_flops_per_token": found["training_flops_per_token"],
        "training_flops": found.get("training_flops"),
        "hardware_flops_per_token": found.get("hardware_flops_per_token"),
        "hardware_flops": found.get("hardware_flops"),
        "conventions": [convention_row(compute, name, counted.tokens) for name in compute.described],
        "convention_inputs": dict(convention_inputs(compute.bill, compute.params, batch.lengths)),
        "from_six_n": [{"term": term, "training_flops_per_token": per_token(flops, s)} for term, flops in terms.items()],
        "attention_share_of_dense": share_of_dense(compute.bill, batch.lengths),
        "serving": serving_flops(compute.bill, s)._asdict(),
        "sparse": sparse_result(counted.sparsity, compute, found),
        "formats": formats_of(lines),
    }


def convention_row(compute: Compute, name: str, tokens: float | None) -> dict[str, Any]:
    """One convention beside the exact count."""
    flops = compute.conventions[name]
    one = per_token(flops, compute.seq_len)
    return {
        "name": name,
        "training_flops_per_token": one,
        "training_flops": None if tokens is None else one * tokens,
        "relative_to_exact": flops / compute.conventions["exact"],
    }


def conventions_table(result: dict[str, Any]) -> Table:
    """Training FLOP as different sources count it."""
    rows: list[dict[str, Any]] = [{**row, **CONVENTIONS[row["name"]]._asdict()} for row in result["conventions"]]
    described = {row["name"] for row in rows}
    rows += [{"name": name, **way._asdict()} for name, way in CONVENTIONS.items() if name not in described]
    columns = [Column("name", "name"), Column("training_flops_per_token", "per token", "FLOP/token")]
    if result["training_flops"] is not None:
        columns.append(Column("training_flops", "training", "FLOP"))
    return Table("Conventions", [*columns, Column("relative_to_exact", "share", "fraction"), Column("formula", "formula")], rows)


def steps_table(result: dict[str, Any]) -> Table:
    """The way from 6 N to the exact count."""
    exact = next(row for row in result["conventions"] if row["name"] == "exact")
    rows = [*result["from_six_n"], {"term": "exact", "training_flops_per_token": exact["training_flops_per_token"]}]
    columns = [Column("term", "term"), Column("training_flops_per_token", "FLOP per token", "int")]
    return Table("From 6 N to the exact count", columns, rows, total=True)


def convention_lines(counted: Counted, result: dict[str, Any]) -> list[Line]:
    """Each convention with its arithmetic and its source."""
    return [convention_line(counted.compute, row["name"]) for row in result["conventions"]]


def notes_of(asked: OfModel, result: dict[str, Any]) -> list[str]:
    """What is to be said beside the numbers."""
    _, why = chosen_length(asked.model, asked.seq_len)
    serving = result["serving"]
    prefill, decode = (units.show_si(serving[key], "FLOP") for key in ("prefill_flops", "decode_flops_per_token"))
    length = result["batch"]["seq_len"]
    notes = [f"Inference: prefill {prefill} ({length:,}-token prompt), decode {decode} per token."]
    if result["training_flops"] is not None:
        pf_days = units.three_digits(result["training_flops"] / units.PF_DAY_FLOPS)
        notes.insert(0, f"Training: {pf_days} PF-days, {units.three_digits(result['training_flops'] / 1e21)} ZettaFLOP.")
    share = result["attention_share_of_dense"]
    if asked.sparsity is not None:
        notes.append(sparse_note(asked.sparsity, result["sparse"]))
    if share is not None and share != 1:
        notes.append(f"Attention: {100 * share:.3g} % of dense attention at this length, where a kernel skips what the pattern hides.")
    pairs = "causal" if asked.causal else "full (non-causal)"
    notes.append(f"Counts matmul FLOPs with {pairs} attention; a multiply-add is 2 FLOP; the backward pass is twice the forward pass.")
    return notes + ([why] if why else [])
