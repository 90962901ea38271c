"""A Hugging Face config.json -> Arch, without transformers: the families are tables in `families/`.

What is not known is refused by name. Nothing is guessed: a key that changes the count and is missing, contradictory or of the wrong
type is an error that names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.errors import InputError, NotSupported, clipped, near_names
from scaleplan.model.arch import Arch
from scaleplan.model.families import FAMILIES, Config, Family
from scaleplan.model.shape import arch_of_shape
from scaleplan.wording import field


class Reading(NamedTuple):
    """The text model of a config, the words that it was built from, and what of the config was not counted."""

    arch: Arch
    words: Mapping[str, Any]
    not_counted: tuple[str, ...] = ()


TEXT_TABLES = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where multimodal configs keep their text model."""

TOWERS = (
    "vision_config",
    "audio_config",
    "speech_config",
    "visual",
    "vision_tower",
    "mm_vision_tower",
    "talker_config",
    "token2wav_config",
)
"""Towers beside the text model: named, not counted."""

SAME_WEIGHTS = ("full_attention", "sliding_attention", "chunked_attention")
"""Kinds of layer that differ in the keys they see and not in their weights."""

OTHER_CLASS = "For[A-Z]|LMHead|Heads|Encoder|Decoder|PreTrained|Pretrained|With[A-Z]"
"""Parts of a class name that make it another class than its ending says: T5EncoderModel is no T5Model."""

NOT_TEXT = frozenset((
    "perceiver", "vit", "vit_mae", "deit", "beit", "swin", "swinv2", "convnext", "convnextv2", "dinov2", "clip", "clip_vision_model",
    "siglip", "siglip_vision_model", "resnet", "whisper", "wav2vec2", "hubert", "encodec", "sam", "detr", "segformer", "videomae",
))  # fmt: skip
"""Models of images and sound."""

CHANGES_COUNT = (
    "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts", "n_shared_experts",
    "moe_intermediate_size", "kv_lora_rank", "q_lora_rank", "qk_layernorm", "use_qk_norm", "qk_norm", "add_cross_attention",
    "cross_attention_layers", "pruned_heads", "is_encoder_decoder", "layer_types", "mlp_only_layers", "num_hidden_groups",
    "state_size", "mamba_d_state", "block_configs", "attention_other_setting", "adapter_size", "use_mla", "index_n_heads",
    "num_kv_shared_layers", "laurel_rank", "altup_num_inputs",
)  # fmt: skip
"""Keys that change the count in some family. Where a family does not know one and it says something, the config is refused."""


def read_config(config: Any, label: str = "") -> Reading:
    """The text model that a parsed config.json describes.

    Raises NotSupported for a family or a variant that is not known, InputError for keys that are missing or make no sense.
    """
    if not isinstance(config, Mapping):
        raise InputError(f"is no config: it holds `{clipped(type(config).__name__)}` where an object should be")
    outer = Config(config)
    kind = outer.find("model_type")
    if kind is None:
        raise InputError("the config lacks `model_type`, without which its keys have no meaning", hint=supported_hint(""))
    if not isinstance(kind, str):
        raise InputError(f"`model_type` is `{clipped(kind)}`; it is a word")
    nested = next((key for key in TEXT_TABLES if isinstance(config.get(key), dict)), None)
    if kind not in FAMILIES and nested is not None:
        return read_nested(config, nested, kind, label)
    if kind in FLAT:
        return read_nested({**config, "text_config": without_type(config)}, "text_config", kind, label)
    if kind not in FAMILIES:
        hint = f"{field('n_extra_params')} adds a tower as a number to a text model" if kind in NOT_TEXT else supported_hint(kind)
        raise NotSupported(f'model_type "{clipped(kind)}" is not supported', hint=hint)
    arch, words = arch_of_family(FAMILIES[kind], outer, label)
    return Reading(arch, words, tuple(not_counted(config)))


def without_type(config: Mapping[str, Any]) -> dict[str, Any]:
    """A flat multimodal config as if it were nested."""
    return {key: value for key, value in config.items() if key not in ("model_type", *TOWERS)}


