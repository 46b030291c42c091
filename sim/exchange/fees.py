"""Trading and liquidation fees (FEE-1)."""

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.numerics.rounding import round_up
from sim.types import F8, I8


class Fees(Component):
    """Fee rates: shares of traded notional, rounded up to a minor unit.

    A negative maker fee is a rebate.
    """

    maker: float = Field(
        default=0.0, ge=-0.01, le=0.1, description="fee of the resting side (share of notional)"
    )
    taker: float = Field(
        default=0.0, ge=0, le=0.1, description="fee of the arriving side (share of notional)"
    )
    liquidation: float = Field(
        default=0.0, ge=0, le=0.1, description="fee of a close-out, to the fund (share)"
    )

    @property
    def has_free_trades(self) -> bool:
        """Return whether ordinary trades cost nothing."""
        return self.maker == 0 and self.taker == 0


def compute_fees(notional: I8 | F8, rate: float) -> I8:
    """Return the fee of each trade of a notional (minor units) at a rate, whole minor units."""
    return round_up(np.asarray(notional * rate, dtype=np.float64)).astype(np.int64)
