"""`cost`: device-hours, dollars, energy and carbon, asked from Python and from a shell."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import scaleplan as sp
from scaleplan.answer import Drifted, checked
from scaleplan.library import Text

SMALL = ("cost", "--n-params", "1e9", "--tokens", "2e11", "--hardware", "a100-sxm-80gb")
OPT = ("cost", "opt-175b", "--tokens", "300B", "--hardware", "a100-sxm-80gb", "--n-devices", "1024")
OPT_RATE = (*OPT, "--flops-per-s-per-device", "147T", "--recompute", "full", "--flops-kind")


def test_a_billion_parameters_on_200_billion_tokens(ask):
    """6 x 1e9 x 2e11 = 1.2e21 FLOP = 2,671 A100-hours at 40 %: the example that circulates as "about 1000 PF-days"."""
    result = ask(*SMALL, "--n-devices", "8", "--mfu", "0.4")

    assert result["training_flops"] == 12 * 10**20
    assert result["device_hours"] == pytest.approx(1.2e21 / (0.4 * 312e12) / 3600)
    assert result["wall_s"] == pytest.approx(13.9 * 86_400, rel=2e-3)
    assert "device_hours" not in result["intervals"]


def test_opt_took_33_days_of_hardware_flop(ask):
    """147 TFLOP/s of hardware FLOP on 1024 devices, full recomputation: what `flops` counts as hardware FLOP; 8 N D says 32.3 days."""
    flops = sp.flops("opt-175b", tokens="300B", recompute="full").result["hardware_flops"]
    days = ask(*OPT_RATE, "hardware")["wall_s"] / 86_400

    assert days == pytest.approx(flops / 147e12 / 1024 / 86_400, rel=1e-12)
    assert days == pytest.approx(33.1, abs=0.1)
    by_size = ("cost", "--n-params", "174604468224", *OPT_RATE[2:], "hardware")
    assert ask(*by_size)["wall_s"] / 86_400 == pytest.approx(8 * 174_604_468_224 * 300e9 / 147e12 / 1024 / 86_400)


def test_a_model_rate_that_only_hardware_reaches_is_doubted(run):
    """147 of 312 TFLOP/s is 47 %; with recomputation it was HFU, and the MFU about 35 %."""
    document = run(*OPT_RATE, "model", "--json").document

    assert document["result"]["wall_s"] / 86_400 == pytest.approx(24.8, abs=0.1)
    (warning,) = document["warnings"]
    assert warning["kind"] == "hfu-not-mfu"
    assert warning["mfu_if_hardware_rate"] == pytest.approx(0.353, abs=0.001)


MODELS = [("gpt2", "300B", 1024), ("llama-3-8b", "1T", 131_072), ("mixtral-8x7b", "1T", 4096), ("t5-small", "34B", 512)]


@pytest.mark.parametrize(("model", "tokens", "seq_len"), MODELS)
def test_a_model_costs_the_flop_that_flops_counts(model, tokens, seq_len):
    """One number, one home: long sequences, experts and encoder-decoders cost what they compute."""
    cost = sp.cost(model, tokens=tokens, seq_len=seq_len, hardware="h100-sxm").result
    flops = sp.flops(model, tokens=tokens, seq_len=seq_len).result

    assert cost["training_flops"] == flops["training_flops"]
    assert cost["flops_convention"] == flops["flops_convention"] == "exact"


def test_any_convention_of_flops_may_be_priced():
    """Each row of `flops` is what `cost` takes under its name."""
    for row in sp.flops("llama-3-8b", tokens="1T").result["conventions"]:
        if row["training_flops"] is not None:
            cost = sp.cost("llama-3-8b", tokens="1T", hardware="h100-sxm", flops_convention=row["name"], mfu=0.4).result
            assert (cost["flops_convention"], cost["training_flops"]) == (row["name"], row["training_flops"])


def test_a_rate_that_is_hoped_for_gives_a_forecast():
    """With a given MFU nothing after the compute is exact or given; a tripled value is found out by its formula."""
    lines = sp.cost("gpt2", tokens="300B", hardware="h100-sxm", n_devices=8, mfu=0.4).lines
    by_key = {line.key: line for line in lines}

    assert by_key["training_flops"].standing == "exact"
    for key in ("device_hours", "device_days", "wall_s", "usd", "energy_devices_wh", "energy_it_wh", "energy_wh", "kgco2e"):
        assert by_key[key].standing in ("estimate", "assumed")
        with pytest.raises(Drifted):
            checked([by_key[key]._replace(value=3 * by_key[key].value)])
    checked(lines)


def test_without_a_rate_the_run_is_as_slow_as_published_runs(ask):
    """The default is the whole-run MFU with its interval, 0.29 and 0.16 to 0.52, as its 1,000 draws have it."""
    hours = ask("cost", "--compute", "1.2e21", "--hardware", "l40s")["intervals"]["device_hours"]

    assert [1.2e21 / 362e12 / 3600 / hours[p] for p in ("p10", "p50", "p90")] == pytest.approx([0.52, 0.29, 0.16], rel=0.01)


def test_the_footprint_of_opt_implies_its_grid():
    """75 t over 809,472 device-hours at 400 W, devices alone: 75,000 / 323,789 kWh = 0.232 kg/kWh; the paper used 0.231 (zhang2022)."""
    opt = {"device_hours": 809_472, "hardware": "a100-sxm-80gb", "device_power": "400W", "carbon_scope": "devices"}
    result = sp.cost(**opt, published_kgco2e="75t").result

    assert result["implied_kgco2e_per_kwh"] == pytest.approx(75_000 / (809_472 * 0.4), rel=1e-12)
    assert sp.cost(**opt, grid_intensity=result["implied_kgco2e_per_kwh"]).result["kgco2e"] == pytest.approx(75_000)
    assert "training_flops" not in result


def test_bloom_from_its_metered_energy(ask):
    """433 MWh at 57 g/kWh without a PUE are 24.7 t (luccioni2022)."""
    result = ask("cost", "--energy", "433MWh", "--pue", "1", "--grid-intensity", "57g/kWh")

    assert result["kgco2e"] == pytest.approx(24_700, rel=2e-3)
    assert result["device_hours"] is None
    assert result["usd"] is None


def test_energy_is_given_in_three_scopes(ask):
    """Devices, then host and network with them, then the facility: each larger than the one before, in the stated ratios."""
    result = ask(*SMALL, "--mfu", "0.4", "--pue", "1.5", "--device-power", "400W")

    assert result["energy_devices_wh"] == pytest.approx(400 * result["device_hours"])
    assert result["energy_it_wh"] > result["energy_devices_wh"]
    assert result["energy_wh"] == pytest.approx(1.5 * result["energy_it_wh"])


def test_twice_the_tokens_cost_twice_as_much(ask):
    """All of the bill is proportional to the compute."""
    one, two = (ask("cost", "--n-params", "1e9", "--tokens", tokens, "--hardware", "h100-sxm") for tokens in ("1e11", "2e11"))

    for key in ("training_flops", "device_hours", "usd", "energy_wh", "kgco2e"):
        assert two[key] == pytest.approx(2 * one[key])


def test_only_active_parameters_are_computed(ask):
    """A mixture of experts pays for the experts a token passes."""
    assert ask(*SMALL, "--n-active-params", "5e8")["training_flops"] == 6 * 10**20


@pytest.mark.parametrize(
    ("more", "key", "taken"),
    [
        (("--hardware", "h100"), "hardware", "h100-sxm"),
        (("--hardware", "NVIDIA A100"), "hardware", "a100-sxm-80gb"),
        (("--hardware", "l4"), "hardware", "l4"),
        (("--hardware", "l4", "--region", "FR"), "region", "FRA"),
        (("--hardware", "l4", "--region", "us-east4"), "region", "us-east4"),
    ],
)
def test_an_answer_names_what_it_took_a_short_name_for(run, more, key, taken):
    """`h100` may be one of several boards, `FR` one of several zones: the document has the key of the one that was counted."""
    inputs = json.loads(run("cost", "--n-params", "1e9", "--tokens", "1e9", *more, "--json").stdout)["inputs"]
    assert inputs[key] == taken


@pytest.mark.parametrize(
    ("compared", "more"),
    [("devices", ("--device-power", "350W")), ("providers", ("--usd-per-device-hour", "1")), ("regions", ("--pue", "1.5"))],
)
def test_a_comparison_says_which_field_is_not_in_its_rows(run, compared, more):
    """Each device has a power, each provider a price, each region a PUE of its own."""
    line = ("cost", "--n-params", "1e9", "--tokens", "1e9", "--hardware", "h100", "--side-by-side", compared)
    assert f"Each row has its own: {more[0]}" in run(*line, *more).stdout
    assert "Each row has its own" not in run(*line).stdout


def test_tokens_may_be_text(ask):
    """96 GB of text at 4.2 bytes a token."""
    result = ask("cost", "--n-params", "1e9", "--text", "96GB", "--bytes-per-token", "4.2", "--hardware", "a100")
    assert result["training_flops"] == pytest.approx(6e9 * 96e9 / 4.2)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--mfu", "1.7"), "1.7"),
        (("--mfu", "0.4", "--flops-per-s-per-device", "147T", "--flops-kind", "model"), "--flops-per-s-per-device"),
        (("--flops-per-s-per-device", "147T"), "--flops-kind"),
        (("--flops-per-s-per-device", "400T", "--flops-kind", "model"), "400 TFLOP/s"),
        (("--pue", "0.5"), "0.5"),
        (("--region", "atlantis-9"), "atlantis-9"),
        (("--region", "FRA", "--grid-intensity", "57g/kWh"), "--grid-intensity"),
        (("--n-devices", "0"), "0"),
        (("--compute", "1e21"), "--compute"),
        (("--n-steps", "10"), "--n-steps"),
        (("--grid-intensity", "57"), "57"),
        (("--usd-per-device-hour", "-2"), "-2"),
        (("--usd-per-device-hour", "2", "--price-term", "spot"), "--price-term"),
        (("--usd-per-device-hour", "2", "--provider", "aws"), "--provider"),
        (("--provider", "nobody"), "nobody"),
        (("--mfu-of", "step"), "--mfu-of"),
        (("--device-power", "500W", "--system-power", "400W"), "400W"),
        (("--n-devices", "8", "--deadline", "30d"), "--deadline"),
        (("--deadline", "30"), "30d"),
        (("--carbon-scope", "planet"), "planet"),
        (("--carbon-scope", "planet"), "facility"),
        (("--lora", "rank=8"), "--lora"),
        (("--flops-per-s-per-device", "147T", "--flops-kind", "model", "--side-by-side", "devices"), "--side-by-side"),
    ],
)
def test_what_contradicts_itself_is_refused(run, more, says):
    """Exit 2, an error that names the flag or the value, nothing on stdout."""
    outcome = run(*SMALL, *more)

    assert outcome.code == 2
    assert outcome.stderr.startswith("error: ")
    assert says in outcome.stderr
    assert outcome.stdout == ""


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("cost --energy 433MWh --hardware a100", "--hardware"),
        ("cost --energy 433MWh --mfu 0.4", "--mfu"),
        ("cost --device-hours 1000 --hardware a100 --mfu 0.4", "--mfu"),
        ("cost --device-hours 1000", "--hardware"),
        ("cost --device-hours 1000 --hardware a100 --side-by-side devices", "--side-by-side"),
        ("cost --device-hours 1000 --hardware l40s --device-lifetime 4y", "--device-lifetime"),
        ("cost --device-hours 1000 --hardware l40s --price-term committed_3y", "--price-term"),
        ("cost --energy 433MWh --carbon-scope devices", "--carbon-scope"),
        ("cost --compute 1e21 --hardware h100-sxm --flops-convention bananas", "bananas"),
        ("cost --device-hours 1000 --energy 1MWh", "--energy"),
        ("cost --tokens 1B --hardware a100", "--n-params"),
        ("cost --n-params 1B --hardware a100", "--tokens"),
    ],
)
def test_a_flag_that_would_change_nothing_is_refused(run, line, says):
    """What was metered or counted leaves nothing to assume; what is missing is named."""
    outcome = run(*line.split())

    assert (outcome.code, outcome.stdout) == (2, "")
    assert says in outcome.stderr


def test_more_active_parameters_than_parameters_are_refused(run):
    """The active parameters are some of all: swapping the two flags is caught."""
    outcome = run("cost", "--n-params", "10B", "--n-active-params", "20B", "--tokens", "1B", "--hardware", "h100-sxm")

    assert outcome.code == 2
    assert outcome.stderr.startswith("error: --n-active-params 20.0B is more than --n-params 10.0B")


HOURS = ("cost", "--device-hours", "1000", "--hardware", "h100-sxm")


def test_the_mfu_of_a_step_is_spread_by_the_goodput_of_published_runs(ask):
    """Llama 3.1 405B: 41 % by step and 34.6 % of the whole run; PaLM: 46.2 and 30 %; both inside an interval of a factor 1.5."""
    for step, whole in ((0.41, 0.346), (0.462, 0.30)):
        hours = ask("cost", "--compute", "1e24", "--hardware", "h100-sxm", "--mfu", step, "--mfu-of", "step")["intervals"]["device_hours"]
        assert hours["p10"] <= 1e24 / (whole * 989.4e12) / 3600 <= hours["p90"]
        assert hours["p90"] / hours["p10"] <= 1.5


def test_the_mfu_of_a_run_is_arithmetic_and_goodput_divides_it(ask):
    """C / (MFU x peak); a given goodput makes it longer by its reciprocal."""
    run = ("cost", "--n-params", "70B", "--tokens", "2T", "--hardware", "h100-sxm", "--mfu", "0.42")
    hours = 6 * 70e9 * 2e12 / (0.42 * 989.4e12) / 3600

    assert ask(*run)["device_hours"] == ask(*run, "--mfu-of", "run")["device_hours"] == pytest.approx(hours)
    assert ask(*run, "--mfu-of", "step", "--goodput", "0.8")["device_hours"] == pytest.approx(hours / 0.8)


def test_a_deadline_takes_the_fewest_devices(ask):
    """In time, and one device fewer is late."""
    run = ("cost", "--n-params", "7B", "--tokens", "1T", "--hardware", "h100-sxm")
    n = ask(*run, "--deadline", "30d")["n_devices"]

    assert ask(*run, "--n-devices", n)["wall_s"] <= 30 * 86_400 < ask(*run, "--n-devices", n - 1)["wall_s"]


def test_each_scope_counts_its_own_energy(ask):
    """kgco2e is the energy of the scope times the intensity; embodied carbon is never in it."""
    for scope, energy in (("devices", "energy_devices_wh"), ("it", "energy_it_wh"), ("facility", "energy_wh")):
        result = ask(*HOURS, "--grid-intensity", "400g/kWh", "--carbon-scope", scope)
        assert result["kgco2e"] == result[f"kgco2e_{scope}"] == pytest.approx(0.4 * result[energy] / 1000)
        assert (result["carbon_scope"], result["embodied_kgco2e"]) == (scope, pytest.approx(164 * 1000 / (4 * 8766)))


@pytest.mark.parametrize("scope", ["devices", "it", "facility"])
def test_an_implied_intensity_fed_back_gives_the_footprint(ask, scope):
    """Whatever the scope, the published figure comes back."""
    run = (*HOURS, "--carbon-scope", scope)
    intensity = ask(*run, "--published-kgco2e", "75t")["implied_kgco2e_per_kwh"]

    assert ask(*run, "--grid-intensity", f"{intensity!r}kg/kWh")["kgco2e"] == pytest.approx(75_000, rel=1e-12)


CARDS = [  # device-hours, device, tonnes printed on the model card; rated power, PUE 1.1, 385 g/kWh (dubey2024, touvron2023)
    ("184320", "a100-sxm-80gb", 31.22),
    ("1720320", "a100-sxm-80gb", 291.42),
    ("30840000", "h100-sxm", 8930),
]


@pytest.mark.parametrize(("hours", "device", "tonnes"), CARDS)
def test_model_cards_multiply_rated_power(ask, hours, device, tonnes):
    """Llama 2 7B and 70B, Llama 3.1 405B: devices at rated power, facility scope, within 5 %."""
    result = ask(
        "cost", "--device-hours", hours, "--hardware", device, "--device-power", "tdp", "--system-power", "tdp", "--pue", "1.1",
        "--grid-intensity", "385g/kWh",
    )  # fmt: skip
    assert result["kgco2e"] / 1000 == pytest.approx(tonnes, rel=0.05)


def test_what_is_given_narrows_only_what_hangs_on_it(ask):
    """The price narrows dollars, the grid CO2e; with everything given every interval is as wide as that of the hours."""
    run = ("cost", "--n-params", "70B", "--tokens", "2T", "--hardware", "h100-sxm")
    site = ("--device-power", "560W", "--system-power", "900W", "--pue", "1.2")
    whole, priced, told = (
        ask(*run),
        ask(*run, "--usd-per-device-hour", "2"),
        ask(*run, "--usd-per-device-hour", "2", *site, "--region", "FRA"),
    )

    assert width(priced, "usd") == pytest.approx(width(whole, "device_hours"))
    assert width(priced, "usd") < width(whole, "usd")
    assert width(priced, "energy_wh") == width(whole, "energy_wh")
    assert width(told, "energy_wh") == pytest.approx(width(told, "device_hours"))
    assert width(told, "energy_wh") < width(told, "kgco2e")


def width(result, key):
    """p90 over p10 of a quantity."""
    interval = result["intervals"][key]
    return interval["p90"] / interval["p10"]


def test_an_old_price_warns(run):
    """The newest price of a V100 with 32 GB is older than the window."""
    kinds = [one["kind"] for one in run("cost", "--device-hours", "1000", "--hardware", "v100-sxm-32gb", "--json").document["warnings"]]
    assert kinds == ["old-price"]


def test_states_that_no_sharding_fits_warn(run):
    """16 bytes for each of 175B parameters are 2.8 TB: more than 32 devices of 80 GiB (2.75 TB), less than 33."""
    few, enough = (
        run("cost", "--n-params", "175e9", "--tokens", "300B", "--hardware", "a100-sxm-80gb", "--n-devices", n, "--json").document[
            "warnings"
        ]
        for n in (32, 33)
    )
    assert [one["kind"] for one in few] == ["memory"] and few[0]["states_bytes"] == 16 * 175 * 10**9
    assert enough == []


def test_adapters_cost_what_flops_counts(ask):
    """LoRA computes no gradient of frozen weights: the FLOP of `flops --lora`."""
    lora = sp.flops("llama-3-8b", tokens="1B", lora="rank=16").result["training_flops"]
    assert sp.cost("llama-3-8b", tokens="1B", lora="rank=16", hardware="h100-sxm").result["training_flops"] == lora
    assert 0.6 < lora / sp.flops("llama-3-8b", tokens="1B").result["training_flops"] < 0.75


def test_the_same_run_side_by_side():
    """The row of the device itself, of a provider and of a region is what the question says of them."""
    asked = {"n_params": "70B", "tokens": "2T", "hardware": "h100-sxm"}
    whole = sp.cost(**asked).result
    devices = {row["device"]: row for row in sp.cost(**asked, side_by_side="devices").result["side_by_side"]}
    providers = {row["provider"]: row for row in sp.cost(**asked, side_by_side="providers").result["side_by_side"]}
    regions = {row["region"]: row for row in sp.cost(**asked, side_by_side="regions").result["side_by_side"]}

    assert [devices["h100-sxm"][key] for key in ("usd", "kgco2e")] == [whole[key] for key in ("usd", "kgco2e")]
    assert providers["lambda"]["usd"] == sp.cost(**asked, provider="lambda").result["usd"]
    assert regions["us-east4"]["kgco2e"] == sp.cost(**asked, region="us-east4").result["kgco2e"]


def test_a_command_in_a_warning_is_json(run):
    """The warning names a command in quotes of its own, and the document is read all the same."""
    document = run("cost", "mixtral-8x7b", "--tokens", "300B", "--hardware", "a100-sxm-80gb", "--n-devices", "8", "--json").document
    assert document["warnings"][0]["message"].endswith("scaleplan memory mixtral-8x7b")


def test_an_array_of_tokens_costs_what_each_costs():
    """`solve` takes arrays where it takes numbers: tokens, a rate, the number of devices."""
    import numpy as np

    from scaleplan.questions.asking import requested
    from scaleplan.questions.registry import question_named

    shape, request = requested(question_named("cost"), {"model": "gpt2", "tokens": "300B", "hardware": "h100-sxm", "mfu": 0.4})
    varied = {"tokens": [1e11, 3e11, 1e12], "mfu": [0.3, 0.4, 0.5], "n_devices": [8, 16, 1024]}
    one_by_one = [shape.solve(request._replace(**dict(zip(varied, row, strict=True)))) for row in zip(*varied.values(), strict=True)]
    at_once = shape.solve(request._replace(**{name: np.array(values) for name, values in varied.items()})).cost

    for key in ("device_hours", "wall_s", "usd", "energy_wh", "kgco2e"):
        assert getattr(at_once, key).tolist() == pytest.approx([getattr(one.cost, key) for one in one_by_one], rel=1e-12)


def test_an_ordinary_run_takes_the_same_hours_in_every_convention():
    """The usual MFU is of the FLOP that are counted: hours by the exact count and by 6 N D differ by a few percent."""
    run = {"tokens": "2T", "hardware": "a100-sxm-80gb"}
    exact, six_n = (sp.cost("llama-2-70b", **run, flops_convention=name).result["device_hours"] for name in ("exact", "six_n"))

    assert exact == pytest.approx(six_n, rel=0.05)
    assert sp.cost("llama-2-70b", **run, seq_len=131_072).result["device_hours"] > 1.5 * six_n


UNDER = {"tokens": "1T", "hardware": "h100-sxm", "stack": "mcore24", "global_batch_size_seqs": 512}


@pytest.mark.parametrize("layout", ["tp2,pp2,dp16,zero1,sp", "auto"])
def test_the_hours_under_a_layout_are_those_of_its_steps(layout):
    """Wall time is steps x step time over the goodput; the step is the one that `layout` prices."""
    result = sp.cost("llama-3-8b", layout=layout, n_devices=64, goodput=0.8, **UNDER).result
    step = result["step"]
    told = {name: UNDER[name] for name in UNDER if name != "tokens"}
    priced = sp.layout("llama-3-8b", explain=step["layout"], recompute=step["recompute"], **told).result

    assert step["n_steps"] == -(-(10**12) // (512 * 8192))
    assert step["step_s"] == pytest.approx(priced["explained"]["step_s"], rel=1e-12)
    assert result["wall_s"] == pytest.approx(step["n_steps"] * step["step_s"] / 0.8, rel=1e-9)
    assert result["device_hours"] == pytest.approx(64 * result["wall_s"] / 3600, rel=1e-12)
    if layout == "auto":
        assert step["layout"] == priced["recommended"]


def test_a_layout_costs_what_a_plan_with_it_costs(tmp_path):
    """Hours, dollars and their interval are those of the plan that says the same."""
    plan = tmp_path / "plan.toml"
    plan.write_text(
        """[model]
