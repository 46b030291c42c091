"""Table of orders that a kernel fills in a plain step."""

from typing import NamedTuple, Self

import numpy as np

from sim.compiled.arrays import N_ORDERS
from sim.types import I8, Orders

N_COLUMNS = 8
"""Columns of the table of orders of a step, the latency class last."""


class OrderTable(NamedTuple):
    """Orders of one population, and the counters of a step."""

    rows: I8  # (., 8)
    counters: I8

    @classmethod
    def allocate(cls, most: int) -> Self:
        """Return an empty table with room for a number of orders."""
        counters = np.zeros(N_ORDERS + 1, dtype=np.int64)
        return cls(np.zeros((most, N_COLUMNS), dtype=np.int64), counters)

    def read(self) -> Orders:
        """Return the orders that were appended."""
        sent = self.rows[: self.counters[N_ORDERS]]
        return Orders(*(sent[:, column].copy() for column in range(len(Orders._fields))))
