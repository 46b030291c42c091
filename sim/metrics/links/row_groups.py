"""Rows of tables numbered by the values of some columns, to group and to match them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sim.errors import DataError
from sim.types import I8, MISSING

MAX_SPAN, MAX_NUMBER = 2**31, 2**62
"""Largest span of whole numbers that are numbered by their distance, and largest number."""

Columns = dict[str, np.ndarray[Any, Any]]
"""Columns of a table by name."""


def take_columns(table: pd.DataFrame, names: Sequence[str], rows: Any = slice(None)) -> Columns:
    """Return some rows of some columns."""
    return {name: table[name].to_numpy()[rows] for name in names}


def match_rows(keys: Columns, table: pd.DataFrame) -> I8:
    """Return the row of a table that has the values of each row of ``keys``; MISSING without any.

    Raises:
        DataError: two rows of the table have the same values.
    """
    code = number_rows(
        [np.concatenate([table[name].to_numpy(), values]) for name, values in keys.items()]
    )
    known, wanted = code[: len(table)], code[len(table) :]
    if not known.size:
        return np.full(wanted.size, MISSING)
    order = np.argsort(known)
    known = known[order]
    if (known[1:] == known[:-1]).any():
        raise DataError(f"closeouts: two actions or moves have the same {', '.join(keys)}")
    place = np.minimum(np.searchsorted(known, wanted), known.size - 1)
    return np.where(known[place] == wanted, order[place], MISSING)


def number_rows(columns: Sequence[np.ndarray[Any, Any]]) -> I8:
    """Return a number for the values of each row; numbers are in the order of the columns."""
    code, count = np.zeros(len(columns[0]), dtype=np.int64), 1
    for values in columns:
        place, known = _number_values(values)
        if count * known > MAX_NUMBER:
            found, code = np.unique(code, return_inverse=True)
            count = found.size
        code, count = code * known + place, count * known
    return code


def _number_values(values: np.ndarray[Any, Any]) -> tuple[I8, int]:
    """Return the numbers of values, from zero in ascending order, and one more than the largest."""
    if not values.size:
        return np.zeros(0, dtype=np.int64), 1
    if values.dtype.kind == "i":
        lowest, highest = int(values.min()), int(values.max())
        if highest - lowest < MAX_SPAN:
            return values - lowest, highest - lowest + 1
    place, known = pd.factorize(values, sort=True)
    return place.astype(np.int64), len(known)


def sum_groups(values: np.ndarray[Any, Any], group: I8) -> np.ndarray[Any, Any]:
    """Return the sum of the values of each group; every number of a group occurs."""
    sums: np.ndarray[Any, Any] = pd.Series(values).groupby(group).sum().to_numpy()
    return sums
