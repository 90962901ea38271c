"""Bill -> parameters: in total, active, by group, by part, and by the conventions in use."""

from typing import NamedTuple, get_args

from scaleplan.model.arch import Block, Group, Size
from scaleplan.model.items import Bill, Layer, Weight, total
from scaleplan.model.mixers import attention_width

EMBEDDINGS: tuple[Group, ...] = ("token_embedding", "position_embedding", "token_type_embedding", "relative_bias")
HEADS: tuple[Group, ...] = ("head_matrix", "head_bias")
GROUPS: tuple[Group, ...] = get_args(Group)


class Part(NamedTuple):
    """One line of the bill: a tensor of one kind of layer, times the layers that keep it."""

    name: str
    group: Group
    count: Size
    shape: tuple[Size, ...]
    n_params: Size
    n_active_params: Size
    trainable: bool


class ParamCount(NamedTuple):
    """Parameters of a model.

    n_params             unique tensors; a tied head once
    n_active_params      those that one token passes: k of E experts, everything else in full
    groups               by what they are for; adds up to n_params
    parts                by tensor; adds up to n_params
    n_head_uses          elements of the head's matrix, kept or tied
    kaplan               2 d (2 d_attn + d_ff) a layer
    n_trainable_params   those that training changes
    """

    n_params: Size
    n_active_params: Size
    n_active_non_embedding_params: Size
    groups: dict[str, Size]
    parts: tuple[Part, ...]
    n_head_uses: Size
    kaplan: Size
    n_trainable_params: Size

    @property
    def n_embedding_params(self) -> Size:
        """Tables that are looked up: tokens, positions, token types, relative biases."""
        return total(self.groups.get(name, 0) for name in EMBEDDINGS)

    @property
    def n_head_params(self) -> Size:
        """Matrix and bias of the head; 0 when tied and without a bias."""
        return total(self.groups.get(name, 0) for name in HEADS)

    @property
    def n_non_embedding_params(self) -> Size:
        """Kaplan's N, exactly: everything but the tables and the head."""
        return self.n_params - self.n_embedding_params - self.n_head_params

    @property
    def conventions(self) -> dict[str, Size]:
        """The same model as different sources count it."""
        return {
            "total": self.n_params,
            "tied_head_counted_twice": self.n_params + self.n_head_uses - self.groups.get("head_matrix", 0),
            "non_embedding": self.n_non_embedding_params,
            "kaplan": self.kaplan,
            "active": self.n_active_params,
            "active_non_embedding": self.n_active_non_embedding_params,
            "trainable": self.n_trainable_params,
        }


def count_params(bill: Bill) -> ParamCount:
    """All counts of a bill."""
    parts = tuple(part_of(layer, weight) for layer, weight in bill.weights())
    used = dict.fromkeys(part.group for part in parts)
    groups: dict[str, Size] = {
        group: total(part.n_params for part in parts if part.group == group) for group in (*GROUPS, *used) if group in used
    }
    return ParamCount(
        n_params=total(part.n_params for part in parts),
        n_active_params=total(part.n_active_params for part in parts),
        n_active_non_embedding_params=total(part.n_active_params for part in parts if part.group not in (*EMBEDDINGS, *HEADS)),
        groups=groups,
        parts=parts,
        n_head_uses=total(weight.elements for _, weight in bill.weights() if weight.group == "head_matrix"),
        kaplan=total(layer.copies * kaplan_params(layer) for layer in bill.layers),
        n_trainable_params=total(part.n_params for part in parts if part.trainable),
    )


def part_of(layer: Layer, weight: Weight) -> Part:
    """A weight with the number of times that it is kept."""
    return Part(
        name=f"{layer.kind}: {weight.name}",
        group=weight.group,
        count=layer.copies * weight.stored,
        shape=weight.shape,
        n_params=layer.copies * weight.n_params,
        n_active_params=layer.copies * weight.n_active_params,
        trainable=weight.trainable,
    )


def kaplan_params(layer: Layer, *, used: bool = False) -> Size:
    """Weights of one layer as kaplan2020 eq 2.1 counts them.

        2 d_model (2 d_attn + d_ff)

    With d_attn = d_model and d_ff = 4 d_model this is 12 d_model^2. Keys and values are counted at full width and a gate not at
    all; each expert is a feed-forward, with `used` only those that a token passes. Mixers that are no attention count their own
    matrices.
    """
    block = layer.block
    if block is None:
        return 0
    mixing = 0 if block.mixer is None else attention_kaplan(block) if attention_width(block.mixer) is not None else mixer_matrices(layer)
    cross = 0 if block.cross is None else 4 * block.d_model * attention_width(block.cross)
    spec = block.feed_forward
    if spec is None:
        return mixing + cross
    d_ff = 0 if spec.d_ff is None else spec.d_ff
    if spec.experts is not None:
        d_ff = d_ff + (spec.experts.n_used if used else spec.experts.n_experts) * spec.experts.d_ff
        d_ff = d_ff + (0 if spec.experts.d_shared is None else spec.experts.d_shared)
    return mixing + cross + 2 * block.d_model * d_ff


def attention_kaplan(block: Block) -> Size:
    """4 d_model d_attn: Q, K, V and output, all of one width."""
    return 4 * block.d_model * attention_width(block.mixer)


def mixer_matrices(layer: Layer) -> Size:
    """Matrices of a mixer that has no attention width."""
    return total(weight.n_params for weight in layer.weights if weight.group == "mixer" and weight.matmul)
