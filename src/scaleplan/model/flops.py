"""Bill -> FLOP: of one batch exactly, of training and serving by token, and by the conventions in use.

A multiply-add is two FLOP. Matrix products count; norms, biases, activations, softmax and look-ups do not. The backward pass is
twice the forward pass, once where a weight is frozen (its gradient is not computed, that of its input is).
"""

from typing import NamedTuple

from scaleplan.model.arch import DECODER, ENCODER, SEQUENCE, Size, Span
from scaleplan.model.items import Bill, Layer, Operation, Weight, pruned_elements, total
from scaleplan.model.mixers import dense_pair_flops
from scaleplan.model.passes import recomputation, recomputed_modules
from scaleplan.numeric import ceil_div, floats, maximum, minimum


class Counting(NamedTuple):
    """What is counted, where people differ.

    causal    only the pairs of a query with the keys before it; else the full square
    window    only the keys that a sliding window shows; else the full square, as code that masks them computes it
    head      the product with the vocabulary
    sparsity  share of the weights of the layers' matrices that are zero and whose products are skipped
    """

    causal: bool = False
    window: bool = False
    head: bool = True
    sparsity: Size = 0


EXACT = Counting()
WINDOWED = Counting(window=True)


class Lengths(NamedTuple):
    """Tokens of one sequence in each stream."""

    decoder: Size
    encoder: Size

    def of(self, stream: str) -> Size:
        """Length of a stream by its name."""
        return {DECODER: self.decoder, ENCODER: self.encoder, SEQUENCE: 1}[stream]

    def safe(self) -> "Lengths":
        """The same with arrays as float64: FLOP of long sequences would overflow whole numbers without a word."""
        return Lengths(floats(self.decoder), floats(self.encoder))


EXPANSIONS = ("Q up", "KV up")
"""Matrices that expand latents to heads."""


class FlopCount(NamedTuple):
    """FLOP of one batch.

    linear_flops            products with a weight, experts and router included, forward
    attention_flops         scores and weighted sums, forward
    scan_flops              scans and convolutions, forward
    input_gradients_flops   gradients of what products read, backward: once for a weight, twice for scores and scans
    weight_gradients_flops  gradients of the weights that are trained, backward
    groups                  linear FLOP by group of weights
    expansion_flops         products that expand latents to heads (deepseek2024-v2), forward
    """

    batch_size_seqs: Size
    lengths: Lengths
    linear_flops: Size
    attention_flops: Size
    scan_flops: Size
    input_gradients_flops: Size
    weight_gradients_flops: Size
    groups: dict[str, Size]
    expansion_flops: Size = 0

    @property
    def forward_flops(self) -> Size:
        return self.linear_flops + self.attention_flops + self.scan_flops

    @property
    def backward_flops(self) -> Size:
        return self.input_gradients_flops + self.weight_gradients_flops

    @property
    def training_flops(self) -> Size:
        """Forward and backward, nothing recomputed."""
        return self.forward_flops + self.backward_flops


def count_flops(
    bill: Bill, seq_len: Size, *, decoder_seq_len: Size | None = None, batch_size_seqs: Size = 1, how: Counting = EXACT
) -> FlopCount:
    """FLOP of a batch of sequences of `seq_len` tokens; with an encoder and a decoder that is the encoder's length."""
    lengths = Lengths(seq_len if decoder_seq_len is None else decoder_seq_len, seq_len).safe()
    batch_size_seqs = floats(batch_size_seqs)
    products = [(layer, w) for layer, w in bill.weights() if w.matmul and counted(w, how)]
    linear = [(w, linear_flops(layer, w, lengths, batch_size_seqs, how)) for layer, w in products]
    work = [(o, operation_flops(layer, o, lengths, batch_size_seqs, how)) for layer, o in bill.operations()]
    used = dict.fromkeys(w.group for w, _ in linear)
    forward = total(flops for _, flops in linear)
    other = total(flops for _, flops in work)
    frozen = total(flops for w, flops in linear if not w.trainable)
    return FlopCount(
        batch_size_seqs=batch_size_seqs,
        lengths=lengths,
        linear_flops=forward,
        attention_flops=total(flops for o, flops in work if is_pairwise(o)),
        scan_flops=total(flops for o, flops in work if not is_pairwise(o)),
        input_gradients_flops=forward + 2 * other,
        weight_gradients_flops=forward - frozen,
        groups={group: total(flops for w, flops in linear if w.group == group) for group in used},
        expansion_flops=total(flops for w, flops in linear if w.name in EXPANSIONS),
    )


