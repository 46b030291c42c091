"""Market makers who quote about a reservation price (AGT-2).

Source: Avellaneda & Stoikov 2008, Quantitative Finance 8(3), 217-224.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from agents.base import BASIS_POINT
from agents.compiled.ladders import offset_by_reservation
from agents.ladders import LadderMakers, QuoteContext
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import F8


def compute_reservation_shift(inventory: F8, aversion: F8, variance: F8) -> F8:
    """Return the reservation price less the fair price, -q gamma sigma^2 tau.

    The formula is the asymptotic expansion in inventory of Avellaneda and Stoikov.

    Args:
        inventory: q, units of what is traded.
        aversion: gamma, absolute risk aversion (1 / money).
        variance: sigma^2 tau of the price of a unit until the horizon (money^2).
    """
    shift: F8 = -inventory * aversion * variance
    return shift


def compute_total_spread(aversion: F8, decay: float, variance: F8) -> F8:
    """Return the ask less the bid, gamma sigma^2 tau + (2 / gamma) ln(1 + gamma / k).

    The formula is of the same expansion as ``compute_reservation_shift``.

    Args:
        aversion: gamma, absolute risk aversion (1 / money).
        decay: k (1 / money); fills at distance d arrive at the rate A exp(-k d).
        variance: sigma^2 tau of the price of a unit until the horizon (money^2).
    """
    spread: F8 = aversion * variance + compute_fill_spread(aversion, decay)
    return spread


def compute_fill_spread(aversion: F8, decay: float) -> F8:
    """Return the part of the total spread that does not depend on variance."""
    spread: F8 = 2 / aversion * np.log1p(aversion / decay)
    return spread


class AvellanedaStoikov(LadderMakers):
    """Market makers with the innermost quotes of Avellaneda and Stoikov.

    The levels behind these quotes are those of all ladder makers. The unit of inventory in their
    model is one fill. Here a fill is ``fill`` times equity, and money is counted in fills. So a
    distance is a share of the price, variance is that of log returns, and inventory is a number
    of fills. Gamma is ``risk_aversion * fill``, because absolute risk aversion is relative risk
    aversion over wealth. After losses a member is more averse per lot, but not per fill.
    Their T - t is ``horizon`` at any time, because this market has no close. Inventory is capped
    at ``inventory``.
    """

    kind: Literal["avellaneda_stoikov"] = "avellaneda_stoikov"
    name: str = Field(
        "avellaneda_stoikov", min_length=1, description="name of the population, unique (text)"
    )
    risk_aversion: float = Field(
        1.0, ge=1e-6, le=1e6, description="relative risk aversion, gamma times equity (1)"
    )
    horizon: float = Field(
        86_400.0,
        ge=1e-3,
        le=1e9,
        description="rolling time over which inventory is a risk, tau (seconds)",
    )
    fill_size: float = Field(
        0.1,
        ge=1e-6,
        le=1e3,
        description="notional of one fill, the unit of inventory (times equity)",
    )
    fill_decay: float = Field(
        1.0,
        ge=1e-6,
        le=1e6,
        description="decay of the rate of fills with distance, k (1 / basis point)",
    )

    def compute_quote_offsets(self, context: QuoteContext) -> tuple[F8, F8]:
        """Return the shift and the innermost distance; see ``LadderMakers``."""
        aversion = self.risk_aversion * self.fill_size * context.spread_factor
        variance = context.vol**2 * (self.horizon / context.seconds_per_year)
        fills = context.inventory * (self.max_inventory / self.fill_size)
        shift = compute_reservation_shift(fills, aversion, variance)
        return shift, compute_total_spread(aversion, self.fill_decay / BASIS_POINT, variance) / 2

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel:
        """Return the kernel of ``decide``; see ``sim.compiled.components``."""
        quotes = self.allocate_quotes()
        own = self._members
        aversion = self.risk_aversion * self.fill_size * own.spread_factor
        offsets = bind_kernel(
            offset_by_reservation,
            quotes.rows,
            quotes.n_rows,
            quotes.vol,
            quotes.lean,
            aversion,
            compute_fill_spread(aversion, self.fill_decay / BASIS_POINT),
            self.horizon / own.seconds_per_year,
            self.max_inventory / self.fill_size,
            quotes.shift,
            quotes.half,
        )
        return self.bind_ladders(step, members, quotes, offsets)