preset = "llama-3-8b"
[training]
tokens = "1T"
global_batch_size_seqs = 512
[hardware]
device = "h100-sxm"
stack = "mcore24"
layout = "tp4,pp2,dp8,zero1,sp"
"""
    )
    cost = sp.cost("llama-3-8b", layout="tp4,pp2,dp8,zero1,sp", **UNDER)
    whole = sp.plan(str(plan))
    assert cost["device_hours"] == pytest.approx(whole["run.device_hours.value"], rel=1e-12)
    for point in ("p10", "p90"):
        assert cost[f"intervals.usd.{point}"] == pytest.approx(whole[f"money.usd.{point}"], rel=1e-12)


def test_open_devices_under_auto_are_the_fewest_in_time():
    """With goodput the wall time is within the deadline, and a node fewer is late."""
    told = {**UNDER, "layout": "auto", "goodput": 0.9}
    few = sp.cost("llama-3-8b", deadline="30d", **told).result
    fewer = sp.cost("llama-3-8b", n_devices=few["n_devices"] - 8, **told).result
    assert few["wall_s"] <= 30 * 86_400 < fewer["wall_s"]


REFUSED = [
    ({"layout": "tp2,dp4", "mfu": 0.4}, "mfu"),
    ({"layout": "tp2,dp4", "n_devices": 16}, "n_devices"),
    ({"layout": "tp2,dp4", "deadline": "30d"}, "deadline"),
    ({"layout": "auto"}, "n_devices"),
    ({"layout": "pp64,dp1"}, "layout"),
    ({"stack": "mcore24"}, "layout"),
    ({"layout": "auto", "n_devices": 16, "side_by_side": "devices"}, "side_by_side"),
]


@pytest.mark.parametrize(("given", "named"), REFUSED)
def test_what_a_layout_cannot_stand_beside_is_refused(given, named):
    """A rate is that of the steps, a given layout says its devices, and the fields of a step need a layout."""
    with pytest.raises(sp.ScaleplanError, match=named) as error:
        sp.cost("llama-3-8b", tokens="1T", hardware="h100-sxm", **given)
    assert error.value.hint


def test_a_layout_that_does_not_fit_is_priced_with_a_warning():
    """Bad news is an answer: the verdict is in the step, and in a warning."""
    answer = sp.cost("llama-3-70b", layout="dp8", **UNDER)
    assert answer["step.verdict"] == "does not fit"
    assert any(one.kind == "memory" and "does not fit" in one.message for one in answer.warnings)


def test_nothing_is_searched_unless_asked():
    """Without a layout the default MFU stays, and numpy is not loaded."""
    code = "import sys, scaleplan as sp; sp.cost('llama-3-8b', tokens='1T', hardware='h100-sxm').result; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


@pytest.mark.parametrize(("n_devices", "factor"), [("16384", None), ("32768", 2.0), ("1638400", 100.0)])
@pytest.mark.parametrize("asked", [sp.cost, lambda model, **more: sp.plan(model=model, **more)], ids=["cost", "plan"])
def test_more_devices_than_any_published_run_had_are_an_extrapolation(asked, n_devices, factor):
    """Llama 3.1 405B was trained on 16,384 (dubey2024); beyond, the factor is told."""
    answer = asked("llama-3.1-405b", tokens="15T", hardware="h100-sxm", n_devices=n_devices)
    assert [one.details["factor"] for one in answer.warnings if "devices are" in one.message] == ([] if factor is None else [factor])


@pytest.mark.parametrize("asked", [sp.cost, lambda model, **more: sp.plan(model=model, **more)], ids=["cost", "plan"])
def test_a_run_that_outlives_its_devices_warns(asked):
    """6 x 124M x 300B FLOP on one V100 at 30 % of 125 TFLOP/s are 0.19 years; a thousand times the tokens are 190, of 4 that it serves."""
    run = {"hardware": "v100-sxm-32gb", "n_devices": "1", "mfu": "0.3"}
    assert not [one for one in asked("gpt2", tokens="300B", **run).warnings if one.kind == "wall-time"]
    (found,) = [one for one in asked("gpt2", tokens="300T", **run).warnings if one.kind == "wall-time"]
    assert found.details["years"] == pytest.approx(6 * 124e6 * 300e12 / (125e12 * 0.3) / 3600 / 8766, rel=0.2)


BLOOM = {
    "device_hours": "1082990",
    "hardware": "a100-sxm-80gb",
    "device_power": "400W",
    "carbon_scope": "devices",
    "grid_intensity": "57g/kWh",
    "embodied_per_device": "462.5kg",
    "device_lifetime": "5.1y",
}
"""luccioni2022: A100-hours at 400 W on the French grid."""


def test_bloom_with_idle_nodes_and_the_making_of_its_devices():
    """luccioni2022: 24.69 t of the run, 14.6 t of idle nodes, 11.2 t of making devices and servers: 50.5 t."""
    answer = sp.cost(**BLOOM, embodied=True, idle_share=14.6 / 24.69)

    assert answer["kgco2e"] == pytest.approx(24_690, rel=2e-3)
    assert answer["embodied_kgco2e"] == pytest.approx(11_200, rel=1e-2)
    assert answer["total.kgco2e"] == pytest.approx(50_500, rel=5e-3)
    assert answer["total.includes"] == ["idle", "embodied"]


@pytest.mark.parametrize(
    ("put_in", "factor", "made"), [({"trial_share": "50%"}, 1.5, 0), ({"idle_share": "0.5"}, 1.5, 0), ({"embodied": True}, 1, 1),
                                   ({"trial_share": 4.6, "idle_share": 0.4, "embodied": True}, 6, 5.6)]
)  # fmt: skip
def test_each_part_is_in_or_out(put_in, factor, made):
    """Trials take devices, energy and their making; idle nodes energy alone; what is not put in is out, and the run itself stays."""
    plain, answer = sp.cost(**BLOOM).result, sp.cost(**BLOOM, **put_in).result
    trials = float(answer["total"]["trial_share"])

    assert plain["total"] is None
    assert {key: answer[key] for key in ("usd", "kgco2e", "energy_wh")} == {key: plain[key] for key in ("usd", "kgco2e", "energy_wh")}
    assert answer["total"]["kgco2e"] == pytest.approx(factor * plain["kgco2e"] + made * plain["embodied_kgco2e"])
    assert answer["total"]["energy_wh"] == pytest.approx(factor * plain["energy_wh"])
    assert answer["total"]["usd"] == pytest.approx((1 + trials) * plain["usd"])


def test_the_interval_of_a_total_joins_those_of_its_parts():
    """Of trials alone as wide as that of the run; with the making of the devices, whose hours it shares, no wider."""
    run = {"n_params": "7B", "tokens": "1T", "hardware": "h100-sxm"}
    trials, both = (sp.cost(**run, trial_share="50%", **more).result for more in ({}, {"embodied": True}))
    of_run, of_trials, of_both = (of["intervals"]["kgco2e"] for of in (trials, trials["total"], both["total"]))

    assert of_trials["p90"] / of_trials["p10"] == pytest.approx(of_run["p90"] / of_run["p10"])
    assert 0.8 < (of_both["p90"] / of_both["p10"]) / (of_run["p90"] / of_run["p10"]) < 1


def test_the_making_of_an_unknown_device_is_refused_unless_it_is_given():
    """No figure of TPU v4 is published."""
    run = {"device_hours": "1000", "hardware": "tpu-v4", "embodied": True}
    with pytest.raises(sp.ScaleplanError, match="embodied"):
        sp.cost(**run)
    assert sp.cost(**run, embodied_per_device="100kg")["embodied_kgco2e"] == pytest.approx(100 * 1000 / (4 * 8766))


def test_a_plan_has_the_total_of_cost_and_pays_other_costs_once():
    """$1,000 for the run beside its devices are not paid for the trials again."""
    plan = """[model]
