"""Keys of orders, sorted by their digits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.numerics.sorting import FEW, sort_keys


@given(
    count=st.sampled_from([0, 1, 2, FEW - 1, FEW, FEW + 1, 1000]),
    lowest_bit=st.integers(12, 40),
    spread=st.integers(0, 50),
    seed=st.integers(0, 99),
)
def test_keys_are_sorted(count: int, lowest_bit: int, spread: int, seed: int) -> None:
    """Ties in the bits that decide keep their order; few distinct keys, and all alike."""
    high = np.random.default_rng(seed).integers(0, 1 << min(spread, 63 - lowest_bit), count)
    keys = (high << lowest_bit) + np.arange(count)
    np.testing.assert_array_equal(sort_keys(keys.copy(), lowest_bit), np.sort(keys))
