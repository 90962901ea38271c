"""Hybrids: attention in some layers, a state space, a short convolution, a recurrence or linear attention in the others."""

from __future__ import annotations

from collections.abc import Mapping

from scaleplan.errors import InputError, NotSupported, clipped
from scaleplan.model.arch import Tensor, Tensors
from scaleplan.model.families.dense import GEMMA, LLAMA, absent
from scaleplan.model.families.experts import EXPERTS, LOCAL
from scaleplan.model.families.family import Config, Family, Source, Words, either, every, maybe, need
from scaleplan.model.families.state_spaces import FAMILIES as STATE_SPACES
from scaleplan.model.families.state_spaces import qwen3_next

MAMBA2_KEYS: dict[str, Source] = {
    "n_groups": maybe("mamba_n_groups", default=1),
    "d_state": maybe("mamba_d_state", default=256),
    "d_conv": maybe("mamba_d_conv", default=4),
    "mixer_bias": maybe("mamba_proj_bias", default=False),
    "conv_bias": maybe("mamba_conv_bias", default=True),
}
"""What Bamba, Granite 4 and Falcon-H1 call the sizes of their second-generation state space."""


def placed(n_layers: int, config: Config, what: str, period: int, offset: int) -> list[bool]:
    """Which layers: every `<what>_layer_period`-th from `<what>_layer_offset` on."""
    period = config.size(f"{what}_layer_period", default=period)
    offset = config.size(f"{what}_layer_offset", default=offset, least=0)
    if offset >= period:
        raise InputError(f"`{what}_layer_offset` {offset} must be below `{what}_layer_period` {period}")
    return every(n_layers, period, True, False, offset=offset)


