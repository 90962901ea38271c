"""Each kind of mixer by hand: what one layer of it keeps and what it costs, from the formulas of its article."""

from __future__ import annotations

from typing import Any

import pytest

from scaleplan.model.bill import bill_of
from scaleplan.model.flops import Counting, count_flops
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape

BARE = {"n_layers": 1, "n_vocab": 1, "feed_forward": "none", "norms_per_layer": 0, "final_norm": False, "attention_bias": "none"}


def layer(**words: Any) -> Any:
    """One layer with a mixer and nothing else; a vocabulary of one word, tied."""
    return bill_of(arch_of_shape(BARE | words))


def n_params(bill: Any) -> int:
    """Parameters of the layer alone."""
    return count_params(bill).n_params - bill.arch.d_model


def per_token(bill: Any) -> int:
    """Forward FLOP of a token in products with the layer's weights."""
    return count_flops(bill, 1, how=Counting(head=False)).linear_flops


# ---------------------------------------------------------------------------------------------------------------- attention


def test_heads_need_not_fill_the_width():
    """d_head is free: Q and output are d (a d_head), K and V d (k d_head), where a d_head is not d (Gemma, Qwen3)."""
    bill = layer(d_model=640, n_heads=4, n_kv_heads=1, d_head=256)

    assert n_params(bill) == 2 * 640 * 1024 + 2 * 640 * 256
    assert count_flops(bill, 100).attention_flops == 100 * 100 * 4 * 1024


@pytest.mark.parametrize("n_kv_heads", [1, 2, 8])
def test_groups_of_keys_make_projections_smaller_and_scores_no_cheaper(n_kv_heads: int):
    """Grouped queries save weights of K and V; every query head still meets every key (ainslie2023)."""
    bill = layer(d_model=64, n_heads=8, n_kv_heads=n_kv_heads)

    assert n_params(bill) == 2 * 64 * 64 + 2 * 64 * 8 * n_kv_heads
    assert count_flops(bill, 32).attention_flops == 32 * 32 * 4 * 64


def test_values_may_be_wider_than_keys():
    """2 a (d_qk + d_v) FLOP a pair."""
    bill = layer(d_model=64, n_heads=4, d_head=8, d_value=24)

    assert n_params(bill) == 64 * 4 * (8 + 8 + 24 + 24)
    assert count_flops(bill, 10).attention_flops == 10 * 10 * 2 * 4 * (8 + 24)


def test_query_and_key_norms_are_norms():
    """One scale of d_head for all heads of Q and one for K; over the whole width, as wide as the projections."""
    plain = {"d_model": 64, "n_heads": 8, "n_kv_heads": 2}
    by_head, by_width = (count_params(layer(**plain, qk_norm=kind)) for kind in ("head", "width"))

    assert by_head.groups["norm"] == 8 + 8
    assert by_width.groups["norm"] == 64 + 16


@pytest.mark.parametrize(("kind", "vectors"), [("none", 0), ("qkv", 64 + 2 * 16), ("out", 64), ("all", 2 * 64 + 2 * 16)])
def test_biases_of_attention(kind: str, vectors: int):
    """Q, K and V have biases as wide as their heads, the output one as wide as the model."""
    shape = {"d_model": 64, "n_heads": 8, "n_kv_heads": 2}

    assert n_params(layer(**shape, attention_bias=kind)) - n_params(layer(**shape, attention_bias="none")) == vectors


def test_one_tensor_or_three_are_the_same_count():
    """Whether Q, K and V are fused changes the list of tensors and nothing else."""
    shape = {"d_model": 64, "n_heads": 8, "n_kv_heads": 2, "attention_bias": "all"}
    fused, apart = (layer(**shape, fused_qkv=fused) for fused in (True, False))

    assert n_params(fused) == n_params(apart)
    assert count_flops(fused, 9) == count_flops(apart, 9)


def test_latent_attention_of_deepseek_v3():
    """7168 wide, 128 heads of 128 + 64 and values of 128, ranks 1536 and 512: 187,107,328 weights a layer (deepseek2024-v2)."""
    bill = layer(d_model=7168, mixer="latent", n_heads=128, q_rank=1536, kv_rank=512, d_nope=128, d_rope=64, d_value=128)
    queries = 7168 * 1536 + 1536 * 128 * (128 + 64)
    keys_and_values = 7168 * (512 + 64) + 512 * 128 * (128 + 128)

    assert queries + keys_and_values + 128 * 128 * 7168 == 187_105_280
    assert n_params(bill) == 187_105_280 + 1536 + 512
    assert per_token(bill) == 2 * 187_105_280
    assert count_flops(bill, 10).attention_flops == 10 * 10 * 2 * 128 * (192 + 128)


def test_latent_attention_without_a_query_rank():
    """DeepSeek V2 Lite projects queries in one step."""
    bill = layer(d_model=2048, mixer="latent", n_heads=16, kv_rank=512, d_nope=128, d_rope=64, d_value=128)

    assert n_params(bill) == 2048 * 16 * 192 + 2048 * 576 + 512 * 16 * 256 + 16 * 128 * 2048 + 512


