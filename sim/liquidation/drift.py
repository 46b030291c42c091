"""Sizing of liquidations on Drift: no more than restores the account.

Source: drift-labs/protocol-v2, programs/drift/src/math/liquidation.rs (2025); unrounded here.
"""

import numpy as np

from sim.types import F8

FULL_LIQUIDATION_BELOW = 50.0
"""Shortage below which everything may be liquidated at once, in quote currency."""


def compute_base_to_cover(
    shortage: F8,
    ratio: F8 | float,
    price: F8 | float,
    *,
    quote: F8 | float = 1.0,
    fees: tuple[float, float],
) -> F8:
    """Return the base amount whose liquidation covers a shortage.

    It is shortage / (price x quote (ratio - fee) - price x fund fee). Each unit closed frees its
    margin and costs the two fees. The amount is infinite if closing frees no more than it costs;
    then everything is closed.

    Args:
        shortage: maintenance less collateral, quote currency, any shape.
        ratio: margin ratio of the position (1).
        price: oracle price.
        quote: price of the quote asset.
        fees: to the liquidator and to the insurance fund (shares of notional).

    Returns:
        units of the underlying, in the shape of ``shortage``.
    """
    liquidator, fund = fees
    return _divide_or_infinite(
        shortage, np.asarray(price) * (np.asarray(quote) * (np.asarray(ratio) - liquidator) - fund)
    )


def compute_transfer_to_cover(
    shortage: F8,
    price: F8 | float,
    *,
    weights: tuple[float, float],
    multipliers: tuple[float, float],
    fund_fee: float,
) -> F8:
    """Return the borrowed amount whose transfer covers a shortage, units of the liability.

    It is shortage / (price (wL - wA mA / mL) - price x fund_fee x wL): the liquidator pays the debt
    and receives collateral for it. The amount is infinite if no transfer restores the account.

    Args:
        shortage: quote currency, any shape.
        price: of the liability.
        weights: of asset and liability (ratios).
        multipliers: liquidation multipliers of asset and liability, 1 plus or less the fees
            (ratios).
        fund_fee: to the insurance fund (share of the debt).
    """
    (asset, liability), (asset_multiplier, liability_multiplier) = weights, multipliers
    freed = liability - asset * asset_multiplier / liability_multiplier - fund_fee * liability
    return _divide_or_infinite(shortage, np.asarray(price) * freed)


def compute_liquidator_fee(
    slots: F8, *, base: float, largest: float, grace: float = 1500.0, slope: float = 1e-6
) -> F8:
    """Return the liquidator's fee, shares of notional.

    It is base at first, and after a grace period base + slope x slots, up to the largest.

    Args:
        slots: slots since the account could be liquidated, any shape.
        base: initial fee.
        largest: highest fee.
        grace: slots during which it does not rise; they count in the rise after that.
        slope: rise per slot.
    """
    risen = np.where(np.asarray(slots) >= grace, base + slope * np.asarray(slots), base)
    return np.maximum(np.minimum(risen, largest), base)


def compute_max_share(elapsed: F8, shortage: F8, *, initial: float, duration: float) -> F8:
    """Return the share of an account's margin that may have been freed by now.

    It is min(1, elapsed / duration + initial), or all if the shortage is small
    (:data:`FULL_LIQUIDATION_BELOW`).

    Args:
        elapsed: slots since liquidation began, any shape.
        shortage: quote currency, the same shape.
        initial: share at once (1).
        duration: slots until all of it may go.
    """
    return np.where(
        shortage < FULL_LIQUIDATION_BELOW, 1.0, np.minimum(1.0, elapsed / duration + initial)
    )


def _divide_or_infinite(shortage: F8, freed: F8) -> F8:
    shortage, freed = np.broadcast_arrays(np.asarray(shortage, dtype=np.float64), freed)
    return np.divide(shortage, freed, out=np.full(shortage.shape, np.inf), where=freed > 0)
