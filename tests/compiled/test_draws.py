"""Draws inside compiled code are those of the streams, alone and for blocks at once (RNG-1)."""

import numpy as np
import pytest

from sim.numerics.compiled_draws import LANES, draw_blocks, draw_four, draw_one, fill_draws
from sim.numerics.rng import RandomStreams


@pytest.mark.parametrize("rows", [1, 7, 8, LANES, LANES + 1, 3 * LANES - 5])
@pytest.mark.parametrize("tick", [1, 4_321])
def test_compiled_draws_are_those_of_the_stream(rows: int, tick: int) -> None:
    streams = RandomStreams(11)
    expected = streams.draw_uniform("some/stream", tick, rows, 4)
    key = streams.stream_key("some/stream")
    drawn = np.empty((4, 3 * LANES))
    draw_blocks(0, rows, tick, key, drawn)
    np.testing.assert_array_equal(drawn[:, :rows].T, expected)
    filled = np.empty((rows, 4))
    fill_draws(filled, tick, key)
    np.testing.assert_array_equal(filled, expected)
    assert draw_four(rows - 1, tick, key) == tuple(expected[-1])
    assert draw_one(4 * rows - 2, tick, key) == expected[-1, 2]


def test_blocks_may_begin_anywhere() -> None:
    key = RandomStreams(11).stream_key("some/stream")
    drawn = np.empty((4, LANES))
    draw_blocks(10**9, 5, 3, key, drawn)
    for lane in range(5):
        assert draw_four(10**9 + lane, 3, key) == tuple(drawn[:, lane])
