"""Bankruptcy prices of every leg of an account (LIQ-2)."""

import numpy as np

from sim.types import F8, I8, Exposure


def compute_bankruptcy_prices(accounts: Exposure, equity: F8, weights: F8) -> F8:
    """Return the closing price of each leg that uses up its share of equity (LIQ-2), unrounded.

    ``bp_k = mark_k - equity * w_k / (q_k * multiplier_k * price[settle_k])``. The price is below
    the mark for a solvent long and above it for a solvent short; for a bankrupt account it is the
    other way round.

    Args:
        accounts: the accounts, (A, K).
        equity: market equity, (A,) minor units of the numeraire.
        weights: (A, K), each leg's share of the account's maintenance; rows sum to 1 over held
            legs.

    Returns:
        (A, K) ticks, NaN where nothing is held.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = equity[:, None] * weights / (accounts.position * accounts.market.tick_value())
    return np.where(accounts.position == 0, np.nan, accounts.market.mark - distance)


def compute_limit_prices(accounts: Exposure, equity: F8, weights: F8) -> I8:
    """Return bankruptcy prices as limits in whole ticks that never make equity negative.

    Sells are rounded up and buys down. If every leg is closed at its limit, the equity left is zero
    or less than one tick-lot per leg. The distance to the mark is rounded, which is a whole number,
    and each leg's share of equity is first rounded down to a unit. With whole tick-lots this loses
    nothing and makes the bound exact. Prices are clipped to [1, max_price]. Only clipped prices may
    leave a bankrupt account with less than zero.

    Returns:
        (A, K) ticks; the mark where nothing is held.
    """
    budget = np.floor(equity[:, None] * weights)
    # weights may sum to 1 + 1e-16
    overspent = np.maximum(budget.sum(axis=1) - np.floor(equity), 0.0)
    heaviest = weights.argmax(axis=1)
    budget[np.arange(len(budget)), heaviest] -= overspent
    lots = np.where(accounts.position == 0, 1, np.abs(accounts.position))
    distance = np.floor(budget / (lots * accounts.market.tick_value()))
    prices = accounts.market.mark - np.sign(accounts.position) * distance
    ticks: I8 = np.clip(prices, 1, accounts.market.contracts.max_price).astype(np.int64)
    return ticks
