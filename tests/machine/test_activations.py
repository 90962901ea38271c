"""Bytes kept for the backward pass: equal to what torch saves, and to published closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.cases import published_rows

from scaleplan.machine.activations import Batch, Split, dtype_bytes, kept_bytes, layer_bytes, outside_bytes
from scaleplan.machine.recipe import precision_named
from scaleplan.model.arch import DECODER, ENCODER, SEQUENCE, Span
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill, Kept
from scaleplan.model.passes import Keeping, Pass
from scaleplan.model.shape import arch_of_shape

TRANSFORMERS = Keeping(in_steps=True, norm_stats_bytes=None)
PLAIN_TORCH = Keeping(norm_stats_bytes=None)
PAPER = Keeping(norm_stats_bytes=0)
BF16 = precision_named("bf16")

WORDS_OF_KIND: dict[str, dict[str, Any]] = {
    "gpt2": {"fused_qkv": True, "activation": "gelu-new"},
    "opt": {"activation": "relu"},
    "llama": {"gated": True, "norm": "rms", "tied": False},
    "qwen3": {"gated": True, "norm": "rms", "tied": False, "qk_norm": "head"},
    "gpt_neox": {"fused_qkv": True, "tied": False, "parallel": True},
    "korthikanti_block": {},
}


def measured() -> list[dict[str, str]]:
    """Saved bytes of small models."""
    return published_rows("saved_activations.csv")


def bill_of_row(row: dict[str, str]) -> Bill:
    """Two layers of the kind and size of a row."""
    words = (
        {key: int(row[key]) for key in ("d_model", "n_heads", "n_kv_heads", "d_ff", "n_vocab")}
        | {"n_layers": 2}
        | WORDS_OF_KIND[row["kind"]]
    )
    positions = max(int(row["seq_len"]), 64)
    if row["kind"] in ("gpt2", "korthikanti_block"):
        words |= {"n_positions": positions}
    elif row["kind"] == "opt":  # two rows of its table are for padding
        words |= {"n_positions": positions + 2, "max_seq_len": positions}
    elif row["kind"] == "gpt_neox":
        words |= {"d_rotary": words["d_model"] // words["n_heads"] // 4}
    return bill_of(arch_of_shape(words))


def pass_of_row(row: dict[str, str]) -> Pass:
    """How a row was run."""
    precision = precision_named(row["precision"])
    return Pass(
        keeping=PLAIN_TORCH if row["kind"] == "korthikanti_block" else TRANSFORMERS,
        fused_attention=row["attention"] != "eager",
        autocast=precision.autocast,
        narrow=precision.compute_bytes < 4,
        dropout=float(row["dropout"]) > 0,
        recompute=row["recompute"],
        one_sequence=row["batch_size_seqs"] == "1",
    )


def name(row: dict[str, str]) -> str:
    return "-".join(
        row[key]
        for key in ("kind", "batch_size_seqs", "seq_len", "d_model", "n_kv_heads", "attention", "precision", "dropout", "recompute")
    )


@pytest.mark.parametrize("row", measured(), ids=name)
def test_saved_bytes_are_those_of_torch(row: dict[str, str]):
    """One layer, and what is outside the layers, keep exactly the bytes that torch's saved-tensor hooks count."""
    bill, precision = bill_of_row(row), precision_named(row["precision"])
    batch = Batch(int(row["batch_size_seqs"]), int(row["seq_len"]))

    assert layer_bytes(bill.blocks()[0], pass_of_row(row), batch, precision) == int(row["per_layer_bytes"])
    if row["outside_layers_bytes"]:
        assert outside_bytes(bill, pass_of_row(row), batch, precision) == int(row["outside_layers_bytes"])


# Korthikanti et al. 2022, Figure 1: layers do not matter for one layer's bytes; h, a, micro-batch.
FIGURE_1 = {"22B": (6144, 64, 4), "175B": (12288, 96, 1), "530B": (20480, 128, 1), "1T": (25600, 160, 1)}


