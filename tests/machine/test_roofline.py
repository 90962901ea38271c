"""A layer's forward pass, each part worked out by hand from the sizes of the layer."""

from __future__ import annotations

import numpy as np
import pytest
from tests.machine.plain_device import DENSE, DEVICE, EXPERTS, LAUNCH, MEMORY, PEAK, bill, kernels, product

from scaleplan.machine.layout import Layout
from scaleplan.machine.roofline import (
    Ranks,
    attention_s,
    forward,
    forward_product_s,
    joins,
    launches,
    memory_s,
    operation_s,
    over_waves,
    product_s,
    products,
)
from scaleplan.model.arch import Block, Norm, Span
from scaleplan.model.items import Layer, Operation, Weight
from scaleplan.model.mixers.attention import Attention

(LAYER,) = bill(DENSE).blocks()
(MOE,) = bill(EXPERTS).blocks()
RANKS = Ranks(Layout(tp=3, cp=2), n_seqs=5, seq_len=34)
T = 85  # tokens of five sequences of 34 over two context parallel ranks


# ------------------------------------------------------------------------------------------------------------------- products


@pytest.mark.parametrize(("width", "count", "share"), [(2.0, 1, 1.0), (1.0, 7, 0.67), (4.0, 3, 0.9)])
def test_a_product_is_arithmetic_and_the_operands_that_it_does_not_hide(width, count, share):
    """2 m n k over peak and share, plus 0.61 of inputs (their width) and results (2 bytes) over the memory rate."""
    m, k, n = 131, 257, 37
    inputs, results = width * (131 * 257 + 257 * 37), 2 * 131 * 37
    once = 2 * 131 * 257 * 37 / (7.3e14 * 0.71 * share) + 0.61 * (inputs + results) / (3.1e12 * 0.83)

    found = product_s(m, k, n, kernels(), peak=PEAK, width=width, count=count, share=share)
    assert found == pytest.approx(count * once, rel=1e-12)


@pytest.mark.parametrize("m", [1, 127, 128, 129, 640, 1000])
@pytest.mark.parametrize("n", [255, 256, 257, 1301])
@pytest.mark.parametrize(("count", "units"), [(1, 7), (3, 132), (5, 2)])
def test_tiles_are_dealt_to_processors_in_rounds(m, n, count, units):
    """Every tile of 128 x 256 results to one processor, round by round; a last round that is not full takes as long as a full one."""
    tiles = count * len([(row, column) for row in range(0, m, 128) for column in range(0, n, 256)])
    rounds = len(range(0, tiles, units))

    assert over_waves(m, n, count, units) == pytest.approx(rounds * units / tiles, rel=1e-12)
    on = kernels(device=DEVICE._replace(n_units=units))
    assert product_s(m, 61, n, on, peak=PEAK, width=2.0, count=count) == pytest.approx(
        product(m, 61, n, count=count) * rounds * units / tiles, rel=1e-12
    )


def test_neighbours_with_one_input_are_one_product():
    """Q, K and V; gate and up; what comes back to the width of the model stands alone. Not across streams, and not across groups."""
    assert [[w.name for w in one.weights] for one in products(LAYER)] == [["Q", "K", "V"], ["output"], ["gate", "up"], ["down"]]

    one = Weight("one", "attention", (1009, 70))
    assert joins(one, Weight("other", "attention", (1009, 30)))
    assert joins(one._replace(shape=(sizes := np.array([3, 5]), 70)), Weight("other", "attention", (sizes, 30)))
    for changed in (
        {"shape": (1013, 30)}, {"group": "mlp_dense"}, {"stream": "encoder"}, {"row_split": True}, {"shape": (np.array([1009]), 30)},
    ):  # fmt: skip
        assert not joins(one, Weight("other", "attention", (1009, 30))._replace(**changed))
        assert not joins(Weight("other", "attention", (1009, 30))._replace(**changed), one)


