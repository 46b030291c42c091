"""Kernels of quotes, marks and depth after trading (phase 7)."""

import numpy as np

from sim.compiled.arrays import BASIS, LAST, MID, ORACLE
from sim.exchange import matching, order_ladder
from sim.exchange.mark import compute_one_median_mark
from sim.exchange.order_ladder import HEADER, LEVELS, STRIDE
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, MISSING


@kernel
def sum_depth_near(data: I8, instrument: int, mark: float, share: float) -> tuple[int, int]:
    """Return lots bid and offered within a share of the mark of one instrument."""
    low, high = int(np.ceil(mark * (1 - share))), int(np.floor(mark * (1 + share)))
    return matching.sum_depth_of(data, instrument, low, high)


@kernel
def read_books(
    tick: int,
    data: I8,
    mark: F8,
    bid: F8,
    ask: F8,
    last: F8,
    depth: F8,
    imbalance: F8,
    position: I8,
    open_interest: I8,
) -> int:
    """Read best prices, depth within 1% of the old mark, and open interest."""
    for k in range(mark.size):
        bids, asks = sum_depth_near(data, k, mark[k], 0.01)
        base = HEADER + k * data[STRIDE]
        best_bid, best_ask = data[base + order_ladder.BID], data[base + order_ladder.ASK]
        traded = data[base + order_ladder.LAST]
        bid[k] = np.nan if best_bid == 0 else float(best_bid)
        ask[k] = np.nan if best_ask > data[LEVELS] else float(best_ask)
        last[k] = np.nan if traded == MISSING else float(traded)
        both = float(bids + asks)
        depth[k] = both / 2
        imbalance[k] = (bids - asks) / both if both > 0 else np.nan
        held = 0
        for owner in range(position.shape[1]):
            held += abs(position[k, owner])
        open_interest[k] = held // 2
    return 0


@kernel
def update_quotes(
    tick: int,
    bid: F8,
    ask: F8,
    last: F8,
    oracle_ticks: F8,
    quotes: F8,
    is_book_empty: B1,
    has_missing_side: B1,
) -> int:
    """Update the inputs of the mark, except the basis."""
    for k in range(bid.size):
        quotes[MID, k] = (bid[k] + ask[k]) / 2
        quotes[LAST, k], quotes[ORACLE, k] = last[k], oracle_ticks[k]
        has_no_bid, has_no_ask = np.isnan(bid[k]), np.isnan(ask[k])
        has_missing_side[k] = has_no_bid or has_no_ask
        is_book_empty[k] = has_no_bid and has_no_ask
    return 0


@kernel
def mark_by_median(
    tick: int, quotes: F8, is_book_empty: B1, weight: float, clamp: float, mark: F8
) -> int:
    """Mark at the median of mid, last and fair price: see ``sim.exchange.mark.MedianMark``."""
    for k in range(mark.size):
        mid, basis = quotes[MID, k], quotes[BASIS, k]
        if not np.isnan(mid):
            quotes[BASIS, k] = basis + weight * (mid / quotes[ORACLE, k] - 1 - basis)
        mark[k] = compute_one_median_mark(
            mid, quotes[LAST, k], quotes[ORACLE, k], quotes[BASIS, k], is_book_empty[k], clamp
        )
    return 0


@kernel
def mark_quotes(
    clamp: float, mid: float, last: float, oracle: float, basis: float, is_empty: bool
) -> float:
    """Return the mark of one instrument: the median's, or the book's if ``clamp`` is negative."""
    if clamp < 0:
        return np.rint(last if np.isnan(mid) else mid)
    return compute_one_median_mark(mid, last, oracle, basis, is_empty, clamp)


@kernel
def mark_by_book(tick: int, quotes: F8, mark: F8) -> int:
    """Mark at the mid of the book, or the last trade: see ``sim.exchange.mark.BookMark``."""
    for k in range(mark.size):
        mid = quotes[MID, k]
        mark[k] = np.rint(quotes[LAST, k] if np.isnan(mid) else mid)
    return 0


@kernel
def sample_premium(tick: int, bid: F8, ask: F8, oracle_ticks: F8, sums: F8, samples: I8) -> int:
    """Add one observation of the premium: see ``sim.exchange.funding.PremiumAverage``."""
    for k in range(bid.size):
        over = np.fmax(0.0, bid[k] - oracle_ticks[k])
        under = np.fmax(0.0, oracle_ticks[k] - ask[k])
        sums[k] = sums[k] + (over - under) / oracle_ticks[k]
    samples[0] += 1
    return 0


@kernel
def measure_near_depth(tick: int, data: I8, mark: F8, depth_near: F8) -> int:
    """Measure lots within 0.1% of each mark, mean of both sides."""
    for k in range(mark.size):
        bids, asks = sum_depth_near(data, k, mark[k], 0.001)
        depth_near[k] = (bids + asks) / 2
    return 0
