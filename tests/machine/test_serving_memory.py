"""Weights and caches while serving."""

from __future__ import annotations

from typing import Any

import pytest

from scaleplan.machine.activations import Batch
from scaleplan.machine.layout import Layout
from scaleplan.machine.recipe import cache_precision
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving, serving_memory
from scaleplan.model.bill import bill_of
from scaleplan.model.shape import arch_of_shape

LLAMA_70B = {
    "n_layers": 80,
    "d_model": 8192,
    "n_heads": 64,
    "n_kv_heads": 8,
    "d_ff": 28672,
    "n_vocab": 32000,
    "gated": True,
    "norm": "rms",
    "tied": False,
}


def cache(
    words: dict[str, Any], layout: Layout | None = None, *, b: int = 1, s: int = 4096, cache_type: str | None = None, block: int = 1
) -> tuple[int, int]:
    """Bytes of a token, and of the batch."""
    weights = serving_format("bf16")
    serving = Serving(Batch(b, s), weights, cache_precision(cache_type, weights), block)
    found = serving_memory(bill_of(arch_of_shape(words)), layout or Layout(), serving)
    return found.kv_cache_bytes_per_token, found.kv_cache_bytes


def test_grouped_heads():
    """80 layers of 8 heads of 128, K and V in 16 bits: 327,680 bytes a token; 8 x 4096 of them."""
    assert cache(LLAMA_70B, b=8) == (327_680, 327_680 * 8 * 4096)


def test_tensor_parallelism_divides_heads_as_far_as_there_are():
    """Eight ranks have a head each; sixteen share eight heads and each keeps one."""
    assert cache(LLAMA_70B, Layout(tp=8))[0] == 327_680 // 8
    assert cache(LLAMA_70B, Layout(tp=16))[0] == 327_680 // 8


def test_eight_bits_a_number_halve_it():
    assert cache(LLAMA_70B, cache_type="fp8")[0] == 327_680 // 2


def test_a_sliding_window_bounds_the_tokens():
    """With a window of 1024 a sequence of 4096 keeps 1024 tokens."""
    assert cache(LLAMA_70B | {"window": 1024})[1] == 327_680 * 1024


def test_latent_attention_keeps_one_latent_for_all_heads():
    """DeepSeek-V3: 61 layers of 512 + 64 numbers in 16 bits: 70,272 bytes a token."""
    words = {"n_layers": 61, "d_model": 7168, "n_vocab": 129280, "mixer": "latent", "n_heads": 128, "kv_rank": 512, "q_rank": 1536}
    words |= {"d_nope": 128, "d_rope": 64, "d_value": 128, "gated": True, "norm": "rms", "d_ff": 18432}
    assert cache(words)[0] == 61 * 576 * 2


def test_a_state_space_keeps_a_state_of_fixed_size():
    """Mamba keeps nothing a token; its state does not grow with the sequence."""
    words = {"n_layers": 24, "d_model": 768, "n_vocab": 50280, "mixer": "mamba", "feed_forward": "none", "norm": "rms"}
    assert cache(words, s=1000) == cache(words, s=100_000)
    assert cache(words)[0] == 0


def test_paged_blocks_are_paid_whole():
    """A sequence of 17 tokens in blocks of 16 pays for 32."""
    assert cache(LLAMA_70B, s=17, block=16)[1] == 327_680 * 32


@pytest.mark.parametrize(("name", "bits"), [("fp32", 32), ("bf16", 16)])
def test_weights_are_the_parameters_in_their_type(name: str, bits: int):
    weights = serving_format(name)
    bill = bill_of(arch_of_shape(LLAMA_70B))
    found = serving_memory(bill, Layout(), Serving(Batch(1, 1), weights, cache_precision(None, weights)))
    assert found.weights_bytes == bill.n_params() * bits // 8
