"""Kernels of the index, the oracles and the funding that is due (phases 1 to 3)."""

import numpy as np

from sim.numerics.account_sums import copy_values, sum_pairwise
from sim.numerics.jit import kernel
from sim.prices.impact import compute_index, compute_log_returns
from sim.types import B1, F8, I8

CALL_PYTHON = 1
"""Result of a kernel that leaves its work to its plain counterpart."""


@kernel
def update_index(
    tick: int,
    log_price: F8,
    log_impact: F8,
    decay: F8,
    slope: F8,
    position: I8,
    external: int,
    external_spot_lots: I8,
    lot: F8,
    underlying: I8,
    index: F8,
) -> int:
    """Add the impact of the last step's spot purchases (IDX-2)."""
    before = compute_index(log_price[tick], log_impact)
    bought = np.zeros(index.size)
    for k in range(lot.size):
        lots = external_spot_lots[k] - position[k, external]
        bought[underlying[k]] += lots * lot[k] * before[underlying[k]]
        external_spot_lots[k] = position[k, external]
    for u in range(index.size):
        log_impact[u] = log_impact[u] * decay[u] + slope[u] * bought[u]
    copy_values(compute_index(log_price[tick], log_impact), index)
    return 0


@kernel
def read_asset_prices(
    tick: int, scale: F8, path: F8, price: F8, settle: I8, quote_price: F8
) -> int:
    """Read the prices of assets, minor units of the numeraire, and of each settle asset."""
    for asset in range(price.size):
        price[asset] = scale[asset] * path[tick, asset]
    for k in range(settle.size):
        quote_price[k] = price[settle[k]]
    return 0


@kernel
def is_payment_due(tick: int, seconds: F8, next_payment: F8) -> int:
    """Call the plain phase if a funding payment is due (FUND-1)."""
    return CALL_PYTHON if seconds[tick] >= next_payment[0] else 0


@kernel
def publish_oracle(
    tick: int,
    index: F8,
    oracle: F8,
    returns: F8,
    quotes: F8,
    previous_quotes: F8,
    is_book_empty: B1,
    was_book_empty: B1,
    seen: I8,
) -> int:
    """Publish the index as the price of an exact oracle, and keep the quotes of the last mark."""
    seen[0] = tick
    for k in range(is_book_empty.size):
        was_book_empty[k] = is_book_empty[k]
        for row in range(len(quotes)):
            previous_quotes[row, k] = quotes[row, k]
    copy_values(compute_log_returns(index, oracle), returns[tick - 1])
    copy_values(index, oracle)
    return 0


@kernel
def learn_volatility(
    tick: int,
    returns: F8,
    underlying: I8,
    variance: F8,
    per_year: F8,
    weight: float,
    total_weight: F8,
    volatility: F8,
) -> int:
    """Update a venue's volatility with the last returns of the oracle (IDX-3)."""
    for k in range(variance.size):
        last = returns[tick - 1, underlying[k]]
        square = last * last * per_year[k]
        variance[k] = variance[k] + weight * (square - variance[k])
        volatility[k] = np.sqrt(variance[k] / total_weight[tick])
    return 0


@kernel
def measure_crowd(
    tick: int,
    open_interest: I8,
    lot_value: F8,
    is_spot: B1,
    sums: F8,
    pools: I8,
    wallet_value: F8,
    crowd: F8,
) -> int:
    """Measure gross notional of derivatives over equity, at the last step."""
    notional = np.zeros(crowd.size)
    count = 0
    for k in range(crowd.size):
        if not is_spot[k]:
            notional[count] = open_interest[k] * lot_value[k]
            count += 1
    gross = 2.0 * sum_pairwise(notional[:count])
    equity = 0.0
    for place in range(pools.size):
        equity += sums[pools[place], 0]
    equity += wallet_value[0]
    crowd[:] = gross / equity if equity > 0 else np.nan
    return 0


@kernel
def value_lots(
    tick: int, mark: F8, multiplier: I8, quote_price: F8, lot_value: F8, unit_value: I8
) -> int:
    """Value one lot of each instrument at its mark, in the numeraire and in the settle asset."""
    for k in range(mark.size):
        lot_value[k] = mark[k] * multiplier[k] * quote_price[k]
        unit_value[k] = np.int64(mark[k] * multiplier[k])
    return 0
