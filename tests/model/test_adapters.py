"""Low-rank adapters and pruning, as bills made from bills."""

from __future__ import annotations

import pytest

from scaleplan.errors import ScaleplanError
from scaleplan.model.adapters import Lora, parse_lora, pruned_params, with_lora
from scaleplan.model.bill import bill_of
from scaleplan.model.blocks import layer_kept
from scaleplan.model.flops import count_flops
from scaleplan.model.params import count_params
from scaleplan.model.passes import Keeping, Pass
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model

GPT = {"n_layers": 4, "d_model": 64, "n_heads": 4, "n_vocab": 1000}
BILL = bill_of(arch_of_shape(GPT))
EVERYTHING = Lora(16, ("attention", "mlp"))


def test_adapters_of_llama_3_8b():
    """41,943,040 trainable parameters at rank 16 on all seven matrices: 16 (d_in + d_out) of each, 32 layers."""
    count = count_params(with_lora(bill_of(read_model("llama-3-8b").arch), EVERYTHING))

    by_hand = 32 * 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
    assert count.n_trainable_params == count.groups["lora"] == by_hand == 41_943_040
    assert count.n_params == 8_030_261_248 + by_hand


def test_frozen_weights_cost_four_and_adapters_six():
    """Forward 2, backward 2 for the input of every weight and 2 more for the gradient of a trainable one."""
    adapted = with_lora(BILL, EVERYTHING)
    count, plain = count_flops(adapted, 128), count_flops(BILL, 128)
    lora = count.groups["lora"]

    assert count.training_flops == 2 * plain.linear_flops + 3 * plain.attention_flops + 3 * lora


def test_every_weight_but_the_adapters_is_frozen():
    """Norms, tables and biases are not trained either."""
    assert {w.group for _, w in with_lora(BILL, EVERYTHING).weights() if w.trainable} == {"lora"}


def test_adapters_on_experts_are_as_many_as_experts():
    """Each expert has adapters of its own; a token passes those of its experts."""
    bill = bill_of(arch_of_shape(GPT | {"n_experts": 8, "n_experts_per_token": 2}))
    count = count_params(with_lora(bill, Lora(4, ("experts",))))

    assert count.groups["lora"] == 4 * 8 * 2 * 4 * (64 + 256)
    assert count.n_params - count.n_active_params == 4 * 6 * 2 * (64 * 256 + 4 * (64 + 256))


@pytest.mark.parametrize("text", ["rank=0", "rank=x", "targets=mlp", "rank=4,targets=brain", "16", "rank=4,alpha=2", ""])
def test_an_adapter_that_cannot_be_is_refused(text: str):
    """A rank of at least one, and targets that there are."""
    with pytest.raises(ScaleplanError):
        parse_lora(text)


def test_a_target_that_the_model_lacks_is_refused():
    """Q alone cannot be adapted where Q, K and V are one tensor."""
    with pytest.raises(ScaleplanError, match="`q`"):
        with_lora(bill_of(read_model("gpt2").arch), Lora(8, ("q",)))


def test_pruning_removes_a_share_of_the_matrices_in_the_layers():
    """Half of 12 L d^2; tables, head, norms and biases stay."""
    assert pruned_params(BILL, 0.5) == 4 * 12 * 64**2 // 2
    assert pruned_params(BILL, 0.0) == 0


LLAMA = {"n_layers": 2, "d_model": 64, "n_heads": 4, "n_vocab": 100, "gated": True, "norm": "rms", "d_ff": 256}


def layer_elements(bill, **how) -> int:
    """Elements a token that the first layer keeps under a fused kernel, 32-bit statistics left out."""
    layer = next(one for one in bill.layers if one.place == "block")
    return sum(k.per_token for k in layer_kept(layer, Pass(Keeping(gate_in_steps=False), **how)) if k.dtype != "fp32")


def test_a_frozen_matrix_keeps_no_input():
    """With adapters on the attention alone, the feed-forward drops its input and the product that its last matrix reads: 64 + 256
    elements a token; the four adapters keep 8 each between their halves."""
    bill = bill_of(arch_of_shape(LLAMA))
    full, attention = layer_elements(bill), layer_elements(with_lora(bill, Lora(8, ("attention",))))
    assert attention == full - (64 + 256) + 4 * 8
    assert layer_elements(with_lora(bill, Lora(8, ("all",)))) == full + 7 * 8


def test_under_autocast_only_matrices_that_learn_copy_their_input():
    """Q alone learns: one narrow copy of the attention's input in place of three."""
    bill = bill_of(arch_of_shape(LLAMA))
    only_q = layer_elements(with_lora(bill, Lora(8, ("q",))), autocast=True)
    all_three = layer_elements(with_lora(bill, Lora(8, ("q", "k", "v"))), autocast=True)
    assert all_three - only_q == 2 * 64 + 2 * 8


def test_qlora_by_name():
    """Rank 64 on every matrix of the layers over nf4 (dettmers2023), and other values where they are given."""
    assert parse_lora("qlora") == Lora(64, ("all",), "nf4")
    assert parse_lora("qlora,rank=16") == Lora(16, ("all",), "nf4")
    assert parse_lora("rank=8,base=int8") == Lora(8, ("attention",), "int8")


def test_a_refusal_names_the_targets_that_there_are():
    """A mixture of experts has no `mlp`; the hint names `experts`."""
    bill = bill_of(arch_of_shape(GPT | {"n_experts": 8, "n_experts_per_token": 2}))
    with pytest.raises(ScaleplanError) as refused:
        with_lora(bill, Lora(4, ("mlp",)))
    assert refused.value.hint is not None and "experts" in refused.value.hint


@pytest.mark.parametrize("rank", [1, 999_999_999])
def test_ranks(rank: int):
    """From 1 to 10^9; on the attention unless other targets are named."""
    assert parse_lora(f"rank={rank}") == Lora(rank, ("attention",))


@pytest.mark.parametrize("rank", ["0", "1000000000", "-1", "1.5"])
def test_ranks_that_cannot_be(rank: str):
    """None, too many, no whole number."""
    with pytest.raises(ScaleplanError):
        parse_lora(f"rank={rank}")


def test_the_halves_of_an_adapter():
    """The first is kept whole on every rank, the second is split as its matrix is."""
    layer = next(each for each in with_lora(BILL, Lora(3, ("q",))).blocks())

    halves = [(weight.shape, weight.tp_ways, weight.trainable) for weight in layer.weights if weight.group == "lora"]
    assert halves == [((64, 3), 1, True), ((3, 64), 4, True)]


def test_pruning_takes_its_share_of_every_expert():
    """All 8 of them in each of 4 layers, not only those that a token passes."""
    bill = bill_of(arch_of_shape(GPT | {"n_experts": 8, "n_experts_per_token": 2, "d_ff_expert": 96}))

    assert pruned_params(bill, 0.25) == 4 * (4 * 64**2 + 8 * 2 * 64 * 96) // 4
