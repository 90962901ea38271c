"""The command `serve`: what a load takes on a deployment, and what is said of it."""

from __future__ import annotations

import pytest
from tests.formula import evaluate

import scaleplan as sp
from scaleplan.errors import ScaleplanError

TP8 = {"hardware": "h100-sxm", "layout": "tp8", "n_prompt_tokens": 2048, "n_output_tokens": 256}


def test_rate_is_tokens_over_the_time_of_the_batch():
    """64 x 256 tokens over first token + 255 later ones, on 8 devices."""
    found = sp.serve("llama-2-70b", concurrency=64, **TP8).result
    seconds = found["first_token_s"] + 255 * found["per_token_s"]

    assert found["tokens_per_s_per_device"] == pytest.approx(64 * 256 / seconds / 8)
    assert found["kv_cache_bytes_per_token"] == 80 * 8 * 128 * 2 * 2


def test_dollars_of_a_million_tokens_are_the_price_over_the_rate():
    found = sp.serve("llama-2-70b", concurrency=64, usd_per_device_hour=3.6, **TP8).result
    assert found["usd_per_million_tokens"] == pytest.approx(3.6 / 3600 / found["tokens_per_s_per_device"] * 1e6)


def test_energy_of_a_million_tokens_counts_host_and_facility():
    """900 W with its share of the host and a PUE of 1.5."""
    found = sp.serve("llama-2-70b", concurrency=64, system_power="900W", pue=1.5, device_power="500W", **TP8).result
    assert found["wh_per_million_tokens"] == pytest.approx(900 * 1.5 / 3600 / found["tokens_per_s_per_device"] * 1e6)


def test_a_price_with_a_spread_widens_the_interval():
    """The median of providers is less sure than a price that is given."""
    given, median = (sp.serve("llama-2-70b", concurrency=64, **TP8, **more).result for more in ({"usd_per_device_hour": 4}, {}))
    widths = [one["intervals"]["usd_per_million_tokens"] for one in (given, median)]
    narrow, wide = (one["p90"] / one["p10"] for one in widths)
    assert 1.3 < narrow < wide


def test_more_sequences_than_fit_are_answered_with_a_warning():
    most = sp.serve("llama-2-70b", concurrency=64, **TP8).result["max_batch_size_seqs"]
    fits, too_many = (sp.serve("llama-2-70b", concurrency=n, **TP8) for n in (most, most + 1))

    assert fits.result["fits"] and not fits.warnings
    assert not too_many.result["fits"]
    assert [one.kind for one in too_many.warnings] == ["memory"]


@pytest.mark.parametrize(("model", "layout"), [("llama-3-8b", "tp1"), ("llama-2-70b", "tp4"), ("llama-3.1-405b", "tp8,pp2")])
def test_without_a_layout_it_is_the_least_tensor_parallelism_that_fits(model, layout):
    """16 GB, 140 GB and 810 GB of weights on devices of 80 GiB, of which 90 % are used; 140 GB on two leave no room for 64 contexts."""
    found = sp.serve(model, hardware="h100-sxm").result
    assert found["layout"].startswith(layout)
    assert found["fits"]


def test_a_fleet_keeps_up_with_its_load():
    """Deployments for 100 requests a second: enough, and one fewer is not."""
    found = sp.serve("llama-3-8b", hardware="h100-sxm", requests_per_s=100, usd_per_device_hour=2).result
    each, fleet = found["requests_per_s"], found["fleet"]

    assert (fleet["n_deployments"] - 1) * each < 100 <= fleet["n_deployments"] * each
    assert fleet["usd_per_hour"] == 2 * fleet["n_devices"]


def test_speculative_decoding_keeps_so_many_tokens_a_pass():
    """Acceptance 1: five tokens for each pass with four drafted ones; its source is named."""
    drafted = sp.serve("llama-2-70b", concurrency=1, n_draft_tokens=4, draft_acceptance=1.0, **TP8)
    assert drafted.result["per_token_s"] == pytest.approx(drafted.result["decode"]["total_s"] / 5)
    assert "leviathan2023" in drafted.sources


def test_a_cached_prefix_shortens_the_first_token_and_nothing_else():
    plain, cached = (sp.serve("llama-2-70b", concurrency=8, **TP8, **more).result for more in ({}, {"cached_prefix": 0.75}))
    assert cached["first_token_s"] < 0.3 * plain["first_token_s"]
    assert cached["per_token_s"] == plain["per_token_s"]


@pytest.mark.parametrize(
    "more",
    [{}, {"n_draft_tokens": 4, "draft_acceptance": 0.8, "draft_cost": 0.05}, {"chunked_prefill": True}, {"requests_per_s": 20},
     {"layout": "tp2,pp2"}, {"precision": "fp8", "cache_precision": "fp8", "cached_prefix": 0.5}],
)  # fmt: skip
def test_every_formula_gives_its_value(more):
    """Evaluated by another reader of formulas than ours."""
    answer = sp.serve("llama-3-8b", hardware="h100-sxm", **more)
    counted = [one for one in answer.lines if one.formula]

    assert len(counted) > 20
    for one in counted:
        assert evaluate(one.formula, one.inputs) == pytest.approx(one.value, rel=1e-9), one.key


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"layout": "cp2"}, "context parallelism"),
        ({"n_draft_tokens": 4}, "draft_acceptance"),
        ({"draft_cost": 0.1}, "n_draft_tokens"),
        ({"usd_per_device_hour": 3, "provider": "aws"}, "contradict"),
        ({"hardware": "h100"}, None),
        ({"hardware": "v100-sxm2-32gb", "precision": "fp8"}, None),
        ({"concurrency": 10**9}, "holds"),
    ],
)
def test_refusals_name_what_is_wrong(given, says):
    asked = {"hardware": "h100-sxm"} | given
    if says is None:
        assert sp.serve("llama-3-8b", **asked).result["first_token_s"] > 0
        return
    with pytest.raises(ScaleplanError, match=says):
        sp.serve("llama-3-8b", **asked)
