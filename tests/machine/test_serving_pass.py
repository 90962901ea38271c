"""One pass of a serving engine: arithmetic, bytes and messages of small models counted by hand, seconds from round rates."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from scaleplan.machine.activations import Batch
from scaleplan.machine.device import Device
from scaleplan.machine.layout import Layout
from scaleplan.machine.recipe import cache_precision
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving
from scaleplan.machine.serving_pass import (
    Deployment,
    Engine,
    PassTime,
    PassWork,
    attention_flops,
    cache_read,
    engine_of,
    linear_flops,
    network_s,
    pass_time,
    pass_work,
    queries_per_key,
    times_of,
    traffic_per_token,
    weights_read,
)
from scaleplan.model.arch import Span
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill, Layer, Operation, Weight
from scaleplan.model.shape import arch_of_shape

DEVICE = Device(
    "toy", "toy", {"bf16": 900e9, "fp8": 1900e9, "int8": 3100e9}, 70e9, 13e9, 3e9, n_linked=8, capacity_bytes=10**9, n_per_node=8
)  # fmt: skip
ENGINE = Engine("toy", 0.7, 0.6, 0.5, 0.8, 0.9, 0.4, 11e-6, 17e-6, 19e-6, 0.3)
TINY = {"n_layers": 3, "d_model": 40, "n_heads": 6, "n_kv_heads": 2, "d_head": 10, "d_ff": 84, "n_vocab": 101, "gated": True, "norm": "rms"}
TINY |= {"tied": False}
TINY_BILL = bill_of(arch_of_shape(TINY))
LAYER_MATRICES = 40 * 60 + 2 * 40 * 20 + 60 * 40 + 3 * 40 * 84  # Q, K and V, output; gate, up, down
EXPERTS = {name: size for name, size in TINY.items() if name != "d_ff"} | {"n_experts": 8, "n_experts_per_token": 3, "d_ff_expert": 52}


def deployed(bill: Bill = TINY_BILL, layout: Layout | None = None, weights: str = "bf16", *, engine: Engine = ENGINE) -> Deployment:
    stored = serving_format(weights)
    return Deployment(bill, layout or Layout(), Serving(Batch(1, 1), stored, cache_precision(None, stored)), DEVICE, engine)


def listed(*layers: Layer) -> Bill:
    """A bill of layers that are written out."""
    return Bill(TINY_BILL.arch, layers, ())


def layer(*weights: Weight, place: str = "block", runs: int = 5, copies: int = 5, operations: tuple[Operation, ...] = ()) -> Layer:
    return Layer("written", place, "decoder", runs, copies, 7, weights, operations)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------- seconds


@pytest.mark.parametrize(("product_s", "weights_s", "attention_s", "cache_s"), [(3, 5, 11, 7), (5, 3, 7, 11)])
def test_a_pass_takes_arithmetic_or_reading_whichever_is_longer(product_s, weights_s, attention_s, cache_s):
    """5 + 11 + traffic 13 + network 17 are 46 on the device; launches of 43 and 46 together (46^4 + 43^4)^(1/4); a step of 19 beside it."""
    spent = PassTime(product_s, weights_s, attention_s, cache_s, 13, 17, 43, 19)

    assert spent.device_s == 46
    assert spent.total_s == pytest.approx((46.0**4 + 43.0**4) ** (1 / 4) + 19)
    assert (spent.compute_s, spent.memory_s) == (product_s + attention_s, weights_s + cache_s + 13)


def test_a_host_that_is_ahead_costs_next_to_nothing_and_one_that_is_behind_sets_the_pace():
    """The fourth-power mean tends to the longer of the two."""
    device, host = PassTime(100, 0, 0, 0, 0, 0, 10, 0), PassTime(10, 0, 0, 0, 0, 0, 100, 0)

    assert device.total_s == host.total_s == pytest.approx(100 * (1 + 1e-4) ** 0.25)


@pytest.mark.parametrize(
    ("spent", "bound"),
    [
        (PassTime(9, 1, 9, 1, 1, 17, 90, 90), "compute"),
        (PassTime(9, 7, 1, 7, 7, 17, 90, 90), "memory"),
        (PassTime(8, 7, 8, 1, 8, 17, 90, 90), "network"),
    ],
)
def test_the_bound_is_the_part_that_takes_longest_alone(spent: PassTime, bound: str):
    assert spent.bound() == bound


def test_seconds_of_each_part_of_a_pass():
    """Arithmetic over tp x peak x share, bytes over bandwidth x share; activations at the whole bandwidth; 17 us a layer, 19 us a pass."""
    spent = times_of(deployed(layout=Layout(tp=2)), PassWork(31e9, 37e6, 41e9, 43e6, 47e6), 0.53)

    assert spent.product_s == pytest.approx(31e9 / (2 * 900e9 * 0.7))
    assert spent.attention_s == pytest.approx(41e9 / (2 * 900e9 * 0.5))
    assert (spent.weights_s, spent.cache_s) == pytest.approx((37e6 / (70e9 * 0.8), 43e6 / (70e9 * 0.9)))
    assert (spent.traffic_s, spent.network_s) == (pytest.approx(47e6 / 70e9), 0.53)
    assert (spent.launch_s, spent.step_s) == (pytest.approx(3 * 17e-6), 19e-6)


@pytest.mark.parametrize(("weights", "rate"), [("bf16", 630e9), ("int4", 630e9), ("int8", 630e9), ("fp8", 1140e9), ("w8a8", 1860e9)])
def test_products_work_in_eight_bits_where_weights_and_activations_do(weights: str, rate: float):
    """900 x 0.7 in 16 bits, of weights that are widened first as well; 1900 x 0.6 in fp8; 3100 x 0.6 in int8 (GFLOP/s)."""
    on = deployed(weights=weights)

    assert on.product_flops_per_s == pytest.approx(rate)
    assert on.wide_flops_per_s == 900e9


def test_fp8_weights_are_widened_where_the_device_has_no_fp8():
    on = deployed(weights="fp8")
    without = on._replace(device=DEVICE._replace(peaks={"bf16": 900e9}))

    assert (on.narrow_format, without.narrow_format) == ("fp8", None)
    assert without.product_flops_per_s == pytest.approx(900e9 * 0.7)


def test_an_engine_is_read_from_the_serving_table_of_a_stack():
    """Each share by its name; what is no share of the engine is left out."""
    names = ("product", "narrow_product", "attention", "memory", "cache", "link", "collective_s", "layer_s")
    table = {name: 0.1 * number for number, name in enumerate(names, 1)}
    engine = engine_of("mine", {"serving": table | {"source": "me"}}, ("me",))

    assert engine == Engine("mine", *table.values(), sources=("me",))
    assert (engine.step_s, engine.rereads, engine.factor_p10, engine.factor_p90) == (0, 0, 1, 1)


# ------------------------------------------------------------------------------------------------------------- arithmetic


def test_a_weight_costs_two_flop_a_token_and_the_head_for_the_logits_alone():
    """5 runs of 7 x 11 and of two experts of 7 x 13; 9 of a shared 7 x 17; a head of 7 x 101; tables and norms multiply nothing."""
    expert = Weight("expert", "experts_routed", (7, 13), stored=6, used=2)
    bill = listed(
        layer(Weight("table", "token_embedding", (101, 7), matmul=False), place="embedding", runs=1, copies=1),
        layer(Weight("in", "mlp_dense", (7, 11)), expert, Weight("norm", "norm", (7,), matmul=False)),
        layer(Weight("shared", "mlp_dense", (7, 17)), runs=9, copies=3),
        layer(Weight("head", "head_matrix", (7, 101), stored=0), place="head", runs=1, copies=1),
    )

    assert linear_flops(bill, 23, 3) == 2 * 23 * (5 * (77 + 2 * 91) + 9 * 119) + 2 * 3 * 707


@pytest.mark.parametrize("window", [None, 6])
def test_new_tokens_attend_to_what_they_see(window: int | None):
    """Token by token: the i-th of 19 sees i keys, or the window's 6; scores cost 11 FLOP a pair, a scan 13 a token, in 5 layers."""
    span = None if window is None else Span(local=window)
    work = (Operation("scores", per_pair=11, span=span), Operation("scan", per_token=13))
    pairs = sum(min(position, window or position) for position in range(15, 20))

    assert attention_flops(listed(layer(operations=work)), 3, 5, 19) == 3 * 5 * (11 * pairs + 13 * 5)


