"""Bytes per device: published layouts, sums by hand, and what must hold for every layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.machine.activations import Batch
from scaleplan.machine.held import Formats, parameters_of, state_of
from scaleplan.machine.layout import Layout, parse_layout
from scaleplan.machine.memory import Training, best_recompute_every, fits, offloaded_bytes, peak_activations, peak_bytes, stages
from scaleplan.machine.recipe import optimizer_named, precision_named
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.stack import Stack
from scaleplan.model.bill import Bill, bill_of
from scaleplan.model.passes import Keeping, Pass
from scaleplan.model.shape import arch_of_shape

GIB = 2**30
BARE = Stack("bare", bytes_per_logit=0)
SMALL = {"n_layers": 8, "d_model": 256, "n_heads": 8, "n_vocab": 1000, "gated": True, "norm": "rms", "d_ff": 512, "tied": False}


def bill(**words: Any) -> Bill:
    return bill_of(arch_of_shape(SMALL | words))


def training(stack: Stack = BARE, *, m: Any = 1, b: Any = 1, s: Any = 128, precision: str = "bf16-mixed-16", **more: Any) -> Training:
    formats = Formats(precision_named(precision), optimizer_named(more.pop("optimizer", "adamw")), more.pop("frozen", None))
    how = Pass(
        stack.keeping, recompute=more.pop("recompute", "none"), dropout=more.pop("dropout", False), fused_attention=more.pop("fused", True)
    )
    return Training(Batch(b, s), m, formats, how, stack, **more)


def state_bytes_of(model: Bill, layout: Layout, run: Training) -> list[int]:
    """Weights, gradients and optimizer of the first stage."""
    phase = stages(model, layout, run)[0].phases[0]
    return [int(n) for n in (phase.weights_bytes, phase.gradients_bytes, phase.optimizer_bytes)]


# --------------------------------------------------------------------------------------------------------------- published


def test_gpt3_on_64_devices():
    """GPT-3 with TP 8, PP 8 and the 18-byte recipe: 46.87 GiB of state and 9.59 of activations by Megatron-LM's own count."""
    words = {"n_layers": 96, "d_model": 12288, "n_heads": 96, "n_vocab": 51200, "n_positions": 2048}
    model, stack = bill_of(arch_of_shape(words)), Stack("paper", Keeping(norm_stats_bytes=0), bytes_per_logit=0)
    run = training(stack, m=64, s=2048, precision="bf16-mixed-18", recompute="selective", dropout=True, fused=False)
    phase = stages(model, parse_layout("tp8,pp8,sp"), run)[0].phases[0]

    state = phase.weights_bytes + phase.gradients_bytes + phase.optimizer_bytes
    assert state / GIB == pytest.approx(46.87, rel=0.01)
    assert phase.activations_bytes / GIB == pytest.approx(9.59, rel=0.005)


@pytest.mark.parametrize(("recipe", "size"), [("fp16-mixed-16", 16), ("fp16-mixed-12", 12)])
def test_opt_175b_under_fsdp(recipe: str, size: int):
    """992 devices share 16 (or 12) bytes of each of OPT-175B's 174,604,468,224 parameters: 2.816 (2.11) GB each, but for norms."""
    words = {
        "n_layers": 96,
        "d_model": 12288,
        "n_heads": 96,
        "n_vocab": 50272,
        "n_positions": 2050,
        "max_seq_len": 2048,
        "activation": "relu",
    }
    model = bill_of(arch_of_shape(words))
    assert model.n_params() == 174_604_468_224

    found = sum(state_bytes_of(model, parse_layout("tp8,dp124,zero3"), training(precision=recipe, m=1, s=2048)))
    assert found == pytest.approx(size * 174_604_468_224 / 992, rel=0.01)


# ------------------------------------------------------------------------------------------------------------ sums by hand


