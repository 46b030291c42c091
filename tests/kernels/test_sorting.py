"""Keys of orders, sorted by their digits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.numerics.sorting import FEW, sort_keys, sort_stably


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


@given(count=st.integers(0, 70), distinct=st.integers(1, 100), seed=st.integers(0, 99))
def test_equal_values_keep_their_order(count: int, distinct: int, seed: int) -> None:
    """Places are those of numpy's stable sort, with infinite values among them."""
    values = np.random.default_rng(seed).integers(-1, distinct, count) / 3
    values[values < 0] = -np.inf
    np.testing.assert_array_equal(sort_stably(values), np.argsort(values, kind="stable"))
