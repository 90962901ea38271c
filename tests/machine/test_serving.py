"""Serving: the roofs against hand derivations, the batch against its parts, factors against their sources, rates against published rows."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from tests.cases import CONFIGS, published_rows

from scaleplan import library
from scaleplan.errors import InputError
from scaleplan.machine.activations import Batch
from scaleplan.machine.device import device_of
from scaleplan.machine.layout import Layout
from scaleplan.machine.recipe import cache_precision
from scaleplan.machine.serving import (
    Load,
    Speculation,
    fits_served,
    fleet,
    largest_batch,
    load_memory,
    rate_interval,
    serve,
    time_interval,
    usd_per_million_tokens,
    wh_per_million_tokens,
)
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving
from scaleplan.machine.serving_pass import Deployment, Engine, engine_of, pass_time
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model

IDEAL = Engine("ideal", 1, 1, 1, 1, 1, 1, 0, 0)
TRTLLM = engine_of("trtllm", library.load("stacks", "trtllm").data)
LLAMA_70B = bill_of(read_model("llama-2-70b").arch)
LLAMA_8B = bill_of(read_model("llama-3-8b").arch)
MIXTRAL = bill_of(read_model("mixtral-8x7b").arch)
FALCON = {
    "n_layers": 80, "d_model": 14848, "n_heads": 232, "n_kv_heads": 8, "n_vocab": 65024, "norm": "layer", "parallel": True,
    "attention_bias": "none", "mlp_bias": False,
}  # fmt: skip


def deployed(
    bill: Bill, device: str, layout: Layout | None = None, *, weights: str = "bf16", cache: str | None = None, engine: Engine = IDEAL
) -> Deployment:
    stored = serving_format(weights)
    on = device_of(device, library.load("hardware", device).data)
    return Deployment(bill, layout or Layout(), Serving(Batch(1, 1), stored, cache_precision(cache, stored)), on, engine)


def test_one_sequence_reads_every_weight_for_each_token():
    """Llama 3 8B in 16 bits on an A100: 2 bytes of the 7.504e9 weights that are multiplied, over 2.039e12 bytes/s: 7.36 ms."""
    one = pass_time(deployed(LLAMA_8B, "a100-sxm-80gb"), 1, 1, 1024)
    multiplied = LLAMA_8B.n_params(lambda w: w.matmul)
    assert one.weights_s == pytest.approx(2 * multiplied / 2.039e12)
    assert one.cache_s == pytest.approx(1024 * 131_072 / 2.039e12)
    assert one.bound() == "memory"


def test_decode_becomes_compute_bound_at_the_critical_batch():
    """Peak over bandwidth, at 2 bytes a weight and 2 FLOP: 312e12 / 2.039e12 = 153 tokens on an A100."""
    on = deployed(LLAMA_8B, "a100-sxm-80gb")
    below, above = (pass_time(on, n, 1, 1) for n in (150, 156))
    assert below.weights_s > below.product_s and above.weights_s < above.product_s


def test_a_long_prompt_costs_the_causal_half_of_attention():
    """131,072 tokens of Llama 3 8B: 32 layers, 2 x 4096 wide, s (s + 1) / 2 pairs; a count of the full square would be twice that."""
    long = pass_time(deployed(LLAMA_8B, "h100-sxm"), 1, 131_072, 131_072)
    pairs = 131_072 * 131_073 // 2
    assert long.attention_s == pytest.approx(32 * 4 * 4096 * pairs / 989.4e12)


def test_tensor_parallelism_all_reduces_twice_a_layer():
    """Two all-reduces a layer of 2 x 8192 bytes a token over 450e9 bytes/s: 80 x 2 x 2 x 7/8 x 16384 / 450e9, and a latency each."""
    engine = IDEAL._replace(collective_s=10e-6)
    one = pass_time(deployed(LLAMA_70B, "h100-sxm", Layout(tp=8), engine=engine), 1, 1, 1)
    assert one.network_s == pytest.approx(160 * (10e-6 + 2 * 7 / 8 * 16384 / 450e9))
    assert pass_time(deployed(LLAMA_70B, "h100-sxm"), 1, 1, 1).network_s == 0


def test_parallel_blocks_all_reduce_once():
    falcon = bill_of(arch_of_shape(FALCON))
    engine = IDEAL._replace(collective_s=10e-6)
    assert pass_time(deployed(falcon, "h100-sxm", Layout(tp=8), engine=engine), 1, 1, 1).network_s == pytest.approx(
        80 * (10e-6 + 2 * 7 / 8 * 29696 / 450e9)
    )


def test_experts_are_read_as_far_as_tokens_are_sent_there():
    """Mixtral, 8 experts of which a token uses 2: one token reads 2 of them, many tokens read all 8 (expected: 8 (1 - (3/4)^n))."""
    on = deployed(MIXTRAL, "h100-sxm")
    experts = 2 * MIXTRAL.n_params(lambda w: w.group == "experts_routed") / 3.35e12
    seconds = [pass_time(on, n, 1, 1).weights_s for n in (1, 4, 1000)]
    assert seconds[2] - seconds[0] == pytest.approx(experts * 3 / 4)
    assert seconds[1] - seconds[0] == pytest.approx(experts * (0.75 - 0.75**4))


def test_expert_parallel_ranks_read_their_own_experts():
    """With ep 8 each of eight replicas reads an eighth of the experts, once all are hit."""
    alone, shared = (pass_time(deployed(MIXTRAL, "h100-sxm", layout), 1000, 1, 1).weights_s for layout in (Layout(), Layout(dp=8, ep=8)))
    experts = 2 * MIXTRAL.n_params(lambda w: w.group == "experts_routed") / 3.35e12
    assert alone - shared == pytest.approx(experts * 7 / 8)


@pytest.mark.parametrize("load", [1, 16, 64])
def test_the_rate_is_that_of_the_static_batch(load: int):
    """Concurrency x output over first token + (output - 1) others, a device."""
    found = serve(deployed(LLAMA_70B, "h100-sxm", Layout(tp=8), engine=TRTLLM), Load(2048, 256, load))
    assert found.tokens_per_s_per_device == pytest.approx(load * 256 / (found.first_token_s + 255 * found.per_token_s) / 8)


def test_more_load_more_tokens_later_tokens_and_arrays_are_numbers():
    """Rates and gaps rise with concurrency; an array of loads gives the same numbers as one by one."""
    on = deployed(LLAMA_70B, "h100-sxm", Layout(tp=8), engine=TRTLLM)
    loads = np.array([1, 8, 64, 512])
    together = serve(on, Load(2048, 256, loads))
    one_by_one = [serve(on, Load(2048, 256, int(n))) for n in loads]

    assert together.tokens_per_s_per_device == pytest.approx([found.tokens_per_s_per_device for found in one_by_one])
    assert list(together.tokens_per_s_per_device) == sorted(together.tokens_per_s_per_device)
    assert list(together.per_token_s) == sorted(together.per_token_s)
    assert serve(on, Load(4096, 256, 16)).first_token_s > serve(on, Load(2048, 256, 16)).first_token_s


def test_pipeline_stages_work_on_groups_of_the_batch():
    """Two stages: half of the batch passes all layers while the other half does; the first token waits for three half passes over both."""
    two = serve(deployed(LLAMA_8B, "h100-sxm", Layout(pp=2)), Load(512, 128, 64))
    half = serve(deployed(LLAMA_8B, "h100-sxm"), Load(512, 128, 32))
    assert two.per_token_s == pytest.approx(half.per_token_s)
    assert two.first_token_s == pytest.approx(1.5 * half.first_token_s)


def test_replicas_share_the_load():
    """Four replicas with 64 sequences are each a replica with 16."""
    four, one = (serve(deployed(LLAMA_8B, "h100-sxm", Layout(dp=dp)), Load(512, 128, 16 * dp)) for dp in (4, 1))
    assert four.per_token_s == one.per_token_s
    assert four.tokens_per_s_per_device == pytest.approx(one.tokens_per_s_per_device)


def test_speculation_gives_the_published_tokens_a_pass():
    """(1 - 0.8^5) / (1 - 0.8) = 3.36 tokens for four drafts accepted with 0.8 (leviathan2023); a perfect draft gives all five."""
    assert Speculation(4, 0.8).tokens_per_pass == pytest.approx(3.3616)
    assert Speculation(4, 1.0).tokens_per_pass == 5
    on = deployed(LLAMA_70B, "h100-sxm", Layout(tp=8), engine=TRTLLM)
    plain, drafted = serve(on, Load(1024, 256, 1)), serve(on, Load(1024, 256, 1, speculation=Speculation(4, 0.8, 0.05)))
    assert plain.per_token_s / 3.3616 < drafted.per_token_s < plain.per_token_s
    full = serve(on, Load(1024, 256, 2048)), serve(on, Load(1024, 256, 2048, speculation=Speculation(4, 0.3, 0.05)))
    assert full[1].per_token_s > full[0].per_token_s  # compute-bound: checking rejected drafts costs time


def test_a_cached_prefix_is_not_read_again():
    """With 3/4 of the prompt cached a quarter of the products remain, and the new tokens still attend to all of it."""
    on = deployed(LLAMA_8B, "h100-sxm")
    whole, rest = (serve(on, Load(8192, 64, 8, prefix_share=share)).prefill for share in (0.0, 0.75))
    square = 8192 * 8193 - 6144 * 6145
    assert rest.attention_s / whole.attention_s == pytest.approx(square / (8192 * 8193))
    assert 0.249 < rest.product_s / whole.product_s < 0.251


def test_chunked_prefill_overlaps_reading_and_arithmetic():
    """Weights are read once for prompts and tokens: more tokens a second, and a first token that does not wait for the whole batch."""
    on = deployed(LLAMA_70B, "h100-sxm", Layout(tp=8), engine=TRTLLM)
    apart, mixed = serve(on, Load(2048, 256, 64)), serve(on, Load(2048, 256, 64, chunked_prefill=True))
    assert mixed.tokens_per_s_per_device > apart.tokens_per_s_per_device
    assert mixed.first_token_s < apart.first_token_s
    assert mixed.per_token_s > apart.per_token_s


def test_factors_are_off_by_default_and_name_their_source():
    """Nothing is assumed of drafts, prefixes or chunks; what is on is cited, and the citation is known."""
    everything = Load(1024, 64, 8, prefix_share=0.5, speculation=Speculation(4, 0.8), chunked_prefill=True)
    assert Load(1024, 64, 8).sources == ()
    assert everything.sources == ("zheng2023", "leviathan2023", "agrawal2024")
    assert set(everything.sources) <= set(library.sources())


def test_largest_batch_is_the_last_that_fits():
    on = deployed(LLAMA_70B, "h100-sxm", Layout(tp=8))
    most = largest_batch(on, Load(2048, 256))
    assert most is not None
    assert fits_served(on, Load(2048, 256, most)) and not fits_served(on, Load(2048, 256, most + 1))
    assert largest_batch(deployed(LLAMA_70B, "h100-sxm"), Load(2048, 256)) is None


def test_money_and_energy_of_a_million_tokens():
    """At 1000 tokens a second and device: 3.6 dollars an hour are 1 dollar a million tokens, 900 W are 250 Wh."""
    assert usd_per_million_tokens(1000, 3.6) == pytest.approx(1.0)
    assert wh_per_million_tokens(1000, 900) == pytest.approx(250)


def test_a_fleet_keeps_up_and_one_deployment_fewer_does_not():
    served = serve(deployed(LLAMA_70B, "h100-sxm", Layout(tp=8), engine=TRTLLM), Load(2048, 256, 64))
    found = fleet(served, 64, 100.0)
    each = 64 / served.batch_s
    assert found.n_devices == 8 * found.n_deployments
    assert (found.n_deployments - 1) * each < 100 <= found.n_deployments * each
    assert found.utilisation == pytest.approx(100 / (found.n_deployments * each))
    half = fleet(served, 64, 100.0, most_used=0.5).n_deployments
    assert (half - 1) * each * 0.5 < 100 <= half * each * 0.5


@pytest.mark.parametrize("chunked", [False, True])
def test_a_replica_is_as_fast_as_one_alone_with_its_share(chunked: bool):
    """256 sequences on four replicas are 64 on one: the same first token, the same rate of a device."""
    one, four = (serve(deployed(LLAMA_8B, "h100-sxm", Layout(dp=dp)), Load(1024, 512, 64 * dp, chunked_prefill=chunked)) for dp in (1, 4))
    for name in ("first_token_s", "per_token_s", "tokens_per_s_per_device"):
        assert getattr(four, name) == pytest.approx(getattr(one, name)), name


def test_the_memory_that_is_shown_is_the_one_that_must_fit():
    """Five sequences in four pipeline groups are two in the fullest: each device keeps a quarter of the layers for 4 x 2 sequences."""
    on = deployed(LLAMA_8B, "h100-sxm", Layout(pp=4))
    a_token = 2 * 32 * 8 * 128 * 2  # keys and values, 32 layers of 8 heads of 128, 2 bytes
    assert load_memory(on, Load(1000, 24, 5)).kv_cache_bytes == 8 * 1024 * a_token / 4


def test_intervals_are_the_spread_of_the_fitted_rows():
    """p10 to p90 is measured over predicted of the fitted rows; rates rise where times fall."""
    low, middle, high = rate_interval(1000.0, TRTLLM)
    fitted = library.load("stacks", "trtllm").data["serving"]
    assert (low, middle, high) == pytest.approx((1000 * fitted["factor_p10"], 1000, 1000 * fitted["factor_p90"]))
    assert time_interval(1 / 1000, TRTLLM) == pytest.approx((1 / high, 1 / middle, 1 / low))


def test_a_stack_that_says_nothing_of_serving_is_refused():
    with pytest.raises(InputError, match="says nothing of serving"):
        engine_of("mcore24", library.load("stacks", "mcore24").data)


@pytest.mark.parametrize(("quantity", "n_rows"), [("rate", 23), ("first", 12)])
def test_published_rows_that_nothing_was_fitted_on(quantity: str, n_rows: int):
    """TensorRT-LLM 0.5 and 0.6.1, GPT-J 6B, LLaMA 7B and 70B on H100 in fp8 and A100 in fp16: median error at most 15 %."""
    rows = [row for row in published_rows("serving.csv") if row["use"] == "score" and row["quantity"] == quantity]
    bills = {
        "gpt-j-6b": bill_of(read_model(str(CONFIGS / "gpt-j-6b.json")).arch),
        "llama-7b": bill_of(read_model("llama-7b").arch),
        "llama-2-70b": LLAMA_70B,
    }
    errors = []
    for row in rows:
        cache = "fp8" if row["precision"] == "fp8" else None
        on = deployed(bills[row["model"]], row["device"], Layout(tp=int(row["tp"])), weights=row["precision"], cache=cache, engine=TRTLLM)
        found = serve(on, Load(int(row["n_prompt_tokens"]), int(row["n_output_tokens"]), int(row["batch"])))
        value = found.tokens_per_s_per_device if quantity == "rate" else found.first_token_s
        errors.append(abs(value / float(row["value"]) - 1))
    assert len(errors) == n_rows
    assert statistics.median(errors) <= 0.15
