"""FLOP of a batch by independent routes, and the conventions in use."""

from __future__ import annotations

from math import ceil

import pytest

from scaleplan.model.arch import DECODER, ENCODER, SEQUENCE, Span
from scaleplan.model.bill import bill_of
from scaleplan.model.conventions import CONVENTIONS, from_six_n, training_flops
from scaleplan.model.flops import (
    Counting,
    FlopCount,
    Lengths,
    SparseFlops,
    count_flops,
    linear_flops,
    operation_flops,
    recomputed_flops,
    seen_by_last,
    serving_flops,
    share_of_dense,
    span_pairs,
    sparse_flops,
)
from scaleplan.model.items import Layer, Operation, Weight
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


@pytest.mark.parametrize("words", [{}, {"window": [7, 0]}, {"chunk": 11}, {"mixer": ["mamba", "attention"]}], ids=str)
def test_reading_a_prompt_and_writing_after_it_cost_what_reading_all_costs(words: dict[str, object]):
    """Decoding token by token is the causal pass with every logit but those of the prompt."""
    found = bill(tied=False, **words)
    n_prompt, n_output = 32, 16
    written = sum(serving_flops(found, n_prompt + n).decode_flops_per_token for n in range(n_output))
    whole = count_flops(found, n_prompt + n_output, how=Counting(causal=True, window=True, head=False)).forward_flops

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


# ------------------------------------------------------------------------------------------------------ pairs of a pattern


