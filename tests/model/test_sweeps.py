"""Sizes may be numpy arrays: a sweep gives, shape by shape, what counting one by one gives."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest

from scaleplan.model.bill import bill_of
from scaleplan.model.conventions import CONVENTIONS, from_six_n, training_flops
from scaleplan.model.flops import Counting, Lengths, count_flops, serving_flops
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape

COUNTINGS = (Counting(), Counting(causal=True, window=True), Counting(head=False))

Sizes = Mapping[str, tuple[int, ...]]
SWEEPS: dict[str, tuple[dict[str, Any], Sizes]] = {
    "depth, width, heads": ({"n_vocab": 1000, "n_positions": 64}, {"n_layers": (1, 2, 24), "d_model": (64, 128), "n_heads": (4, 8)}),
    "groups of keys": (
        {"n_layers": 3, "d_model": 96, "n_vocab": 1000, "gated": True, "norm": "rms", "tied": False, "d_ff": 100},
        {"n_heads": (4, 8), "n_kv_heads": (1, 2, 4), "d_head": (8, 16)},
    ),
    "experts": (
        {"d_model": 64, "n_heads": 4, "n_vocab": 1000, "gated": True, "n_dense_layers": 1, "n_shared_experts": 1},
        {"n_layers": (2, 9), "n_experts": (8, 64), "n_experts_per_token": (1, 8), "d_ff_expert": (16, 48)},
    ),
    "vocabulary": ({"n_layers": 2, "n_heads": 4, "d_model": 64}, {"n_vocab": (1, 50_257, 256_000), "n_positions": (16, 2048)}),
    "window": ({"n_layers": 2, "n_heads": 4, "d_model": 64, "n_vocab": 10}, {"window": (1, 7, 32, 100), "d_ff": (64, 256)}),
    "encoder and decoder": (
        {"d_model": 64, "n_heads": 4, "n_vocab": 100, "n_relative_buckets": 32},
        {"n_layers": (2, 6), "n_encoder_layers": (1, 12), "d_ff": (64, 100)},
    ),
    "shared layers": ({"d_model": 64, "n_heads": 4, "n_vocab": 100, "n_shared_copies": 1}, {"n_layers": (1, 12), "d_embedding": (16, 32)}),
    "mamba": ({"n_layers": 3, "n_vocab": 100, "mixer": "mamba", "feed_forward": "none"}, {"d_model": (64, 128), "d_state": (8, 16)}),
    "latent attention": (
        {"n_layers": 3, "d_model": 64, "n_vocab": 100, "mixer": "latent", "d_nope": 16, "d_rope": 8, "d_value": 12},
        {"n_heads": (2, 4), "kv_rank": (8, 16), "q_rank": (12, 24)},
    ),
}  # fmt: skip


def points(sizes: Sizes) -> list[dict[str, int]]:
    """Every combination of the sizes."""
    return [dict(zip(sizes, values, strict=True)) for values in product(*sizes.values())]


def swept(sizes: Sizes) -> dict[str, np.ndarray]:
    """The same combinations as one array a word."""
    rows = points(sizes)
    return {word: np.array([row[word] for row in rows]) for word in sizes}


def numbers_of(words: dict[str, Any], how: Counting) -> dict[str, Any]:
    """Everything that is counted for a shape, or for an array of them."""
    bill = bill_of(arch_of_shape(words))
    params, lengths = count_params(bill), Lengths(24, 32)
    flops = count_flops(bill, 32, decoder_seq_len=24, batch_size_seqs=3, how=how)
    return (
        {f"params.{name}": n for name, n in params.conventions.items()}
        | {f"groups.{name}": n for name, n in params.groups.items()}
        | {f"flops.{name}": n for name, n in flops.groups.items()}
        | {"attention": flops.attention_flops, "scan": flops.scan_flops, "backward": flops.backward_flops, "all": flops.training_flops}
        | {f"way.{name}": n for name, n in training_flops(bill, params, lengths).items()}
        | {"terms": sum(from_six_n(bill, lengths).values())}
        | serving_flops(bill, 32)._asdict()
    )


@pytest.mark.parametrize("how", COUNTINGS, ids=["full", "seen pairs", "no head"])
@pytest.mark.parametrize(("words", "sizes"), SWEEPS.values(), ids=SWEEPS)
def test_a_sweep_counts_what_each_shape_counts(words: dict[str, Any], sizes: Sizes, how: Counting):
    """Parameters by group and convention, FLOP of a batch, training and serving: all of one sweep, at every point."""
    found = numbers_of(words | swept(sizes), how)

    for i, point in enumerate(points(sizes)):
        for name, expected in numbers_of(words | point, how).items():
            value = found[name]
            here = value[i] if isinstance(value, np.ndarray) else value
            assert here == expected or (expected is None and np.isnan(here)), (name, point)


def test_sizes_broadcast():
    """A column of depths and a row of widths make a table."""
    depths, widths = np.array([[1], [2], [4]]), np.array([[64, 128]])
    table = count_params(bill_of(arch_of_shape({"n_layers": depths, "d_model": widths, "n_heads": 4, "n_vocab": 100}))).n_params

    assert table.shape == (3, 2)
    assert table[2, 1] == count_params(bill_of(arch_of_shape({"n_layers": 4, "d_model": 128, "n_heads": 4, "n_vocab": 100}))).n_params


def test_lengths_may_be_swept():
    """FLOP of many sequence lengths at once, each as if asked alone."""
    bill = bill_of(arch_of_shape({"n_layers": 2, "d_model": 64, "n_heads": 4, "n_vocab": 100, "window": 16}))
    lengths = np.array([1, 8, 100, 4096])

    for how in COUNTINGS:
        found = count_flops(bill, lengths, how=how).training_flops
        assert list(found) == [count_flops(bill, int(s), how=how).training_flops for s in lengths]


@pytest.mark.parametrize("swept_word", ["n_layers", "seq_len"])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_flops_of_the_largest_models_do_not_overflow(name: str, swept_word: str):
    """Beyond 9.2e18 an int64 turns negative without a word: in arrays, FLOP are floats, whatever was swept."""
    words, s = {"n_layers": 126, "d_model": 16384, "n_heads": 128, "n_vocab": 128_256, "window": 4096}, 2**23
    one = bill_of(arch_of_shape(words))
    many = bill_of(arch_of_shape(words | {"n_layers": np.array([126])})) if swept_word == "n_layers" else one
    length = np.array([s]) if swept_word == "seq_len" else s

    expected = training_flops(one, count_params(one), Lengths(s, s))[name]
    assert expected is not None
    assert expected > 2**63
    assert training_flops(many, count_params(many), Lengths(length, length))[name][0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seqs", [10**6, np.array([10**6])], ids=["one batch", "batches"])
@pytest.mark.parametrize("length", [8192, np.array([8192])], ids=["one length", "lengths"])
def test_a_large_batch_does_not_overflow(length: Any, seqs: Any):
    """The same of a batch: exact for numbers, float64 where the batch or the length is an array."""
    bill = bill_of(arch_of_shape({"n_layers": 126, "d_model": 16384, "n_heads": 128, "n_vocab": 128_256}))
    found = count_flops(bill, length, batch_size_seqs=seqs).training_flops

    assert found == pytest.approx(10**6 * count_flops(bill, 8192).training_flops, rel=1e-12)
