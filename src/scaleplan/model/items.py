"""What a bill of materials lists: weights, operations without weights, what is kept, by kind of layer.

Kinds of layer are listed once with the times that they occur, so the sizes inside may be numpy arrays.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from scaleplan.model.arch import DECODER, Arch, Block, Group, Norm, Place, Size, Span
from scaleplan.numeric import is_number, minimum, product


class Weight(NamedTuple):
    """One tensor as the reference implementation stores it; a bias is a tensor of its own.

    shape      (inputs, outputs) of a matrix, (width,) of a vector
    stored     how many of it a layer keeps: 1, the number of routed experts, 0 where another table is used (a tied head)
    used       how many of them one token passes
    matmul     False: a look-up, a norm, a bias, a depthwise convolution
    stream     whose tokens pass it
    tp_ways    the most ways that tensor parallelism splits it; 1: every rank keeps it whole
    trainable  False: no gradient and no optimizer state
    row_split  tensor parallelism splits its inputs, so that its outputs are summed over the ranks; else its outputs are split
    """

    name: str
    group: Group
    shape: tuple[Size, ...]
    stored: Size = 1
    used: Size = 1
    matmul: bool = True
    stream: str = DECODER
    tp_ways: Size = 1
    trainable: bool = True
    row_split: bool = False

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
    place: Place
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

    def blocks(self) -> list[Layer]:
        """The kinds of layer between embedding and head, which pipeline stages divide."""
        return [layer for layer in self.layers if layer.place == "block"]

    @property
    def n_layers(self) -> Size:
        """Layers that a token passes, encoder and decoder together."""
        return total(layer.runs for layer in self.blocks())

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


def linear(
    name: str,
    group: Group,
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
    by_row = not (isinstance(row, int) and row == 1)
    weights = [Weight(name, group, (d_in, d_out), stored, used, stream=stream, tp_ways=column * row, row_split=by_row)]
    if bias:
        weights.append(Weight(f"{name} bias", group, (d_out,), stored, used, matmul=False, stream=stream, tp_ways=column))
    return weights


def vector(name: str, group: Group, width: Size, stream: str, *, tp_ways: Size = 1) -> Weight:
    """A learned vector that no matrix product touches."""
    return Weight(name, group, (width,), matmul=False, stream=stream, tp_ways=tp_ways)


def norm_weights(name: str, norm: Norm, width: Size, stream: str, *, group: Group = "norm") -> list[Weight]:
    """Scale and shift of a norm, as far as it has them."""
    return [vector(f"{name} {part}", group, width, stream) for part in ("scale", "shift")[: norm.vectors]]


def pruned_elements(layer: Layer, weight: Weight, sparsity: Size) -> Size:
    """Zeros of one tensor when pruning sets that share of every matrix in the layers to zero.

    Tables, the head, routers, norms, biases and adapters are kept, as is usual (frantar2023-sparsegpt).
    """
    if layer.block is None or not weight.matmul or weight.group in ("router", "lora") or (is_number(sparsity) and sparsity == 0):
        return 0
    if not is_number(sparsity, weight.elements):
        return sparsity * weight.elements
    from fractions import Fraction

    return int(weight.elements * Fraction(str(sparsity)))
