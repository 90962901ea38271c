"""Counts as articles print them: Kaplan's table of operations, Megatron, PaLM, and appendix F of Chinchilla."""

from __future__ import annotations

from typing import Any

import pytest

from scaleplan.arithmetic import evaluate
from scaleplan.model.arch import DECODER, SEQUENCE
from scaleplan.model.bill import bill_of
from scaleplan.model.conventions import CONVENTIONS, appendix_f, convention_inputs, from_six_n, share_of, training_flops, weight_terms
from scaleplan.model.flops import Counting, Lengths, count_flops
from scaleplan.model.items import Bill, Layer, Weight
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model

PLAIN = {"attention_bias": "none", "mlp_bias": False}


def bill(**words: Any) -> Bill:
    return bill_of(arch_of_shape({"n_heads": 1} | words))


def per_token(found: Bill, seq_len: int) -> dict[str, float]:
    """Training FLOP of a token by every convention."""
    by_name = training_flops(found, count_params(found), Lengths(seq_len, seq_len))
    return {name: flops / seq_len for name, flops in by_name.items() if flops is not None}


# ------------------------------------------------------------------------------------------------------------------ kaplan


def test_the_operations_of_kaplan_table_1():
    """QKV 2 L d 3 d_attn, project 2 L d_attn d, feed-forward 2 L 2 d d_ff, de-embed 2 d V; scores 2 L n_ctx d_attn over half the square."""
    n_layers, d, d_attn, d_ff, n_vocab, n_ctx = 3, 96, 64, 200, 500, 40
    found = bill(n_layers=n_layers, d_model=d, n_heads=4, d_head=16, d_ff=d_ff, n_vocab=n_vocab, **PLAIN)
    count = count_flops(found, n_ctx)

    assert count.groups == {
        "attention": n_ctx * (2 * n_layers * d * 3 * d_attn + 2 * n_layers * d_attn * d),
        "mlp_dense": n_ctx * 2 * n_layers * 2 * d * d_ff,
        "head_matrix": n_ctx * 2 * d * n_vocab,
    }
    assert count.attention_flops == n_ctx * 2 * (2 * n_layers * n_ctx * d_attn)
    assert count_params(found).kaplan == 2 * d * n_layers * (2 * d_attn + d_ff)


def test_kaplan_counts_half_of_the_square_on_top_of_6_n():
    """C = 6 N + 6 n_layer n_ctx d_attn of training: three times 2 N + 2 n_layer n_ctx d_attn."""
    found = per_token(bill(n_layers=12, d_model=768, n_heads=12, n_vocab=50257), 1024)

    assert found["kaplan"] == 6 * 12 * 12 * 768**2
    assert found["kaplan_context"] - found["kaplan"] == 6 * 12 * 1024 * 768
    assert per_token(bill(n_layers=36, d_model=1280, n_heads=20, n_vocab=50257), 1024)["kaplan_context"] == 3 * 1_509_949_440


def test_the_example_that_is_quoted_as_1e9_parameters():
    """36 layers of 1280: 7.08e8 parameters, and 1.643e12 FLOP to read 1024 tokens, 1.32e11 more for the logits."""
    found = bill(n_layers=36, d_model=1280, n_heads=20, n_vocab=50257)

    assert count_params(found).kaplan == 707_788_800
    assert count_flops(found, 1024, how=Counting(head=False)).forward_flops == 36 * (24 * 1024 * 1280**2 + 4 * 1024**2 * 1280)
    assert count_flops(found, 1024).groups["head_matrix"] == 2 * 1024 * 1280 * 50257


# ------------------------------------------------------------------------------------------- megatron, palm and chinchilla


@pytest.mark.parametrize(("n_layers", "d_model"), [(24, 2304), (30, 3072), (36, 4096), (48, 6144), (80, 12288), (128, 25600)])
def test_megatron_equation_3(n_layers: int, d_model: int):
    """96 B s l h^2 (1 + s/6h + V/16lh) with every layer run twice, 72 (1 + s/6h + V/12lh) without (narayanan2021)."""
    s, vocabulary = 2048, 51200
    found = per_token(bill(n_layers=n_layers, d_model=d_model, n_vocab=vocabulary, n_positions=s), s)

    twice = 96 * n_layers * d_model**2 * (1 + s / (6 * d_model) + vocabulary / (16 * n_layers * d_model))
    once = 72 * n_layers * d_model**2 * (1 + s / (6 * d_model) + vocabulary / (12 * n_layers * d_model))
    assert found["megatron2021_recompute"] == pytest.approx(twice, rel=1e-12)
    assert found["megatron2021"] == pytest.approx(once, rel=1e-12)
    assert found["megatron2021"] == found["exact"]