def test_the_work_of_a_pass_by_hand():
    """3 sequences, 5 tokens each after 14, logits of 2, on 2 ranks: every part of the work."""
    work = pass_work(deployed(layout=Layout(tp=2)), 3, 5, 19, logits=2)
    pairs = 15 + 16 + 17 + 18 + 19
    handed_on = (40 + 60) + 2 * (40 + 20) + (60 + 40) + 3 * (40 + 84)

    assert work.product_flops == 2 * (15 * 3 * LAYER_MATRICES + 6 * 40 * 101)
    assert work.weight_bytes == 2 * (3 * LAYER_MATRICES + 40 * 101) / 2
    assert work.attention_flops == 3 * 3 * 4 * 60 * pairs  # sequences, layers, 2 FLOP for score and sum, 6 heads of 10
    assert work.cache_bytes == pytest.approx(3 * 19 * 3 * 2 * 10 * 2 * (1 + 0.3 * 2))  # one of 2 KV heads; 3 queries share it
    assert work.traffic_bytes == 15 * 2 * 3 * (handed_on / 2 + 6 * 40)


def test_a_pass_is_timed_with_its_own_messages():
    """Two all-reduces in each of 3 layers: 2 x 1/2 of 15 tokens of 40 x 2 bytes over 13e9 x 0.4, and 11 us."""
    on = deployed(layout=Layout(tp=2))
    spent = pass_time(on, 3, 5, 19, logits=2)

    assert spent.network_s == pytest.approx(3 * 2 * (11e-6 + 15 * 80 / (13e9 * 0.4)))
    assert spent._replace(network_s=0) == times_of(on, pass_work(on, 3, 5, 19, logits=2), 0)


