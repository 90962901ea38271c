"""FLOP of a batch by independent routes, and the conventions in use."""

from __future__ import annotations

import pytest

from scaleplan.model.bill import bill_of
from scaleplan.model.conventions import CONVENTIONS, from_six_n, training_flops
from scaleplan.model.flops import Counting, count_flops, recomputed_flops, serving_flops, share_of_dense
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model

CAUSAL = Counting(causal=True)
WINDOWED = Counting(window=True)
GPT = {"n_layers": 4, "d_model": 64, "n_heads": 4, "n_vocab": 1000, "n_positions": 128}


def bill(**words):
    return bill_of(arch_of_shape(GPT | words))


def preset(name: str):
    return bill_of(read_model(name).arch)


def by_convention(found, seq_len: int) -> dict[str, float]:
    by_name = training_flops(found, count_params(found), count_flops(found, seq_len).lengths)
    return {name: flops / seq_len for name, flops in by_name.items() if flops is not None}


def test_gpt2_reads_1024_tokens():
    """The forward pass that nanoGPT's notebook prints."""
    assert count_flops(preset("gpt2"), 1024).forward_flops == 291_648_307_200


def test_backward_is_twice_forward():
    """Gradients of inputs and of weights, each a forward pass."""
    count = count_flops(preset("llama-3-8b"), 512)

    assert count.backward_flops == 2 * count.forward_flops


def test_flops_are_proportional_to_the_batch():
    """Eight sequences cost eight times one."""
    one, eight = (count_flops(bill(), 128, batch_size_seqs=n).training_flops for n in (1, 8))

    assert eight == 8 * one


def test_a_plain_gpt_agrees_with_megatron():
    """For the plain block 72 B L s h^2 (1 + s/6h + V/12Lh) is the exact count (narayanan2021)."""
    found = by_convention(preset("gpt3-175b"), 2048)

    assert found["megatron2021"] == found["exact"]
    assert found["megatron2021_recompute"] / (8 * 174.6e9) == pytest.approx(1.0263, rel=1e-3)


def test_palm_convention():
    """3.28e12 FLOP a token for PaLM 540B at 2048 tokens (chowdhery2022 appendix B)."""
    assert by_convention(preset("palm-540b"), 2048)["palm"] == pytest.approx(3.28e12, rel=2e-3)


@pytest.mark.parametrize(
    "name", ["gpt2", "llama-3-8b", "mixtral-8x7b", "t5-small", "albert-base-v2", "opt-350m", "deepseek-v3", "bert-base-uncased"]
)
def test_six_n_and_its_terms_are_the_exact_count(name: str):
    """What is added to 6 N, term by term, gives the exact count to the last FLOP."""
    found = preset(name)
    lengths = count_flops(found, 512, decoder_seq_len=114 if name.startswith("t5") else None).lengths
    by_name = training_flops(found, count_params(found), lengths)

    assert by_name["six_n"] + sum(from_six_n(found, lengths).values()) == by_name["exact"]
    assert set(by_name) == set(CONVENTIONS)


def test_causal_pairs_are_a_triangle():
    """s (s + 1) / 2 pairs of a token with itself and those before it."""
    full, causal = (count_flops(bill(), 100, how=how).attention_flops for how in (Counting(), CAUSAL))

    assert causal * 2 * 100 == full * 101


def test_an_encoder_has_no_causal_pairs():
    """Every token of an encoder sees every other."""
    words = {"bidirectional": True}

    assert count_flops(bill(**words), 100, how=CAUSAL).attention_flops == count_flops(bill(**words), 100).attention_flops


def test_a_window_counts_only_where_it_is_asked_for():
    """Code that masks a window computes the full square."""
    windowed = bill(window=16)

    assert count_flops(windowed, 128).attention_flops == count_flops(bill(), 128).attention_flops
    assert count_flops(windowed, 128, how=WINDOWED).attention_flops * 8 == count_flops(bill(), 128).attention_flops


def test_a_window_as_long_as_the_sequence_is_no_window():
    """min(window, s) keys a query."""
    for how in (WINDOWED, Counting(causal=True, window=True)):
        assert count_flops(bill(window=1000), 128, how=how).attention_flops == count_flops(bill(), 128, how=how).attention_flops


def test_causal_window_by_counting_pairs():
    """The pairs i - w < j <= i, counted one by one."""
    seen = sum(1 for i in range(50) for j in range(50) if i - 7 < j <= i)
    count = count_flops(bill(window=7), 50, how=Counting(causal=True, window=True))

    assert count.attention_flops == 4 * 4 * 64 * seen


def test_sparse_patterns_grow_slower_than_the_square():
    """Strided attention with stride sqrt(s) sees about 2 sqrt(s) keys a query (child2019)."""
    found = bill(window=128, stride=128)

    dense = count_flops(bill(), 128**2).attention_flops
    assert count_flops(found, 128**2).attention_flops * 64 == dense


def test_linear_attention_is_linear():
    """Twice the tokens cost twice the FLOP."""
    found = bill(mixer="linear-attention")
    short, long = (count_flops(found, n).forward_flops for n in (1000, 2000))

    assert long == 2 * short


def test_hashed_attention_is_linear_in_length():
    """Each round sees two chunks, however long the sequence (kitaev2020)."""
    found = bill(mixer="hashed-attention", chunk=64, n_hashes=4, n_buckets=32)

    assert count_flops(found, 8192).attention_flops == 8 * count_flops(found, 1024).attention_flops


def test_logits_can_be_left_out():
    """Without the head 2 d V FLOP a token are missing."""
    whole, without = (count_flops(bill(), 128, how=Counting(head=head)).forward_flops for head in (True, False))

    assert whole - without == 2 * 128 * 64 * 1000


def test_full_recomputation_runs_every_layer_again():
    """8 N instead of 6 N in the layers; the head is not recomputed."""
    count = count_flops(bill(), 128)

    assert recomputed_flops(count, "full") == count.forward_flops - 2 * 128 * 64 * 1000
    assert recomputed_flops(count, "selective") == count.attention_flops
    assert recomputed_flops(count, "none") == 0


def test_reading_a_prompt_and_writing_after_it_cost_what_reading_all_costs():
    """Decoding token by token is the causal pass with every logit but those of the prompt."""
    found = bill(tied=False)
    n_prompt, n_output = 32, 16
    written = sum(serving_flops(found, n_prompt + n).decode_flops_per_token for n in range(n_output))
    whole = count_flops(found, n_prompt + n_output, how=Counting(causal=True, head=False)).forward_flops

    assert serving_flops(found, n_prompt).prefill_flops + written == whole + (n_output + 1) * 2 * 64 * 1000


@pytest.mark.parametrize(
    ("words", "share"),
    [
        ({"window": 512}, 1 / 16),
        ({"window": 128, "stride": 128}, (128 + 64) / 8192),
        ({"chunk": 1024}, 1 / 8),
        ({"window": 256, "n_global": 32}, (256 + 32 + 32) / 8192),
        ({"mixer": "linear-attention"}, 16 / 8192),
        ({"mixer": "hashed-attention", "chunk": 64, "n_hashes": 2, "n_buckets": 64}, (2 * 2 * 64 + 2 * 64 / 4) / 8192),
        ({}, 1),
    ],
)
def test_share_of_dense_attention(words: dict[str, object], share: float):
    """Keys that a query sees over all keys: by hand for each pattern at 8,192 tokens."""
    found = bill(**words)

    assert share_of_dense(found, count_flops(found, 8192).lengths) == pytest.approx(share, rel=1e-12)
