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
    Served,
    Speculation,
    fits_served,
    fleet,
    largest_batch,
    largest_context,
    load_memory,
    rate_interval,
    serve,
    time_interval,
    usd_per_million_tokens,
    wh_per_million_tokens,
)
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving
from scaleplan.machine.serving_pass import Deployment, Engine, PassTime, PassWork, engine_of, pass_time, pass_work
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
    assert Load(1024, 64).concurrency == 1
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


# --------------------------------------------------------------------------------------- by hand, every size another

SHARES = Engine("toy", 0.7, 0.6, 0.5, 0.8, 0.9, 0.4, 11e-6, 17e-6, 19e-6, 0.3, factor_p10=0.8, factor_p90=1.3)
LOAD = Load(1003, 37, 29)


def parts(spent: PassTime) -> list[float]:
    return [float(part) for part in spent]


def test_a_batch_on_pipelines_and_replicas():
    """29 sequences in 2 x 3 groups: 5 in the fullest. Five passes of six over groups before the first token, two hops; then 36 tokens."""
    on = deployed(LLAMA_8B, "h100-sxm", Layout(dp=2, pp=3), engine=SHARES)
    found, hops = serve(on, LOAD), 2 * 11e-6
    prefill, decode = pass_time(on, 5, 1003, 1003), pass_time(on, 5, 1, 1003 + 18)

    assert parts(found.prefill) == pytest.approx(parts(prefill))
    assert parts(found.decode) == pytest.approx(parts(decode))
    assert found.first_token_s == pytest.approx(prefill.total_s * 5 / 3 + hops)
    assert found.per_token_s == pytest.approx(decode.total_s + hops)
    assert found.batch_s == pytest.approx(found.first_token_s + 36 * found.per_token_s)
    assert found.tokens_per_s_per_device == pytest.approx(29 * 37 / found.batch_s / 6)
    assert (found.prefill_work, found.decode_work) == (pass_work(on, 5, 1003, 1003), pass_work(on, 5, 1, 1021))


@pytest.mark.parametrize(("concurrency", "each"), [(1, 1), (6, 1), (7, 2), (12, 2), (13, 3)])
def test_the_fullest_group_sets_the_pace(concurrency: int, each: int):
    """Sequences over 6 groups, rounded up: one more than a multiple of six makes every pass larger."""
    on = deployed(LLAMA_8B, "h100-sxm", Layout(dp=2, pp=3), engine=SHARES)

    assert serve(on, LOAD._replace(concurrency=concurrency)).decode_work.product_flops == pass_work(on, each, 1, 1021).product_flops


@pytest.mark.parametrize(("output", "context"), [(1, 1004), (2, 1004), (3, 1004), (4, 1005), (37, 1021)])
def test_a_token_sees_the_prompt_and_half_of_the_answer_on_average(output: int, context: int):
    on = deployed(LLAMA_8B, "h100-sxm")

    assert serve(on, LOAD._replace(n_output_tokens=output)).decode_work == pass_work(on, 29, 1, context)


@pytest.mark.parametrize(("share", "fresh"), [(0.0, 1003), (0.3, 703), (0.9999, 1), (1.0, 1)])
def test_tokens_of_a_prompt_that_are_not_cached_are_read(share: float, fresh: int):
    """1003 less the whole tokens of the share (300.9: 300), at least the one whose next is asked for; messages are theirs alone."""
    on = deployed(LLAMA_8B, "h100-sxm", Layout(tp=2), engine=SHARES)
    found = serve(on, LOAD._replace(prefix_share=share))

    assert found.prefill_work == pass_work(on, 29, fresh, 1003)
    assert found.prefill.network_s == pytest.approx(32 * 2 * (11e-6 + 29 * fresh * 4096 * 2 / (450e9 * 0.4)))
    assert LOAD._replace(prefix_share=share).sources == (("zheng2023",) if share else ())


def test_a_pass_checks_the_drafts_and_the_token_after_them():
    """4 drafts: 5 positions with logits and messages; a draft step costs 0.03 of the pass; (1 - 0.6^5) / 0.4 tokens are kept."""
    on = deployed(LLAMA_8B, "h100-sxm", Layout(tp=2, pp=2), engine=SHARES)
    found = serve(on, LOAD._replace(speculation=Speculation(4, 0.6, 0.03)))
    kept = sum(0.6**accepted for accepted in range(5))  # a draft counts where all before it are accepted; one is free

    assert found.decode_work == pass_work(on, 15, 5, 1021, logits=5)
    assert found.decode.network_s == pytest.approx(32 * 2 * (11e-6 + 15 * 5 * 4096 * 2 / (450e9 * 0.4)))
    assert found.per_token_s == pytest.approx((found.decode.total_s + 11e-6) * (1 + 4 * 0.03) / kept)
    assert Speculation(4, 0.6).draft_cost == 0


