"""Decoders of the GPT-2 to Falcon years: layer norm, learned or no positions, plain feed-forwards, biases here and there."""

from __future__ import annotations

from scaleplan.errors import InputError, clipped
from scaleplan.model.families.family import CAUSAL, Config, Family, Words, either, maybe, need

GPT2 = Family(
    keys={
        "n_layers": need("n_layer", "num_hidden_layers"),
        "d_model": need("n_embd", "hidden_size"),
        "n_heads": need("n_head", "num_attention_heads"),
        "d_ff": maybe("n_inner"),
        "n_vocab": need("vocab_size"),
        "n_positions": need("n_positions", "max_position_embeddings"),
        "tied": maybe("tie_word_embeddings", default=True),
    },
    words={"norm": "layer", "gated": False, "fused_qkv": True, "activation": "gelu-new", "attention_bias": "all", "mlp_bias": True},
    architectures=CAUSAL,
)

PLAIN = Family(
    keys={
        "n_layers": need("num_hidden_layers"),
        "d_model": need("hidden_size"),
        "n_heads": need("num_attention_heads"),
        "n_vocab": need("vocab_size"),
        "max_seq_len": maybe("max_position_embeddings"),
    },
    words={"norm": "layer", "gated": False, "attention_bias": "all", "mlp_bias": True},
    architectures=CAUSAL,
)


def bigcode(config: Config, words: Words) -> None:
    """One key and value head for all, unless `multi_query` is off."""
    if config.flag("multi_query", True):
        words["n_kv_heads"] = 1


def gpt_neo(config: Config, words: Words) -> None:
    """Global and local layers in turn; Q, K and V have no biases, the output has."""
    n_layers = words["n_layers"]
    config.items("attention_types")
    local = config.choices("attention_layers", n_layers, {"global": False, "local": True}) or gpt_neo_pattern(config, n_layers)
    window = config.size("window_size", default=256)
    words["window"] = [window if is_local else 0 for is_local in local]


def gpt_neo_pattern(config: Config, n_layers: int) -> list[bool]:
    """`attention_types`: [[[kind, ...], times], ...]."""
    types = config.items("attention_types")
    if types is None:
        raise config.lacking("attention_types")
    found: list[bool] = []
    for entry in types:
        match entry:
            case [[*kinds], int(times)] if all(kind in ("global", "local") for kind in kinds) and 0 <= times <= n_layers:
                found += [kind == "local" for kind in kinds] * times
            case _:
                raise InputError(f"`attention_types` holds `{clipped(entry)}`; its entries are [[kind, ...], times]")
    if len(found) != n_layers:
        raise InputError(f"`attention_types` describes {len(found)} layers, but there are {n_layers}")
    return found


def opt(config: Config, words: Words) -> None:
    """Two spare rows of positions; a narrow token table is projected in and out; norms may come after the residual sum."""
    words["max_seq_len"] = config.size("max_position_embeddings")
    words["n_positions"] = words["max_seq_len"] + 2
    if not config.flag("do_layer_norm_before", True):
        words |= {"post_norm": True, "final_norm": False}
    if config.flag("_remove_final_layer_norm", False):
        words["final_norm"] = False
    bias = config.flag("enable_bias", True)
    words |= {"attention_bias": "all" if bias else "none", "mlp_bias": bias}
    if not config.flag("layer_norm_elementwise_affine", True):
        words["norm"] = "layer-fixed"


def gpt_neox(config: Config, words: Words) -> None:
    """Rotary positions; both halves of a block may read the same input, each through its own norm."""
    words["parallel"] = config.flag("use_parallel_residual", True)


