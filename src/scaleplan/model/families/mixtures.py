"""Mixtures of experts of every house: which layers have them, what is shared, and what attention goes with them."""

from __future__ import annotations

from scaleplan.errors import NotSupported, clipped
from scaleplan.model.arch import Group, Tensor, Tensors
from scaleplan.model.families.dense import LLAMA, absent, window_of
from scaleplan.model.families.experts import DEEPSEEK_V3, EXPERTS, LOCAL
from scaleplan.model.families.experts import FAMILIES as EXPERT_FAMILIES
from scaleplan.model.families.family import Config, Family, Words, either, every, maybe, need
from scaleplan.model.families.relatives import windows_of_three_in_four

SPARSE = {"sparse": "experts", "moe": "experts", "dense": "dense"}


def listed_or_first_dense(config: Config, words: Words, n_dense: int) -> None:
    """`mlp_layer_types` says which layers have experts; without it all but the first `n_dense`."""
    n_layers = words["n_layers"]
    listed = config.choices("mlp_layer_types", n_layers, SPARSE)
    first = min(n_dense, n_layers)
    words["feed_forward"] = listed or ["dense"] * first + ["experts"] * (n_layers - first)


def first_dense(config: Config, words: Words) -> None:
    """Dense layers first, as many as `first_k_dense_replace` says."""
    listed_or_first_dense(config, words, config.size("first_k_dense_replace", default=3, least=0))


def glm4_lite(config: Config, words: Words) -> None:
    """One dense layer, whatever `first_k_dense_replace` says."""
    config.must_be("first_k_dense_replace", 1)
    listed_or_first_dense(config, words, 1)


def indexed(config: Config, words: Words) -> None:
    """An indexer in every layer, or in those that do not use the one before."""
    first_dense(config, words)
    config.choices("layer_types", words["n_layers"], {"indexed_attention": True})
    n_layers, n_heads = words["n_layers"], words["n_indexer_heads"]
    frequency = config.size("index_topk_freq", default=1)
    if config.find("index_topk_pattern") is not None:
        raise NotSupported("`index_topk_pattern` is not supported", hint="list the layers under `indexer_types`")
    listed = config.choices("indexer_types", n_layers, {"full": n_heads, "shared": 0})
    offset = config.size("index_skip_topk_offset", default=2, least=0)
    default = [0 if max(layer - offset + 1, 0) % frequency else n_heads for layer in range(n_layers)]
    words["n_indexer_heads"] = listed or default


def exaone_moe(config: Config, words: Words) -> None:
    """One dense layer first unless said, and windows."""
    listed_or_first_dense(config, words, config.size("first_k_dense_replace", default=1, least=0))
    windows_of_three_in_four(config, words)


def ernie_moe(config: Config, words: Words) -> None:
    """Experts between two layers, in every so-many-th of them."""
    n_layers = words["n_layers"]
    first = config.size("moe_layer_start_index", default=1, least=0)
    last = config.find("moe_layer_end_index")
    last = n_layers if last in (None, -1) else config.size("moe_layer_end_index", least=0)
    step = config.size("moe_layer_interval", default=1)
    sparse = [(layer + 1) % step == 0 and first <= layer <= last for layer in range(n_layers)]
    words["feed_forward"] = ["experts" if here else "dense" for here in sparse]
    config.must_be("use_bias", False)


def dbrx(config: Config, words: Words) -> None:
    """Sizes lie in two tables of their own."""
    attention, experts = config.table("attn_config"), config.table("ffn_config")
    if attention is None or experts is None:
        raise config.lacking("attn_config" if attention is None else "ffn_config")
    words |= {
        "n_kv_heads": attention.size("kv_n_heads", default=1),
        "d_ff_expert": experts.size("ffn_hidden_size"),
        "n_experts": experts.size("moe_num_experts"),
        "n_experts_per_token": experts.size("moe_top_k"),
    }


