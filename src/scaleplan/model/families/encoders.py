"""Encoders, and encoders with a decoder."""

from __future__ import annotations

from scaleplan.errors import InputError, NotSupported, clipped
from scaleplan.model.families.family import GENERATION, MASKED, Config, Family, Words, either, every, maybe, need

BERT = Family(
    keys={
        "n_layers": need("num_hidden_layers"),
        "d_model": need("hidden_size"),
        "n_heads": need("num_attention_heads"),
        "d_ff": need("intermediate_size"),
        "n_vocab": need("vocab_size"),
        "n_positions": need("max_position_embeddings"),
        "n_token_types": need("type_vocab_size"),
        "tied": maybe("tie_word_embeddings", default=True),
    },
    words={
        "norm": "layer",
        "gated": False,
        "attention_bias": "all",
        "mlp_bias": True,
        "bidirectional": True,
        "embedding_norm": True,
        "final_norm": False,
        "post_norm": True,
        "head": "masked",
        "head_bias": True,
    },
    architectures=MASKED,
    only={"position_embedding_type": ("absolute",), "is_decoder": (False,), "tie_word_embeddings": (True,)},
)


def modernbert(config: Config, words: Words) -> None:
    """The first layer has no norm before its attention; windows in all but every third layer."""
    n_layers = words["n_layers"]
    words["norms_per_layer"] = [1] + [2] * (n_layers - 1)
    words["norm"] = "layer" if config.flag("norm_bias", False) else "layer-scale"
    window = config.size("local_attention", "sliding_window", default=128)
    interval = config.size("global_attn_every_n_layers", default=3)
    known = {"sliding_attention": True, "full_attention": False}
    local = config.choices("layer_types", n_layers, known) or every(n_layers, interval, False, True)
    words["window"] = [window if slides else 0 for slides in local]


def t5(config: Config, words: Words, projection: str = "relu") -> None:
    """As many layers in the decoder as in the encoder unless said; `feed_forward_proj` says whether there is a gate."""
    if config.is_of_class("EncoderModel"):
        words |= {"n_layers": words.pop("n_encoder_layers"), "bidirectional": True}
    else:
        words["n_layers"] = config.size("num_decoder_layers", default=words["n_encoder_layers"])
    projection = config.text("feed_forward_proj", projection)
    gated, _, activation = projection.rpartition("-")
    if gated not in ("", "gated") or activation not in ("relu", "gelu", "silu", "gelu_new"):
        raise NotSupported(f"`feed_forward_proj` is `{clipped(projection)}`", hint="known: relu, gelu, gated-gelu, gated-silu")
    if config.find("is_gated_act") not in (None, bool(gated)):
        raise InputError(f"`is_gated_act` and `feed_forward_proj` `{clipped(projection)}` contradict each other")
    words |= {"gated": bool(gated), "activation": "gelu-tanh" if "gelu" in activation else activation}


def mt5(config: Config, words: Words) -> None:
    """T5 with a gate unless `feed_forward_proj` says otherwise."""
    t5(config, words, "gated-gelu")


def bart(config: Config, words: Words) -> None:
    """Two spare rows in each table of positions; norms after the residual sums, none at the end."""
    words["max_seq_len"] = config.size("max_position_embeddings")
    words["n_positions"] = words["max_seq_len"] + 2


FAMILIES: dict[str, Family] = {
    "bert": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT,
    "albert": BERT.but(
        {"d_embedding": need("embedding_size"), "n_shared_copies": maybe("num_hidden_groups", default=1)},
        only={"inner_group_num": (1,)},
        factorised="in",
        projection_bias=True,
    ),
    "distilbert": BERT.but(
        {
            "n_layers": need("n_layers", "num_hidden_layers"),
            "d_model": need("dim", "hidden_size"),
            "n_heads": need("n_heads", "num_attention_heads"),
            "d_ff": need("hidden_dim", "intermediate_size"),
        },
        without=("n_token_types",),
        architectures={"ForMaskedLM": {}, "Model": {"head": "none"}},
    ),
    "modernbert": BERT.but(
        {
            "attention_bias": either("attention_bias", "all", "none", default=False),
            "mlp_bias": maybe("mlp_bias", default=False),
            "head_bias": maybe("decoder_bias", default=True),
            "head_transform_bias": maybe("classifier_bias", default=False),
            "max_seq_len": maybe("max_position_embeddings"),
        },
        finish=modernbert,
        without=("n_token_types", "n_positions"),
        architectures={"ForMaskedLM": {}, "Model": {"head": "none"}},
        gated=True,
        fused_qkv=True,
        fused_gate=True,
        final_norm=True,
        post_norm=False,
        activation="gelu",
    ),
    "t5": Family(
        keys={
            "n_encoder_layers": need("num_layers"),
            "d_model": need("d_model", "hidden_size"),
            "n_heads": need("num_heads", "num_attention_heads"),
            "d_head": need("d_kv", "head_dim"),
            "d_ff": need("d_ff"),
            "n_vocab": need("vocab_size"),
            "n_relative_buckets": maybe("relative_attention_num_buckets", default=32),
            "tied": maybe("tie_word_embeddings", default=True),
        },
        words={"norm": "rms", "attention_bias": "none", "mlp_bias": False},
        architectures={**GENERATION, "EncoderModel": {"head": "none"}},
        finish=t5,
        ignored=("is_encoder_decoder",),
    ),
    "bart": Family(
        keys={
            "n_layers": need("decoder_layers"),
            "n_encoder_layers": need("encoder_layers", "num_hidden_layers"),
            "d_model": need("d_model", "hidden_size"),
            "n_heads": need("decoder_attention_heads"),
            "n_encoder_heads": need("encoder_attention_heads", "num_attention_heads"),
            "d_ff": need("decoder_ffn_dim"),
            "d_encoder_ff": need("encoder_ffn_dim"),
            "n_vocab": need("vocab_size"),
            "tied": maybe("tie_word_embeddings", default=True),
        },
        words={
            "norm": "layer",
            "attention_bias": "all",
            "mlp_bias": True,
            "embedding_norm": True,
            "final_norm": False,
            "post_norm": True,
            "activation": "gelu",
        },
        architectures=GENERATION,
        only={"tie_word_embeddings": (True,)},
        finish=bart,
        ignored=("is_encoder_decoder",),
    ),
}
FAMILIES["mt5"] = FAMILIES["t5"].but(finish=mt5)