def counted(weight: Weight, how: Counting) -> bool:
    """Whether a weight's product is counted at all."""
    return how.head or weight.group != "head_matrix"


def is_pairwise(operation: Operation) -> bool:
    """Whether it is attention; hashed attention is, though its pairs are fixed for each token."""
    return "scores" in operation.name or operation.name == "hashing"


def linear_flops(layer: Layer, weight: Weight, lengths: Lengths, batch: Size, how: Counting) -> Size:
    """2 FLOP for each weight that a token passes, each token and each run of the layer; nothing for zeros that are skipped."""
    per_token = floats(2 * layer.runs * weight.used * (weight.elements - pruned_elements(layer, weight, how.sparsity)))
    return per_token * lengths.of(weight.stream) * batch


def operation_flops(layer: Layer, operation: Operation, lengths: Lengths, batch: Size, how: Counting) -> Size:
    """Work without weights: by token and by pair of query and key."""
    queries, keys = lengths.of(operation.queries), lengths.of(operation.keys)
    pairs = seen_pairs(queries, keys, operation, how)
    return floats(layer.runs * operation.per_token) * queries * batch + floats(layer.runs * operation.per_pair) * pairs * batch


def seen_pairs(queries: Size, keys: Size, operation: Operation, how: Counting) -> Size:
    """Pairs of a query and a key in one sequence."""
    causal = how.causal and operation.causal
    span = operation.span
    if span is None or (span.masked and not how.window):
        return queries * (queries + 1) // 2 if causal else queries * keys
    return span_pairs(span, queries, keys, causal)


