"""Boosted trees as plain arrays.

They predict without the library that fitted them, and are stored without code in the file.
"""

from typing import NamedTuple

import numpy as np

from sim.numerics.jit import kernel
from sim.types import B1, F8, I8


class Forest(NamedTuple):
    """Trees of one model, node after node; children are places in the same arrays."""

    feature: I8  # (n,) column that is compared, -1 at a leaf
    threshold: F8  # (n,) upper bound of values that go left
    missing_left: B1  # (n,) True if unknown values go left
    left: I8  # (n,)
    right: I8  # (n,)
    value: F8  # (n,) value of a leaf
    roots: I8  # (trees,)
    base: float  # prediction before the first tree
    low: F8  # (F,) smallest value of each feature in training
    high: F8  # (F,) largest

    def predict(self, features: F8) -> F8:
        """Return one prediction per row of ``features`` (n, F), (n,)."""
        table = np.stack([self.threshold, self.value])
        links = np.stack([self.feature, self.left, self.right, self.missing_left.astype(np.int64)])
        return self.base + sum_leaves(features, table, links, self.roots)

    def find_out_of_range(self, features: F8) -> B1:
        """Return True for known values of a table (n, F) outside the range of training, (n, F)."""
        return (features < self.low) | (features > self.high)


@kernel
def sum_leaves(features: F8, table: F8, links: I8, roots: I8) -> F8:
    """Return the sum of the leaves that each row falls into, (n,)."""
    total = np.zeros(features.shape[0])
    for i in range(features.shape[0]):
        for root in roots:
            node = root
            while links[0, node] >= 0:
                seen = features[i, links[0, node]]
                left = links[3, node] == 1 if np.isnan(seen) else seen <= table[0, node]
                node = links[1, node] if left else links[2, node]
            total[i] += table[1, node]
    return total


def fit_forest(features: F8, target: F8, level: float, trees: int = 60) -> Forest:
    """Fit a quantile gradient boosting of ``target`` (n,) with scikit-learn's histograms.

    Args:
        features: (n, F), NaN where unknown.
        target: (n,).
        level: quantile.
        trees: rounds of boosting.
    """
    # loading takes a second, and only training needs it
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    low, high = find_feature_ranges(features)
    # a column without a known value cannot be binned; a constant never splits
    known = np.where(np.isinf(low), 0.0, features)
    model = HistGradientBoostingRegressor(
        loss="quantile",
        quantile=level,
        max_iter=trees,
        max_leaf_nodes=8,
        min_samples_leaf=60,
        learning_rate=0.05,
        early_stopping=False,
        random_state=0,
    )
    # several threads cost more time than they save, and change the order of sums
    with threadpool_limits(1):
        model.fit(known, target)
    return _flatten_trees(model, low, high)


def find_feature_ranges(features: F8) -> tuple[F8, F8]:
    """Return the smallest and the largest known value of each feature.

    For a feature that is never known, every value is in range.
    """
    known = np.isfinite(features)
    low = np.where(known, features, np.inf).min(axis=0)
    high = np.where(known, features, -np.inf).max(axis=0)
    never = ~known.any(axis=0)
    return np.where(never, -np.inf, low), np.where(never, np.inf, high)


def _flatten_trees(model: object, low: F8, high: F8) -> Forest:
    """Return the fitted trees as arrays."""
    trees = [each[0].nodes for each in model._predictors]  # type: ignore[attr-defined]
    starts = np.concatenate([[0], np.cumsum([len(nodes) for nodes in trees])])
    shift = np.repeat(starts[:-1], np.diff(starts))
    nodes = np.concatenate(trees)
    leaf = nodes["is_leaf"].astype(bool)
    return Forest(
        feature=np.where(leaf, -1, nodes["feature_idx"]).astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        left=nodes["left"].astype(np.int64) + shift,
        right=nodes["right"].astype(np.int64) + shift,
        value=nodes["value"].astype(np.float64),
        roots=starts[:-1].astype(np.int64),
        base=float(np.ravel(model._baseline_prediction)[0]),  # type: ignore[attr-defined]
        low=low,
        high=high,
    )
