"""Market makers who shift their quotes in proportion to inventory (AGT-2)."""

from typing import Literal

import numpy as np
from pydantic import Field

from agents.base import BASIS_POINT
from agents.compiled.ladders import offset_by_half_spreads
from agents.ladders import LadderMakers, QuoteContext
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import F8


class MarketMakers(LadderMakers):
    """Market makers with quotes at a minimum distance or a share of volatility.

    Inventory shifts the quotes by a number of half-spreads. The volatility is that of the time
    until the next ladder, so that quotes refreshed less often stand further away.
    """

    kind: Literal["makers"] = "makers"
    name: str = Field(
        "makers", min_length=1, description="name of the population, unique in the market (text)"
    )
    half_spread: float = Field(
        1.0, gt=0, description="smallest innermost distance from the fair price (basis points)"
    )
    volatility_spread: float = Field(
        0.25, ge=0, description="innermost distance per deviation between ladders (times)"
    )
    skew: float = Field(
        3.0, ge=0, description="shift of the fair price at the full inventory (half-spreads)"
    )

    def compute_quote_offsets(self, context: QuoteContext) -> tuple[F8, F8]:
        """Return the shift and the innermost distance; see ``LadderMakers``."""
        half = (
            np.fmax(
                self.half_spread * BASIS_POINT,
                self.volatility_spread * context.sqrt_years * context.vol,
            )
            * context.spread_factor
        )
        return -self.skew * context.inventory * half, half

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel:
        """Return the kernel of ``decide``; see ``sim.compiled.components``."""
        quotes = self.allocate_quotes()
        offsets = bind_kernel(
            offset_by_half_spreads,
            quotes.rows,
            quotes.n_rows,
            quotes.vol,
            quotes.lean,
            self._members.spread_factor,
            self._members.sqrt_years,
            self.half_spread * BASIS_POINT,
            self.volatility_spread,
            self.skew,
            quotes.shift,
            quotes.half,
        )
        return self.bind_ladders(step, members, quotes, offsets)
