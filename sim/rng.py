"""Addressed random streams (RNG-1)."""

import zlib

import numpy as np

from sim.types import F8


class Streams:
    """Every draw of a run, addressed by (stream name, tick, row, column).

    A stream's numbers at a tick depend on nothing but the root seed, its name and the tick, so two markets
    that differ in one rule keep identical draws after their states part.

    Args:
        seed: root seed, ``0 <= seed < 2**64``.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def generator(self, name: str, tick: int = 0) -> np.random.Generator:
        """A fresh generator at the start of ``name``'s block for ``tick``."""
        key = np.array([self.seed, zlib.crc32(name.encode())], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, tick]))

    def uniform(self, name: str, tick: int, rows: int, width: int) -> F8:
        """Uniform draws on [0, 1), shape ``(rows, width)``; row i is the same whatever ``rows`` is."""
        if not width:
            return np.empty((rows, 0))
        return self.generator(name, tick).random((rows, width))
