"""Makers who quote about a reservation price (AGT-2; Avellaneda & Stoikov 2008, Quantitative Finance 8(3), 217-224)."""

from typing import Literal

import numpy as np
from pydantic import Field

from agents.base import BASIS_POINT
from agents.ladders import LadderMakers, QuoteContext
from sim.types import F8


def compute_reservation_shift(inventory: F8, aversion: F8, variance: F8) -> F8:
    """Reservation price less fair price: -q gamma sigma^2 tau (their asymptotic expansion in inventory).

    Args:
        inventory: q, units of what is traded.
        aversion: gamma, absolute risk aversion (1 / money).
        variance: sigma^2 tau of the price of a unit until the horizon (money^2).
    """
    shift: F8 = -inventory * aversion * variance
    return shift


def compute_total_spread(aversion: F8, decay: float, variance: F8) -> F8:
    """Ask less bid: gamma sigma^2 tau + (2 / gamma) ln(1 + gamma / k), of the same expansion.

    Args:
        aversion: gamma, absolute risk aversion (1 / money).
        decay: k, the rate of fills a distance d away being A exp(-k d) (1 / money).
        variance: sigma^2 tau of the price of a unit until the horizon (money^2).
    """
    spread: F8 = aversion * variance + 2 / aversion * np.log1p(aversion / decay)
    return spread


class AvellanedaStoikov(LadderMakers):
    """The innermost quotes are those of Avellaneda and Stoikov; the ladder behind them is every maker's.

    Their unit of inventory is one fill. Here a fill is ``fill`` times equity, and money is counted in fills: then a
    distance is a share of the price, variance is that of log returns, inventory is a number of fills, and gamma is
    ``risk_aversion * fill``, because absolute risk aversion is relative risk aversion over wealth. Losses thus make
    a member shyer per lot and not per fill. Their T - t is ``horizon`` at any time: a market without a close has no
    last minute in which inventory is free. Inventory beyond ``inventory`` counts as that much.
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
    fill: float = Field(
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

    def compute_quote_offsets(self, stance: QuoteContext) -> tuple[F8, F8]:
        """Shift and innermost distance; see ``LadderMakers``."""
        aversion = self.risk_aversion * self.fill * stance.spread_factor
        variance = stance.vol**2 * (self.horizon / stance.seconds_per_year)
        fills = stance.inventory * (self.inventory / self.fill)
        shift = compute_reservation_shift(fills, aversion, variance)
        return shift, compute_total_spread(aversion, self.fill_decay / BASIS_POINT, variance) / 2
