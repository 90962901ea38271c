"""The bill of materials: every weight and every operation of an architecture, by kind of layer.

Parameters, FLOPs, bytes, and what parallelism divides are sums over this list with a filter. Nothing is counted elsewhere.
"""

from __future__ import annotations

from scaleplan.model.arch import SEQUENCE, Arch, Block, Group, Head, Size, Stack, Tensor
from scaleplan.model.feed_forward import feed_forward_weights
from scaleplan.model.items import Bill, Layer, Weight, linear, norm_weights, total


def bill_of(arch: Arch) -> Bill:
    """Everything that an architecture is made of."""
    layers: list[Layer] = []
    order: list[tuple[int, Size]] = []
    for number, stack in enumerate(arch.stacks):
        order.append((len(layers), 1))
        layers.append(embedding_layer(arch, stack, holds_tokens=number == 0))
        first = len(layers)
        layers += layers_of(stack)
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
    tables: tuple[tuple[str, Group, Size | None], ...] = (
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


def layers_of(stack: Stack) -> list[Layer]:
    """The stack's kinds of layer, each with the number of times that it occurs."""

    layers = []
    for kind, block in enumerate(stack.blocks):
        count = total(n for index, n in stack.order if index == kind)
        mixers = [mixer.parts(block.d_model, stack.stream) for mixer in (block.mixer, block.beside, block.cross) if mixer is not None]
        weights = [weight for parts, _ in mixers for weight in parts]
        operations = [operation for _, parts in mixers for operation in parts]
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
