"""Correlated normals, from correlations that may be perfect."""

from collections.abc import Sequence

import numpy as np

from sim.errors import ConfigError
from sim.roots import triangular_root
from sim.types import F8


def semidefinite_root(correlation: Sequence[Sequence[float]] | F8, size: int) -> F8:
    """The lower-triangular root (U, U) of a correlation matrix, which may be singular.

    Triangular, so that the i-th underlying uses no draws of later ones.

    Raises:
        ConfigError: the matrix has another shape, is not symmetric, lacks a unit diagonal, or is indefinite.
    """
    return triangular_root(_checked(correlation, size))


def correlated(normals: Sequence[F8], root: F8) -> list[F8]:
    """Standard normals with correlation ``root root'``, one array (rows,) per underlying.

    Summed one by one, in order: a matrix product may round differently for another number of columns.
    """
    mixed = []
    for row, own in enumerate(normals):
        z = np.zeros_like(own)
        for weight, part in zip(root[row, : row + 1], normals, strict=False):
            if weight != 0:
                z = z + weight * part
        mixed.append(z)
    return mixed


def _checked(correlation: Sequence[Sequence[float]] | F8, size: int) -> F8:
    rows = [len(row) for row in correlation]
    if rows != [size] * size:
        raise ConfigError([f"correlation: rows of {rows} numbers, must be {size} rows of {size}: one per underlying"])
    matrix = np.array(correlation, dtype=np.float64)
    uneven = np.argwhere(~(np.abs(matrix - matrix.T) <= 1e-12))
    if uneven.size:
        i, j = uneven[0]
        told = f"correlation[{i}][{j}]: {matrix[i, j]:g} is not [{j}][{i}], {matrix[j, i]:g}"
        raise ConfigError([f"{told}; the matrix must be symmetric: correct one"])
    wrong = np.flatnonzero(np.abs(np.diag(matrix) - 1) > 1e-12)
    if wrong.size:
        i = wrong[0]
        raise ConfigError([f"correlation[{i}][{i}]: {matrix[i, i]:g} must be 1: everything moves with itself"])
    least = np.linalg.eigvalsh(matrix)[0]
    if least < -1e-9:
        told = f"correlation: its smallest eigenvalue is {least:.3g}, must not be below 0"
        raise ConfigError([f"{told}: no returns have these correlations together, bring some nearer to 0"])
    return matrix