def supported_hint(kind: str) -> str:
    """Families whose names are near, where some are."""
    near = near_names(kind, list(FAMILIES))
    said = f"of {len(FAMILIES)} supported types {', '.join(near)} {'is' if len(near) == 1 else 'are'} spelled most alike; " if near else ""
    return f"{said}describe the shape with flags or a model TOML"


def read_nested(config: Mapping[str, Any], key: str, kind: str, label: str) -> Reading:
    """The text model inside a multimodal config. Only kinds whose text part is a model of its own are read."""
    inner = config[key]
    if kind not in WRAPPERS:
        raise NotSupported(
            f'model_type "{clipped(kind)}" is not supported',
            hint=f"its `{key}` alone may be: {supported_hint(str(inner.get('model_type')))}",
        )
    wrapper = WRAPPERS[kind]
    text = {"model_type": wrapper.text, **wrapper.unsaid, **inner, "tie_word_embeddings": tied_outside(config, inner, key, wrapper)}
    text.pop("architectures", None)
    reading = read_config(text, label)
    return reading._replace(not_counted=(*not_counted(config), *reading.not_counted))


def tied_outside(config: Mapping[str, Any], inner: Mapping[str, Any], key: str, wrapper: Wrapper) -> Any:
    """Whether the head is tied: the outer config decides, and where the inner one says otherwise nobody can know."""
    outer, said = config.get("tie_word_embeddings"), inner.get("tie_word_embeddings")
    tied = wrapper.tied if outer is None else outer
    if wrapper.inside and said is None:
        said = wrapper.tied
    if said is None and outer is None and wrapper.ambiguous:
        raise InputError("the config lacks `tie_word_embeddings`, on which the count depends")
    if said is not None and said is not tied:
        raise InputError(f"`tie_word_embeddings` is `{clipped(said)}` in `{key}`, but `{clipped(tied)}` for the whole model")
    return tied


class Wrapper(NamedTuple):
    """A multimodal model around a text model.

    text       family of the text model where the nested config does not say
    tied       what the wrapper's class means where nobody says whether the head is tied
    ambiguous  the class and the released checkpoints disagree on that
    inside     the nested config decides, not the outer one
    unsaid     what its text config leaves out, as the class fills it in
    """

    text: str
    tied: bool = False
    ambiguous: bool = False
    inside: bool = False
    unsaid: Mapping[str, Any] = {}


GEMMA3_TEXT = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262_208}
WRAPPERS: dict[str, Wrapper] = {
    "gemma3": Wrapper("gemma3_text", tied=True, unsaid=GEMMA3_TEXT),
    "gemma4": Wrapper("gemma4_text", tied=True),
    "paligemma": Wrapper("gemma", tied=True),
    "llama4": Wrapper("llama4_text", inside=True),
    "llava": Wrapper("llama"),
    "llava_next": Wrapper("llama"),
    "llava_onevision": Wrapper("qwen2"),
    "idefics3": Wrapper("llama"),
    "smolvlm": Wrapper("llama"),
    "mistral3": Wrapper("mistral", tied=True, ambiguous=True),
    "internvl": Wrapper("qwen2", tied=True, ambiguous=True),
    "aya_vision": Wrapper("cohere2", tied=True),
    "cohere2_vision": Wrapper("cohere2", tied=True),
    "lfm2_vl": Wrapper("lfm2", tied=True),
    "qwen2_vl": Wrapper("qwen2_vl_text"),
    "qwen2_5_vl": Wrapper("qwen2_5_vl_text"),
    "qwen3_vl": Wrapper("qwen3_vl_text"),
    "qwen3_vl_moe": Wrapper("qwen3_vl_moe_text"),
    "qwen3_5": Wrapper("qwen3_5_text"),
    "qwen3_5_moe": Wrapper("qwen3_5_moe_text"),
    "glm4v": Wrapper("glm4v_text"),
    "glm4v_moe": Wrapper("glm4v_moe_text"),
}
"""Multimodal model_type -> what lies around its text model."""

FLAT = ("qwen2_vl", "qwen2_5_vl")
"""Multimodal kinds whose released configs keep the keys of the text model at the top."""


UNCOUNTED_WORK = {
    "deberta": "products of queries and keys with relative positions",
    "deberta-v2": "products of queries and keys with relative positions",
    "longt5": "keys and values of the sums of blocks (transient-global)",
}
"""model_type -> work that is in no FLOP count; the parameters behind it are counted."""


