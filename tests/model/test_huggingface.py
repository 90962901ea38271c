"""Configs of released models against what transformers builds from them; damaged ones are refused."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cases import PUBLISHED, published_rows

from scaleplan.errors import InputError, NotSupported, ScaleplanError
from scaleplan.model.arch import Arch
from scaleplan.model.bill import bill_of
from scaleplan.model.flops import EXACT, WINDOWED, count_flops
from scaleplan.model.huggingface import read_config
from scaleplan.model.params import GROUPS, count_params

CONFIGS = {path.stem: path for path in sorted((PUBLISHED / "configs").glob("*.json"))}


def config(name: str) -> dict[str, Any]:
    return json.loads(CONFIGS[name].read_text(encoding="utf-8"))


@cache
def arch(name: str) -> Arch:
    return read_config(config(name), name).arch


@pytest.mark.parametrize("row", published_rows("architectures.csv"), ids=lambda row: row["name"])
def test_every_component_of_a_released_model_is_exact(row: dict[str, str]):
    """Total, groups, active and non-embedding parameters are those of the instantiated model."""
    count = count_params(bill_of(arch(row["name"])))

    assert {group: count.groups.get(group, 0) for group in GROUPS if group in row} == {
        group: int(row[group]) for group in GROUPS if group in row
    }
    assert count.n_params == int(row["total_params"])
    assert count.n_active_params == int(row["active_params"])
    assert count.n_non_embedding_params == int(row["non_embedding_params"])
    assert count.n_active_non_embedding_params == int(row["active_non_embedding_params"])
    assert count.conventions["tied_head_counted_twice"] == int(row["total_if_tied_head_counted_twice"])


@pytest.mark.parametrize("row", published_rows("architecture_flops.csv"), ids=lambda row: f"{row['name']}-{row['batch']}x{row['seq']}")
def test_flops_of_a_released_model_are_exact(row: dict[str, str]):
    """Products with weights are exact everywhere; the whole pass wherever no scan is involved."""
    decoder = int(row["seq_dec"]) if row["seq_dec"] else None
    count = count_flops(bill_of(arch(row["name"])), int(row["seq"]), decoder_seq_len=decoder, batch_size_seqs=int(row["batch"]))

    assert count.linear_flops == int(row["linear_flops"])
    if row["exactness"] == "exact":
        assert count.attention_flops == int(row["attention_scores"])
        assert count.forward_flops == int(row["forward_flops"])
        assert count.training_flops == int(row["forward_backward_flops"])


def test_an_unknown_family_is_refused_with_the_closest_one():
    """No number for a model type that is not known, whatever keys it shares with others."""
    with pytest.raises(NotSupported, match='model_type "llama9" is not supported') as caught:
        read_config(config("llama-3-8b") | {"model_type": "llama9"})
    assert "llama" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "class_name"),
    [
        ("gpt2", "GPT2DoubleHeadsModel"),
        ("llama-3-8b", "LlamaForRewardModel"),
        ("bart-base", "BartForCausalLM"),
        ("bert-base-uncased", "BertForPreTraining"),
        ("gemma-2-2b", "Gemma2PreTrainedModel"),
    ],
)
def test_a_class_with_other_parts_is_refused(name: str, class_name: str):
    """An ending in common does not make it the same class."""
    with pytest.raises(NotSupported, match=class_name):
        read_config(config(name) | {"architectures": [class_name]})


def test_the_bare_opt_keeps_its_projection_out():
    """OPTModel of 350M: everything but the (tied) head, 331,196,416 parameters."""
    bare = read_config(config("opt-350m") | {"architectures": ["OPTModel"]}).arch

    assert bill_of(bare).n_params() == 331_196_416


def test_bare_albert_has_a_pooler():
    """AlbertModel: 11,683,584 parameters, as its checkpoints print."""
    bare = read_config(config("albert-base-v2") | {"architectures": ["AlbertModel"]}).arch

    assert bill_of(bare).n_params() == 11_683_584


def test_layers_that_differ_only_in_their_window_have_the_same_weights():
    """A list of sliding and full layers changes no count."""
    listed = read_config(config("mistral-7b-v0.1") | {"layer_types": ["sliding_attention", "full_attention"] * 16}).arch

    assert bill_of(listed).n_params() == 7_241_732_096


def test_a_model_of_images_is_refused_with_the_way_to_add_it():
    """A tower is added as a number, because only text models are counted."""
    with pytest.raises(NotSupported, match="perceiver") as caught:
        read_config({"model_type": "perceiver", "d_model": 768})
    assert "n_extra_params" in caught.value.hint


def test_a_config_without_model_type_is_refused():
    """The keys have no meaning without it."""
    given_config = config("llama-3-8b")
    del given_config["model_type"]

    with pytest.raises(InputError, match="model_type"):
        read_config(given_config)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"num_hidden_layers": 12.5}, "num_hidden_layers"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"num_hidden_layers": "32"}, "num_hidden_layers"),
        ({"num_hidden_layers": None}, "num_hidden_layers"),
        ({"hidden_size": -4096}, "hidden_size"),
        ({"vocab_size": 10**30}, "vocab_size"),
        ({"vocab_size": float("nan")}, "vocab_size"),
        ({"hidden_size": 4095, "head_dim": None}, "num_attention_heads"),
        ({"num_key_value_heads": 5}, "num_key_value_heads"),
        ({"tie_word_embeddings": "false"}, "tie_word_embeddings"),
        ({"num_local_experts": 8}, "num_local_experts"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ({"pruned_heads": {"0": [1, 2]}}, "pruned_heads"),
    ],
)
def test_a_key_that_makes_no_sense_is_named(changes: dict[str, Any], named: str):
    """A wrong type, a size out of range, a contradiction and a foreign key are refused by the name of the key."""
    with pytest.raises(ScaleplanError, match=re.escape(named)):
        read_config(config("llama-3-8b") | changes)


def test_two_spellings_that_disagree_are_refused():
    """`n_layer` and `num_hidden_layers` may both be there, but not with different values."""
    with pytest.raises(InputError, match="contradict"):
        read_config(config("gpt2") | {"num_hidden_layers": 24})
    assert read_config(config("gpt2") | {"num_hidden_layers": 12}).arch.stacks == arch("gpt2").stacks


def test_the_bare_model_has_no_head():
    """`LlamaModel` ends before the vocabulary."""
    bare = count_params(bill_of(read_config(config("llama-3-8b") | {"architectures": ["LlamaModel"]}).arch))

    assert bare.n_head_params == 0
    assert bare.n_params == count_params(bill_of(arch("llama-3-8b"))).n_params - 128256 * 4096


def test_only_the_text_of_a_multimodal_config_is_counted_and_it_says_so():
    """The vision tower beside a text model is named as not counted."""
    text = config("gemma-3-1b")
    reading = read_config({"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 1152}})

    assert count_params(bill_of(reading.arch)).n_params == 999_885_952
    assert any("vision_config" in sentence for sentence in reading.not_counted)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), st.sampled_from([0, -1, 10**30, 1e308, 12.5, [], {}, "4096"]),
)  # fmt: skip
CORE = {
    "hidden_size",
    "n_embd",
    "d_model",
    "dim",
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_attention_heads",
    "n_head",
    "vocab_size",
}


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(sorted(CONFIGS)), data=st.data(), junk=JUNK)
def test_a_damaged_config_is_refused_or_counted_right(name: str, data: st.DataObject, junk: Any):
    """One value replaced by anything: an error that the user can mend, or a finite count; never a crash."""
    whole = config(name)
    key = data.draw(st.sampled_from(sorted(whole)))

    try:
        found = count_params(bill_of(read_config(whole | {key: junk}).arch))
    except ScaleplanError as error:
        assert error.message
        return
    assert isinstance(found.n_params, int)
    assert found.n_params > 0
    if key in CORE:
        assert type(junk) is int


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(sorted(CONFIGS)), data=st.data())
def test_a_config_without_a_size_is_refused(name: str, data: st.DataObject):
    """A size that is removed is missed by name, unless another spelling of it is there."""
    whole = config(name)
    key = data.draw(st.sampled_from(sorted(CORE & set(whole))))
    rest = {other: value for other, value in whole.items() if other != key}

    with pytest.raises(ScaleplanError, match=key):
        read_config(rest)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(JUNK, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=10)
)
def test_anything_else_is_refused(junk: Any):
    """What is no config of a known family is no model."""
    with pytest.raises(ScaleplanError):
        read_config(junk)


# ----------------------------------------------------------------------------------------------------------- sparse patterns

BERT_LIKE = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "num_hidden_layers": 4, "vocab_size": 1000}
LONGFORMER = BERT_LIKE | {"model_type": "longformer", "max_position_embeddings": 4098, "type_vocab_size": 1}
BIG_BIRD = BERT_LIKE | {"model_type": "big_bird", "max_position_embeddings": 4096, "type_vocab_size": 2}


def scores(config: dict[str, Any], s: int = 4096) -> int:
    """Forward FLOP of attention in one sequence; nothing of it is a matter of kernels."""
    bill = bill_of(read_config(config).arch)
    as_run, windowed = (count_flops(bill, s, how=how).attention_flops for how in (EXACT, WINDOWED))
    assert as_run == windowed
    return as_run


@pytest.mark.parametrize(("window", "keys"), [(512, [512] * 4), ([64, 64, 128, 256], [64, 64, 128, 256]), (None, [512] * 4)])
def test_longformer_sees_its_windows(window: Any, keys: list[int]):
    """4 d FLOP for each query and key of the window, layer by layer (beltagy2020); 512 where the config is silent."""
    assert scores(LONGFORMER | {"attention_window": window}) == sum(4 * 256 * 4096 * w for w in keys)


def test_big_bird_sees_its_blocks():
    """Three blocks around the query, three at random, the first and the last; those two see everything (zaheer2020)."""
    s, block = 4096, 64
    pairs = s * (3 + 3 + 2) * block + 2 * block * s

    assert scores(BIG_BIRD) == 4 * 4 * 256 * pairs
    assert scores(BIG_BIRD | {"attention_type": "original_full"}) == 4 * 4 * 256 * s * s


@pytest.mark.parametrize(
    "config",
    [
        LONGFORMER | {"attention_window": [512, 512]},
        LONGFORMER | {"attention_window": 0},
        LONGFORMER | {"attention_window": "512"},
        BIG_BIRD | {"attention_type": "blocks"},
        BIG_BIRD | {"block_size": 0},
    ],
)
def test_a_pattern_that_makes_no_sense_is_refused(config: dict[str, Any]):
    """A window for some layers only, none at all, a word, an unknown kind."""
    with pytest.raises(ScaleplanError):
        read_config(config)


def test_the_encoder_of_led_sees_windows_and_its_decoder_everything():
    """Windows of the encoder, the full square of the decoder and of cross-attention."""
    led = {
        "model_type": "led", "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "d_model": 64,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "vocab_size": 100, "max_encoder_position_embeddings": 4096,
        "max_decoder_position_embeddings": 1024, "attention_window": [128, 256],
    }  # fmt: skip
    count = count_flops(bill_of(read_config(led).arch), 2048, decoder_seq_len=512)

    assert count.attention_flops == 4 * 64 * (2048 * (128 + 256) + 2 * 512 * 512 + 2 * 512 * 2048)


def test_what_the_text_config_of_gemma_3_leaves_out():
    """8 query heads and 4 of keys, 256 wide, 262,208 tokens (Gemma3TextConfig); 262,144 is the vocabulary of the text model alone."""
    text = {"hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 2}
    said = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262_208}
    silent, written = (read_config({"model_type": "gemma3", "text_config": each}).arch for each in (text, text | said))

    assert silent == written


@pytest.mark.parametrize(("n_further", "said"), [(0, False), (1, True)])
def test_layers_that_predict_further_tokens_are_named(n_further: int, said: bool):
    """Where there are any."""
    reading = read_config(config("deepseek-v3") | {"num_nextn_predict_layers": n_further})

    assert any("num_nextn_predict_layers" in sentence for sentence in reading.not_counted) is said


@pytest.mark.parametrize(("share", "rotated"), [(0.25, 4), (0.3, 4), (1.0, 16), (0.0, 0)])
@pytest.mark.parametrize("key", ["rotary_pct", "partial_rotary_factor"])
def test_a_head_that_is_rotated_in_part(key: str, share: float, rotated: int):
    """A share of a head of 96 / 6, cut to a whole number."""
    neox = {name: value for name, value in config("pythia-70m").items() if name not in ("rotary_pct", "rope_parameters")}
    words = read_config(neox | {"hidden_size": 96, "num_attention_heads": 6, key: share}).words

    assert words["d_rotary"] == rotated


def test_a_share_beyond_the_head_says_nothing():
    """1.5 heads cannot be rotated."""
    neox = {name: value for name, value in config("pythia-70m").items() if name not in ("rotary_pct", "rope_parameters")}

    assert "d_rotary" not in read_config(neox | {"rotary_pct": 1.5}).words