def test_compressed_attention_of_deepseek_v4():
    """One key that is also the value, queries and outputs through narrow widths, and one compressed key for every `rate` tokens.

    Q: d q + q a h; KV: d h; output: (a h) r + g r d; sinks a; compression: 2 d h and rate h; norms q, h and h.
    """
    bill = layer(mixer="compressed", d_model=32, n_heads=4, d_head=8, q_rank=6, n_output_groups=2, output_rank=5, window=16, compression=4)

    queries, keys, output = 32 * 6 + 6 * 32, 32 * 8, 32 * 5 + 2 * 5 * 32
    assert n_params(bill) == queries + keys + output + 4 + 2 * 32 * 8 + 4 * 8 + 6 + 8 + 8
    assert per_token(bill) == 2 * (queries + keys + output + 2 * 32 * 8)
    assert count_flops(bill, 64).attention_flops == 64 * (16 + 64 // 4) * 4 * 4 * 8


def test_two_mixers_side_by_side_add_up():
    """A layer with a state space beside attention has the weights of both (Falcon-H1)."""
    attention = {"d_model": 64, "n_heads": 4}
    space = {"d_inner": 128, "n_value_heads": 8, "d_state": 16, "n_groups": 1, "d_conv": 4}
    both = layer(**attention, **space, mixer_beside="mamba2")

    assert n_params(both) == n_params(layer(**attention)) + n_params(layer(d_model=64, mixer="mamba2", **space))


@pytest.mark.parametrize("n_tokens", [64, 128, 256])
def test_linear_attention_keeps_a_state_and_no_pairs(n_tokens: int):
    """Each token updates and reads a d_head x d_value state a head: 4 a d_head d_value FLOP, however long the sequence."""
    count = count_flops(layer(d_model=64, mixer="linear-attention", n_heads=4), n_tokens, how=Counting(head=False))

    assert count.linear_flops == n_tokens * 2 * 4 * 64 * 64
    assert count.attention_flops + count.scan_flops == n_tokens * 4 * 4 * 16 * 16


# ---------------------------------------------------------------------------------------------------------- state spaces


def test_mamba_by_its_article():
    """3 E d^2 of projections with E = 2, the rest small (gu2023 section 3.4): 6 d^2, x, dt, A, D, the convolution."""
    d, inner, state, rank = 768, 1536, 16, 48
    bill = layer(d_model=d, mixer="mamba")
    projections = 3 * 2 * d * d
    small = inner * (rank + 2 * state) + rank * inner + inner + inner * state + inner + 4 * inner + inner

    assert n_params(bill) == projections + small
    assert per_token(bill) == 2 * (projections + inner * (rank + 2 * state))


def test_mamba_130m():
    """24 such layers, a norm each, and a tied vocabulary of 50,280: 129,135,360 parameters (state-spaces/mamba-130m)."""
    found = arch_of_shape({"n_layers": 24, "d_model": 768, "n_vocab": 50_280, "mixer": "mamba", "feed_forward": "none", "norm": "rms"})

    assert count_params(bill_of(found)).n_params == 129_135_360


def test_mamba_2_by_its_article():
    """One projection to z, x, B, C and dt, a convolution over x, B and C, and one back (dao2024)."""
    d, inner, state, groups, heads = 256, 512, 64, 2, 8
    bill = layer(d_model=d, mixer="mamba2", d_inner=inner, n_value_heads=heads, d_state=state, n_groups=groups, d_conv=4)
    into = d * (2 * inner + 2 * groups * state + heads)
    convolution = (inner + 2 * groups * state) * (4 + 1)

    assert n_params(bill) == into + convolution + 3 * heads + inner + inner * d
    assert per_token(bill) == 2 * (into + inner * d)


def test_gated_delta_by_hand():
    """Keys and values in heads of their own number, two gates a head, a short convolution over Q, K and V (yang2024)."""
    d, keys, values = 128, 2 * 16, 4 * 24
    bill = layer(d_model=d, mixer="gated-delta", n_key_heads=2, n_value_heads=4, d_key=16, d_value=24, d_conv=4)
    projections = d * (2 * keys + 2 * values) + d * 2 * 4 + values * d

    assert n_params(bill) == projections + 4 * (2 * keys + values) + 2 * 4 + 24
    assert per_token(bill) == 2 * projections


def test_rwkv_time_mixing():
    """Receptance, key, value and output, and five vectors (peng2023 appendix)."""
    assert n_params(layer(d_model=64, mixer="rwkv")) == 4 * 64**2 + 5 * 64


def test_a_short_convolution():
    """Two gates and values in, one tap row a channel, one projection back."""
    assert n_params(layer(d_model=64, mixer="short-conv", d_conv=3)) == 3 * 64**2 + 3 * 64 + 64**2


def test_a_recurrent_block_of_griffin():
    """Two branches and a way back with biases, a convolution, two gates in blocks by head, one decay a channel (de2024)."""
    d, inner, heads = 64, 96, 4
    projections = 2 * (d * inner + inner) + inner * d + d
    gates = 2 * heads * ((inner // heads) ** 2 + inner // heads)

    assert n_params(layer(d_model=d, mixer="rg-lru", d_inner=inner, n_heads=heads)) == projections + 4 * inner + inner + gates + inner


@pytest.mark.parametrize(
    "words",
    [
        {"mixer": "mamba"},
        {"mixer": "mamba2", "d_inner": 128, "n_value_heads": 4, "d_state": 16, "n_groups": 1, "d_conv": 4},
        {"mixer": "gated-delta", "n_key_heads": 2, "n_value_heads": 4, "d_key": 16, "d_value": 16, "d_conv": 4},
        {"mixer": "rwkv"},
        {"mixer": "short-conv", "d_conv": 3},
        {"mixer": "rg-lru", "n_heads": 4},
        {"mixer": "linear-attention", "n_heads": 4},
        {"mixer": "lstm"},
    ],
    ids=lambda words: words["mixer"],
)
def test_what_has_no_pairs_is_linear_in_length(words: dict[str, Any]):
    """Twice the tokens cost twice the FLOP, and there is nothing for a causal mask to save."""
    bill = layer(d_model=64, **words)
    short, long = (count_flops(bill, n).training_flops for n in (100, 200))

    assert long == 2 * short
    assert count_flops(bill, 100, how=Counting(causal=True, window=True)).training_flops == short
