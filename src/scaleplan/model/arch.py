"""An architecture: an embedding, streams of layers (a mixer and a feed-forward each), and a head.

Nothing is counted here. Sizes are whole numbers, or numpy arrays of them where a sweep counts many shapes at once; what is
present or absent (a bias, experts, a second stream) is always plain Python, so that the structure is one for the whole sweep.
"""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from scaleplan.model.mixers import Mixer
    from scaleplan.model.mixers.attention import Attention

Size: TypeAlias = Any  # an int, or a numpy array of ints

Group: TypeAlias = Literal[
    "token_embedding", "position_embedding", "token_type_embedding", "relative_bias", "embed_proj", "attention", "mixer", "mlp_dense",
    "experts_routed", "experts_shared", "router", "norm", "head_transform", "head_matrix", "head_bias", "lora", "other",
]  # fmt: skip
"""What a weight is for."""

Place: TypeAlias = Literal["embedding", "block", "norm", "head"]
"""Where in the model a kind of layer lies; `norm` comes after a stack."""

DECODER = "decoder"  # the tokens that the model predicts
ENCODER = "encoder"  # the tokens that it only reads
SEQUENCE = "sequence"  # one position for each sequence, as a pooler sees


class Norm(NamedTuple):
    """A normalisation: `rms` or `layer`, with that many learned vectors of its width (scale, shift)."""

    kind: str = "layer"
    vectors: int = 2


class Span(NamedTuple):
    """The keys that one query sees, where that is not all of them.

    local     neighbours, itself included (a sliding window, or the block of a chunked pattern)
    stride    of the rest, `per_stride` keys in every `stride` are seen as well
    n_random  keys drawn at random
    n_global  keys that everybody sees and that see everybody
    rounds    times that the local search is repeated (rounds of hashing)
    masked    the reference code computes the full square and hides the rest; only a kernel that skips gains anything
    chunked   the neighbours are those of the query's own block, not a window that slides

    Sources: child2019 (strided, fixed), beltagy2020 (window, global), zaheer2020 (random), kitaev2020 (hashing).
    """

    local: Size | None = None
    stride: Size | None = None
    per_stride: Size = 1
    n_random: Size = 0
    n_global: Size = 0
    rounds: int = 1
    masked: bool = True
    chunked: bool = False


# ------------------------------------------------------------------------------------------------------------ feed-forward


class Experts(NamedTuple):
    """`n_experts` feed-forwards of which a token passes `n_used`; shared ones are passed by every token."""

    n_experts: Size
    n_used: Size
    d_ff: Size
    d_shared: Size | None = None  # width of all shared experts together
    bias: bool = False
    router_bias: bool = False
    shared_gate: bool = False
    gated: bool = True
    d_in: Size | None = None  # width that experts work in, where it is not the model's


class FeedForward(NamedTuple):
    """A plain or gated feed-forward, experts, or both side by side."""

    d_ff: Size | None
    gated: bool = False
    bias: bool = True
    activation: str = "gelu"
    experts: Experts | None = None
    fused: bool = False  # gate and up are one tensor in the reference code
    receptance: bool = False  # channel mixing of RWKV


# ------------------------------------------------------------------------------------------------------------------ layers


class Tensor(NamedTuple):
    """A tensor that nothing else here describes: a matrix, or with `matmul` off a vector or a table. `count` of them are kept."""

    name: str
    group: Group
    shape: tuple[Size, ...]
    matmul: bool = True
    count: Size = 1


class Tensors:
    """Some such tensors; no tuple, so that a list can hold one of these for each layer."""

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tensors) and self.tensors == other.tensors

    def __hash__(self) -> int:
        return hash(self.tensors)


class Block(NamedTuple):
    """One kind of layer. `n_norms` counts the norms as wide as the model, those of q and k left out.

    beside   a second mixer that reads the same input
    tensors  what the layer has besides
    """

    d_model: Size
    mixer: "Mixer | None"
    feed_forward: FeedForward | None
    norm: Norm
    n_norms: int
    cross: "Attention | None" = None
    parallel: bool = False  # mixer and feed-forward read the same input
    post_norm: bool = False
    beside: "Mixer | None" = None
    tensors: tuple[Tensor, ...] = ()


class Stack(NamedTuple):
    """The layers that one stream of tokens passes, in order.

    blocks  the kinds of layer that occur
    order   (which kind, how many in a row), first layer first
    shared  sets of weights that all layers together keep, where that is fewer than there are layers
    """

    stream: str
    blocks: tuple[Block, ...]
    order: tuple[tuple[int, Size], ...]
    shared: Size | None = None
    n_positions: Size | None = None  # rows of a learned position table
    n_token_types: Size | None = None
    embedding_norm: bool = False
    final_norm: bool = True
    relative_buckets: Size | None = None  # rows of the table of relative position biases
    n_relative_tables: Size = 1


class Head(NamedTuple):
    """From the last hidden state to the vocabulary."""

    tied: bool
    bias: bool = False
    transform: bool = False  # a dense layer and a norm before the vocabulary (masked language models)
    transform_bias: bool = True


class Arch(NamedTuple):
    """A whole model. `d_embedding` is the width of the token table; projections lead to and from `d_model` where they differ."""

    name: str
    d_model: Size
    n_vocab: Size
    d_embedding: Size
    stacks: tuple[Stack, ...]
    norm: Norm
    head: Head | None
    factorised: str | None = None  # how d_embedding differs: `in-out` (project_in and project_out), `in` (the head works in it)
    projection_bias: bool = False
    pooler: bool = False
    n_extra_params: Size = 0  # a tower that is counted elsewhere and added as a number
    max_seq_len: Size | None = None  # the longest sequence that the model says it takes
    tensors: tuple[Tensor, ...] = ()  # what lies outside the layers and is none of the above
