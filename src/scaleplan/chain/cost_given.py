"""What a question says of a run's cost -> the inputs of that cost, with what is assumed where it says nothing.

`given` maps fields to values in base units, as `cost`, `plan` and `optimal` have them; a field that is not there is left open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Caution
from scaleplan.chain.cost_inputs import (
    Defaults,
    embodied_input,
    goodput_input,
    lifetime_input,
    mfu_input,
    peak_input,
    power_inputs,
    price_input,
    price_quote,
    site_inputs,
)
from scaleplan.chain.plausible import implausible
from scaleplan.chain.run_cost import CostInputs, Input, hours_of, power_of
from scaleplan.errors import InputError, UsageError
from scaleplan.footprint.carbon import Zone
from scaleplan.footprint.price import Quote
from scaleplan.machine.run_time import fewest_devices, likely_hardware_rate, mfu_of_hfu
from scaleplan.numeric import is_number
from scaleplan.units import SECONDS_PER_YEAR, show_si, show_usd
from scaleplan.wording import field, fields

if TYPE_CHECKING:
    from scaleplan.chain.beside_run import Total
    from scaleplan.chain.grid_profile import Calendar
    from scaleplan.chain.run_cost import RunCost

Given = Mapping[str, Any]
"""Field -> value in base units."""


class Rate(NamedTuple):
    """The rate of one device: its peak, the share of it that is reached, and the share of the time."""

    peak_flops_per_s: Input
    mfu: Input
    goodput: Input


class Costing(NamedTuple):
    """The inputs of a cost, and where two of them are from.

    quote       what providers ask; None where a price was given or none is known
    zone        the row of the grid table; None where the intensity was given
    convention  how the FLOP of the run are counted
    """

    inputs: CostInputs
    quote: Quote | None
    zone: Zone | None
    convention: str = "six_n"


def costing(
    given: Given,
    device: library.Preset,
    defaults: Defaults,
    *,
    training_flops: Input | None = None,
    hardware_flops: Input | None = None,
    n_active_params: Any = None,
    convention: str = "six_n",
) -> Costing:
    """Everything that hours, dollars, energy and carbon of a run on a device follow from.

    training_flops  FLOP of the run by `convention`; None where `given` has its device-hours
    hardware_flops  with what is recomputed; it counts where the rate does
    """
    at_site, zone = site_of(given, defaults)
    price, quote = price_of(given, device)
    power = power_inputs(device, given.get("device_power"), given.get("system_power"), defaults)
    inputs = at_site._replace(
        device_hours=None if given.get("device_hours") is None else Input(given["device_hours"]),
        n_devices=given.get("n_devices"),
        usd_per_device_hour=price,
        kgco2e_per_device=embodied_of(given, device),
        device_lifetime_years=lifetime_of(given, defaults),
        **power._asdict(),
    )
    if training_flops is None:
        return Costing(inputs, quote, zone)
    rate = rate_inputs(given, device, n_active_params, convention, defaults)
    counted = hardware_flops if given.get("flops_kind") == "hardware" else None
    return Costing(inputs._replace(training_flops=training_flops, hardware_flops=counted, **rate._asdict()), quote, zone, convention)


def rate_inputs(given: Given, device: library.Preset, n_active_params: Any, convention: str, defaults: Defaults) -> Rate:
    """Peak, MFU and goodput: as given, else of whole runs of that size.

    A rate that is hoped for is an estimate. Raises InputError for one above the peak.
    """
    peak, goodput = peak_input(device), given.get("goodput")
    share = Input(1.0, "assumed") if goodput is None else Input(goodput)
    told = told_mfu(given, peak, device)
    if told is None:
        if given.get("mfu_of") is not None:
            hint = f"give {field('mfu')} or {field('flops_per_s_per_device')}"
            raise UsageError(f"{field('mfu_of')} says what a given rate is of", hint=hint)
        size = n_active_params if is_number(n_active_params) else None
        return Rate(peak, mfu_input(defaults, size, convention), share)
    if given.get("mfu_of") == "step" and goodput is None:
        share = goodput_input(defaults)
    return Rate(peak, told, share)


def told_mfu(given: Given, peak: Input, device: library.Preset) -> Input | None:
    """The share of the peak that was given, as such or as FLOP/s; None where neither was."""
    if given.get("mfu") is not None:
        return Input(given["mfu"], "estimate")
    rate = given.get("flops_per_s_per_device")
    if rate is None:
        return None
    if is_number(rate) and rate > peak.value:
        shown = f"`{show_si(rate, 'FLOP/s')}` is more than the dense peak of {show_si(peak.value, 'FLOP/s')} of `{device.name}`"
        raise InputError(f"{field('flops_per_s_per_device')} {shown}", hint="vendors' headlines often count sparsity")
    return Input(rate / peak.value, "estimate")


def price_of(given: Given, device: library.Preset) -> tuple[Input | None, Quote | None]:
    """Dollars for a device-hour: as given, else the median of the providers; None where no price is known.

    Raises InputError where a term or a provider was named and no price is known.
    """
    if given.get("usd_per_device_hour") is not None:
        return Input(given["usd_per_device_hour"]), None
    term, provider = given.get("price_term"), given.get("provider")
    found = price_quote(device, term or "on_demand", provider, given.get("region"))
    if found is not None:
        return price_input(found), found
    if term is None and provider is None:
        return None, None
    named = " ".join(f"{field(name)} `{given[name]}`" for name in ("price_term", "provider") if given.get(name) is not None)
    raise InputError(f"{named}: no such price of `{device.name}` is known", hint=f"leave it out, or give {field('usd_per_device_hour')}")


def site_of(given: Given, defaults: Defaults) -> tuple[CostInputs, Zone | None]:
    """The inputs of the site alone, and the zone of the grid table that was used."""
    site = site_inputs(given.get("pue"), given.get("region"), intensity_of(given), defaults)
    published = given.get("published_kgco2e")
    inputs = CostInputs(
        pue=site.pue,
        kgco2e_per_kwh=site.kgco2e_per_kwh,
        site_l_per_kwh=site.site_l_per_kwh,
        plant_l_per_kwh=site.plant_l_per_kwh,
        carbon_scope=given.get("carbon_scope") or "facility",
        published_kgco2e=None if published is None else Input(published),
    )
    return inputs, site.zone


def intensity_of(given: Given) -> Any:
    """kg of CO2e per kWh as given: by itself, or as the mean of a profile's year until the time of the run is known.

    Raises UsageError for a profile beside another grid.
    """
    profile = given.get("grid_profile")
    if profile is None:
        return given.get("grid_intensity")
    both = [name for name in ("region", "grid_intensity") if given.get(name) is not None]
    if both:
        raise UsageError(f"{fields(*both, 'grid_profile')} contradict each other", hint="give one of them")
    return profile.mean


def embodied_of(given: Given, device: library.Preset) -> Input | None:
    """kg of CO2e of making the device. Raises InputError where it is asked for, or a lifetime given, and no figure is known."""
    if given.get("embodied_per_device") is not None:
        return Input(given["embodied_per_device"])
    made, asked = embodied_input(device), [name for name in ("device_lifetime", "embodied") if given.get(name)]
    if made is None and asked:
        hint = f"give {field('embodied_per_device')}, or leave out {fields(*asked)}"
        raise InputError(f"{fields(*asked)}: no embodied CO2e of `{device.name}` is known", hint=hint)
    return made


def lifetime_of(given: Given, defaults: Defaults) -> Input:
    """Years over which the making of a device is counted."""
    seconds = given.get("device_lifetime")
    return lifetime_input(None if seconds is None else seconds / SECONDS_PER_YEAR, defaults)


def settled(given: Given, inputs: CostInputs) -> CostInputs:
    """The inputs with the devices that a deadline asks for, and then the intensity of the hours in which the run is."""
    return in_time(given, within_deadline(inputs, given.get("deadline")))


def in_time(given: Given, inputs: CostInputs) -> CostInputs:
    """The inputs with the intensity of a profile over the run; as they are without a profile."""
    if given.get("grid_profile") is None:
        return inputs
    from scaleplan.chain.grid_profile import over_run

    return over_run(given, inputs)


def total_of(given: Given, inputs: CostInputs, cost: RunCost) -> Total | None:
    """The run with its trials, idle nodes and the making of its devices; None where none of them was put in."""
    if not any(given.get(name) for name in ("trial_share", "idle_share", "embodied")):
        return None
    from scaleplan.chain.beside_run import total_of, with_intervals

    return with_intervals(total_of(given, cost), inputs)


def calendar_of(given: Given, inputs: CostInputs, cost: RunCost) -> Calendar | None:
    """When a run is, and the best start; None where neither a start nor a profile was given."""
    if given.get("start") is None and given.get("grid_profile") is None:
        return None
    from scaleplan.chain.grid_profile import calendar

    return calendar(given, inputs, cost)


def within_deadline(inputs: CostInputs, deadline_s: Any) -> CostInputs:
    """The inputs with the fewest devices that finish in time; as they are without a deadline, and in a sweep of hours."""
    hours = hours_of(inputs)
    if deadline_s is None or not is_number(hours, deadline_s):
        return inputs
    return inputs._replace(n_devices=fewest_devices(hours, deadline_s))


# ---------------------------------------------------------------------------------------------------- what is to be said


def assumptions(given: Given, found: Costing, device: library.Preset | None) -> list[str]:
    """A sentence for each input that was not given: its value, its spread and where it is from."""
    inputs = found.inputs
    sentences = [rate_sentence(found)] if device is not None else []
    sentences += [price_sentence(found.quote, device.name)] if device is not None and given.get("usd_per_device_hour") is None else []
    sentences += list(power_sentences(given, inputs, device)) if device is not None else []
    if given.get("pue") is None:
        sentences.append(f"No {field('pue')}: {inputs.pue.value:.3g}{spread_of(inputs.pue)}.")
    if found.zone is not None:
        sentences.append(grid_sentence(found.zone, inputs.kgco2e_per_kwh))
    return [sentence for sentence in sentences if sentence]


def spread_of(given: Input, digits: str = ".3g") -> str:
    """The 80 % interval of an input, in brackets; nothing where it is known."""
    if given.spread is None:
        return ""
    low, high = (given.value * factor for factor in (given.spread.p10, given.spread.p90))
    return f" (80 % interval {low:{digits}} to {high:{digits}})"


def rate_sentence(found: Costing) -> str:
    """The MFU of whole runs, or the goodput of a step's; nothing where the rate is known."""
    inputs = found.inputs
    if inputs.mfu is not None and inputs.mfu.spread is not None:
        counted = "6 N D" if found.convention == "six_n" else f"the {found.convention} count"
        return f"No {field('mfu')}: {inputs.mfu.value:.3g} of {counted}, the median of published whole runs{spread_of(inputs.mfu, '.2g')}."
    if inputs.goodput.spread is not None:
        told = f"Goodput {inputs.goodput.value:g}{spread_of(inputs.goodput, '.2g')}, of published runs that print both MFU"
        return f"{told}; override with {field('goodput')}."
    return ""


