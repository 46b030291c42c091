"""SPAN: sixteen scenarios for each underlying, and what its margins on several underlyings offset (CME)."""

from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.errors import ConfigError
from sim.margin.base import RequirementComponent, underlying_of
from sim.margin.breakdown import beyond
from sim.margin.scenarios import (
    SCAN,
    Revalued,
    Scanning,
    Shocks,
    by_underlying,
    held,
    lot_pnl,
    standing_alone,
    summed,
    worst,
)
from sim.pricing import sensitivities
from sim.types import F8, I8, OPTION, Contracts, Exposure, Margins, MarketView

THIRDS = (0, 1, -1, 2, -2, 3, -3)
"""Price moves of the first fourteen scenarios in thirds of the scan range, each with volatility up, then down."""

SCENARIOS = 2 * len(THIRDS) + 2

LABELS = (
    *(f"{third:+d}/3 of the range, volatility {way}" for third in THIRDS for way in ("up", "down")),
    *("extreme rise", "extreme fall"),
)


class Commodity(Component):
    """Parameters of one underlying."""

    scan: float = Field(default=0.1, gt=0, lt=1, description="price scan range (share of the price)")
    vol_scan: float = Field(default=0.1, ge=0, description="volatility scan range, added (annualised volatility)")
    calendar: float = Field(
        default=0.0, ge=0, description="charge on deltas that offset those of other expiries (share of the price)"
    )
    short_option: float = Field(default=0.0, ge=0, description="least charge per option short (share of the price)")


class Credit(Component):
    """What opposite positions on two underlyings are spared."""

    underlyings: tuple[str, str] = Field(description="the two underlyings (names)")
    deltas: tuple[float, float] = Field(default=(1.0, 1.0), description="units of each in one spread (units)")
    rate: float = Field(ge=0, le=1, description="share of the spread's price risk that is credited (ratio)")


class Span(RequirementComponent):
    """The worst of sixteen scenarios per underlying, spreads charged and credited, no less than on short options.

    Price moves of 0, ±1/3, ±2/3 and ±1 scan range with volatility up, then down, and ±``extreme`` ranges of whose
    loss ``covered`` counts. Maintenance = Σ_u max(scan_u + calendar_u - credit_u, short option minimum_u), initial a
    multiple of it. A credit's spreads are deltas of opposite sign at the spread's ratio, used up in the order of the
    list; price risk is the scan range on the spread's deltas, scaled down where scan risk is less than the range on
    all deltas. (CME takes volatility and time risk out of scan risk for that; here the cap stands for it.) What options
    are worth counts in equity and is not credited again. Sources: CME, "CME SPAN: standard portfolio analysis of
    risk" (2019); McMillan, "Options as a Strategic Investment", ch. 34, pp. 668-671.
    """

    kind: Literal["span"] = Field(default="span", description="sixteen scenarios (name)")
    commodity: Commodity = Field(default=Commodity(), description="of underlyings not named below (component)")
    commodities: dict[str, Commodity] = Field(default={}, description="parameters by underlying (name: parameters)")
    credits: tuple[Credit, ...] = Field(default=(), description="inter-commodity credits, in turn (components)")
    extreme: float = Field(default=2.0, ge=1, le=1000, description="extreme move (scan ranges)")
    covered: float = Field(default=0.35, ge=0, le=1, description="share of the extreme loss that counts (ratio)")
    initial: float = Field(default=1.1, ge=1, description="initial over maintenance (ratio)")
    arrays: dict[str, tuple[float, ...]] = Field(
        default={}, description="published risk arrays: gain per lot in each scenario (units of the numeraire)"
    )
    rounded: float = Field(
        default=0.0, ge=0, description="risk arrays are multiples of this; 0 = not rounded (units of the numeraire)"
    )
    revalue: float = Field(default=0.0, ge=0, description="time between revaluations; 0 = at every assessment (s)")

    @model_validator(mode="after")
    def _arrays_are_whole(self) -> Self:
        for name, array in self.arrays.items():
            if len(array) != SCENARIOS:
                short = "add some" if len(array) < SCENARIOS else "remove some"
                raise ValueError(f"arrays.{name}: {len(array)} numbers, must be {SCENARIOS}, one per scenario: {short}")
        return self

    def names(self) -> frozenset[str]:
        """Instruments with published arrays."""
        return frozenset(self.arrays)

    def bind(self, contracts: Contracts, unit: int) -> "SpanMargin":
        """See :class:`RequirementComponent`.

        Raises:
            ConfigError: an underlying that the market does not have.
        """
        return SpanMargin(self, contracts, unit)


