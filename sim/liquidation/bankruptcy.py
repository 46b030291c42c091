"""Bankruptcy prices of every leg of an account (LIQ-2)."""

import numpy as np

from sim.types import F8, I8, Exposure


def compute_bankruptcy_prices(book: Exposure, equity: F8, weights: F8) -> F8:
    """The closing price of each leg that uses up its share of the account's equity (LIQ-2), unrounded.

    ``bp_k = mark_k - equity * w_k / (q_k * multiplier_k * price[settle_k])``: below the mark for a solvent long,
    above it for a solvent short, the other way round for a bankrupt account.

    Args:
        book: the accounts, (A, K).
        equity: market equity, (A,) minor units of the numeraire.
        weights: (A, K), each leg's share of the account's maintenance; rows sum to 1 over held legs.

    Returns:
        (A, K) ticks, NaN where nothing is held.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = equity[:, None] * weights / (book.position * book.market.tick_value())
    return np.where(book.position == 0, np.nan, book.market.mark - distance)


def compute_limit_prices(book: Exposure, equity: F8, weights: F8) -> I8:
    """Bankruptcy prices as limits: whole ticks, rounded to the side that never leaves equity negative.

    Sells are rounded up and buys down, so closing every leg at its limit leaves an equity of nil or less than one
    tick-lot per leg. Rounding is done on the distance to the mark, which is a whole number, and each leg's share of
    equity is first rounded down to a unit: with whole tick-lots that loses nothing and makes the bound exact.
    Prices are clipped to what can be quoted, [1, max_price]; only there may a bankrupt account's limit leave less
    than nil.

    Returns:
        (A, K) ticks; the mark where nothing is held.
    """
    budget = np.floor(equity[:, None] * weights)
    overspent = np.maximum(
        budget.sum(axis=1) - np.floor(equity), 0.0
    )  # weights that sum to 1 + 1e-16
    heaviest = weights.argmax(axis=1)
    budget[np.arange(len(budget)), heaviest] -= overspent
    lots = np.where(book.position == 0, 1, np.abs(book.position))
    distance = np.floor(budget / (lots * book.market.tick_value()))
    prices = book.market.mark - np.sign(book.position) * distance
    ticks: I8 = np.clip(prices, 1, book.market.contracts.max_price).astype(np.int64)
    return ticks
