"""Decoders with experts: which layers have them differs by family; latent attention comes with some."""

from __future__ import annotations

from scaleplan.model.families.dense import LLAMA, absent, sliding, window_of, windows_by_layer
from scaleplan.model.families.family import Config, Family, Words, either, every, maybe, need


def sparse_steps(config: Config, words: Words) -> None:
    """Experts in every `decoder_sparse_step`-th layer but for `mlp_only_layers`; dense feed-forwards in the others (Qwen)."""
    n_layers = words["n_layers"]
    step = config.size("decoder_sparse_step", default=1)
    dense = set(config.numbers("mlp_only_layers", n_layers - 1))
    kinds = ["dense" if layer in dense or (layer + 1) % step else "experts" for layer in range(n_layers)]
    if "dense" in kinds:
        words["feed_forward"] = kinds
        words["d_ff"] = config.size("intermediate_size")


def qwen2_moe(config: Config, words: Words) -> None:
    """Biases of Q, K, V unless `qkv_bias` says no; one gated shared expert."""
    sparse_steps(config, words)
    words["attention_bias"] = "qkv" if config.flag("qkv_bias", True) else "none"


def llama4(config: Config, words: Words) -> None:
    """Experts in every `interleave_moe_layer_step`-th layer or in `moe_layers`; blocks of keys in three layers of four."""
    n_layers = words["n_layers"]
    step = config.size("interleave_moe_layer_step", default=1)
    listed = config.numbers("moe_layers", n_layers - 1)
    sparse = set(listed or range(step - 1, n_layers, step))
    words["feed_forward"] = ["experts" if layer in sparse else "dense" for layer in range(n_layers)]
    words["d_ff"] = config.size("intermediate_size_mlp")
    chunk = window_of(config, 8192, "attention_chunk_size")
    known = {"chunked_attention": True, "full_attention": False}
    chunked = config.choices("layer_types", n_layers, known) or every(n_layers, 4, False, True, offset=-1)
    if chunk:
        words["chunk"] = [chunk if blocks else 0 for blocks in chunked]


def gpt_oss(config: Config, words: Words) -> None:
    """Windows in every second layer, from the first on."""
    windows_by_layer(config, words, every(words["n_layers"], 2, True, False), unsaid=128)


def glm4_moe(config: Config, words: Words) -> None:
    """Norms of queries and keys where `use_qk_norm` says so."""
    if config.flag("use_qk_norm", False):
        words["qk_norm"] = "head"


EXPERTS = {"n_experts_per_token": need("num_experts_per_tok")}
QWEN_MOE = {
    **EXPERTS,
    "n_experts": need("num_experts", "num_local_experts"),
    "d_ff_expert": need("moe_intermediate_size"),
    "d_ff": maybe("intermediate_size"),
}
LOCAL = {**EXPERTS, "n_experts": need("num_local_experts"), "d_ff_expert": need("intermediate_size")}

LATENT = LLAMA.but(
    {
        **EXPERTS,
        "q_rank": maybe("q_lora_rank"),
        "kv_rank": need("kv_lora_rank"),
        "d_nope": need("qk_nope_head_dim"),
        "d_rope": need("qk_rope_head_dim"),
        "d_value": need("v_head_dim"),
        "n_experts": need("n_routed_experts"),
        "d_ff_expert": need("moe_intermediate_size"),
        "n_shared_experts": maybe("n_shared_experts"),
        "n_dense_layers": maybe("first_k_dense_replace", default=0),
    },
    only={"moe_layer_freq": (1,)},
    without=("d_head", "n_kv_heads"),
    mixer="latent",
    mlp_bias=False,
)

DEEPSEEK_V3 = LATENT.but(
    {
        "q_rank": maybe("q_lora_rank", absent=1536),
        "n_shared_experts": maybe("n_shared_experts", absent=1),
        "n_dense_layers": maybe("first_k_dense_replace", default=0, absent=3),
    }
)

FAMILIES: dict[str, Family] = {
    "mixtral": LLAMA.but({**LOCAL, **absent(8)}, finish=sliding, without=("d_ff",), attention_bias="none", mlp_bias=False),
    "granitemoe": LLAMA.but(LOCAL, without=("d_ff",), mlp_bias=False),
    "olmoe": LLAMA.but(
        {**EXPERTS, "n_experts": need("num_experts"), "d_ff_expert": need("intermediate_size")},
        without=("d_ff",),
        mlp_bias=False,
        qk_norm="width",
    ),
    "qwen2_moe": LLAMA.but(
        {**QWEN_MOE, **absent(16), "d_ff_shared": need("shared_expert_intermediate_size")},
        finish=qwen2_moe,
        without=("attention_bias",),
        mlp_bias=False,
        shared_expert_gate=True,
        ignored=("layer_types",),
    ),
    "qwen3_moe": LLAMA.but(
        {**QWEN_MOE, **absent(4)}, finish=sparse_steps, mlp_bias=False, qk_norm="head", ignored=("use_qk_norm", "layer_types")
    ),
    "glm4_moe": LLAMA.but(
        {
            **EXPERTS,
            **absent(8),
            "attention_bias": either("attention_bias", "qkv", "none", default=False),
            "n_experts": need("n_routed_experts"),
            "d_ff_expert": need("moe_intermediate_size"),
            "n_shared_experts": maybe("n_shared_experts", absent=1),
            "n_dense_layers": maybe("first_k_dense_replace", default=0, absent=1),
        },
        finish=glm4_moe,
        mlp_bias=False,
    ),
    "deepseek_v2": LATENT.but(
        {"q_rank": maybe("q_lora_rank", absent=1536), "n_shared_experts": maybe("n_shared_experts", absent=2)}, only={"mlp_bias": (False,)}
    ),
    "deepseek_v3": DEEPSEEK_V3,
    "kimi_k2": DEEPSEEK_V3,
    "llama4_text": LLAMA.but(
        {**LOCAL, **absent(8), "d_head": need("head_dim")},
        finish=llama4,
        without=("d_ff",),
        mlp_bias=False,
        n_shared_experts=1,
        ignored=("use_qk_norm",),
    ),
    "gpt_oss": LLAMA.but(
        {**LOCAL, **absent(8), "attention_bias": either("attention_bias", "all", "none", default=True), "d_head": need("head_dim")},
        finish=gpt_oss,
        without=("d_ff",),
        mlp_bias=False,
        sinks=True,
        expert_bias=True,
        router_bias=True,
        fused_gate=True,
    ),
}
