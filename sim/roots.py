"""The square root of a covariance or correlation matrix, the same on every processor."""

import numpy as np

from sim.types import F8


def triangular_root(matrix: F8) -> F8:
    """The lower-triangular root (U, U) of a positive semi-definite matrix, which may be singular.

    Unlike eigenvectors, which are anybody's choice where eigenvalues coincide, it is unique; triangular, so that the
    i-th column of what it mixes uses no draws of later ones.
    """
    root = np.zeros_like(matrix)
    for column in range(len(matrix)):
        rest = matrix[column:, column] - root[column:, :column] @ root[column, :column]
        if rest[0] > 1e-12 * matrix[column, column]:  # else it is a mixture of earlier ones
            root[column:, column] = rest / np.sqrt(rest[0])
    return root
