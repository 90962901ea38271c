"""The bill of materials: every weight and every operation of an architecture, by kind of layer.

Parameters, FLOPs, bytes, and what parallelism divides are sums over this list with a filter. Nothing is counted elsewhere.
Kinds of layer are listed once with the times that they occur, so the sizes inside may be numpy arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from scaleplan.model.arch import DECODER, ENCODER, SEQUENCE, Arch, Block, Head, Norm, Size, Span, Stack, Tensor
from scaleplan.numeric import minimum, product


class Weight(NamedTuple):
    """One tensor as the reference implementation stores it; a bias is a tensor of its own.

    shape      (inputs, outputs) of a matrix, (width,) of a vector
    stored     how many of it a layer keeps: 1, the number of routed experts, 0 where another table is used (a tied head)
    used       how many of them one token passes
    matmul     False: a look-up, a norm, a bias, a depthwise convolution
    stream     whose tokens pass it
    tp_ways    the most ways that tensor parallelism splits it; 1: every rank keeps it whole
    trainable  False: no gradient and no optimizer state
    """

    name: str
    group: str
    shape: tuple[Size, ...]
    stored: Size = 1
    used: Size = 1
    matmul: bool = True
    stream: str = DECODER
    tp_ways: Size = 1
    trainable: bool = True

    @property
    def elements(self) -> Size:
        """Numbers in one such tensor."""
        return product(self.shape)

    @property
    def n_params(self) -> Size:
        return self.stored * self.elements

    @property
    def n_active_params(self) -> Size:
        """Those that one token passes; a weight that is kept elsewhere counts there."""
        return minimum(self.used, self.stored) * self.elements


class Operation(NamedTuple):
    """Work without weights, in FLOP of the forward pass.

    per_token  for each token of `queries`: a scan, a convolution
    per_pair   for each query and key: 2 n_heads (d_qk + d_v) of attention
    span       the keys that a query sees, where that is not all
    """

    name: str
    per_token: Size = 0
    per_pair: Size = 0
    queries: str = DECODER
    keys: str = DECODER
    span: Span | None = None
    causal: bool = True
    tp_ways: Size = 1


class Kept(NamedTuple):
    """Elements that stay in memory until the backward pass, or until the next token.

    per_position       for each position of a stream, once for all sequences of a batch
    dtype              compute (of the products), residual (of the residual stream), fp32, int64, mask and byte (1 byte each)
    sequence_parallel  tensor parallel ranks divide it by tokens
    gone_with          the recomputation that makes it unnecessary
    """

    name: str
    per_token: Size = 0
    per_pair: Size = 0
    per_sequence: Size = 0
    per_position: Size = 0
    dtype: str = "compute"
    stream: str = DECODER
    keys: str = DECODER
    span: Span | None = None
    tp_ways: Size = 1
    sequence_parallel: bool = False
    gone_with: frozenset[str] = frozenset()


class Layer(NamedTuple):
    """One kind of layer.

    place   embedding, block, norm (after a stack) or head
    runs    times that a token passes this kind
    copies  sets of its weights that are kept (ALBERT: 12 runs of 1 copy)
    block   what it was made from, for those who need more than weights and operations
    """

    kind: str
    place: str
    stream: str
    runs: Size
    copies: Size
    d_model: Size
    weights: tuple[Weight, ...]
    operations: tuple[Operation, ...] = ()
    block: Block | None = None

    @property
    def n_params(self) -> Size:
        return self.copies * total(w.n_params for w in self.weights)


class Bill(NamedTuple):
    """All layers of a model, and the order in which a token passes them: (index into `layers`, how many in a row)."""

    arch: Arch
    layers: tuple[Layer, ...]
    order: tuple[tuple[int, Size], ...]

    def weights(self) -> Iterator[tuple[Layer, Weight]]:
        """Every weight with the layer that it belongs to."""
        for layer in self.layers:
            for weight in layer.weights:
                yield layer, weight

    def operations(self) -> Iterator[tuple[Layer, Operation]]:
        """Every operation with its layer."""
        for layer in self.layers:
            for operation in layer.operations:
                yield layer, operation

    def n_params(self, keep: Callable[[Weight], bool] = lambda _: True) -> Size:
        """Parameters of the weights that `keep` picks."""
        return total(layer.copies * w.n_params for layer, w in self.weights() if keep(w))

    def n_active_params(self, keep: Callable[[Weight], bool] = lambda _: True) -> Size:
        """Parameters that one token passes, of the weights that `keep` picks."""
        return total(layer.copies * w.n_active_params for layer, w in self.weights() if keep(w))


def total(values: Iterable[Any]) -> Any:
    """The sum of numbers or arrays, starting from whole zero."""
    result: Any = 0
    for value in values:
        result = result + value
    return result


# ---------------------------------------------------------------------------------------------------------- Arch -> Bill


def bill_of(arch: Arch) -> Bill:
    """Everything that an architecture is made of."""
    layers: list[Layer] = []
    order: list[tuple[int, Size]] = []
    for number, stack in enumerate(arch.stacks):
        order.append((len(layers), 1))
        layers.append(embedding_layer(arch, stack, holds_tokens=number == 0))
        first = len(layers)
        layers += block_layers(stack)
        order += [(first + kind, count) for kind, count in stack.order]
        if stack.final_norm:
            order.append((len(layers), 1))
            weights = norm_weights("norm", arch.norm, arch.d_model, stack.stream)
            layers.append(Layer(f"{stack.stream} final norm", "norm", stack.stream, 1, 1, arch.d_model, tuple(weights)))
    stream = arch.stacks[-1].stream
    for place in (tensors_layer(arch, stream), pooler_layer(arch, stream), head_layer(arch, stream), extra_layer(arch, stream)):
        if place is not None:
            order.append((len(layers), 1))
            layers.append(place)
    return Bill(arch, tuple(layers), tuple(order))


def embedding_layer(arch: Arch, stack: Stack, holds_tokens: bool) -> Layer:
    """Tables that are looked up before the first layer; only the first stack keeps the table of tokens."""
    stream, wide = stack.stream, arch.d_embedding
    weights: list[Weight] = []
    if holds_tokens:
        weights.append(
            Weight("token embedding", "token_embedding", (arch.n_vocab, wide), matmul=False, stream=stream, tp_ways=arch.n_vocab)
        )
    table_width = wide if arch.factorised == "in" else arch.d_model
    tables = (
        ("position embedding", "position_embedding", stack.n_positions),
        ("token type embedding", "token_type_embedding", stack.n_token_types),
    )
    weights += [Weight(name, group, (rows, table_width), matmul=False, stream=stream) for name, group, rows in tables if rows is not None]
    if stack.relative_buckets is not None:
        heads = max_heads(stack)
        rows = (stack.relative_buckets, heads)
        weights.append(
            Weight(
                "relative position bias",
                "relative_bias",
                rows,
                stored=stack.n_relative_tables,
                used=stack.n_relative_tables,
                matmul=False,
                stream=stream,
                tp_ways=heads,
            )
        )
    if stack.embedding_norm:
        weights += norm_weights("embedding norm", arch.norm, table_width, stream)
    if arch.factorised:
        weights += linear("embedding projection", "embed_proj", wide, arch.d_model, bias=arch.projection_bias, stream=stream)
    return Layer(f"{stream} embedding", "embedding", stream, 1, 1, arch.d_model, tuple(weights))


def max_heads(stack: Stack) -> Size:
    """Heads of the stack's attention; a table of relative biases has a column for each."""
    for block in stack.blocks:
        heads = getattr(block.mixer, "n_heads", None)
        if heads is not None:
            return heads
    raise AssertionError("relative position biases need attention")


