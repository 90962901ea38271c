"""Work without weights and states of fixed size, mixer by mixer: recurrences run on numbers that count what is done with them."""

from __future__ import annotations

from math import exp
from typing import Any

import pytest

from scaleplan.model.bill import bill_of
from scaleplan.model.cache import layer_cache
from scaleplan.model.flops import Counting, count_flops
from scaleplan.model.mixers.latent import LatentAttention
from scaleplan.model.mixers.linear import LinearAttention
from scaleplan.model.shape import arch_of_shape

BARE = {"n_layers": 1, "n_vocab": 1, "feed_forward": "none", "norms_per_layer": 0, "final_norm": False, "attention_bias": "none"}


def layer(**words: Any) -> Any:
    """One layer with a mixer and nothing else."""
    return bill_of(arch_of_shape(BARE | words))


def scan_flops(bill: Any) -> int:
    """Forward FLOP of a token in scans and convolutions."""
    return int(count_flops(bill, 1, how=Counting(head=False)).scan_flops)


def state_elements(bill: Any) -> int:
    """Numbers that a sequence keeps, however long it is."""
    kept = [one for each in bill.blocks() for one in layer_cache(each)]
    assert all(one.dtype == "fp32" and not one.per_token for one in kept)
    return int(sum(one.per_sequence for one in kept))


class Counted:
    """A number that counts the additions, multiplications and divisions of all such numbers."""

    done = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def _made(self, value: float) -> Counted:
        Counted.done += 1
        return Counted(value)

    def __add__(self, other: Counted) -> Counted:
        return self._made(self.value + other.value)

    def __mul__(self, other: Counted) -> Counted:
        return self._made(self.value * other.value)

    def __truediv__(self, other: Counted) -> Counted:
        return self._made(self.value / other.value)

    def exp(self) -> Counted:
        """Not counted: a FLOP is an addition, a multiplication or a division."""
        return Counted(exp(self.value))


def numbers(n: int) -> list[Counted]:
    return [Counted(0.1 * (place + 1)) for place in range(n)]


def times(matrix: list[list[Counted]], given: list[Counted]) -> list[Counted]:
    """A vector times a matrix, each entry multiplied and added."""
    found = [Counted(0.0) for _ in matrix[0]]
    for row, factor in zip(matrix, given, strict=True):
        found = [before + factor * entry for before, entry in zip(found, row, strict=True)]
    return found


def with_outer(matrix: list[list[Counted]], rows: list[Counted], columns: list[Counted]) -> list[list[Counted]]:
    """A matrix and the outer product of two vectors, each entry multiplied and added."""
    return [[entry + r * c for entry, c in zip(row, columns, strict=True)] for row, r in zip(matrix, rows, strict=True)]


# -------------------------------------------------------------------------------------------------------------------- the runs


def linear_attention(d_key: int, d_value: int) -> None:
    """S += k v^T, o = q S (katharopoulos2020)."""
    matrix = with_outer([numbers(d_value) for _ in range(d_key)], numbers(d_key), numbers(d_value))
    times(matrix, numbers(d_key))


def delta_rule(d_key: int, d_value: int) -> None:
    """r = k S, S += k (beta (v - r))^T, o = q S (yang2024); the few operations on vectors alone are not done here."""
    matrix = [numbers(d_value) for _ in range(d_key)]
    wrong = times(matrix, numbers(d_key))
    times(with_outer(matrix, numbers(d_key), wrong), numbers(d_key))


def wkv(d_model: int) -> None:
    """wkv = (a + e^(u + k) v) / (b + e^(u + k)), a = e^-w a + e^k v, b = e^-w b + e^k, channel by channel (peng2023 equation 16)."""
    for decay, bonus, key, value, a, b in zip(*(numbers(d_model) for _ in range(6)), strict=True):
        now = (bonus + key).exp()
        (a + now * value) / (b + now)
        shrunk, grown = decay.exp(), key.exp()
        shrunk * a + grown * value
        shrunk * b + grown


