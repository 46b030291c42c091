"""Configuration schema of one market, and the rules that connect its parts."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from sim.component import Component, build_union
from sim.errors import describe_unknown
from sim.exchange import FUNDINGS, MARKS, RECORDED
from sim.exchange.fees import Fees
from sim.exchange.mark import MedianMark
from sim.exchange.oracle import Oracle
from sim.instruments import (
    CASH_LIMIT,
    KIND_CODES,
    TRADED_KINDS,
    Asset,
    Instrument,
    divide_into_steps,
    find_inverse_fault,
    to_decimal,
)
from sim.liquidation import LIQUIDATIONS
from sim.liquidation.full import FullCloseOut
from sim.margin.calls import MarginCalls
from sim.margin.engine import EngineConfig
from sim.numerics.matrix_roots import find_correlation_fault
from sim.numerics.whole_units import MAX_ACCOUNT_VALUE, describe_remedy
from sim.prices import STRESSES
from sim.prices.past import History
from sim.prices.underlying import Underlying
from sim.rescue import Rescue
from sim.types import F8
from sim.waterfall import LAYERS

TOTAL_LIMIT = 2**62
MAX_STEPS = 10**8
"""Largest number of steps of a run; no machine can keep more rows."""
MAX_PRICE_LEVELS = 2**25
"""Largest number of prices of all order books together; each takes 24 bytes."""


def _default_to_premium(funding: Any) -> Any:
    """Return funding with the default kind, premium, if it has none."""
    return {"kind": "premium", **funding} if isinstance(funding, Mapping) else funding


def _refuse_untraded(listed: Any) -> Any:
    """Refuse an instrument that has no market yet, before its terms are checked."""
    if not isinstance(listed, Mapping | Instrument):
        return listed  # neither a mapping nor an instrument: pydantic names the rule
    given = listed if isinstance(listed, Mapping) else {"name": listed.name, "kind": listed.kind}
    kind = given.get("kind")
    if kind in KIND_CODES and kind not in TRADED_KINDS:
        raise ValueError(
            f"kind: {kind!r}, {given.get('name')!r} can be valued and margined but not traded "
            f"yet: list {' or '.join(TRADED_KINDS)}, or put it in a portfolio for the margin "
            "calculator"
        )
    return listed


class VenueConfig(Component):
    """One exchange: its instruments and its rules."""

    name: str = Field(min_length=1, description="unique name")
    instruments: tuple[Annotated[Instrument, BeforeValidator(_refuse_untraded)], ...] = Field(
        min_length=1, description="instruments that the venue lists"
    )
    engine: EngineConfig = Field(description="margin engine: netting, valuation, requirement")
    mark: build_union(MARKS) = Field(  # type: ignore[valid-type]
        default=MedianMark(), description="mark price"
    )
    oracle: Oracle = Field(default=Oracle(), description="price of the index at the venue")
    funding: Annotated[
        build_union(FUNDINGS | RECORDED) | None,  # type: ignore[valid-type]
        BeforeValidator(_default_to_premium),
    ] = Field(default=None, description="funding of perpetuals; none = never paid")
    fees: Fees = Field(default=Fees(), description="trading and liquidation fees")
    band: float = Field(
        default=0.1, gt=0, le=1, description="price band around the oracle; 1 = none (share)"
    )
    spread: float = Field(
        default=0.0002, ge=0, lt=0.1, description="spread of external quotes of spot (share)"
    )
    liquidation: build_union(LIQUIDATIONS) = Field(  # type: ignore[valid-type]
        default=FullCloseOut(), description="liquidation policy"
    )
    waterfall: tuple[build_union(LAYERS), ...] = Field(  # type: ignore[valid-type]
        default=(), description="loss layers in order (LOSS-1)"
    )
    calls: MarginCalls | None = Field(
        default=None, description="margin calls; none = never made (MAR-4)"
    )


class MarketConfig(Component):
    """Configuration of one market, without its populations."""

    dt: float = Field(default=60.0, gt=0, description="length of a step (s)")
    duration: float | None = Field(
        default=None, gt=0, description="length of the run; none = the replay's (s)"
    )
    assets: tuple[Asset, ...] = Field(
        default=(Asset(name="USD"),), min_length=1, description="numeraire first"
    )
    underlyings: tuple[Underlying, ...] = Field(min_length=1, description="index prices")
    correlation: tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="correlation matrix of the index innovations"
    )
    history: History | None = Field(
        default=None, description="past before the first step; none = engines begin unlearned"
    )
    stresses: tuple[build_union(STRESSES), ...] = Field(  # type: ignore[valid-type]
        default=(), description="exogenous stress scenarios"
    )
    venues: tuple[VenueConfig, ...] = Field(min_length=1, description="exchanges")
    profile_every: float = Field(
        default=3600.0,
        ge=0,
        description="interval between liquidation profiles; 0 = never (s)",
    )
    max_rounds: int = Field(
        default=200, ge=1, description="largest number of liquidation rounds in one step (count)"
    )
    shuffle_closeouts: bool = Field(
        default=False,
        description="match a round's close-outs in random order, to test attribution",
    )
    suppress_closeouts: bool = Field(
        default=False, description="close out no account: the run's counterfactual twin"
    )

    rescues: tuple[Rescue, ...] = Field(
        default=(), description="accounts that receive their deficits: a counterfactual (LIQ-9)"
    )

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        """Check all rules that connect parts; later rules require that the first ones hold."""
        problems = [
            *self._check_names(),
            *self._check_references(),
            *self._check_length(),
            *self._check_correlations(),
        ]
        problems = problems or [*self._check_amounts()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _check_names(self) -> Iterator[str]:
        """Check that names are unique and that the first asset is the numeraire."""
        for path, names in (
            ("assets", [a.name for a in self.assets]),
            ("underlyings", [u.name for u in self.underlyings]),
            ("venues", [v.name for v in self.venues]),
            ("venues.*.instruments", [i.name for v in self.venues for i in v.instruments]),
        ):
            for name in sorted({name for name in names if names.count(name) > 1}):
                yield f"{path}: {name} listed twice; names must be unique: rename one"
        first = self.assets[0]
        if first.price != 1:
            yield (
                f"assets.0.price: {first.price:.15g}, the numeraire {first.name!r} is worth 1: "
                "remove it"
            )

    def _check_references(self) -> Iterator[str]:
        """Check that underlyings and assets exist, and that no contract is inverse."""
        underlyings = list(dict.fromkeys(u.name for u in self.underlyings))
        assets = list(dict.fromkeys(a.name for a in self.assets))
        for path, instrument in self._instruments_by_path():
            if instrument.underlying not in underlyings:
                yield f"{path}.underlying: {describe_unknown(instrument.underlying, underlyings)}"
            if instrument.settle and instrument.settle not in assets:
                unknown = describe_unknown(instrument.settle, assets)
                yield f"{path}.settle: {unknown}, or declare it under assets"
            elif fault := find_inverse_fault(instrument, underlyings, self.assets):
                yield f"{path}.{fault}"

    def _check_length(self) -> Iterator[str]:
        """Check that the number of steps is known and below the limit."""
        if self.duration is None and not any(u.is_replayed for u in self.underlyings):
            yield "duration: missing; only a replay sets its own length: give seconds"
        if self.duration is not None and not self.duration / self.dt < MAX_STEPS:
            yield (
                f"duration: {self.duration:g} s in steps of {self.dt:g} s, must be less than "
                f"{MAX_STEPS:g} steps: shorten it or raise dt"
            )

    def _check_correlations(self) -> Iterator[str]:
        """Check that the matrix is a correlation matrix."""
        if self.correlation is None:
            return
        fault = find_correlation_fault(self.correlation, len(self.underlyings))
        if fault:
            yield fault

    def _check_amounts(self) -> Iterator[str]:
        """Check that consideration is whole, and that float64 holds equity exactly (LED-2)."""
        is_exact = True
        for path, instrument in self._instruments_by_path():
            inexact = [
                *self._check_tick_value(path, instrument),
                *_check_max_price(path, instrument),
            ]
            levels = list(self._check_price_levels(path, instrument))
            too_large = list(self._check_max_lots(path, instrument))
            is_exact = is_exact and not inexact and not too_large
            yield from (*inexact, *levels, *too_large)
        if is_exact and (largest := self.largest_account_value()) >= CASH_LIMIT:
            yield (
                f"venues: the largest positions of one account at a venue are "
                f"{Decimal(largest):.3g} minor units together; they must stay below 2^53: divide "
                f"every max_lots by {largest // CASH_LIMIT + 1}, rounded down"
            )

    def _check_tick_value(self, path: str, instrument: Instrument) -> Iterator[str]:
        """Check that one tick of one lot is a whole number of minor units."""
        multiplier = self._tick_value(instrument)
        if multiplier != int(multiplier) or multiplier < 1:
            remedy = describe_remedy(path, self._instruments_by_venue(), self.assets)
            yield (
                f"{path}.lot: tick x lot = {instrument.tick:g} x {instrument.lot:g} is "
                f"{multiplier} minor units, not a whole number; {remedy}"
            )

    def _check_price_levels(self, path: str, instrument: Instrument) -> Iterator[str]:
        """Check that all order books together fit into memory."""
        n_instruments = sum(len(venue.instruments) for venue in self.venues)
        room = MAX_PRICE_LEVELS // n_instruments
        if instrument.n_price_levels > room:
            highest = float(room * to_decimal(instrument.tick))
            yield (
                f"{path}.max_price: {instrument.max_price:.15g} is "
                f"{Decimal(instrument.n_price_levels):.3g} ticks; books keep room for each price, "
                f"{room:.3g} for each of {n_instruments}: lower it to at most {highest:.15g}"
                " or raise the tick"
            )

    def _check_max_lots(self, path: str, instrument: Instrument) -> Iterator[str]:
        """Check that float64 holds the value of the largest position exactly."""
        multiplier = self._tick_value(instrument)
        lot_value = instrument.n_price_levels * int(multiplier)
        largest = instrument.max_lots * lot_value
        if largest >= CASH_LIMIT:
            n_instruments = sum(len(venue.instruments) for venue in self.venues)
            yield (
                f"{path}.max_lots: the largest position, {instrument.max_lots} lots x "
                f"{Decimal(instrument.n_price_levels):.15g} ticks x {multiplier:.15g}, is "
                f"{Decimal(largest):.3g} minor units; it must stay below 2^53: "
                + _describe_position_remedy(lot_value, n_instruments)
            )

    def _instruments_by_venue(self) -> list[dict[str, Instrument]]:
        """Return instruments by path, venue by venue."""
        by_venue: dict[str, dict[str, Instrument]] = {}
        for path, instrument in self._instruments_by_path():
            by_venue.setdefault(path.rpartition(".instruments.")[0], {})[path] = instrument
        return list(by_venue.values())

    def _tick_value(self, instrument: Instrument) -> Decimal:
        decimals = {asset.name: asset.decimals for asset in self.assets} | {
            "": self.assets[0].decimals
        }
        return instrument.multiplier(decimals[instrument.settle])

    def _instruments_by_path(self) -> Iterator[tuple[str, Instrument]]:
        for v, venue in enumerate(self.venues):
            for i, instrument in enumerate(venue.instruments):
                yield f"venues.{v}.instruments.{i}", instrument

    def asset_scale(self) -> F8:
        """Return minor units of the numeraire per minor unit of each asset at its price, (C,)."""
        first = self.assets[0].decimals
        return np.array([asset.price * 10.0 ** (first - asset.decimals) for asset in self.assets])

    def largest_account_value(self) -> int:
        """Return the largest possible value of one owner's positions at a venue, minor units."""
        return max(
            sum(i.max_lots * i.n_price_levels * int(self._tick_value(i)) for i in venue.instruments)
            for venue in self.venues
        )


def _check_max_price(path: str, instrument: Instrument) -> Iterator[str]:
    """Check that the largest price is a multiple of the tick."""
    if divide_into_steps(instrument.max_price, instrument.tick).denominator > 1:
        ticks = max(1, int(divide_into_steps(instrument.max_price, instrument.tick)))
        rounded = float(ticks * to_decimal(instrument.tick))
        yield (
            f"{path}.max_price: {instrument.max_price:.15g} is not a multiple of the tick "
            f"{instrument.tick:.15g}, round it: set it to {rounded:.15g}"
        )


def _describe_position_remedy(lot_value: int, n_instruments: int) -> str:
    """Return how to make a position small enough, given the largest value of one lot."""
    lots = (MAX_ACCOUNT_VALUE - 1) // (n_instruments * max(1, lot_value))
    if lots:
        return f"lower max_lots to at most {lots} or max_price"
    return "make the lot smaller, or lower max_price"
