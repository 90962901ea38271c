"""A Hugging Face config.json -> Arch, without transformers: the families are tables in `families/`.

What is not known is refused by name. Nothing is guessed: a key that changes the count and is missing, contradictory or of the wrong
type is an error that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.errors import InputError, NotSupported, clipped, near_names
from scaleplan.model.arch import Arch
from scaleplan.model.families import FAMILIES, Config, Family
from scaleplan.model.shape import arch_of_shape


class Reading(NamedTuple):
    """The text model of a config, and what of the config was not counted."""

    arch: Arch
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
    if kind not in FAMILIES:
        hint = "`--n-extra-params` adds a tower as a number to a text model" if kind in NOT_TEXT else supported_hint(kind)
        raise NotSupported(f'model_type "{clipped(kind)}" is not supported', hint=hint)
    return Reading(arch_of_family(FAMILIES[kind], outer, label), tuple(not_counted(config)))


def supported_hint(kind: str) -> str:
    """The closest families that there are."""
    near = near_names(kind, list(FAMILIES)) or sorted(FAMILIES)[:6]
    return f"the closest supported ones: {', '.join(near)} ({len(FAMILIES)} in all); or describe the shape with flags or a model TOML"


def read_nested(config: Mapping[str, Any], key: str, kind: str, label: str) -> Reading:
    """The text model inside a multimodal config. Only kinds whose text part is a model of its own are read."""
    inner = config[key]
    if kind not in WRAPPERS:
        raise NotSupported(
            f'model_type "{clipped(kind)}" is not supported',
            hint=f"its `{key}` alone may be: {supported_hint(str(inner.get('model_type')))}",
        )
    text = dict(inner)
    text.setdefault("model_type", WRAPPERS[kind])
    if "tie_word_embeddings" not in text and "tie_word_embeddings" in config:
        text["tie_word_embeddings"] = config["tie_word_embeddings"]
    text.pop("architectures", None)
    reading = read_config(text, label)
    return reading._replace(not_counted=(*not_counted(config), *reading.not_counted))


WRAPPERS: dict[str, str] = {
    "gemma3": "gemma3_text",
    "llama4": "llama4_text",
    "llava": "llama",
    "llava_next": "llama",
    "mistral3": "mistral",
    "aya_vision": "cohere2",
    "internvl": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen2_vl": "qwen2",
}
"""Multimodal model_type -> family of its text model where the nested config does not say."""


def not_counted(config: Mapping[str, Any]) -> list[str]:
    """What lies beside the text model."""
    towers = [key for key in TOWERS if config.get(key)]
    found = [f"only the text model is counted; `{key}` is not" for key in towers]
    if isinstance(config.get("num_nextn_predict_layers"), int) and config["num_nextn_predict_layers"] > 0:
        found.append("layers that predict further tokens (`num_nextn_predict_layers`) are not counted")
    return found


def arch_of_family(family: Family, config: Config, label: str) -> Arch:
    """The architecture by the table of its family."""
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
    refuse_unknown(family, config)
    spelled = {word: config.name(source.keys[0]) for word, source in family.keys.items()}
    return arch_of_shape(words, label, lambda word: spelled.get(word, f"`{word}`"))


def words_of_class(family: Family, config: Config) -> Mapping[str, Any]:
    """What the model class adds: the first of `architectures`; without one, the family's language model."""
    named = config.items("architectures")
    if not named:
        return next(iter(family.architectures.values()))
    if not isinstance(named[0], str):
        raise InputError(f"`architectures` names `{clipped(named[0])}`; it is a list of class names")
    endings = [ending for ending in family.architectures if named[0].endswith(ending)]
    if not endings:
        known = ", ".join(f"...{ending}" for ending in family.architectures)
        raise NotSupported(f"`architectures` names `{clipped(named[0])}`, whose head is not counted", hint=f"supported: {known}")
    return family.architectures[max(endings, key=len)]


def refuse_unknown(family: Family, config: Config) -> None:
    """Refuse a key that changes the count elsewhere, says something, and was not read."""
    for key in CHANGES_COUNT:
        if key in config.used or key in family.ignored:
            continue
        value = config.data.get(key)
        if value not in (None, False, 0, [], {}):
            raise NotSupported(
                f"{config.name(key)} is `{clipped(value)}`, and this family is not known to have it",
                hint="a config of another family under this model_type? Nothing is counted by guess",
            )
