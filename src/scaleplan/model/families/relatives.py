"""Dense decoders that are LLaMA but for norms, biases, widths or the activation."""

from __future__ import annotations

from scaleplan.errors import NotSupported
from scaleplan.model.arch import Tensor, Tensors
from scaleplan.model.families.dense import FAMILIES as DENSE
from scaleplan.model.families.dense import GEMMA, LLAMA, absent, gemma2_windows, qwen2_windows, sliding, windows_by_layer
from scaleplan.model.families.family import Config, Family, Words, either, every, maybe


def windows_of_three_in_four(config: Config, words: Words, unsaid: int = 4096) -> None:
    """A window in three layers of four."""
    interval = config.find("sliding_window_pattern")
    default = every(words["n_layers"], interval if isinstance(interval, int) and interval > 0 else 4, False, True, offset=-1)
    windows_by_layer(config, words, default, unsaid)


def cwm(config: Config, words: Words) -> None:
    """A wider window in three layers of four."""
    windows_of_three_in_four(config, words, 8192)


def qwen2_vl(config: Config, words: Words) -> None:
    """Windows as in Qwen 2, from a later layer on."""
    qwen2_windows(config, words, 80)


def windows_of_list(config: Config, words: Words) -> None:
    """A window where `layer_types` says so; without the list in every layer."""
    windows_by_layer(config, words, [True] * words["n_layers"])


def cohere(config: Config, words: Words) -> None:
    """Norms of queries and keys are one a head."""
    if config.flag("use_qk_norm", False):
        words["qk_norm"] = "heads"


def ernie(config: Config, words: Words) -> None:
    """`use_bias` is about all projections."""
    bias = config.flag("use_bias", False)
    words |= {"attention_bias": "all" if bias else "none", "mlp_bias": bias}


def helium(_: Config, words: Words) -> None:
    """The output projection is square, so heads must be as wide together as the model."""
    wide = words["n_heads"] * words["d_head"]
    if wide != words["d_model"]:
        raise NotSupported(f"`num_attention_heads` times `head_dim` is {wide}, not `hidden_size` {words['d_model']}")


def hyperclovax(config: Config, words: Words) -> None:
    """Norms after each half of a block as well, unless `use_post_norm` is off."""
    words["norms_per_layer"] = 4 if config.flag("use_post_norm", True) else 2


def seed_oss(config: Config, words: Words) -> None:
    """Biases of Q, K, V and of the output are said apart."""
    qkv, out = config.flag("attention_bias", True), config.flag("attention_out_bias", False)
    words["attention_bias"] = "all" if qkv and out else "qkv" if qkv else "out" if out else "none"


def apertus(_: Config, words: Words) -> None:
    """The xIELU activation has two learned numbers."""
    words["layer_tensors"] = Tensors(*(Tensor(f"activation {end} slope", "mlp_dense", (1,), matmul=False) for end in ("upper", "lower")))


def bitnet(_: Config, words: Words) -> None:
    """Norms before the output projections of attention and feed-forward as well."""
    norms = (("attention", words["d_model"]), ("feed-forward", words["d_ff"]))
    words["layer_tensors"] = Tensors(*(Tensor(f"{part} inner norm", "norm", (wide,), matmul=False) for part, wide in norms))


def neox_japanese(config: Config, words: Words) -> None:
    """No biases, but for one vector on the attention of the last layer."""
    n_layers = words["n_layers"]
    words["d_ff"] = config.ratio("intermediate_multiple_size", default=4) * words["d_model"]
    last, none = Tensors(Tensor("output bias", "attention", (words["d_model"],), matmul=False)), Tensors()
    words["layer_tensors"] = [none] * (n_layers - 1) + [last]


def persimmon(config: Config, words: Words) -> None:
    """Norms of queries and keys are layer norms of one head's width."""
    if config.flag("qk_layernorm", True):
        words |= {"qk_norm": "head", "qk_norm_vectors": 2}


