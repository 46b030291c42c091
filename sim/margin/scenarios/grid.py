"""Portfolio margin by a grid of scenarios with dampened tails, as at Paradex and Deribit."""

from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin.base import RequirementComponent, covers
from sim.margin.breakdown import beyond
from sim.margin.scenarios.scenarios import (
    SCAN,
    Revalued,
    Scanning,
    Scenario,
    Tails,
    VolShock,
    by_underlying,
    held,
    label,
    lot_pnl,
    offset,
    shocks,
    standing_alone,
    summed,
    worst,
)
from sim.pricing.black import Greeks
from sim.pricing.instrument_values import sensitivities
from sim.types import F8, FUTURE, I8, OPTION, PERPETUAL, Contracts, Exposure, Margins, MarketView

# Paradex (docs.paradex.trade, risk/portfolio-margin, read in November 2026)
_STEPS = (0.12, 0.08, 0.04, 0.0, -0.04, -0.08, -0.12)
_PARADEX = (
    Scenario(move=0.16, vol="up"),
    *(Scenario(move=move, vol=vol) for move in _STEPS for vol in ("up", "down")),
    Scenario(move=-0.16, vol="up"),
)


class Contingencies(Component):
    """Charges beside the scan, each a share of what the underlying is worth at the oracle, unless told otherwise."""

    short_options: float = Field(default=0.0, ge=0, description="of options short net, per strike and expiry (share)")
    options: float = Field(default=0.0, ge=0, description="of all options, long and short (share)")
    futures: float = Field(default=0.0, ge=0, description="of perpetuals and futures that offset others (share)")
    vega: float = Field(
        default=0.0, ge=0, description="of what a point of volatility makes on expiries that offset others (share)"
    )


class Grid(RequirementComponent):
    """The worst loss over a grid, underlying by underlying, no less than a charge on delta, plus contingencies.

    scan_u = max(0, -min_s weight_s x PnL_u(s)), required = Σ_u max(scan_u, net_delta |Δ_u| + hedged_delta x half of
    what |legs' deltas| exceed |Δ_u| by) + contingencies, Δ in value at the oracle. Initial and maintenance are shares
    of it, plus a provision for the fees of closing. Sources: docs.paradex.trade, risk/portfolio-margin; Deribit support
    25944756247837 and the older page of docs (November 2026). Losses on one underlying are not offset by gains on
    another.
    """

    kind: Literal["grid"] = Field(default="grid", description="scenario grid (name)")
    scenarios: tuple[Scenario, ...] = Field(default=_PARADEX, min_length=1, description="the grid (scenarios)")
    tails: Tails = Field(default=Tails(moves=(-0.66, -0.33, 0.5, 1, 2, 3, 4, 5)), description="far moves (component)")
    vol: VolShock = Field(default=VolShock(), description="what up and down mean for volatility (component)")
    net_delta: float = Field(default=0.02, ge=0, description="least charge on the delta of all legs (share)")
    hedged_delta: float = Field(default=0.01, ge=0, description="least charge on deltas that offset others (share)")
    contingencies: Contingencies = Field(default=Contingencies(), description="charges beside the scan (component)")
    initial: float = Field(default=1.0, ge=0, description="initial over what is required (ratio)")
    maintenance: float = Field(default=0.5, ge=0, description="maintenance over what is required (ratio)")
    fee: float = Field(default=0.0, ge=0, description="provision for fees, of what legs are worth in all (share)")
    revalue: float = Field(default=0.0, ge=0, description="time between revaluations; 0 = at every assessment (s)")

    @model_validator(mode="after")
    def _initial_covers_maintenance(self) -> Self:
        covers(self.initial, self.maintenance)
        return self

    def bind(self, contracts: Contracts, unit: int) -> "GridMargin":
        """See :class:`RequirementComponent`."""
        return GridMargin(self, contracts)

    def everything(self) -> tuple[Scenario, ...]:
        """Grid and tails."""
        reach = max(abs(each.move) for each in self.scenarios)
        return (*self.scenarios, *self.tails.scenarios(reach))


class Arrays(NamedTuple):
    """What revaluation makes of a market, per lot, minor units of the numeraire."""

    pnl: F8  # (S, K) gain in each scenario
    spot: F8  # (K,) worth of the underlying at the oracle
    delta: F8  # (K,) worth of the delta at the oracle, signed
    vega: F8  # (K,) gain from a point of volatility


