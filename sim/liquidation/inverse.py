"""Bankruptcy and liquidation prices of inverse contracts.

Notional is in quote currency; profit and margin are in the coin. The ledger lists linear
instruments only. These closed forms are for contracts of Q units of quote currency. Their profit in
the coin is s Q (1 / entry - 1 / price) for side s (+1 long). Margin is required on the value at
entry, and the fees of closing at the bankruptcy price are included. Source: Bybit help centre,
"Liquidation Price (Inverse Contract)" and "What is Auto-Deleveraging" (2023); later pages have
another form. All arguments may be arrays of one shape.
"""

from typing import NamedTuple

import numpy as np

from sim.types import F8


class InversePosition(NamedTuple):
    """Position under cross margin."""

    contracts: F8  # Q, size in quote currency
    entry: F8  # average entry price
    balance: F8  # available balance, less the margin of orders, in the coin
    side: F8  # +1 long, -1 short


def compute_isolated_bankruptcy(entry: F8, leverage: F8, side: F8) -> F8:
    """Return the price at which the margin is lost: entry x L / (L + s).

    It is infinite for a short of leverage 1 or less.
    """
    return _divide_or_infinite(np.asarray(entry) * leverage, np.asarray(leverage) + side)


def compute_isolated_liquidation(entry: F8, leverage: F8, side: F8, *, rate: float) -> F8:
    """Return the price at which margin falls to maintenance: entry x L / (L + s (1 - rate L)).

    It is infinite for a short that never reaches it.
    """
    return _divide_or_infinite(
        np.asarray(entry) * leverage,
        leverage + np.asarray(side) * (1.0 - rate * np.asarray(leverage)),
    )


def compute_cross_bankruptcy(held: InversePosition, fee: float) -> F8:
    """Return the price at which all of the balance is lost, closing fee included.

    It is (1 + s fee) Q / (Q / entry + s balance).

    Args:
        held: the position.
        fee: taker fee (share of notional).
    """
    size = np.asarray(held.contracts, dtype=np.float64)
    way = np.asarray(held.side)
    return _divide_or_infinite((1.0 + way * fee) * size, size / held.entry + way * held.balance)


def compute_cross_liquidation(held: InversePosition, rate: float, fee: float) -> F8:
    """Return the price at which the loss leaves just maintenance and the closing fee.

    s Q (1 / entry - 1 / LP) = -(balance - rate x Q / entry - closing fee). The closing fee is that
    at the bankruptcy price, Q fee / BP.

    Args:
        held: the position.
        rate: maintenance rate (share of the value at entry).
        fee: taker fee (share of notional).
    """
    size = np.asarray(held.contracts, dtype=np.float64)
    spare = (
        held.balance - size / held.entry * rate - size * fee / compute_cross_bankruptcy(held, fee)
    )
    return _divide_or_infinite(size, size / held.entry + np.asarray(held.side) * spare)


def _divide_or_infinite(numerator: F8, denominator: F8) -> F8:
    """Return a price, infinite if no price is high enough."""
    top, bottom = np.broadcast_arrays(numerator, denominator)
    return np.divide(top, bottom, out=np.full(top.shape, np.inf), where=bottom > 0)
