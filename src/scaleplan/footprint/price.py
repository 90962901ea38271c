"""Device-hours -> dollars, and the price of a device-hour where none is given: the median of what providers ask."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from scaleplan.errors import InputError, UnknownName
from scaleplan.numeric import quantile
from scaleplan.wording import field

Offer = Mapping[str, str]
"""A row of presets/prices.csv."""
Term = Literal["on_demand", "spot", "committed_1y", "committed_3y"]
TERMS: tuple[Term, ...] = get_args(Term)
WINDOW_MONTHS = 24
"""A vote is a price of the last two years, counted back from the newest price in the table."""
OLD_MONTHS = 12
"""A price older than a year is old: prices move by 40 % within one."""


class Quote(NamedTuple):
    """What providers ask for an hour of one device on one term.

    votes          dollars by provider, each the median of its offers of its newest month
    newest, oldest dates of the offers behind the votes, as the table has them (a day, a month or a year)
    is_old         newest over a year older than the newest price in the table
    sources        citation keys of those offers
    """

    device: str
    term: Term
    votes: Mapping[str, float]
    newest: str
    oldest: str
    is_old: bool
    sources: tuple[str, ...]

    @property
    def usd_per_device_hour(self) -> float:
        """The median of the votes."""
        return quantile(list(self.votes.values()), 0.5)

    def at(self, level: float) -> float:
        """A quantile of the votes, interpolated between neighbours."""
        return quantile(list(self.votes.values()), level)


def run_usd(device_hours: Any, usd_per_device_hour: Any) -> Any:
    """Dollars of a run: device_hours * usd_per_device_hour. Rent only: no storage, traffic, people or failed runs."""
    return device_hours * usd_per_device_hour


def usd_per_million_tokens(usd_per_device_hour: Any, tokens_per_s_per_device: Any) -> Any:
    """Dollars of a million tokens: usd_per_device_hour / 3600 / tokens_per_s_per_device * 1e6.

    >>> usd_per_million_tokens(3.6, 1000.0)
    1.0
    """
    return usd_per_device_hour / 3600 / tokens_per_s_per_device * 1e6


def term_named(name: str) -> Term:
    """A price term by its name; InputError lists the terms."""
    for term in TERMS:
        if name == term:
            return term
    raise InputError(f"no price term `{name}`", hint=f"the terms are {', '.join(TERMS)}")


def quote(
    offers: Sequence[Offer], device: str, *, term: Term = "on_demand", provider: str | None = None, region: str | None = None
) -> Quote | None:
    """The price of a device-hour on a term; None where no provider asks one.

    Votes are of the last 24 months; a device with none gets those of its newest year, and `is_old` says so. A provider's
    vote holds its offers of `region` alone where it has any there. Raises UnknownName for a provider without a price.
    """
    now = max(map(month, offers), default=0)
    every = [offer for offer in offers if offer["device"] == device and offer["term"] == term]
    recent = [offer for offer in every if now - month(offer) <= WINDOW_MONTHS]
    by_provider = grouped(recent or of_newest_year(every))
    if not by_provider:
        return None
    if provider is not None:
        by_provider = {provider: offers_of(provider, by_provider, device, term)}
    newest = {name: of_newest_month(in_region(own, region)) for name, own in by_provider.items()}
    counted = sorted((offer for own in newest.values() for offer in own), key=month)
    votes = {name: quantile([float(offer["usd_per_device_hour"]) for offer in own], 0.5) for name, own in sorted(newest.items())}
    sources = tuple(dict.fromkeys(offer["source"] for offer in counted))
    return Quote(device, term, votes, counted[-1]["date"], counted[0]["date"], now - month(counted[-1]) > OLD_MONTHS, sources)


def offers_of(provider: str, by_provider: Mapping[str, list[Offer]], device: str, term: Term) -> list[Offer]:
    """A provider's offers in any case of letters; UnknownName names the providers that have some."""
    for name, own in by_provider.items():
        if name == provider.strip().lower():
            return own
    where = f"{field('provider')} may be {', '.join(sorted(by_provider))}"
    raise UnknownName(f"{term} price of `{device}` by a provider", provider, sorted(by_provider), where=where)


def grouped(offers: Iterable[Offer]) -> dict[str, list[Offer]]:
    """Offers by provider."""
    found: dict[str, list[Offer]] = {}
    for offer in offers:
        found.setdefault(offer["provider"], []).append(offer)
    return found


def in_region(offers: list[Offer], region: str | None) -> list[Offer]:
    """The offers of a region, or all of them where none is of that region."""
    return [offer for offer in offers if region and offer["region"] == region] or offers


def of_newest_month(offers: list[Offer]) -> list[Offer]:
    """The offers of the newest month among them."""
    newest = max(map(month, offers))
    return [offer for offer in offers if month(offer) == newest]


def of_newest_year(offers: list[Offer]) -> list[Offer]:
    """The offers of the newest calendar year among them; none of none."""
    newest = max((offer["date"][:4] for offer in offers), default="")
    return [offer for offer in offers if offer["date"].startswith(newest)]


def month(offer: Offer) -> int:
    """Months since year 0 of an offer's date; a year alone counts as its July."""
    date = offer["date"]
    return int(date[:4]) * 12 + int(date[5:7] or 7) - 1
