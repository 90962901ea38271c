"""Seconds of a step in which the host's memory keeps optimizer states, or weights too: over the device's link to its host."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

from scaleplan.errors import InputError
from scaleplan.machine.communication import Seconds
from scaleplan.machine.device import Device, HostLink
from scaleplan.machine.roofline import WIDTH
from scaleplan.numeric import maximum

Offload: TypeAlias = Literal["none", "optimizer", "all"]
OFFLOADS: tuple[Offload, ...] = get_args(Offload)
"""What the host keeps: nothing; optimizer states and master copies; also the weights that ZeRO 3 divides. By what it costs."""
PASSES = 3  # over the link for each micro-batch: weights in for two passes, gradients out


def host_link_of(device: Device) -> HostLink:
    """The link to the host; refused where it is not known."""
    if device.host_link is None:
        hint = "a hardware file says it: [host_link] bytes_per_s_per_device and memory_bytes_per_s_per_device"
        raise InputError(f"`{device.name}`: the rates of the link to the host and of the host's memory are not known", hint=hint)
    return device.host_link


def exchanged_s(params: Any, gradient_bytes: float, link: HostLink, behind_s: Seconds) -> Seconds:
    """Gradients go to the host that updates, and new 16-bit weights come back.

        max(0, G w / link - behind) + 2 w / link

    params    of the states that one device's share of the host keeps
    behind_s  computation of the last micro-batch, behind which gradients leave
    Source: ren2021 section 4 (ZeRO-Offload).
    """
    leaving = maximum(0.0, gradient_bytes * params / link.bytes_per_s - behind_s)
    return leaving + WIDTH * params / link.bytes_per_s


def streamed_s(params: Any, link: HostLink, compute_s: Seconds) -> Seconds:
    """Weights that the host keeps, for one micro-batch: in for the forward and the backward pass, gradients out, behind computation.

        max(0, 3 * 2 w / link - computation)

    Source: rajbhandari2021 section 5 (ZeRO-Infinity).
    """
    return maximum(0.0, PASSES * WIDTH * params / link.bytes_per_s - compute_s)
