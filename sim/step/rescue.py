"""Gifts that keep accounts out of liquidation in counterfactual runs (LIQ-9)."""

import math

import numpy as np

from sim.attribution import DEPOSIT
from sim.state import MarketState
from sim.types import B1, I8, MarginAssessment, Transfers
from sim.venue import PoolState, Venue

MAX_PASSES = 8
"""Largest number of gifts in a row; one is enough unless margin depends on the account's cash."""


def find_rescued(market: MarketState) -> B1:
    """Return True for owners rescued in this step, (N,)."""
    rescued = np.zeros(market.n_owners, dtype=bool)
    for rescue in market.config.rescues:
        if rescue.since <= market.tick and (rescue.until is None or market.tick <= rescue.until):
            rescued[np.array(rescue.owners, dtype=np.int64)] = True
            for population, members in zip(market.populations, market.member_slices, strict=True):
                if population.name in rescue.populations:
                    rescued[members] = True
    return rescued


def rescue_accounts(
    market: MarketState, venue: Venue, state: PoolState, assessment: MarginAssessment, rescued: B1
) -> None:
    """Cover the deficits of rescued accounts from outside, and reassess them (in place)."""
    rows = np.flatnonzero(rescued & assessment.liquidatable)
    for _ in range(MAX_PASSES):
        if not rows.size:
            return
        lacking = np.array(
            [math.ceil(-excess) for excess in assessment.excess[rows].tolist()], dtype=np.int64
        )
        _transfer_gifts(market, venue, state, rows, lacking)
        fresh = state.engine.assess(venue.pool_accounts(state.pool).take(rows))
        for column, values in zip(assessment, fresh, strict=True):
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
    venue.net_paid_in[rows] += amounts
