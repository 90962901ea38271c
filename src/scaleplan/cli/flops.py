"""`scaleplan flops`: how much compute to train and to serve, by every convention."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import typer

from scaleplan import units
from scaleplan.answer import Answer, Caution, Column, Line, Table, quantities
from scaleplan.arithmetic import names_in
from scaleplan.cli.models import LoraOption, bill_with, with_model
from scaleplan.cli.options import BatchSizeSeqs, BatchSizeTokens, BytesPerToken, NSteps, Recompute, SeqLen, Text, Tokens, command, quantity
from scaleplan.cli.tokens import training_tokens
from scaleplan.errors import NotSupported
from scaleplan.model.conventions import CONVENTIONS, convention_inputs, from_six_n, training_flops
from scaleplan.model.flops import Counting, FlopCount, Lengths, count_flops, recomputed_flops, serving_flops, share_of_dense
from scaleplan.model.items import Bill
from scaleplan.model.params import ParamCount, count_params
from scaleplan.model_files import Model

DecoderSeqLen = Annotated[
    int | None, quantity("--decoder-seq-len", units.count, "Tokens that the decoder sees, beside an encoder of --seq-len.", metavar="S")
]
Causal = Annotated[bool, typer.Option("--causal", help="Count only pairs of a token with those before it, not the full square.")]
Windowed = Annotated[bool, typer.Option("--windowed", help="Count only pairs that sliding windows show, not the full square.")]
NoLogits = Annotated[bool, typer.Option("--no-logits", help="Leave out the product with the vocabulary.")]

FLOP_PER_PF_DAY = 1e15 * 86400
USUAL_SEQ_LEN = 2048


class Counted(NamedTuple):
    """Everything that the answer shows."""

    bill: Bill
    params: ParamCount
    batch: FlopCount
    tokens: float | None

    @property
    def lengths(self) -> Lengths:
        return self.batch.lengths

    @property
    def batch_tokens(self) -> int:
        """Tokens of the batch; with an encoder and a decoder, the encoder's."""
        return int(self.batch.batch_size_seqs * self.lengths.encoder)


@command
@with_model
def flops(
    model: Model,
    seq_len: SeqLen = None,
    decoder_seq_len: DecoderSeqLen = None,
    tokens: Tokens = None,
    n_steps: NSteps = None,
    batch_size_seqs: BatchSizeSeqs = None,
    batch_size_tokens: BatchSizeTokens = None,
    text: Text = None,
    bytes_per_token: BytesPerToken = None,
    causal: Causal = False,
    windowed: Windowed = False,
    no_logits: NoLogits = False,
    recompute: Recompute = None,
    lora: LoraOption = None,
) -> Answer:
    """How much compute to train and to serve, 6N and 2N beside the exact count?

    \b
    Examples:
      scaleplan flops gpt2 --tokens 300B --seq-len 1024
      scaleplan flops llama-3-8b --seq-len 8192 --batch-size-seqs 4 --causal
      scaleplan flops ./config.json --tokens 1T --recompute full -v
    """
    length, why = chosen_length(model, seq_len)
    n_tokens = training_tokens(tokens, n_steps, batch_size_tokens, batch_size_seqs, length, text, bytes_per_token)
    bill = bill_with(model, lora)
    how = Counting(causal=causal, window=windowed, head=not no_logits)
    batch = count_flops(bill, length, decoder_seq_len=decoder_length(bill, decoder_seq_len), batch_size_seqs=batch_size_seqs or 1, how=how)
    counted = Counted(bill, count_params(bill), batch, n_tokens)
    lines = lines_of(counted, recompute)
    result = result_of(counted, lines)
    inputs = {
        "model": model.label,
        "seq_len": length,
        "tokens": n_tokens,
        "causal": causal,
        "windowed": windowed,
        "recompute": recompute,
        "lora": lora and lora._asdict(),
    }
    return Answer(
        "flops",
        {key: value for key, value in inputs.items() if value not in (None, False)},
        result,
        [quantities(f"{model.label}, {length:,} tokens in a sequence", lines), conventions_table(result), steps_table(result)],
        lines=[*lines, *convention_lines(counted, result)],
        warnings=[*model.cautions, *length_cautions(model, length)],
        notes=notes_of(why, result, how),
        more_sources=model.sources,
    )


def chosen_length(model: Model, seq_len: int | None) -> tuple[int, str]:
    """The sequence length, and a sentence on where it is from when it was not given."""
    if seq_len is not None:
        return seq_len, ""
    if "seq_len" in model.training:
        return int(model.training["seq_len"]), "The length of a sequence is that of the model's training; --seq-len gives another."
    known = model.arch.max_seq_len
    length = min(USUAL_SEQ_LEN, known) if known else USUAL_SEQ_LEN
    return length, f"{length:,} tokens in a sequence are assumed; --seq-len gives another length."


