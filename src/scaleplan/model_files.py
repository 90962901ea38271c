"""Read a model from wherever the user has it, and write it as a file that reads back as the same model.

A model comes from a preset (by name or alias), a scaleplan model TOML, a Hugging Face config.json, the JSON answer of a command,
standard input, or words. Its *document* is one object, in TOML a file and in an answer `inputs.model_shape`:

    {"name": ..., "architecture": {words of words.py, "source": [...]}, "training": {...}, "not_counted": [...]}

The words are those that the architecture was built from, so that reading a document back is exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Caution
from scaleplan.errors import InputError, ScaleplanError, UnknownName, clipped
from scaleplan.model.arch import Arch, Tensor, Tensors
from scaleplan.model.shape import arch_of_shape
from scaleplan.model.words import WORDS, backticks, tensors_of_tables
from scaleplan.wording import question

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
"""The name of a model where models are published: organisation/model."""
SIZE = re.compile(r"\d+(\.\d+)?[kMBGTbm]")
"""A number of parameters, which is no name of a model."""


class Model(NamedTuple):
    """An architecture and where it came from.

    label     what answers call it
    words     what the architecture was built from
    sources   citation keys
    training  the preset's `[training]`: year, n_tokens, compute_flops, seq_len, ... as far as published
    cautions  what was not counted, or counted on an assumption
    quantization  the `quantization_config` of its checkpoint: in which format the weights are stored
    """

    arch: Arch
    label: str
    words: Mapping[str, Any] = {}
    sources: tuple[str, ...] = ()
    training: Mapping[str, Any] = {}
    cautions: tuple[Caution, ...] = ()
    quantization: Mapping[str, Any] = {}

    def but(self, **changed: Any) -> Model:
        """The same model with some words changed or added."""
        words = {**self.words, **changed}
        return self._replace(arch=arch_of_shape(words, self.arch.name), words=words)


def read_model(text: str) -> Model:
    """A model by preset name or alias, path of a TOML or JSON file, folder that holds a config.json, or `-` for standard input."""
    if isinstance(text, library.Text):
        return read_file(text, "the answer")
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
    if REPOSITORY.fullmatch(text) and library.known_as("models", text) is None and not safely(path.parent.exists):
        where = f"give the config.json of that model, or one of `{question('presets', 'models')}`"
        raise UnknownName("model preset", text, (), where=where)
    if SIZE.fullmatch(text) and library.known_as("models", text) is None:
        where = f"`{question('params', target=text)}` finds a shape of that size"
        raise UnknownName("model preset", text, (), where=where)
    preset = library.load("models", text)
    return model_of_document(preset.data, preset.name)


def safely(check: Callable[[], bool]) -> bool:
    """What a check of a path says; a name that the system refuses is nothing at all."""
    try:
        return check()
    except (OSError, ValueError):
        return False


def read_file(path: Path | str, name: str) -> Model:
    """A file of any kind: JSON (a config, an answer of a command, a model's document) or TOML, told apart by how its text begins."""
    text = library.read_text(path)
    first = text.lstrip()[:1]
    try:
        if first == "{" or (first == "[" and str(path).endswith(".json")):  # in TOML, `[` opens a table
            return model_of_json(library.parse_json(text), label_of(name))
        data = library.parse_toml(text, name)
        validate_model(data, name, text)
        return model_of_toml(data, label_of(name))
    except ScaleplanError as error:
        raise error.located(name) from None


def validate_model(data: Mapping[str, Any], name: str, text: str = "") -> None:
    """Refuse a model file whose title, training, sources or remarks are of a wrong kind."""
    from scaleplan.schema import MODEL_FILES, validate

    validate(MODEL_FILES, data, name, text)


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
    return model_of_document(data, str(data.get("name", label)))


ABOUT_FILE = ("source", "date", "note", "name", "title", "training", "aliases", "quantization")
"""Keys of a model file that describe the file and not the model."""


def model_of_document(data: Mapping[str, Any], name: str) -> Model:
    """The model of a document: a parsed model file, a preset, or `inputs.model_shape` of an answer."""
    table = data.get("architecture", data)
    if not isinstance(table, Mapping):
        raise InputError(f"`architecture` is `{clipped(table)}`; it is a table")
    words = {word: read_word(word, value) for word, value in table.items() if word not in ABOUT_FILE}
    training, missed = data.get("training", {}), data.get("not_counted", [])
    if not isinstance(training, Mapping):
        raise InputError(f"`training` is `{clipped(training)}`; it is a table")
    if not isinstance(missed, list):
        raise InputError(f"`not_counted` is `{clipped(missed)}`; it is a list")
    stored = data.get("quantization", {})
    if not isinstance(stored, Mapping):
        raise InputError(f"`quantization` is `{clipped(stored)}`; it is a table")
    cautions = tuple(Caution("not-counted", clipped(message, 400)) for message in missed)
    return Model(arch_of_shape(words, name), name, words, tuple(dict.fromkeys(library.cited(data))), training, cautions, stored)


def arch_of_preset(data: Mapping[str, Any]) -> Arch:
    """The architecture of a preset's parsed file."""
    return model_of_document(data, str(data.get("name", ""))).arch


def read_word(word: str, value: Any) -> Any:
    """A word's value as the vocabulary takes it: tables of tensors as tensors, also inside the words of an encoder."""
    if word == "encoder_words" and isinstance(value, Mapping):
        return {inner: read_word(inner, given) for inner, given in value.items()}
    if word not in WORDS or WORDS[word].kind != "tensors" or not isinstance(value, list):
        return value
    return [tensors_of_tables(item) for item in value] if value and isinstance(value[0], list) else tensors_of_tables(value)


def model_of_words(words: Mapping[str, Any], spell: Callable[[str], str] = backticks) -> Model:
    """A model that was described word by word."""
    return Model(arch_of_shape(words, "given shape", spell), "given shape", words)


def model_of_json(data: Any, label: str) -> Model:
    """The model of a JSON file: the answer of a command, a model's document, or a Hugging Face config.json."""
    if isinstance(data, Mapping) and isinstance(data.get("schema"), str) and data["schema"].startswith(ANSWER_SCHEMA):
        return model_of_answer(data)
    if isinstance(data, Mapping) and isinstance(data.get("architecture"), Mapping) and "model_type" not in data:
        validate_model(data, label)
        return model_of_toml(data, label)
    return model_of_config(data, label)


ANSWER_SCHEMA = "scaleplan."
"""How the `schema` of a JSON answer begins; the name of its command follows."""


def model_of_answer(document: Mapping[str, Any]) -> Model:
    """The model that a JSON answer holds: the document under `inputs.model_shape`. InputError names the command of one without."""
    command = clipped(str(document.get("schema", "")).removeprefix(ANSWER_SCHEMA).split("/")[0])
    inputs = document.get("inputs")
    shape = inputs.get("model_shape") if isinstance(inputs, Mapping) else None
    if not isinstance(shape, Mapping) or not isinstance(shape.get("architecture"), Mapping):
        raise InputError(f"the answer of `{command}` holds no model", hint="answers to `params`, `flops` or `memory` of a model hold it")
    validate_model(shape, "inputs.model_shape")
    return model_of_document(shape, str(shape.get("name", command)))


def model_document(model: Model) -> dict[str, Any]:
    """A model as the object that `model_of_document` reads back; what is empty is left out."""
    architecture = {word: written_word(value) for word, value in model.words.items()}
    if model.sources:
        architecture["source"] = list(model.sources)
    document: dict[str, Any] = {"name": model.label, "architecture": architecture}
    if model.training:
        document["training"] = dict(model.training)
    if model.quantization:
        document["quantization"] = dict(model.quantization)
    if model.cautions:
        document["not_counted"] = [caution.message for caution in model.cautions]
    return document


def written_word(value: Any) -> Any:
    """A word's value in what TOML and JSON have: tensors as tables."""
    if isinstance(value, Tensors):
        return [written_tensor(tensor) for tensor in value.tensors]
    if isinstance(value, Mapping):
        return {word: written_word(inner) for word, inner in value.items()}
    return [written_word(item) for item in value] if isinstance(value, list | tuple) else value


def written_tensor(tensor: Tensor) -> dict[str, Any]:
    """A tensor as a table, without what is usual."""
    more = {key: getattr(tensor, key) for key, usual in Tensor._field_defaults.items() if getattr(tensor, key) != usual}
    return {"name": tensor.name, "group": tensor.group, "shape": list(tensor.shape), **more}


def write_model(model: Model) -> str:
    """The text of a model file, which reads back as the same architecture with the same parts."""
    document = model_document(model)
    top = [f"{key} = {toml_value(value)}" for key, value in document.items() if not isinstance(value, dict)]
    tables = [(key, value) for key, value in document.items() if isinstance(value, dict)]
    inner = [(f"{key}.{word}", value) for key, table in tables for word, value in table.items() if isinstance(value, dict)]
    for key, table in (*tables, *inner):
        top += ["", f"[{key}]", *(f"{word} = {toml_value(value)}" for word, value in table.items() if not isinstance(value, dict))]
    return "\n".join(top) + "\n"


def toml_value(value: Any) -> str:
    """A value as TOML spells it."""
    import json

    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml_value(inner)}' for key, inner in value.items())} }}"
    if isinstance(value, str):
        quoted = json.dumps(value, ensure_ascii=False)
        return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 2**16 else f"\\U{ord(c):08x}" for c in quoted)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def model_of_config(config: Any, label: str) -> Model:
    """A Hugging Face config.json that has been parsed."""
    from scaleplan.model.huggingface import read_config

    reading = read_config(config, label)
    cautions = tuple(Caution("not-counted", message) for message in reading.not_counted)
    stored = said_of(config.get("quantization_config") or config.get("compression_config"))
    return Model(reading.arch, label, reading.words, ("huggingface-transformers",), {}, cautions, stored)


def said_of(table: Any) -> dict[str, Any]:
    """A table without the keys that say nothing, which TOML has no word for; empty where it is none."""
    if not isinstance(table, Mapping):
        return {}
    return {str(key): said_of(value) if isinstance(value, Mapping) else value for key, value in table.items() if value not in (None, [])}
