"""Scores of counterparties and the members of a queue, compiled.

`sim.waterfall.ranking` states the same scores with numpy.
"""

import numpy as np

from sim.numerics.jit import kernel
from sim.step.waterfall.tables import (
    ASSET_PRICE,
    BINANCE,
    BITMEX,
    COUNT,
    FIRST,
    IS_ELIGIBLE,
    LOT_VALUE,
    MAINTENANCE,
    PROFIT,
    SEEN,
    UNIT_VALUE,
    Accounts,
    Pool,
)
from sim.types import F8, I8


@kernel
def compute_profit(pool: Pool, accounts: Accounts, row: int) -> float:
    """Return the unrealised profit of an account over all legs, minor units of the numeraire."""
    profit, first = 0.0, pool.state[FIRST]
    for k in range(pool.state[COUNT]):
        value = accounts.position[first + k, row] * pool.legs[LOT_VALUE, k]
        paid = np.copysign(np.float64(accounts.entry[first + k, row]), value)
        profit += value - paid * pool.legs[ASSET_PRICE, k]
    return profit


@kernel
def score_account(pool: Pool, accounts: Accounts, choice: int, k: int, row: int) -> float:
    """Return the score of an account with a position in instrument k and a positive equity."""
    first, equity = pool.state[FIRST], accounts.money[SEEN, row]
    if choice == BINANCE:
        unrealised = compute_profit(pool, accounts, row)
        wallet, ratio = equity - unrealised, accounts.money[MAINTENANCE, row] / equity
        return max(unrealised, 0.0) / max(wallet, 1.0) * ratio
    lots = accounts.position[first + k, row]
    value = abs(lots) * pool.legs[UNIT_VALUE, k]
    paid = float(max(abs(accounts.entry[first + k, row]), 1))
    if choice == BITMEX:
        gross = 0.0
        for leg in range(pool.state[COUNT]):
            gross += abs(accounts.position[first + leg, row] * pool.legs[LOT_VALUE, leg])
        profit, leverage = (value - paid) / paid, gross / equity
        if lots < 0:
            profit = -profit
        return profit * leverage if profit > 0 else profit / leverage
    gain = value / paid
    if lots < 0:
        gain = 1.0 / gain
    score = gain * (value * pool.legs[ASSET_PRICE, k] / equity)
    return score if gain > 1.0 else -1.0 / score


@kernel
def is_on_side(pool: Pool, accounts: Accounts, k: int, side: int, row: int) -> bool:
    """Return whether an account can be a counterparty on a side (1 = shorts)."""
    lots = accounts.position[pool.state[FIRST] + k, row]
    is_opposite = lots < 0 if side else lots > 0
    return is_opposite and accounts.flags[IS_ELIGIBLE, row]


@kernel
def list_side(pool: Pool, accounts: Accounts, choice: int, k: int, side: int) -> tuple[I8, F8, I8]:
    """Return the counterparties of a side with means, ascending, their scores and means."""
    owners = accounts.money.shape[1]
    rows, count = np.empty(owners, dtype=np.int64), 0
    for row in range(owners):
        equity = accounts.money[SEEN, row]
        if equity >= 1.0 and is_on_side(pool, accounts, k, side, row):
            rows[count] = row
            count += 1
    points, means = np.empty(count), np.empty(count, dtype=np.int64)
    for place in range(count):
        means[place] = int(np.floor(accounts.money[SEEN, rows[place]]))
        points[place] = score_account(pool, accounts, choice, k, rows[place])
    return rows[:count], points, means


@kernel
def write_profits(pool: Pool, accounts: Accounts) -> None:
    """Write the unrealised profit of every account."""
    for row in range(accounts.money.shape[1]):
        accounts.money[PROFIT, row] = compute_profit(pool, accounts, row)
