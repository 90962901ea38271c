"""Families of the module `masked`: counts, what a config leaves out, and tensors that only one family has."""

from __future__ import annotations

import pytest
from tests.model.families.reference import (
    Row,
    assert_absence_means_the_default,
    assert_same_counts,
    defaults_of,
    like,
    models_of,
    n_params,
    named,
    windows,
)

from scaleplan.errors import ScaleplanError
from scaleplan.model.bill import bill_of
from scaleplan.model.params import count_params


@pytest.mark.parametrize("row", models_of("masked"), ids=named)
def test_counts_equal_those_of_the_reference_library(row: Row) -> None:
    """No difference in any count."""
    assert_same_counts(row)


@pytest.mark.parametrize("row", defaults_of("masked"), ids=named)
def test_an_absent_key_is_what_the_class_fills_in(row: Row) -> None:
    """The defaults of the configuration classes of transformers."""
    assert_absence_means_the_default(row)


@pytest.mark.parametrize("kind", ["nystromformer", "yoso"])
def test_two_rows_of_positions_more_than_tokens(kind: str) -> None:
    """`max_position_embeddings` tokens are the most; the table begins at row 2."""
    arch = like(kind, max_position_embeddings=77)

    assert (arch.max_seq_len, arch.stacks[0].n_positions) == (77, 79)


@pytest.mark.parametrize(("d_model", "n_heads", "ratio"), [(36, 6, 2), (27, 9, 3), (45, 3, 3)])
def test_convbert_by_hand(d_model: int, n_heads: int, ratio: int) -> None:
    """Heads are fewer by the ratio and half as wide, cut to a whole number (ConvBertSelfAttention): a = heads / ratio, w = a (d / a // 2).

    Q, K, V and the values of the convolution d w + w; depthwise d taps, pointwise d w, a bias w; kernels w a taps + a taps;
    output d d + d whatever w is.
    """
    taps, heads = 7, n_heads // ratio
    w = heads * (d_model // heads // 2)
    arch = like(
        "convbert", hidden_size=d_model, embedding_size=d_model, num_attention_heads=n_heads, head_ratio=ratio, conv_kernel_size=taps,
        num_hidden_layers=5,
    )  # fmt: skip
    convolution = d_model * taps + d_model * w + w + w * heads * taps + heads * taps

    assert count_params(bill_of(arch)).groups["attention"] == 5 * (4 * (d_model * w + w) + convolution + d_model**2 + d_model)


def test_the_ratio_of_convbert_divides_its_heads() -> None:
    """9 heads are no whole number of 2."""
    with pytest.raises(ScaleplanError, match="head_ratio"):
        like("convbert", hidden_size=36, num_attention_heads=9, head_ratio=2)


@pytest.mark.parametrize(("said", "rows"), [({}, 2 * 77), ({"position_buckets": -1}, 2 * 77), ({"position_buckets": 13}, 2 * 13)])
def test_relative_positions_of_deberta_v2(said: dict[str, int], rows: int) -> None:
    """Twice the buckets, or twice the longest sequence; the norm of the table has a scale and a shift."""
    arch = like("deberta-v2", without=("position_buckets",), max_position_embeddings=77, **said)

    assert count_params(bill_of(arch)).groups["relative_bias"] == rows * 768


def test_a_convolution_of_deberta_v2() -> None:
    """d d taps, a bias, a scale and a shift; one group."""
    plain, convolved = (like("deberta-v2", conv_kernel_size=taps, conv_groups=1) for taps in (0, 5))

    assert n_params(convolved) - n_params(plain) == 768 * 768 * 5 + 768 + 2 * 768
    with pytest.raises(ScaleplanError, match="conv_groups"):
        like("deberta-v2", conv_kernel_size=5, conv_groups=2)


def test_no_class_is_named() -> None:
    """An empty list of classes is none."""
    assert like("electra", architectures=[]) == like("electra", without=("architectures",))


def test_windows_of_longformer() -> None:
    """Keys on both sides together, 512 where the config is silent."""
    arch = like("longformer", num_hidden_layers=3, attention_window=[64, 128, 32])

    assert windows(arch) == [64, 128, 32]
    assert windows(like("longformer", without=("attention_window",), num_hidden_layers=2)) == [512, 512]