def test_a_pass_writes_one_token_of_each_sequence_if_not_asked_for_more():
    """Logits of 3 positions, one a sequence: a head of 40 x 101 for 3 of 15 tokens."""
    flops = 2 * (15 * 3 * LAYER_MATRICES + 3 * 40 * 101)

    assert pass_work(deployed(), 3, 5, 19).product_flops == flops
    assert pass_time(deployed(), 3, 5, 19).product_s == pytest.approx(flops / (900e9 * 0.7))


# ------------------------------------------------------------------------------------------------------------------ bytes


def test_weights_are_read_once_a_run_by_the_ranks_that_share_them():
    """On 4 ranks: 5 x 7 x 12 / 4 numbers, 5 x 7 x 10 that split 2 ways, 9 runs of 7 x 8 / 4 kept 3 times, a tied head of 7 x 20 / 4."""
    bill = listed(
        layer(Weight("table", "token_embedding", (20, 7), matmul=False, tp_ways=20), place="embedding", runs=1, copies=1),
        layer(Weight("in", "mlp_dense", (7, 12), tp_ways=12), Weight("few", "mixer", (7, 10), tp_ways=2)),
        layer(Weight("shared", "mlp_dense", (7, 8), tp_ways=8), runs=9, copies=3),
        layer(Weight("head", "head_matrix", (7, 20), stored=0, tp_ways=20), place="head", runs=1, copies=1),
    )

    assert weights_read(deployed(bill, Layout(tp=4)), 23) == 2 * (5 * 21 + 5 * 35 + 9 * 14 + 35)


def experts_hit(n_experts: int, used: int, n_tokens: int) -> float:
    """Mean number of different experts that so many tokens are sent to, over every way to choose."""
    ways = list(product(list(combinations(range(n_experts), used)), repeat=n_tokens))
    return sum(len(set().union(*chosen)) for chosen in ways) / len(ways)


@pytest.mark.parametrize(
    ("layout", "tokens", "sharing", "ranks"),
    [
        (Layout(), 3, 3, 1),
        (Layout(tp=2), 3, 3, 2),
        (Layout(dp=2, ep=2), 2, 4, 2),  # two replicas of 2 tokens send them to the same experts, half of which are here
        (Layout(tp=2, dp=2, ep=2), 2, 4, 4),
        (Layout(tp=2, ep=2, etp=1), 3, 3, 2),  # the ranks of one replica hold whole experts
        (Layout(tp=2, dp=2, ep=4, etp=1), 2, 4, 4),
    ],
)
def test_experts_are_read_where_some_token_is_sent(layout: Layout, tokens: int, sharing: int, ranks: int):
    """Experts hit, over every choice of 1 of 4 in 5 layers, 2 of 4 in 3: 7 x 13 numbers of 2 bytes each, over the ranks that share them."""
    one, two = (Weight("expert", "experts_routed", (7, 13), stored=4, used=used, tp_ways=13) for used in (1, 2))
    bill = listed(layer(one), layer(two, runs=3, copies=3))
    hit = 5 * experts_hit(4, 1, sharing) + 3 * experts_hit(4, 2, sharing)

    assert weights_read(deployed(bill, layout), tokens) == pytest.approx(2 * 91 * hit / ranks)


def test_a_cache_is_read_whole_by_every_stage_in_turn():
    """19 tokens of 3 sequences, 3 layers, K and V of 2 heads of 10 in 2 bytes: a token passes all stages, so all is read."""
    assert cache_read(deployed(layout=Layout(pp=3), engine=ENGINE._replace(rereads=0)), 3, 19) == 3 * 19 * 3 * 2 * 20 * 2


