"""Notional of each leg, and shares of a sum over legs, for requirements that add up positions."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, SPOT, Exposure, MarketView


def compute_lot_values(market: MarketView) -> tuple[F8, B1]:
    """Return the value of one lot of each instrument, and which instruments are spot.

    The first is ``MarketView.lot_value``, computed here in one compiled call because requirements
    need it for every portfolio.

    Returns:
        (K,) minor units of the numeraire per lot, and (K,) True for spot.
    """
    contracts = market.contracts
    return _compute_lot_values(
        market.mark, contracts.multiplier, market.price, contracts.settle, contracts.kind
    )


@kernel
def _compute_lot_values(mark: F8, multiplier: I8, price: F8, settle: I8, kind: I8) -> tuple[F8, B1]:
    lot_value, spot = np.empty(mark.size), np.empty(mark.size, dtype=np.bool_)
    for k in range(mark.size):
        lot_value[k] = mark[k] * multiplier[k] * price[settle[k]]
        spot[k] = kind[k] == SPOT
    return lot_value, spot


def compute_gross_notional(accounts: Exposure) -> F8:
    """Return the absolute value of each position at the mark.

    Returns:
        (A, K) minor units of the numeraire.
    """
    value: F8 = np.abs(accounts.position) * compute_lot_values(accounts.market)[0]
    return value


def compute_margined_notional(accounts: Exposure) -> F8:
    """Return the notional that requires margin, (A, K).

    This is the gross notional, but zero for long spot, which is paid in full (LED-3).
    """
    spot = accounts.market.contracts.kind == SPOT
    return np.where(spot & (accounts.position > 0), 0.0, compute_gross_notional(accounts))


def keep_legs(accounts: Exposure, seen: B1) -> Exposure:
    """Return the same accounts with only the positions whose entry in ``seen``, (K,), is True."""
    return accounts._replace(
        position=np.where(seen, accounts.position, 0), entry=np.where(seen, accounts.entry, 0)
    )


def normalise_shares(legs: F8, gross: F8) -> F8:
    """Return each leg's part of the sum over an account's legs, (A, K).

    Shares are those of the gross notional where the sum is zero.
    """
    legs = np.where(sum_legs(legs)[:, None] > 0, legs, gross)
    total = sum_legs(legs)[:, None]
    return legs / np.where(total > 0, total, 1.0)


def sum_legs(values: F8) -> F8:
    """Return the sums over instruments, (A,), of amounts by leg, (A, K).

    Legs are added one after another, so that an account's sum depends neither on the layout of the
    table nor on the number of accounts, as it does in ``numpy.sum``.
    """
    total = np.zeros(len(values))
    for column in values.T:
        total += column
    return total


@kernel
def normalise_leg_shares(count: int, position: I8, lot_value: F8, shares: F8) -> None:
    """Divide each leg by the sum over an account's legs, (K, A): see :func:`normalise_shares`."""
    for account in range(count):
        total = 0.0
        for k in range(lot_value.size):
            total += shares[k, account]
        if not total > 0:
            total = 0.0
            for k in range(lot_value.size):
                shares[k, account] = abs(position[k, account]) * lot_value[k]
                total += shares[k, account]
        for k in range(lot_value.size):
            shares[k, account] = shares[k, account] / (total if total > 0 else 1.0)


@kernel
def value_margined_leg(lots: int, lot_value: float, is_spot: bool) -> float:
    """Return the notional of one leg that requires margin, zero for long spot (LED-3)."""
    return 0.0 if is_spot and lots > 0 else abs(lots) * lot_value


@kernel
def share_single_leg(tick: int, count: I8, position: I8, shares: F8) -> int:
    """Write the shares of accounts whose pool has one instrument: all of it where it is held."""
    for a in range(count[0]):
        shares[0, a] = 1.0 if position[0, a] != 0 else 0.0
    return 0


@kernel
def normalise_all_shares(tick: int, count: I8, position: I8, lot_value: F8, shares: F8) -> int:
    """Divide each leg of the accounts in use by the sum over an account's legs."""
    normalise_leg_shares(count[0], position, lot_value, shares)
    return 0
