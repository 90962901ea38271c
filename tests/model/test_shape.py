"""The words that describe an architecture, and what is refused of them."""

from __future__ import annotations

import pytest

from scaleplan.errors import ScaleplanError, SeveralErrors
from scaleplan.model.mixers import MIXERS, mixer_type
from scaleplan.model.shape import arch_of_shape
from scaleplan.model.words import WORDS, Words

GPT = {"n_layers": 4, "d_model": 64, "n_heads": 4, "n_vocab": 1000}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"n_layers": 0}, "n_layers"),
        ({"n_layers": 2.5}, "2.5"),
        ({"d_model": 65}, "65"),
        ({"n_kv_heads": 3}, "n_kv_heads"),
        ({"norm": "batch"}, "batch"),
        ({"tied": 1}, "tied"),
        ({"d_modell": 64}, "d_modell"),
        ({"mixer": ["attention", "mamba", "attention"]}, "3 values for 4 layers"),
        ({"n_vocab": [1, 2]}, "n_vocab"),
        ({"n_experts": 8}, "n_experts_per_token"),
        ({"n_experts": 8, "n_experts_per_token": 9}, "n_experts_per_token"),
        ({"mixer": "latent"}, "kv_rank"),
        ({"n_dense_layers": 5, "n_experts": 8, "n_experts_per_token": 2}, "n_dense_layers"),
    ],
)
def test_what_makes_no_sense_is_named(words: dict[str, object], named: str):
    """A word, a size or a combination that describes no model is refused by its name."""
    with pytest.raises(ScaleplanError) as caught:
        arch_of_shape(GPT | words)
    assert named in caught.value.report()


def test_everything_that_is_wrong_is_said_at_once():
    """Two wrong values are two errors."""
    with pytest.raises(SeveralErrors) as caught:
        arch_of_shape(GPT | {"n_layers": 0, "d_model": -1})
    assert len(caught.value.errors) == 2


def test_errors_spell_words_as_the_user_did():
    """A flag is named as a flag."""
    with pytest.raises(ScaleplanError, match="--n-layers"):
        arch_of_shape(GPT | {"n_layers": 0}, spell=lambda word: "--" + word.replace("_", "-"))


def test_a_pattern_is_repeated():
    """Two values describe four layers in turn."""
    arch = arch_of_shape(GPT | {"mixer": ["mamba", "attention"]})

    assert arch.stacks[0].order == ((0, 1), (1, 1), (0, 1), (1, 1))


def test_equal_layers_are_one_kind():
    """A list of equal values is no more than the value."""
    assert arch_of_shape(GPT | {"d_ff": [100] * 4}).stacks == arch_of_shape(GPT | {"d_ff": 100}).stacks


@pytest.mark.parametrize("word", MIXERS)
def test_every_mixer_is_a_file_with_its_class(word):
    """The vocabulary names no mixer that cannot be read, counted and cached."""
    mixer = mixer_type(word)

    assert all(callable(getattr(mixer, part)) for part in ("read", "parts", "cache"))


def test_every_word_says_what_it_means():
    """Meanings are phrases for a help text: no full stop, no capital but in names."""
    for word, known in WORDS.items():
        assert known.meaning
        assert not known.meaning.endswith("."), word


def test_words_keep_their_spelling_when_changed():
    """A changed copy names things as the original does."""
    assert Words(GPT, str.upper).but(n_layers=8).spell("d_ff") == "D_FF"


@pytest.mark.parametrize(("n_dense", "experts"), [(1, [1, 2, 3]), (3, [3]), (4, [])])
@pytest.mark.parametrize("listed", [{}, {"d_head": [5, 7, 5, 7]}])
def test_dense_layers_come_first(n_dense: int, experts: list[int], listed: dict[str, list[int]]):
    """As many as are said, all of them at most; also where a list says something else of the layers."""
    stack = arch_of_shape(GPT | {"n_experts": 8, "n_experts_per_token": 2, "n_dense_layers": n_dense} | listed).stacks[0]
    kinds = [stack.blocks[kind].feed_forward for kind, count in stack.order for _ in range(count)]

    assert [number for number, each in enumerate(kinds) if each.experts is not None] == experts
    assert len(kinds) == 4


def test_norms_of_a_decoder_that_reads_an_encoder():
    """One before each of its three parts; two in the encoder; one is added to those that are said."""
    plain, said = (arch_of_shape(GPT | {"n_encoder_layers": 2} | words) for words in ({}, {"norms_per_layer": 4}))

    assert [stack.blocks[0].n_norms for stack in plain.stacks] == [2, 3]
    assert [stack.blocks[0].n_norms for stack in said.stacks] == [4, 5]


@pytest.mark.parametrize(("words", "tables"), [({}, 1), ({"relative_tables": "stack"}, 1), ({"relative_tables": "layer"}, 4)])
def test_tables_of_relative_positions(words: dict[str, str], tables: int):
    """One for a stack, or one for each layer: 32 rows, a column a head."""
    arch = arch_of_shape(GPT | {"n_relative_buckets": 32} | words)

    assert arch.stacks[0].n_relative_tables == tables


def test_layers_that_change_their_kind_without_end_are_refused():
    """Alternating windows: 1,000 layers are counted, 100,000 would be followed one by one; as many equal ones are one kind."""
    words = {"d_model": 64, "n_heads": 4, "d_ff": 128, "n_vocab": 100}
    assert arch_of_shape({**words, "n_layers": 1_000, "window": [16, 32]})
    assert arch_of_shape({**words, "n_layers": 100_000})
    with pytest.raises(ScaleplanError, match="change their kind"):
        arch_of_shape({**words, "n_layers": 100_000, "window": [16, 32]})
