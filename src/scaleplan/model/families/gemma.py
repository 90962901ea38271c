"""Gemma 3n and Gemma 4: a second embedding that every layer reads, keys and values that late layers take from earlier ones."""

from __future__ import annotations

from scaleplan.errors import InputError
from scaleplan.model.arch import Tensor, Tensors
from scaleplan.model.families.dense import GEMMA, absent
from scaleplan.model.families.family import Config, Family, Words, every, maybe
from scaleplan.model.words import LARGEST

SLIDES = {"sliding_attention": True, "full_attention": False}


def layer_inputs(config: Config, words: Words, wide: int) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors of a layer and of the model that bring each layer an input of its own, `wide` numbers a token."""
    if not wide:
        return [], []
    d_model, packed = words["d_model"], words["n_layers"] * wide
    inside = [
        Tensor("layer input gate", "other", (d_model, wide)),
        Tensor("layer input projection", "other", (wide, d_model)),
        Tensor("layer input norm", "norm", (d_model,), matmul=False),
    ]
    rows = config.size("vocab_size_per_layer_input", default=262_144)
    outside = [
        Tensor("layer input embedding", "token_embedding", (rows, packed), matmul=False),
        Tensor("layer inputs of the embedding", "other", (d_model, packed)),
        Tensor("layer inputs norm", "norm", (wide,), matmul=False),
    ]
    return inside, outside


def shared_from(config: Config, words: Words, unsaid: int) -> int:
    """The first layer that uses the keys and values of an earlier one."""
    n_layers: int = words["n_layers"]
    n_shared = config.size("num_kv_shared_layers", default=unsaid, least=0)
    if n_shared >= n_layers:
        raise InputError(f"`num_kv_shared_layers` {n_shared} leaves none of the {n_layers} layers with keys and values of its own")
    return n_layers - n_shared


def windows(config: Config, words: Words, slides: list[bool], window: int) -> None:
    """The window of the layers that slide."""
    size = config.size("sliding_window", default=window)
    words["window"] = [size if here else 0 for here in slides]


def gemma3n(config: Config, words: Words) -> None:
    """Four streams that AltUp mixes, a low-rank bypass, and feed-forwards whose width may differ by layer."""
    n_layers, d_model = words["n_layers"], words["d_model"]
    slides = config.choices("layer_types", n_layers, SLIDES) or every(n_layers, 5, False, True, offset=-1)
    windows(config, words, slides, 512)
    first = shared_from(config, words, 15)
    words["share_keys_values"] = ["none" if layer < first else "layer" for layer in range(n_layers)]
    widths: object = config.find("intermediate_size")
    words["d_ff"] = config.numbers("intermediate_size", LARGEST) if isinstance(widths, list) else config.size("intermediate_size")
    streams, rank = config.size("altup_num_inputs", default=4), config.size("laurel_rank", default=64)
    inside, outside = layer_inputs(config, words, config.size("hidden_size_per_layer_input", default=256))
    inside += [
        Tensor("AltUp scale", "other", (d_model,), matmul=False),
        Tensor("AltUp correction", "other", (streams, streams)),
        Tensor("AltUp prediction", "other", (streams, streams * streams)),
        Tensor("AltUp router", "router", (d_model, streams)),
        Tensor("AltUp router norm", "norm", (d_model,), matmul=False),
        Tensor("bypass down", "other", (d_model, rank)),
        Tensor("bypass up", "other", (rank, d_model)),
        Tensor("bypass norm", "norm", (d_model,), matmul=False),
    ]
    outside += [Tensor(f"AltUp {way}", "other", (d_model, d_model), count=streams - 1) for way in ("streams", "join")]
    words |= {"layer_tensors": Tensors(*inside), "model_tensors": Tensors(*outside)}


def gemma4(config: Config, words: Words) -> None:
    """Wider heads in the layers that see everything, where keys may also be values; experts beside the feed-forward in some models."""
    n_layers = words["n_layers"]
    slides = config.choices("layer_types", n_layers, SLIDES) or every(n_layers, 6, False, True, offset=-1)
    slides = [*slides[:-1], False]
    windows(config, words, slides, 512)
    global_heads(config, words, slides)
    first = shared_from(config, words, 0)
    same = "same" if config.flag("attention_k_eq_v", False) else "none"
    words["share_keys_values"] = ["layer" if i >= first else "none" if slides[i] else same for i in range(n_layers)]
    if config.flag("use_double_wide_mlp", False):
        words["d_ff"] = [words["d_ff"] * (1 if layer < first else 2) for layer in range(n_layers)]
    inside, outside = layer_inputs(config, words, config.size("hidden_size_per_layer_input", default=unsaid_width(config), least=0))
    if config.flag("enable_moe_block", False):
        inside += gemma4_experts(config, words)
    words |= {"layer_tensors": Tensors(*inside), "model_tensors": Tensors(*outside)}


def unsaid_width(config: Config) -> int:
    """An absent width of the layers' inputs is 256, null is none."""
    return 0 if "hidden_size_per_layer_input" in config.data else 256


def global_heads(config: Config, words: Words, slides: list[bool]) -> None:
    """Heads of the layers without a window."""
    d_head, n_kv_heads = words["d_head"], words.get("n_kv_heads", words["n_heads"])
    wide = config.size("global_head_dim", default=512)
    said = config.size("num_global_key_value_heads", default=n_kv_heads)
    n_global = said if config.flag("attention_k_eq_v", False) else n_kv_heads
    words["d_head"] = [d_head if here else wide for here in slides]
    words["n_kv_heads"] = [n_kv_heads if here else n_global for here in slides]


def gemma4_experts(config: Config, words: Words) -> list[Tensor]:
    """Routed experts beside the dense feed-forward, three norms more, and scales of the router."""
    n_experts, d_model = config.size("num_experts"), words["d_model"]
    words |= {
        "feed_forward": "both",
        "n_experts": n_experts,
        "n_experts_per_token": config.size("top_k_experts"),
        "d_ff_expert": config.size("moe_intermediate_size"),
        "norms_per_layer": 7,
    }
    scales = (("router scale", d_model), ("expert scales", n_experts))
    return [Tensor(name, "router", (wide,), matmul=False) for name, wide in scales]


FAMILIES: dict[str, Family] = {
    "gemma3n_text": GEMMA.but(
        {**absent(2), "d_head": maybe("head_dim", absent=256)}, finish=gemma3n, without=("d_ff",), norms_per_layer=4, qk_norm="head"
    ),
    "gemma4_text": GEMMA.but(
        {**absent(4), "d_head": maybe("head_dim", default=256)},
        finish=gemma4,
        ignored=("num_experts", "moe_intermediate_size"),
        norms_per_layer=4,
        qk_norm="head",
    ),
}
