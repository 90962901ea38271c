"""State spaces, recurrences, and hybrids of them with attention."""

from __future__ import annotations

from scaleplan.errors import InputError
from scaleplan.model.families.dense import LLAMA, absent
from scaleplan.model.families.experts import QWEN_MOE, sparse_steps
from scaleplan.model.families.family import CAUSAL, Config, Family, Words, every, maybe, need

LAYERS = {"n_layers": need("num_hidden_layers", "n_layer"), "d_model": need("hidden_size", "d_model"), "n_vocab": need("vocab_size")}


def mamba(config: Config, words: Words) -> None:
    """Channels are `intermediate_size`, else `expand` times the width; a rank `auto` is a sixteenth of it."""
    d_model = words["d_model"]
    words["d_inner"] = config.size("intermediate_size", "d_inner", default=config.ratio("expand", default=2) * d_model)
    rank = config.find("time_step_rank")
    words["dt_rank"] = -(-d_model // 16) if rank in (None, "auto") else config.size("time_step_rank")


def mamba2(config: Config, words: Words) -> None:
    """Heads times their width are the channels."""
    d_inner = config.ratio("expand", default=2) * words["d_model"]
    n_heads, d_head = config.size("num_heads"), config.size("head_dim")
    if n_heads * d_head != d_inner:
        raise InputError(f"`num_heads` {n_heads} times `head_dim` {d_head} is not `expand` times `hidden_size`, {d_inner}")
    words |= {"d_inner": d_inner, "n_value_heads": n_heads}


def rwkv(config: Config, words: Words) -> None:
    """Channel mixing beside time mixing; widths default to those of the model."""
    d_model = words["d_model"]
    words["d_inner"] = config.size("attention_hidden_size", default=d_model)
    words["d_ff"] = config.size("intermediate_size", default=4 * d_model)


def qwen3_next(config: Config, words: Words) -> None:
    """The delta rule in all but every fourth layer; attention there has an output gate as wide as its queries."""
    sparse_steps(config, words)
    n_layers = words["n_layers"]
    interval = config.size("full_attention_interval", default=4)
    listed = config.choices("layer_types", n_layers, {"linear_attention": "gated-delta", "full_attention": "attention"})
    words["mixer"] = listed or every(n_layers, interval, "attention", "gated-delta", offset=-1)
    d_head, d_value = words["d_head"], words["d_value"]
    words["d_value"] = [d_value if kind == "gated-delta" else d_head for kind in words["mixer"]]


FAMILIES: dict[str, Family] = {
    "mamba": Family(
        keys={
            **LAYERS,
            "d_state": need("state_size"),
            "d_conv": need("conv_kernel"),
            "mixer_bias": maybe("use_bias", default=False),
            "conv_bias": maybe("use_conv_bias", default=True),
            "tied": maybe("tie_word_embeddings", default=True),
        },
        words={"mixer": "mamba", "feed_forward": "none", "norm": "rms"},
        architectures=CAUSAL,
        finish=mamba,
    ),
    "mamba2": Family(
        keys={
            **LAYERS,
            "d_state": need("state_size"),
            "d_conv": need("conv_kernel"),
            "n_groups": need("n_groups"),
            "mixer_bias": maybe("use_bias", default=False),
            "conv_bias": maybe("use_conv_bias", default=True),
            "tied": maybe("tie_word_embeddings", default=False),
        },
        words={"mixer": "mamba2", "feed_forward": "none", "norm": "rms"},
        architectures=CAUSAL,
        finish=mamba2,
    ),
    "rwkv": Family(
        keys={**LAYERS, "max_seq_len": maybe("context_length"), "tied": maybe("tie_word_embeddings", default=False)},
        words={"mixer": "rwkv", "feed_forward": "rwkv", "norm": "layer", "embedding_norm": True},
        architectures=CAUSAL,
        finish=rwkv,
    ),
    "qwen3_next": LLAMA.but(
        {
            **QWEN_MOE,
            **absent(2),
            "d_head": need("head_dim"),
            "d_ff_shared": need("shared_expert_intermediate_size"),
            "n_key_heads": need("linear_num_key_heads"),
            "n_value_heads": need("linear_num_value_heads"),
            "d_key": need("linear_key_head_dim"),
            "d_value": need("linear_value_head_dim"),
            "d_conv": need("linear_conv_kernel_dim"),
        },
        finish=qwen3_next,
        mlp_bias=False,
        qk_norm="head",
        attention_gate="width",
        shared_expert_gate=True,
    ),
}
