"""A target size -> shapes that can be built: widths that hardware likes, exact counts, the nearest first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from scaleplan.errors import InputError
from scaleplan.model.arch import Arch
from scaleplan.model.bill import bill_of
from scaleplan.model.params import ParamCount, count_params
from scaleplan.model.shape import arch_of_shape
from scaleplan.model.words import LARGEST, MOST_LAYERS
from scaleplan.wording import field

D_HEAD = 128  # what attention kernels are made for
WIDTH_STEP = 128  # widths in whole tiles of a matrix unit
ASPECT = 100  # d_model / n_layers of models in use: 85 (Pythia 1.4B), 102 (Llama 70B), 128 (Llama 7B, GPT-3)
WIDEST, NARROWEST = 4.0, 0.25  # times the usual aspect: beyond, loss and kernels suffer (kaplan2020 section 3.1)
ERROR_THAT_EQUALS_A_DOUBLED_ASPECT = 0.05


class Style(NamedTuple):
    """What shapes of a kind have in common.

    words      the same for all
    d_ff       feed-forward width in units of d_model
    expert     width of an expert in units of d_model, where there are experts
    kv_heads   most key and value heads; None: as many as query heads
    """

    words: Mapping[str, Any]
    d_ff: float
    expert: float | None = None
    kv_heads: int | None = None


STYLES: dict[str, Style] = {
    "llama": Style({"norm": "rms", "gated": True, "tied": False, "n_vocab": 128_256}, 3.5, kv_heads=8),
    "gpt": Style({"norm": "layer", "tied": True, "n_vocab": 50_304, "n_positions": 2048}, 4),
    "moe": Style({"norm": "rms", "gated": True, "tied": False, "n_vocab": 128_256, "n_experts": 8, "n_experts_per_token": 2}, 3.5, 3.5, 8),
}


class Candidate(NamedTuple):
    """A shape near the target, in words, with its counts."""

    words: dict[str, Any]
    arch: Arch
    params: ParamCount
    relative_error: float
    aspect: float

    @property
    def rank(self) -> float:
        """Distance from the target and from the usual aspect, in one number: a doubled aspect weighs as much as 5 % of size."""
        return abs(self.relative_error) / ERROR_THAT_EQUALS_A_DOUBLED_ASPECT + abs(math.log2(self.aspect / ASPECT))


def shapes_near(
    target: float, style: str = "llama", *, fixed: Mapping[str, Any] | None = None, tp: int = 1, pp: int = 1, most: int = 8
) -> list[Candidate]:
    """The best shapes of a style near a number of parameters, best first.

    Heads and widths are divisible by `tp`, layers by `pp`; `fixed` words are kept as they are. Raises InputError where no shape fits.
    """
    found = [c for words in widths(style, fixed or {}, tp) for c in depths(words, target, pp)]
    usable = [c for c in found if NARROWEST <= c.aspect / ASPECT <= WIDEST or (fixed or {}).keys() & {"n_layers", "d_model"}]
    if not usable:
        raise InputError(
            f"no shape of the kind `{style}` has about {target:.3g} parameters",
            hint=f"a larger target or budget, {field('like')} gpt for its smaller vocabulary, or fewer fixed sizes and parallel degrees",
        )
    return sorted(usable, key=lambda c: c.rank)[:most]


def widths(style: str, fixed: Mapping[str, Any], tp: int) -> Iterator[dict[str, Any]]:
    """Words for every width from one head to 512; all but the depth."""
    kind = STYLES[style]
    for n_heads in range(tp, 513, tp):
        words: dict[str, Any] = {**kind.words, "d_model": n_heads * D_HEAD, "n_heads": n_heads, **fixed}
        if "d_model" in fixed and "n_heads" not in fixed:
            if n_heads > tp:
                return
            words["n_heads"] = max(tp, fixed["d_model"] // D_HEAD)
        d_model = words["d_model"]
        step = math.lcm(WIDTH_STEP, tp)
        words.setdefault("d_ff", rounded(kind.d_ff * d_model, step))
        if kind.expert is not None:
            words.setdefault("d_ff_expert", rounded(kind.expert * d_model, step))
        if kind.kv_heads is not None:
            words.setdefault("n_kv_heads", kv_heads(words["n_heads"], max(kind.kv_heads, tp)))
        yield words


def rounded(width: float, step: int) -> int:
    """The nearest whole number of steps, one at least."""
    return max(1, round(width / step)) * step


def kv_heads(n_heads: int, most: int) -> int:
    """The largest number of groups that divides the heads; all heads where that would leave fewer than four."""
    groups = max(n for n in range(1, min(n_heads, most) + 1) if n_heads % n == 0)
    return groups if groups >= 4 else n_heads


def depths(words: dict[str, Any], target: float, pp: int) -> Iterator[Candidate]:
    """The two depths whose size is next to the target: parameters are a straight line in the depth."""
    if "n_layers" in words:
        yield candidate(words, target)
        return
    one, two = (count_params(bill_of(arch_of_shape({**words, "n_layers": n}))).n_params for n in (1, 2))
    if one == two:
        raise InputError("a size does not say how many layers share their weights", hint=f"add {field('n_layers')}")
    exact = (target - (2 * one - two)) / (two - one)
    for n_layers in {math.floor(exact / pp) * pp, math.ceil(exact / pp) * pp}:
        if pp <= n_layers <= min(MOST_LAYERS, LARGEST):
            yield candidate({"n_layers": n_layers, **words}, target)


def candidate(words: dict[str, Any], target: float) -> Candidate:
    """A shape with its exact count."""
    arch = arch_of_shape(words)
    count = count_params(bill_of(arch))
    return Candidate(words, arch, count, count.n_params / target - 1, words["d_model"] / words["n_layers"])
