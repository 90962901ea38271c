"""Training FLOP of one sequence, as different sources count it, and the steps from 6 N to the exact count.

Everything is for one sequence, so that whole numbers stay whole; divide by its tokens for FLOP per token. With an encoder and a
decoder, tokens are the encoder's.
"""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.model.arch import Size
from scaleplan.model.flops import Counting, FlopCount, Lengths, count_flops
from scaleplan.model.items import Bill, Layer, Weight, total
from scaleplan.model.mixers import attention_width
from scaleplan.model.params import EMBEDDINGS, ParamCount, mixer_matrices
from scaleplan.numeric import floats, minimum


class Convention(NamedTuple):
    """A way to count training FLOP by token.

    meaning     what is counted
    formula     as its source writes it
    arithmetic  the same in the names of `convention_inputs`
    sources     citation keys
    """

    meaning: str
    formula: str
    arithmetic: str
    sources: tuple[str, ...] = ()


CONVENTIONS: dict[str, Convention] = {
    "six_n": Convention("all parameters", "6 N", "6 * n_params", ("kaplan2020",)),
    "six_n_active": Convention("parameters that a token passes", "6 N_active", "6 * n_active_params", ("kaplan2020",)),
    "six_n_non_embedding": Convention("without tables and head", "6 N_non_embedding", "6 * n_active_non_embedding_params", ("kaplan2020",)),
    "kaplan": Convention("weights of the layers by 2 d (2 d_attn + d_ff)", "6 N_kaplan", "6 * n_kaplan", ("kaplan2020",)),
    "kaplan_context": Convention(
        "and half of the attention square", "6 N_kaplan + 6 L s d_attn", "6 * n_kaplan + 1.5 * attention_flops_per_token", ("kaplan2020",)
    ),
    "palm": Convention(
        "parameters that a token passes, full attention square",
        "6 N + 12 L H Q T",
        "6 * n_active_params + 3 * attention_flops_per_token",
        ("chowdhery2022",),
    ),
    "megatron": Convention(
        "plain GPT layers of this depth and width, with the head",
        "72 L h^2 + 12 L h s + 6 h V",
        "72 * n_layers * d_model ** 2 + 12 * n_layers * d_model * seq_len + 6 * d_model * n_vocab",
        ("narayanan2021",),
    ),
    "megatron_recompute": Convention(
        "the same, every layer run forward twice",
        "96 L h^2 + 16 L h s + 6 h V",
        "96 * n_layers * d_model ** 2 + 16 * n_layers * d_model * seq_len + 6 * d_model * n_vocab",
        ("narayanan2021",),
    ),
    "chinchilla": Convention(
        "appendix F as listed, look-up counted as a product",
        "3 (layers + 4 V d)",
        "3 * (appendix_f_flops_per_token + 4 * n_vocab * d_model)",
        ("hoffmann2022",),
    ),
    "chinchilla_layers": Convention(
        "appendix F as its table A4 was made, no vocabulary", "3 layers", "3 * appendix_f_flops_per_token", ("hoffmann2022",)
    ),
    "maxtext": Convention(
        "weights in products, half of the attention square",
        "6 N_products + 6 L s d_attn",
        "3 * linear_flops_per_token + 1.5 * attention_flops_per_token",
        ("maxtext",),
    ),
    "exact": Convention(
        "every product as it is run, full attention square", "3 forward", "forward_flops_per_token + backward_flops_per_token"
    ),
    "exact_causal": Convention(
        "the same, only pairs that causality and windows leave",
        "3 forward",
        "causal_forward_flops_per_token + causal_backward_flops_per_token",
    ),
}


def convention_inputs(bill: Bill, n: ParamCount, lengths: Lengths) -> dict[str, Size | float]:
    """What the arithmetic of the conventions is made of; FLOP are by token of the (encoder's) sequence."""
    lengths = lengths.safe()
    s = lengths.encoder
    exact = count_flops(bill, s, decoder_seq_len=lengths.decoder)
    causal = count_flops(bill, s, decoder_seq_len=lengths.decoder, how=Counting(causal=True, window=True))
    return {
        "n_params": n.n_params,
        "n_active_params": n.n_active_params,
        "n_active_non_embedding_params": n.n_active_non_embedding_params,
        "n_kaplan": n.kaplan,
        "n_layers": n_layers(bill),
        "d_model": bill.arch.d_model,
        "n_vocab": bill.arch.n_vocab,
        "seq_len": s,
        "linear_flops_per_token": exact.linear_flops / s,
        "attention_flops_per_token": exact.attention_flops / s,
        "appendix_f_flops_per_token": appendix_f(bill, s) / s,
        "forward_flops_per_token": exact.forward_flops / s,
        "backward_flops_per_token": exact.backward_flops / s,
        "causal_forward_flops_per_token": causal.forward_flops / s,
        "causal_backward_flops_per_token": causal.backward_flops / s,
    }


def training_flops(bill: Bill, n: ParamCount, lengths: Lengths) -> dict[str, Size]:
    """Training FLOP of one sequence by every convention."""
    lengths = lengths.safe()
    s = lengths.encoder
    exact = count_flops(bill, s, decoder_seq_len=lengths.decoder)
    causal = count_flops(bill, s, decoder_seq_len=lengths.decoder, how=Counting(causal=True, window=True))
    square = exact.attention_flops
    d, vocabulary, layers = bill.arch.d_model, bill.arch.n_vocab, n_layers(bill)
    listed = appendix_f(bill, s)
    return {
        "six_n": 6 * s * floats(n.n_params),
        "six_n_active": 6 * s * floats(n.n_active_params),
        "six_n_non_embedding": 6 * s * floats(n.n_active_non_embedding_params),
        "kaplan": 6 * s * floats(n.kaplan),
        "kaplan_context": 6 * s * floats(n.kaplan) + 3 * square // 2,
        "palm": 6 * s * floats(n.n_active_params) + 3 * square,
        "megatron": 72 * s * floats(layers * d**2) + 12 * s**2 * floats(layers * d) + 6 * s * floats(d * vocabulary),
        "megatron_recompute": 96 * s * floats(layers * d**2) + 16 * s**2 * floats(layers * d) + 6 * s * floats(d * vocabulary),
        "chinchilla": 3 * listed + 12 * s * floats(vocabulary * d),
        "chinchilla_layers": 3 * listed,
        "maxtext": 3 * exact.linear_flops + 3 * square // 2,
        "exact": exact.training_flops,
        "exact_causal": causal.training_flops,
    }


def n_layers(bill: Bill) -> Size:
    """Layers that a token passes, encoder and decoder together."""
    return total(layer.runs for layer in bill.layers if layer.place == "block")


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
    """How one weight's work differs from 6 FLOP a parameter and token."""
    s = 6 * lengths.encoder
    active = minimum(weight.used, weight.stored) * weight.elements
    idle = ("experts that a token does not pass", -s * layer.copies * floats(weight.n_params - active))
    if not weight.matmul:
        name = "tables are looked up, not multiplied" if weight.group in EMBEDDINGS else "norms, biases and other vectors are no products"
        return [idle, (name, -s * floats(layer.copies * active))]
    used = weight.used * weight.elements
    return [
        idle,
        ("the tied head is a product too", s * floats(layer.copies * (used - active))),
        ("layers that share weights run again", s * floats((layer.runs - layer.copies) * used)),
        ("streams of another length", 6 * (lengths.of(weight.stream) - lengths.encoder) * floats(layer.runs * used)),
    ]