@pytest.mark.parametrize(("tp", "qkv"), [(1, 840), (2, 420), (3, 280), (6, 70 + 70 + 70)])
def test_products_of_a_dense_layer(tp, qkv):
    """Columns of Q, K, V and of gate and up over tp (K and V at most in three parts, one a head); rows of output and down."""
    found = forward(LAYER, Ranks(Layout(tp=tp, cp=2), 5, 34), kernels()).product_s
    by_hand = product(T, 390, qkv) + product(T, 420 / tp, 390) + product(T, 390, 2002 / tp) + product(T, 1001 / tp, 390)

    assert found == pytest.approx(by_hand, rel=1e-12)


def test_narrow_products_read_narrow_operands():
    """One byte of each input instead of two; the output keeps two."""
    (_, output, *_) = products(LAYER)
    found = forward_product_s(output, RANKS, kernels(width=1.0))

    assert found == pytest.approx(product(T, 140, 390, width=1.0), rel=1e-12)


@pytest.mark.parametrize("imbalance", [1.0, 1.7])
@pytest.mark.parametrize(("etp", "ep"), [(2, 4), (1, 6), (3, 2)])
def test_routed_experts_share_the_tokens_of_all_their_ranks(imbalance, etp, ep):
    """ep etp ranks with T / tp tokens each, five experts a token, over twelve experts: as many tokens for each."""
    ranks = Ranks(Layout(tp=3, cp=2, ep=ep, etp=etp), 5, 34, imbalance)
    gate_up, down = (one for one in products(MOE) if one.first.group == "experts_routed")
    each, here = ep * etp * T / 3 * 5 / 12, 12 / ep
    by_hand = [product(each, 390, 420 / etp, count=here, grouped=True), product(each, 210 / etp, 390, count=here, grouped=True)]

    found = [forward_product_s(one, ranks, kernels()) for one in (gate_up, down)]
    assert found == pytest.approx([imbalance * seconds for seconds in by_hand], rel=1e-12)


def test_an_expert_works_on_at_least_one_token():
    """Ten tokens over 50 context parallel ranks: a fifth of one on each."""
    gate_up, _ = (one for one in products(MOE) if one.first.group == "experts_routed")
    found = forward_product_s(gate_up, Ranks(Layout(tp=3, cp=50, ep=4, etp=2), 5, 2), kernels())

    assert found == pytest.approx(product(1, 390, 210, count=3, grouped=True), rel=1e-12)


# ------------------------------------------------------------------------------------------------------------------ attention


def scores(**changes) -> Operation:
    return Operation("scores", per_pair=1680, tp_ways=6)._replace(**changes)


FLASH = {"fa1": 0.19, "fa2": 0.29, "sdpa": 0.29, "fa3": 0.59, "flash": 0.59}


@pytest.mark.parametrize("attention", FLASH)
@pytest.mark.parametrize(("tp", "ways"), [(3, 3), (12, 6)])
def test_fused_attention_computes_the_pairs_that_are_seen(attention, tp, ways):
    """1,680 FLOP a pair at the kernel's share of the 16-bit peak: half the square, all of it, or what a window of seven leaves."""
    ranks, on = Ranks(Layout(tp=tp, cp=2), 5, 34), kernels(attention=attention, width=1.0)
    window = sum(1 for query in range(34) for key in range(34) if 0 <= query - key < 7)
    for operation, pairs in (
        (scores(), 34 * 34 / 2),
        (scores(causal=False), 34 * 34),
        (scores(span=Span(local=7, masked=False)), window),
    ):
        by_hand = 1680 * pairs * 5 / 2 / ways / (5.9e14 * FLASH[attention])
        assert operation_s(operation, ranks, on) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(("tp", "ways"), [(3, 3), (12, 6)])
def test_stored_scores_are_the_full_square_and_its_traffic(tp, ways):
    """Whatever causality leaves: the square's FLOP, and 11.3 bytes for each head's score, six heads over the ranks."""
    ranks, on = Ranks(Layout(tp=tp, cp=2), 5, 34), kernels(attention="eager")
    flops, stored = 1680 * 34 * 34 * 2.5 / ways, 6 * 34 * 34 * 2.5 / ways

    assert operation_s(scores(), ranks, on) == pytest.approx(flops / (5.9e14 * 0.53) + 11.3 * stored / MEMORY, rel=1e-12)


