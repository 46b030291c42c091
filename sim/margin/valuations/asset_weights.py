"""Weights that worsen with the square root of size (Drift): what is large is hard to sell."""

import numpy as np

from sim.types import F8


def compute_liability_weight(size: F8, factor: F8 | float, weight: F8 | float) -> F8:
    """max(w, 0.8 w + factor x sqrt(size)): the weight of what is owed, or the margin ratio of a perpetual.

    drift-labs/protocol-v2, math/margin.rs, ``calculate_size_premium_liability_weight`` (unrounded: see
    :func:`on_chain`).

    Args:
        size: units of the underlying, any shape.
        factor: imf factor, per root of a unit; nil = no premium.
        weight: the weight of a small size (ratio).
    """
    return np.maximum(weight, 0.8 * np.asarray(weight) + factor * np.sqrt(size))


def compute_asset_weight(size: F8, factor: F8 | float, weight: F8 | float) -> F8:
    """min(w, 1.1 / (1 + factor x sqrt(size))): the weight of what is held as collateral.

    drift-labs/protocol-v2, math/margin.rs, ``calculate_size_discount_asset_weight``; arguments as above.
    """
    discounted = 1.1 / (1.0 + factor * np.sqrt(size))
    return np.where(np.asarray(factor) > 0, np.minimum(weight, discounted), weight)


def truncate_to_basis_points(weight: F8) -> F8:
    """A weight as the program keeps it, in basis points, truncated; margins here would jump by it and do without."""
    return np.floor(np.asarray(weight) * 10_000 * (1 + 1e-12)) / 10_000
