"""A device, its shares, a stack and small layers, all with different awkward numbers, for tests that work a step out by hand."""

from __future__ import annotations

from scaleplan.machine.device import Device
from scaleplan.machine.efficiency import Efficiency, HardwareShares, Spread, Spreads, StackShares
from scaleplan.machine.roofline import Kernels
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.model.shape import arch_of_shape

DEVICE = Device("plain", "Hopper", {"bf16": 1.1e15}, 3.1e12, 4.3e11, 4.7e10, n_linked=8, launch_share=1.3)
SHARES = HardwareShares(
    product=0.71, operands=0.61, memory=0.83, scores=0.53, score_bytes=11.3, flash1=0.19, flash2=0.29, flash3=0.59, link=0.73, network=0.89,
    latency_inside_s=7e-6, latency_outside_s=41e-6, fabric_decay=0.037, ring_imbalance=0.31, tile_hidden=0.37, grouped=0.67,
)  # fmt: skip
STACK = StackShares(
    fusion=0.79, launch_s=5.3e-6, accumulation_bytes=13.1, logit_bytes=17.3, fixed_s=0.023, dp_hidden=0.43, sharded_hidden=0.47,
    gather_hidden=0.57, tp_hidden=0.33, hop_s=1.9e-5, hop_hidden=0.27, gradient_bytes=3.7, n_gathers=3.3, expert_launches=311,
)  # fmt: skip
SPREADS = Spreads(Spread(0.13, 0.03, 0.23, 0.02, 0.05), Spread(0.04, 0.11, 0.17, 0.07, 0.19))

PEAK, WIDE_PEAK = 7.3e14, 5.9e14  # of products, and of 16-bit ones
MEMORY = 3.1e12 * 0.83  # bytes a second that programs get
LINK, OWN = 4.3e11 * 0.73, 4.7e10 * 0.89  # inside a node, and one device's share of the network
LAUNCH = 5.3e-6 * 1.3


def kernels(*, width: float = 2.0, attention: str = "flash", device: Device = DEVICE, **of_stack: object) -> Kernels:
    """Kernels of the device, with changes of its stack."""
    return Kernels(device, Efficiency(SHARES, STACK._replace(**of_stack), SPREADS), PEAK, WIDE_PEAK, width, attention)


def product(m: float, k: float, n: float, *, peak: float = PEAK, width: float = 2.0, count: float = 1, grouped: bool = False) -> float:
    """Seconds of `count` products m x k by k x n: arithmetic, and what it does not hide of operands read and results (2 bytes) written."""
    flops_per_s = peak * 0.71 * (0.67 if grouped else 1)
    moved = m * k * width + k * n * width + m * n * 2
    return count * (2 * m * k * n / flops_per_s + 0.61 * moved / MEMORY)


def ring(size_bytes: float, g: int, nodes: int = 1) -> float:
    """Seconds of an all-gather over g ranks: every byte but a rank's own passes a link; between nodes, the network of all members.

    Half of the latency of an all-reduce: 7 us inside a node, 41 us times nodes**0.75 between them.
    """
    if g == 1:
        return 0.0
    rate = min(LINK, OWN * g / nodes * nodes**-0.037) if nodes > 1 else LINK
    latency = 41e-6 * nodes**0.75 if nodes > 1 else 7e-6
    return size_bytes * (g - 1) / g / rate + latency / 2


DENSE = {
    "n_layers": 5, "d_model": 390, "n_heads": 6, "n_kv_heads": 3, "d_head": 70, "d_ff": 1001, "n_vocab": 32003, "gated": True,
    "norm": "rms", "tied": False,
}  # fmt: skip
EXPERTS = {
    "n_layers": 5, "d_model": 390, "n_heads": 6, "n_kv_heads": 3, "d_head": 70, "n_vocab": 32003, "gated": True, "norm": "rms",
    "n_experts": 12, "n_experts_per_token": 5, "d_ff_expert": 210, "n_shared_experts": 2,
}  # fmt: skip


def bill(words: dict[str, object], **more: object) -> Bill:
    return bill_of(arch_of_shape({**words, **more}))