@pytest.mark.parametrize("model", FIGURE_1)
def test_table_2_of_korthikanti(model: str):
    """A layer of the paper's block keeps s b h (34 + 5 a s / h) bytes, and what its Table 2 says under each division."""
    h, a, b = FIGURE_1[model]
    s, t = 2048, 8
    bill = bill_of(arch_of_shape({"n_layers": 1, "d_model": h, "n_heads": a, "n_vocab": 51200, "n_positions": s}))

    def found(recompute: str, split: Split) -> int:
        how = Pass(PAPER, fused_attention=False, dropout=True, recompute=recompute)
        return layer_bytes(bill.blocks()[0], how, Batch(b, s), BF16, split)

    assert found("none", Split()) == s * b * (34 * h + 5 * a * s)
    assert found("none", Split(t)) == s * b * (10 * h + 24 * h // t + 5 * a * s // t)
    assert found("none", Split(t, sequence_parallel=True)) == s * b * (34 * h + 5 * a * s) // t
    assert found("selective", Split(t, sequence_parallel=True)) == 34 * s * b * h // t
    assert found("full", Split(t)) == 2 * s * b * h


def test_without_dropout_the_paper_s_block_keeps_32_and_2():
    """No masks, and the softmax is the tensor that multiplies the values: s b h (32 + 2 a s / h)."""
    s, b, h, a = 128, 2, 64, 4
    bill = bill_of(arch_of_shape({"n_layers": 1, "d_model": h, "n_heads": a, "n_vocab": 512, "n_positions": s}))
    found = layer_bytes(bill.blocks()[0], Pass(PAPER, fused_attention=False), Batch(b, s), BF16)

    assert found == s * b * (32 * h + 2 * a * s)


def test_one_formula_for_numbers_and_arrays():
    """A thousand layouts are priced by the formula that prices one."""
    bill = bill_of(
        arch_of_shape({"n_layers": 2, "d_model": 1024, "n_heads": 16, "n_kv_heads": 4, "n_vocab": 32000, "gated": True, "norm": "rms"})
    )
    tp, cp, n_seqs = (np.array(values) for values in ([1, 2, 4, 8], [1, 2, 1, 2], [1, 2, 3, 4]))
    layer, how = bill.blocks()[0], Pass(Keeping())
    together = layer_bytes(layer, how, Batch(n_seqs, 4096), BF16, Split(tp, cp, tp > 1))
    singly = [
        layer_bytes(layer, how, Batch(int(n), 4096), BF16, Split(int(t), int(c), int(t) > 1))
        for t, c, n in zip(tp, cp, n_seqs, strict=True)
    ]

    assert together.tolist() == singly


def test_keys_and_values_are_repeated_where_there_are_fewer_heads_than_devices():
    """With 8 devices and 2 key-value heads, K and V are divided by 2 and everything else of the attention by 8."""
    words = {"n_layers": 1, "d_model": 512, "n_heads": 8, "n_kv_heads": 2, "n_vocab": 1000, "gated": True, "norm": "rms", "d_ff": 1024}
    layer = bill_of(arch_of_shape(words)).blocks()[0]
    found = layer_bytes(layer, Pass(Keeping()), Batch(1, 16), BF16, Split(8, sequence_parallel=True))
    tokens = 16
    divided_by_8 = tokens * (
        4 * 2 * 512 + 2 * 4 + 2 * 2 * 512 + 4 * 8 + 2 * 4 * 1024
    )  # norms, statistics, Q and output, log-sum-exp, feed-forward
    divided_by_2 = tokens * 2 * 2 * 128

    assert found == divided_by_8 // 8 + divided_by_2 // 2


# -------------------------------------------------------------------------------------------------------- tensors by hand

TENSOR = Kept("x", per_token=11, per_pair=3, per_sequence=13, per_position=7, stream=DECODER, keys=ENCODER, tp_ways=6)
BATCH = Batch(5, 17, 19)
NUMBERS = 5 * 17 * 11 + 5 * 17 * 19 * 3 + 5 * 13 + 17 * 7


def test_a_tensor_is_counted_by_token_pair_sequence_and_position():
    """5 sequences of 17 tokens that read 19 of the encoder; what belongs to a position is kept once for all sequences."""
    fp32 = precision_named("fp32")

    assert kept_bytes([TENSOR], BATCH, BF16) == 2 * NUMBERS and kept_bytes([TENSOR], BATCH, fp32) == 4 * NUMBERS
    assert kept_bytes([TENSOR._replace(per_pair=0)], BATCH, BF16) == 2 * (NUMBERS - 5 * 17 * 19 * 3)
    seen = TENSOR._replace(span=Span(local=2, masked=False))
    assert kept_bytes([seen], BATCH, BF16) == 2 * (NUMBERS - 5 * 17 * (19 - 2) * 3)


def test_streams_have_their_own_tokens():
    """Without a length of its own the encoder has that of the decoder; a pooler sees one position."""
    assert [BATCH.tokens(stream) for stream in (DECODER, ENCODER, SEQUENCE)] == [17, 19, 1]
    assert Batch(5, 17).tokens(ENCODER) == 17


@pytest.mark.parametrize(
    ("split", "ways", "by_tokens"),
    [(Split(), 1, 1), (Split(3), 3, 1), (Split(9), 6, 1), (Split(3, 4), 12, 4), (Split(1, 4), 4, 4), (Split(3, 4, True), 12, 12)],
)
def test_a_tensor_is_divided_as_far_as_it_can_be(split: Split, ways: int, by_tokens: int):
    """By tp up to 6 ways, by cp always; norms by tp where sequences are divided. What is divided alike is added first."""
    norm = TENSOR._replace(sequence_parallel=True)

    assert kept_bytes([TENSOR], BATCH, BF16, split) == 2 * NUMBERS // ways
    assert kept_bytes([norm], BATCH, BF16, split) == 2 * NUMBERS // by_tokens
    assert kept_bytes([TENSOR, norm, TENSOR], BATCH, BF16, split) == 4 * NUMBERS // ways + 2 * NUMBERS // by_tokens


def test_the_bytes_of_a_number():
    """Products in 16 bits and a residual stream in 32, as under autocast; masks and bytes have one, identifiers eight."""
    autocast = precision_named("bf16-autocast")
    found = {name: dtype_bytes(name, autocast) for name in ("compute", "input", "residual", "fp32", "int64", "mask", "byte")}
    assert found == {"compute": 2, "input": 2, "residual": 4, "fp32": 4, "int64": 8, "mask": 1, "byte": 1}


@pytest.mark.parametrize("bits", [8 * 32, 8 * 32 + 8, 4 * 32 + 16])
def test_inputs_of_products_in_few_bits(bits: int):
    """So many bits for 32 numbers, whole bytes at the end; tensors that are no inputs stay in 16 bits."""
    narrow = BF16._replace(input_bits=bits)

    assert kept_bytes([TENSOR._replace(dtype="input")], BATCH, narrow) == -(-NUMBERS * bits // 256)
    assert kept_bytes([TENSOR], BATCH, narrow) == 2 * NUMBERS


def test_narrow_copies_of_weights_under_autocast_are_divided_by_tp():
    """Each product of a layer and of the head keeps a 16-bit copy of its matrix: 12 d^2 a layer, over the tensor parallel ranks."""
    d, autocast = 36, precision_named("bf16-autocast")
    bill = bill_of(arch_of_shape({"n_layers": 1, "d_model": d, "n_heads": 3, "n_vocab": 97}))
    how = Pass(Keeping(), autocast=True)
    kept = [layer_bytes(bill.blocks()[0], how, Batch(1, s), autocast, Split(3)) for s in (30, 60)]
    outside = [outside_bytes(bill, how, Batch(1, s), autocast) for s in (30, 60)]

    assert 2 * kept[0] - kept[1] == 2 * 12 * d * d // 3
    assert 2 * outside[0] - outside[1] == 2 * 97 * d + 4


def test_the_loss_keeps_one_number_and_a_padded_target_of_one_sequence():
    """4 bytes for the sum of the targets' weights; 8 for one more target where the batch is one sequence (torch's saved tensors)."""
    bill = bill_of(arch_of_shape({"n_layers": 1, "d_model": 36, "n_heads": 3, "n_vocab": 97}))
    short, long = (outside_bytes(bill, Pass(Keeping()), Batch(3, s), BF16) for s in (30, 60))
    one, several = (outside_bytes(bill, Pass(Keeping(), one_sequence=alone), BATCH, BF16) for alone in (True, False))

    assert 2 * short - long == 4 and one - several == 8
