"""All passes of a layer and its collectives, worked out by hand from the forward pass and the sizes of the layer."""

from __future__ import annotations

import pytest
from tests.machine.plain_device import DENSE, EXPERTS, LAUNCH, MEMORY, WIDE_PEAK, bill, kernels, product, ring

from scaleplan.machine.layer_time import (
    LayerTime,
    Passes,
    accumulation_s,
    context_parallel_s,
    expert_parallel_s,
    head_time,
    key_value_width,
    layer_time,
    local_params,
    longer,
    tensor_parallel_s,
)
from scaleplan.machine.layout import Layout
from scaleplan.machine.roofline import Ranks, forward
from scaleplan.model.bill import bill_of
from scaleplan.model_files import read_model

(LAYER,) = bill(DENSE).blocks()
(MOE,) = bill(EXPERTS).blocks()
T = 85  # tokens of five sequences of 34 over two context parallel ranks
ONE, OTHER = LayerTime(2, 3, 5, 7, 11, 13, 17, 19, 23, 0.29), LayerTime(31, 37, 41, 43, 47, 53, 59, 61, 67, 0.71)


def ranks(tp: int = 3, cp: int = 2, n_seqs: int = 5, seq_len: int = 34, imbalance: float = 1.0, **more: object) -> Ranks:
    return Ranks(Layout(tp=tp, cp=cp, **more), n_seqs, seq_len, imbalance)


# --------------------------------------------------------------------------------------------------------------------- sums


def test_a_layer_takes_its_computation_and_its_collectives():
    """Products, attention, traffic and launches; then those of tp, cp and ep. The forward pass is a part of them."""
    assert (ONE.compute_s, ONE.total_s) == (2 + 3 + 5 + 7, 2 + 3 + 5 + 7 + 11 + 13 + 17)


def test_layers_add_up_and_the_share_of_the_host_does_not():
    """Seven layers are seven times each part; two kinds are the sum of each part."""
    assert ONE.times(7) == (14, 21, 35, 49, 77, 91, 119, 133, 161, 0.29)
    assert ONE.plus(OTHER) == (33, 40, 46, 50, 58, 66, 76, 80, 90, 0.29)


# -------------------------------------------------------------------------------------------------------------------- passes


def test_a_pass_costs_the_longer_of_device_and_host():
    """(3**4 + 5**4) ** (1 / 4), and close to the longer where the other is short."""
    assert longer(3, 5) == pytest.approx(706**0.25, rel=1e-12)
    assert longer(7, 0.1) == pytest.approx(7, rel=1e-7) == longer(0.1, 7)


AGAIN = {"none": 0, "selective": 0, "per-op": 0.55, "full": 1}


@pytest.mark.parametrize(("attention", "back"), [("flash", 2.5), ("eager", 2)])
@pytest.mark.parametrize("recompute", AGAIN)
def test_passes_of_a_layer(attention, back, recompute):
    """Backward: two products for each of the forward pass, 2.5 times fused attention (2 of stored), twice the traffic, gradients added up.

    Recomputed: a share of the forward pass; selective: stored attention once. The host launches 1.6 times as many kernels backward.
    """
    on, again = kernels(attention=attention), AGAIN[recompute]
    work = forward(LAYER, ranks(), on)
    p, a, m, host = work.product_s, work.attention_s, work.memory_s, 18 * LAUNCH
    scores = a if (recompute, attention) == ("selective", "eager") else 0
    weights = 390 * (840 + 420 + 2002 + 1001) / 3 + 2 * 390  # norms are whole on every rank
    adding = 13.1 * weights / MEMORY
    once, backward = p + a + m, 2 * p + back * a + 2 * m + adding + scores
    ahead, behind = (once**4 + host**4) ** 0.25, (backward**4 + (1.6 * host) ** 4) ** 0.25
    found = layer_time(LAYER, ranks(), on, Passes(recompute))

    assert found.product_s == pytest.approx(p * (3 + again), rel=1e-12)
    assert found.attention_s == pytest.approx(a * (1 + back + again) + scores, rel=1e-12)
    assert found.memory_s == pytest.approx(m * (3 + again) + adding, rel=1e-12)
    assert found.compute_s == pytest.approx(ahead * (1 + again) + behind, rel=1e-12)
    assert found.forward_s == pytest.approx(ahead, rel=1e-12)
    assert found.weight_s == p
    assert found.u_host == pytest.approx(host**4 / (host**4 + once**4), rel=1e-12)