def test_palm_mfu():
    """238,300 tokens a second on 6144 chips of 275e12 FLOP/s are 46.2 % of the peak, 45.7 % without attention (chowdhery2022)."""
    found = bill(n_layers=118, d_model=18432, n_heads=48, n_kv_heads=1, d_head=256, d_ff=4 * 18432, gated=True, n_vocab=256_000, norm="rms")
    with_attention, without = per_token(found, 2048)["palm"], per_token(found, 2048)["six_n"]

    assert count_params(found).n_params == pytest.approx(540.35e9, rel=1e-3)
    assert with_attention - without == 12 * 118 * 48 * 256 * 2048
    assert 238_300 * with_attention / (6144 * 275e12) == pytest.approx(0.462, abs=0.001)
    assert 238_300 * without / (6144 * 275e12) == pytest.approx(0.457, abs=0.001)


@pytest.mark.parametrize(
    ("n_params", "n_layers", "d_model", "n_heads", "d_head", "ratio"),
    [
        (73e6, 10, 640, 10, 64, 1.03),
        (305e6, 20, 1024, 16, 64, 1.10),
        (552e6, 24, 1280, 10, 128, 1.08),
        (1143e6, 26, 1792, 14, 128, 1.04),
        (1593e6, 28, 2048, 16, 128, 1.03),
        (6796e6, 40, 3584, 28, 128, 0.99),
    ],
)
def test_table_a4_of_hoffmann(n_params: float, n_layers: int, d_model: int, n_heads: int, d_head: int, ratio: float):
    """FLOP by appendix F over 6 N D, which come out without the two vocabulary terms that the appendix lists."""
    found = per_token(bill(n_layers=n_layers, d_model=d_model, n_heads=n_heads, d_head=d_head, d_ff=4 * d_model, n_vocab=32000), 2048)

    assert found["chinchilla_layers"] / (6 * n_params) == pytest.approx(ratio, abs=0.0125)
    assert found["chinchilla"] - found["chinchilla_layers"] == 3 * 4 * 32000 * d_model


def test_appendix_f_line_by_line():
    """QKV, scores, softmax 3 h s^2, weighted sum, output and two dense layers, for one sequence."""
    s, d, heads, key, ff = 16, 48, 6, 8, 100
    lines = (2 * 3 * s * d * key * heads, 2 * s * s * key * heads, 3 * heads * s * s, 2 * s * s * key * heads, 2 * s * key * heads * d)
    layer = sum(lines) + 2 * s * (d * ff + d * ff)
    found = bill(n_layers=5, d_model=d, n_heads=heads, d_head=key, d_ff=ff, n_vocab=70)

    assert per_token(found, s)["chinchilla_layers"] == 3 * 5 * layer / s
    assert per_token(found, s)["chinchilla"] == 3 * (5 * layer + 2 * (2 * s * 70 * d)) / s


def test_appendix_f_of_layers_that_it_does_not_list():
    """Three experts of five and a shared one beside a dense layer, heads of another width than the model, LSTM cells by their matrices."""
    s, d, heads, key, wide = 17, 35, 3, 11, 29 + 3 * 13 + 19
    words: dict[str, Any] = {"n_layers": 3, "d_model": d, "n_heads": heads, "n_vocab": 70}
    experts = {"feed_forward": "both", "d_ff": 29, "d_ff_expert": 13, "d_ff_shared": 19, "n_experts": 5, "n_experts_per_token": 3}
    mixing = (2 * 3 * s * d * key * heads, 2 * s * s * key * heads, 3 * heads * s * s, 2 * s * s * key * heads, 2 * s * key * heads * d)

    assert appendix_f(bill(**words, d_head=key, **experts), s) == 3 * (sum(mixing) + 2 * s * (d * wide + wide * d))
    assert appendix_f(bill(**words, d_head=key, feed_forward="none"), s) == 3 * sum(mixing)
    assert appendix_f(bill(**words, mixer="lstm"), s) == 3 * 2 * s * (4 * d * d + 4 * d * d)


