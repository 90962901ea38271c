"""Price and power of a device as serving, post-training and layouts over device counts take them: as given, else those of the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Caution
from scaleplan.chain.cost_given import old_price, price_of, price_sentence
from scaleplan.chain.cost_inputs import PowerInputs, power_inputs, site_inputs
from scaleplan.chain.run_cost import Input
from scaleplan.footprint.price import Quote
from scaleplan.wording import field


class Price(NamedTuple):
    """Dollars of a device-hour; None where unknown. quote: what providers ask; None where it was given."""

    device: str
    usd: Input | None
    quote: Quote | None

    def notes(self) -> list[str]:
        """What was assumed."""
        return [price_sentence(self.quote, self.device)] if self.quote is not None or self.usd is None else []

    def cautions(self) -> list[Caution]:
        """A price that is over a year old."""
        return [old_price(self.quote)] if self.quote is not None and self.quote.is_old else []


class Money(NamedTuple):
    """Price and power of a device with its share of the host, and the PUE; None where unknown."""

    price: Price
    power: PowerInputs | None
    pue: Input

    @property
    def usd(self) -> Input | None:
        """Dollars of a device-hour."""
        return self.price.usd

    @property
    def facility_w(self) -> float | None:
        """Power of a device with its share of host, network and facility."""
        return None if self.power is None or self.power.system_w is None else self.power.system_w * self.pue.value

    def notes(self, *, serving: bool = True) -> Iterator[str]:
        """What was assumed of price and power."""
        yield from self.price.notes()
        if serving and self.power is not None and self.power.device_power_w is not None and self.power.device_power_w.standing != "given":
            yield f"Power is that of training; generation draws less on most devices. Override with {field('device_power')}."


def price_given(asked: Any) -> Price:
    """The price that a request gives, else that of its device."""
    device = library.load("hardware", asked.hardware)
    return Price(device.name, *price_of(fields_of(asked), device))


def money_given(asked: Any) -> Money:
    """Price, power and PUE that a request gives, else those of its device."""
    device, defaults = library.load("hardware", asked.hardware), library.defaults()
    power = power_inputs(device, asked.device_power, asked.system_power, defaults)
    pue = site_inputs(asked.pue, None, None, defaults).pue
    return Money(price_given(asked), power if power.system_w is not None else None, pue)


def fields_of(asked: Any) -> Mapping[str, Any]:
    """The fields of a request by name."""
    return asked._asdict()  # type: ignore[no-any-return]  # requests are NamedTuples of many types
