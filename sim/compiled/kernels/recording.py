"""Kernels that record a step without close-outs (phase 10)."""

import numpy as np

from sim.numerics.account_sums import sum_pairwise
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8

(
    INDEX,
    EXOGENOUS,
    ORACLE,
    MARK,
    MID_PRICE,
    BID,
    ASK,
    LAST,
    DEPTH,
    DEPTH_NEAR,
    FUNDING,
    FEEDBACK,
    MARGIN_LONG,
    MARGIN_SHORT,
) = range(14)
"""Rows of the recorder's prices and rates."""

(OPEN_INTEREST, GROSS, TO_SELL, TO_BUY, VOLUME, TRADES, MARKOUT) = range(7)
"""First rows of the recorder's counts."""

(FUND, EQUITY, INITIAL, MAINTENANCE, DEPOSITS, WITHDRAWALS, ADDED, REMOVED, SHORTFALL, CALLS) = (
    range(10)
)
"""First rows of the recorder's money; calls met and missed are the next."""


@kernel
def record_prices(
    tick: int,
    index: F8,
    log_price: F8,
    underlying: I8,
    oracle: F8,
    tick_size: F8,
    mark: F8,
    mid: F8,
    bid: F8,
    ask: F8,
    last: F8,
    depth: F8,
    depth_near: F8,
    funding: F8,
    max_leverage_long: F8,
    max_leverage_short: F8,
    has_missing_side: B1,
    first: int,
    prices: F8,
    fallback: B1,
) -> int:
    """Record a venue's prices in quote currency, and its margin rates.

    The exogenous index is that of ``log_price`` (T + 1, U), without impact.
    """
    row = tick - 1
    for k in range(mark.size):
        place, u, size = first + k, underlying[k], tick_size[k]
        prices[INDEX, row, place] = index[u]
        prices[EXOGENOUS, row, place] = np.exp(log_price[tick, u] + 0.0)
        prices[ORACLE, row, place] = oracle[u]
        prices[MARK, row, place] = mark[k] * size
        prices[MID_PRICE, row, place] = mid[k] * size
        prices[BID, row, place], prices[ASK, row, place] = bid[k] * size, ask[k] * size
        prices[LAST, row, place] = last[k] * size
        prices[DEPTH, row, place], prices[DEPTH_NEAR, row, place] = depth[k], depth_near[k]
        prices[FUNDING, row, place] = funding[k]
        prices[MARGIN_LONG, row, place] = 1 / max_leverage_long[k]
        prices[MARGIN_SHORT, row, place] = 1 / max_leverage_short[k]
        fallback[row, place] = has_missing_side[k]
    return 0


@kernel
def record_counts(
    tick: int,
    external: int,
    position: I8,
    mark: F8,
    multiplier: I8,
    quote_price: F8,
    open_interest: I8,
    to_sell: I8,
    to_buy: I8,
    trade_sums: I8,
    counts: I8,
) -> int:
    """Record counts of all instruments: lots, trades, gross notional and gain of makers."""
    row = tick - 1
    for k in range(mark.size):
        lots = 0
        for owner in range(external):
            lots += abs(position[k, owner])
        unit = multiplier[k] * quote_price[k]
        gain = (trade_sums[3, k] - trade_sums[2, k] * mark[k]) * unit
        counts[OPEN_INTEREST, row, k] = open_interest[k]
        counts[GROSS, row, k] = np.int64(np.rint(lots * mark[k] * unit))
        counts[TO_SELL, row, k], counts[TO_BUY, row, k] = to_sell[k], to_buy[k]
        counts[VOLUME, row, k] += trade_sums[1, k]
        counts[TRADES, row, k] += trade_sums[0, k]
        counts[MARKOUT, row, k] = np.int64(np.rint(gain))
    return 0


@kernel
def record_money(
    tick: int,
    venue: int,
    sums: F8,
    pools: I8,
    wallet_value: F8,
    fund_equity: F8,
    paid: I8,
    money: I8,
) -> int:
    """Record a venue's sums over the accounts of its pools; ``sums`` is (P, 3)."""
    for column in range(3):
        total = 0.0
        for place in range(pools.size):
            total += sums[pools[place], column]
        if column == 0:
            total += wallet_value[0]
        money[EQUITY + column, tick, venue] = np.int64(np.rint(total))
    money[FUND, tick, venue] = np.int64(np.rint(fund_equity[0]))
    money[DEPOSITS, tick, venue], money[WITHDRAWALS, tick, venue] = paid[0], paid[1]
    for row in range(3):
        money[CALLS + row, tick, venue] = paid[2 + row]
    money[ADDED, tick, venue], money[REMOVED, tick, venue] = paid[5], paid[6]
    return 0


@kernel
def value_wallets(
    tick: int, balance: I8, wallet_pool: int, external: int, price: F8, total: F8
) -> int:
    """Value participants' separate wallets, minor units of the numeraire."""
    value = np.zeros(external)
    for owner in range(external):
        for asset in range(price.size):
            value[owner] += balance[asset, wallet_pool, owner] * price[asset]
    total[0] = sum_pairwise(value)
    return 0


@kernel
def value_fund(
    tick: int,
    fund: int,
    balance: I8,
    wallet_pool: int,
    has_separate_wallet: int,
    price: F8,
    assessed: F8,
    pools: I8,
    total: F8,
) -> int:
    """Value the insurance fund's accounts at its venue, minor units of the numeraire."""
    value = 0.0
    if has_separate_wallet:
        for asset in range(price.size):
            value += balance[asset, wallet_pool, fund] * price[asset]
    for place in range(pools.size):
        value += assessed[pools[place], 0, fund]
    total[0] = value
    return 0
