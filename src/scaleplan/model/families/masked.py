"""Relatives of BERT: other positions, other norms, narrow embeddings, disentangled or sparse attention."""

from __future__ import annotations

from collections.abc import Mapping

from scaleplan.errors import NotSupported, clipped
from scaleplan.model.arch import Group, Tensor, Tensors
from scaleplan.model.families.dense import LLAMA
from scaleplan.model.families.encoders import BERT
from scaleplan.model.families.encoders import FAMILIES as ENCODERS
from scaleplan.model.families.family import CAUSAL, Config, Family, Words, either, maybe, need
from scaleplan.model.families.patterns import blocks, window_by_layer
from scaleplan.model.families.translators import global_projections

BARE: Mapping[str, Words] = {"ForMaskedLM": {}, "Model": {"head": "none", "head_bias": False}}
"""Classes whose bare model has no pooler."""


def vectors(group: Group, *named: tuple[str, int]) -> list[Tensor]:
    """Vectors of so many numbers."""
    return [Tensor(name, group, (wide,), matmul=False) for name, wide in named]


def electra(config: Config, words: Words) -> None:
    """A projection where the embedding is narrower; the discriminator has a dense layer and one logit for its head."""
    if words["d_embedding"] != words["d_model"]:
        words |= {"factorised": "in", "projection_bias": True}
    if config.is_of_class("ForPreTraining"):
        d_model = words["d_model"]
        matrices = [Tensor("discriminator", "other", (d_model, d_model)), Tensor("discriminator logit", "other", (d_model, 1))]
        words |= {"head": "none", "head_bias": False}
        words["model_tensors"] = Tensors(*matrices, *vectors("other", ("discriminator bias", d_model), ("discriminator logit bias", 1)))


def longformer(config: Config, words: Words) -> None:
    """A window in each layer; global tokens have projections of their own (beltagy2020)."""
    words |= window_by_layer(config, words["n_layers"])
    words["layer_tensors"] = global_projections(words["d_model"])


def big_bird(config: Config, words: Words) -> None:
    """Blocks; a pooler in every class but the decoder's; the pretraining class also says whether sentences follow each other."""
    words |= blocks(config)
    words["pooler"] = True
    if config.is_of_class("ForPreTraining"):
        follows = Tensor("sequence relation", "other", (words["d_model"], 2))
        words["model_tensors"] = Tensors(follows, *vectors("other", ("sequence relation bias", 2)))


def conv_bert(config: Config, words: Words) -> None:
    """Fewer heads, and a convolution whose kernel each token makes from its query and its neighbours (jiang2020)."""
    d_model, ratio, taps = words["d_model"], config.size("head_ratio", default=2), config.size("conv_kernel_size", default=9)
    if words["n_heads"] % ratio:
        raise NotSupported(f"`num_attention_heads` {words['n_heads']} is not a whole number of `head_ratio` {ratio}")
    n_heads = words["n_heads"] // ratio
    d_head = d_model // n_heads // 2
    wide = n_heads * d_head
    words |= {"n_heads": n_heads, "d_head": d_head}
    if words["d_embedding"] != d_model:
        words |= {"factorised": "in", "projection_bias": True}
    words["layer_tensors"] = Tensors(
        Tensor("depthwise convolution", "attention", (d_model, taps), matmul=False),
        Tensor("pointwise convolution", "attention", (d_model, wide), matmul=False),
        Tensor("kernels", "attention", (wide, n_heads * taps)),
        Tensor("convolved values", "attention", (d_model, wide)),
        Tensor("output of the convolution", "attention", (d_model - wide, d_model)),
        *vectors("attention", ("convolution bias", wide), ("kernels bias", n_heads * taps), ("convolved values bias", wide)),
    )


