"""How keys of a config are read: by their type, and each remembered."""

from __future__ import annotations

import pytest

from scaleplan.errors import InputError
from scaleplan.model.families.family import Config, every
from scaleplan.model.words import LARGEST


def test_a_size_is_at_least_one() -> None:
    """1 is a size and 0 is none, unless it is said."""
    assert Config({"a": 1}).size("a") == 1
    assert Config({"a": 0}).size("a", least=0) == 0
    with pytest.raises(InputError, match="`a` is `0`"):
        Config({"a": 0}).size("a")


@pytest.mark.parametrize(("given", "found"), [(4.0, 4), (4, 4), (1.0, 1), (float(LARGEST), LARGEST)])
def test_a_factor_may_be_a_whole_float(given: float, found: int) -> None:
    """4.0 is 4, up to the largest size."""
    read = Config({"a": given}).ratio("a")

    assert (read, type(read)) == (found, int)


@pytest.mark.parametrize("given", [4.5, 0.0, 1e9 + 1, -2.0, "4"])
def test_what_is_no_factor(given: object) -> None:
    """Half a factor, none, one beyond every size, a text."""
    with pytest.raises(InputError, match="`a` is"):
        Config({"a": given}).ratio("a")


@pytest.mark.parametrize(("named", "found"), [(["XForPreTraining"], True), (["XModel"], False), ([], False), ([7], False), (None, False)])
def test_the_class_of_a_config(named: object, found: bool) -> None:
    """The first of `architectures` ends so."""
    assert Config({"architectures": named}).is_of_class("ForPreTraining") is found


@pytest.mark.parametrize(("offset", "hits"), [(0, [0, 3, 6]), (1, [1, 4]), (-1, [2, 5]), (5, [2, 5])])
def test_every_third_layer(offset: int, hits: list[int]) -> None:
    """From the offset on, backwards as well."""
    assert [layer for layer, hit in enumerate(every(7, 3, True, False, offset)) if hit] == hits