def test_each_stream_has_its_part_of_kaplans_count():
    """Two encoder layers pass 19 tokens, three decoder layers with crossing attention 17: by token of the encoder."""
    d, wide, ff = 24, 4 * 5, 31
    found = bill(n_layers=3, n_encoder_layers=2, d_model=d, n_heads=4, d_head=5, d_ff=ff, n_vocab=70)
    encoder, decoder = 2 * d * (2 * wide + ff), 2 * d * (2 * wide + ff) + 4 * d * wide
    kaplan = training_flops(found, count_params(found), Lengths(decoder=17, encoder=19))["kaplan"]

    assert kaplan == 6 * (19 * 2 * encoder + 17 * 3 * decoder)


def test_nanogpt_estimates_its_flops_by_palm():
    """875,062,886,400 FLOP to train GPT-2 on 1024 tokens, by 6 N + 12 L H Q T, where N leaves out the positions (nanoGPT's notebook)."""
    found = bill(n_layers=12, d_model=768, n_heads=12, n_vocab=50257, n_positions=1024)
    positions = 6 * 1024 * 768 * 1024
    biases = 6 * 1024 * (12 * (9 * 768 + 2 * 768) + 768)  # that notebook's model has none

    assert per_token(found, 1024)["palm"] * 1024 - positions - biases == 875_062_886_400


# --------------------------------------------------------------------------------------------------------------- all of them

SHAPES: dict[str, dict[str, Any]] = {
    "gpt": {"n_positions": 64},
    "untied": {"tied": False},
    "grouped": {"n_kv_heads": 1, "gated": True, "norm": "rms"},
    "experts": {"n_experts": 8, "n_experts_per_token": 2, "n_shared_experts": 1, "n_dense_layers": 1},
    "shared": {"n_shared_copies": 1},
    "streams": {"n_encoder_layers": 2, "n_relative_buckets": 8},
    "mamba": {"mixer": ["mamba", "attention"]},
    "encoder": {"bidirectional": True, "head": "masked", "head_bias": True, "n_token_types": 2},
}


@pytest.mark.parametrize("words", SHAPES.values(), ids=SHAPES)
def test_the_steps_from_6_n_are_exact(words: dict[str, Any]):
    """6 N of the parameters that a token passes and every term after it add up to the exact count, to the last FLOP."""
    found = bill(**{"n_layers": 4, "d_model": 64, "n_heads": 4, "n_vocab": 100} | words)
    lengths = Lengths(17, 23) if "n_encoder_layers" in words else Lengths(23, 23)
    by_name = training_flops(found, count_params(found), lengths)

    assert by_name["six_n"] + sum(from_six_n(found, lengths).values()) == by_name["exact"]


def test_every_step_from_6_n_is_its_own_weights():
    """A matrix kept 2 times, of which a token passes 5, in 7 runs of 3 copies; a pooler sees 1 of 19 positions; a vector is no product."""
    layer = Layer("x", "block", DECODER, runs=7, copies=3, d_model=11, weights=())
    matrix = Weight("m", "mlp_dense", (11, 13), stored=2, used=5)
    lengths, size = Lengths(decoder=17, encoder=19), 11 * 13

    def terms(weight: Weight) -> dict[str, int]:
        return dict(weight_terms(layer, weight, lengths))

    assert terms(matrix) == {
        "the tied head is a product too": 6 * 17 * 3 * (5 - 2) * size,
        "layers that share weights run again": 6 * 17 * (7 - 3) * 5 * size,
        "a pooler sees one position": 0,
    }
    assert terms(matrix._replace(stream=SEQUENCE)) == {
        "the tied head is a product too": 6 * 19 * 3 * (5 - 2) * size,
        "layers that share weights run again": 6 * 19 * (7 - 3) * 5 * size,
        "a pooler sees one position": -6 * (19 - 1) * 7 * 5 * size,
    }
    assert list(terms(matrix._replace(matmul=False)).values()) == [-6 * 17 * 3 * 2 * size]


