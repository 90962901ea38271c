"""Training FLOP by token, as different sources count it, and the steps from 6 N to the exact count.

A convention is one formula, `arithmetic`: it is what is computed and what is shown.

With an encoder and a decoder each token passes its own stream: a token of the encoder the encoder, a token of the decoder the
decoder. FLOP per token are those of both streams divided by the encoder's tokens, because the tokens of a run are its input.
"""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import Any, Literal, NamedTuple, TypeAlias

from scaleplan.arithmetic import evaluate
from scaleplan.model.arch import SEQUENCE, Block, Size
from scaleplan.model.flops import Counting, FlopCount, Lengths, count_flops
from scaleplan.model.items import Bill, Layer, Weight, total
from scaleplan.model.mixers import attention_width
from scaleplan.model.mixers.attention import Attention
from scaleplan.model.mixers.latent import LatentAttention
from scaleplan.model.params import EMBEDDINGS, HEADS, ParamCount, kaplan_params, mixer_matrices
from scaleplan.numeric import floats, minimum, where

Shapes: TypeAlias = Literal["any", "attention", "causal attention", "plain gpt", "windows"]
"""Shapes that a convention describes.

any               every one
attention         one stack of softmax attention
causal attention  one stack of causal softmax or latent attention; feed-forwards with or without a gate, experts
plain gpt         one stack of attention as wide as the model, without a gate, grouped heads or experts, d_ff = 4 d_model
windows           some layer sees a part of the keys
"""


class Convention(NamedTuple):
    """A way to count training FLOP by token.

    meaning     what is counted
    formula     as its source writes it
    arithmetic  the same in the names of `convention_inputs`
    sources     citation keys
    describes   the shapes that it is meant for; others have no such count
    """

    meaning: str
    formula: str
    arithmetic: str
    sources: tuple[str, ...] = ()
    describes: Shapes = "any"


CONVENTIONS: dict[str, Convention] = {
    "six_n": Convention("parameters that a token passes", "6 N", "6 * n_passed_params", ("kaplan2020",)),
    "six_n_non_embedding": Convention("without tables and head", "6 N_non_embedding", "6 * n_passed_non_embedding_params", ("kaplan2020",)),
    "kaplan": Convention(
        "weights of the layers by 2 d (2 d_attn + d_ff), experts as far as a token passes them, no gate",
        "6 N_kaplan",
        "6 * n_passed_kaplan",
        ("kaplan2020",),
    ),
    "kaplan_context": Convention(
        "and half of the attention square",
        "6 N_kaplan + 6 L s d_attn",
        "6 * n_passed_kaplan + 3 * attention_flops_per_token / 2",
        ("kaplan2020",),
    ),
    "palm": Convention(
        "parameters that a token passes, full attention square",
        "6 N + 12 L H Q T",
        "6 * n_passed_params + 3 * attention_flops_per_token",
        ("chowdhery2022",),
    ),
    "megatron": Convention(
        "today's counter of Megatron-LM: every product (grouped heads, gates, experts) but the router's, half of the square",
        "6 N_products + 6 L s d_attn",
        "3 * (linear_flops_per_token - router_flops_per_token) + 3 * attention_flops_per_token / 2",
        ("megatron-lm-flops",),
        "causal attention",
    ),
    "megatron2021": Convention(
        "plain GPT layers of this depth and width, with the head",
        "72 L h^2 + 12 L h s + 6 h V",
        "72 * n_layers * d_model ** 2 + 12 * n_layers * d_model * seq_len + 6 * d_model * n_vocab",
        ("narayanan2021",),
        "plain gpt",
    ),
    "megatron2021_recompute": Convention(
        "the same, every layer run forward twice",
        "96 L h^2 + 16 L h s + 6 h V",
        "96 * n_layers * d_model ** 2 + 16 * n_layers * d_model * seq_len + 6 * d_model * n_vocab",
        ("narayanan2021",),
        "plain gpt",
    ),
    "chinchilla": Convention(
        "appendix F as listed, look-up counted as a product",
        "3 (layers + 4 V d)",
        "3 * (appendix_f_flops_per_token + 4 * n_vocab * d_model)",
        ("hoffmann2022",),
        "attention",
    ),
    "chinchilla_layers": Convention(
        "appendix F as its table A4 was made, no vocabulary",
        "3 layers",
        "3 * appendix_f_flops_per_token",
        ("hoffmann2022",),
        "attention",
    ),
    "maxtext": Convention(
        "weights in products, half of the attention square",
        "6 N_products + 6 L s d_attn",
        "3 * linear_flops_per_token + 3 * attention_flops_per_token / 2",
        ("maxtext",),
    ),
    "exact": Convention(
        "every product as it is run, full attention square", "3 forward", "forward_flops_per_token + backward_flops_per_token"
    ),
    "exact_causal": Convention(
        "the same, only the pairs that causality leaves",
        "3 forward",
        "causal_forward_flops_per_token + causal_backward_flops_per_token",
    ),
    "exact_causal_windowed": Convention(
        "the same, only the pairs that causality and windows leave",
        "3 forward",
        "windowed_forward_flops_per_token + windowed_backward_flops_per_token",
        (),
        "windows",
    ),
}


