"""Checks and square roots of correlation matrices, the same on every processor."""

from collections.abc import Sequence

import numpy as np

from sim.types import F8


def compute_triangular_root(matrix: F8) -> F8:
    """Return the lower-triangular root (U, U) of a positive semi-definite matrix.

    The matrix may be singular. The root is unique, unlike eigenvectors, which are arbitrary if
    eigenvalues coincide. It is triangular, so that the i-th column of a mixture uses no draws of
    later ones.
    """
    root = np.zeros_like(matrix)
    for column in range(len(matrix)):
        rest = matrix[column:, column] - root[column:, :column] @ root[column, :column]
        if rest[0] > 1e-12 * matrix[column, column]:  # else it is a mixture of earlier ones
            root[column:, column] = rest / np.sqrt(rest[0])
    return root


def find_correlation_fault(rows: Sequence[Sequence[float]] | F8, size: int) -> str | None:
    """Return why rows are not the correlation matrix of ``size`` quantities, or None if they are.

    The message is about a field ``correlation`` and has path, value, rule and remedy.
    """
    lengths = [len(row) for row in rows]
    if lengths != [size] * size:
        problem = f"correlation: rows of {lengths} numbers, must be {size} rows of {size}"
        return f"{problem}, one per underlying: add or remove some"
    matrix = np.array(rows, dtype=np.float64)
    uneven = np.argwhere(~(np.abs(matrix - matrix.T) <= 1e-12))
    if uneven.size:
        i, j = uneven[0]
        problem = (
            f"correlation.{i}.{j}: {matrix[i, j]:g} is not {matrix[j, i]:g}, the entry at {j}.{i}"
        )
        return f"{problem}, but the matrix must be symmetric: correct one"
    wrong = np.flatnonzero(np.abs(np.diag(matrix) - 1) > 1e-12)
    if wrong.size:
        i = wrong[0]
        return (
            f"correlation.{i}.{i}: {matrix[i, i]:g}, must be 1, "
            "everything moves with itself: correct it"
        )
    least = float(np.linalg.eigvalsh(matrix)[0])
    if least < -1e-9:
        problem = f"correlation: not positive semi-definite (smallest eigenvalue {least:.3g})"
        return f"{problem}, no returns have these correlations together: bring some nearer to 0"
    return None
