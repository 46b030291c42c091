"""What an account holds besides the numeraire: the values that valuations cut."""

import numpy as np

from sim.types import F8, SPOT, Contracts, Exposure


def value_collateral(accounts: Exposure) -> tuple[F8, F8]:
    """Positive values of other assets, (A, C), and of spot positions, (A, K), minor units of the numeraire.

    What is held of an asset includes the derivatives that settle in it, for what they cost is in its balance. The
    numeraire's column is nil: nobody disallows cash.
    """
    spot = accounts.market.contracts.kind == SPOT
    return np.maximum(_value_assets(accounts), 0.0), np.where(
        spot, np.maximum(accounts.position_value(), 0.0), 0.0
    )


def value_debts(accounts: Exposure) -> F8:
    """What is owed of other assets, (A, C), minor units of the numeraire, at least nil; counted as in :func:`held`."""
    return np.maximum(-_value_assets(accounts), 0.0)


def _value_assets(accounts: Exposure) -> F8:
    """Signed values of other assets, derivatives that settle in them included, (A, C)."""
    contracts = accounts.market.contracts
    spot = contracts.kind == SPOT
    value = accounts.position_value()
    assets = accounts.balance * accounts.market.price
    for asset in range(1, assets.shape[1]):
        settled = (contracts.settle == asset) & ~spot
        if settled.any():
            assets[:, asset] += value[:, settled].sum(axis=1)
    assets[:, 0] = 0.0
    return assets


def map_shares_to_columns(
    contracts: Contracts, shares: dict[str, float], other: float
) -> tuple[F8, F8]:
    """Shares given by name as columns: of assets, (C,), and of instruments, (K,); those not named get ``other``."""
    assets = np.array([shares.get(name, other) for name in contracts.assets])
    return assets, np.array([shares.get(name, other) for name in contracts.names])


def convert_to_units(accounts: Exposure, assets: F8, spot: F8) -> tuple[F8, F8]:
    """How much is held in units of each asset, (A, C), and of each spot's underlying, (A, K).

    Args:
        accounts: the accounts.
        assets: values, as :func:`held` gives them.
        spot: values of spot positions.
    """
    market, units = accounts.market, np.array(accounts.market.contracts.units, dtype=np.float64)
    lots = np.where(spot > 0, np.maximum(accounts.position, 0), 0)
    return assets / (market.price * units), lots * market.contracts.lot