class Priced(NamedTuple):
    """What revaluation makes of a market, per lot, minor units of the numeraire."""

    pnl: F8  # (16, K) risk arrays
    delta: F8  # (K,) worth of the delta at the oracle, signed
    units: F8  # (K,) delta in units of the underlying, signed
    spot: F8  # (K,) worth of the underlying at the oracle


class SpanMargin(Scanning):
    """SPAN on one pool's instruments."""

    labels = LABELS

    def __init__(self, rule: Span, contracts: Contracts, unit: int) -> None:
        self.rule, self.unit, self.groups = rule, unit, by_underlying(contracts)
        places = [underlying_of(name, contracts, "requirement.commodities") for name in rule.commodities]
        named = dict(zip(places, rule.commodities.values(), strict=True))
        numbers = [int(contracts.underlying[legs[0]]) for legs in self.groups]
        self.commodities = [named.get(number, rule.commodity) for number in numbers]
        every = max([*numbers, *named], default=-1) + 1
        self.scan, self.vol_scan = (
            np.array([getattr(named.get(number, rule.commodity), name) for number in range(every)])
            for name in ("scan", "vol_scan")
        )
        self.moves = np.outer([*np.array(THIRDS) / 3, rule.extreme, -rule.extreme], self.scan).ravel()
        self.credits = [(_pair(credit, contracts, numbers), credit) for credit in rule.credits]
        self.option = contracts.kind == OPTION
        self.months = [_months(contracts, legs) for legs in self.groups]
        self.published = {k: np.array(rule.arrays[n]) for k, n in enumerate(contracts.names) if n in rule.arrays}
        self.arrays: Revalued[Priced] = Revalued(self._revalue, rule.revalue)

    def scenarios(self, book: Exposure) -> F8:
        """See :class:`Scanning`."""
        return held(book.position, self.arrays.at(book.market).pnl, np.arange(book.position.shape[1]))

    def margins(self, book: Exposure) -> Margins:
        """See :class:`Span`, (A,)."""
        priced = self.arrays.at(book.market)
        scans = self._scans(book, priced)
        credit = self._credits(book, priced, scans)
        maintenance = np.zeros(len(book.position))
        for number, (legs, each) in enumerate(zip(self.groups, self.commodities, strict=True)):
            risk = scans[number] - credit[number]
            if each.calendar:
                risk = risk + each.calendar * _spreads(book, priced.delta, self.months[number])
            if each.short_option:
                its = legs[self.option[legs]]
                short = summed(np.maximum(-book.position, 0), priced.spot, its)
                risk = np.maximum(risk, each.short_option * short)
            maintenance += risk
        return Margins(self.rule.initial * maintenance, maintenance)

    def breakdown(self, book: Exposure) -> dict[str, Margins]:
        """See :class:`Itemised`; the minimum on short options is what it asks beyond the rest."""
        priced = self.arrays.at(book.market)
        scans = self._scans(book, priced)
        credit, calendar = self._credits(book, priced, scans).sum(axis=0), np.zeros(len(book.position))
        for months, each in zip(self.months, self.commodities, strict=True):
            calendar += each.calendar * _spreads(book, priced.delta, months)
        parts = {SCAN: scans.sum(axis=0), "calendar spreads": calendar, "inter-commodity credit": -credit}
        found = {name: Margins(self.rule.initial * each, each) for name, each in parts.items()}
        return {**found, "short-option minimum": beyond(self.margins(book), found)}

    def shares(self, book: Exposure) -> F8:
        """Each leg's share of what the legs would lose at worst if each stood alone, (A, K)."""
        return standing_alone(book, self.arrays.at(book.market).pnl)

    def _scans(self, book: Exposure, priced: Priced) -> F8:
        """Scan risk of each underlying, (groups, A)."""
        scans = np.zeros((len(self.groups), len(book.position)))
        for number, legs in enumerate(self.groups):
            scans[number] = np.maximum(-worst(book.position, priced.pnl, legs), 0.0)
        return scans

    def _credits(self, book: Exposure, priced: Priced, scans: F8) -> F8:
        """What the scan risk of each underlying is cut by, (groups, A)."""
        cut = np.zeros_like(scans)
        if not self.credits:
            return cut
        left = np.stack([summed(book.position, priced.units, legs) for legs in self.groups])
        ranges = np.abs(np.stack([summed(book.position, priced.delta, legs) for legs in self.groups]))
        ranges *= np.array([each.scan for each in self.commodities])[:, None]
        risk = np.minimum(scans, ranges)
        per_delta = np.divide(risk, np.abs(left), out=np.zeros_like(risk), where=left != 0)
        for pair, credit in self.credits:
            if pair is None:
                continue
            spreads = np.minimum(*(np.abs(left[i]) / size for i, size in zip(pair, credit.deltas, strict=True)))
            spreads = np.where(left[pair[0]] * left[pair[1]] < 0, spreads, 0.0)
            for i, size in zip(pair, credit.deltas, strict=True):
                cut[i] += credit.rate * spreads * size * per_delta[i]
                left[i] -= np.sign(left[i]) * spreads * size
        return np.minimum(cut, scans)

    def _revalue(self, market: MarketView) -> Priced:
        lot = market.tick_lot() / market.contracts.tick
        spot = market.oracle[market.contracts.underlying] * lot
        pnl = lot_pnl(market, self._shocks(market))
        for k, array in self.published.items():
            pnl[:, k] = array * self.unit
        if self.rule.rounded:
            pnl = np.rint(pnl / (self.rule.rounded * self.unit)) * (self.rule.rounded * self.unit)
        delta = sensitivities(market).delta
        return Priced(pnl, delta * spot, delta * market.contracts.lot, spot)

    def _shocks(self, market: MarketView) -> Shocks:
        extreme = 3 * self.rule.extreme
        thirds = np.array([*np.repeat(THIRDS, 2), extreme, -extreme]) / 3
        turn = np.array([*[1, -1] * len(THIRDS), 0, 0])
        weight = np.array([*[1.0] * (SCENARIOS - 2), self.rule.covered, self.rule.covered])
        scan = np.zeros(market.oracle.size)
        scan[: self.scan.size] = self.scan
        oracle = market.oracle * np.maximum(1 + thirds[:, None] * scan, 0.0)
        vol = market.vol + turn[:, None] * self.vol_scan[market.contracts.underlying]
        return Shocks(oracle, np.maximum(vol, 0.0), weight)


def _pair(credit: Credit, contracts: Contracts, numbers: list[int]) -> tuple[int, int] | None:
    """Places of a credit's underlyings among those of the pool; None if the pool does not hold both."""
    first, second = (underlying_of(name, contracts, "requirement.credits.underlyings") for name in credit.underlyings)
    if first == second:
        told = f"requirement.credits.underlyings: {credit.underlyings[0]!r} twice"
        raise ConfigError([f"{told}, a spread needs two underlyings, name another"])
    return (numbers.index(first), numbers.index(second)) if {first, second} <= set(numbers) else None


def _months(contracts: Contracts, legs: I8) -> list[I8]:
    """An underlying's columns by expiry."""
    if not contracts.expiry.size:
        return [legs]
    return [legs[contracts.expiry[legs] == expiry] for expiry in np.unique(contracts.expiry[legs])]


def _spreads(book: Exposure, delta: F8, months: list[I8]) -> F8:
    """Worth of the deltas that offset those of other expiries, (A,)."""
    by_month = np.stack([summed(book.position, delta, legs) for legs in months], axis=1)
    return np.minimum(np.maximum(by_month, 0).sum(axis=1), np.maximum(-by_month, 0).sum(axis=1))