COHERE = LLAMA.but(
    {"tied": maybe("tie_word_embeddings", default=True)},
    mlp_bias=False,
    norm="layer-scale",
    parallel=True,
    norms_per_layer=1,
)
PLAIN_MISTRAL = LLAMA.but(absent(8), attention_bias="none", mlp_bias=False)

FAMILIES: dict[str, Family] = {
    "cohere": COHERE.but(finish=cohere),
    "cohere2": COHERE.but(finish=windows_of_three_in_four),
    "ernie4_5": LLAMA.but(
        {**absent(2, 128), "tied": maybe("tie_word_embeddings", default=True)}, finish=ernie, without=("attention_bias", "mlp_bias")
    ),
    "exaone4": LLAMA.but(
        absent(32), finish=windows_of_three_in_four, attention_bias="none", mlp_bias=False, qk_norm="head", post_norm=True
    ),
    "hunyuan_v1_dense": LLAMA.but(mlp_bias=False, qk_norm="head", ignored=("use_qk_norm",)),
    "seed_oss": LLAMA.but(absent(8, 128), finish=seed_oss, without=("attention_bias",)),
    "arcee": LLAMA.but(gated=False, activation="relu2"),
    "helium": LLAMA.but({**absent(20, 128), "attention_bias": either("attention_bias", "qkv", "none", default=False)}, finish=helium),
    "olmo3": LLAMA.but(finish=windows_of_three_in_four, mlp_bias=False, qk_norm="width", post_norm=True),
    "ministral": PLAIN_MISTRAL.but(finish=windows_of_list),
    "ministral3": PLAIN_MISTRAL.but(absent(8, 128), finish=sliding),
    "vaultgemma": GEMMA.but(absent(4), finish=gemma2_windows),
    "jais2": LLAMA.but(
        {"attention_bias": either("attention_bias", "all", "none", default=True), "mlp_bias": maybe("mlp_bias", default=True)},
        norm="layer",
        gated=False,
        activation="relu2",
    ),
    "cwm": LLAMA.but(absent(8, 128), finish=cwm, attention_bias="none"),
    "hyperclovax": LLAMA.but(finish=hyperclovax),
    "iquestcoder": LLAMA.but(absent(8, 128)),
    "nanochat": LLAMA.but(norm="layer-fixed", gated=False, activation="relu2", mlp_bias=False),
    "qwen2_vl_text": DENSE["qwen2"].but(absent(8), finish=qwen2_vl),
    "qwen2_5_vl_text": DENSE["qwen2"].but(absent(8), finish=qwen2_vl),
    "qwen3_vl_text": DENSE["qwen3"],
    "glm4v_text": DENSE["glm4"],
    "apertus": LLAMA.but(
        finish=apertus,
        only={"qk_norm": (True,), "post_norm": (False,), "hidden_act": ("xielu",)},
        ignored=("qk_norm",),
        gated=False,
        mlp_bias=False,
        qk_norm="head",
        activation="other",
    ),
    "bitnet": LLAMA.but(absent(5), finish=bitnet, mlp_bias=False, activation="relu2"),
    "internlm3": LLAMA.but(absent(2, 128), only={"qkv_bias": (False,), "bias": (False,)}, attention_bias="none", mlp_bias=False),
    "gpt_neox_japanese": LLAMA.but(
        {"tied": maybe("tie_word_embeddings", default=True)},
        finish=neox_japanese,
        without=("d_ff", "n_kv_heads", "d_head"),
        norm="layer",
        gated=False,
        fused_qkv=True,
        attention_bias="none",
        mlp_bias=False,
        activation="gelu",
    ),
    "persimmon": LLAMA.but(
        finish=persimmon,
        without=("n_kv_heads", "d_head"),
        norm="layer",
        gated=False,
        fused_qkv=True,
        activation="relu2",
        attention_bias="all",
        mlp_bias=True,
    ),
}
