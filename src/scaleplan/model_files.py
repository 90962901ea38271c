"""Read a model from wherever the user has it: a preset, a scaleplan TOML file, a Hugging Face config.json, standard input, words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Caution
from scaleplan.errors import InputError, ScaleplanError, clipped
from scaleplan.model.arch import Arch
from scaleplan.model.shape import arch_of_shape
from scaleplan.model.words import WORDS, backticks


class Model(NamedTuple):
    """An architecture and where it came from.

    label     what answers call it
    sources   citation keys
    training  the preset's `[training]`: year, n_tokens, compute_flops, seq_len, ... as far as published
    cautions  what was not counted, or counted on an assumption
    """

    arch: Arch
    label: str
    sources: tuple[str, ...] = ()
    training: Mapping[str, Any] = {}
    cautions: tuple[Caution, ...] = ()


def read_model(text: str) -> Model:
    """A model by preset name, path of a TOML or JSON file, folder that holds a config.json, or `-` for standard input."""
    if text == "-":
        return read_file("-", "standard input")
    path = Path(text)
    if text.endswith((".toml", ".json")):
        return read_file(path, text)
    if safely(path.is_dir) and ("/" in text or text in (".", "..") or text not in library.names("models")):
        if not (path / "config.json").is_file():
            raise InputError(
                f"the folder `{clipped(text, 200)}` holds no config.json",
                hint="give a model's folder, its config.json, or the name of a preset",
            )
        return read_file(path / "config.json", text)
    if "/" in text and safely(path.is_file):
        return read_file(path, text)
    preset = library.load("models", text)
    return Model(arch_of_preset(preset.data), preset.name, tuple(preset.sources), preset.data.get("training", {}))


def safely(check: Callable[[], bool]) -> bool:
    """What a check of a path says; a name that the system refuses is nothing at all."""
    try:
        return check()
    except (OSError, ValueError):
        return False


def read_file(path: Path | str, name: str) -> Model:
    """A file of either kind, told apart by how its text begins."""
    text = library.read_text(path)
    first = text.lstrip()[:1]
    try:
        if first == "{" or (first == "[" and str(path).endswith(".json")):  # in TOML, `[` opens a table
            return model_of_config(parse_json(text), label_of(name))
        return model_of_toml(library.parse_toml(text, name), label_of(name))
    except ScaleplanError as error:
        raise error.located(name) from None


def label_of(name: str) -> str:
    """What a file's model is called: the file's name, or that of the folder it lies in."""
    path = Path(name)
    return (
        path.parent.name or "config"
        if path.name == "config.json"
        else path.stem
        if path.suffix in (".json", ".toml")
        else path.name or name
    )


def model_of_toml(data: Mapping[str, Any], label: str) -> Model:
    """A scaleplan model file: words under `[architecture]`, or at the top of the file."""
    if "architecture" not in data and not set(data) & set(WORDS):
        raise InputError(
            "describes no architecture", hint="a model file has a table [architecture] with n_layers, d_model, n_heads, n_vocab, ..."
        )
    name = str(data.get("name", label))
    words = data.get("architecture", data)
    if not isinstance(words, Mapping):
        raise InputError(f"`architecture` is `{clipped(words)}`; it is a table")
    arch = arch_of_shape({word: value for word, value in words.items() if word not in ABOUT_FILE}, name)
    return Model(arch, name, tuple(library.cited(data)), data.get("training", {}))


ABOUT_FILE = ("source", "date", "note", "name", "title", "training")
"""Keys of a model file that describe the file and not the model."""


def arch_of_preset(data: Mapping[str, Any]) -> Arch:
    """The architecture of a preset's parsed file."""
    words = {word: value for word, value in data["architecture"].items() if word not in ABOUT_FILE}
    return arch_of_shape(words, str(data.get("name", "")))


def model_of_words(words: Mapping[str, Any], spell: Callable[[str], str] = backticks) -> Model:
    """A model that was described word by word."""
    return Model(arch_of_shape(words, "given shape", spell), "given shape")


def model_of_config(config: Any, label: str) -> Model:
    """A Hugging Face config.json that has been parsed."""
    from scaleplan.model.huggingface import read_config

    reading = read_config(config, label)
    cautions = tuple(Caution("not-counted", message) for message in reading.not_counted)
    return Model(reading.arch, label, ("huggingface-transformers",), {}, cautions)


def parse_json(text: str) -> Any:
    """JSON that says each thing once; InputError says what is wrong with it otherwise."""
    import json

    try:
        return json.loads(text, object_pairs_hook=said_once)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg}", hint=f"near column {error.colno}", line=error.lineno) from None
    except RecursionError:
        raise InputError("nested too deeply") from None
    except ValueError as error:  # a whole number of thousands of digits
        raise InputError(f"not valid JSON: {clipped(error, 120)}") from None


def said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; the same key twice is fine only if it says the same."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and repr(found[key]) != repr(value):
            raise InputError(f"`{clipped(key)}` is given twice, as `{clipped(found[key])}` and as `{clipped(value)}`")
        found[key] = value
    return found
