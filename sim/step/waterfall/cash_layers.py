"""Socialised losses and take-overs by the fund, compiled.

`sim.waterfall.socialised` and `sim.waterfall.fund` state the same rules with numpy.
"""

import numpy as np

from sim.numerics.jit import kernel
from sim.step.waterfall.division import divide_capped
from sim.step.waterfall.margins import assess_accounts
from sim.step.waterfall.postings import pay, post_trades, write_fill
from sim.step.waterfall.tables import (
    CHOICE,
    COUNT,
    DUES,
    FIRST,
    FUND_OWNER,
    HAS_SEPARATE_WALLET,
    IS_ELIGIBLE,
    LAYER,
    MARK,
    N_FILLS,
    PASSED,
    POOL,
    PROFIT,
    SEEN,
    SHARE,
    Accounts,
    Pool,
)
from sim.types import I8, MISSING


@kernel
def share_loss(pool: Pool, accounts: Accounts, deficit: int) -> int:
    """Write what each eligible account owes as dues; return the number of accounts.

    Their rows are the first of PASSED, ascending.
    """
    rows, by_profit = accounts.whole[PASSED], pool.layers[CHOICE, pool.state[LAYER]] == 1
    base, caps = np.empty(rows.size, dtype=np.int64), np.empty(rows.size, dtype=np.int64)
    size = count = 0
    is_eligible, seen, profit = (
        accounts.flags[IS_ELIGIBLE],
        accounts.money[SEEN],
        accounts.money[PROFIT],
    )
    for row in range(rows.size):
        if is_eligible[row]:
            means = int(max(seen[row], 0.0))
            weight = int(max(profit[row], 0.0)) if by_profit else means
            if weight > 0:
                rows[size], base[size], caps[size] = row, weight, min(weight, means)
                size += 1
    dues = divide_capped(deficit, base[:size], caps[:size])
    for place in range(size):
        if dues[place] > 0:
            accounts.whole[DUES, rows[place]] = dues[place]
            rows[count] = rows[place]
            count += 1
    return count


@kernel
def take_over(
    pool: Pool, accounts: Accounts, account: int, deficit: int, fills: I8
) -> tuple[I8, int]:
    """Move positions at the mark and every balance of an account to the fund, if it can (LIQ-3).

    It can if its equity then covers its own initial margin. A separate wallet pays what its account
    then needs.

    Returns:
        Table of fills, and the deficit, or zero if nothing was done.
    """
    state, fund = pool.state, pool.state[FUND_OWNER]
    if fund in (MISSING, account):
        return fills, 0
    if deficit > pool.layers[SHARE, state[LAYER]] * accounts.money[SEEN, fund]:
        return fills, 0
    after = assess_accounts(pool, accounts, fund, account, state[HAS_SEPARATE_WALLET])
    if after[0] < after[1]:
        return fills, 0
    fills = assume_account(pool, accounts, account, fills)
    if state[HAS_SEPARATE_WALLET]:
        after = assess_accounts(pool, accounts, fund, MISSING, 0)
        lacking = int(np.ceil(max(0.0, after[1] - after[0])))
        pay(pool, accounts, fund, fund, 0, lacking, True)
    return fills, deficit


@kernel
def assume_account(pool: Pool, accounts: Accounts, account: int, fills: I8) -> I8:
    """Move positions at the mark and every balance of an account to the fund; return the fills.

    The fund is the first of PASSED.
    """
    state, fund, first = pool.state, pool.state[FUND_OWNER], pool.state[N_FILLS]
    for k in range(state[COUNT]):
        lots = accounts.position[state[FIRST] + k, account]
        if lots != 0:
            price = int(pool.legs[MARK, k])
            fills = write_fill(state, fills, account, fund, k, -lots, price)
    post_trades(pool, accounts, fills, first)
    for asset in range(pool.price.size):
        amount = accounts.balance[asset, state[POOL], account]
        pay(pool, accounts, account, fund, asset, amount, False)
    accounts.whole[PASSED, 0] = fund
    return fills