def not_counted(config: Mapping[str, Any]) -> list[str]:
    """What lies beside the text model, and what of its work no FLOP count holds."""
    towers = [key for key in TOWERS if config.get(key)]
    found = [f"only the text model is counted; `{key}` is not" for key in towers]
    if isinstance(config.get("num_nextn_predict_layers"), int) and config["num_nextn_predict_layers"] > 0:
        found.append("layers that predict further tokens (`num_nextn_predict_layers`) are not counted")
    work = UNCOUNTED_WORK.get(str(config.get("model_type")))
    if work and config.get("encoder_attention_type", "transient-global") == "transient-global":
        found.append(f"FLOP of {work} are not counted")
    return found


def arch_of_family(family: Family, config: Config, label: str) -> tuple[Arch, dict[str, Any]]:
    """The architecture by the table of its family, and its words."""
    words: dict[str, Any] = dict(family.words)
    for word, source in family.keys.items():
        value = source.read(config, word)
        if value is not None:
            words[word] = value
    words |= words_of_class(family, config)
    for key, allowed in family.only.items():
        config.must_be(key, *allowed)
    if family.finish is not None:
        family.finish(config, words)
    words |= of_kernels(config.data, words)
    refuse_unknown(family, config)
    spelled = {word: config.name(source.keys[0]) for word, source in family.keys.items()}
    return arch_of_shape(words, label, lambda word: spelled.get(word, f"`{word}`")), words


ACTIVATIONS = {
    "gelu": "gelu", "gelu_new": "gelu-new", "gelu_fast": "gelu-new", "gelu_pytorch_tanh": "gelu-tanh", "relu": "relu", "relu2": "relu2",
    "silu": "silu", "swish": "silu",
}  # fmt: skip
"""Names of activations in configs -> ours."""


def of_kernels(data: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """Words that change no count, but what is kept for the backward pass: the activation of a plain feed-forward, a partial rotation."""
    found: dict[str, Any] = {}
    named = next((data[key] for key in ("activation_function", "hidden_act", "activation") if isinstance(data.get(key), str)), None)
    if named in ACTIVATIONS and not words.get("gated"):
        found["activation"] = ACTIVATIONS[named]
    nested = data.get("rope_parameters")
    places = [data, *([nested] if isinstance(nested, dict) else [])]
    share = next(
        (place[key] for place in places for key in ("rotary_pct", "partial_rotary_factor") if isinstance(place.get(key), float)), None
    )
    n_heads, d_model = words.get("n_heads"), words.get("d_model")
    if share is not None and 0 <= share <= 1 and isinstance(n_heads, int) and isinstance(d_model, int):
        d_head = words.get("d_head", d_model // n_heads)
        found |= {"d_rotary": int(d_head * share)} if isinstance(d_head, int) else {}
    return found


def words_of_class(family: Family, config: Config) -> Mapping[str, Any]:
    """What the model class adds: the first of `architectures`; without one, the family's language model."""
    named = config.items("architectures")
    if not named:
        return next(iter(family.architectures.values()))
    if not isinstance(named[0], str):
        raise InputError(f"`architectures` names `{clipped(named[0])}`; it is a list of class names")
    endings = sorted((ending for ending in family.architectures if named[0].endswith(ending)), key=len)
    if not endings or re.search(OTHER_CLASS, named[0].removesuffix(endings[-1])):
        known = ", ".join(f"...{ending}" for ending in family.architectures)
        raise NotSupported(f"`architectures` names `{clipped(named[0])}`, whose head is not counted", hint=f"supported: {known}")
    return family.architectures[endings[-1]]


def refuse_unknown(family: Family, config: Config) -> None:
    """Refuse a key that changes the count elsewhere, says something, and was not read."""
    for key in CHANGES_COUNT:
        if key in config.used or key in family.ignored:
            continue
        value = config.data.get(key)
        if key == "layer_types" and isinstance(value, list) and all(kind in SAME_WEIGHTS for kind in value):
            continue
        if value not in (None, False, 0, [], {}):
            raise NotSupported(
                f"{config.name(key)} is `{clipped(value)}`, and this family is not known to have it",
                hint="a config of another family under this model_type? Nothing is counted by guess",
            )