def hunyuan_moe(config: Config, words: Words) -> None:
    """A shared expert as wide as a routed one; numbers may be lists of equal entries."""
    for word, key in (("n_experts", "num_experts"), ("n_experts_per_token", "moe_topk")):
        value = config.find(key)
        if isinstance(value, list) and value and all(entry == value[0] for entry in value):
            words[word] = Config({key: value[0]}).size(key)
        else:
            words[word] = config.size(key)
    words["n_shared_experts"] = 1
    wide = config.find("moe_intermediate_size")
    if wide not in (None, words["d_ff_expert"], [words["d_ff_expert"]] * words["n_layers"]):
        raise NotSupported(f"`moe_intermediate_size` is `{clipped(wide)}`, which is not `intermediate_size`")
    shared = config.find("num_shared_expert")
    if shared not in (None, 1, [1] * words["n_layers"]):
        raise NotSupported(f"`num_shared_expert` is `{clipped(shared)}`; only 1 is counted")


def afmoe(config: Config, words: Words) -> None:
    """Windows in all but every `global_attn_every_n_layers`-th layer."""
    n_layers = words["n_layers"]
    interval = config.size("global_attn_every_n_layers", default=4)
    known = {"sliding_attention": True, "full_attention": False}
    window = window_of(config, 1024)
    local = config.choices("layer_types", n_layers, known) or every(n_layers, interval, False, True, offset=-1)
    if window:
        words["window"] = [window if slides else 0 for slides in local]


