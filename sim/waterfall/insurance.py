"""Gain or cost of a liquidation fill for an insurance fund (dYdX v4)."""

import numpy as np

from sim.types import I8

MILLION = 1_000_000


def compute_fund_gain(received: I8, due: I8, max_fee: float) -> I8:
    """Return the fund's gain from close-out fills beyond the bankruptcy price, capped by the fee.

    d = received - due. The fund pays -d if d is below zero. Otherwise it receives min(d, max_fee x
    |received|), rounded down, and the account keeps the rest. Source: dydxprotocol/v4-chain,
    x/clob/keeper/liquidations.go, ``GetLiquidationInsuranceFundDelta`` (2025).

    Args:
        received: (n,) quote received (+, a long was sold) or paid (-, a short was bought back),
            minor units.
        due: (n,) the same at the bankruptcy price.
        max_fee: largest liquidation fee, whole parts per million (share of the quote filled).

    Returns:
        (n,) minor units, negative where the fund pays.
    """
    surplus, rate = received - due, round(max_fee * MILLION)
    # in two steps, because the product of an amount and a rate may overflow
    size = np.abs(received)
    cap = size // MILLION * rate + size % MILLION * rate // MILLION
    return np.minimum(surplus, np.maximum(cap, 0))