def roformer(_: Config, words: Words) -> None:
    """Rotary positions are kept as a table as wide as a head."""
    d_model, n_heads = words["d_model"], words["n_heads"]
    if words.setdefault("d_embedding", d_model) != d_model:
        words |= {"factorised": "in", "projection_bias": True}
    table = Tensor("rotary positions", "position_embedding", (words["n_positions"], d_model // n_heads), matmul=False)
    words["model_tensors"] = Tensors(table)
    words["max_seq_len"] = words.pop("n_positions")


def rembert(config: Config, words: Words) -> None:
    """Input and output embeddings of different widths, both apart from the model's."""
    d_model, n_vocab, wide = words["d_model"], words["n_vocab"], config.size("output_embedding_size", default=1664)
    words |= {"factorised": "in", "projection_bias": True}
    if words.get("head") == "none":
        return
    words |= {"head": "none", "head_bias": False}
    words["model_tensors"] = Tensors(
        Tensor("head transform", "head_transform", (d_model, wide)),
        *vectors("head_transform", ("head transform bias", wide), ("head transform norm scale", wide), ("head transform norm shift", wide)),
        Tensor("head", "head_matrix", (wide, n_vocab)),
        *vectors("head_bias", ("head bias", n_vocab)),
    )


def deberta_positions(config: Config, words: Words) -> int:
    """Rows of the table of relative positions, 0 without; absolute positions only with `position_biased_input`."""
    if not config.flag("position_biased_input", True):
        words["max_seq_len"] = words.pop("n_positions")
    config.must_be("embedding_size", words["d_model"])
    if not config.flag("relative_attention", False):
        return 0
    unsaid = config.find("max_relative_positions") in (None, -1, 0)
    return 2 * config.size("max_position_embeddings" if unsaid else "max_relative_positions")


def attended(config: Config) -> list[str]:
    """Kinds of attention to positions: `p2c|c2p` or a list."""
    kinds = config.find("pos_att_type") or []
    kinds = [kind.strip() for kind in kinds.lower().split("|")] if isinstance(kinds, str) else kinds
    if not isinstance(kinds, list) or not all(kind in ("c2p", "p2c") for kind in kinds):
        raise NotSupported(f"`pos_att_type` is `{clipped(kinds)}`", hint="known: c2p, p2c")
    return kinds


def deberta(config: Config, words: Words) -> None:
    """Disentangled attention of he2020: one projection of positions for keys, one for queries."""
    rows, d_model = deberta_positions(config, words), words["d_model"]
    tensors = vectors("attention", ("Q bias", d_model), ("V bias", d_model), ("output bias", d_model))
    words |= {"attention_bias": "none", "fused_qkv": True}
    if rows:
        kinds = attended(config)
        words["model_tensors"] = Tensors(Tensor("relative positions", "relative_bias", (rows, d_model), matmul=False))
        if "c2p" in kinds:
            tensors.append(Tensor("positions as keys", "attention", (d_model, d_model)))
        if "p2c" in kinds:
            tensors += [
                Tensor("positions as queries", "attention", (d_model, d_model)),
                *vectors("attention", ("positions as queries bias", d_model)),
            ]
    words["layer_tensors"] = Tensors(*tensors)


def deberta_v2(config: Config, words: Words) -> None:
    """Positions in buckets, their projections shared with those of the content unless said; a convolution in some models."""
    rows, d_model = deberta_positions(config, words), words["d_model"]
    outside: list[Tensor] = []
    if rows:
        buckets = config.find("position_buckets")
        rows = rows if buckets in (None, -1, 0) else 2 * config.size("position_buckets")
        outside.append(Tensor("relative positions", "relative_bias", (rows, d_model), matmul=False))
        if not config.flag("share_att_key", False):
            kinds = attended(config)
            parts = [part for kind, part in (("c2p", "keys"), ("p2c", "queries")) if kind in kinds]
            inside = [Tensor(f"positions as {part}", "attention", (d_model, d_model)) for part in parts]
            words["layer_tensors"] = Tensors(*inside, *vectors("attention", *((f"positions as {part} bias", d_model) for part in parts)))
    if "layer_norm" in config.text("norm_rel_ebd", "none"):
        outside += vectors("norm", ("relative positions norm scale", d_model), ("relative positions norm shift", d_model))
    taps = config.size("conv_kernel_size", default=0, least=0)
    if taps:
        config.must_be("conv_groups", 1)
        outside.append(Tensor("convolution", "mixer", (d_model * taps, d_model), matmul=False))
        outside += vectors("mixer", ("convolution bias", d_model))
        outside += vectors("norm", ("convolution norm scale", d_model), ("convolution norm shift", d_model))
    size = config.find("attention_head_size")
    if size not in (None, d_model // words["n_heads"]):
        raise NotSupported(f"`attention_head_size` is `{clipped(size)}`, not `hidden_size` by heads")
    words["model_tensors"] = Tensors(*outside)


def gte(_: Config, words: Words) -> None:
    """Biases only where the gated feed-forward comes back to the model's width."""
    words |= {"mlp_bias": False, "layer_tensors": Tensors(*vectors("mlp_dense", ("down bias", words["d_model"])))}


def xlnet(_: Config, words: Words) -> None:
    """Relative positions with a projection of their own, three biases a head and two segments (yang2019)."""
    wide = words["d_model"]
    biases = vectors("attention", ("content bias", wide), ("position bias", wide), ("segment bias", wide))
    words["layer_tensors"] = Tensors(*biases, Tensor("segments", "attention", (2, wide), matmul=False))
    words["model_tensors"] = Tensors(*vectors("other", ("mask", wide)))


def xlm(config: Config, words: Words) -> None:
    """A table of languages where there are several."""
    n_languages = config.size("n_langs", default=1)
    if n_languages > 1 and config.flag("use_lang_emb", True):
        words["n_token_types"] = n_languages
    words["d_ff"] = 4 * words["d_model"]


def fnet(_: Config, words: Words) -> None:
    """A Fourier transform in place of attention, a dense layer after the embedding (leethorp2021)."""
    d_model = words["d_model"]
    words["model_tensors"] = Tensors(
        Tensor("embedding projection", "other", (d_model, d_model)), *vectors("other", ("projection bias", d_model))
    )
    words |= {"pooler": True, "norms_per_layer": 2}


def nystromformer(config: Config, words: Words) -> None:
    """A depthwise convolution of the values, and two more rows of positions."""
    words["max_seq_len"] = words["n_positions"]
    words["n_positions"] += 2
    taps = config.size("conv_kernel_size", default=65, least=0)
    if taps:
        words["layer_tensors"] = Tensors(Tensor("value convolution", "mixer", (words["n_heads"], taps), matmul=False))


def yoso(config: Config, words: Words) -> None:
    """Two more rows of positions; the convolution of the values is optional."""
    words["max_seq_len"] = words["n_positions"]
    words["n_positions"] += 2
    taps = config.size("conv_window", default=0, least=0)
    if taps:
        words["layer_tensors"] = Tensors(Tensor("value convolution", "mixer", (words["n_heads"], taps), matmul=False))


NARROW = {"d_embedding": need("embedding_size")}
ENTANGLED = BERT.but({"n_token_types": maybe("type_vocab_size", default=0)}, only={"legacy": (True,)}, architectures=BARE)
XLM = Family(
    keys={
        "n_layers": need("n_layers"),
        "d_model": need("emb_dim"),
        "n_heads": need("n_heads"),
        "n_vocab": need("vocab_size", "n_words"),
        "n_positions": need("max_position_embeddings"),
    },
    words={
        **BERT.words,
        "head": "vocabulary",
    },
    architectures={"WithLMHeadModel": {}, "Model": {"head": "none", "head_bias": False}},
    only={"tie_word_embeddings": (True,), "asm": (False,)},
    finish=xlm,
)
FAMILIES: dict[str, Family] = {
    "camembert": BERT,
    "data2vec-text": BERT,
    "ernie": BERT.but(only={"use_task_id": (False,)}),
    "xlm-roberta-xl": BERT.but(embedding_norm=False, final_norm=True, post_norm=False),
    "megatron-bert": BERT.but(embedding_norm=False, final_norm=True, post_norm=False),
    "roberta-prelayernorm": BERT.but(final_norm=True, post_norm=False),
    "electra": BERT.but(
        NARROW, finish=electra, architectures={"ForMaskedLM": {}, "ForPreTraining": {}, "Model": {"head": "none", "head_bias": False}}
    ),
    "mpnet": BERT.but({"n_relative_buckets": maybe("relative_attention_num_buckets", default=32)}, without=("n_token_types",)),
    "longformer": BERT.but(finish=longformer),
    "big_bird": BERT.but(
        {"attention_bias": either("use_bias", "all", "out", default=True)},
        finish=big_bird,
        architectures={"ForMaskedLM": {}, "ForPreTraining": {}, "Model": {"head": "none", "head_bias": False}},
    ),
    "convbert": BERT.but(NARROW, finish=conv_bert, only={"num_groups": (1,)}, architectures=BARE),
    "roformer": BERT.but(
        {"d_embedding": maybe("embedding_size"), "n_token_types": maybe("type_vocab_size", absent=2)},
        finish=roformer,
        only={"rotary_value": (False,)},
        architectures=BARE,
    ),
    "rembert": BERT.but({"d_embedding": need("input_embedding_size")}, finish=rembert, only={"tie_word_embeddings": (True, False)}),
    "deberta": ENTANGLED.but(finish=deberta),
    "deberta-v2": ENTANGLED.but(finish=deberta_v2),
    "nomic_bert": BERT.but(
        {"d_head": maybe("head_dim"), "max_seq_len": maybe("max_position_embeddings")},
        architectures=BARE,
        without=("n_positions",),
        gated=True,
        activation="silu",
        attention_bias="none",
        mlp_bias=False,
    ),
    "fnet": BERT.but(finish=fnet, without=("n_heads",), mixer="none"),
    "nystromformer": BERT.but(finish=nystromformer, architectures=BARE),
    "yoso": BERT.but(finish=yoso, architectures=BARE),
    "gte": BERT.but(
        {"d_head": maybe("head_dim"), "max_seq_len": maybe("max_position_embeddings")},
        finish=gte,
        without=("n_positions",),
        architectures=BARE,
        gated=True,
        activation="gelu",
    ),
    "eurobert": LLAMA.but({"head_bias": maybe("mlp_bias", default=False)}, architectures=BARE, bidirectional=True),
    "modernbert-decoder": ENCODERS["modernbert"].but(
        architectures={"DecoderForCausalLM": {}, "DecoderModel": {"head": "none"}}, bidirectional=False
    ),
    "xlm": XLM,
    "flaubert": XLM,
    "xlnet": Family(
        keys={
            "n_layers": need("n_layer", "num_hidden_layers"),
            "d_model": need("d_model", "hidden_size"),
            "n_heads": need("n_head", "num_attention_heads"),
            "d_ff": need("d_inner"),
            "n_vocab": need("vocab_size"),
            "d_head": maybe("d_head"),
        },
        words={
            "norm": "layer",
            "gated": False,
            "attention_bias": "none",
            "mlp_bias": True,
            "relative_projection": True,
            "final_norm": False,
            "post_norm": True,
            "head_bias": True,
        },
        architectures=CAUSAL,
        only={"tie_word_embeddings": (True,)},
        finish=xlnet,
    ),
}