def span_pairs(span: Span, queries: Size, keys: Size, causal: bool) -> Size:
    """Pairs that a pattern lets through.

    local       min(local, keys) a query; causal, a triangle at the beginning, or one for each block
    stride      per_stride keys of every `stride`
    random      n_random
    global      n_global for each query, and every key for each of the n_global
    causal      half of the last three: the other key of each such pair comes after its query
    """
    local = 0 if span.local is None else minimum(span.local, keys)
    near = queries * local if not causal else in_blocks(queries, local) if span.chunked else queries * local - local * (local - 1) // 2
    far = span.n_random + span.n_global
    if span.stride is not None:
        far = far + span.per_stride * ceil_div(keys, span.stride)
    rest = queries * far + span.n_global * keys
    square = queries * (queries + 1) // 2 if causal else queries * keys
    return minimum(near + (rest // 2 if causal else rest), square)


def in_blocks(queries: Size, local: Size) -> Size:
    """Causal pairs inside blocks of `local` tokens, the last of which may be shorter."""
    left = queries % maximum(local, 1)  # no keys, no queries
    return (queries - left) * (local + 1) // 2 + left * (left + 1) // 2


# ------------------------------------------------------------------------------------------------ recomputation and serving


def recomputed_flops(count: FlopCount, recompute: str) -> Size:
    """Forward FLOP of a batch that are run a second time in the backward pass.

    full       every layer, not the head (chen2016)
    selective  scores and weighted sums of attention only (korthikanti2022)
    per-op     attention and every second product, as selective activation checkpointing by operator does
    none       nothing
    modules    the products of each: attention core, expansion of latents, dense or routed feed-forward; norms and activations have none
    """
    layers = count.forward_flops - count.groups.get("head_matrix", 0) - count.groups.get("head_transform", 0)
    again = {"full": layers, "selective": count.attention_flops, "none": 0}
    again["per-op"] = count.attention_flops + (layers - count.attention_flops) // 2
    return again[recompute] if recompute in again else total(module_flops(count, name) for name in modules_named(recompute))


def modules_named(recompute: str) -> frozenset[str]:
    """The modules of a recomputation; raises UnknownName for a word that is none."""
    recomputation(recompute)
    return recomputed_modules(recompute) or frozenset()


def module_flops(count: FlopCount, module: str) -> Size:
    """Forward FLOP of one module that can be recomputed alone."""
    groups = {"mlp": ("mlp_dense",), "moe": ("router", "experts_routed", "experts_shared")}.get(module, ())
    other = {"core_attn": count.attention_flops, "mla_up_proj": count.expansion_flops}.get(module, 0)
    return other + total(count.groups.get(group, 0) for group in groups)


def share_of_dense(bill: Bill, lengths: Lengths) -> float | None:
    """Forward FLOP of attention over those of dense attention with the same heads and lengths, as far as patterns leave pairs out.

    Linear and hashed attention count with their states and chunks. None for a model that mixes tokens without heads.
    """
    sparse, dense = 0, 0
    for layer, operation in bill.operations():
        queries, keys = lengths.of(operation.queries), lengths.of(operation.keys)
        if operation.per_pair:
            sparse += layer.runs * operation.per_pair * seen_pairs(queries, keys, operation, WINDOWED)
            dense += layer.runs * operation.per_pair * queries * keys
        elif (pair := None if layer.block is None else dense_pair_flops(layer.block.mixer)) is not None:
            sparse += layer.runs * operation.per_token * queries
            if operation.name in ("state", "attention scores"):
                dense += layer.runs * pair * queries * keys
    return sparse / dense if dense else None


class SparseFlops(NamedTuple):
    """FLOP of a batch of which products with zero weights are skipped.

    zero_flops     products with zeros, forward; as many again in the gradients of inputs, and in those of the weights if they are trained
    forward_flops, training_flops  all of them skipped
    skipped_training_flops  zeros skipped where a weight is an operand, forward and in the gradients of inputs; the gradients of
                            the weights are products of dense tensors
    """

    zero_flops: Size
    forward_flops: Size
    training_flops: Size
    skipped_training_flops: Size


def sparse_flops(bill: Bill, dense: FlopCount, how: Counting) -> SparseFlops:
    """The batch that `dense` counts, without the zeros of `how.sparsity`."""
    lengths, batch = dense.lengths, dense.batch_size_seqs
    left = count_flops(bill, lengths.encoder, decoder_seq_len=lengths.decoder, batch_size_seqs=batch, how=how)
    zeros = dense.linear_flops - left.linear_flops
    return SparseFlops(zeros, left.forward_flops, left.training_flops, dense.training_flops - 2 * zeros)


class ServingFlops(NamedTuple):
    """FLOP of answering one sequence.

    prefill_flops            the whole prompt, causal; logits of its last position only
    decode_flops_per_token   one token after a prompt of that length, with its logits
    """

    prefill_flops: Size
    decode_flops_per_token: Size


def serving_flops(bill: Bill, n_prompt_tokens: Size, sparsity: Size = 0) -> ServingFlops:
    """What a prompt and each token after it cost, products with a share of zeros skipped. An encoder-only model writes nothing after."""
    prompt = count_flops(bill, n_prompt_tokens, how=Counting(causal=True, window=True, head=False, sparsity=sparsity)).forward_flops
    one = count_flops(bill, 1, how=Counting(sparsity=sparsity))
    scores = total(layer.runs * o.per_pair * seen_by_last(o, n_prompt_tokens) for layer, o in bill.operations())
    return ServingFlops(prompt + one.groups.get("head_matrix", 0), one.linear_flops + one.scan_flops + scores)


def seen_by_last(operation: Operation, n_tokens: Size) -> Size:
    """Keys that the token after `n_tokens` sees, itself included; of blocks, those of its own."""
    span = operation.span
    if span is None:
        return n_tokens + 1
    local = 0 if span.local is None else n_tokens % span.local + 1 if span.chunked and operation.causal else span.local
    far = span.n_random + span.n_global + (0 if span.stride is None else span.per_stride * ceil_div(n_tokens, span.stride))
    return minimum(n_tokens + 1, local + far)
