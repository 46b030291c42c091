"""Kernels that value one account or one wallet."""

from sim.numerics.account_sums import add_values
from sim.numerics.jit import kernel
from sim.types import F8, I8


@kernel
def value_account(
    row: int, owner: int, balance: I8, pool: int, price: F8, position: I8, lot_value: F8
) -> float:
    """Return the equity of one account, added in the order of ``account_sums.sum_equity``."""
    equity = 0.0
    for asset in range(price.size):
        equity += balance[asset, pool, owner] * price[asset]
    for k in range(lot_value.size):
        equity += position[k, row] * lot_value[k]
    return equity


@kernel
def value_accounts(
    first: int, balance: I8, pool: int, price: F8, position: I8, lot_value: F8, equity: F8
) -> None:
    """Write the equity of accounts from ``first`` on, (A,); see :func:`value_account`.

    Every inner loop runs down one column, which compiles to vector instructions.
    """
    equity[:] = 0.0
    here = slice(first, first + equity.size)
    for asset in range(price.size):
        add_values(balance[asset, pool, here], price[asset], equity)
    for k in range(lot_value.size):
        add_values(position[k, here], lot_value[k], equity)


@kernel
def find_free_wallet_cash(owner: int, balance: I8, wallet_pool: int, price: F8) -> float:
    """Return what a wallet can pay in the numeraire, at most its total value (ISO-1)."""
    value = 0.0
    for asset in range(price.size):
        value += balance[asset, wallet_pool, owner] * price[asset]
    return max(min(float(balance[0, wallet_pool, owner]), value), 0.0)