def falcon(config: Config, words: Words) -> None:
    """Three generations under one name.

    falcon-rw   all heads, biases, two norms in a row
    falcon-7b   one key and value head, one norm for both halves of a parallel block
    falcon-40b  `new_decoder_architecture`: groups of heads, two norms unless `num_ln_in_parallel_attn` is 1
    """
    new = config.flag("new_decoder_architecture", False)
    n_heads = words["n_heads"]
    multi_query = config.flag("multi_query", True)
    n_kv_heads = config.size("num_kv_heads", "n_head_kv", default=n_heads)
    words["n_kv_heads"] = n_kv_heads if new else 1 if multi_query else n_heads
    parallel = config.flag("parallel_attn", True)
    n_norms = config.size("num_ln_in_parallel_attn", default=2 if new else 1, most=2)
    words |= {"parallel": parallel or new, "norms_per_layer": n_norms if parallel else 2}
    bias = config.flag("bias", False)
    words |= {"attention_bias": "all" if bias else "none", "mlp_bias": bias}
    words["d_ff"] = config.size("ffn_hidden_size", default=config.ratio("ff_factor", default=4) * words["d_model"])
    config.flag("alibi", False)


def mpt(config: Config, words: Words) -> None:
    """ALiBi in place of the position table, no biases anywhere; other variants of the original code are not counted."""
    words["d_ff"] = 4 * words["d_model"]
    attention = config.table("attn_config")
    if attention is not None:
        attention.must_be("attn_type", "multihead_attention")
        attention.must_be("qk_ln", False)
        attention.must_be("alibi", True)


FAMILIES: dict[str, Family] = {
    "gpt2": GPT2,
    "gpt_bigcode": GPT2.but(finish=bigcode, activation="gelu-tanh"),
    "gptj": GPT2.but(
        {"tied": maybe("tie_word_embeddings", default=False), "max_seq_len": maybe("n_positions")},
        without=("n_positions",),
        fused_qkv=False,
        attention_bias="none",
        head_bias=True,
        parallel=True,
        norms_per_layer=1,
    ),
    "gpt_neo": PLAIN.but(
        {
            "n_layers": need("num_layers", "num_hidden_layers"),
            "n_heads": need("num_heads", "num_attention_heads"),
            "d_ff": maybe("intermediate_size"),
            "n_positions": need("max_position_embeddings"),
            "tied": maybe("tie_word_embeddings", default=True),
        },
        finish=gpt_neo,
        attention_bias="out",
    ),
    "gpt_neox": PLAIN.but(
        {
            "d_ff": need("intermediate_size"),
            "tied": maybe("tie_word_embeddings", default=False),
            "attention_bias": either("attention_bias", "all", "none", default=True),
        },
        finish=gpt_neox,
        fused_qkv=True,
    ),
    "opt": PLAIN.but(
        {"d_ff": need("ffn_dim"), "d_embedding": maybe("word_embed_proj_dim"), "tied": maybe("tie_word_embeddings", default=True)},
        finish=opt,
        without=("max_seq_len",),
        activation="relu",
    ),
    "bloom": PLAIN.but(
        {
            "n_layers": need("n_layer", "num_hidden_layers"),
            "d_model": need("hidden_size", "n_embed"),
            "n_heads": need("n_head", "num_attention_heads"),
            "tied": maybe("tie_word_embeddings", default=True),
            "max_seq_len": maybe("seq_length"),
        },
        embedding_norm=True,
        fused_qkv=True,
        activation="gelu-tanh",
        d_rotary=0,  # ALiBi
    ),
    "falcon": PLAIN.but({"tied": maybe("tie_word_embeddings", default=True), "d_head": maybe("head_dim")}, finish=falcon, fused_qkv=True),
    "mpt": PLAIN.but(
        {
            "n_layers": need("n_layers", "num_hidden_layers"),
            "d_model": need("d_model", "hidden_size"),
            "n_heads": need("n_heads", "num_attention_heads"),
            "max_seq_len": maybe("max_seq_len"),
            "tied": maybe("tie_word_embeddings", default=True),
        },
        finish=mpt,
        only={"no_bias": (True,), "expansion_ratio": (4,), "norm_type": ("low_precision_layernorm", "layernorm")},
        norm="layer-scale",
        fused_qkv=True,
        attention_bias="none",
        mlp_bias=False,
    ),
}
