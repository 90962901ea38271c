"""What `cost` assumes where a question leaves it open: rate, price, power and site, each as an Input with its spread.

The values are in presets/defaults.toml, prices.csv and grid.csv and beside each device; whatever is given replaces them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from scaleplan import library
from scaleplan.answer import unique
from scaleplan.chain.run_cost import Input
from scaleplan.chain.spread import Spread, among, within
from scaleplan.errors import InputError
from scaleplan.footprint.carbon import Zone, find_zone
from scaleplan.footprint.energy import site_pue, training_power
from scaleplan.footprint.price import Quote, Term, quote
from scaleplan.machine.run_time import peak_of, whole_run_mfu
from scaleplan.numeric import is_number
from scaleplan.wording import field

Defaults = Mapping[str, Any]
Watts = float | Literal["tdp"] | None
"""Average power in watts, `tdp` for the rated power, or None where nothing is said."""


class PowerInputs(NamedTuple):
    """Power of a device, and of its host or of both together; None where nothing is known."""

    device_power_w: Input | None
    host_power_w: Input | None
    system_power_w: Input | None

    @property
    def system_w(self) -> Any:
        """Watts of a device with its share of host and network; None where they are unknown."""
        if self.system_power_w is not None:
            return self.system_power_w.value
        if self.device_power_w is None or self.host_power_w is None:
            return None
        return self.device_power_w.value + self.host_power_w.value


class SiteInputs(NamedTuple):
    """The site of a run. `zone` is the row of the grid table that was used; None where the intensity was given."""

    pue: Input
    kgco2e_per_kwh: Input
    site_l_per_kwh: Input | None
    plant_l_per_kwh: Input | None
    zone: Zone | None


def peak_input(device: library.Preset, precisions: tuple[str, ...] = ("bf16", "fp16")) -> Input:
    """The dense peak that MFU is measured against."""
    peaks = device.data["peak_flops_per_s"]
    _, peak = peak_of({key: value for key, value in peaks.items() if not isinstance(value, str | list)}, device.name, precisions)
    return Input(peak, "published", library.citations(peaks))


def mfu_input(defaults: Defaults, n_active_params: float | None, convention: str = "six_n") -> Input:
    """MFU of a whole run of which the size alone is known, in FLOP of a convention."""
    usual = defaults["whole_run_mfu"]
    mfu = whole_run_mfu(usual, n_active_params, convention)
    return Input(mfu.p50, "assumed", library.citations(usual), within("mfu", mfu.p50, mfu.p10, mfu.p90))


def goodput_input(defaults: Defaults) -> Input:
    """Whole-run MFU over the MFU of a step, of published runs that give both."""
    usual = defaults["goodput"]
    return Input(usual["p50"], "assumed", library.citations(usual), within("goodput", usual["p50"], usual["p10"], usual["p90"]))


def price_quote(device: library.Preset, term: Term = "on_demand", provider: str | None = None, region: str | None = None) -> Quote | None:
    """What providers ask for the device, or for the one it is `priced_as`; None where no price is known."""
    return quote(library.rows("prices"), device.data.get("priced_as", device.name), term=term, provider=provider, region=region)


def price_input(found: Quote) -> Input:
    """The median of the providers; its spread is that of theirs."""
    usd = found.usd_per_device_hour
    return Input(usd, "published", found.sources, among("price", usd, found.votes.values()))


def power_inputs(device: library.Preset, device_power: Watts, system_power: Watts, defaults: Defaults) -> PowerInputs:
    """Power of the device and of its host in training: as given, else measured, else from the rated power.

    A given device power does not move the host. Raises InputError for `tdp` of a device without one, and for a system that
    draws less than its device.
    """
    given_device = given_watts(device, device_power, "device_power")
    given_system = given_watts(device, system_power, "system_power")
    drawn = given_device or usual_device_power(device, defaults)
    if drawn is None:
        return PowerInputs(None, None, given_system)
    if given_system is None:
        return PowerInputs(drawn, host_power(device, drawn, defaults), None)
    if given_system.value < drawn.value:
        raise InputError(
            f"{field('system_power')} `{given_system.value:g}W` is less than the {drawn.value:g} W of the device in it",
            hint=f"{field('system_power')} is a device with its share of host and network; {field('device_power')} is the device alone",
        )
    return PowerInputs(drawn, None, given_system)


def given_watts(device: library.Preset, power: Watts, name: str) -> Input | None:
    """A power that was given, in watts or as the rated power of the device."""
    if power is None:
        return None
    rated = device.data.get("power", {})
    if power != "tdp":
        return Input(power)
    if "tdp_w" not in rated:
        raise InputError(f"the rated power of `{device.name}` is not known", hint=f"give {field(name)} in watts: 400W")
    return Input(rated["tdp_w"], "given", library.citations(rated))


def usual_device_power(device: library.Preset, defaults: Defaults) -> Input | None:
    """Average power of a device in training: measured, else a share of its rated power, else from its peak; None without any."""
    usual, data = defaults["power"], device.data
    power = training_power(data, usual["load_fraction"], usual["system_over_device"])
    spread = within("device_power", usual["load_fraction"], usual["load_fraction_p10"], usual["load_fraction_p90"])
    if power is not None:
        tables = [data["measured_power"]] if power.device_standing == "measured" else [data["power"], usual]
        worked_out = () if power.device_standing == "measured" else of_rated_power(data, usual)
        return Input(power.device_w, power.device_standing, cited_in(*tables), spread, *worked_out)
    try:
        peak = peak_input(device)
    except InputError:
        return None
    per_flops = usual["per_peak"]
    low, middle, high = (per_flops[key] * peak.value * usual["load_fraction"] for key in ("p10", "p50", "p90"))
    cited = cited_in(data["peak_flops_per_s"], per_flops)
    return Input(middle, "assumed", cited, within("device_power", middle, low, high))


def host_power(device: library.Preset, drawn: Input, defaults: Defaults) -> Input:
    """Power of a device's share of host, fans and network, whatever the device itself is said to draw."""
    usual, data = defaults["power"], device.data
    ratio = usual["system_over_device"]
    power = training_power(data, usual["load_fraction"], ratio)
    host_w = power.system_w - power.device_w if power else drawn.value * (ratio - 1)
    tables = [usual, *([data["measured_power"]] if "system_w" in data.get("measured_power", {}) else [])]
    spread = within("host_power", ratio - 1, usual["system_over_device_p10"] - 1, usual["system_over_device_p90"] - 1)
    worked_out = ("device_power_w * (system_over_device - 1)", {"device_power_w": drawn.value, "system_over_device": ratio})
    shared = abs(host_w - drawn.value * (ratio - 1)) <= 1e-9 * abs(host_w)
    return Input(host_w, "estimate", cited_in(*tables), spread, *(worked_out if shared else ()))


