"""Collateral of an account besides the numeraire: the values to which valuations apply haircuts."""

import numpy as np

from sim.margin import leg_values
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, SPOT, Contracts, Exposure


def value_collateral(accounts: Exposure) -> tuple[F8, F8]:
    """Return the positive values of other assets and of spot positions.

    The amount held of an asset includes the derivatives that settle in it, because their cost is in
    its balance. The numeraire's column is zero: cash has no haircut.

    Returns:
        (A, C) of assets and (A, K) of spot positions, minor units of the numeraire.
    """
    spot = accounts.market.contracts.kind == SPOT
    return np.maximum(_value_assets(accounts), 0.0), np.where(
        spot, np.maximum(accounts.position_value(), 0.0), 0.0
    )


def value_debts(accounts: Exposure) -> F8:
    """Return the debts in other assets, (A, C), minor units of the numeraire, >= 0.

    They include derivatives as in :func:`value_collateral`.
    """
    return np.maximum(-_value_assets(accounts), 0.0)


def _value_assets(accounts: Exposure) -> F8:
    """Return the signed values of other assets, with derivatives that settle in them, (A, C)."""
    contracts = accounts.market.contracts
    spot = contracts.kind == SPOT
    value = accounts.position_value()
    assets = accounts.balance * accounts.market.price
    for asset in range(1, assets.shape[1]):
        settled = (contracts.settle == asset) & ~spot
        if settled.any():
            assets[:, asset] += leg_values.sum_legs(value[:, settled])
    assets[:, 0] = 0.0
    return assets


def map_shares_to_columns(
    contracts: Contracts, shares: dict[str, float], other: float
) -> tuple[F8, F8]:
    """Return shares given by name as columns; names that are not given get ``other``.

    Returns:
        (C,) of assets and (K,) of instruments.
    """
    assets = np.array([shares.get(name, other) for name in contracts.assets])
    return assets, np.array([shares.get(name, other) for name in contracts.names])


def convert_to_units(accounts: Exposure, assets: F8, spot: F8) -> tuple[F8, F8]:
    """Return amounts held in units of each asset, (A, C), and of each spot's underlying, (A, K).

    Args:
        accounts: the accounts.
        assets: values of assets, as :func:`value_collateral` returns them.
        spot: values of spot positions.
    """
    market = accounts.market
    units = np.array(market.contracts.units, dtype=np.float64)
    lots = np.where(spot > 0, np.maximum(accounts.position, 0), 0)
    return assets / (market.price * units), lots * market.contracts.lot


@kernel
def value_asset(
    asset: int,
    account: int,
    position: I8,
    balance: I8,
    pool: int,
    lot_value: F8,
    is_spot: B1,
    settle: I8,
    price: F8,
) -> float:
    """Return the signed value of one asset of an account, with derivatives that settle in it.

    Positions are (K, A) and balances (C, P, A). The numeraire has no haircut: its value is zero.
    """
    if asset == 0:
        return 0.0
    settled = 0.0
    for k in range(lot_value.size):
        if settle[k] == asset and not is_spot[k]:
            settled += position[k, account] * lot_value[k]
    return balance[asset, pool, account] * price[asset] + settled


@kernel
def value_spot(k: int, account: int, position: I8, lot_value: F8, is_spot: B1) -> float:
    """Return the value of one spot position of an account, zero for what is owed."""
    return max(position[k, account] * lot_value[k], 0.0) if is_spot[k] else 0.0
