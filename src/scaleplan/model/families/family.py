"""How a family of Hugging Face configs is described: a table from our words to their keys, and few functions where a table cannot say it.

A family needs these lines:

    keys           word -> where the config says it: `need("hidden_size")`, `maybe("head_dim")`, `either("attention_bias", ...)`
    words          words that are the same in every model of the family
    architectures  ending of the model class -> words that this class changes (a head or none)
    only           key -> what it may say, where it may be there at all: variants that are not counted are refused
    finish         a function (config, words) for what depends on several keys: patterns of layers, for the most part
    ignored        keys that would make us refuse, were they not known to be harmless here

A new family is a new entry in the `FAMILIES` of one of the modules here, and a config of it among the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan.errors import InputError, NotSupported, clipped
from scaleplan.model.words import LARGEST, MOST, WORDS, check_size

Words = dict[str, Any]
MISSING = object()


class Config:
    """A parsed config that is read with care: every key by its type, every reading remembered."""

    def __init__(self, data: Mapping[str, Any], prefix: str = "") -> None:
        self.data = data
        self.prefix = prefix
        self.used: set[str] = set()

    def name(self, key: str) -> str:
        """A key as error messages show it."""
        return f"`{self.prefix}{key}`"

    def find(self, *keys: str) -> Any:
        """The value under one of several spellings of a key, None where it is absent or null; two that disagree are an error."""
        self.used.update(keys)
        given = {key: self.data[key] for key in keys if self.data.get(key) is not None}
        values = list(given.values())
        if any(type(value) is not type(values[0]) or value != values[0] for value in values[1:]):
            said = " and ".join(f"{self.name(key)} is `{clipped(value)}`" for key, value in given.items())
            raise InputError(f"{said}: they contradict each other")
        return values[0] if values else None

    def size(self, *keys: str, default: int | None = None, least: int = 1, most: int = LARGEST) -> int:
        """A whole number; without a default it must be there."""
        value = self.find(*keys)
        if value is None:
            if default is None:
                raise self.lacking(keys[0])
            return default
        return check_size(value, self.name(next(key for key in keys if self.data.get(key) is not None)), least, most)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false; without a default it must be there."""
        value = self.find(key)
        if value is None:
            if default is None:
                raise self.lacking(key)
            return default
        if not isinstance(value, bool):
            raise InputError(f"{self.name(key)} is `{clipped(value)}`; it is true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A string; without a default it must be there."""
        value = self.find(key)
        if value is None:
            if default is None:
                raise self.lacking(key)
            return default
        if not isinstance(value, str):
            raise InputError(f"{self.name(key)} is `{clipped(value)}`; it is a word")
        return value

    def ratio(self, *keys: str, default: int | None = None) -> int:
        """A whole multiple; 4.0 is as good as 4, because such keys hold factors and not sizes."""
        value = self.find(*keys)
        if isinstance(value, float) and value.is_integer() and value <= LARGEST:
            return check_size(int(value), self.name(keys[0]))
        return self.size(*keys, default=default)

    def items(self, key: str) -> list[Any] | None:
        """A list, or None."""
        value = self.find(key)
        if value is not None and not isinstance(value, list):
            raise InputError(f"{self.name(key)} is `{clipped(value)}`; it is a list")
        return value

    def choices(self, key: str, n_layers: int, known: Mapping[str, Any]) -> list[Any] | None:
        """One word for each layer, translated; None where the config has no such list."""
        values = self.items(key)
        if values is None:
            return None
        if len(values) != n_layers:
            raise InputError(f"{self.name(key)} names {len(values)} layers, but there are {n_layers}")
        for value in values:
            if not isinstance(value, str) or value not in known:
                raise NotSupported(f"{self.name(key)} names a layer `{clipped(value)}`", hint=f"known here: {', '.join(known)}")
        return [known[value] for value in values]

    def numbers(self, key: str, most: int) -> list[int]:
        """A list of whole numbers from 0 to `most`; empty where there is none."""
        values = self.items(key) or []
        return [check_size(value, f"an entry of {self.name(key)}", 0, most) for value in values]

    def table(self, key: str) -> Config | None:
        """A nested object, or None."""
        value = self.find(key)
        if value is not None and not isinstance(value, dict):
            raise InputError(f"{self.name(key)} is `{clipped(value)}`; it is an object")
        return None if value is None else Config(value, f"{self.prefix}{key}.")

    def is_of_class(self, ending: str) -> bool:
        """Whether the first of `architectures` ends so."""
        named = self.items("architectures")
        return named is not None and bool(named) and isinstance(named[0], str) and named[0].endswith(ending)

    def must_be(self, key: str, *wanted: Any) -> None:
        """Refuse a variant that is not counted: a key that is there and says something else."""
        value = self.find(key)
        if value is not None and not any(type(value) is type(item) and value == item for item in wanted):
            raise NotSupported(
                f"{self.name(key)} is `{clipped(value)}`, which is not supported", hint=f"supported: {', '.join(map(str, wanted))}"
            )

    def lacking(self, key: str) -> InputError:
        """The error for a key that must be there."""
        return InputError(f"the config lacks {self.name(key)}, on which the count depends")


class Source(NamedTuple):
    """Where the config says a word.

    keys      spellings, the usual one first
    required  it must be there
    default   what absence or null means; None: the word is left out
    absent    what absence alone means, where the config class fills in a number
    yes, no   what true and false mean, for a word that is no flag
    """

    keys: tuple[str, ...]
    required: bool = False
    default: Any = None
    yes: Any = None
    no: Any = None
    absent: Any = None

    def read(self, config: Config, word: str) -> Any:
        """The value of the word, or None where it is to be left out."""
        if self.yes is not None:
            return self.yes if config.flag(self.keys[0], self.default) else self.no
        kind = WORDS[word].kind
        if kind == "flag":
            return config.flag(self.keys[0], self.default)
        if isinstance(kind, tuple):
            return config.text(self.keys[0], self.default)
        if config.find(*self.keys) is None and not self.required:
            return self.default if any(key in config.data for key in self.keys) or self.absent is None else self.absent
        return config.size(*self.keys, least=1 if kind == "size" else 0, most=MOST.get(word, LARGEST))


def need(*keys: str) -> Source:
    """A key that must be there."""
    return Source(keys, required=True)


def maybe(*keys: str, default: Any = None, absent: Any = None) -> Source:
    """A key that may be absent or null: then the default, or the word is left out."""
    return Source(keys, default=default, absent=absent)


def either(key: str, yes: Any, no: Any, default: bool) -> Source:
    """A flag that means one of two words."""
    return Source((key,), default=default, yes=yes, no=no)


class Family(NamedTuple):
    """One or more model types that are described alike."""

    keys: Mapping[str, Source]
    words: Mapping[str, Any]
    architectures: Mapping[str, Words]
    finish: Callable[[Config, Words], None] | None = None
    only: Mapping[str, tuple[Any, ...]] = {}
    ignored: Sequence[str] = ()

    def but(
        self,
        keys: Mapping[str, Source] | None = None,
        *,
        finish: Callable[[Config, Words], None] | None = None,
        only: Mapping[str, tuple[Any, ...]] | None = None,
        ignored: Sequence[str] = (),
        without: Sequence[str] = (),
        architectures: Mapping[str, Words] | None = None,
        **words: Any,
    ) -> Family:
        """A relative: the same, with some keys and words changed or added, and some left out. A word is said in one way only."""
        new_keys = dict(keys or {})
        gone = {*without, *new_keys, *words}
        return Family(
            {word: source for word, source in self.keys.items() if word not in gone} | new_keys,
            {word: value for word, value in self.words.items() if word not in gone} | words,
            self.architectures if architectures is None else architectures,
            finish or self.finish,
            {**self.only, **(only or {})},
            (*self.ignored, *ignored),
        )


CAUSAL: Mapping[str, Words] = {"ForCausalLM": {}, "LMHeadModel": {}, "Model": {"head": "none"}}
"""Decoders: with the vocabulary at the end, or the bare model."""

MASKED: Mapping[str, Words] = {"ForMaskedLM": {}, "LMHeadModel": {}, "Model": {"head": "none", "head_bias": False, "pooler": True}}
"""Encoders: with a head that fills in masked tokens, or the bare model with its pooler."""

GENERATION: Mapping[str, Words] = {"ForConditionalGeneration": {}, "WithLMHeadModel": {}, "Model": {"head": "none"}}
"""Encoder and decoder."""


def every(n_layers: int, interval: int, hit: Any, miss: Any, offset: int = 0) -> list[Any]:
    """One value a layer: `hit` for the layers offset, offset + interval, ..., else `miss`."""
    return [hit if layer % interval == offset % interval else miss for layer in range(n_layers)]