def of_rated_power(data: Mapping[str, Any], usual: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    """Average power as a share of the rated power: formula and inputs."""
    return "tdp_w * load_fraction", {"tdp_w": data["power"]["tdp_w"], "load_fraction": usual["load_fraction"]}


def cited_in(*tables: Mapping[str, Any]) -> tuple[str, ...]:
    """The citation keys of several tables of presets, each once."""
    return tuple(unique(key for table in tables for key in library.citations(table)))


def site_inputs(pue: Any | None, region: str | None, grid_intensity: Any | None, defaults: Defaults) -> SiteInputs:
    """PUE, grid and water of the site: as given, else of the region, else the usual ones."""
    if pue is not None and least(pue) < 1:
        raise InputError(f"`{least(pue):g}` is not a PUE", hint="a facility cannot use less than its computers: 1.0 is the least")
    if region is not None and grid_intensity is not None:
        raise InputError(f"{field('region')} and {field('grid_intensity')} contradict each other", hint="give one of them")
    zone = find_zone(library.rows("grid"), region or defaults["grid"]["zone"])
    known = zone if region else {}
    grid = Input(grid_intensity) if grid_intensity is not None else grid_input(zone, region is not None, defaults)
    return SiteInputs(
        Input(pue) if pue is not None else pue_input(known, defaults),
        grid,
        water_input(known, "site_water_l_per_kwh", defaults),
        water_input(zone, "plant_water_l_per_kwh", defaults),
        None if grid_intensity is not None else zone,
    )


def least(value: Any) -> Any:
    """A number itself, or the least of an array."""
    return value if is_number(value) else value.min()


def pue_input(zone: Zone, defaults: Defaults) -> Input:
    """PUE of a cloud region that publishes one, else of its provider's fleet, else the usual one."""
    usual = defaults["pue"]
    if zone.get("pue"):
        return Input(float(zone["pue"]), "published", library.citations(usual["regions"]))
    fleet = site_pue(usual, zone.get("provider"))
    excess = (fleet - 1) / (usual["pue"] - 1)  # a fleet's excess over 1 is spread in proportion as that of all regions
    p10, p90 = (1 + excess * (usual[key] - 1) for key in ("p10", "p90"))
    return Input(fleet, "assumed", library.citations(usual), within("pue", fleet, p10, p90))


def grid_input(zone: Zone, is_named: bool, defaults: Defaults) -> Input:
    """Intensity of a named zone, spread as one year's is about another's; else of the usual zone, spread as cloud regions are."""
    usual, value = defaults["grid"], float(zone["kgco2e_per_kwh"])
    if is_named:
        return Input(value, "published", (zone["source"],), Spread("grid", usual["year_p10"], usual["year_p90"]))
    return Input(value, "assumed", (zone["source"],), within("grid", value, usual["p10"], usual["p90"]))


def water_input(zone: Zone, column: str, defaults: Defaults) -> Input | None:
    """Litres for a kWh in a zone where they are known, else those of the usual site."""
    usual = defaults["water"][column]
    if zone.get(column):
        return Input(float(zone[column]), "published", library.citations(usual))
    return Input(usual["p50"], "assumed", library.citations(usual), within("water", usual["p50"], usual["p10"], usual["p90"]))


def embodied_input(device: library.Preset) -> Input | None:
    """kg of CO2e of making one device; None where no figure is known."""
    made = device.data.get("embodied", {})
    return Input(made["kgco2e"], "published", library.citations(made)) if "kgco2e" in made else None


def lifetime_input(years: float | None, defaults: Defaults) -> Input:
    """Years over which the making of a device is counted."""
    usual = defaults["embodied"]
    return Input(years) if years is not None else Input(usual["device_lifetime_years"], "assumed", library.citations(usual))


def zones_of(kind: str) -> Sequence[Zone]:
    """The zones of a kind (country, us-state, cloud-region, ...) in the grid table."""
    return [zone for zone in library.rows("grid") if zone["kind"] == kind]
