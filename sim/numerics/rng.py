"""Addressed random streams (RNG-1)."""

import zlib

import numpy as np

from sim.types import F8


class RandomStreams:
    """Every draw of a run, addressed by (stream name, tick, row, column).

    A stream's numbers at a tick depend on nothing but the root seed, its name and the tick, so two markets
    that differ in one rule keep identical draws after their states part.

    Args:
        seed: root seed, ``0 <= seed < 2**64``.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._philox = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._philox)
        self._state = self._philox.state  # of a generator at its start, but for counter and key
        self._keys: dict[str, np.ndarray[tuple[int], np.dtype[np.uint64]]] = {}

    def draw_uniform(self, name: str, tick: int, rows: int, width: int) -> F8:
        """Uniform draws on [0, 1), shape ``(rows, width)``; row i is the same whatever ``rows`` is."""
        if not width:
            return np.empty((rows, 0))
        # one generator, set to the start of a block: making a new one costs four times as much, and draws the same
        self._state["state"] = {
            "counter": np.array([0, 0, 0, tick], dtype=np.uint64),
            "key": self._stream_key(name),
        }
        self._philox.state = self._state
        return self._generator.random((rows, width))

    def _stream_key(self, name: str) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
        if name not in self._keys:
            self._keys[name] = np.array([self.seed, zlib.crc32(name.encode())], dtype=np.uint64)
        return self._keys[name]
