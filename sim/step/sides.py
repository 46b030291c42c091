"""Accounts of members in hedge mode: one for the long and one for the short side (ISO-1).

Under isolated netting each side of an instrument has its own margin, and both draw on the wallet
of the member. Where wallet and account are one, both sides are one account: its equity is the sum
of theirs, and its margin the sum of the margins of both, as on Binance (the closed form of its
liquidation price adds those of the long and the short side, FAQ b3c689c1f50a44cabb3a84e663b81d93)
and BingX (support article 11263240855823). No engine offsets one side against the other. The
account is kept as two rows of the ledger, between which cash moves until both have the same ratio
of equity to maintenance, so that they are liquidated together.
"""

import numpy as np

from sim.attribution import DEPOSIT
from sim.exchange.admission import OrderBatch
from sim.state import MarketState
from sim.types import F8, REDUCE_ONLY, MarginAssessment, Orders, Transfers
from sim.venue import PoolState, Venue


def keep_sides(market: MarketState, orders: Orders) -> Orders:
    """Let orders against the side of their account only reduce its position."""
    is_against = market.sides.side[orders.owner] * np.sign(orders.quantity) < 0
    return orders._replace(kind=np.where(is_against, orders.kind | REDUCE_ONLY, orders.kind))


def find_shortages_beside(
    market: MarketState, venue: Venue, state: PoolState, earlier: OrderBatch | None
) -> F8:
    """Return what the other side of each account lacks of initial margin, (N,); - is a surplus.

    Args:
        market: the market.
        venue: venue where wallet and account are one.
        state: its pool.
        earlier: orders that have passed in this step and do not rest yet.
    """
    accounts = venue.admission_accounts(state.pool)
    if earlier is not None:
        sent = np.flatnonzero(earlier.quantity != 0)
        accounts = earlier.add_orders(np.arange(market.n_owners), sent)
    assessment = state.engine.assess_admission(accounts)
    lacking = assessment.initial - assessment.equity
    beside = np.zeros_like(lacking)
    beside[market.sides.pairs] = lacking[market.sides.pairs[:, ::-1]]
    return beside


def share_equity(market: MarketState, state: PoolState, assessment: MarginAssessment) -> None:
    """Move cash between both sides of joint accounts, in proportion to maintenance (in place).

    Shares are whole units, so a deficit of less than a unit for each side falls on one of them.
    Without positions all cash goes to the long side.
    """
    pairs = market.sides.pairs
    equity, maintenance = assessment.equity[pairs], assessment.maintenance[pairs]
    required = maintenance.sum(axis=1)
    part = np.divide(maintenance[:, 1], required, out=np.zeros(len(pairs)), where=required > 0)
    amount = (np.floor(equity.sum(axis=1) * part) - equity[:, 1]).astype(np.int64)
    moved = np.flatnonzero(amount)
    long, short = pairs[moved].T
    moves = Transfers.from_columns(
        long, short, state.pool.number, state.pool.number, 0, amount[moved]
    )
    market.ledger.transfer(moves, DEPOSIT)
    assessment.equity[long] -= amount[moved]
    assessment.equity[short] += amount[moved]
