"""The schema of one market: what a configuration may say, and the rules that tie its parts together."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from sim.component import Component, choice
from sim.errors import not_one_of
from sim.exchange import FUNDINGS, MARKS, RECORDED
from sim.exchange.fees import Fees
from sim.exchange.mark import MedianMark
from sim.exchange.oracle import Oracle
from sim.grains import ROOM, remedy
from sim.instruments import CASH_LIMIT, KINDS, TRADED, Asset, Instrument, decimal_of, grains, inverse_fault
from sim.liquidation import LIQUIDATIONS
from sim.liquidation.full import Full
from sim.margin.calls import MarginCalls
from sim.margin.engine import EngineConfig
from sim.prices import STRESSES
from sim.prices.underlying import Underlying
from sim.rescue import Rescue
from sim.roots import correlation_fault
from sim.waterfall import LAYERS

TOTAL_LIMIT = 2**62
STEP_LIMIT = 10**8
"""More steps than any machine keeps rows of."""
LEVEL_LIMIT = 2**25
"""Prices of all books together; each takes 24 bytes."""


def _premium_unless_said(funding: Any) -> Any:
    """Funding without a kind is of the commonest one."""
    return {"kind": "premium", **funding} if isinstance(funding, Mapping) else funding


def _traded(listed: Any) -> Any:
    """Refuse an instrument that has no market yet, before its terms are asked for."""
    given = listed if isinstance(listed, Mapping) else {"name": listed.name, "kind": listed.kind}
    kind = given.get("kind")
    if kind in KINDS and kind not in TRADED:
        raise ValueError(
            f"kind: {kind!r}, {given.get('name')!r} can be valued and margined but not traded "
            f"yet: list {' or '.join(TRADED)}, or put it in a portfolio for the margin calculator"
        )
    return listed


class VenueConfig(Component):
    """One exchange: what it lists and the rules it lists it under."""

    name: str = Field(min_length=1, description="unique name")
    instruments: tuple[Annotated[Instrument, BeforeValidator(_traded)], ...] = Field(
        min_length=1, description="what is listed"
    )
    engine: EngineConfig = Field(description="margin engine: netting, valuation, requirement")
    mark: choice(MARKS) = Field(default=MedianMark(), description="mark price")  # type: ignore[valid-type]
    oracle: Oracle = Field(default=Oracle(), description="what the venue is told of the index")
    funding: Annotated[choice(FUNDINGS | RECORDED) | None, BeforeValidator(_premium_unless_said)] = Field(  # type: ignore[valid-type]
        default=None, description="funding of perpetuals; none = never paid"
    )
    fees: Fees = Field(default=Fees(), description="trading and liquidation fees")
    band: float = Field(default=0.1, gt=0, le=1, description="price band around the oracle; 1 = none (share)")
    spread: float = Field(default=0.0002, ge=0, lt=0.1, description="spread at which the outside quotes spot (share)")
    liquidation: choice(LIQUIDATIONS) = Field(default=Full(), description="close-outs")  # type: ignore[valid-type]
    waterfall: tuple[choice(LAYERS), ...] = Field(default=(), description="loss layers in order (LOSS-1)")  # type: ignore[valid-type]
    calls: MarginCalls | None = Field(default=None, description="margin calls; none = never made (MAR-4)")


class MarketConfig(Component):
    """Everything that happens inside one run, people apart."""

    dt: float = Field(default=60.0, gt=0, description="length of a step (s)")
    duration: float | None = Field(default=None, gt=0, description="length of the run; none = the replay's (s)")
    assets: tuple[Asset, ...] = Field(default=(Asset(name="USD"),), min_length=1, description="numeraire first")
    underlyings: tuple[Underlying, ...] = Field(min_length=1, description="index prices")
    correlation: tuple[tuple[float, ...], ...] | None = Field(default=None, description="of the index innovations")
    stresses: tuple[choice(STRESSES), ...] = Field(default=(), description="exogenous stories")  # type: ignore[valid-type]
    venues: tuple[VenueConfig, ...] = Field(min_length=1, description="exchanges")
    profile_every: float = Field(
        default=3600.0, ge=0, description="how often the liquidation profile is recorded; 0 = never (s)"
    )
    max_rounds: int = Field(default=200, ge=1, description="liquidation rounds in one step (count)")
    shuffle_closeouts: bool = Field(
        default=False, description="match a round's close-outs in drawn order, to see what attribution owes to order"
    )
    suppress_closeouts: bool = Field(default=False, description="never close anybody out: the twin of a run")

    rescues: tuple[Rescue, ...] = Field(default=(), description="who is given what it lacks: a counterfactual (LIQ-9)")

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        """Every rule that ties parts together; later ones take for granted that the first hold."""
        problems = [*self._names(), *self._references(), *self._length(), *self._correlations()]
        problems = problems or [*self._money()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _names(self) -> Iterator[str]:
        """Names are unique, and the first asset is the numeraire."""
        for what, names in (
            ("assets", [a.name for a in self.assets]),
            ("underlyings", [u.name for u in self.underlyings]),
            ("venues", [v.name for v in self.venues]),
            ("venues.*.instruments", [i.name for v in self.venues for i in v.instruments]),
        ):
            for name in sorted({name for name in names if names.count(name) > 1}):
                yield f"{what}: {name} listed twice; names must be unique: rename one"
        first = self.assets[0]
        if first.price != 1:
            yield f"assets.0.price: {first.price:.15g}, the numeraire {first.name!r} is worth 1: remove it"

    def _references(self) -> Iterator[str]:
        """What is named is there, and what is listed has a market."""
        underlyings = list(dict.fromkeys(u.name for u in self.underlyings))
        assets = list(dict.fromkeys(a.name for a in self.assets))
        for path, instrument in self._listed():
            if instrument.underlying not in underlyings:
                yield f"{path}.underlying: {not_one_of(instrument.underlying, underlyings)}"
            if instrument.settle and instrument.settle not in assets:
                yield f"{path}.settle: {not_one_of(instrument.settle, assets)}, or declare it under assets"
            elif fault := inverse_fault(instrument, underlyings, self.assets):
                yield f"{path}.{fault}"

    def _length(self) -> Iterator[str]:
        """How many steps a run has is known, and not out of all proportion."""
        if self.duration is None and not any(u.replayed for u in self.underlyings):
            yield "duration: missing; only a replay sets its own length: give seconds"
        if self.duration is not None and not self.duration / self.dt < STEP_LIMIT:
            yield (
                f"duration: {self.duration:g} s in steps of {self.dt:g} s, must be less than {STEP_LIMIT:g} steps: "
                "shorten it or raise dt"
            )

    def _correlations(self) -> Iterator[str]:
        """The matrix is one of correlations."""
        fault = correlation_fault(self.correlation, len(self.underlyings)) if self.correlation is not None else None
        if fault:
            yield fault

    def _money(self) -> Iterator[str]:
        """LED-2: whole consideration, and equity exact in float64."""
        whole, many = True, sum(len(venue.instruments) for venue in self.venues)
        for path, i in self._listed():
            multiplier = self._multiplier(i)
            if multiplier != int(multiplier) or multiplier < 1:
                whole = False
                yield (
                    f"{path}.lot: tick x lot = {i.tick:g} x {i.lot:g} is {multiplier} minor units, not a whole number; "
                    + remedy(path, self._venues_listed(), self.assets)
                )
            if grains(i.max_price, i.tick).denominator > 1:
                whole = False
                ticks = max(1, int(grains(i.max_price, i.tick)))
                yield (
                    f"{path}.max_price: {i.max_price:.15g} is not a multiple of the tick {i.tick:.15g}, round it: "
                    f"set it to {float(ticks * decimal_of(i.tick)):.15g}"
                )
            if i.levels > LEVEL_LIMIT // many:
                room = LEVEL_LIMIT // many
                yield (
                    f"{path}.max_price: {i.max_price:.15g} is {Decimal(i.levels):.3g} ticks; books keep room for each "
                    f"price, {room:.3g} for each of {many}: lower it to at most {float(room * decimal_of(i.tick)):.15g}"
                    " or raise the tick"
                )
            largest = i.max_lots * i.levels * int(multiplier)
            if largest >= CASH_LIMIT:
                whole = False
                yield (
                    f"{path}.max_lots: the largest position, {i.max_lots} lots x {Decimal(i.levels):.15g} ticks x "
                    f"{multiplier:.15g}, is {Decimal(largest):.3g} minor units; it must stay below 2^53: "
                    + _smaller(i.levels * int(multiplier), many)
                )
        if whole and (largest := self.largest_account()) >= CASH_LIMIT:
            yield (
                f"venues: the largest positions of one account at a venue are {Decimal(largest):.3g} minor units "
                f"together; they must stay below 2^53: divide every max_lots by {largest // CASH_LIMIT + 1}, "
                "rounded down"
            )

    def _venues_listed(self) -> list[dict[str, Instrument]]:
        """Instruments by path, venue by venue."""
        found: dict[str, dict[str, Instrument]] = {}
        for path, instrument in self._listed():
            found.setdefault(path.rpartition(".instruments.")[0], {})[path] = instrument
        return list(found.values())

    def _multiplier(self, instrument: Instrument) -> Decimal:
        decimals = {asset.name: asset.decimals for asset in self.assets} | {"": self.assets[0].decimals}
        return instrument.multiplier(decimals[instrument.settle])

    def _listed(self) -> Iterator[tuple[str, Instrument]]:
        for v, venue in enumerate(self.venues):
            for i, instrument in enumerate(venue.instruments):
                yield f"venues.{v}.instruments.{i}", instrument

    def largest_account(self) -> int:
        """Minor units that one owner's positions at a venue can be worth at most, all instruments together."""
        return max(
            sum(i.max_lots * i.levels * int(self._multiplier(i)) for i in venue.instruments) for venue in self.venues
        )


def _smaller(worth: int, many: int) -> str:
    """What makes a position small enough, of instruments whose one lot is worth so many minor units at most."""
    lots = (ROOM - 1) // (many * max(1, worth))
    return f"lower max_lots to at most {lots} or max_price" if lots else "make the lot smaller, or lower max_price"