@pytest.mark.parametrize(("zero", "divided"), [(0, (1, 1, 1)), (1, (1, 1, 8)), (2, (1, 8, 8)), (3, (8, 8, 8))])
def test_each_stage_of_zero_divides_one_part_more(zero: int, divided: tuple[int, ...]):
    """ZeRO 1 divides the optimizer, 2 the gradients as well, 3 the weights too, over all data parallel ranks."""
    n = bill().n_params()
    whole = (2 * n, 2 * n, 12 * n)
    assert state_bytes_of(bill(), Layout(dp=8, zero_stage=zero), training()) == [-(-a // b) for a, b in zip(whole, divided, strict=True)]


def test_zero_divides_over_context_parallel_ranks_too():
    """Two data parallel times four context parallel ranks are eight that hold the same weights."""
    assert state_bytes_of(bill(), Layout(dp=2, cp=4, zero_stage=1), training()) == state_bytes_of(
        bill(), Layout(dp=8, zero_stage=1), training()
    )


def test_a_smaller_group_of_shards():
    """HSDP: 32 ranks that divide over 8 hold what 8 ranks hold."""
    eight = state_bytes_of(bill(), Layout(dp=8, zero_stage=3), training())
    assert state_bytes_of(bill(), Layout(dp=32, zero_stage=3, n_shards=8), training()) == eight


def test_norms_are_kept_whole_by_every_tensor_parallel_rank():
    """TP 4 divides matrices and tables by four and keeps the norms: 2 a layer and the last one, 256 wide."""
    n, norms = bill().n_params(), (2 * 8 + 1) * 256
    weights, *_ = state_bytes_of(bill(), Layout(tp=4), training())
    assert weights == 2 * ((n - norms) // 4 + norms)


def test_a_tied_head_on_another_stage_is_a_copy():
    """Both ends of a pipeline hold the table of a tied model; together the stages then hold one table more than one device."""
    tied = bill(tied=True)
    first, last = stages(tied, Layout(pp=2), training(m=2))
    together = first.phases[0].weights_bytes + last.phases[0].weights_bytes
    assert together == 2 * (tied.n_params() + 1000 * 256)


def test_expert_parallelism_divides_experts_only():
    """EP 4 on DP 4: each rank has a quarter of the experts and everything else whole."""
    model = bill(n_experts=8, n_experts_per_token=2, d_ff_expert=128)
    experts = model.n_params(lambda w: w.group == "experts_routed")
    weights, *_ = state_bytes_of(model, Layout(dp=4, ep=4), training())
    assert weights == 2 * (model.n_params() - experts + experts // 4)


def test_zero_divides_experts_over_their_own_replicas():
    """With EP 4 inside DP 8 an expert has two replicas; with ZeRO 1 its optimizer is divided by two, the rest by eight."""
    model = bill(n_experts=8, n_experts_per_token=2, d_ff_expert=128)
    experts = model.n_params(lambda w: w.group == "experts_routed")
    *_, optimizer = state_bytes_of(model, Layout(dp=8, ep=4, zero_stage=1), training())
    assert optimizer == 12 * (model.n_params() - experts) // 8 + 12 * (experts // 4) // 2


def test_frozen_weights_have_no_gradients():
    """Only trainable weights have gradients; frozen ones may be kept in four bits."""
    model = bill()
    layers = tuple(
        layer._replace(weights=tuple(w._replace(trainable=layer.place != "block") for w in layer.weights)) for layer in model.layers
    )
    frozen = model._replace(layers=layers)
    blocks = sum(layer.n_params for layer in model.layers if layer.place == "block")

    weights, gradients, _ = state_bytes_of(frozen, Layout(), training())
    assert (weights, gradients) == (2 * model.n_params(), 2 * (model.n_params() - blocks))
    narrow, *_ = state_bytes_of(frozen, Layout(), training(frozen=serving_format("int4")))
    assert narrow < weights - blocks


def test_fsdp_gathers_two_layers():
    """Forward, the layer at work and the next one are whole in 16 bits, and so are table, head and last norm."""
    model = bill()
    block = next(layer for layer in model.layers if layer.place == "block")
    one = sum(w.n_params for w in block.weights)
    outside = model.n_params() - 8 * one
    forward = stages(model, Layout(dp=8, zero_stage=3), training())[0].phases[0]
    assert forward.other_bytes == 2 * (2 * one + outside)


def test_fsdp_under_a_pipeline_gathers_a_stage():
    """With a pipeline all of a stage's weights are gathered and its gradients wait unreduced in 32 bits."""
    first = stages(bill(), Layout(dp=8, pp=2, zero_stage=3), training(m=4))[0]
    held = 4 * sum(w.n_params for w in bill().layers[1].weights) + 1000 * 256
    assert first.phases[0].other_bytes == 2 * held
    assert first.phases[2].other_bytes == 2 * held + 4 * held


def test_offloaded_states_leave_the_device():
    """The host keeps the optimizer's states; of ZeRO 3 it can keep the weights too."""
    assert state_bytes_of(bill(), Layout(), training(offload="optimizer"))[2] == 0
    assert state_bytes_of(bill(), Layout(dp=4, zero_stage=3), training(offload="all"))[0] == 0


def test_full_recomputation_keeps_inputs_and_one_layer_at_work():
    """8 inputs of 256 x 2 bytes a token forward; in the backward pass the tensors of one layer come on top."""
    tokens = 128
    plain, full = (stages(bill(), Layout(), training(recompute=how))[0].phases for how in ("none", "full"))
    assert full[0].activations_bytes == 8 * tokens * 256 * 2
    assert full[2].activations_bytes == full[0].activations_bytes + plain[0].activations_bytes // 8


def test_a_kept_input_may_serve_several_layers():
    """Recomputing four layers from one input keeps a quarter of the inputs and four layers at work."""
    one, four = (stages(bill(), Layout(), training(recompute="full", recompute_every=k))[0].phases for k in (1, 4))
    assert four[0].activations_bytes == one[0].activations_bytes // 4
    at_work = one[2].activations_bytes - one[0].activations_bytes
    assert four[2].activations_bytes - four[0].activations_bytes == 4 * at_work


def test_logits_are_on_the_last_stage_only():
    """A stack that needs 8 bytes a logit needs them where the head is, at the loss, divided by tensor parallelism."""
    stack = Stack("logits", bytes_per_logit=8)
    first, last = stages(bill(), Layout(tp=2, pp=2), training(stack, m=2))
    assert first.phases[1].activations_bytes == first.phases[0].activations_bytes
    assert last.phases[1].activations_bytes - last.phases[0].activations_bytes == 8 * 128 * 1000 // 2


def test_buckets_copy_the_gradients():
    """The plain data parallel wrapper keeps one extra copy of all gradients."""
    stack = Stack("ddp", bytes_per_logit=0, bucket_copies=1)
    assert stages(bill(), Layout(dp=2), training(stack))[0].phases[0].other_bytes == 2 * bill().n_params()


def test_layers_that_share_weights_are_kept_once():
    """ALBERT: eight layers of one set of weights."""
    shared = bill(n_shared_copies=1)
    assert state_bytes_of(shared, Layout(), training())[0] == 2 * shared.n_params()


# ---------------------------------------------------------------------------------------------------------- for every layout

DEGREES = st.fixed_dictionaries(
    {
        "tp": st.sampled_from([1, 2, 4, 8]),
        "pp": st.sampled_from([1, 2, 4, 8]),
        "dp": st.sampled_from([1, 2, 4]),
        "zero_stage": st.integers(0, 3),
    }
)


@settings(max_examples=40, deadline=None)
@given(DEGREES, st.booleans(), st.sampled_from(["even", "balanced"]), st.sampled_from(["none", "full", "per-op"]))
def test_one_layout_and_an_array_of_them_agree(degrees: dict[str, int], sp: bool, placement: str, recompute: str):
    """What prices one layout prices arrays of them, to the byte."""
    stack = Stack("both", placement=placement, context_bytes=1000, waiting_bytes=3)
    one = peak_bytes(bill(), Layout(**degrees, sequence_parallel=sp), training(stack, m=8, recompute=recompute))
    arrays = {name: np.array([value, 1]) for name, value in degrees.items()}
    many = peak_bytes(
        bill(), Layout(**arrays, sequence_parallel=np.array([sp, False])), training(stack, m=np.array([8, 1]), recompute=recompute)
    )

    assert int(many[0]) == int(one)


@settings(max_examples=30, deadline=None)
@given(DEGREES, st.sampled_from([1, 2, 8]))
def test_more_of_anything_never_needs_less(degrees: dict[str, int], b: int):
    """A larger micro-batch, a longer sequence, a wider recipe: none lowers the peak."""
    layout = Layout(**degrees)
    base = peak_bytes(bill(), layout, training(b=b, m=8))
    assert peak_bytes(bill(), layout, training(b=b + 1, m=8)) >= base
    assert peak_bytes(bill(), layout, training(b=b, s=256, m=8)) >= base
    assert peak_bytes(bill(), layout, training(b=b, m=8, precision="bf16-mixed-18")) >= base


@settings(max_examples=30, deadline=None)
@given(DEGREES)
def test_stages_together_hold_every_parameter(degrees: dict[str, int]):
    """First and last stage of two hold all weights of the model, each as many times as its replicas."""
    layout = Layout(**(degrees | {"pp": 2, "zero_stage": 0, "tp": 1}))
    found = sum(stage.phases[0].weights_bytes for stage in stages(bill(), layout, training(m=2)))
    assert found == 2 * bill().n_params()


def test_a_device_keeps_a_tenth_for_its_allocator():
    """72 GiB fit a device of 80, one byte more does not."""
    assert fits(72 * GIB, 80 * GIB)
    assert not fits(72 * GIB + 1, 80 * GIB)


def test_parameters_of_one_device_are_those_of_the_bill():
    """Nothing is lost or counted twice on the way from the bill to one device."""
    model = bill()
    formats = Formats(precision_named("bf16-mixed-16"), optimizer_named("adamw"))
    held = parameters_of(model.layers[0], Layout(), formats)
    for layer in model.layers[1:]:
        held = held.plus(parameters_of(layer, Layout(), formats).times(layer.runs))
    state = state_of(held, Layout(), formats)
    assert state == (2 * model.n_params(), 2 * model.n_params(), 12 * model.n_params())


# ---------------------------------------------------------------------------------------------- allocator, groups, host


def test_communicators_are_paid_for_each_kind_of_parallelism():
    """tp, pp and dp (with cp) have a group each; one device has none."""
    stack = BARE._replace(group_bytes=1000)
    found = [
        stages(bill(), parse_layout(text), training(stack, m=4))[0].phases[-1].other_bytes for text in ("dp1", "dp2,cp2", "tp2,pp2,dp2")
    ]
    assert found == [0, 1000, 3000]


def test_fragments_are_a_share_of_what_comes_and_goes():
    """A tenth on top of activations and gathered weights, nothing on the state."""
    plain, held = (stages(bill(), Layout(dp=4, zero_stage=3), training(BARE._replace(fragments=f)))[0].phases for f in (0.0, 0.1))
    for before, after in zip(plain[:3], held[:3], strict=True):
        assert after.other_bytes - before.other_bytes == (before.activations_bytes + before.other_bytes) // 10
        assert after[1:5] == before[1:5]
    assert plain[3] == held[3]


def test_accumulation_without_a_pipeline_keeps_one_micro_batch():
    """GPipe holds all micro-batches of a step only where there is a pipeline."""
    one, many = (peak_bytes(bill(), Layout(), training(m=m, schedule="gpipe")) for m in (1, 64))
    two, all_of_them = (peak_bytes(bill(), Layout(pp=2), training(m=m, schedule="gpipe")) for m in (2, 64))
    assert one == many and two < all_of_them


@pytest.mark.parametrize(("n_layers", "kept", "at_work"), [(36, 2.0, 70.0), (96, 1.0, 34.0), (7, 5.0, 6.0), (1, 1.0, 9.0), (300, 3.0, 3.0)])
def test_the_best_group_of_recomputed_layers(n_layers: int, kept: float, at_work: float):
    """No other is less, and within the rounding of k and of the groups it is 2 sqrt(n kept at_work) (chen2016)."""

    def size(k: int) -> float:
        return -(-n_layers // k) * kept + k * at_work

    found = best_recompute_every(n_layers, kept, at_work)
    assert size(found) == min(size(k) for k in range(1, n_layers + 1))
    assert size(found) <= 2 * (n_layers * kept * at_work) ** 0.5 + kept + at_work


def test_one_group_is_best_where_inputs_outweigh_the_layers():
    """Many micro-batches in flight keep more than the six layers at work: one group of all layers."""
    assert best_recompute_every(6, 3.1e9, 4.4e7) == 6


def test_one_group_of_all_layers_saves_nothing():
    """Recomputing all layers from one input needs every tensor of every layer at once."""
    none, whole = (stages(bill(), Layout(), training(recompute=how, recompute_every=k))[0] for how, k in (("none", 1), ("full", 8)))
    assert peak_activations(whole) >= peak_activations(none)
    assert peak_activations(whole) == peak_activations(stages(bill(), Layout(), training(recompute="full", recompute_every=100))[0])


def test_what_leaves_the_device_arrives_at_the_host():
    """Offloading the optimizer moves its 12 bytes a parameter, offloading all under ZeRO 3 the shard of the weights too."""
    n = bill().n_params()
    assert offloaded_bytes(bill(), Layout(), training()) == 0
    assert offloaded_bytes(bill(), Layout(), training(offload="optimizer")) == 12 * n
    assert offloaded_bytes(bill(), Layout(dp=8, zero_stage=3), training(offload="all")) == 14 * n / 8


# ------------------------------------------------------------------------------------------------- recomputed modules

MLA = {
    "n_layers": 4, "d_model": 256, "n_heads": 8, "n_vocab": 1000, "gated": True, "norm": "rms", "d_ff": 512, "tied": False,
    "mixer": "latent", "q_rank": 64, "kv_rank": 32, "d_nope": 32, "d_rope": 16, "d_value": 32,
}  # fmt: skip


def kept_a_token(recompute: str, **more: Any) -> float:
    """Bytes a token and layer."""
    model = bill_of(arch_of_shape(MLA))
    run = training(s=128, recompute=recompute, **more)
    return stages(model, Layout(), run)[0].phases[0].activations_bytes / 4 / 128


def test_modules_that_are_recomputed_free_their_outputs():
    """Norms free the inputs of the products after them, up-projections free queries, keys and values, at two bytes a number."""
    none = kept_a_token("none")
    assert none - kept_a_token("mla_up_proj") == 2 * (8 * 48 + 8 * 48 + 8 * 32)
    assert none - kept_a_token("layernorm") == 2 * (256 + 64 + 32 + 256)
    assert none - kept_a_token("mlp_act") == 2 * 512
    assert none - kept_a_token("layernorm+mla_up_proj") == 2 * (8 * 128 + 608)


def test_inputs_in_eight_bits_are_half():
    """fp8-deepseek keeps the inputs of products in one byte, and of the gated activation its two inputs."""
    model = bill_of(arch_of_shape(SMALL))

    def kept(precision: str, narrow: bool) -> float:
        run = training(precision=precision)
        run = run._replace(how=run.how._replace(narrow_inputs=narrow, narrow_gate=narrow))
        return stages(model, Layout(), run)[0].phases[0].activations_bytes / 8 / 128

    inputs, inner = 2 * 256, 512
    wide_gate = (4 if Keeping().gate_in_steps else 3) * inner
    assert kept("bf16-mixed", False) - kept("fp8-deepseek", True) == inputs + 2 * wide_gate - 2 * inner


def test_sparse_kernels_keep_the_pairs_that_they_make():
    """An unmasked window of 16 keeps 16 scores a query without a fused kernel, not the whole square."""
    words = SMALL | {"mixer": "sparse-attention", "window": 16}
    dense, sparse = (stages(bill_of(arch_of_shape(w)), Layout(), training(s=128, fused=False))[0].phases[0] for w in (SMALL, words))
    assert dense.activations_bytes - sparse.activations_bytes == 8 * 2 * 8 * 128 * (128 - 16)