n_params = "7B"
[training]
tokens = "1T"
[hardware]
device = "h100-sxm"
[site]
embodied = true
[run]
trial_share = "50%"
[[cost]]
name = "storage"
usd = 1000
"""
    run = {"n_params": "7B", "tokens": "1T", "hardware": "h100-sxm"}
    of_plan, of_cost = sp.plan(Text(plan)).result["total"], sp.cost(**run, trial_share="50%", embodied=True).result["total"]
    assert of_plan["usd"] == pytest.approx(of_cost["usd"] + 1000)
    assert of_plan["intervals"]["usd"]["p90"] == pytest.approx(of_cost["intervals"]["usd"]["p90"] + 1000)
    assert of_plan["kgco2e"] == pytest.approx(of_cost["kgco2e"])


def test_mfu_and_hfu_stand_beside_each_other(run):
    """OPT-175B's 147 TFLOP/s are 47.1 % HFU (zhang2022-opt) and, without the recomputed forward pass, 35.4 % MFU of the exact count."""
    asked = ("cost", "opt-175b", "--tokens", "300B", "--hardware", "a100-sxm-80gb", "--recompute", "full")
    hardware = run(*asked, "--flops-per-s-per-device", "147T", "--flops-kind", "hardware")
    assert "MFU 35.4 % of the exact count, HFU 47.1 %" in hardware.stdout
    rates = run(*asked, "--mfu", "0.354", "--json").result["rates"]
    assert rates["hfu"] == pytest.approx(0.471, rel=2e-3)
    assert "HFU" not in run(*asked[:6], "--mfu", "0.35").stdout  # nothing is said of recomputation


def test_a_total_without_co2e_names_none():
    """A device of unknown power has a price alone."""
    from scaleplan.chain.beside_run import Total
    from scaleplan.questions.cost.total import sentence

    assert sentence(Total(0.5, 0, None, 150.0, 300.0, None, None, {}), "facility") == "With trials: $300."
