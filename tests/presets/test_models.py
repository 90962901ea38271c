"""Model presets: every count that was measured on the released model, and what their files say of training."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cases import published_rows

from scaleplan import library
from scaleplan.model.arch import Arch
from scaleplan.model.bill import bill_of
from scaleplan.model.flops import count_flops
from scaleplan.model.params import GROUPS, count_params
from scaleplan.model_files import read_model

NAMES = library.names("models")


def rows_of_presets(name: str) -> list[dict[str, str]]:
    return [row for row in published_rows(name) if row["name"] in NAMES]


def arch(name: str) -> Arch:
    return read_model(name).arch


@pytest.mark.parametrize("row", rows_of_presets("architectures.csv"), ids=lambda row: row["name"])
def test_a_preset_has_every_component_of_the_released_model(row: dict[str, str]):
    """Not only the total: each group, and what a token passes."""
    count = count_params(bill_of(arch(row["name"])))
    groups = [group for group in GROUPS if group in row]

    assert {group: count.groups.get(group, 0) for group in groups} == {group: int(row[group]) for group in groups}
    assert (count.n_params, count.n_active_params) == (int(row["total_params"]), int(row["active_params"]))


@pytest.mark.parametrize("row", rows_of_presets("architecture_flops.csv"), ids=lambda row: f"{row['name']}-{row['batch']}x{row['seq']}")
def test_a_preset_has_the_flops_of_the_released_model(row: dict[str, str]):
    """Forward, and forward with backward, to the last FLOP."""
    decoder = int(row["seq_dec"]) if row["seq_dec"] else None
    count = count_flops(bill_of(arch(row["name"])), int(row["seq"]), decoder_seq_len=decoder, batch_size_seqs=int(row["batch"]))

    assert count.forward_flops == int(row["forward_flops"])
    assert count.training_flops == int(row["forward_backward_flops"])


@pytest.mark.parametrize(
    ("name", "billions", "tolerance"),
    [
        ("gpt2", 0.124_439_808, 0),
        ("gpt2-large", 0.774_030_080, 0),
        ("gpt2-xl", 1.557_611_200, 0),
        ("gpt3-175b", 174.6, 0.001),
        ("gopher-280b", 280, 0.002),
        ("chinchilla-70b", 70, 0.002),
        ("palm-540b", 540.35, 1e-4),
        ("mt-nlg-530b", 530, 0.001),
        ("bloom-176b", 176.247_271_424, 0),
        ("llama-7b", 6.738_415_616, 0),
        ("llama-13b", 13.015_864_320, 0),
        ("llama-33b", 32.528_943_616, 0),
        ("llama-65b", 65.285_660_672, 0),
        ("llama-2-70b", 68.976_648_192, 0),
        ("llama-3.1-405b", 405.853_388_800, 0),
        ("t5-11b", 11.307_321_344, 0),
        ("opt-175b", 174.604_468_224, 0),
        ("mixtral-8x7b", 46.702_792_704, 0),
    ],
)
def test_sizes_that_articles_and_checkpoints_print(name: str, billions: float, tolerance: float):
    """A checkpoint's integer exactly; an article's round number within its rounding."""
    assert count_params(bill_of(arch(name))).n_params == pytest.approx(billions * 1e9, rel=max(tolerance, 1e-15))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_training_is_plausible(name: str):
    """Tokens and FLOP of the training agree with 6 N D within the ways of counting; a length the model can take."""
    model = read_model(name)
    said: dict[str, Any] = dict(model.training)

    assert model.sources
    if "compute_flops" in said and "n_tokens" in said:
        assert 0.7 < said["compute_flops"] / (6 * count_params(bill_of(model.arch)).n_active_params * said["n_tokens"]) < 1.5
    if "seq_len" in said and model.arch.max_seq_len is not None:
        assert said["seq_len"] <= model.arch.max_seq_len


def test_sparse_presets_have_the_size_that_their_articles_print():
    """149 M and 128 M of the checkpoints' masked language models, 95 M of the Sparse Transformer (child2019 table 1)."""
    sizes = {"longformer-base-4096": 148_711_257, "bigbird-roberta-base": 128_111_286, "sparse-transformer-enwik8": 95e6}

    for name, n_params in sizes.items():
        assert count_params(bill_of(arch(name))).n_params == pytest.approx(n_params, rel=0.01 if name.startswith("sparse") else 0)


def test_t5_11b_took_what_its_hardware_did():
    """40.5 ZFLOP: 45.6 TFLOP/s on 512 chips for 20 days (patterson2021 table 4), within the share of the run that training was."""
    model = read_model("t5-11b")
    said: dict[str, Any] = dict(model.training)
    count = count_flops(bill_of(model.arch), said["seq_len"], decoder_seq_len=said["decoder_seq_len"])

    assert count.training_flops * said["n_tokens"] / said["seq_len"] == pytest.approx(45.6e12 * 512 * 20 * 86400, rel=0.12)
