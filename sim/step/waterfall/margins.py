"""Equity and margins of one account, compiled; `sim.margin` states the same rules."""

import numpy as np

from sim.margin.rounding import round_up_sum
from sim.margin.tiers.tier_kernels import compute_tiered_margins
from sim.margin.valuations.cash import sum_noncash_values
from sim.numerics.jit import kernel
from sim.step.waterfall.tables import (
    COUNT,
    FIRST,
    FUND_OWNER,
    KIND,
    LOT_VALUE,
    MARK,
    MULTIPLIER,
    POOL,
    SETTLE,
    WALLET,
    Accounts,
    Pool,
)
from sim.types import SPOT


@kernel
def value_wallet(pool: Pool, accounts: Accounts) -> float:
    """Return the value of the fund's wallet, minor units of the numeraire."""
    value, wallet, fund = 0.0, pool.state[WALLET], pool.state[FUND_OWNER]
    for asset in range(pool.price.size):
        value += accounts.balance[asset, wallet, fund] * pool.price[asset]
    return value


@kernel
def assess_accounts(
    pool: Pool, accounts: Accounts, one: int, other: int, with_wallet: int
) -> tuple[float, float, float]:
    """Return equity, initial and maintenance of the sum of two accounts of the pool.

    The valuation is cash, and the requirement that of the brackets.

    Args:
        pool: terms of the pool.
        accounts: of the pool.
        one: owner.
        other: another owner, or MISSING for one account alone.
        with_wallet: 1 to add the fund's separate wallet.
    """
    state, legs, terms, equity = pool.state, pool.legs, pool.terms, 0.0
    number, first, count, assets = state[POOL], state[FIRST], state[COUNT], pool.price.size
    balance, position = np.empty((1, assets), np.int64), np.empty((1, count), np.int64)
    leverage, is_spot = np.empty((1, count)), np.empty(count, dtype=np.bool_)
    for asset in range(assets):
        balance[0, asset] = accounts.balance[asset, number, one]
        if other >= 0:
            balance[0, asset] += accounts.balance[asset, number, other]
        if with_wallet:
            balance[0, asset] += accounts.balance[asset, state[WALLET], state[FUND_OWNER]]
        equity += balance[0, asset] * pool.price[asset]
    for k in range(count):
        position[0, k] = accounts.position[first + k, one]
        if other >= 0:
            position[0, k] += accounts.position[first + k, other]
        leverage[0, k], is_spot[k] = np.inf, terms[KIND, k] == SPOT
        equity += position[0, k] * legs[LOT_VALUE, k]
    initial, maintenance = compute_tiered_margins(
        position, leverage, legs[LOT_VALUE], is_spot, pool.brackets
    )
    for step in range(len(pool.factors)):
        factor, ratio = pool.factors[step, 0], pool.factors[step, 1]
        initial[0] = factor * initial[0]
        maintenance[0] = factor * maintenance[0] if np.isnan(ratio) else ratio * initial[0]
    haircut = sum_noncash_values(
        balance,
        position,
        pool.price,
        legs[MARK],
        terms[MULTIPLIER],
        terms[SETTLE],
        terms[KIND],
    )
    return equity, round_up_sum(haircut, initial)[0], round_up_sum(haircut, maintenance)[0]
