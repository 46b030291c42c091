"""Addressed random streams (RNG-1)."""

import zlib

import numpy as np

from sim.arrays import F8, U8


class RandomStreams:
    """Random draws of a run, addressed by (stream name, tick, row, column).

    A stream's numbers at a tick depend only on the root seed, its name and the tick. Two markets
    that differ in one rule therefore keep identical draws after their states diverge.

    Args:
        seed: root seed, ``0 <= seed < 2**64``.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._philox = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._philox)
        self._state = self._philox.state  # initial state, except counter and key
        self._keys: dict[str, U8] = {}

    def draw_uniform(self, name: str, tick: int, rows: int, width: int) -> F8:
        """Draw uniforms on [0, 1), shape ``(rows, width)``.

        Row i is the same whatever ``rows`` is.
        """
        if not width:
            return np.empty((rows, 0))
        # one generator is set to the start of a block; a new one would cost four times as much
        self._state["state"] = {
            "counter": np.array([0, 0, 0, tick], dtype=np.uint64),
            "key": self.stream_key(name),
        }
        self._philox.state = self._state
        return self._generator.random((rows, width))

    def stream_key(self, name: str) -> U8:
        """Return the key of a stream: the root seed and a checksum of its name, (2,)."""
        if name not in self._keys:
            self._keys[name] = np.array([self.seed, zlib.crc32(name.encode())], dtype=np.uint64)
        return self._keys[name]
