"""Covariance and correlation matrices: what is one, and its square root, the same on every processor."""

from collections.abc import Sequence

import numpy as np

from sim.types import F8


def compute_triangular_root(matrix: F8) -> F8:
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


def find_correlation_fault(rows: Sequence[Sequence[float]] | F8, size: int) -> str | None:
    """What keeps rows of numbers from being the correlation matrix of ``size`` quantities; None if nothing does.

    Told of a field ``correlation``: path, value, rule, remedy.
    """
    lengths = [len(row) for row in rows]
    if lengths != [size] * size:
        told = f"correlation: rows of {lengths} numbers, must be {size} rows of {size}"
        return f"{told}, one per underlying: add or remove some"
    matrix = np.array(rows, dtype=np.float64)
    uneven = np.argwhere(~(np.abs(matrix - matrix.T) <= 1e-12))
    if uneven.size:
        i, j = uneven[0]
        told = (
            f"correlation.{i}.{j}: {matrix[i, j]:g} is not {matrix[j, i]:g}, the entry at {j}.{i}"
        )
        return f"{told}, but the matrix must be symmetric: correct one"
    wrong = np.flatnonzero(np.abs(np.diag(matrix) - 1) > 1e-12)
    if wrong.size:
        i = wrong[0]
        return f"correlation.{i}.{i}: {matrix[i, i]:g}, must be 1, everything moves with itself: correct it"
    least = float(np.linalg.eigvalsh(matrix)[0])
    if least < -1e-9:
        told = f"correlation: not positive semi-definite (smallest eigenvalue {least:.3g})"
        return f"{told}, no returns have these correlations together: bring some nearer to 0"
    return None
