"""Decoders of today without experts: RMS or layer norm, rotary positions, mostly gated; and their relatives."""

from __future__ import annotations

from scaleplan.model.families.family import CAUSAL, Config, Family, Source, Words, either, every, maybe, need

LLAMA = Family(
    keys={
        "n_layers": need("num_hidden_layers"),
        "d_model": need("hidden_size"),
        "n_heads": need("num_attention_heads"),
        "n_kv_heads": maybe("num_key_value_heads"),
        "d_head": maybe("head_dim"),
        "d_ff": need("intermediate_size"),
        "n_vocab": need("vocab_size"),
        "max_seq_len": maybe("max_position_embeddings"),
        "tied": maybe("tie_word_embeddings", default=False),
        "attention_bias": either("attention_bias", "all", "none", default=False),
        "mlp_bias": maybe("mlp_bias", default=False),
    },
    words={"norm": "rms", "gated": True, "activation": "silu"},
    architectures=CAUSAL,
)


def absent(n_kv_heads: int, d_head: int | None = None) -> dict[str, Source]:
    """Attention sizes of a config class that fills in numbers where keys are absent; null still means the usual."""
    found = {"n_kv_heads": maybe("num_key_value_heads", absent=n_kv_heads)}
    return found if d_head is None else {**found, "d_head": maybe("head_dim", absent=d_head)}


def window_of(config: Config, unsaid: int, key: str = "sliding_window") -> int:
    """The window: null is none (0), and where the key is absent it is the one that the config class fills in."""
    return config.size(key, default=0 if key in config.data else unsaid, least=0)


def sliding(config: Config, words: Words) -> None:
    """One window for all layers, where the config has one."""
    words["window"] = window_of(config, 0)


def mistral(config: Config, words: Words) -> None:
    """One window for all layers."""
    words["window"] = window_of(config, 4096)


def windows_by_layer(config: Config, words: Words, default: list[bool], unsaid: int = 4096) -> None:
    """A window in some layers: `layer_types` says which, else the family's own pattern."""
    window = window_of(config, unsaid)
    listed = config.choices("layer_types", words["n_layers"], {"sliding_attention": True, "full_attention": False})
    if window:
        words["window"] = [window if slides else 0 for slides in (default if listed is None else listed)]


def qwen2_windows(config: Config, words: Words, unsaid: int = 28) -> None:
    """A window from layer `max_window_layers` on, or where `layer_types` says; only where `use_sliding_window` says so."""
    n_layers = words["n_layers"]
    first = config.size("max_window_layers", default=unsaid, least=0)
    used = config.flag("use_sliding_window", False)
    listed = config.choices("layer_types", n_layers, {"sliding_attention": True, "full_attention": False})
    slides = [layer >= first for layer in range(n_layers)] if listed is None else listed
    window = window_of(config, 4096)
    if used and window and any(slides):
        words["window"] = [window if here else 0 for here in slides]


def gemma2_windows(config: Config, words: Words) -> None:
    """A window in every second layer, from the first on."""
    windows_by_layer(config, words, every(words["n_layers"], 2, True, False))


def gemma3_windows(config: Config, words: Words) -> None:
    """A window in all but every sixth layer."""
    interval = config.size("sliding_window_pattern", "_sliding_window_pattern", default=6)
    windows_by_layer(config, words, every(words["n_layers"], interval, False, True, offset=-1))


def smollm3_keys(config: Config, words: Words) -> None:
    """Windows only where it is said; layers without rotary positions have the same weights."""
    used = config.flag("use_sliding_window", False)
    config.choices("layer_types", words["n_layers"], {"sliding_attention": True, "full_attention": False})
    window = config.size("sliding_window", default=0)
    if used and window:
        words["window"] = window


def stablelm(config: Config, words: Words) -> None:
    """A parallel block has one norm; norms of queries and keys are one a head."""
    if config.flag("use_parallel_residual", False):
        words |= {"parallel": True, "norms_per_layer": 1}
    if config.flag("qk_layernorm", False):
        words["qk_norm"] = "heads"


def phi(config: Config, words: Words) -> None:
    """Norms of queries and keys are layer norms as wide as a head."""
    if config.flag("qk_layernorm", False):
        words |= {"qk_norm": "head", "qk_norm_vectors": 2}


def starcoder2(config: Config, words: Words) -> None:
    """`use_bias` is about all projections."""
    bias = config.flag("use_bias", True)
    words |= {"attention_bias": "all" if bias else "none", "mlp_bias": bias}
    sliding(config, words)


GEMMA = LLAMA.but({"tied": maybe("tie_word_embeddings", default=True), "d_head": need("head_dim")}, activation="gelu-tanh", mlp_bias=False)

FAMILIES: dict[str, Family] = {
    "llama": LLAMA,
    "mistral": LLAMA.but(absent(8), finish=mistral, attention_bias="none", mlp_bias=False),
    "granite": LLAMA,
    "smollm3": LLAMA.but({**absent(4), "tied": maybe("tie_word_embeddings", default=True)}, finish=smollm3_keys),
    "qwen2": LLAMA.but(absent(32), finish=qwen2_windows, attention_bias="qkv", mlp_bias=False),
    "qwen3": LLAMA.but(absent(32, 128), finish=qwen2_windows, mlp_bias=False, qk_norm="head"),
    "olmo": LLAMA.but(mlp_bias=False, norm="layer-fixed"),
    "olmo2": LLAMA.but(mlp_bias=False, qk_norm="width", post_norm=True),
    "phi3": LLAMA.but(finish=sliding, fused_qkv=True, fused_gate=True, attention_bias="none", mlp_bias=False),
    "glm": LLAMA.but(
        {**absent(2, 128), "attention_bias": either("attention_bias", "qkv", "none", default=True)}, mlp_bias=False, fused_gate=True
    ),
    "glm4": LLAMA.but(
        {**absent(2, 128), "attention_bias": either("attention_bias", "qkv", "none", default=True)},
        mlp_bias=False,
        fused_gate=True,
        norms_per_layer=4,
    ),
    "gemma": GEMMA.but(absent(16)),
    "gemma2": GEMMA.but(absent(4), finish=gemma2_windows, norms_per_layer=4),
    "gemma3_text": GEMMA.but(absent(4), finish=gemma3_windows, norms_per_layer=4, qk_norm="head"),
    "nemotron": LLAMA.but(norm="layer", gated=False, activation="relu2"),
    "stablelm": LLAMA.but(
        {**absent(32), "attention_bias": either("use_qkv_bias", "qkv", "none", default=False)},
        finish=stablelm,
        without=("d_head",),
        norm="layer",
        mlp_bias=False,
    ),
    "starcoder2": LLAMA.but(
        {**absent(2), "tied": maybe("tie_word_embeddings", default=True)},
        finish=starcoder2,
        only={"mlp_type": ("default",), "norm_type": ("layer_norm",)},
        without=("attention_bias", "mlp_bias"),
        norm="layer",
        gated=False,
        activation="gelu-tanh",
    ),
    "phi": LLAMA.but(
        finish=phi,
        attention_bias="all",
        mlp_bias=True,
        norm="layer",
        gated=False,
        activation="gelu-tanh",
        head_bias=True,
        parallel=True,
        norms_per_layer=1,
    ),
}
