"""Encoders with a decoder: relatives of BART and T5, with experts or sparse attention in some."""

from __future__ import annotations

from typing import Any

from scaleplan.errors import NotSupported, clipped
from scaleplan.model.arch import Tensor, Tensors
from scaleplan.model.families.encoders import FAMILIES as ENCODERS
from scaleplan.model.families.encoders import mt5, t5
from scaleplan.model.families.family import GENERATION, Config, Family, Words, either, maybe, need
from scaleplan.model.families.patterns import SPARSE, blocks, window_by_layer

BART, T5 = ENCODERS["bart"], ENCODERS["t5"]


def pre_norm(_: Config, words: Words) -> None:
    """Norms come before each part and once at the end."""
    words |= {"post_norm": False, "final_norm": True}


def mbart(config: Config, words: Words) -> None:
    """BART's table of positions, and norms before each part."""
    words["n_positions"] = config.size("max_position_embeddings") + 2
    pre_norm(config, words)


def plain_bart(_: Config, words: Words) -> None:
    """Norms after the residual sums, none at the end."""
    words |= {"post_norm": True, "final_norm": False}


def led(config: Config, words: Words) -> None:
    """The encoder sees windows and global tokens, which have projections of their own, and has more positions."""
    plain_bart(config, words)
    d_model = words["d_model"]
    words["n_positions"] = config.size("max_decoder_position_embeddings")
    words["encoder_words"] = {
        "n_positions": config.size("max_encoder_position_embeddings"),
        "layer_tensors": global_projections(d_model),
        **window_by_layer(config, words["n_encoder_layers"]),
    }


def bigbird_pegasus(config: Config, words: Words) -> None:
    """BigBird's blocks in the encoder."""
    plain_bart(config, words)
    words["encoder_words"] = blocks(config)


def global_projections(d_model: int) -> Tensors:
    """Q, K and V of global tokens (beltagy2020)."""
    matrices = [Tensor(f"global {name}", "attention", (d_model, d_model)) for name in "QKV"]
    return Tensors(*matrices, *(Tensor(f"global {name} bias", "attention", (d_model,), matmul=False) for name in "QKV"))


def feed_forwards(n_layers: int, step: int, first: int) -> str | list[str]:
    """Experts in every `step`-th layer from `first` on."""
    return ["experts" if step > 0 and layer % step == first % step else "dense" for layer in range(n_layers)]


def switch(config: Config, words: Words) -> None:
    """Experts in as many layers of each half as the config says, one expert a token (fedus2021)."""
    t5(config, words)
    if "num_decoder_layers" not in config.data:
        words["n_layers"] = 12
    words |= {"n_experts_per_token": 1, "d_ff_expert": words["d_ff"]}
    encoder = feed_forwards(words["n_encoder_layers"], sparse_step(config, "encoder", words["n_encoder_layers"]), 1)
    words["feed_forward"] = feed_forwards(words["n_layers"], sparse_step(config, "decoder", words["n_layers"]), 1)
    words["encoder_words"] = {"feed_forward": encoder}


def sparse_step(config: Config, half: str, n_layers: int) -> int:
    """Layers from one with experts to the next: those there are by those with experts."""
    n_sparse = config.size(f"num_sparse_{half}_layers", default=3, least=0, most=n_layers)
    step = n_layers // n_sparse if n_sparse else n_layers
    said = config.find(f"{half}_sparse_step")
    if said not in (None, step):
        raise NotSupported(f"`{half}_sparse_step` is `{clipped(said)}`, but {n_sparse} of {n_layers} layers with experts make it {step}")
    return step


def nllb_moe(config: Config, words: Words) -> None:
    """Experts in every fourth layer or so of each half, two of them a token."""
    pre_norm(config, words)
    words |= {"n_experts_per_token": 2, "d_ff_expert": words["d_ff"]}
    steps = {half: config.size(f"{half}_sparse_step", default=4, least=0) for half in ("encoder", "decoder")}
    words["feed_forward"] = feed_forwards(words["n_layers"], steps["decoder"], -1)
    words["encoder_words"] = {
        "feed_forward": feed_forwards(words["n_encoder_layers"], steps["encoder"], -1),
        "d_ff_expert": words["d_encoder_ff"],
    }


def long_t5(config: Config, words: Words) -> None:
    """Local attention in the encoder; the transient-global kind has a norm and a table of biases more (guo2021)."""
    t5(config, words)
    kind = config.text("encoder_attention_type", "local")
    if kind not in ("local", "transient-global"):
        raise NotSupported(f"`encoder_attention_type` is `{clipped(kind)}`", hint="known: local, transient-global")
    radius = config.size("local_radius", default=127)
    own: dict[str, Any] = SPARSE | {"chunk": 3 * (radius + 1)}  # a block and its neighbours on both sides
    if kind == "transient-global":
        own["stride"] = config.size("global_block_size", default=16)
        own["layer_tensors"] = Tensors(Tensor("global norm", "norm", (words["d_model"],), matmul=False))
        rows = (words["n_relative_buckets"], words["n_heads"])
        words["model_tensors"] = Tensors(Tensor("global relative position bias", "relative_bias", rows, matmul=False))
    words["encoder_words"] = own


POSITIONS = {"n_positions": need("max_position_embeddings")}

FAMILIES: dict[str, Family] = {
    "mbart": BART.but(finish=mbart),
    "plbart": BART,
    "mvp": BART.but(only={"use_prompt": (False,)}),
    "pegasus": BART.but(POSITIONS, finish=pre_norm, embedding_norm=False),
    "blenderbot": BART.but(POSITIONS, finish=pre_norm, embedding_norm=False),
    "blenderbot-small": BART.but(POSITIONS, finish=plain_bart),
    "marian": BART.but(
        POSITIONS,
        architectures={"MTModel": {}, "Model": {"head": "none"}},
        finish=plain_bart,
        only={"share_encoder_decoder_embeddings": (True,)},
        embedding_norm=False,
    ),
    "m2m_100": BART.but({"max_seq_len": maybe("max_position_embeddings")}, finish=pre_norm, embedding_norm=False),
    "bigbird_pegasus": BART.but({**POSITIONS, "attention_bias": either("use_bias", "all", "none", default=False)}, finish=bigbird_pegasus),
    "led": BART.but(finish=led),
    "nllb-moe": BART.but(
        {
            "max_seq_len": maybe("max_position_embeddings"),
            "n_experts": need("num_experts"),
            "router_bias": maybe("router_bias", default=False),
        },
        finish=nllb_moe,
        embedding_norm=False,
        expert_bias=True,
    ),
    "umt5": T5.but(finish=mt5, relative_tables="layer"),
    "switch_transformers": T5.but(
        {"n_experts": need("num_experts"), "router_bias": maybe("router_bias", default=False)},
        finish=switch,
        architectures=GENERATION,
        only={"tie_word_embeddings": (True,)},
    ),
    "longt5": T5.but(finish=long_t5, architectures=GENERATION),
}