def jamba(config: Config, words: Words) -> None:
    """Attention in one layer of a period, else a state space whose dt, B and C are normalised; experts in every other layer."""
    n_layers, d_model = words["n_layers"], words["d_model"]
    words["mixer"] = ["attention" if here else "mamba" for here in placed(n_layers, config, "attn", 8, 4)]
    sparse = placed(n_layers, config, "expert", 2, 1)
    n_experts = config.size("num_experts")
    words["feed_forward"] = ["experts" if here and n_experts > 1 else "dense" for here in sparse]
    rank = config.find("mamba_dt_rank")
    words["dt_rank"] = -(-d_model // 16) if rank in (None, "auto") else config.size("mamba_dt_rank")
    words["d_inner"] = config.ratio("mamba_expand", default=2) * d_model
    if n_experts == 1:
        del words["n_experts"]


def mamba2_heads(config: Config, words: Words, d_inner: int) -> None:
    """Channels in `mamba_n_heads` heads; a head width that is given must agree."""
    n_heads = config.size("mamba_n_heads")
    width = config.find("mamba_d_head")
    if width not in (None, "auto") and config.size("mamba_d_head") * n_heads != d_inner:
        raise InputError(f"`mamba_n_heads` {n_heads} times `mamba_d_head` {clipped(width)} is not {d_inner}, the channels there are")
    words |= {"d_inner": d_inner, "n_value_heads": n_heads}


def bamba(config: Config, words: Words) -> None:
    """Attention in the layers that `attn_layer_indices` names."""
    n_layers = words["n_layers"]
    here = set(config.numbers("attn_layer_indices", n_layers - 1))
    words["mixer"] = ["attention" if layer in here else "mamba2" for layer in range(n_layers)]
    mamba2_heads(config, words, config.ratio("mamba_expand", default=2) * words["d_model"])


def granite_hybrid(config: Config, words: Words) -> None:
    """Granite 4: `layer_types` says where attention is; a shared expert everywhere, and routed ones where there are any."""
    n_layers = words["n_layers"]
    known = {"mamba": "mamba2", "linear_attention": "mamba2", "attention": "attention", "full_attention": "attention"}
    words["mixer"] = config.choices("layer_types", n_layers, known) or ["mamba2"] * n_layers
    if "mamba2" in words["mixer"]:
        mamba2_heads(config, words, config.ratio("mamba_expand", default=2) * words["d_model"])
    granite_shared(config, words, unsaid=1024)


def granite_shared(config: Config, words: Words, unsaid: int = 0) -> None:
    """A shared expert of a width of its own; without routed experts it is the feed-forward."""
    shared = config.size("shared_intermediate_size", default=unsaid, least=0)
    n_experts = config.size("num_local_experts", least=0)
    if n_experts:
        words |= {"n_experts": n_experts, "n_experts_per_token": config.size("num_experts_per_tok")}
        if shared:
            words["d_ff_shared"] = shared
        return
    config.find("num_experts_per_tok")
    if not shared:
        raise NotSupported("`num_local_experts` and `shared_intermediate_size` are both 0", hint="then there is no feed-forward")
    words |= {"d_ff": shared, "feed_forward": "dense"}


def falcon_h1(config: Config, words: Words) -> None:
    """Attention and a state space side by side in every layer."""
    wide = config.ratio("mamba_expand", default=2) * words["d_model"]
    d_inner = config.size("mamba_d_ssm", default=wide if "mamba_d_ssm" in config.data else 1024)
    mamba2_heads(config, words, d_inner)
    words["inner_norms"] = config.flag("mamba_rms_norm", False)


NEMOTRON_LAYERS: Mapping[str, tuple[str, str]] = {
    "mamba": ("mamba2", "none"),
    "linear_attention": ("mamba2", "none"),
    "attention": ("attention", "none"),
    "full_attention": ("attention", "none"),
    "mlp": ("none", "dense"),
    "moe": ("none", "experts"),
}
NEMOTRON_LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def nemotron_h(config: Config, words: Words) -> None:
    """Layers of one part each, in the order of a pattern; experts may work in a narrower latent space."""
    kinds = nemotron_layers(config)
    words["n_layers"] = len(kinds)
    words["mixer"] = [NEMOTRON_LAYERS[kind][0] for kind in kinds]
    words["feed_forward"] = [NEMOTRON_LAYERS[kind][1] for kind in kinds]
    n_heads = config.size("mamba_num_heads")
    words |= {"n_value_heads": n_heads, "d_inner": n_heads * config.size("mamba_head_dim")}
    if "moe" in kinds:
        nemotron_experts(config, words)


def nemotron_layers(config: Config) -> list[str]:
    """The kind of each layer, from a list or from a string of letters."""
    pattern, listed = config.text("hybrid_override_pattern", ""), config.items("layers_block_type") or config.items("layer_types")
    if listed is None:
        if not pattern:
            raise config.lacking("hybrid_override_pattern")
        strange = [letter for letter in pattern if letter not in NEMOTRON_LETTERS]
        if strange:
            raise NotSupported(
                f"`hybrid_override_pattern` has `{clipped(strange[0])}`", hint=f"known letters: {' '.join(NEMOTRON_LETTERS)}"
            )
        listed = [NEMOTRON_LETTERS[letter] for letter in pattern]
    for kind in listed:
        if not isinstance(kind, str) or kind not in NEMOTRON_LAYERS:
            raise NotSupported(f"a layer is `{clipped(kind)}`", hint=f"known here: {', '.join(NEMOTRON_LAYERS)}")
    n_layers = config.size("num_hidden_layers", default=len(listed))
    if n_layers != len(listed):
        raise InputError(f"`num_hidden_layers` is {n_layers}, but the pattern describes {len(listed)} layers")
    return listed


def nemotron_experts(config: Config, words: Words) -> None:
    """Routed experts and a shared one, of widths of their own."""
    words |= {
        "n_experts": config.size("n_routed_experts"),
        "n_experts_per_token": config.size("num_experts_per_tok"),
        "d_ff_expert": config.size("moe_intermediate_size"),
        "d_ff_shared": config.size("moe_shared_expert_intermediate_size"),
    }
    config.must_be("n_shared_experts", 1)
    latent = config.size("moe_latent_size", default=0)
    if latent:
        words["d_expert_model"] = latent
        narrow = Tensors(
            Tensor("latent in", "experts_routed", (words["d_model"], latent)),
            Tensor("latent out", "experts_routed", (latent, words["d_model"])),
        )
        nothing = Tensors()
        words["layer_tensors"] = [narrow if kind == "experts" else nothing for kind in words["feed_forward"]]


def short_convolutions(config: Config, words: Words) -> None:
    """LFM2: a gated short convolution in all layers but those of attention."""
    n_layers = words["n_layers"]
    listed = config.choices("layer_types", n_layers, {"conv": "short-conv", "full_attention": "attention"})
    here = range(n_layers) if config.items("full_attn_idxs") is None else config.numbers("full_attn_idxs", n_layers - 1)
    if listed is None:
        listed = ["attention" if layer in here else "short-conv" for layer in range(n_layers)]
    words["mixer"] = listed
    words["tied"] = config.flag("tie_embedding", config.flag("tie_word_embeddings", True))


def lfm2(config: Config, words: Words) -> None:
    """The feed-forward is two thirds as wide as the config says, rounded up, unless `block_auto_adjust_ff_dim` is off."""
    short_convolutions(config, words)
    d_ff = config.size("intermediate_size") if config.find("block_ff_dim") is None else config.size("block_ff_dim")
    if config.flag("block_auto_adjust_ff_dim", True):
        factor = config.find("block_ffn_dim_multiplier")
        if factor not in (None, 1, 1.0):
            raise NotSupported(f"`block_ffn_dim_multiplier` is `{clipped(factor)}`; only 1 is counted")
        multiple = config.size("block_multiple_of", default=256)
        d_ff = -(-(2 * d_ff // 3) // multiple) * multiple
    words["d_ff"] = d_ff


def minimax(config: Config, words: Words) -> None:
    """Lightning attention where `layer_types` says `linear_attention`."""
    n_layers = words["n_layers"]
    known = {"linear_attention": "linear-attention", "full_attention": "attention"}
    words["mixer"] = config.choices("layer_types", n_layers, known) or every(n_layers, 2, "attention", "linear-attention")
    words["attention_gate"] = ["none" if kind == "attention" else "width" for kind in words["mixer"]]


def recurrent_gemma(config: Config, words: Words) -> None:
    """Griffin: recurrent and attention blocks in turn; the config says twice the width of the gated feed-forward."""
    n_layers = words["n_layers"]
    pattern = config.items("block_types") or ["recurrent", "recurrent", "attention"]
    known = {"recurrent": "rg-lru", "attention": "attention"}
    for kind in pattern:
        if not isinstance(kind, str) or kind not in known:
            raise NotSupported(f"`block_types` names `{clipped(kind)}`", hint=f"known here: {', '.join(known)}")
    words["mixer"] = [known[pattern[layer % len(pattern)]] for layer in range(n_layers)]
    words["d_inner"] = config.size("lru_width", default=words["d_model"])
    words["d_ff"] = config.size("intermediate_size") // 2
    window = config.size("attention_window_size", default=2048)
    words["window"] = [window if kind == "attention" else 0 for kind in words["mixer"]]


def olmo_hybrid(config: Config, words: Words) -> None:
    """The delta rule in three layers of four (in all but the last of fewer), else attention with OLMo's norms after each part."""
    n_layers = words["n_layers"]
    known = {"linear_attention": "gated-delta", "full_attention": "attention"}
    kinds = config.choices("layer_types", n_layers, known) or every(n_layers, min(4, n_layers), "attention", "gated-delta", offset=-1)
    d_head, d_value = words.get("d_head", words["d_model"] // words["n_heads"]), words["d_value"]
    words["mixer"] = kinds
    words["d_value"] = [d_value if kind == "gated-delta" else d_head for kind in kinds]


DELTA_KEYS: dict[str, Source] = {
    "n_key_heads": maybe("linear_num_key_heads", default=16),
    "n_value_heads": maybe("linear_num_value_heads", default=32),
    "d_key": maybe("linear_key_head_dim", default=128),
    "d_value": maybe("linear_value_head_dim", default=128),
    "d_conv": maybe("linear_conv_kernel_dim", default=4),
}
DELTA_NEEDED = {word: need(source.keys[0]) for word, source in DELTA_KEYS.items()}
QWEN_DELTA = LLAMA.but(
    {**DELTA_KEYS, **absent(4, 256)}, finish=qwen3_next, mlp_bias=False, qk_norm="head", attention_gate="width", fused_qkv=False
)

FAMILIES: dict[str, Family] = {
    "jamba": LLAMA.but(
        {
            **EXPERTS,
            **absent(8),
            "n_experts": need("num_experts"),
            "d_state": maybe("mamba_d_state", default=16),
            "d_conv": maybe("mamba_d_conv", default=4),
            "mixer_bias": maybe("mamba_proj_bias", default=False),
            "conv_bias": maybe("mamba_conv_bias", default=True),
        },
        finish=jamba,
        attention_bias="none",
        mlp_bias=False,
        inner_norms=True,
    ),
    "bamba": LLAMA.but({**MAMBA2_KEYS, **absent(8)}, finish=bamba),
    "granitemoehybrid": LLAMA.but(
        {**MAMBA2_KEYS, "d_ff_expert": need("intermediate_size")}, finish=granite_hybrid, without=("d_ff",), mlp_bias=False
    ),
    "granitemoeshared": LLAMA.but({"d_ff_expert": need("intermediate_size")}, finish=granite_shared, without=("d_ff",), mlp_bias=False),
    "falcon_h1": LLAMA.but(
        {**MAMBA2_KEYS, **absent(8)},
        finish=falcon_h1,
        only={"mamba_proj_bias": (False,), "projectors_bias": (False,)},
        mixer_beside="mamba2",
    ),
    "nemotron_h": LLAMA.but(
        {
            **absent(8, 128),
            "n_groups": maybe("n_groups", "mamba_n_groups", default=8),
            "d_state": maybe("ssm_state_size", default=128),
            "d_conv": maybe("conv_kernel", "mamba_d_conv", default=4),
            "mixer_bias": maybe("use_bias", default=False),
            "conv_bias": maybe("use_conv_bias", default=True),
        },
        finish=nemotron_h,
        only={"mlp_bias": (False,), "attention_bias": (False,), "tie_word_embeddings": (False,)},
        ignored=("n_routed_experts", "n_shared_experts", "moe_intermediate_size"),
        without=("n_layers", "tied", "attention_bias", "mlp_bias"),
        tied=False,
        attention_bias="none",
        mlp_bias=False,
        gated=False,
        activation="relu2",
        norms_per_layer=1,
    ),
    "lfm2": LLAMA.but(
        {**absent(8), "d_conv": maybe("conv_L_cache", default=3), "conv_bias": maybe("conv_bias", default=False)},
        finish=lfm2,
        without=("d_ff", "tied"),
        attention_bias="none",
        mlp_bias=False,
        qk_norm="head",
    ),
    "lfm2_moe": LLAMA.but(
        {
            **EXPERTS,
            **absent(8),
            "n_experts": need("num_experts"),
            "d_ff_expert": need("moe_intermediate_size"),
            "n_dense_layers": maybe("num_dense_layers", default=2),
            "d_conv": maybe("conv_L_cache", default=3),
            "conv_bias": maybe("conv_bias", default=False),
        },
        finish=short_convolutions,
        without=("tied",),
        attention_bias="none",
        mlp_bias=False,
        qk_norm="head",
    ),
    "minimax": LLAMA.but(
        {**LOCAL, **absent(8)},
        finish=minimax,
        without=("d_ff",),
        attention_bias="none",
        mlp_bias=False,
        inner_norms=True,
    ),
    "recurrent_gemma": GEMMA.but(
        {
            "d_head": maybe("head_dim"),
            "d_conv": maybe("conv1d_width", default=4),
            "attention_bias": either("attention_bias", "all", "out", default=False),
        },
        finish=recurrent_gemma,
        without=("d_ff",),
        mlp_bias=True,
    ),
    "olmo_hybrid": LLAMA.but(DELTA_NEEDED, finish=olmo_hybrid, mlp_bias=False, qk_norm="width", fused_qkv=False),
    "falcon_mamba": STATE_SPACES["mamba"],
    "qwen3_5_text": QWEN_DELTA,
    "qwen3_5_moe_text": QWEN_DELTA.but(
        {
            **EXPERTS,
            **absent(2, 256),
            "n_experts": need("num_experts"),
            "d_ff_expert": need("moe_intermediate_size"),
            "d_ff_shared": need("shared_expert_intermediate_size"),
        },
        without=("d_ff",),
        shared_expert_gate=True,
    ),
}