def test_a_short_prompt_is_at_least_the_tokens_that_are_checked():
    """A prompt of 2 and an answer of 2 with 6 drafts: the 7 checked tokens see themselves."""
    on = deployed(LLAMA_8B, "h100-sxm")

    assert serve(on, Load(2, 2, 3, speculation=Speculation(6, 0.6))).decode_work == pass_work(on, 3, 7, 7, logits=7)


def test_a_chunk_of_the_prompts_rides_in_every_pass():
    """agrawal2024: a pass takes 1/37 of the prompts' arithmetic, cache, traffic and messages, and reads the weights once."""
    on = deployed(LLAMA_8B, "h100-sxm", Layout(tp=2), engine=SHARES)
    apart, mixed = serve(on, LOAD), serve(on, LOAD._replace(chunked_prefill=True))
    for name in ("product_s", "attention_s", "cache_s", "traffic_s", "network_s"):
        assert getattr(mixed.decode, name) == pytest.approx(getattr(apart.decode, name) + getattr(apart.prefill, name) / 37), name

    assert mixed.decode.weights_s == apart.decode.weights_s
    assert mixed.per_token_s == mixed.decode.total_s


@pytest.mark.parametrize(("concurrency", "passes"), [(5, 37 / 5), (37, 1), (74, 1)])
def test_the_first_token_of_a_chunked_prompt_waits_for_its_turn(concurrency: int, passes: float):
    """Prompts are read one after another over 37 passes: each takes 37 / n of them, and none less than one."""
    found = serve(deployed(LLAMA_8B, "h100-sxm"), LOAD._replace(concurrency=concurrency, chunked_prefill=True))

    assert found.first_token_s == pytest.approx(passes * found.per_token_s)


COMPUTES, READS = PassTime(9, 1, 9, 1, 1, 2, 0, 0), PassTime(1, 9, 1, 9, 1, 2, 0, 0)


def served(first_s: float, batch_s: float) -> Served:
    nothing = PassWork(0, 0, 0, 0, 0)
    return Served(first_s, 1.0, batch_s, 1.0, COMPUTES, READS, 7, nothing, nothing)


@pytest.mark.parametrize(("batch_s", "bound"), [(7.9, "compute"), (8.0, "memory"), (11.0, "memory")])
def test_the_longer_part_of_a_batch_says_what_binds(batch_s: float, bound: str):
    """Reading the prompts takes 4 s: writing binds from 4 s on."""
    assert served(4.0, batch_s).bound() == bound


@pytest.mark.parametrize(
    ("requests", "most_used", "n"), [(9.0, 1.0, 3), (9.1, 1.0, 4), (8.9, 1.0, 3), (9.0, 0.75, 4), (9.1, 0.75, 5), (0.1, 1.0, 1)]
)
def test_a_fleet_is_the_fewest_deployments_that_keep_up(requests: float, most_used: float, n: int):
    """12 requests in 4 s are 3 a second from each of 7 devices; at 75 % use 2.25."""
    found = fleet(served(1.0, 4.0), 12, requests, most_used)

    assert found == (n, 7 * n, requests, pytest.approx(requests / (3 * n)))
    assert found.usd_per_hour(2.5) == 7 * n * 2.5


def test_a_fleet_may_be_used_all_of_the_time_if_nothing_is_said():
    assert fleet(served(1.0, 4.0), 12, 9.0).n_deployments == 3


def test_energy_of_a_million_tokens_includes_the_site():
    """900 W at 1000 tokens a second: 250 Wh, with a PUE of 1.2 300."""
    assert wh_per_million_tokens(1000, 900, 1.2) == pytest.approx(300)


def test_an_engine_without_a_spread_has_none():
    assert rate_interval(7.0, IDEAL) == time_interval(7.0, IDEAL) == (7, 7, 7)


def test_the_longest_context_is_the_last_that_fits():
    """16 sequences of Llama 3 8B beside its weights on one H100: 131,072 bytes a token each."""
    on, load = deployed(LLAMA_8B, "h100-sxm"), Load(1, 1, 16)
    longest = largest_context(on, load)
    assert longest is not None

    assert fits_served(on, Load(longest, 0, 16)) and not fits_served(on, Load(longest + 1, 0, 16))
    assert longest == (0.9 * on.device.capacity_bytes - load_memory(on, Load(10**4, 0, 16)).total_bytes) // (16 * 131_072) + 10**4
    assert largest_context(on, load, context_bytes=70 * 10**9) is None


def test_the_fullest_replica_holds_prompt_and_answer_of_its_sequences():
    """13 sequences on 2 replicas of 2 stages: 4 in the fullest group, 8 a device with half of the layers; and the context."""
    on = deployed(LLAMA_8B, "h100-sxm", Layout(dp=2, pp=2))
    held = load_memory(on, Load(1000, 24, 13), 12_345)

    assert held.kv_cache_bytes == 8 * 1024 * 131_072 / 2
    assert held.context_bytes == 12_345
    assert load_memory(on, Load(1000, 24, 1)).kv_cache_bytes == 2 * 1024 * 131_072 / 2
    assert load_memory(on, Load(1000, 24, 1)).context_bytes == 0
