"""A serving question from names and numbers: one load on one deployment."""

from __future__ import annotations

import pytest

from scaleplan.chain.serving import ServingChoices, context_bytes, deployment_of, serve_load
from scaleplan.errors import InputError, ScaleplanError, UnknownName
from scaleplan.machine.layout import Layout, parse_layout
from scaleplan.machine.serving import Load
from scaleplan.model.bill import bill_of
from scaleplan.model_files import read_model

LLAMA_70B = bill_of(read_model("llama-2-70b").arch)
TP8 = ServingChoices("h100-sxm", Layout(tp=8))
LOAD = Load(2048, 256, 64)


def test_the_cache_of_a_token_is_that_of_all_devices():
    """80 layers of 8 heads of 128, K and V in 16 bits: 327,680 bytes, whatever the layout; each of eight devices has an eighth of it."""
    found = serve_load(deployment_of(LLAMA_70B, TP8), LOAD)
    assert found.kv_cache_bytes_per_token == 327_680
    assert found.memory.kv_cache_bytes_per_token == 327_680 // 8
    assert found.memory.kv_cache_bytes == 327_680 // 8 * 64 * 2304


def test_the_largest_batch_fits_and_one_more_does_not():
    on, context = deployment_of(LLAMA_70B, TP8), context_bytes("trtllm")
    most = serve_load(on, LOAD, context=context).max_batch_size_seqs
    assert most is not None
    assert serve_load(on, LOAD._replace(concurrency=most), context=context).fits
    assert not serve_load(on, LOAD._replace(concurrency=most + 1), context=context).fits


def test_the_longest_context_fits_and_one_token_more_does_not():
    """Prompt and output together, at the load's concurrency."""
    on = deployment_of(LLAMA_70B, TP8)
    longest = serve_load(on, LOAD).max_seq_len
    assert longest is not None
    assert serve_load(on, Load(longest - 1, 1, 64)).fits
    assert not serve_load(on, Load(longest, 1, 64)).fits


def test_money_energy_and_their_intervals():
    """3.6 dollars and 700 W over the rate; both rise where the rate falls, so that their 90 % point is at the rate's 10 %."""
    on = deployment_of(LLAMA_70B, TP8)
    found = serve_load(on, LOAD, usd_per_device_hour=3.6, system_w=700, requests_per_s=50)
    rate = found.times.tokens_per_s_per_device
    assert found.usd_per_million_tokens == pytest.approx(3.6 / 3600 / rate * 1e6)
    assert found.wh_per_million_tokens == pytest.approx(700 / 3600 / rate * 1e6)
    slow = found.intervals["tokens_per_s_per_device"].p10
    assert found.intervals["usd_per_million_tokens"].p90 == pytest.approx(3.6 / 3600 / slow * 1e6)
    assert found.fleet is not None and found.fleet.n_devices == 8 * found.fleet.n_deployments
    assert serve_load(on, LOAD).usd_per_million_tokens is None


@pytest.mark.parametrize(
    ("how", "error"),
    [
        (TP8._replace(layout=parse_layout("tp3")), ScaleplanError),
        (TP8._replace(layout=parse_layout("cp2")), InputError),
        (TP8._replace(stack="mcore24"), InputError),
        (TP8._replace(hardware="h100-sxn"), UnknownName),
        (TP8._replace(precision="bf61"), UnknownName),
        (TP8._replace(cache="fp61"), UnknownName),
    ],
)
def test_what_cannot_be_served_is_refused(how: ServingChoices, error: type[Exception]):
    with pytest.raises(error):
        deployment_of(LLAMA_70B, how)
