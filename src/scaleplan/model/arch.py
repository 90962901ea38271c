"""An architecture: an embedding, streams of layers (a mixer and a feed-forward each), and a head.

Nothing is counted here. Sizes are whole numbers, or numpy arrays of them where a sweep counts many shapes at once; what is
present or absent (a bias, experts, a second stream) is always plain Python, so that the structure is one for the whole sweep.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

Size: TypeAlias = Any  # an int, or a numpy array of ints

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


# ------------------------------------------------------------------------------------------------------------------ mixers


class Attention(NamedTuple):
    """Softmax attention with `n_heads` queries and `n_kv_heads` keys and values."""

    n_heads: Size
    n_kv_heads: Size
    d_head: Size
    d_value: Size  # width of one value head
    qkv_bias: bool = False
    out_bias: bool = False
    fused: bool = False  # Q, K and V are one tensor in the reference code
    qk_norm: str | None = None  # `head`: one scale for all heads; `heads`: one a head; `width`: over all heads together
    qk_norm_vectors: int = 1
    v_norm: bool = False  # values are normalised by a scale of their own
    gate: str | None = None  # `head`: a scalar for each head; `width`: as wide as the queries
    sinks: bool = False  # one learned logit a head that takes attention away
    relative: bool = False  # a projection of relative positions (Transformer-XL)
    share_keys_values: str | None = None  # `layer`: those of an earlier layer are used; `same`: K is also V
    span: Span | None = None
    causal: bool = True
    keys: str | None = None  # stream that keys and values come from, where it is not the layer's own
    d_rotary: Size = 0  # how much of a head is rotated by position


class LatentAttention(NamedTuple):
    """Multi-head latent attention: keys and values are expanded from a narrow latent vector (deepseek2024-v2)."""

    n_heads: Size
    q_rank: Size | None
    kv_rank: Size
    d_nope: Size
    d_rope: Size
    d_value: Size
    bias: bool = False
    indexer: Indexer | None = None
    causal: bool = True


class Indexer(NamedTuple):
    """Picks the keys that sparse attention looks at (deepseek2025-v3.2)."""

    n_heads: Size
    d_head: Size
    n_keys: Size


class CompressedAttention(NamedTuple):
    """Attention of DeepSeek V4: one key that is also the value for all heads, a window, and farther keys in compressed blocks.

    rate     tokens that one compressed key stands for; 0: the window is all there is
    indexer  picks compressed keys; without one all of them are seen
    """

    n_heads: Size
    d_head: Size
    q_rank: Size
    n_output_groups: Size
    output_rank: Size
    window: Size
    rate: Size = 0
    indexer: Indexer | None = None


class LinearAttention(NamedTuple):
    """Attention with a kernel in place of the softmax: the state is d_head x d_value a head (katharopoulos2020)."""

    n_heads: Size
    d_head: Size
    d_value: Size
    gate: bool = False
    norm: bool = False
    bias: bool = False
    decay: bool = False
    fused: bool = False


class HashedAttention(NamedTuple):
    """Attention among keys of the same hash: queries are keys too, and each round sees two chunks (kitaev2020)."""

    n_heads: Size
    d_head: Size
    chunk: Size
    rounds: int
    n_buckets: Size
    bias: bool = False


class Mamba(NamedTuple):
    """Selective state space of gu2023: every channel has a state of its own."""

    d_inner: Size
    d_state: Size
    d_conv: Size
    dt_rank: Size
    bias: bool = False
    conv_bias: bool = True
    inner_norms: bool = False  # dt, B and C are normalised


class Mamba2(NamedTuple):
    """State space of dao2024: channels come in heads; B and C are shared by groups."""

    n_heads: Size
    d_head: Size
    d_state: Size
    n_groups: Size
    d_conv: Size
    bias: bool = False
    conv_bias: bool = True
    gate_norm: bool = True


class Rwkv(NamedTuple):
    """Time mixing of RWKV-4 (peng2023): receptance, key, value, output and a decay for each channel."""

    d_attention: Size


class GatedDelta(NamedTuple):
    """Gated delta rule (yang2024): a d_key x d_value state for each value head, after a short convolution."""

    n_key_heads: Size
    n_value_heads: Size
    d_key: Size
    d_value: Size
    d_conv: Size
    fused: bool = True  # Q, K, V, Z in one tensor and beta, alpha in another


class ShortConv(NamedTuple):
    """Gated depthwise convolution between two projections."""

    d_conv: Size
    bias: bool = False


class RgLru(NamedTuple):
    """Recurrent block of griffin (de2024): a gated linear recurrence beside a GELU branch."""

    d_inner: Size
    n_heads: Size
    d_conv: Size


class Lstm(NamedTuple):
    """One LSTM layer: four gates of the input and of the state before (hochreiter1997)."""

    n_biases: int = 2


Mixer: TypeAlias = (
    Attention | LatentAttention | CompressedAttention | LinearAttention | HashedAttention
    | Mamba | Mamba2 | Rwkv | GatedDelta | ShortConv | RgLru | Lstm
)  # fmt: skip

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
    group: str
    shape: tuple[Size, ...]
    matmul: bool = True
    count: Size = 1


class Tensors:
    """Some such tensors; no tuple, so that a list can hold one of these for each layer."""

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors


class Block(NamedTuple):
    """One kind of layer. `n_norms` counts the norms as wide as the model, those of q and k left out.

    beside   a second mixer that reads the same input
    tensors  what the layer has besides
    """

    d_model: Size
    mixer: Mixer | None
    feed_forward: FeedForward | None
    norm: Norm
    n_norms: int = 2
    cross: Attention | None = None
    parallel: bool = False  # mixer and feed-forward read the same input
    post_norm: bool = False
    beside: Mixer | None = None
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
