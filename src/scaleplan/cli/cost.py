"""`scaleplan cost`: device-days, days, dollars, kWh and CO2e of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from scaleplan import library, units
from scaleplan.answer import Answer, Caution, Line, intervals, quantities
from scaleplan.chain import cost as steps
from scaleplan.chain.assumptions import power_of, price_of, rate_of, site_of, whole_run_remark
from scaleplan.cli.models import with_model
from scaleplan.cli.options import (
    BatchSizeSeqs,
    BatchSizeTokens,
    BytesPerToken,
    Compute,
    FlopsKind,
    Hardware,
    Mfu,
    NActiveParams,
    NDevices,
    NParams,
    NSteps,
    Recompute,
    SeqLen,
    Text,
    Tokens,
    UsdPerDeviceHour,
    command,
    quantity,
)
from scaleplan.cli.tokens import training_tokens
from scaleplan.errors import UsageError
from scaleplan.machine.run_time import likely_hardware_rate
from scaleplan.model_files import Model
from scaleplan.units import show_count

FlopsPerS = Annotated[
    float | None, quantity("--flops-per-s-per-device", units.flops_per_s, "Rate of one device: 147T; needs --flops-kind.", metavar="RATE")
]
Goodput = Annotated[float | None, quantity("--goodput", units.fraction, "Share of the time in which the run advances.", metavar="SHARE")]
DeviceHours = Annotated[float | None, quantity("--device-hours", units.device_hours, "Device-hours, instead of a model.", metavar="H")]
Energy = Annotated[float | None, quantity("--energy", units.watt_hours, "Metered energy of the computers: 433MWh.", metavar="ENERGY")]
DevicePower = Annotated[
    str | None, typer.Option("--device-power", metavar="tdp|POWER", help="Average power of one device: 400W, or its rated power.")
]
Pue = Annotated[float | None, quantity("--pue", units.amount, "Facility energy over computer energy: 1.1.", metavar="PUE")]
Region = Annotated[str | None, typer.Option("--region", metavar="ZONE", help="Grid zone or cloud region: us-east4, FRA, US-VA.")]
Intensity = Annotated[float | None, quantity("--grid-intensity", units.grid_intensity, "385g/kWh or 0.385kg/kWh.", metavar="X")]
Published = Annotated[
    float | None,
    quantity("--published-kgco2e", units.kgco2e, "A published footprint: 75t; gives the grid intensity it implies.", metavar="MASS"),
]


@command
@with_model
def cost(
    model: Model | None = None,
    n_params: NParams = None,
    n_active_params: NActiveParams = None,
    compute: Compute = None,
    tokens: Tokens = None,
    n_steps: NSteps = None,
    batch_size_tokens: BatchSizeTokens = None,
    batch_size_seqs: BatchSizeSeqs = None,
    seq_len: SeqLen = None,
    text: Text = None,
    bytes_per_token: BytesPerToken = None,
    hardware: Hardware = None,
    n_devices: NDevices = None,
    mfu: Mfu = None,
    flops_per_s_per_device: FlopsPerS = None,
    flops_kind: FlopsKind = None,
    recompute: Recompute = None,
    goodput: Goodput = None,
    usd_per_device_hour: UsdPerDeviceHour = None,
    device_hours: DeviceHours = None,
    energy: Energy = None,
    device_power: DevicePower = None,
    pue: Pue = None,
    region: Region = None,
    grid_intensity: Intensity = None,
    published_kgco2e: Published = None,
) -> Answer:
    """How many device-days, days, dollars, kWh and kg of CO2e does training take?

    \b
    Examples:
      scaleplan cost opt-175b --tokens 300B --hardware a100-sxm-80gb --n-devices 1024
      scaleplan cost --n-params 1e9 --tokens 200B --hardware h100-sxm --mfu 0.4
      scaleplan cost --device-hours 809472 --hardware a100-sxm-80gb --region us-east4
      scaleplan cost --energy 433MWh --pue 1.2 --grid-intensity 57g/kWh
    """
    asked = {key: getattr(value, "label", value) for key, value in locals().items() if value is not None}
    defaults = library.defaults()
    idle = [f"--{name.replace('_', '-')}" for name in ("batch_size_tokens", "batch_size_seqs", "seq_len") if name in asked]
    if idle and n_steps is None:
        raise UsageError(f"{' and '.join(idle)} say how many tokens only with --n-steps", hint="leave it out, or give --n-steps")
    n_tokens = training_tokens(tokens, n_steps, batch_size_tokens, batch_size_seqs, seq_len, text, bytes_per_token)
    work = work_line(model, n_params, n_active_params, compute, n_tokens, device_hours, energy)
    site, remarks = site_of(pue, region, grid_intensity, defaults)
    warnings: list[Caution] = []
    if energy is not None:
        refuse_beside("--energy", asked, ("hardware", "n_devices", *RATE, "usd_per_device_hour", "device_power", "published_kgco2e"))
        lines = steps.metered_lines(energy, site)
    else:
        device = device_of(hardware)
        if work:
            rate = rate_of(device, mfu, flops_per_s_per_device, flops_kind, recompute, goodput, defaults)
            warnings = hfu_warning(rate, defaults) if rate.flops_kind == "model" and not rate.mfu else []
            hours = steps.device_hours_line(work.value, rate)
            remarks = whole_run_remark(rate) + remarks
        else:
            refuse_beside("--device-hours", asked, RATE)
            hours = Line("device_hours", "device-hours", device_hours, "h", standing="given")
        bill, assumed = bill_of_hours(hours, device, usd_per_device_hour, device_power, site, defaults)
        lines = [*([work] if work else []), hours, *steps.time_lines(hours, n_devices), *bill]
        remarks = assumed + remarks
    lines += [steps.carbon_line(line, site) for line in lines if line.key == "energy_wh"]
    lines += implied(published_kgco2e, lines, site)
    return answer_of(asked, lines, warnings, remarks)


RATE = ("mfu", "flops_per_s_per_device", "flops_kind", "recompute", "goodput")


def bill_of_hours(
    hours: Line,
    device: library.Preset,
    usd_per_device_hour: float | None,
    device_power: str | None,
    site: steps.Site,
    defaults: Mapping[str, Any],
) -> tuple[list[Line], list[str]]:
    """Dollars and energy of the device-hours, as far as price and power are known, and what was assumed of them."""
    price, price_remarks = price_of(device, usd_per_device_hour, defaults)
    power, power_sources, power_remarks = power_of(device, device_power, defaults)
    lines = [steps.money_line(hours, price)] if price else []
    lines += steps.energy_lines(hours, power, power_sources, site) if power else []
    return lines, price_remarks + power_remarks


def answer_of(asked: dict[str, Any], lines: list[Line], warnings: list[Caution], remarks: list[str]) -> Answer:
    """The lines as the result, and as one table."""
    known = {line.key: line.value for line in lines}
    keys = ("training_flops", "device_hours", "device_days", "wall_s", "usd", "energy_devices_wh", "energy_it_wh", "energy_wh", "kgco2e")
    result = {key: known.pop(key, None) for key in keys} | known | {"intervals": intervals(lines)}
    return Answer("cost", asked, result, [quantities("", lines, remarks)], lines, warnings=warnings)


def work_line(
    model: Model | None,
    n_params: int | None,
    n_active: int | None,
    compute: float | None,
    n_tokens: float | None,
    hours: float | None,
    energy: float | None,
) -> Line | None:
    """The training compute from whichever way it was given; None where device-hours or an energy stand for it."""
    subject = {"MODEL or a shape": model, "--n-params": n_params, "--compute": compute, "--device-hours": hours, "--energy": energy}
    given = [name for name, value in subject.items() if value is not None]
    if len(given) != 1:
        ways = "MODEL, a shape or --n-params with --tokens, --compute, --device-hours, or --energy"
        raise UsageError(f"{' and '.join(given)} contradict each other" if given else "nothing to price", hint=f"give one of: {ways}")
    if n_active is not None and n_params is None:
        raise UsageError("--n-active-params goes with --n-params")
    if n_active is not None and n_params is not None and n_active > n_params:
        raise UsageError(
            f"--n-active-params {show_count(n_active)} is more than --n-params {show_count(n_params)}",
            hint="the active ones are those of all that one token uses",
        )
    if compute is None and (hours is not None or energy is not None):
        return None
    if compute is not None:
        if n_tokens is not None:
            raise UsageError(
                "--compute and a number of tokens contradict each other", hint="give --n-params with --tokens, or --compute alone"
            )
        return Line("training_flops", "training compute", compute, "FLOP", standing="given")
    if n_tokens is None:
        raise UsageError("on how many tokens?", hint="add --tokens, --n-steps with a batch size, or --text with --bytes-per-token")
    if model is None:
        return steps.compute_line(n_active or n_params or 0, n_tokens, ())
    from scaleplan.model.bill import bill_of
    from scaleplan.model.params import count_params

    return steps.compute_line(count_params(bill_of(model.arch)).n_active_params, n_tokens, model.sources)


def device_of(hardware: str | None) -> library.Preset:
    """The device that was named."""
    if hardware is None:
        raise UsageError("on which hardware?", hint="add --hardware; list devices with `scaleplan presets hardware`")
    return library.load("hardware", hardware)


def refuse_beside(flag: str, asked: Mapping[str, Any], others: Sequence[str]) -> None:
    """What `flag` says already leaves nothing for these flags to say."""
    given = [f"--{name.replace('_', '-')}" for name in others if name in asked]
    if given:
        raise UsageError(f"{flag} and {' and '.join(given)} contradict each other", hint=f"leave out {', '.join(given)}")


def hfu_warning(rate: steps.Rate, defaults: Mapping[str, Any]) -> list[Caution]:
    """A model rate that only a hardware rate is likely to reach."""
    mfu = rate.flops_per_s / rate.peak_flops_per_s
    if not likely_hardware_rate(mfu, rate.recompute, defaults["whole_run_mfu"]["p90"]):
        return []
    model_mfu = mfu * 6 / 8
    message = (
        f"an MFU of {100 * mfu:.0f} % is likelier an HFU, a rate that counts recomputed FLOP; "
        f"the MFU would then be {100 * model_mfu:.1f} %. If so, say --flops-kind hardware --recompute full"
    )
    return [Caution("hfu-not-mfu", message, {"mfu": mfu, "mfu_if_hardware_rate": model_mfu})]


def implied(published: float | None, lines: list[Line], site: steps.Site) -> list[Line]:
    """The grid intensity that a published footprint stands for."""
    if published is None:
        return []
    devices = next((line for line in lines if line.key == "energy_devices_wh"), None)
    if devices is None:
        raise UsageError(
            "--published-kgco2e needs device-hours and a device's power", hint="add --device-hours, --hardware and --device-power"
        )
    return [steps.implied_line(published, devices, site)]
