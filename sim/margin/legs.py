"""What requirements that add up over positions share: notional of each leg, and shares of a sum of legs."""

import numpy as np

from sim.types import B1, F8, SPOT, Exposure, MarketView


def worth(market: MarketView) -> tuple[F8, B1]:
    """Minor units of the numeraire per lot, (K,), and which instruments are spot, (K,)."""
    contracts = market.contracts
    value: F8 = market.mark * contracts.multiplier * market.price[contracts.settle]
    return value, contracts.kind == SPOT


def gross(book: Exposure) -> F8:
    """Size of each position at the mark, (A, K), minor units of the numeraire."""
    value: F8 = np.abs(book.position) * worth(book.market)[0]
    return value


def notional(book: Exposure) -> F8:
    """What margin is asked for, (A, K): gross, but nothing for long spot, which is paid in full (LED-3)."""
    spot = book.market.contracts.kind == SPOT
    return np.where(spot & (book.position > 0), 0.0, gross(book))


def only(book: Exposure, seen: B1) -> Exposure:
    """The same accounts without the positions that are not seen, (K,)."""
    return book._replace(position=np.where(seen, book.position, 0), entry=np.where(seen, book.entry, 0))


def shares(legs: F8, gross: F8) -> F8:
    """Each leg's part of the sum over an account's legs, (A, K); of gross where the sum is nil."""
    legs = np.where(legs.sum(axis=1, keepdims=True) > 0, legs, gross)
    total = legs.sum(axis=1, keepdims=True)
    return legs / np.where(total > 0, total, 1.0)
