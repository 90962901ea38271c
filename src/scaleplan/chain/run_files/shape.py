"""A model's shape as run files say it: fields of a file -> an architecture, and an architecture -> such fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scaleplan.errors import NotSupported
from scaleplan.model.arch import Arch
from scaleplan.model.mixers.attention import Attention
from scaleplan.model.shape import arch_of_shape
from scaleplan.numeric import ceil_div

USUAL_VOCAB_MULTIPLE = 128  # of Megatron's padding, times tp
SAME_NAME = ("n_layers", "d_model", "n_heads", "d_head", "d_ff", "tied", "embedding_norm", "norm", "gated")
EXPERTS = ("n_experts", "n_experts_per_token", "d_ff_expert", "d_ff_shared")


def words_of(fields: Mapping[str, Any], need: Callable[[str], Any]) -> dict[str, Any]:
    """The words of an architecture; `need` gives a field or asks for it by the file's own name."""
    for name in ("n_layers", "d_model", "n_heads"):
        need(name)
    words = {name: fields[name] for name in SAME_NAME if fields.get(name) is not None}
    words |= {name: fields[name] for name in EXPERTS if fields.get(name) is not None}
    words["n_vocab"] = padded_vocabulary(fields, need)
    grouped = fields.get("grouped", True)
    if grouped and fields.get("n_kv_heads") is not None:
        words["n_kv_heads"] = fields["n_kv_heads"]
    words |= biases(fields) | positions(fields)
    words["activation"] = "silu" if fields.get("gated") else fields.get("activation", "gelu")
    words["qk_norm"] = fields.get("qk_norm", "none")
    if "n_experts" in words and "n_experts_per_token" not in words:
        words["n_experts_per_token"] = need("n_experts_per_token")
    return words


def padded_vocabulary(fields: Mapping[str, Any], need: Callable[[str], Any]) -> int:
    """Rows of the token table: the padded number, or the vocabulary rounded up to a multiple that tensor parallelism divides."""
    if fields.get("padded_vocab") is not None:
        return int(fields["padded_vocab"])
    multiple = fields.get("vocab_multiple", USUAL_VOCAB_MULTIPLE) * fields.get("tp", 1)
    return int(ceil_div(need("n_vocab"), multiple) * multiple)


def biases(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Which projections have biases."""
    everywhere = fields.get("bias") == "all"
    qkv = bool(fields.get("qkv_bias"))
    return {"attention_bias": "all" if everywhere else "qkv" if qkv else "none", "mlp_bias": everywhere}


def positions(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A table of positions, rotation, or neither. Q, K and V that are not rotated stay one tensor."""
    kind, longest = fields.get("positions"), fields.get("n_positions") or fields.get("seq_len")
    if kind == "learned":
        return {"n_positions": longest, "fused_qkv": True}
    found = {} if longest is None else {"max_seq_len": longest}
    return found if kind == "rope" else found | {"d_rotary": 0, "fused_qkv": True}


def fields_of(arch: Arch, tp: int) -> dict[str, Any]:
    """The fields that describe an architecture of equal decoder layers with softmax attention; NotSupported for any other."""
    stack, block = arch.stacks[-1], arch.stacks[-1].blocks[0]
    mixer, feed_forward = block.mixer, block.feed_forward
    if not isinstance(mixer, Attention) or feed_forward is None or arch.head is None:
        raise NotSupported(f"a run file cannot describe `{arch.name or 'this model'}`: its layers are not plain attention and feed-forward")
    fields: dict[str, Any] = {
        "n_layers": sum(count for _, count in stack.order),
        "d_model": arch.d_model,
        "n_heads": mixer.n_heads,
        "d_ff": feed_forward.d_ff,
        "gated": feed_forward.gated,
        "norm": arch.norm.kind,
        "tied": arch.head.tied,
        "embedding_norm": stack.embedding_norm,
        "qk_norm": mixer.qk_norm or "none",
        "bias": "all" if feed_forward.bias and mixer.qkv_bias and mixer.out_bias else "none",
        "qkv_bias": mixer.qkv_bias and not mixer.out_bias,
        "activation": "relu2" if feed_forward.activation == "relu2" else "gelu",
        "n_vocab": arch.n_vocab,
    }
    fields |= {"n_kv_heads": mixer.n_kv_heads, "grouped": True} if mixer.n_kv_heads != mixer.n_heads else {}
    fields |= {"d_head": mixer.d_head} if mixer.d_head * mixer.n_heads != arch.d_model else {}
    fields |= {"positions": "learned" if stack.n_positions else "rope" if mixer.d_rotary else "none"}
    fields |= {"n_positions": stack.n_positions or arch.max_seq_len}
    if feed_forward.experts is not None:
        experts = feed_forward.experts
        fields |= {"n_experts": experts.n_experts, "n_experts_per_token": experts.n_used, "d_ff_expert": experts.d_ff}
        fields |= {"d_ff_shared": experts.d_shared}
    return fields | {"vocab_multiple": vocabulary_multiple(arch.n_vocab, tp)}


def vocabulary_multiple(n_vocab: int, tp: int) -> int:
    """The largest power of two, at most the usual one, that pads nothing."""
    multiple = USUAL_VOCAB_MULTIPLE
    while multiple > 1 and n_vocab % (multiple * tp):
        multiple //= 2
    return multiple


def alike(one: Arch, other: Arch) -> bool:
    """Whether two architectures count alike: names, the longest sequence, and how tensors are fused or activated are aside."""
    return comparable(one) == comparable(other)


def comparable(arch: Arch) -> Arch:
    """An architecture without what no count depends on."""
    stacks = []
    for stack in arch.stacks:
        blocks = []
        for block in stack.blocks:
            mixer, feed_forward = block.mixer, block.feed_forward
            if isinstance(mixer, Attention):
                mixer = mixer._replace(fused=mixer.d_rotary == 0 or mixer.fused)
            if feed_forward is not None:
                feed_forward = feed_forward._replace(activation="", fused=False)
            blocks.append(block._replace(mixer=mixer, feed_forward=feed_forward))
        stacks.append(stack._replace(blocks=tuple(blocks)))
    return arch._replace(name="", max_seq_len=None, stacks=tuple(stacks))


def arch_of(fields: Mapping[str, Any], need: Callable[[str], Any], name: str) -> Arch:
    """The architecture that a file describes."""
    return arch_of_shape(words_of(fields, need), name)
