"""Mark prices after trading."""

import numpy as np

from sim.attribution import DEPOSIT
from sim.state import MarketState
from sim.types import F8, I8, Transfers
from sim.venue import PoolState, Venue


def update_marks(market: MarketState) -> F8:
    """Mark every instrument after trading, and return idle margin to wallets (MARK-1, ISO-1).

    Returns:
        Lots within 0.1% of each mark, mean of both sides, (K,).
    """
    tops = market.order_books.top_of_book()
    depth = market.order_books.sum_depth(*market.prices_within(0.01))
    for venue in market.venues:
        part = venue.instrument_slice
        resting = depth[part]
        venue.update_mark(
            tops[part],
            learn=True,
            depth=resting.mean(axis=1),
            imbalance=_depth_imbalance(resting),
            open_interest=market.open_interest(venue),
        )
        if venue.config.funding is not None:
            venue.config.funding.add_sample(venue.view.bid, venue.view.ask, venue.quotes.oracle)
        if venue.wallet_pool not in venue.pool_states:
            for state in venue.pool_states.values():
                _return_idle_margin(market, venue, state)
    near: F8 = market.order_books.sum_depth(*market.prices_within(0.001)).mean(axis=1)
    return near


def _depth_imbalance(depth: I8) -> F8:
    """Return (bid lots - ask lots) / (bid lots + ask lots), (K,); NaN where no order rests."""
    both = depth.sum(axis=1).astype(np.float64)
    return np.divide(
        depth[:, 0] - depth[:, 1], both, out=np.full(both.size, np.nan), where=both > 0
    )


def _return_idle_margin(market: MarketState, venue: Venue, state: PoolState) -> None:
    """Return balances and debts of solvent, inactive accounts to their wallets (ISO-1)."""
    accounts = venue.pool_accounts(state.pool)
    idle = market.is_margined & (accounts.balance @ accounts.market.price >= 0)
    for column in range(accounts.position.shape[1]):
        idle &= (
            (accounts.position[:, column] == 0)
            & (accounts.bids[:, column] == 0)
            & (accounts.asks[:, column] == 0)
        )
    owners, assets = np.nonzero(accounts.balance * idle[:, None])
    moves = Transfers.from_columns(
        owners,
        market.sides.member[owners],
        state.pool.number,
        venue.wallet_pool,
        assets,
        accounts.balance[owners, assets],
    )
    market.ledger.transfer(moves, DEPOSIT)