def test_gradients_are_added_up_half_as_much_where_zero_3_reduces_them():
    """13.1 bytes a weight of the device."""
    dense, routed = 390 * (840 + 420 + 12 + 3 * 420) / 3 + 390 * 12 * 2 / 3 + 2 * 390, 12 * 3 * 390 * 210 / 3
    for zero_stage, share in ((0, 1), (2, 1), (3, 0.5)):
        found = accumulation_s(MOE, ranks(zero_stage=zero_stage), kernels())
        assert found == pytest.approx(share * 13.1 * (dense + routed) / MEMORY, rel=1e-12)


@pytest.mark.parametrize(("tp", "ep", "etp", "kv_parts"), [(3, 1, None, 3), (6, 4, 2, 3), (2, 6, 1, 2)])
def test_weights_of_a_layer_on_one_device(tp, ep, etp, kv_parts):
    """Over tp: K and V in at most three parts, router and norms whole. Routed experts over ep and their own tensor parallel ranks."""
    dense = 390 * (420 / tp + 2 * 210 / kv_parts + 420 / tp + 12 + 3 * 420 / tp + 2)
    routed = 12 / ep * 3 * 390 * 210 / (etp or tp)

    assert local_params(MOE, ranks(tp=tp, ep=ep, etp=etp)) == pytest.approx((dense, routed), rel=1e-12)


# --------------------------------------------------------------------------------------------------------------- collectives


@pytest.mark.parametrize(("recompute", "passes"), [("none", 1 + 0.67), ("selective", 1.67), ("per-op", 2.67), ("full", 2.67)])
@pytest.mark.parametrize(("layer", "many"), [(LAYER, 2), (MOE, 2)])
def test_an_all_reduce_after_each_product_that_is_split_by_rows(recompute, passes, layer, many):
    """Output and down (shared experts once; routed ones have their own): 2 T h bytes forward, and backward less a third that is hidden."""
    found = tensor_parallel_s(layer, ranks(), kernels(), Passes(recompute))

    assert found == pytest.approx(many * passes * 2 * ring(2 * T * 390, 3), rel=1e-12)


def test_experts_without_shared_ones_leave_one_all_reduce():
    """That of attention."""
    (routed,) = bill(EXPERTS, n_shared_experts=0).blocks()

    assert tensor_parallel_s(routed, ranks(), kernels(), Passes()) == pytest.approx(1.67 * 2 * ring(2 * T * 390, 3), rel=1e-12)


@pytest.mark.parametrize(("tp", "nodes", "seen"), [(8, 1, 0.63), (16, 2, 1)])
def test_tiles_hide_a_share_of_collectives_inside_a_node(tp, nodes, seen):
    """0.37 of eight ranks in one node, nothing over two."""
    found = tensor_parallel_s(LAYER, ranks(tp=tp), kernels(), Passes(tile_overlap=True))

    assert found == pytest.approx(seen * 2 * 1.67 * 2 * ring(2 * T * 390, tp, nodes), rel=1e-12)


@pytest.mark.parametrize(("seq_len", "hidden"), [(34, False), (340_000, True)])
def test_a_ring_of_keys_and_values(seq_len, hidden):
    """Three passes of K and V of the whole sequence, behind three of attention on the blocks of others; uneven blocks lose 0.31 of it."""
    on = kernels()
    here = ranks(cp=2, seq_len=seq_len)
    work = forward(LAYER, here, on)
    passed = ring(2 * 5 * seq_len * (210 + 210) / 3, 2)
    waits = 3 * passed - 3 * work.attention_s / 2
    uneven = 0.31 / 2 * (1 + 2.5) * work.attention_s

    assert (waits < 0) is hidden
    assert context_parallel_s(LAYER, here, on, work, 2.5) == pytest.approx(max(0, waits) + uneven, rel=1e-12)


def test_context_parallel_ranks_lie_beyond_tensor_parallel_ones():
    """Eight of them three devices apart: two in a node, four nodes; 7/8 of the attention is on the blocks of others."""
    on = kernels()
    here = ranks(tp=3, cp=8)
    work = forward(LAYER, here, on)
    rate, latency = 4.7e10 * 0.89 * 2 * 4**-0.037, 41e-6 * 4**0.75
    passed = 7 / 8 * 2 * 5 * 34 * 420 / 3 / rate + latency / 2
    by_hand = 3 * passed - 3 * 7 / 8 * work.attention_s + 0.31 * 7 / 8 * 3 * work.attention_s

    assert context_parallel_s(LAYER, here, on, work, 2.0) == pytest.approx(by_hand, rel=1e-12)