@pytest.mark.parametrize("attention", ["eager", "flash"])
def test_a_scan_runs_at_the_rate_of_flash_attention_2(attention):
    """FLOP a token, beside those of pairs where an operation has both; without pairs nothing is stored."""
    on, scan = kernels(attention=attention), Operation("scan", per_token=1013, tp_ways=6)
    by_token = 1013 * 34 * 2.5 / 3 / (5.9e14 * 0.29)
    by_pair = operation_s(scores(), RANKS, on)

    assert operation_s(scan, RANKS, on) == pytest.approx(by_token, rel=1e-12)
    assert operation_s(scores(per_token=1013), RANKS, on) == pytest.approx(by_token + by_pair, rel=1e-12)
    layer = LAYER._replace(operations=(scan, scores()))
    assert attention_s(layer, RANKS, on) == pytest.approx(by_token + by_pair, rel=1e-12)


# ------------------------------------------------------------------------------------------------------------- memory traffic


@pytest.mark.parametrize(("sequence_parallel", "q"), [(True, 3), (False, 1)])
def test_element_wise_traffic_of_a_dense_layer(sequence_parallel, q):
    """Bytes a token: of each sub-layer's norm 6 elements (over q) and residual 2; 4 an output of Q, K, V; 3.5 one of gate and up.

    Casts to 8 bits move 3 bytes: of each sub-layer's input, of Q, K, V, and of the product of gate and up.
    """
    ranks = RANKS._replace(layout=Layout(tp=3, cp=2, sequence_parallel=sequence_parallel))
    elements = 2 * 390 * (6 / q + 2) + 4 * (420 + 210 + 210) / 3 + 3.5 * 2002 / 3
    cast = 2 * 390 + (420 + 210 + 210) / 3 + 1001 / 3

    assert memory_s(LAYER, ranks, kernels()) == pytest.approx(T * 0.79 * 2 * elements / MEMORY, rel=1e-12)
    assert memory_s(LAYER, ranks, kernels(width=1.0)) == pytest.approx(T * (0.79 * 2 * elements + 3 * cast) / MEMORY, rel=1e-12)


def test_products_of_two_bytes_or_more_cast_nothing():
    """Exactly 16 bits are not narrow."""
    assert [kernels(width=width).narrow for width in (0.5, 1.0, 2.0, 4.0)] == [True, True, False, False]


@pytest.mark.parametrize(("gated", "fused", "moved", "cast"), [(True, True, 3.5 * 2002, 1001), (False, False, 4 * 1001, 1001)])
def test_the_inner_width_is_activated(gated, fused, moved, cast):
    """3.5 elements for each output of gate and up, in one tensor or two; 4 of a plain feed-forward."""
    (layer,) = bill(DENSE, gated=gated, attention_bias="none").blocks()
    layer = layer._replace(weights=tuple(w for w in layer.weights if w.group == "mlp_dense" and w.matmul))
    if fused:  # one tensor
        up = layer.weights[0]._replace(name="gate and up", shape=(390, 2002))
        layer = layer._replace(weights=(up, layer.weights[-1]))
    wide = 2 * 390 * (6 + 2)

    assert memory_s(layer, RANKS, kernels()) == pytest.approx(T * 0.79 * 2 * (wide + moved / 3) / MEMORY, rel=1e-12)
    narrow = memory_s(layer, RANKS, kernels(width=1.0)) - memory_s(layer, RANKS, kernels())
    assert narrow == pytest.approx(T * 3 * (2 * 390 + cast / 3) / MEMORY, rel=1e-9)