def decoder_length(bill: Bill, seq_len: int | None) -> int | None:
    """The decoder's length, which only a model with both streams has apart from the encoder's."""
    if seq_len is not None and len(bill.arch.stacks) == 1:
        raise NotSupported("--decoder-seq-len: this model has no encoder beside its decoder", hint="give its length as --seq-len")
    return seq_len


def length_cautions(model: Model, seq_len: int) -> list[Caution]:
    """A warning for sequences longer than the model has positions for."""
    known = model.arch.max_seq_len
    if known is None or seq_len <= known:
        return []
    message = f"the model takes sequences of at most {known:,} tokens; {seq_len:,} were asked for"
    return [Caution("extrapolation", message, {"factor": seq_len / known})]


def divided(a: int, b: int) -> int | float:
    """A quotient that stays whole where it can."""
    whole, rest = divmod(a, b)
    return a / b if rest else whole


# ------------------------------------------------------------------------------------------------------------------ numbers


def lines_of(counted: Counted, recompute: str | None) -> list[Line]:
    """The numbers of the answer, each with its formula."""
    batch, n_tokens = counted.batch, counted.batch_tokens
    by_group = {f"{group}_flops": flops for group, flops in batch.groups.items()}
    forward = {"linear_flops": batch.linear_flops, "attention_flops": batch.attention_flops, "scan_flops": batch.scan_flops}
    lines = [
        Line("batch.linear_flops", "products with weights, forward", batch.linear_flops, "FLOP", " + ".join(by_group) or None, by_group),
        Line("batch.attention_flops", "attention scores, forward", batch.attention_flops, "FLOP", *attention_formula(counted)),
        Line("batch.forward_flops", "forward, the batch", batch.forward_flops, "FLOP", " + ".join(forward), forward),
        backward_line(counted),
        ratio_line("forward_flops_per_token", "forward, a token", "forward_flops", batch.forward_flops, n_tokens),
        ratio_line("training_flops_per_token", "training, a token", "training_flops", batch.training_flops, n_tokens),
    ]
    one = lines[-1]
    if recompute not in (None, "none"):
        again = recomputed_flops(batch, recompute)
        inputs = {"training_flops": batch.training_flops, "recomputed_flops": again, "n_tokens": n_tokens}
        value = divided(batch.training_flops + again, n_tokens)
        formula = "(training_flops + recomputed_flops) / n_tokens"
        lines.append(
            Line("hardware_flops_per_token", f"training with {recompute} recomputation, a token", value, "FLOP/token", formula, inputs)
        )
        one = lines[-1]
    if counted.tokens is not None:
        lines.append(total_line("training_flops", "training", lines[5], counted.tokens))
        if one is not lines[5]:
            lines.append(total_line("hardware_flops", "training, hardware FLOP", one, counted.tokens))
    return lines


def ratio_line(key: str, label: str, name: str, flops: int, n_tokens: int) -> Line:
    """FLOP of the batch by token."""
    return Line(key, label, divided(flops, n_tokens), "FLOP/token", f"{name} / n_tokens", {name: flops, "n_tokens": n_tokens})


def total_line(key: str, label: str, one: Line, tokens: float) -> Line:
    """FLOP of a whole run from that of a token."""
    inputs = {"flops_per_token": one.value, "n_tokens": tokens}
    return Line(key, label, one.value * tokens, "FLOP", "flops_per_token * n_tokens", inputs)


def backward_line(counted: Counted) -> Line:
    """Twice the forward pass, less the gradients of frozen weights."""
    batch = counted.batch
    frozen = 2 * batch.forward_flops - batch.backward_flops
    inputs = {"forward_flops": batch.forward_flops} | ({"frozen_flops": frozen} if frozen else {})
    formula = "2 * forward_flops" + (" - frozen_flops" if frozen else "")
    return Line("batch.backward_flops", "backward, the batch", batch.backward_flops, "FLOP", formula, inputs)