def price_sentence(quote: Quote | None, device: str) -> str:
    """Whose price it is, and how old."""
    if quote is None:
        return f"No price of {device} is known; give {field('usd_per_device_hour')} for dollars."
    names = list(quote.votes)
    who = f"price of {names[0]}" if len(names) == 1 else f"median of {len(names)} providers"
    ends = "" if len(names) == 1 else f" (80 % interval {show_usd(quote.at(0.1))} to {show_usd(quote.at(0.9))})"
    term = quote.term.replace("_", " ")
    return f"No {field('usd_per_device_hour')}: {show_usd(quote.usd_per_device_hour)}, {who}, {term}, {quote.newest}{ends}."


def power_sentences(given: Given, inputs: CostInputs, device: library.Preset) -> Iterator[str]:
    """Power of the device and with its host, where it was not given."""
    drawn, power = inputs.device_power_w, power_of(inputs)
    if drawn is None or power is None:
        yield f"The power of {device.name} is not known; give {field('device_power')} for energy and CO2e."
        return
    if not is_number(power.device_w, power.system_w):
        return
    known = [] if given.get("device_power") is not None else [f"device {drawn.value:.0f} W ({drawn.standing})"]
    if inputs.host_power_w is not None:
        known.append(f"with host and network {power.system_w:.0f} W (estimate)")
    if known:
        yield f"Power in training: {', '.join(known)}."


