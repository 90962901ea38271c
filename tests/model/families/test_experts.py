"""Families of the module `experts`: counts of the reference library, what a config leaves out, which layers have experts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.model.families.reference import (
    Row,
    assert_absence_means_the_default,
    assert_same_counts,
    built,
    defaults_of,
    experts,
    models_of,
    named,
    windows,
)

from scaleplan.errors import ScaleplanError


@pytest.mark.parametrize("row", models_of("experts"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("experts"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


SMALL = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 5,
    "vocab_size": 101,
    "num_experts_per_tok": 2,
}


def small(kind: str, n_layers: int, **changes: Any) -> Any:
    """A narrow model of a family."""
    return built(kind, {**SMALL, "num_hidden_layers": n_layers, **changes})


QWEN = {"num_experts": 7, "moe_intermediate_size": 11, "shared_expert_intermediate_size": 13}
LOCAL = {"num_local_experts": 7, "intermediate_size_mlp": 44}


@pytest.mark.parametrize("kind", ["qwen2_moe", "qwen3_moe"])
def test_experts_in_every_so_many_layers(kind: str) -> None:
    """Layers whose number, from 1, the step divides; not those of `mlp_only_layers`, the last one among those that may be named."""
    assert experts(small(kind, 7, **QWEN)) == [0, 1, 2, 3, 4, 5, 6]
    assert experts(small(kind, 7, **QWEN, decoder_sparse_step=3)) == [2, 5]
    assert experts(small(kind, 7, **QWEN, mlp_only_layers=[0, 3, 6])) == [1, 2, 4, 5]
    with pytest.raises(ScaleplanError, match="mlp_only_layers"):
        small(kind, 7, **QWEN, mlp_only_layers=[7])


def test_experts_and_chunks_of_llama_4() -> None:
    """Experts in layers step - 1, 2 step - 1, ... or those listed; all but every fourth layer see their own chunk of keys."""
    assert experts(small("llama4_text", 7, **LOCAL, interleave_moe_layer_step=3)) == [2, 5]
    assert experts(small("llama4_text", 7, **LOCAL, moe_layers=[1, 6])) == [1, 6]
    assert windows(small("llama4_text", 9, **LOCAL, attention_chunk_size=32)) == [32, 32, 32, 0, 32, 32, 32, 0, 32]
    assert windows(small("llama4_text", 2, **LOCAL, attention_chunk_size=None)) == [0, 0]
    with pytest.raises(ScaleplanError, match="moe_layers"):
        small("llama4_text", 7, **LOCAL, moe_layers=[7])


def test_windows_of_gpt_oss() -> None:
    """Every second layer, from the first on."""
    assert windows(small("gpt_oss", 5, num_local_experts=7, sliding_window=9)) == [9, 0, 9, 0, 9]


@pytest.mark.parametrize(("kind", "first"), [("deepseek_v3", 3), ("glm4_moe", 1)])
def test_dense_layers_first(kind: str, first: int) -> None:
    """Where the config is silent, the first layers are dense: three of DeepSeek V3, one of GLM 4."""
    latent = {"kv_lora_rank": 8, "q_lora_rank": 9, "qk_nope_head_dim": 4, "qk_rope_head_dim": 2, "v_head_dim": 5}
    routed = {"n_routed_experts": 7, "moe_intermediate_size": 11}

    assert experts(small(kind, 5, **routed, **(latent if kind == "deepseek_v3" else {}))) == list(range(first, 5))
    assert experts(small(kind, 5, **routed, **(latent if kind == "deepseek_v3" else {}), first_k_dense_replace=2)) == [2, 3, 4]