def test_frozen_weights_take_a_gradient_from_6_n():
    """2 FLOP a token for each frozen weight in a product are missing; attention and scans count three times."""
    found = bill(n_layers=4, d_model=64, n_heads=4, n_vocab=100, mixer=["mamba", "attention"], tied=False)
    layers = tuple(
        layer._replace(weights=tuple(w._replace(trainable=layer.place != "block") for w in layer.weights)) for layer in found.layers
    )
    frozen = sum(layer.runs * w.shape[0] * w.shape[1] for layer in layers for w in layer.weights if w.matmul and not w.trainable)
    model, lengths, count = found._replace(layers=layers), Lengths(23, 23), count_flops(found, 23)
    terms, by_name = from_six_n(model, lengths), training_flops(model, count_params(model), lengths)

    assert terms["no gradient of frozen weights"] == -2 * 23 * frozen
    assert terms["attention of every query to every key"] == 3 * count.attention_flops
    assert terms["scans and convolutions"] == 3 * count.scan_flops
    assert by_name["six_n"] + sum(terms.values()) == by_name["exact"] == 3 * count.forward_flops - 2 * 23 * frozen


@pytest.mark.parametrize(("flops", "s", "share"), [(91, 7, 13), (90, 7, 90 / 7), (3 * 10**30, 3, 10**30)])
def test_flop_by_token_are_exact(flops: int, s: int, share: float):
    """Whole where they are whole, of any size, else the fraction itself."""
    assert share_of(flops, s) == pytest.approx(share, rel=1e-15) and share_of(flops, s) * s == flops


@pytest.mark.parametrize("words", SHAPES.values(), ids=SHAPES)
def test_a_convention_is_its_arithmetic_by_token(words: dict[str, Any]):
    """What -v shows by token is the count of a sequence, and names nothing that is not given."""
    found = bill(**{"n_layers": 4, "d_model": 64, "n_heads": 4, "n_vocab": 100} | words)
    n, lengths = count_params(found), Lengths(20, 32)
    inputs = convention_inputs(found, n, lengths)

    for name, flops in training_flops(found, n, lengths).items():
        by_token = evaluate(CONVENTIONS[name].arithmetic, inputs)
        assert flops is None or by_token == pytest.approx(flops / 32, rel=1e-12), name


# ------------------------------------------------------------------------------------------------- today's Megatron-LM

MEGATRON: dict[str, dict[str, Any]] = {
    "llama-3-8b": {"h": 4096, "f": 14336, "L": 32, "a": 32, "g": 8, "k": 128, "V": 128256, "gate": True},
    "mixtral-8x7b": {"h": 4096, "f": 14336, "L": 32, "a": 32, "g": 8, "k": 128, "V": 32000, "gate": True, "topk": 2},
    "gpt2": {"h": 768, "f": 3072, "L": 12, "a": 12, "g": 12, "k": 64, "V": 50257, "gate": False},
    "falcon-40b": {"h": 8192, "f": 32768, "L": 60, "a": 128, "g": 8, "k": 64, "V": 65024, "gate": False},
}


@pytest.mark.parametrize("name", MEGATRON)
def test_the_counter_of_megatron_lm(name: str):
    """Its terms in its letters: projections, half of the square for scores and values, feed-forward of top-k experts, logits."""
    c, s = MEGATRON[name], 4096
    query, key = c["k"] * c["a"], c["k"] * c["g"]
    attention = c["h"] * (query + 2 * key) + query * s / 2 * 2 + query * c["h"]
    feed_forward = c["h"] * c["f"] * (3 if c["gate"] else 2) * c.get("topk", 1)
    expected = 3 * 2 * (c["L"] * (attention + feed_forward) + c["h"] * c["V"])

    assert per_token(bill_of(read_model(name).arch), s)["megatron"] == expected


def test_the_counter_of_megatron_lm_with_latent_attention():
    """250 GFLOP a token for DeepSeek-V3 at 4096 tokens, as its authors count it; the counter's norm terms are 3e-6 of it."""
    h, a, q_rank, kv_rank, nope, rope, value, s = 7168, 128, 1536, 512, 128, 64, 128, 4096
    query = q_rank * (h + a * (nope + rope) + 1)
    latent = kv_rank * (h + a * (nope + value) + 1) + h * rope + a * value * h
    core = s * a * (nope + rope) / 2 + s * a * value / 2
    feed_forward = h * 3 * (18432 * 3 + 2048 * (8 + 1) * 58)
    expected = 6 * (61 * (query + latent + core) + feed_forward + h * 129280)
    found = per_token(bill_of(read_model("deepseek-v3").arch), s)["megatron"]

    assert found == pytest.approx(expected, rel=1e-5)
    assert found == pytest.approx(250e9, rel=0.005)


