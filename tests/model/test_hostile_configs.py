"""What files can do to a reader of configs: every one ends in the right count or in an error that can be mended."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cases import CONFIGS

from scaleplan.errors import InputError, ScaleplanError
from scaleplan.model.bill import bill_of
from scaleplan.model.huggingface import read_config
from scaleplan.model.params import count_params
from scaleplan.model_files import Model, read_model

GPT2 = 124_439_808
TOML = "n_layers = 4\nd_model = 64\nn_heads = 4\nn_vocab = 1000\n"


def config_named(name: str) -> dict[str, Any]:
    return json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))


def n_params(model: Model) -> int:
    return count_params(bill_of(model.arch)).n_params


@pytest.fixture
def written(tmp_path: Path):
    """Reads a model from bytes in a file."""

    def read(data: bytes) -> Model:
        path = tmp_path / "config.json"
        path.write_bytes(data)
        return read_model(str(path))

    return read


# ----------------------------------------------------------------------------------------------------- damage to the file

TEXT = json.dumps(config_named("gpt2"))

HARMLESS = {
    "byte-order mark": TEXT.encode("utf-8-sig"),
    "utf-16": TEXT.encode("utf-16"),
    "the same key twice with one value": (TEXT[:-1] + ", " + TEXT[1:]).encode(),
    "CRLF": json.dumps(config_named("gpt2"), indent=2).replace("\n", "\r\n").encode(),
    "blank lines around": b"\n\n \t" + TEXT.encode() + b"\n \n",
    "escaped key": TEXT.replace('"n_layer"', '"\\u006e_layer"').encode(),
    "10 MB that mean nothing": (TEXT[:-1] + ', "note": "' + "x" * 10_000_000 + '"}').encode(),
    "a huge number that means nothing": (TEXT[:-1] + ', "note": 1e999}').encode(),
    "a list of 100,000 that means nothing": (TEXT[:-1] + f', "note": {[0] * 100_000}}}').encode(),
}

HOPELESS = {
    "empty": b"",
    "blank": b" \n\t\n",
    "truncated": TEXT[: len(TEXT) // 2].encode(),
    "binary": bytes(range(256)) * 16,
    "NUL bytes": TEXT.encode().replace(b",", b",\0", 3),
    "utf-16 without a mark": TEXT.encode("utf-16-le"),
    "latin-1": (TEXT[:-1] + ', "note": "\xe9"}').encode("latin-1"),
    "half a surrogate pair": b'\xed\xa0\x80{"model_type": "gpt2"}',
    "a list": f"[{TEXT}]".encode(),
    "an empty list": b"[]",
    "an empty object": b"{}",
    "a string": b'"gpt2"',
    "null": b"null",
    "a number": b"12",
    "two documents": (TEXT + TEXT).encode(),
    "a comma too many": (TEXT[:-1] + ",}").encode(),
    "single quotes": TEXT.replace('"', "'").encode(),
    "comments": b"// gpt2\n" + TEXT.encode(),
    "nested 100,000 deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "never closed": b"[" * 100_000,
    "5,000 digits": TEXT.replace('"n_layer": 12', '"n_layer": ' + "9" * 5000).encode(),
    "the same key twice with two values": (TEXT[:-1] + ', "n_layer": 24}').encode(),
    "a duplicate inside": (TEXT[:-1] + ', "quantization_config": {"bits": 4, "bits": 8}}').encode(),
    "NaN": TEXT.replace('"n_embd": 768', '"n_embd": NaN').encode(),
    "Infinity": TEXT.replace('"n_layer": 12', '"n_layer": Infinity').encode(),
    "minus Infinity": TEXT.replace('"n_layer": 12', '"n_layer": -Infinity').encode(),
    "overflow": TEXT.replace('"n_layer": 12', '"n_layer": 1e400').encode(),
    "float": TEXT.replace('"n_layer": 12', '"n_layer": 12.0').encode(),
    "exponent": TEXT.replace('"n_embd": 768', '"n_embd": 7.68e2').encode(),
    "minus zero": TEXT.replace('"n_layer": 12', '"n_layer": -0').encode(),
    "octal": TEXT.replace('"n_layer": 12', '"n_layer": 014').encode(),
    "hexadecimal": TEXT.replace('"n_layer": 12', '"n_layer": 0xC').encode(),
    "digits of another script": TEXT.replace('"n_layer": 12', '"n_layer": "\u0661\u0662"').encode(),
    "a true": TEXT.replace('"n_layer": 12', '"n_layer": true').encode(),
    "only a model type": b'{"model_type": "gpt2"}',
    "TOML that is broken": b"n_layers = = 3\n",
    "TOML with a key twice": TOML.encode() + b"n_layers = 5\n",
    "TOML nested deeply": b"n_layers = " + b"[" * 50_000 + b"]" * 50_000,
    "TOML of another kind": b"[tool.ruff]\nline-length = 140\n",
    "TOML with NaN": TOML.replace("n_layers = 4", "n_layers = nan").encode(),
    "TOML with a date": TOML.replace("n_layers = 4", "n_layers = 1979-05-27").encode(),
    "TOML with a table": TOML.replace("n_layers = 4", "n_layers = {n = 4}").encode(),
    "HTML": b"<!DOCTYPE html><html>404</html>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n",
}  # fmt: skip


@pytest.mark.parametrize("data", HARMLESS.values(), ids=HARMLESS)
def test_what_changes_nothing_is_read(written, data: bytes):
    """Encodings, white space, repetition and ballast leave the count as it is."""
    assert n_params(written(data)) == GPT2


@pytest.mark.parametrize("data", HOPELESS.values(), ids=HOPELESS)
def test_what_means_nothing_is_refused(written, data: bytes):
    """An error that names the file and fits on a screen; no number."""
    with pytest.raises(ScaleplanError) as refused:
        written(data)
    assert "config.json" in refused.value.report()
    assert len(refused.value.report()) < 2000


def test_an_error_in_json_names_its_line(written):
    """The line is where the reader stopped."""
    broken = json.dumps(config_named("gpt2"), indent=1).replace("768,", "768", 1)
    with pytest.raises(InputError) as refused:
        written(broken.encode())
    assert refused.value.line == broken[: broken.index("768") + 3].count("\n") + 2


def test_hostile_text_cannot_flood_or_steer_a_terminal(written):
    """Control characters of a config are shown, not sent, and long values are cut."""
    with pytest.raises(ScaleplanError) as refused:
        written(json.dumps({"model_type": "\x1b[2J\x07" + "A" * 10_000}).encode())
    assert "\x1b" not in refused.value.report()
    assert "\x07" not in refused.value.report()
    assert len(refused.value.report()) < 1000


# ------------------------------------------------------------------------------------------------------ damage by chance

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8
)
NAMES = sorted(path.stem for path in CONFIGS.glob("*.json"))


def outcome(data: bytes) -> int | None:
    """The count of what a text describes, None where it is refused."""
    try:
        from scaleplan.library import decoded, parse_json
        from scaleplan.model_files import model_of_config

        return n_params(model_of_config(parse_json(decoded(data, "config.json")), "config.json"))
    except ScaleplanError as error:
        assert error.message
        assert len(error.report()) < 2000
        return None


@settings(max_examples=150, deadline=None)
@given(value=JSON)
def test_any_json_is_refused(value: Any):
    """A document that is no config of a known family has no count."""
    assert outcome(json.dumps(value).encode()) is None


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes):
    """Bytes that are no text, or a text that is no JSON, end in an error too."""
    assert outcome(data) is None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(NAMES), seed=st.integers(0, 2**32))
def test_a_damaged_text_is_refused_or_a_whole_count(name: str, seed: int):
    """A character dropped, doubled, swapped or replaced anywhere: a positive whole number, or an error; never a crash."""
    chance = random.Random(seed)
    text = bytearray((CONFIGS / f"{name}.json").read_bytes())
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(text))
        match chance.randrange(4):
            case 0:
                del text[place]
            case 1:
                text.insert(place, text[place])
            case 2:
                text[place] = chance.randrange(256)
            case _:
                other = chance.randrange(len(text))
                text[place], text[other] = text[other], text[place]
    found = outcome(bytes(text))

    assert found is None or (type(found) is int and found > 0)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(NAMES), order=st.randoms(use_true_random=False))
def test_the_order_of_keys_means_nothing(name: str, order: random.Random):
    """A config with its keys shuffled is the same model."""
    config = config_named(name)
    keys = list(config)
    order.shuffle(keys)

    assert outcome(json.dumps({key: config[key] for key in keys}).encode()) == outcome(json.dumps(config).encode()) is not None


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    key=st.sampled_from(["transformers_version", "_name_or_path", "torch_dtype", "dtype", "use_cache"]),
    value=SCALARS,
)
def test_keys_about_other_things_mean_nothing(name: str, key: str, value: Any):
    """What a config says of files, versions and caches does not change the count."""
    config = config_named(name)

    assert outcome(json.dumps(config | {key: value}).encode()) == outcome(json.dumps(config).encode()) is not None


# ------------------------------------------------------------------------------------------------- damage to single values

SIZES = {
    "hidden_size", "n_embd", "d_model", "dim",
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers", "num_decoder_layers",
    "num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads",
    "vocab_size",
}  # fmt: skip
"""What no count can do without, whatever a family calls it."""

NO_SIZE = {
    "a word": "many", "negative": -7, "zero": 0, "a fraction": 12.5, "a whole float": 12.0, "NaN": float("nan"), "infinite": float("inf"),
    "a list": [768], "an object": {"size": 768}, "an empty list": [], "true": True, "huge": 10**30, "1e308": 1e308,
}  # fmt: skip
FIRST = {config_named(name)["model_type"]: name for name in reversed(NAMES)}


def count_of(config: dict[str, Any]) -> int | None:
    """The count of a config that has been parsed, None where it is refused."""
    try:
        return count_params(bill_of(read_config(config).arch)).n_params
    except ScaleplanError as error:
        assert len(error.report()) < 2000
        return None


@pytest.mark.parametrize("name", FIRST.values(), ids=FIRST)
def test_a_size_that_is_none_is_refused(name: str):
    """A width, depth, number of heads or vocabulary that is no positive whole number has no count, in any family."""
    whole = config_named(name)

    answered = {
        (key, kind): count for key in SIZES & set(whole) for kind, value in NO_SIZE.items() if (count := count_of(whole | {key: value}))
    }
    assert answered == {}


@pytest.mark.parametrize("name", FIRST.values(), ids=FIRST)
def test_a_size_that_is_quoted_null_or_missing_is_refused_or_right(name: str):
    """What is not said may be said by another key; otherwise there is no count."""
    whole = config_named(name)
    right = count_of(whole)

    for key in SIZES & set(whole):
        rest = {other: value for other, value in whole.items() if other != key}
        for damaged in (rest, rest | {key: None}, rest | {key: str(whole[key])}):
            assert count_of(damaged) in (None, right), key


@pytest.mark.parametrize("name", FIRST.values(), ids=FIRST)
def test_any_value_of_the_wrong_kind_is_refused_or_changes_nothing(name: str):
    """A list, an object, a word or a number too large is never taken for a size or a switch."""
    whole = config_named(name)
    right = count_of(whole)

    for key in whole:
        for value in ("many", [768], {"size": 768}, float("nan"), 12.5, 10**30, -7):
            assert count_of(whole | {key: value}) in (None, right), (key, value)


@pytest.mark.parametrize("name", FIRST.values(), ids=FIRST)
def test_a_larger_size_is_more_parameters(name: str):
    """One more layer, or one more word, is counted as such: the count grows by what that is made of."""
    whole = config_named(name)
    right = count_of(whole)
    assert right is not None
    more = count_of(whole | {"vocab_size": whole["vocab_size"] + 1})

    assert more is not None
    assert 0 < more - right <= 3 * max(value for key, value in whole.items() if key in SIZES - {"vocab_size"})
