"""What a liquidation fill brings to an insurance fund, or costs it (dYdX v4)."""

import numpy as np

from sim.types import I8

MILLION = 1_000_000


def compute_fund_gain(received: I8, due: I8, max_fee: float) -> I8:
    """The fund's gain from fills of close-outs: what they bring beyond the bankruptcy price, capped by the fee.

    d = received - due. The fund pays -d where that is below nil; else it takes min(d, max_fee x |received|), rounded
    down, and the account keeps the rest. Source: dydxprotocol/v4-chain, x/clob/keeper/liquidations.go,
    ``GetLiquidationInsuranceFundDelta`` (2025).

    Args:
        received: (n,) quote received (+, a long was sold) or paid (-, a short was bought back), minor units.
        due: (n,) the same at the bankruptcy price.
        max_fee: largest liquidation fee, whole parts per million (share of the quote filled).

    Returns:
        (n,) minor units, - where the fund pays.
    """
    left, rate = received - due, round(max_fee * MILLION)
    # in two steps, for the product of an amount and a rate may not fit
    size = np.abs(received)
    cap = size // MILLION * rate + size % MILLION * rate // MILLION
    return np.minimum(left, np.maximum(cap, 0))