def test_keys_and_values_of_one_token_on_one_device():
    """Grouped heads: three pairs of 70 + 70, over at most three ranks; latent attention expands to all heads; no attention has none."""
    assert [key_value_width(LAYER, tp) for tp in (1, 2, 3, 6)] == [420, 210, 140, 140]
    deepseek = bill_of(read_model("deepseek-v3").arch).blocks()[0]
    assert key_value_width(deepseek, 8) == 128 * (128 + 64 + 128) / 8  # config.json: 128 heads, qk_nope 128, qk_rope 64, v 128
    assert key_value_width(deepseek, 256) == 128 + 64 + 128
    assert key_value_width(LAYER._replace(block=None), 2) == 0


@pytest.mark.parametrize(("recompute", "passes"), [("none", 4), ("per-op", 4), ("full", 6)])
@pytest.mark.parametrize(("ep", "etp"), [(4, 2), (2, 3), (6, 1)])
def test_tokens_go_to_their_experts_and_come_back(recompute, passes, ep, etp):
    """There and back, forward, backward, recomputed in full: five copies of T / 3 tokens, and once more over the ranks of an expert.

    ep etp of at most eight ranks are one node: all by its links, but the share of the expert's own ranks.
    """
    sent = 2 * T / 3 * 390
    swap = sent * 5 * (ep - 1) / ep / (4.3e11 * 0.73) + 7e-6 / 2
    found = expert_parallel_s(MOE, ranks(ep=ep, etp=etp, imbalance=1.7), kernels(), Passes(recompute))

    assert found == pytest.approx(1.7 * passes * (swap + ring(sent * 5 * etp, etp)), rel=1e-12)
    assert expert_parallel_s(LAYER, ranks(), kernels(), Passes(recompute)) == 0


def test_experts_may_work_in_a_width_of_their_own():
    """What is sent is as wide as their input."""
    block = MOE.block
    narrow = MOE._replace(
        block=block._replace(feed_forward=block.feed_forward._replace(experts=block.feed_forward.experts._replace(d_in=111)))
    )
    layout = {"ep": 4, "etp": 1}
    sent = 2 * T / 3 * 111 * 5 * 3 / 4 / (4.3e11 * 0.73)

    assert expert_parallel_s(narrow, ranks(**layout), kernels(), Passes()) == pytest.approx(4 * (sent + 7e-6 / 2), rel=1e-12)


# ---------------------------------------------------------------------------------------------------------------------- head


@pytest.mark.parametrize("tp", [1, 3])
def test_head_and_loss(tp):
    """Three products of T x 390 x 32,003 / t at the 16-bit peak, 17.3 bytes a logit, 13.1 a weight, twelve launches."""
    found = head_time(bill(DENSE), ranks(tp=tp), kernels(width=1.0))
    once = product(T, 390, 32003 / tp, peak=WIDE_PEAK)

    assert found == LayerTime(
        product_s=pytest.approx(3 * once, rel=1e-12),
        memory_s=pytest.approx((17.3 * T * 32003 + 13.1 * 390 * 32003) / tp / MEMORY, rel=1e-12),
        launch_s=pytest.approx(12 * LAUNCH, rel=1e-12),
        forward_s=pytest.approx(once, rel=1e-12),
        weight_s=pytest.approx(once, rel=1e-12),
    )


def test_a_transform_before_the_vocabulary_is_of_the_head():
    """Masked models: a product of the model's width more, whole on every rank, and no logits of its own."""
    plain, more = (head_time(bill(DENSE, head=kind), ranks(), kernels()) for kind in ("vocabulary", "masked"))
    square = product(T, 390, 390, peak=WIDE_PEAK)

    assert more.product_s - plain.product_s == pytest.approx(3 * square, rel=1e-9)
    assert more.memory_s - plain.memory_s == pytest.approx(13.1 * 390 * 390 / MEMORY, rel=1e-9)


def test_a_model_without_a_head_has_no_loss():
    """No product, no traffic, no launch."""
    bare = bill(DENSE)

    assert head_time(bare._replace(layers=bare.layers[:-1]), ranks(), kernels()) == LayerTime()