def test_a_product_that_gates_another_counts_as_gate_and_up():
    """Channel mixing of RWKV: the receptance, of the same input as the key, gates the value: 3.5 elements an output of both."""
    key = Weight("key", "mlp_dense", (390, 1001), tp_ways=1001)
    layer = LAYER._replace(weights=(key, key._replace(name="receptance", shape=(390, 390), tp_ways=1)))
    elements = 2 * 390 * (6 + 2) + 3.5 * (1001 / 3 + 390)

    assert memory_s(layer, RANKS, kernels()) == pytest.approx(T * 0.79 * 2 * elements / MEMORY, rel=1e-12)


def test_element_wise_traffic_of_experts():
    """Each of five copies of a token is permuted there and back (4 elements of the model's width) and activated; so are shared experts.

    The router's twelve outputs are whole on every rank.
    """
    wide = 2 * 390 * (6 + 2)
    experts = 5 * (4 * 390 / 3 + 3.5 * 420 / 3)
    elements = wide + 4 * 840 / 3 + 4 * 12 + experts + 3.5 * 840 / 3
    cast = 2 * 390 + 840 / 3 + 12 + 5 * 210 / 3 + 420 / 3

    assert memory_s(MOE, RANKS, kernels()) == pytest.approx(T * 0.79 * 2 * elements / MEMORY, rel=1e-12)
    assert memory_s(MOE, RANKS, kernels(width=1.0)) == pytest.approx(T * (0.79 * 2 * elements + 3 * cast) / MEMORY, rel=1e-12)


def test_a_layer_has_as_many_sub_layers_as_it_has_parts():
    """Mixer, cross-attention and feed-forward: three norms and residuals; none of them where a layer is no block."""
    attention = Attention(6, 3, 70, 70)
    for block, n in (
        (Block(390, attention, None, Norm(), 1), 1),
        (Block(390, attention, None, Norm(), 2, cross=attention), 2),
        (LAYER.block._replace(cross=attention), 3),
        (None, 0),
    ):
        layer = Layer("bare", "block", "decoder", 1, 1, 390, (), block=block)
        assert memory_s(layer, RANKS, kernels()) == pytest.approx(T * 0.79 * 2 * n * 390 * 8 / MEMORY, rel=1e-12)


# ------------------------------------------------------------------------------------------------------------------- launches


@pytest.mark.parametrize(
    ("layout", "dense"),
    [
        (Layout(), 14),
        (Layout(tp=2), 18),
        (Layout(tp=4, pp=2), 18),  # eight devices are one node
        (Layout(tp=3, pp=3), 18 + 2 * 15.5),
        (Layout(tp=4, pp=2, dp=2), 18 + 3 * 15.5),
        (Layout(tp=4, dp=4), 18),  # no pipeline
        (Layout(tp=1, pp=16), 14),
    ],
)
def test_launches_of_a_layer(layout, dense):
    """14, under tensor parallelism 18; 311 more with experts; 15.5 for each further tensor parallel rank of a pipeline over nodes."""
    on = kernels(pipeline_launches=15.5)

    assert launches(LAYER, layout, on) == dense
    assert launches(MOE, layout, on) == dense + 311
    assert launches(LAYER, layout, kernels()) == (14 if layout.tp == 1 else 18)


def test_a_launch_takes_the_time_of_the_stack_on_the_host_at_hand():
    """5.3 us on a host that takes 1.3 times as long; memory runs at its share of the sheet."""
    assert kernels().launch_s == pytest.approx(LAUNCH, rel=1e-12)
    assert kernels().memory_bytes_per_s == pytest.approx(MEMORY, rel=1e-12)


def test_a_forward_pass_has_all_parts():
    """Products of the dense layer, its attention, its traffic and its launches."""
    work = forward(LAYER, RANKS, kernels())

    assert work.product_s == pytest.approx(
        product(T, 390, 280) + product(T, 140, 390) + product(T, 390, 2002 / 3) + product(T, 1001 / 3, 390), rel=1e-12
    )
    assert work.attention_s == pytest.approx(1680 * 34 * 34 / 2 * 2.5 / 3 / (5.9e14 * 0.59), rel=1e-12)
    assert work.memory_s == memory_s(LAYER, RANKS, kernels())
    assert work.launches == 18
