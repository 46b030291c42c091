"""Accounts that are kept out of liquidation by gifts of exactly what they lack: a run's counterfactual (LIQ-9)."""

import math
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from sim.causes import DEPOSIT
from sim.component import Component
from sim.types import B1, I8, Risk, Transfers

if TYPE_CHECKING:
    from sim.market import Market
    from sim.venue import PoolState, Venue

PASSES = 8
"""Gifts in a row; one is enough unless margin depends on what lies in the account."""


class Rescue(Component):
    """Somebody who is not closed out in a window of steps."""

    owners: tuple[int, ...] = Field(default=(), description="accounts' owners, as `owner` in frames (numbers)")
    populations: tuple[str, ...] = Field(default=(), description="whose members are all rescued (names)")
    since: int = Field(default=1, ge=1, description="first step of the window (count)")
    until: int | None = Field(default=None, ge=1, description="last step of the window; none = to the end (count)")

    @model_validator(mode="after")
    def _somebody(self) -> "Rescue":
        if not self.owners and not self.populations:
            raise ValueError(
                "owners: none, and no populations; at least one account is rescued, name owners or populations"
            )
        if self.until is not None and self.until < self.since:
            raise ValueError(f"until: {self.until}, must not lie before since = {self.since}, exchange or correct them")
        return self


def rescued(market: "Market") -> B1:
    """Owners rescued in this step, (N,)."""
    found = np.zeros(market.owners, dtype=bool)
    for each in market.config.rescues:
        if each.since <= market.tick and (each.until is None or market.tick <= each.until):
            found[np.array(each.owners, dtype=np.int64)] = True
            for population, members in zip(market.populations, market.members, strict=True):
                if population.name in each.populations:
                    found[members] = True
    return found


def rescue(market: "Market", venue: "Venue", state: "PoolState", risk: Risk, saved: B1) -> None:
    """Give rescued accounts the equity that they lack, from outside, and judge them anew (`risk`, in place)."""
    rows = np.flatnonzero(saved & risk.liquidatable)
    for _ in range(PASSES):
        if not rows.size:
            return
        lacking = np.array([math.ceil(-each) for each in risk.excess[rows].tolist()], dtype=np.int64)
        _give(market, venue, state, rows, lacking)
        fresh = state.engine.assess(venue.book(state.pool).take(rows))
        for column, values in zip(risk, fresh, strict=True):
            column[rows] = values
        rows = rows[fresh.liquidatable]


def _give(market: "Market", venue: "Venue", state: "PoolState", rows: I8, amounts: I8) -> None:
    gifts = Transfers.of(market.outside, rows, venue.wallet, state.pool.number, 0, amounts)
    market.ledger.transfer(gifts, DEPOSIT)
    venue.paid[0] += amounts.sum()