def counted(recurrence: Any, *sizes: int) -> int:
    """The operations of one token."""
    Counted.done = 0
    recurrence(*sizes)
    return Counted.done


# ------------------------------------------------------------------------------------------------------------------- the tests


def test_linear_attention_does_what_its_recurrence_does():
    """3 heads with keys of 5 and values of 7: the state is 3 matrices of 5 x 7."""
    bill = layer(d_model=15, mixer="linear-attention", n_heads=3, d_head=5, d_value=7)

    assert scan_flops(bill) == 3 * counted(linear_attention, 5, 7)
    assert state_elements(bill) == 3 * 5 * 7


def test_the_delta_rule_does_what_its_recurrence_does():
    """6 value heads of 7 over 3 key heads of 5, and 2 taps over the channels of Q, K and V, multiplied and added."""
    bill = layer(d_model=64, mixer="gated-delta", n_key_heads=3, n_value_heads=6, d_key=5, d_value=7, d_conv=2)
    channels = 3 * 5 + 3 * 5 + 6 * 7

    assert scan_flops(bill) == 6 * counted(delta_rule, 5, 7) + 2 * 2 * channels
    assert state_elements(bill) == 6 * 5 * 7 + 2 * channels


def test_rwkv_does_what_its_recurrence_does():
    """Ten additions, multiplications and divisions a channel; five numbers are kept for each."""
    bill = layer(d_model=12, mixer="rwkv", d_inner=11)

    assert scan_flops(bill) == counted(wkv, 11)
    assert state_elements(bill) == 5 * 11


def test_mamba_as_its_authors_count_it():
    """`flops_selective_scan_fn` of state-spaces/mamba: 9 E N, and E for the skip D and the gate Z each; dt from rank R is 2 R E."""
    bill = layer(d_model=8, mixer="mamba", d_inner=17, d_state=5, d_conv=3, dt_rank=2)

    assert scan_flops(bill) == 9 * 17 * 5 + 17 + 17 + 2 * 2 * 17 + 2 * 3 * 17
    assert state_elements(bill) == 17 * 5 + 17 * 3


def test_mamba_2_does_what_linear_attention_does():
    """State space duality (dao2024 section 3): C and B are queries and keys as wide as the state, x the values of a head."""
    bill = layer(d_model=8, mixer="mamba2", d_inner=21, n_value_heads=3, d_state=5, n_groups=1, d_conv=2)
    channels = 21 + 5 + 5

    assert scan_flops(bill) == 3 * counted(linear_attention, 5, 7) + 2 * 2 * channels
    assert state_elements(bill) == 3 * 5 * 7 + 2 * channels


def test_groups_of_mamba_2_have_their_own_b_and_c():
    """Two groups convolve twice as many channels of B and C, and scan no more."""
    one, two = (layer(d_model=8, mixer="mamba2", d_inner=24, n_value_heads=4, d_state=5, n_groups=groups, d_conv=3) for groups in (1, 2))

    assert scan_flops(two) - scan_flops(one) == 2 * 3 * (2 * 5)
    assert state_elements(two) - state_elements(one) == 3 * (2 * 5)


def test_a_short_convolution_is_its_taps():
    """One tap more over 10 channels is a multiplication and an addition for each."""
    plain = layer(d_model=10, mixer="short-conv", d_conv=3)
    longer = layer(d_model=10, mixer="short-conv", d_conv=4)

    assert scan_flops(longer) - scan_flops(plain) == 2 * 10


@pytest.mark.parametrize("words", [{"d_inner": 34}, {"d_state": 10}, {"d_conv": 6}, {"dt_rank": 4}], ids=lambda words: next(iter(words)))
def test_mamba_grows_with_each_of_its_sizes(words: dict[str, int]):
    """Everything doubles with d_inner; state, taps and rank double their own term."""
    usual = {"d_model": 8, "mixer": "mamba", "d_inner": 17, "d_state": 5, "d_conv": 3, "dt_rank": 2}
    terms = {"d_inner": scan_flops(layer(**usual)), "d_state": 9 * 17 * 5, "d_conv": 2 * 3 * 17, "dt_rank": 2 * 2 * 17}

    assert scan_flops(layer(**usual | words)) - scan_flops(layer(**usual)) == terms[next(iter(words))]


