"""Correlated normals from correlation matrices, which may be singular."""

from collections.abc import Sequence

import numpy as np

from sim.errors import ConfigError
from sim.numerics.matrix_roots import compute_triangular_root, find_correlation_fault
from sim.types import F8


def factor_correlation(correlation: Sequence[Sequence[float]] | F8, size: int) -> F8:
    """Return the lower-triangular root (U, U) of a correlation matrix, which may be singular.

    The root is triangular, so that the i-th underlying uses no draws of later ones.

    Raises:
        ConfigError: the matrix has another shape, is not symmetric, lacks a unit diagonal, or is
            indefinite.
    """
    if fault := find_correlation_fault(correlation, size):
        raise ConfigError([fault])
    return compute_triangular_root(np.array(correlation, dtype=np.float64))


def correlate_normals(normals: Sequence[F8], root: F8) -> list[F8]:
    """Return standard normals with correlation ``root root'``, one array (rows,) per underlying.

    They are summed one by one, in order, because a matrix product may round differently for another
    number of columns.
    """
    mixed = []
    for row, own in enumerate(normals):
        z = np.zeros_like(own)
        for weight, part in zip(root[row, : row + 1], normals, strict=False):
            if weight != 0:
                z = z + weight * part
        mixed.append(z)
    return mixed