@pytest.mark.parametrize(
    ("words", "silent"),
    [
        ({"n_positions": 64}, set()),
        ({"gated": True}, {"megatron2021"}),
        ({"n_kv_heads": 1}, {"megatron2021"}),
        ({"d_ff": 100}, {"megatron2021"}),
        ({"d_head": 8}, {"megatron2021"}),
        ({"feed_forward": "none"}, {"megatron2021"}),
        ({"mixer": ["attention", "mamba"]}, {"megatron", "megatron2021", "chinchilla"}),
        ({"mixer_beside": "mamba"}, {"megatron", "megatron2021"}),
        ({"gated": [False, True]}, {"megatron2021"}),
        ({"n_experts": 8, "n_experts_per_token": 2}, {"megatron2021"}),
        ({"bidirectional": True}, {"megatron", "megatron2021"}),
        ({"mixer": "lstm"}, {"megatron", "megatron2021", "chinchilla"}),
        ({"n_encoder_layers": 2}, {"megatron", "megatron2021", "chinchilla"}),
    ],
)
def test_a_convention_is_silent_on_shapes_that_it_does_not_describe(words: dict[str, Any], silent: set[str]):
    """The formula of 2021 is of plain GPT layers, today's counter of causal attention, appendix F of one stack of attention."""
    found = bill(**{"n_layers": 4, "d_model": 64, "n_heads": 4, "n_vocab": 100} | words)
    by_name = training_flops(found, count_params(found), Lengths(32, 32))

    assert {name for name in ("megatron", "megatron2021", "chinchilla") if by_name[name] is None} == silent
    assert all(by_name[name] for name in ("six_n", "kaplan", "palm", "exact", "exact_causal"))


def test_exact_causal_is_the_count_of_causal_pairs():
    """Windows are another convention, which only models with windows have."""
    windowed = bill(n_layers=4, d_model=64, n_heads=4, n_vocab=100, window=[8, 0])
    by_name = training_flops(windowed, count_params(windowed), Lengths(32, 32))

    assert by_name["exact_causal"] == count_flops(windowed, 32, how=Counting(causal=True)).training_flops
    assert by_name["exact_causal_windowed"] == count_flops(windowed, 32, how=Counting(causal=True, window=True)).training_flops
    assert by_name["exact_causal_windowed"] < by_name["exact_causal"] < by_name["exact"]


def test_each_token_of_an_encoder_decoder_passes_its_own_stream():
    """6 N of T5 by hand: 512 tokens pass the encoder and the table, 114 the decoder; cross-attention's K and V see the encoder's."""
    h, f, a, n_layers = 512, 2048, 512, 6
    attention, feed_forward = 4 * h * a, 2 * h * f
    encoder = n_layers * (attention + feed_forward + 2 * h) + h + 32128 * h + 32 * 8
    cross_keys = n_layers * 2 * h * a
    decoder = n_layers * (2 * attention - 2 * h * a + feed_forward + 3 * h) + h + 32 * 8
    found = bill_of(read_model("t5-small").arch)
    six_n = training_flops(found, count_params(found), Lengths(decoder=114, encoder=512))["six_n"]

    assert six_n == 6 * (512 * (encoder + cross_keys) + 114 * decoder)


def test_two_n_three_times():
    """Forward, gradients of inputs and gradients of weights: one product of each matrix for each."""
    count = count_flops(bill(n_layers=4, d_model=64, n_heads=4, n_vocab=100), 32)
    matrices = count.linear_flops / 32 / 2

    assert count.weight_gradients_flops == 2 * matrices * 32
    assert count.input_gradients_flops - 2 * count.attention_flops == 2 * matrices * 32


def test_skipped_zeros_are_no_work():
    """A sparsity of a quarter leaves three quarters of the products of the layers, forward and backward; the head is whole."""
    found = bill(n_layers=4, d_model=64, n_heads=4, n_vocab=100)
    dense, sparse = count_flops(found, 32), count_flops(found, 32, how=Counting(sparsity=0.25))
    head = dense.groups["head_matrix"]

    assert sparse.linear_flops - head == 3 * (dense.linear_flops - head) // 4
    assert sparse.weight_gradients_flops == sparse.linear_flops
    assert sparse.attention_flops == dense.attention_flops
