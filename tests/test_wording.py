"""A text names a field once; whoever shows it spells it."""

from __future__ import annotations

import pytest

from scaleplan.errors import InputError, clipped, near_names
from scaleplan.wording import field, fields, flag, keyword, question, spelled, wrapped


def test_a_field_is_spelled_by_who_asked():
    """One message, a flag in a shell and a keyword in Python."""
    error = InputError(f"{field('seq_len')}: too long", hint=f"see {field('n_kv_heads')}")

    assert error.report(flag) == "error: --seq-len: too long\nhint: see --n-kv-heads"
    assert str(error) == "seq_len: too long"


def test_the_name_of_a_file_stays_on_its_line():
    """It is shown whole, however it is called."""
    name = "runs\n\x1b[2J" + "x" * 300 + ".csv"

    assert InputError("no rows", file=name, line=3).report(flag) == "error: runs\\n\\x1b[2J" + "x" * 300 + ".csv:3: no rows"


def test_a_question_is_shown_as_it_is_asked():
    """A command line that a shell reads back, or a call."""
    mark = question("memory", "my model", layout="tp2,dp4", inference=True)

    assert spelled(mark, flag) == "scaleplan memory 'my model' --layout tp2,dp4 --inference"
    assert spelled(mark, keyword) == 'sp.memory("my model", layout="tp2,dp4", inference=True)'


def test_what_a_user_typed_cannot_pass_for_a_field():
    """A mark in a file name or a value is shown, not spelled."""
    assert spelled(f"no model named `{clipped(field('tokens'))}`", flag) == r"no model named `\ue000tokens\ue001`"


def test_what_is_to_be_copied_is_not_broken():
    """Lines break between words, and inside backticks only where a command is wider than the terminal."""
    text = "List them with `scaleplan presets hardware`, or give one."

    assert wrapped(text, 40) == ["List them with", "`scaleplan presets hardware`, or give", "one."]
    assert wrapped(text, 20) == ["List them with", "`scaleplan presets", "hardware`, or give", "one."]
    assert wrapped(text, None) == [text]


def test_several_fields_are_listed():
    """`a, b and c`; with a comma, a plain list."""
    assert spelled(fields("usd"), keyword) == "usd"
    assert spelled(fields("usd", "pue"), keyword) == "usd and pue"
    assert spelled(fields("usd", "pue", "mfu", joined=" or "), keyword) == "usd, pue or mfu"
    assert spelled(fields("usd", "pue", "mfu", joined=", "), keyword) == "usd, pue, mfu"


@pytest.mark.parametrize(("typed", "near"), [("llama3", "llama-3-8b"), ("llama31", "llama-3.1-8b"), ("mixtral", "mixtral-8x7b")])
def test_a_family_comes_before_what_is_spelled_alike(typed, near):
    """`llama3` is Llama 3 and not `llama-33b`: the smallest of the family is named."""
    assert near_names(typed, ["llama-33b", "llama-3-70b", "llama-3-8b", "llama-3.1-8b", "mistral-7b", "mixtral-8x7b"])[0] == near
