"""Weights and caches while serving."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scaleplan.machine.activations import Batch
from scaleplan.machine.layout import Layout
from scaleplan.machine.recipe import cache_precision
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving, ServingMemory, cache_pool, serving_memory
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


# ------------------------------------------------------------------------------------------- by hand, every size another

SMALL = {"n_layers": 6, "d_model": 40, "n_heads": 4, "n_kv_heads": 2, "d_head": 10, "d_ff": 84, "n_vocab": 101, "gated": True}
SMALL |= {"norm": "rms", "tied": False}


def held(words: dict[str, Any], layout: Layout, b: int, s: int, weights: str = "bf16", *, context: int = 0, **more: Any) -> ServingMemory:
    """What a device holds."""
    stored = serving_format(weights)
    served = Serving(Batch(b, s), stored, cache_precision(None, stored), **more)
    return serving_memory(bill_of(arch_of_shape(words)), layout, served, context)


@pytest.mark.parametrize(("weights", "width"), [("bf16", 2), ("fp32", 4), ("fp8", 2), ("int8", 2)])
@pytest.mark.parametrize(("b", "s", "tokens"), [(3, 50, 150), (3, 5000, 8192), (1, 8192, 8192), (2, 4097, 8192)])
def test_the_workspace_of_a_pass_by_hand(weights, width, b, s, tokens):
    """Residual stream in and out, 40 numbers each, gate and up, 84 each, for at most 8,192 tokens; logits of 101 words in 32 bits."""
    assert held(SMALL, Layout(), b, s, weights).workspace_bytes == tokens * (2 * 40 + 2 * 84) * width + 4 * b * 101


def test_a_pass_may_read_fewer_tokens_at_once():
    """Chunks of 512 tokens in the place of 8,192."""
    assert held(SMALL, Layout(), 3, 5000, prefill_tokens=512).workspace_bytes == 512 * 248 * 2 + 4 * 3 * 101


def test_tensor_parallelism_divides_the_inside_of_a_pass_and_the_words():
    """On 4 ranks 168 / 4 = 42 numbers and 26 words, the stream whole."""
    assert held(SMALL, Layout(tp=4), 3, 50).workspace_bytes == 150 * (80 + 42) * 2 + 4 * 3 * 26


def test_the_widest_product_of_experts_counts_those_that_a_token_passes():
    """Two of eight experts of 50: 100 numbers, gate and up."""
    words = {name: value for name, value in SMALL.items() if name != "d_ff"} | {"n_experts": 8, "n_experts_per_token": 2, "d_ff_expert": 50}

    assert held(words, Layout(), 1, 10).workspace_bytes == 10 * (80 + 2 * 100) * 2 + 4 * 101


def test_stages_share_layers_and_their_caches():
    """Six layers of 2 heads of 10, K and V in 16 bits, are 480 bytes a token, on two stages half; blocks of weights likewise."""
    whole, half = (held(SMALL, Layout(pp=pp), 3, 50) for pp in (1, 2))
    block = 40 * 40 + 2 * 40 * 20 + 40 * 40 + 3 * 40 * 84 + 2 * 40

    assert (whole.kv_cache_bytes_per_token, whole.kv_cache_bytes) == (480, 480 * 150)
    assert (half.kv_cache_bytes_per_token, half.kv_cache_bytes) == (240, 240 * 150)
    assert whole.weights_bytes == 2 * (6 * block + 2 * 101 * 40 + 40)
    assert whole.weights_bytes - half.weights_bytes == 2 * 3 * block


def test_the_total_is_the_sum_of_weights_cache_workspace_and_context():
    found = held(SMALL, Layout(), 3, 50, context=1000)

    assert found.total_bytes == found.weights_bytes + 480 * 150 + found.workspace_bytes + 1000


def test_the_pool_of_an_engine_by_hand():
    """kwon2023: 90 % of 1,000,000 bytes less 400,000, 30,000 and 20,000 is 450,000: 58 blocks of 16 tokens of 480 bytes."""
    memory = ServingMemory(400_000, 480, 480 * 7, 30_000, 20_000)
    pool = cache_pool(memory, 1_000_000)

    assert (pool.pool_bytes, pool.block_bytes, pool.n_blocks, pool.n_tokens) == (450_000, 7680, 58, 58 * 16)


def test_a_pool_of_another_share_and_block():
    """85.54321 % of 1,000,000 bytes, in blocks of 32 tokens."""
    pool = cache_pool(ServingMemory(400_000, 480, 0, 30_000, 20_000), 1_000_000, 0.8554321, 32)

    assert (pool.pool_bytes, pool.block_bytes, pool.n_blocks, pool.n_tokens) == (405_432, 15_360, 26, 26 * 32)


def test_a_pool_without_room_or_without_a_cache_has_no_blocks():
    """Weights that fill the device leave nothing, and a state space pays nothing a token."""
    full = cache_pool(ServingMemory(950_000, 480, 0, 30_000, 20_000), 1_000_000)
    state = cache_pool(ServingMemory(400_000, 0, 0, 30_000, 20_000), 1_000_000)

    assert (full.pool_bytes, full.n_blocks) == (0, 0)
    assert (state.pool_bytes, state.n_blocks, state.n_tokens) == (450_000, 0, 0)


def test_pools_of_arrays_are_those_of_their_numbers():
    """A model of states alone, one byte in a block of one token, and a usual cache."""
    each = np.array([0, 1, 480])
    pools = cache_pool(ServingMemory(400_000, each, 0, 30_000, 20_000), 1_000_000, block_tokens=np.array([16, 1, 16]))

    assert pools.n_blocks.tolist() == [0, 450_000, 58]


EXPERTS = {name: value for name, value in SMALL.items() if name != "d_ff"} | {"n_experts": 8, "n_experts_per_token": 3, "d_ff_expert": 52}


@pytest.mark.parametrize(
    ("layout", "tp", "ranks"),
    [(Layout(), 1, 1), (Layout(tp=2), 2, 2), (Layout(dp=4, ep=4), 1, 4), (Layout(tp=2, dp=2, ep=4), 2, 8),
     (Layout(tp=2, ep=2, etp=1), 2, 2), (Layout(tp=2, pp=3, dp=2, ep=4, etp=1), 2, 4)],
)  # fmt: skip
def test_experts_are_divided_over_expert_and_their_own_tensor_parallel_ranks(layout: Layout, tp: int, ranks: int):
    """Six layers of 2 bytes: attention over tp, 8 experts of 3 x 40 x 52 over their ranks, router and two norms whole; tables over tp."""
    attention, experts, whole = 2 * 40 * 40 + 2 * 40 * 20, 8 * 3 * 40 * 52, 40 * 8 + 2 * 40
    stage = 6 / int(layout.pp)

    found = held(EXPERTS, layout, 1, 1).weights_bytes
    assert found == 2 * (stage * (attention / tp + experts / ranks + whole) + 2 * 101 * 40 / tp + 40)


def test_caches_of_different_layers_add_up():
    """Six layers of attention and two state spaces: 480 bytes for each of 51 tokens, and 4 x 80 x (16 + 4) a layer and sequence."""
    scan = bill_of(arch_of_shape({"n_layers": 2, "d_model": 40, "n_vocab": 101, "mixer": "mamba", "feed_forward": "none", "norm": "rms"}))
    attention = bill_of(arch_of_shape(SMALL))
    both = attention._replace(layers=attention.layers + scan.layers)
    stored = serving_format("bf16")

    for bill in (both, both._replace(layers=both.layers[::-1])):
        found = serving_memory(bill, Layout(), Serving(Batch(3, 51), stored, cache_precision(None, stored)))
        assert (found.kv_cache_bytes_per_token, found.kv_cache_bytes) == (480, 3 * (480 * 51 + 2 * 4 * 80 * 20))


def test_the_widest_product_is_known_by_what_it_gives():
    """Mamba: 40 numbers come in, twice 80 leave; as many beside them while the scan works."""
    words = {"n_layers": 2, "d_model": 40, "n_vocab": 101, "mixer": "mamba", "feed_forward": "none", "norm": "rms"}

    assert held(words, Layout(), 1, 10).workspace_bytes == 10 * (2 * 40 + 2 * 160) * 2 + 4 * 101
