"""Gifts that keep accounts out of liquidation, in counterfactual runs (LIQ-9)."""

import math

import numpy as np

from sim.attribution import DEPOSIT
from sim.state import MarketState
from sim.types import B1, I8, MarginAssessment, Transfers
from sim.venue import PoolState, Venue

MAX_PASSES = 8
"""Gifts in a row; one is enough unless margin depends on what lies in the account."""


def find_rescued(market: MarketState) -> B1:
    """Owners rescued in this step, (N,)."""
    found = np.zeros(market.n_owners, dtype=bool)
    for each in market.config.rescues:
        if each.since <= market.tick and (each.until is None or market.tick <= each.until):
            found[np.array(each.owners, dtype=np.int64)] = True
            for population, members in zip(market.populations, market.member_slices, strict=True):
                if population.name in each.populations:
                    found[members] = True
    return found


def rescue_accounts(
    market: MarketState, venue: Venue, state: PoolState, risk: MarginAssessment, saved: B1
) -> None:
    """Give rescued accounts the equity that they lack, from outside, and judge them anew (`risk`, in place)."""
    rows = np.flatnonzero(saved & risk.liquidatable)
    for _ in range(MAX_PASSES):
        if not rows.size:
            return
        lacking = np.array(
            [math.ceil(-each) for each in risk.excess[rows].tolist()], dtype=np.int64
        )
        _transfer_gifts(market, venue, state, rows, lacking)
        fresh = state.engine.assess(venue.pool_accounts(state.pool).take(rows))
        for column, values in zip(risk, fresh, strict=True):
            column[rows] = values
        rows = rows[fresh.liquidatable]


def _transfer_gifts(
    market: MarketState, venue: Venue, state: PoolState, rows: I8, amounts: I8
) -> None:
    gifts = Transfers.from_columns(
        market.external_owner, rows, venue.wallet_pool, state.pool.number, 0, amounts
    )
    market.ledger.transfer(gifts, DEPOSIT)
    venue.flows.paid_in += int(amounts.sum())