def grid_sentence(zone: Zone, intensity: Input) -> str:
    """Which grid was used, of which year."""
    year = f" ({zone['year']})" if zone["year"] else ""
    grams = intensity._replace(value=1000 * intensity.value)
    assumed = "" if intensity.standing == "published" else ", assumed"
    return f"Grid: {zone['name']}, {grams.value:.0f} g/kWh{year}{assumed}{spread_of(grams, '.0f')}."


def cautions(given: Given, found: Costing, defaults: Defaults) -> list[Caution]:
    """A rate that only hardware FLOP reach, a price that is old, and a run of which nobody has seen the like."""
    inputs = found.inputs
    warnings = [] if found.quote is None or not found.quote.is_old else [old_price(found.quote)]
    warnings += implausible(inputs, defaults)
    told = given.get("mfu") is not None or given.get("flops_per_s_per_device") is not None
    if told and inputs.mfu is not None and given.get("flops_kind") != "hardware":
        warnings += hfu_not_mfu(inputs.mfu.value, given.get("recompute") or "none", defaults["whole_run_mfu"]["p90"])
    return warnings


def old_price(quote: Quote) -> Caution:
    """The newest price is over a year old."""
    whose = f" by {next(iter(quote.votes))}" if len(quote.votes) == 1 else ""
    of = f"{quote.term.replace('_', ' ')} price of {quote.device}{whose}"
    message = f"the newest {of} is of {quote.newest}, over a year old; give {field('usd_per_device_hour')}"
    return Caution("old-price", message, {"newest": quote.newest, "usd_per_device_hour": quote.usd_per_device_hour})


def hfu_not_mfu(mfu: Any, recompute: str, best_run_mfu: float) -> list[Caution]:
    """A model rate that only a hardware rate is likely to reach."""
    if not is_number(mfu) or not likely_hardware_rate(mfu, recompute, best_run_mfu):
        return []
    model_rate = mfu_of_hfu(mfu)
    message = (
        f"an MFU of {100 * mfu:.0f} % is likelier an HFU, a rate that counts recomputed FLOP; the MFU would then be "
        f"{100 * model_rate:.1f} %. If so, give the rate with {field('flops_kind')} hardware and {field('recompute')} full"
    )
    return [Caution("hfu-not-mfu", message, {"mfu": mfu, "mfu_if_hardware_rate": model_rate})]
