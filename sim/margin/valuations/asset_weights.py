"""Asset and liability weights that worsen with the square root of size, as at Drift.

A large amount is hard to sell.
"""

import numpy as np

from sim.types import F8


def compute_liability_weight(size: F8, factor: F8 | float, weight: F8 | float) -> F8:
    """Return max(w, 0.8 w + factor x sqrt(size)): a debt's weight, or a perpetual's margin ratio.

    Source: drift-labs/protocol-v2, math/margin.rs, ``calculate_size_premium_liability_weight``. The
    result is not rounded: see :func:`truncate_to_basis_points`.

    Args:
        size: units of the underlying, any shape.
        factor: imf factor, per root of a unit; zero = no premium.
        weight: w, the weight of a small size (ratio).
    """
    return np.maximum(weight, 0.8 * np.asarray(weight) + factor * np.sqrt(size))


def compute_asset_weight(size: F8, factor: F8 | float, weight: F8 | float) -> F8:
    """Return min(w, 1.1 / (1 + factor x sqrt(size))): the weight of an asset held as collateral.

    Source: drift-labs/protocol-v2, math/margin.rs, ``calculate_size_discount_asset_weight``.

    Args:
        size: units of the asset, any shape.
        factor: imf factor, per root of a unit; zero = no discount.
        weight: w, the weight of a small size (ratio).
    """
    discounted = 1.1 / (1.0 + factor * np.sqrt(size))
    return np.where(np.asarray(factor) > 0, np.minimum(weight, discounted), weight)


def truncate_to_basis_points(weight: F8) -> F8:
    """Return a weight truncated to basis points, as the program on chain stores it.

    The margins of this module use weights that are not truncated, because truncation makes them
    jump.
    """
    return np.floor(np.asarray(weight) * 10_000 * (1 + 1e-12)) / 10_000