def training_flops(bill: Bill, n: ParamCount, lengths: Lengths) -> dict[str, Size | None]:
    """Training FLOP of one sequence by every convention, None where a convention does not describe the shape.

    Whole where sizes are numbers. In a sweep a shape that is not described is NaN.
    """
    lengths = lengths.safe()
    inputs = exact_inputs(bill, n, lengths)
    return {name: sequence_flops(way, bill, inputs, lengths) for name, way in CONVENTIONS.items()}


def sequence_flops(way: Convention, bill: Bill, inputs: dict[str, Any], lengths: Lengths) -> Size | None:
    """Training FLOP of one sequence by one convention."""
    described = describes(way.describes, bill)
    if described is False:
        return None
    value = evaluate(way.arithmetic, inputs) * lengths.encoder
    return as_whole(value) if described is True else where(described, value, float("nan"))


def describes(shapes: Shapes, bill: Bill) -> Any:
    """Whether a bill is of one of these shapes: True, False, or an array of both in a sweep."""
    blocks = [layer.block for layer in bill.layers if layer.block is not None]
    if shapes == "windows":
        return any(operation.span is not None for _, operation in bill.operations())
    if shapes == "any":
        return True
    if len(bill.arch.stacks) > 1:
        return False
    if shapes == "attention":
        return all(isinstance(block.mixer, Attention) for block in blocks)
    if not all(is_causal_attention(block) for block in blocks):
        return False
    return True if shapes == "causal attention" else reduce(and_, map(is_plain_gpt, blocks))


def is_causal_attention(block: Block) -> bool:
    """Whether a layer's only mixer is causal softmax or latent attention to every key before."""
    mixer = block.mixer
    dense = isinstance(mixer, Attention) or (isinstance(mixer, LatentAttention) and mixer.indexer is None)
    return dense and block.beside is None and getattr(mixer, "causal", False)


def is_plain_gpt(block: Block) -> Any:
    """Whether a layer is attention as wide as the model and an ungated feed-forward of four times that."""
    mixer, spec = block.mixer, block.feed_forward
    if not isinstance(mixer, Attention) or spec is None or spec.gated or spec.experts is not None:
        return False
    d_model = block.d_model
    return (mixer.n_kv_heads == mixer.n_heads) & (mixer.n_heads * mixer.d_head == d_model) & (spec.d_ff == 4 * d_model)


def convention_inputs(bill: Bill, n: ParamCount, lengths: Lengths) -> dict[str, Size | float]:
    """The names in the arithmetic of the conventions with their numbers; FLOP are by token of the (encoder's) sequence."""
    return {name: as_number(value) for name, value in exact_inputs(bill, n, lengths.safe()).items()}


def exact_inputs(bill: Bill, n: ParamCount, lengths: Lengths) -> dict[str, Any]:
    """The same, with a fraction where FLOP by token are not whole."""
    s = lengths.encoder
    counts = {"": Counting(), "causal_": Counting(causal=True), "windowed_": Counting(causal=True, window=True)}
    found = {name: count_flops(bill, s, decoder_seq_len=lengths.decoder, how=how) for name, how in counts.items()}
    exact = found[""]
    by_token: dict[str, Any] = {
        "linear_flops_per_token": exact.linear_flops,
        "router_flops_per_token": exact.groups.get("router", 0),
        "attention_flops_per_token": exact.attention_flops,
        "appendix_f_flops_per_token": appendix_f(bill, s),
    }
    for name, count in found.items():
        by_token |= {f"{name}forward_flops_per_token": count.forward_flops, f"{name}backward_flops_per_token": count.backward_flops}
    return {
        "n_passed_params": passed(bill, n.n_active_params, lengths),
        "n_passed_non_embedding_params": passed(bill, n.n_active_non_embedding_params, lengths, (*EMBEDDINGS, *HEADS)),
        "n_passed_kaplan": passed_kaplan(bill, lengths),
        "n_layers": bill.n_layers,
        "d_model": bill.arch.d_model,
        "n_vocab": bill.arch.n_vocab,
        "seq_len": s,
        **{name: share_of(flops, s) for name, flops in by_token.items()},
    }


def passed(bill: Bill, n_active_params: Size, lengths: Lengths, without: tuple[str, ...] = ()) -> Any:
    """Parameters that a token passes; with two streams each token passes its own, by token of the encoder."""
    if len(bill.arch.stacks) == 1:
        return n_active_params
    active = (
        floats(layer.copies * weight.n_active_params) * passing(lengths, weight.stream)
        for layer, weight in bill.weights()
        if weight.group not in without
    )
    return share_of(total(active), lengths.encoder)