def attention_formula(counted: Counted) -> tuple[str | None, dict[str, Any] | None]:
    """The plain formula where every layer is alike and the square is full, else none."""
    scores = [(layer, o) for layer, o in counted.bill.operations() if o.per_pair]
    s, batch = counted.lengths.encoder, counted.batch
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
    batch, s = counted.batch, counted.lengths.encoder
    described = training_flops(counted.bill, counted.params, counted.lengths)
    by_name = {name: flops for name, flops in described.items() if flops is not None}
    exact = by_name["exact"]
    terms = {"6 N of the parameters that a token passes": by_name["six_n"]} | from_six_n(counted.bill, counted.lengths)
    return {
        "batch": {
            "batch_size_seqs": batch.batch_size_seqs,
            "seq_len": s,
            "decoder_seq_len": counted.lengths.decoder if len(counted.bill.arch.stacks) > 1 else None,
            "forward_flops": batch.forward_flops,
            "backward_flops": batch.backward_flops,
            "linear_flops": batch.linear_flops,
            "attention_flops": batch.attention_flops,
            "scan_flops": batch.scan_flops,
            "groups": batch.groups,
        },
        "forward_flops_per_token": found["forward_flops_per_token"],
        "training_flops_per_token": found["training_flops_per_token"],
        "training_flops": found.get("training_flops"),
        "hardware_flops_per_token": found.get("hardware_flops_per_token"),
        "hardware_flops": found.get("hardware_flops"),
        "conventions": [convention_row(name, flops, exact, s, counted.tokens) for name, flops in by_name.items()],
        "from_six_n": [{"term": term, "training_flops_per_token": divided(flops, s)} for term, flops in terms.items()],
        "attention_share_of_dense": share_of_dense(counted.bill, counted.lengths),
        "serving": serving_flops(counted.bill, s)._asdict(),
    }


def convention_row(name: str, flops: int, exact: int, s: int, tokens: float | None) -> dict[str, Any]:
    """One convention beside the exact count."""
    one = divided(flops, s)
    return {
        "name": name,
        "training_flops_per_token": one,
        "training_flops": None if tokens is None else one * tokens,
        "relative_to_exact": flops / exact,
    }


def conventions_table(result: dict[str, Any]) -> Table:
    """Training FLOP as different sources count it."""
    rows: list[dict[str, Any]] = [{**row, **CONVENTIONS[row["name"]]._asdict()} for row in result["conventions"]]
    shown = {row["name"] for row in rows}
    rows += [{"name": name, **way._asdict()} for name, way in CONVENTIONS.items() if name not in shown]
    columns = [Column("name", "name"), Column("training_flops_per_token", "a token", "FLOP/token")]
    if result["training_flops"] is not None:
        columns.append(Column("training_flops", "training", "FLOP"))
    return Table("Conventions", [*columns, Column("relative_to_exact", "share", "fraction"), Column("formula", "formula")], rows)


def steps_table(result: dict[str, Any]) -> Table:
    """The way from 6 N to the exact count."""
    rows = [*result["from_six_n"], {"term": "exact", "training_flops_per_token": exact_row(result)["training_flops_per_token"]}]
    columns = [Column("term", "term"), Column("training_flops_per_token", "FLOP a token", "int")]
    return Table("From 6 N to the exact count", columns, rows, total=True)


def exact_row(result: dict[str, Any]) -> dict[str, Any]:
    """The row of the exact convention."""
    return next(row for row in result["conventions"] if row["name"] == "exact")


def convention_lines(counted: Counted, result: dict[str, Any]) -> list[Line]:
    """Each convention with its arithmetic and its source."""
    known = convention_inputs(counted.bill, counted.params, counted.lengths)
    lines = []
    for row in result["conventions"]:
        way = CONVENTIONS[row["name"]]
        inputs = {name: known[name] for name in names_in(way.arithmetic)}
        key, label = f"conventions.{row['name']}.training_flops_per_token", f"{row['name']}: {way.meaning}"
        lines.append(Line(key, label, row["training_flops_per_token"], "FLOP/token", way.arithmetic, inputs, way.sources))
    return lines


def notes_of(why: str, result: dict[str, Any], how: Counting) -> list[str]:
    """What is to be said beside the numbers."""
    serving = result["serving"]
    reading, writing = (units.show_si(serving[key], "FLOP") for key in ("prefill_flops", "decode_flops_per_token"))
    notes = [f"Serving: {reading} to read a prompt of that length, {writing} for each token written after it."]
    if result["training_flops"] is not None:
        pf_days = units.three_digits(result["training_flops"] / FLOP_PER_PF_DAY)
        notes.insert(0, f"Training: {pf_days} PF-days, {units.three_digits(result['training_flops'] / 1e21)} ZettaFLOP.")
    share = result["attention_share_of_dense"]
    if share is not None and share != 1:
        notes.append(f"Attention: {100 * share:.3g} % of dense attention at this length, where a kernel skips what the pattern hides.")
    square = "the pairs that causality leaves" if how.causal else "the full square of attention"
    notes.append(f"The count is of matrix products over {square}; a multiply-add is two FLOP; the backward pass is twice the forward pass.")
    return notes + ([why] if why else [])