class GridMargin(Scanning):
    """The grid on one pool's instruments."""

    def __init__(self, rule: Grid, contracts: Contracts) -> None:
        self.rule, self.groups = rule, by_underlying(contracts)
        self.grid = rule.everything()
        self.labels = tuple(map(label, self.grid))
        self.moves = np.array([each.move for each in self.grid])
        self.strikes, self.expiries = _groups(contracts)
        self.option = np.flatnonzero(contracts.kind == OPTION)
        traded = np.isin(contracts.kind, (PERPETUAL, FUTURE))
        self.linear = [legs[traded[legs]] for legs in self.groups]
        self.arrays: Revalued[Arrays] = Revalued(self._revalue, rule.revalue)

    def scenarios(self, book: Exposure) -> F8:
        """See :class:`Scanning`."""
        return held(book.position, self.arrays.at(book.market).pnl, np.arange(book.position.shape[1]))

    def margins(self, book: Exposure) -> Margins:
        """See :class:`Grid`, (A,)."""
        arrays = self.arrays.at(book.market)
        needed = self._charges(book, arrays)
        for legs in self.groups:
            scan = -worst(book.position, arrays.pnl, legs)
            needed += np.maximum(scan, self._least(book, arrays, legs))
        provision = self.rule.fee * np.abs(book.value()).sum(axis=1) if self.rule.fee else 0.0
        return Margins(self.rule.initial * needed + provision, self.rule.maintenance * needed + provision)

    def breakdown(self, book: Exposure) -> dict[str, Margins]:
        """See :class:`Itemised`; the charge on delta is what it asks beyond the scan."""
        arrays = self.arrays.at(book.market)
        scan, delta = np.zeros((2, len(book.position)))
        for legs in self.groups:
            lost = np.maximum(-worst(book.position, arrays.pnl, legs), 0.0)
            scan += lost
            delta += np.maximum(self._least(book, arrays, legs) - lost, 0.0)
        parts = {SCAN: scan, "charge on delta": delta, **self._contingencies(book, arrays)}
        found = {name: Margins(self.rule.initial * each, self.rule.maintenance * each) for name, each in parts.items()}
        return {**found, "fees of closing": beyond(self.margins(book), found)}

    def contingencies(self, book: Exposure) -> F8:
        """Charges beside the scan, (A,)."""
        return self._charges(book, self.arrays.at(book.market))

    def shares(self, book: Exposure) -> F8:
        """Each leg's share of what the legs would lose at worst if each stood alone, (A, K)."""
        return standing_alone(book, self.arrays.at(book.market).pnl)

    def _charges(self, book: Exposure, arrays: Arrays) -> F8:
        total = np.zeros(len(book.position))
        for charge in self._contingencies(book, arrays).values():
            total += charge
        return total

    def _contingencies(self, book: Exposure, arrays: Arrays) -> dict[str, F8]:
        """Charges by name, (A,) each."""
        shares, nothing = self.rule.contingencies, np.zeros(len(book.position))
        found = {"short options": nothing.copy(), "offsetting futures": nothing.copy(), "offsetting vega": nothing}
        for legs in self.strikes if shares.short_options else ():
            found["short options"] += shares.short_options * np.maximum(-summed(book.position, arrays.spot, legs), 0.0)
        for legs in self.linear if shares.futures else ():
            found["offsetting futures"] += shares.futures * offset(book.position, arrays.spot, legs)[1]
        for expiries in self.expiries if shares.vega else ():
            vegas = np.stack([summed(book.position, arrays.vega, legs) for legs in expiries])
            found["offsetting vega"] += shares.vega * (np.abs(vegas).sum(axis=0) - np.abs(vegas.sum(axis=0))) / 2
        if shares.options and self.option.size:
            found["all options"] = shares.options * summed(np.abs(book.position), arrays.spot, self.option)
        return found

    def _least(self, book: Exposure, arrays: Arrays, legs: I8) -> F8:
        """The charge on delta, (A,), at least nil."""
        if not (self.rule.net_delta or self.rule.hedged_delta):
            return np.zeros(len(book.position))
        net, hedged = offset(book.position, arrays.delta, legs)
        return self.rule.net_delta * np.abs(net) + self.rule.hedged_delta * hedged

    def _revalue(self, market: MarketView) -> Arrays:
        lot = market.tick_lot() / market.contracts.tick
        spot = market.oracle[market.contracts.underlying] * lot
        moves: Greeks = sensitivities(market)
        pnl = lot_pnl(market, shocks(market, self.grid, self.rule.vol))
        return Arrays(pnl, spot, moves.delta * spot, moves.vega / 100 * lot)


def _groups(contracts: Contracts) -> tuple[list[I8], list[list[I8]]]:
    """Options by underlying, expiry and strike; and of each underlying, by expiry."""
    columns = np.flatnonzero(contracts.kind == OPTION)
    strikes: dict[tuple[int, float, float], list[int]] = {}
    expiries: dict[int, dict[float, list[int]]] = {}
    for k in columns.tolist():
        underlying, expiry = int(contracts.underlying[k]), float(contracts.expiry[k])
        strikes.setdefault((underlying, expiry, float(contracts.strike[k])), []).append(k)
        expiries.setdefault(underlying, {}).setdefault(expiry, []).append(k)
    by_expiry = [[np.array(legs) for legs in each.values()] for each in expiries.values()]
    return [np.array(legs) for legs in strikes.values()], by_expiry
