"""Layers given stage by stage, and experts with a tensor parallelism of their own."""

from __future__ import annotations

import pytest

from scaleplan.chain.memory import Wishes, training_setup
from scaleplan.errors import ScaleplanError
from scaleplan.machine.layout import Layout, check_layout, fixed_sizes, parse_layout
from scaleplan.machine.pipeline import heaviest, stage_shares
from scaleplan.model.bill import bill_of
from scaleplan.model_files import read_model

LLAMA = bill_of(read_model("llama-3-8b").arch)
MIXTRAL = bill_of(read_model("mixtral-8x7b").arch)
MIXTRAL_EXPERTS = 32 * 8 * 3 * 4096 * 14336
LLAMA_LAYER = 218_112_000


def listed(*layers: int, pp: int = 4, vpp: int = 1) -> Layout:
    return Layout(pp=pp, n_virtual_stages=vpp, stage_layers=layers)


def test_even_layers_are_as_without():
    """8,8,8,8 of 32 layers has the peak of the layout that says nothing."""
    even, told = (training_setup(LLAMA, layout, Wishes(seq_len=8192)).peak_bytes() for layout in (Layout(pp=4), listed(8, 8, 8, 8)))
    assert even == told


def test_a_middle_stage_can_be_the_fullest():
    """With 4, 12, 12, 4 layers the second stage holds three times the layers of the first."""
    worst = training_setup(LLAMA, listed(4, 12, 12, 4), Wishes(precision="bf16-mixed-16", seq_len=8192)).worst()
    assert worst.name == "stage 1"
    assert worst.phases[0].weights_bytes == 2 * 12 * LLAMA_LAYER


def test_a_rank_holds_the_stages_that_interleaving_gives_it():
    """Two ranks of two stages: 10 + 4 layers on the first, 6 + 12 on the second."""
    assert [share.n_layers for share in stage_shares(LLAMA, listed(10, 6, 4, 12, pp=2, vpp=2))] == [14, 18]


def test_embedding_and_head_weigh_as_layers():
    """Llama 3 8B: table and head are 525,336,576 weights each, as many as 2.4 layers; only the head is work.

    128,256 x 4,096 = 525,336,576, over the 218,103,808 weights of a layer's products: 2.4087.
    """
    first, second, _, last = stage_shares(LLAMA, listed(8, 8, 8, 8))
    assert first.n_params == 8 * LLAMA_LAYER + 128_256 * 4096
    assert second.n_params == 8 * LLAMA_LAYER
    assert last.n_params == 8 * LLAMA_LAYER + 128_256 * 4096 + 4096
    assert (first.work, last.work) == pytest.approx((8, 8 + 525_336_576 / 218_103_808))
    assert heaviest(stage_shares(LLAMA, listed(8, 8, 8, 8))).rank == 3
    assert heaviest(stage_shares(LLAMA, listed(9, 9, 9, 5))).rank == 0


def test_shares_add_up_to_the_model():
    shares = stage_shares(LLAMA, Layout(pp=5))
    assert sum(share.n_params for share in shares) == LLAMA.n_params()
    assert sum(share.n_layers for share in shares) == 32


@pytest.mark.parametrize(
    ("layers", "said"),
    [((8, 8, 8, 9), "33 layers; the model has 32"), ((16, 16), "2 numbers; the layout has 4"), ((0, 12, 10, 10), "a stage of `0` layers")],
)
def test_layers_that_are_not_those_of_the_stages_are_refused(layers: tuple[int, ...], said: str):
    with pytest.raises(ScaleplanError) as refused:
        check_layout(listed(*layers), fixed_sizes(LLAMA.arch), 8192, 1, 4)
    assert said in str(refused.value)
    assert "stage_layers" in str(refused.value)


@pytest.mark.parametrize(("text", "etp", "ep", "tp"), [("tp4,dp8,ep8", 1, 8, 4), ("tp4,dp8,ep4", 2, 4, 4), ("tp8,dp8,ep8", 2, 8, 8)])
def test_expert_tensor_parallelism_divides_the_routed_experts_alone(text: str, etp: int, ep: int, tp: int):
    """Each device keeps 1 / (ep x etp) of the experts' weights, 2 bytes each; the rest is divided by tp as before."""

    def weights(layout: str) -> int:
        return training_setup(MIXTRAL, parse_layout(layout), Wishes(precision="bf16-mixed", seq_len=4096)).worst().phases[0].weights_bytes

    more = weights(f"{text},etp{etp}") - weights(text)
    assert more == 2 * MIXTRAL_EXPERTS // (ep * etp) - 2 * MIXTRAL_EXPERTS // (ep * tp)
    assert parse_layout(f"{text},etp{tp}").expert_tp == parse_layout(text).expert_tp


@pytest.mark.parametrize(
    ("bill", "text", "said"),
    [
        (LLAMA, "tp4,dp16,etp2", "`etp2` needs experts"),
        (MIXTRAL, "dp64,ep8,etp3", "`etp3` does not divide"),
        (MIXTRAL, "dp64,ep3", "`ep3` must divide"),
        (MIXTRAL, "tp2,dp4,ep8,etp2", "`ep8` times `etp2` does not divide the 8 ranks"),
    ],
)
def test_expert_parallelism_that_cannot_be_is_refused(bill, text: str, said: str):
    with pytest.raises(ScaleplanError) as refused:
        layout = parse_layout(text)
        check_layout(layout, fixed_sizes(bill.arch), 4096, 1, layout.dp)
    assert said in refused.value.report()