def test_linear_attention_in_one_tensor_or_three_is_the_same():
    """Keys of 5 and values of 7 in 3 heads: Q, K and V side by side are as many weights and FLOP as apart."""
    words = {"d_model": 16, "mixer": "linear-attention", "n_heads": 3, "d_head": 5, "d_value": 7}
    fused, apart = layer(**words, fused_qkv=True), layer(**words)

    assert fused.n_params() == apart.n_params() == 16 + 16 * 3 * (5 + 5 + 7) + 3 * 7 * 16
    assert count_flops(fused, 2) == count_flops(apart, 2)


def test_linear_attention_beside_a_dense_one():
    """A pair costs dense attention a product of keys and one of values in every head: 2 x 3 (5 + 7)."""
    assert LinearAttention(n_heads=3, d_head=5, d_value=7).dense_pair_flops == 2 * 3 * 5 + 2 * 3 * 7


# ------------------------------------------------------------------------------------------------------------ latent attention


def test_the_width_of_latent_attention_is_that_of_its_queries():
    """DeepSeek V3: 128 heads of 128 + 64 (deepseek2024-v3)."""
    assert LatentAttention(128, 1536, 512, 128, 64, 128).attention_width == 24_576


def test_the_indexer_of_sparse_attention_by_hand():
    """DeepSeek V3.2: 64 heads of 128 over a query of rank 1536, one key, one weight a head; 2 x 64 x 128 FLOP a pair."""
    words = {
        "d_model": 7168,
        "mixer": "latent",
        "n_heads": 128,
        "q_rank": 1536,
        "kv_rank": 512,
        "d_nope": 128,
        "d_rope": 64,
        "d_value": 128,
    }
    plain, sparse = layer(**words), layer(**words, n_indexer_heads=64, d_indexer=128, n_indexer_keys=2048)
    linear = 1536 * 64 * 128 + 7168 * 128 + 7168 * 64
    more = count_flops(sparse, 1, how=Counting(head=False)).linear_flops - count_flops(plain, 1, how=Counting(head=False)).linear_flops

    assert more == 2 * linear
    assert sparse.n_params() - plain.n_params() == linear + 2 * 128
    every = count_flops(sparse, 100, how=Counting(head=False)).attention_flops
    assert every - count_flops(plain, 100, how=Counting(head=False)).attention_flops == 100 * 100 * 2 * 64 * 128


def test_a_latent_cache_is_one_vector_for_all_heads():
    """kv_rank + d_rope numbers a token, and the indexer's key beside it."""
    words = {"d_model": 32, "mixer": "latent", "n_heads": 4, "q_rank": 6, "kv_rank": 11, "d_nope": 5, "d_rope": 3, "d_value": 7}
    plain, sparse = layer(**words), layer(**words, n_indexer_heads=2, d_indexer=13, n_indexer_keys=4)

    assert [one.per_token for each in plain.blocks() for one in layer_cache(each)] == [14]
    assert [one.per_token for each in sparse.blocks() for one in layer_cache(each)] == [14, 13]


def test_latent_attention_by_hand():
    """Every size another: Q down and up, K and V down and up, output; 2 FLOP for each of 8 + 7 numbers of a head and pair."""
    bill = layer(d_model=32, mixer="latent", n_heads=4, q_rank=6, kv_rank=11, d_nope=5, d_rope=3, d_value=7)
    linear = 32 * 6 + 6 * 4 * 8 + 32 * 14 + 11 * 4 * 12 + 28 * 32
    count = count_flops(bill, 10, how=Counting(head=False))

    assert count.linear_flops == 10 * 2 * linear
    assert bill.n_params() - 32 == linear + 6 + 11
    assert count.attention_flops == 10 * 10 * 2 * 4 * (8 + 7)
