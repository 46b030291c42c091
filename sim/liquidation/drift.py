"""Drift's sizing of liquidations: no more than cures the account.

Source: drift-labs/protocol-v2, programs/drift/src/math/liquidation.rs (2025); unrounded here.
"""

import numpy as np

from sim.types import F8

FULL_LIQUIDATION_BELOW = 50.0
"""Shortage under which all may be liquidated at once, in quote currency."""


def compute_base_to_cover(
    shortage: F8,
    ratio: F8 | float,
    price: F8 | float,
    *,
    quote: F8 | float = 1.0,
    fees: tuple[float, float],
) -> F8:
    """Base amount whose liquidation makes up a shortage: shortage / (price x quote (ratio - fee) - price x fund fee).

    Each unit closed frees its margin and costs the two fees. Infinite where closing frees no more than it costs: then
    everything goes.

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
    """Borrowed amount to take over, with collateral, that makes up a shortage, units of the liability.

    shortage / (price (wL - wA mA / mL) - price x fund_fee x wL): the liquidator pays the debt and gets collateral
    for it. Infinite where that never cures the account.

    Args:
        shortage: quote currency, any shape.
        price: of the liability.
        weights: of asset and liability (ratios).
        multipliers: liquidation multipliers of asset and liability, 1 plus or less the fees (ratios).
        fund_fee: to the insurance fund (share of the debt).
    """
    (asset, liability), (asset_multiplier, liability_multiplier) = weights, multipliers
    freed = liability - asset * asset_multiplier / liability_multiplier - fund_fee * liability
    return _divide_or_infinite(shortage, np.asarray(price) * freed)


def compute_liquidator_fee(
    slots: F8, *, base: float, largest: float, grace: float = 1500.0, slope: float = 1e-6
) -> F8:
    """The liquidator's fee, shares of notional: base, and after a grace base + slope x slots up to the largest.

    Args:
        slots: since the account could be liquidated, any shape.
        base: fee at first.
        largest: highest fee.
        grace: slots during which it does not rise; they count once it does.
        slope: rise per slot.
    """
    risen = np.where(np.asarray(slots) >= grace, base + slope * np.asarray(slots), base)
    return np.maximum(np.minimum(risen, largest), base)


def compute_max_share(elapsed: F8, shortage: F8, *, initial: float, duration: float) -> F8:
    """Share of an account's margin that may have been freed by now: min(1, elapsed / duration + initial).

    All of it where the shortage is small (:data:`WHOLE_BELOW`).

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
