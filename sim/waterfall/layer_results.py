"""Results of a loss layer that absorbs nothing."""

import numpy as np

from sim.losses import LayerResult
from sim.types import MISSING, Fills

NO_FILLS = Fills(*(np.empty(0, dtype=np.int64) for _ in Fills._fields))
"""No position is moved."""

NO_LAYER_RESULT = LayerResult(
    NO_FILLS, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), MISSING
)
"""Nothing is absorbed."""