@pytest.mark.parametrize(("heads", "kv_heads", "times"), [(6, 6, 1), (6, 3, 1 + 0.3), (6, 2, 1 + 0.3 * 2), (6, 1, 1 + 0.3 * 5)])
def test_a_shared_key_is_read_again_for_further_queries(heads: int, kv_heads: int, times: float):
    bill = bill_of(arch_of_shape(TINY | {"n_heads": heads, "n_kv_heads": kv_heads}))

    assert queries_per_key(bill) == heads / kv_heads
    assert cache_read(deployed(bill), 3, 19) == pytest.approx(3 * 19 * 3 * 2 * kv_heads * 10 * 2 * times)


def test_a_state_space_has_no_queries_that_share_a_key():
    bill = bill_of(arch_of_shape({"n_layers": 3, "d_model": 40, "n_vocab": 101, "mixer": "mamba", "feed_forward": "none", "norm": "rms"}))

    assert queries_per_key(bill) == 1


def test_activations_between_kernels_by_hand():
    """2 bytes of inputs and outputs of what a token passes, over the ranks that split it, and six passes over the stream of 7."""
    expert = Weight("expert", "experts_routed", (7, 13), stored=6, used=3, tp_ways=13)
    kernel = Weight("kernel", "mixer", (7, 5, 2), tp_ways=7)  # a convolution: no product of its own
    few = Weight("few", "mixer", (7, 10), tp_ways=2)
    bill = listed(
        layer(Weight("in", "mlp_dense", (7, 11), tp_ways=11), expert, kernel, few, Weight("norm", "norm", (7, 3), matmul=False)),
        layer(Weight("in", "mlp_dense", (7, 19), tp_ways=19), runs=3, copies=3),
        layer(Weight("head", "head_matrix", (7, 101), tp_ways=101), place="head", runs=1, copies=1),
    )

    assert traffic_per_token(bill, 4) == 2 * (5 * (18 / 4 + 3 * 20 / 4 + 17 / 2 + 6 * 7) + 3 * (26 / 4 + 6 * 7))


# ---------------------------------------------------------------------------------------------------------------- network


@pytest.mark.parametrize(("tp", "rate"), [(4, 13e9), (8, 13e9), (16, 3e9)])
def test_all_reduces_stay_on_the_links_as_far_as_they_reach(tp: int, rate: float):
    """A ring sends 2 (t - 1) / t of 23 tokens of 40 x 2 bytes, twice a layer; 8 devices are linked."""
    each = 11e-6 + 2 * (tp - 1) / tp * 23 * 80 / (rate * 0.4)

    assert network_s(deployed(layout=Layout(tp=tp)), 23) == pytest.approx(3 * 2 * each)


@pytest.mark.parametrize(("words", "reduces"), [({}, 2), ({"parallel": True}, 1), ({"feed_forward": "none"}, 1)])
def test_a_layer_reduces_once_for_what_reads_the_same_input(words: dict[str, object], reduces: int):
    given = {name: size for name, size in (TINY | words).items() if not (name == "d_ff" and "feed_forward" in words)}
    bill = bill_of(arch_of_shape(given | ({"gated": False} if "feed_forward" in words else {})))

    assert network_s(deployed(bill, Layout(tp=2)), 23) == pytest.approx(3 * reduces * (11e-6 + 23 * 80 / (13e9 * 0.4)))


@pytest.mark.parametrize(
    ("layout", "rate"), [(Layout(dp=2, ep=2), 13e9), (Layout(dp=8, ep=8), 13e9), (Layout(tp=2, dp=4, ep=8), 3e9),
                         (Layout(tp=2, dp=4, ep=8, etp=1), 13e9)]
)  # fmt: skip
def test_tokens_are_sent_to_their_experts_and_back(layout: Layout, rate: float):
    """Each token to 3 experts in 2 of 3 layers, (e - 1) / e of them elsewhere; a replica's ranks send a share each; 8 are linked."""
    bill, tp, ep = bill_of(arch_of_shape(EXPERTS | {"n_dense_layers": 1, "d_ff": 84})), int(layout.tp), int(layout.ep)
    reduced = 3 * 2 * (11e-6 + 2 * (tp - 1) / tp * 23 * 80 / (13e9 * 0.4)) if tp > 1 else 0
    sent = 23 * 80 * 3 * (ep - 1) / ep / tp

    assert network_s(deployed(bill, layout), 23) == pytest.approx(reduced + 2 * 2 * (11e-6 + sent / (rate * 0.4)))


def test_one_rank_sends_nothing_and_a_dense_model_has_no_experts_to_send_to():
    assert network_s(deployed(), 23) == 0
    assert network_s(deployed(layout=Layout(dp=8, ep=8)), 23) == 0
    assert network_s(deployed(bill_of(arch_of_shape(EXPERTS)), Layout(dp=8)), 23) == 0
