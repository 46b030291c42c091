"""Small books built by hand."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sim.types import MISSING, PERPETUAL, Contracts, DistressHistory, Exposure, MarketView


def market(
    mark: ArrayLike,
    *,
    multiplier: ArrayLike = 1,
    settle: ArrayLike = 0,
    kind: ArrayLike = PERPETUAL,
    max_price: int = 10**9,
    price: Sequence[float] = (1.0,),
    tick: int = 0,
) -> MarketView:
    """One venue with one underlying: K marks in ticks; other columns may be single numbers.

    ``price`` has one entry per asset, value of a minor unit in minor units of the numeraire.
    """
    marks = np.atleast_1d(np.asarray(mark, dtype=float))
    k = len(marks)

    def whole(value: ArrayLike) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, dtype=np.int64), k).copy()

    contracts = Contracts(
        names=tuple(f"I{i}" for i in range(k)),
        venue=whole(0),
        underlying=whole(0),
        settle=whole(settle),
        kind=whole(kind),
        multiplier=whole(multiplier),
        tick=np.ones(k),
        lot=np.ones(k),
        max_price=whole(max_price),
    )
    none, zero = np.full(k, np.nan), np.zeros(k)
    return MarketView(
        tick=tick,
        contracts=contracts,
        mark=marks,
        bid=none,
        ask=none,
        last=marks.copy(),
        depth=zero,
        funding=zero,
        open_interest=whole(0),
        oracle=np.ones(1),
        confidence=np.ones(1),
        vol=np.full(k, 0.5),
        price=np.asarray(price, dtype=float),
        returns=np.zeros((0, 1)),
    )


def exposure(
    position: ArrayLike,
    mark: ArrayLike,
    balance: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    leverage: float = np.inf,
    bids: ArrayLike = 0,
    asks: ArrayLike = 0,
    **columns: ArrayLike,
) -> Exposure:
    """Build accounts by hand.

    Positions are (A, K) or (A,) lots, marks (K,) ticks, balances (A, C) or (A,) minor units.

    ``entry`` (A, K) is the value paid, signed like the position; the default is entry at the mark.
    `bids` and `asks` are resting lots. Further columns go to ``market``.
    """
    view = market(mark, **columns)  # type: ignore[arg-type]
    lots = np.asarray(position, dtype=np.int64).reshape(-1, len(view.mark))
    cash = np.asarray(balance, dtype=np.int64).reshape(len(lots), len(view.price))

    def like_lots(value: ArrayLike) -> np.ndarray:
        return np.broadcast_to(np.asarray(value, dtype=np.int64), lots.shape).copy()

    at_mark = (lots * view.mark * view.contracts.multiplier).astype(np.int64)
    return Exposure(
        balance=cash,
        pledged=np.zeros_like(cash),
        position=lots,
        bids=like_lots(bids),
        asks=like_lots(asks),
        reserved=np.zeros_like(lots),
        entry=at_mark if entry is None else np.asarray(entry, dtype=np.int64).reshape(lots.shape),
        leverage=np.full(lots.shape, leverage),
        market=view,
    )


def distress(
    accounts: int,
    since: ArrayLike = MISSING,
    acted: ArrayLike = MISSING,
    broke: ArrayLike = MISSING,
) -> DistressHistory:
    """Return ticks since accounts are liquidatable and bankrupt, and of their last close-outs."""
    columns = (since, acted, broke)
    return DistressHistory(
        *(np.broadcast_to(np.asarray(v, dtype=np.int64), accounts).copy() for v in columns)
    )
