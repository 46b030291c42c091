"""The relief of a layer that does nothing."""

import numpy as np

from sim.types import NOBODY, Fills, Relief

NO_FILLS = Fills(*(np.empty(0, dtype=np.int64) for _ in Fills._fields))
"""Positions stay where they are."""

NONE = Relief(NO_FILLS, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), NOBODY)
"""Nothing absorbed."""
