"""What a device makes of sparse weights: the patterns whose products it skips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scaleplan import library
from scaleplan.errors import NotSupported
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.model.sparsity import Sparsity


def sparse_factor(name: str, device: Mapping[str, Any], sparsity: Sparsity) -> float:
    """Peak of products with weights in a pattern over the dense one: 1 for zeros that may be anywhere, which no device here skips.

    Raises NotSupported, naming devices that have it, for a pattern that the device has no products in.
    """
    if sparsity.pattern is None:
        return 1.0
    block = device.get("sparse", {})
    if block.get("pattern") == sparsity.pattern:
        return float(block["factor"])
    has = f"its pattern is {block['pattern']}" if block else "it computes every product"
    raise NotSupported(
        f"{field('sparsity')}: `{name}` has no products of weights in the pattern {sparsity.pattern}: {has}",
        hint=f"{having(sparsity.pattern)}; a share, {field('sparsity')} {sparsity.share:g}, is stored and computed anywhere",
    )


def having(pattern: str) -> str:
    """The devices with a pattern, in few words."""
    names = [preset.name for preset in library.all_of("hardware") if preset.data.get("sparse", {}).get("pattern") == pattern]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"devices that have it: {', '.join(names[:4])}{more}" if names else "no built-in device has it"
