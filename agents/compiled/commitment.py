"""Kernels that commit wallets to margin accounts (ISO-1)."""

import numpy as np

from sim.compiled.kernels.accounts import EQUITY
from sim.compiled.kernels.payments import send_payment
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8


@kernel
def find_available_cash(wallet: I8, price: F8) -> int:
    """Return the cash that a wallet can pay, the smaller of its numeraire and its value.

    Args:
        wallet: (C,) minor units of each asset.
        price: (C,) minor units of the numeraire per minor unit.
    """
    value = 0.0
    for asset in range(price.size):
        value += wallet[asset] * price[asset]
    return int(max(min(np.floor(value), float(wallet[0])), 0.0))


@kernel
def list_available_cash(wallets: I8, price: F8) -> I8:
    """Return the cash that each wallet can pay, of (n, C); see :func:`find_available_cash`."""
    cash = np.empty(len(wallets), dtype=np.int64)
    for i in range(cash.size):
        cash[i] = find_available_cash(wallets[i], price)
    return cash


@kernel
def divide_cash(cash: int, equity: F8, amount: I8) -> None:
    """Set the cash that each of an owner's accounts receives when the poorest are levelled up.

    Args:
        cash: minor units.
        equity: (g,) equity of the accounts, inf = closed.
        amount: (g,) out, whole minor units.
    """
    level, total = np.inf, 0.0
    poorest = np.sort(equity)
    for j in range(poorest.size):
        total = poorest[j] if j == 0 else total + poorest[j]
        level = min(level, (cash + total) / (j + 1))
    for j in range(equity.size):
        amount[j] = int(np.floor(max(level - equity[j], 0.0)))


@kernel
def allocate_cash(cash: I8, equity: F8) -> I8:
    """Return the cash that each account receives when the least equities are levelled up.

    The level is the minimum, over all j, of the equity that the j poorest accounts would reach if
    they alone shared the cash.

    Args:
        cash: (r,) cash of each owner, minor units.
        equity: (r, g) equity of its accounts, minor units.

    Returns:
        (r, g) whole minor units.
    """
    amount = np.empty(equity.shape, dtype=np.int64)
    for row in range(len(equity)):
        divide_cash(cash[row], equity[row], amount[row])
    return amount


@kernel
def commit_wallets(
    tick: int,
    payments: I8,
    counters: I8,
    owner: int,
    members: int,
    venue: int,
    wallet_pool: int,
    balance: I8,
    price: F8,
    instruments: I8,
    pools: I8,
    assessed: F8,
    is_open: B1,
) -> int:
    """Pay whole wallets into margin accounts.

    Args:
        tick: present tick.
        payments, counters: payments of the step.
        owner: owner of the first member.
        members: number of members.
        venue: venue of the accounts.
        wallet_pool: pool of its wallets.
        balance: (C, P, N) minor units.
        price: (C,) minor units of the numeraire per minor unit.
        instruments: (n, g) instruments of the accounts, or (1, g) for all members.
        pools: (K,) pool of each instrument.
        assessed: (P, 3, N) last assessment.
        is_open: (n, g) accounts that receive payments, or (1, 1) True for all.
    """
    accounts = instruments.shape[1]
    equity, amount = np.empty(accounts), np.empty(accounts, dtype=np.int64)
    for i in range(members):
        cash = find_available_cash(balance[:, wallet_pool, owner + i], price)
        if cash <= 0:
            continue
        row, has_open = min(i, len(instruments) - 1), False
        for j in range(accounts):
            takes = is_open[min(i, len(is_open) - 1), min(j, is_open.shape[1] - 1)]
            own = assessed[pools[instruments[row, j]], EQUITY, owner + i]
            equity[j] = own if takes else np.inf
            has_open |= takes
        if has_open:
            divide_cash(cash, equity, amount)
            for j in range(accounts):
                send_payment(
                    payments, counters, owner + i, venue, instruments[row, j], amount[j], 0
                )
    return 0