@pytest.mark.parametrize(("s", "w"), [(53, 7), (7, 7), (7, 53), (29, 1), (60, 12)])
def test_a_window_and_blocks_by_every_pair(s: int, w: int):
    """Causal, i - w < j <= i slides and i // w = j // w is a block; seen from both sides, a query has min(w, s) keys."""
    pairs = [(i, j) for i in range(s) for j in range(i + 1)]

    assert span_pairs(Span(local=w), s, s, causal=True) == sum(i - w < j for i, j in pairs)
    assert span_pairs(Span(local=w, chunked=True), s, s, causal=True) == sum(i // w == j // w for i, j in pairs)
    assert span_pairs(Span(local=w, chunked=True), 0, 0, causal=True) == 0
    assert span_pairs(Span(local=w), s, s, causal=False) == s * min(w, s)


def test_keys_far_away_are_added_key_by_key():
    """37 queries of 53 keys see 5 neighbours, 3 at random, 2 that everybody sees and 2 of every 17; two of them see all 53."""
    far = 3 + 2 + 2 * ceil(53 / 17)
    pattern = Span(local=5, stride=17, per_stride=2, n_random=3, n_global=2)

    assert span_pairs(pattern, 37, 53, causal=False) == 37 * (5 + far) + 2 * 53
    assert span_pairs(pattern._replace(local=None), 37, 53, causal=False) == 37 * far + 2 * 53
    assert span_pairs(pattern, 53, 53, causal=True) == sum(min(i, 5) for i in range(1, 54)) + (53 * far + 2 * 53) // 2


def test_half_of_the_global_keys_come_before_a_query():
    """Every 20th of 400 tokens sees all before it and is seen by all after it: by every pair, each counted once."""
    s, everybody = 400, range(10, 400, 20)
    pairs = [(i, j) for i in range(s) for j in range(i + 1)]
    seen = sum(i in everybody or j in everybody for i, j in pairs)
    both = sum(i in everybody and j in everybody for i, j in pairs)

    assert span_pairs(Span(n_global=20), s, s, causal=True) == pytest.approx(seen + both, rel=0.01)


def test_no_pattern_sees_more_than_all():
    """A square of queries and keys, a triangle of a causal pass."""
    wide = Span(local=11, stride=2, per_stride=2, n_random=13, n_global=7)

    assert span_pairs(wide, 17, 19, causal=False) == 17 * 19
    assert span_pairs(wide, 19, 19, causal=True) == 19 * 20 / 2


@pytest.mark.parametrize(
    ("span", "seen"),
    [
        (None, 102),
        (Span(local=7), 7),
        (Span(local=200), 102),
        (Span(local=7, chunked=True), 101 % 7 + 1),
        (Span(local=7, stride=31, per_stride=5, n_random=3, n_global=2), 7 + 3 + 2 + 5 * 4),
        (Span(stride=31, n_global=2), 2 + 4),
        (Span(n_random=300), 102),
    ],
)
def test_the_token_after_101_sees(span: Span | None, seen: int):
    """Itself, its neighbours and the keys far away, of 101 and itself at most."""
    assert seen_by_last(Operation("attention scores", span=span), 101) == seen


# ------------------------------------------------------------------------------------------------------ sums of a batch

SEVERAL = Layer("block", "block", ENCODER, runs=5, copies=3, d_model=64, weights=(), block=bill().blocks()[0].block)


def test_a_product_is_two_flop_for_each_weight_and_token():
    """7 of 11 experts of 13 x 17 in 5 layers, 19 sequences of 23 tokens of the encoder; a quarter of 221 is 55 zeros."""
    weight = Weight("up", "experts_routed", (13, 17), stored=11, used=7, stream=ENCODER)
    lengths = Lengths(decoder=29, encoder=23)

    assert linear_flops(SEVERAL, weight, lengths, 19, Counting()) == 2 * 5 * 7 * (13 * 17) * 23 * 19
    assert linear_flops(SEVERAL, weight, lengths, 19, Counting(sparsity=0.25)) == 2 * 5 * 7 * (13 * 17 - 55) * 23 * 19


def test_work_without_weights_is_counted_by_token_and_by_pair():
    """In 5 layers 31 FLOP for each of 29 queries and 37 for each of their pairs with 23 keys, 19 sequences; causal, 29 30 / 2 pairs."""
    crossing = Operation("x", 31, 37, queries=DECODER, keys=ENCODER, causal=False)
    own = crossing._replace(keys=DECODER, causal=True)
    lengths, causal = Lengths(decoder=29, encoder=23), Counting(causal=True)

    assert operation_flops(SEVERAL, crossing, lengths, 19, causal) == 5 * (31 * 29 + 37 * 29 * 23) * 19
    assert operation_flops(SEVERAL, own, lengths, 19, causal) == 5 * (31 * 29 + 37 * 29 * 30 // 2) * 19


def test_streams_have_lengths():
    """A pooler sees one position of each sequence."""
    assert [Lengths(17, 19).of(stream) for stream in (DECODER, ENCODER, SEQUENCE)] == [17, 19, 1]


GROUPS = {"mlp_dense": 211, "router": 13, "experts_routed": 307, "experts_shared": 59, "head_matrix": 101, "head_transform": 37}
COUNT = FlopCount(3, Lengths(5, 7), 1009, 83, 29, 2003, 4001, GROUPS, 17)


def test_forward_and_backward_are_their_parts():
    """Products, attention and scans; gradients of inputs and of weights."""
    assert (COUNT.forward_flops, COUNT.backward_flops, COUNT.training_flops) == (1121, 6004, 7125)


@pytest.mark.parametrize(
    ("recompute", "again"),
    [
        ("none", 0),
        ("full", 1009 + 83 + 29 - 101 - 37),
        ("selective", 83),
        ("per-op", 83 + (1009 + 29 - 101 - 37) / 2),
        ("core_attn", 83),
        ("mla_up_proj", 17),
        ("mlp", 211),
        ("moe", 13 + 307 + 59),
        ("layernorm+moe_act", 0),
        ("mla_up_proj+mlp", 17 + 211),
    ],
)
def test_what_each_recomputation_runs_again(recompute: str, again: int):
    """All layers without head and its transform; attention and half of the rest; the products of modules."""
    assert recomputed_flops(COUNT, recompute) == again


def test_frozen_weights_save_their_own_gradient_alone():
    """With every other matrix frozen: gradients of the trained ones, of all inputs, and of both operands of attention and scans."""
    found = bill(mixer=["mamba", "attention"], tied=False)
    layers = tuple(
        layer._replace(weights=tuple(w._replace(trainable=n % 2 == 0) for n, w in enumerate(layer.weights))) for layer in found.layers
    )
    trained = sum(2 * layer.runs * w.shape[0] * w.shape[1] * 37 * 3 for layer in layers for w in layer.weights if w.matmul and w.trainable)
    count = count_flops(found._replace(layers=layers), 37, batch_size_seqs=3)

    assert count.scan_flops and count.attention_flops and 0 < trained < count.linear_flops
    assert count.weight_gradients_flops == trained
    assert count.input_gradients_flops == count.linear_flops + 2 * (count.attention_flops + count.scan_flops)


def test_zeros_are_skipped_forward_and_in_the_gradients():
    """A third of every matrix of four layers, 23 tokens of 5 sequences: forward and in both gradients, or in that of inputs alone."""
    found = bill()
    dense = count_flops(found, 23, batch_size_seqs=5)
    zeros = 2 * 4 * (4 * int(64 * 64 * 0.3) + 2 * int(64 * 256 * 0.3)) * 23 * 5

    assert sparse_flops(found, dense, Counting(sparsity=0.3)) == SparseFlops(
        zeros, dense.forward_flops - zeros, dense.training_flops - 3 * zeros, dense.training_flops - 2 * zeros
    )


def test_the_share_of_dense_attention_weighs_every_layer_and_stream():
    """Three of four layers with a window of 5 over 31 and 47 tokens; crossing attention sees every pair; states count as 16 keys."""
    streams = bill(n_encoder_layers=2, n_layers=3, window=5)
    pairs = 2 * 47 * 47 + 3 * 31 * 31 + 3 * 31 * 47
    mixed = bill(n_layers=6, mixer=["attention", "linear-attention", "attention"])
    windows = bill(n_layers=8, window=[5, 5, 5, 0])
    assert share_of_dense(streams, Lengths(decoder=31, encoder=47)) == pytest.approx(
        (2 * 47 * 5 + 3 * 31 * 5 + 3 * 31 * 47) / pairs, rel=1e-12
    )
    assert share_of_dense(mixed, Lengths(47, 47)) == pytest.approx((2 + 16 / 47) / 3, rel=1e-12)
    assert share_of_dense(windows, Lengths(47, 47)) == pytest.approx((3 * 5 + 47) / (4 * 47), rel=1e-12)
    assert share_of_dense(bill(mixer="lstm"), Lengths(47, 47)) is None


def test_a_prompt_has_the_logits_of_its_last_position():
    """Causal products of 29 tokens, 2 d V once; each token after it 2 N of its products, its scans and 30 keys."""
    found = bill(tied=False, mixer=["mamba", "attention"])
    prompt, one = (count_flops(found, n, how=Counting(causal=True, head=False)) for n in (29, 1))
    head = 2 * 64 * 1000

    assert serving_flops(found, 29) == (prompt.forward_flops + head, one.linear_flops + one.scan_flops + head + 30 * 2 * 4 * 64)