def minicpm3(config: Config, words: Words) -> None:
    """Value heads are as wide as the share of a head in the model, unless said."""
    words["d_value"] = config.size("v_head_dim", default=words["d_model"] // words["n_heads"])


def hy_v3(config: Config, words: Words) -> None:
    """One dense layer, unless `mlp_layer_types` says which; there is always a shared expert."""
    if not words["n_shared_experts"]:
        raise NotSupported("`num_shared_experts` is `0`, which is not supported")
    config.must_be("first_k_dense_replace", 1)
    listed_or_first_dense(config, words, 1)


COMPRESSED = {
    "sliding_attention": (0, False),
    "compressed_sparse_attention": (4, True),
    "heavily_compressed_attention": (128, False),
}
"""Kinds of attention of DeepSeek V4: tokens in a compressed key, and whether an indexer picks among them."""


def deepseek_v4(config: Config, words: Words) -> None:
    """Attention by `layer_types` or `compress_ratios`, and residual streams that learned weights mix."""
    n_layers, n_heads = words["n_layers"], words["n_indexer_heads"]
    listed = config.choices("layer_types", n_layers, COMPRESSED) or compressed_by_ratio(config, n_layers)
    words["compression"] = [rate for rate, _ in listed]
    words["n_indexer_heads"] = [n_heads if indexed else 0 for _, indexed in listed]
    config.choices("mlp_layer_types", n_layers, {"hash_moe": True, "moe": True})
    streams, d_model = config.size("hc_mult", default=4), words["d_model"]
    wide, mixes = streams * d_model, streams * (streams + 2)
    halves: tuple[tuple[str, Group], ...] = (("attention", "attention"), ("feed-forward", "mlp_dense"))
    inside = [
        Tensor(f"{part} {name}", group, shape, matmul=name == "mixing")
        for part, group in halves
        for name, shape in (("mixing", (wide, mixes)), ("mixing base", (mixes,)), ("mixing scale", (3,)))
    ]
    outside = [
        Tensor("streams to head", "other", (wide, streams)),
        Tensor("streams to head base", "other", (streams,), matmul=False),
        Tensor("streams to head scale", "other", (1,), matmul=False),
    ]
    words |= {"layer_tensors": Tensors(*inside), "model_tensors": Tensors(*outside)}


def compressed_by_ratio(config: Config, n_layers: int) -> list[tuple[int, bool]]:
    """One ratio a layer, and perhaps more for layers that predict further tokens; without ratios two layers at 128, then in turn."""
    kinds = {0: (0, False), 4: (4, True), 128: (128, False)}
    config.must_be("compress_rates", {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128})
    ratios = config.numbers("compress_ratios", max(kinds)) or [4 if layer % 2 and layer != 1 else 128 for layer in range(n_layers)]
    if len(ratios) < n_layers or not set(ratios) <= set(kinds):
        raise NotSupported(f"`compress_ratios` is `{clipped(ratios)}`", hint=f"known: one of 0, 4, 128 for each of the {n_layers} layers")
    return [kinds[ratio] for ratio in ratios[:n_layers]]


ROUTED = {**EXPERTS, "n_experts": need("n_routed_experts"), "d_ff_expert": need("moe_intermediate_size")}
NUMBERED = {**EXPERTS, "n_experts": need("num_experts"), "d_ff_expert": need("moe_intermediate_size")}
QKV = either("attention_bias", "qkv", "none", default=False)
OLMOE = {**EXPERTS, "n_experts": need("num_experts"), "d_ff_expert": need("intermediate_size")}

INDEXED = DEEPSEEK_V3.but(
    {
        "n_indexer_heads": maybe("index_n_heads", default=64),
        "d_indexer": maybe("index_head_dim", default=128),
        "n_indexer_keys": maybe("index_topk", default=2048),
    },
    finish=indexed,
    only={"num_experts": (None,)},
    without=("n_dense_layers",),
)

LATENT_DENSE = LLAMA.but(
    {
        "tied": maybe("tie_word_embeddings", default=True),
        "kv_rank": need("kv_lora_rank"),
        "d_nope": need("qk_nope_head_dim"),
        "d_rope": need("qk_rope_head_dim"),
        "d_value": need("v_head_dim"),
    },
    only={"mlp_bias": (False,)},
    without=("d_head", "n_kv_heads"),
    mixer="latent",
    mlp_bias=False,
)

FAMILIES: dict[str, Family] = {
    "deepseek_v32": INDEXED,
    "glm_moe_dsa": INDEXED.but(
        {"q_rank": maybe("q_lora_rank", absent=2048), "n_indexer_heads": maybe("index_n_heads", default=32)}, ignored=("index_topk_freq",)
    ),
    "glm4_moe_lite": DEEPSEEK_V3.but(
        {"q_rank": maybe("q_lora_rank", absent=768), "d_rope": need("qk_rope_head_dim", "head_dim")},
        finish=glm4_lite,
        without=("n_dense_layers",),
    ),
    "minicpm3": LATENT_DENSE.but({"q_rank": maybe("q_lora_rank", absent=768)}, finish=minicpm3, without=("d_value",)),
    "youtu": LATENT_DENSE.but({"q_rank": maybe("q_lora_rank", absent=1536)}),
    "aria_text": LLAMA.but(
        {
            "n_experts": need("moe_num_experts"),
            "n_experts_per_token": need("moe_topk"),
            "d_ff_expert": need("intermediate_size"),
            "n_shared_experts": maybe("moe_num_shared_experts", absent=2),
        },
        only={"mlp_bias": (False,)},
        without=("d_ff",),
        mlp_bias=False,
    ),
    "hy_v3": LLAMA.but(
        {**NUMBERED, **absent(8, 128), "n_shared_experts": maybe("num_shared_experts", absent=1)},
        finish=hy_v3,
        only={"mlp_bias": (False,)},
        mlp_bias=False,
        qk_norm="head",
    ),
    "deepseek_v4": LLAMA.but(
        {
            **ROUTED,
            "d_head": maybe("head_dim", default=512),
            "q_rank": maybe("q_lora_rank", default=1024),
            "n_output_groups": maybe("o_groups", default=8),
            "output_rank": maybe("o_lora_rank", default=1024),
            "window": maybe("sliding_window", default=128),
            "n_indexer_heads": maybe("index_n_heads", default=64),
            "d_indexer": maybe("index_head_dim", default=128),
            "n_indexer_keys": maybe("index_topk", default=512),
            "n_shared_experts": maybe("n_shared_experts", absent=1),
        },
        finish=deepseek_v4,
        only={"mlp_bias": (False,), "attention_bias": (False,), "num_key_value_heads": (1,), "n_shared_experts": (1,)},
        without=("d_ff", "n_kv_heads", "attention_bias"),
        mixer="compressed",
        mlp_bias=False,
    ),
    "dbrx": LLAMA.but(
        {
            "n_layers": need("n_layers", "num_hidden_layers"),
            "d_model": need("d_model", "hidden_size"),
            "n_heads": need("n_heads", "num_attention_heads"),
            "max_seq_len": maybe("max_seq_len"),
        },
        finish=dbrx,
        without=("d_ff", "n_kv_heads", "d_head"),
        norm="layer-scale",
        attention_bias="none",
        mlp_bias=False,
        fused_qkv=True,
    ),
    "phimoe": LLAMA.but(
        {**LOCAL, **absent(8), "head_bias": maybe("lm_head_bias", default=False)},
        without=("d_ff",),
        mlp_bias=False,
        norm="layer",
    ),
    "minimax_m2": LLAMA.but(
        {**LOCAL, **absent(8, 128)},
        only={"use_qk_norm": (True,), "shared_intermediate_size": (0,)},
        without=("d_ff",),
        attention_bias="none",
        mlp_bias=False,
        qk_norm="width",
    ),
    "ernie4_5_moe": LLAMA.but(
        {
            **absent(4),
            "tied": maybe("tie_word_embeddings", default=True),
            "n_experts": need("moe_num_experts"),
            "n_experts_per_token": need("moe_k"),
            "d_ff_expert": need("moe_intermediate_size"),
            "n_shared_experts": maybe("moe_num_shared_experts", absent=2),
        },
        finish=ernie_moe,
        attention_bias="none",
        mlp_bias=False,
        router_bias=True,
    ),
    "dots1": LLAMA.but(
        {
            **ROUTED,
            **absent(32),
            "n_shared_experts": maybe("n_shared_experts"),
            "n_dense_layers": maybe("first_k_dense_replace", default=0),
        },
        mlp_bias=False,
        qk_norm="head",
        ignored=("layer_types",),
    ),
    "flex_olmo": LLAMA.but(OLMOE, without=("d_ff",), mlp_bias=False, qk_norm="width", post_norm=True),
    "exaone_moe": LLAMA.but(
        {**NUMBERED, **absent(32), "n_shared_experts": maybe("num_shared_experts", absent=1)},
        finish=exaone_moe,
        attention_bias="none",
        mlp_bias=False,
        qk_norm="head",
    ),
    "hunyuan_v1_moe": LLAMA.but(
        {"d_ff_expert": need("intermediate_size")},
        finish=hunyuan_moe,
        without=("d_ff",),
        mlp_bias=False,
        qk_norm="head",
        ignored=("use_qk_norm",),
    ),
    "solar_open": LLAMA.but(
        {**ROUTED, **absent(8, 128), "attention_bias": QKV, "n_shared_experts": maybe("n_shared_experts", absent=1)},
        only={"first_k_dense_replace": (0,), "use_qk_norm": (False,)},
        without=("d_ff",),
        mlp_bias=False,
    ),
    "qwen3_vl_moe_text": EXPERT_FAMILIES["qwen3_moe"].but(absent(16)),
    "glm4v_moe_text": EXPERT_FAMILIES["glm4_moe"].but(
        {
            "attention_bias": either("attention_bias", "qkv", "none", default=True),
            "n_shared_experts": maybe("n_shared_experts", absent=1),
            "n_dense_layers": maybe("first_k_dense_replace", default=0, absent=1),
        }
    ),
    "afmoe": LLAMA.but(
        {
            **NUMBERED,
            "d_head": maybe("head_dim", absent=128),
            "n_shared_experts": maybe("num_shared_experts", absent=2),
            "n_dense_layers": maybe("num_dense_layers", default=0, absent=1),
        },
        finish=afmoe,
        only={"attention_bias": (False,)},
        attention_bias="none",
        mlp_bias=False,
        qk_norm="head",
        attention_gate="width",
        norms_per_layer=4,
        router_bias=True,
    ),
}