def block_layers(stack: Stack) -> list[Layer]:
    """The stack's kinds of layer, each with the number of times that it occurs."""
    from scaleplan.model.feed_forward import feed_forward_weights
    from scaleplan.model.mixers import mixer_parts

    layers = []
    for kind, block in enumerate(stack.blocks):
        count = total(n for index, n in stack.order if index == kind)
        weights, operations = mixer_parts(block.mixer, block.d_model, stack.stream)
        for other in (block.beside, block.cross):
            more_weights, more_operations = mixer_parts(other, block.d_model, stack.stream)
            weights, operations = weights + more_weights, operations + more_operations
        weights = weights + feed_forward_weights(block.feed_forward, block.d_model, stack.stream)
        for number in range(block.n_norms):
            weights += norm_weights(f"norm {number + 1}", block.norm, block.d_model, stack.stream)
        weights = weights + [tensor_weight(tensor, stack.stream) for tensor in block.tensors]
        copies = count if stack.shared is None else stack.shared
        layers.append(
            Layer(kind_name(stack, block), "block", stack.stream, count, copies, block.d_model, tuple(weights), tuple(operations), block)
        )
    return layers


def kind_name(stack: Stack, block: Block) -> str:
    """What a kind of layer is called in a list of parts: `decoder layer: attention, experts`."""
    parts = [spoken(type(mixer).__name__) for mixer in (block.mixer, block.beside) if mixer is not None]
    if block.cross is not None:
        parts.append("cross-attention")
    if block.feed_forward is not None:
        parts.append("experts" if block.feed_forward.experts else "feed-forward")
    return f"{stack.stream} layer: {', '.join(parts)}"