def passing(lengths: Lengths, stream: str) -> Size:
    """Tokens of a stream that 6 N counts: a pooler, which sees one position, is counted for every token."""
    return lengths.encoder if stream == SEQUENCE else lengths.of(stream)


def passed_kaplan(bill: Bill, lengths: Lengths) -> Any:
    """Kaplan's weights of the layers that a token passes: experts as far as it passes them."""
    each = (floats(layer.copies * kaplan_params(layer, used=True)) * passing(lengths, layer.stream) for layer in bill.layers)
    return share_of(total(each), lengths.encoder)


def share_of(flops: Any, s: Any) -> Any:
    """FLOP by token: whole or a fraction for numbers, a float in a sweep."""
    if not (isinstance(flops, int) and isinstance(s, int)):
        return flops / s
    if flops % s == 0:
        return flops // s
    from fractions import Fraction

    return Fraction(flops, s)


def as_number(value: Any) -> Any:
    """A fraction as a float; anything else as it is."""
    return value if isinstance(value, int | float) or hasattr(value, "dtype") else float(value)


def as_whole(value: Any) -> Any:
    """A number that is whole as an int; in a sweep as it is."""
    if isinstance(value, int) or hasattr(value, "dtype"):
        return value
    return int(value) if value == int(value) else float(value)


def appendix_f(bill: Bill, s: Size) -> Size:
    """Forward FLOP of the layers for one sequence, as hoffmann2022 lists them.

        2 3 s d (k h) + 2 s s (k h) + 3 h s s + 2 s s (k h) + 2 s (k h) d + 2 s (d f + d f)

    A gate is not in the list; experts count as far as a token passes them. A mixer without heads counts its matrices.
    """
    return total(floats(layer.runs) * appendix_f_layer(layer, s) for layer in bill.layers if layer.block is not None)


def appendix_f_layer(layer: Layer, s: Size) -> Size:
    """One layer of that list."""
    block = layer.block
    assert block is not None
    wide = attention_width(block.mixer)
    if wide is None:
        mixing = 2 * s * floats(mixer_matrices(layer))
    else:
        mixing = 8 * s * floats(block.d_model * wide) + 4 * s**2 * floats(wide) + 3 * s**2 * floats(getattr(block.mixer, "n_heads", 0))
    spec = block.feed_forward
    if spec is None:
        return mixing
    d_ff = 0 if spec.d_ff is None else spec.d_ff
    if spec.experts is not None:
        d_ff = d_ff + spec.experts.n_used * spec.experts.d_ff + (0 if spec.experts.d_shared is None else spec.experts.d_shared)
    return mixing + 4 * s * floats(block.d_model * d_ff)


# ---------------------------------------------------------------------------------------------------------- 6 N and exact


def from_six_n(bill: Bill, lengths: Lengths) -> dict[str, Size]:
    """What is to be added to 6 N for the exact count, term by term, for one sequence.

    The terms that are zero are left out; with 6 N and these the sum is exact.
    """
    lengths = lengths.safe()
    s = lengths.encoder
    terms: dict[str, Size] = {}
    for layer, weight in bill.weights():
        for name, flops in weight_terms(layer, weight, lengths):
            terms[name] = terms.get(name, 0) + flops
    exact = count_flops(bill, s, decoder_seq_len=lengths.decoder)
    terms["attention of every query to every key"] = 3 * exact.attention_flops
    terms["scans and convolutions"] = 3 * exact.scan_flops
    terms["no gradient of frozen weights"] = -frozen_flops(exact)
    return {name: flops for name, flops in terms.items() if not (isinstance(flops, int) and flops == 0)}


def frozen_flops(count: FlopCount) -> Size:
    """What the backward pass saves where weights are frozen."""
    return 2 * count.forward_flops - count.backward_flops


def weight_terms(layer: Layer, weight: Weight, lengths: Lengths) -> list[tuple[str, Size]]:
    """How one weight's work differs from 6 FLOP a parameter that a token passes."""
    s, n_tokens = 6 * passing(lengths, weight.stream), lengths.of(weight.stream)
    active = minimum(weight.used, weight.stored) * weight.elements
    if not weight.matmul:
        name = "tables are looked up, not multiplied" if weight.group in EMBEDDINGS else "norms, biases and other vectors are no products"
        return [(name, -s * floats(layer.copies * active))]
    used = weight.used * weight.elements
    return [
        ("the tied head is a product too", s * floats(layer.copies * (used - active))),
        ("layers that share weights run again", s * floats((layer.runs - layer.copies) * used)),
        ("a pooler sees one position", (6 * n_tokens - s) * floats(layer.runs * used)),
    ]
