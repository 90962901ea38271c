"""Decoders of the GPT years beyond GPT-2, OPT and BLOOM: with biases everywhere, and positions of every kind."""

from __future__ import annotations

from scaleplan.model.families.family import CAUSAL, Config, Family, Words, maybe, need


def biogpt(config: Config, words: Words) -> None:
    """Two spare rows of positions."""
    words["max_seq_len"] = config.size("max_position_embeddings")
    words["n_positions"] = words["max_seq_len"] + 2


OPT_LIKE = Family(
    keys={
        "n_vocab": need("vocab_size"),
        "tied": maybe("tie_word_embeddings", default=True),
        "max_seq_len": maybe("max_position_embeddings"),
    },
    words={"norm": "layer", "gated": False, "attention_bias": "all", "mlp_bias": True, "activation": "gelu"},
    architectures=CAUSAL,
)

FAMILIES: dict[str, Family] = {
    "biogpt": OPT_LIKE.but(
        {
            "n_layers": need("num_hidden_layers"),
            "d_model": need("hidden_size"),
            "n_heads": need("num_attention_heads"),
            "d_ff": need("intermediate_size"),
        },
        finish=biogpt,
    ),
    "xglm": OPT_LIKE.but(
        {
            "n_layers": need("num_layers", "num_hidden_layers"),
            "d_model": need("d_model", "hidden_size"),
            "n_heads": need("attention_heads", "num_attention_heads"),
            "d_ff": need("ffn_dim"),
        },
        only={"add_cross_attention": (False,)},
    ),
    "ctrl": OPT_LIKE.but(
        {"n_layers": need("n_layer"), "d_model": need("n_embd"), "n_heads": need("n_head"), "d_ff": need("dff")},
        without=("max_seq_len",),
        head_bias=True,
    ),
    "openai-gpt": OPT_LIKE.but(
        {
            "n_layers": need("n_layer", "num_hidden_layers"),
            "d_model": need("n_embd", "hidden_size"),
            "n_heads": need("n_head", "num_attention_heads"),
            "n_positions": need("n_positions", "max_position_embeddings"),
        },
        without=("max_seq_len",),
        fused_qkv=True,
        final_norm=False,
        post_norm=True,
    ),
    "codegen": OPT_LIKE.but(
        {
            "n_layers": need("n_layer", "num_hidden_layers"),
            "d_model": need("n_embd", "hidden_size"),
            "n_heads": need("n_head", "num_attention_heads"),
            "d_ff": maybe("n_inner"),
            "max_seq_len": maybe("n_positions"),
            "tied": maybe("tie_word_embeddings", default=False),
        },
        fused_qkv=True,
        attention_bias="none",
        head_bias=True,
        parallel=True,
        norms_per_layer=1,
    ),
}