def spoken(name: str) -> str:
    """A class name as words: LatentAttention -> latent attention."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()


def tensor_weight(tensor: Tensor, stream: str) -> Weight:
    """A tensor that only its family has, as a line of the bill."""
    return Weight(tensor.name, tensor.group, tensor.shape, tensor.count, tensor.count, tensor.matmul, stream)


def tensors_layer(arch: Arch, stream: str) -> Layer | None:
    """What a family keeps outside its layers beyond tables, norms and head."""
    if not arch.tensors:
        return None
    weights = tuple(tensor_weight(tensor, stream) for tensor in arch.tensors)
    return Layer(f"{stream} besides", "head", stream, 1, 1, arch.d_model, weights)


def pooler_layer(arch: Arch, stream: str) -> Layer | None:
    """A dense layer on the first position of each sequence."""
    if not arch.pooler:
        return None
    weights = linear("pooler", "other", arch.d_model, arch.d_model, bias=True, stream=SEQUENCE)
    return Layer("pooler", "head", stream, 1, 1, arch.d_model, tuple(weights))


def head_layer(arch: Arch, stream: str) -> Layer | None:
    """The way back to the vocabulary. A tied matrix is used and not stored; a projection out belongs to the bare model too."""
    head: Head | None = arch.head
    width = arch.d_embedding
    weights: list[Weight] = []
    if arch.factorised == "in-out":
        weights += linear("output projection", "embed_proj", arch.d_model, width, bias=arch.projection_bias, stream=stream)
    if head is not None:
        weights += head_weights(arch, head, stream)
    return Layer("head", "head", stream, 1, 1, arch.d_model, tuple(weights)) if weights else None


def head_weights(arch: Arch, head: Head, stream: str) -> list[Weight]:
    """What comes before the vocabulary in masked models, its matrix and its bias."""
    width = arch.d_embedding
    weights: list[Weight] = []
    if head.transform:
        weights += linear("head transform", "head_transform", arch.d_model, width, bias=head.transform_bias, stream=stream)
        weights += norm_weights("head transform norm", arch.norm, width, stream, group="head_transform")
    stored = 0 if head.tied else 1
    weights.append(Weight("head", "head_matrix", (width, arch.n_vocab), stored=stored, stream=stream, tp_ways=arch.n_vocab))
    if head.bias:
        weights.append(Weight("head bias", "head_bias", (arch.n_vocab,), matmul=False, stream=stream, tp_ways=arch.n_vocab))
    return weights


def extra_layer(arch: Arch, stream: str) -> Layer | None:
    """Parameters that were given as a number: they are kept and trained, and no token of text passes them."""
    if isinstance(arch.n_extra_params, int) and arch.n_extra_params == 0:
        return None
    weight = Weight("extra", "other", (arch.n_extra_params,), matmul=False, stream=stream)
    return Layer("extra", "head", stream, 1, 1, arch.d_model, (weight,))


# ------------------------------------------------------------------------------------------------------ kinds of weights


def linear(
    name: str,
    group: str,
    d_in: Size,
    d_out: Size,
    *,
    bias: bool = False,
    column: Size = 1,
    row: Size = 1,
    stored: Size = 1,
    used: Size = 1,
    stream: str = DECODER,
) -> list[Weight]:
    """A matrix and perhaps its bias. `column` and `row` say how many ways its outputs, or its inputs, can be split."""
    weights = [Weight(name, group, (d_in, d_out), stored, used, stream=stream, tp_ways=column * row)]
    if bias:
        weights.append(Weight(f"{name} bias", group, (d_out,), stored, used, matmul=False, stream=stream, tp_ways=column))
    return weights


def vector(name: str, group: str, width: Size, stream: str, *, tp_ways: Size = 1) -> Weight:
    """A learned vector that no matrix product touches."""
    return Weight(name, group, (width,), matmul=False, stream=stream, tp_ways=tp_ways)


def norm_weights(name: str, norm: Norm, width: Size, stream: str, *, group: str = "norm") -> list[Weight]:
    """Scale and shift of a norm, as far as it has them."""
    return [vector(f"{name} {part}", group, width, stream) for part in ("scale", "shift")[: norm.vectors]]


__all__ = [
    "DECODER",
    "ENCODER",
    "SEQUENCE",
    "Bill",
    "Kept",
    "Layer",
    "Operation",
    "Weight",
    "bill_of",
    "linear",
    "norm_weights",
    "total",
    "vector",
]
