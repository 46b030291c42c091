"""Funding of dYdX v4: a rate per eight hours, bounded by margin and paid through an index."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.exchange.funding import EIGHT_HOURS, FundingRule
from sim.types import F8

MILLION = 1_000_000
QUOTE_EXPONENT = -6
"""Power of ten of a quote quantum: a millionth of a dollar."""


class MarginBoundedFunding(FundingRule):
    """Mean premium plus interest per 8 h, bounded by margin, pro rata to time.

    The rate lies within factor x (initial - maintenance rate) on either side. Rates are whole parts
    per million. Source: dydxprotocol/v4-chain, x/perpetuals/types/liquidity_tier.go
    ``GetMaxAbsFundingClampPpm`` and x/perpetuals/funding (2025).
    """

    kind: Literal["margin_bounded"] = Field(
        default="margin_bounded", description="average premium, bounded by margin (name)"
    )
    interval: float = Field(default=3600.0, gt=0, description="time between payments (s)")
    interest: float = Field(default=0.0, description="interest per 8 hours (rate)")
    factor: float = Field(
        default=6.0, ge=0, description="bound (multiple of initial less maintenance rate)"
    )
    initial: float = Field(default=0.02, gt=0, le=1, description="initial margin rate (ratio)")
    maintenance: float = Field(
        default=0.012, ge=0, le=1, description="maintenance margin rate (ratio)"
    )

    @model_validator(mode="after")
    def _check_margin_order(self) -> Self:
        if self.maintenance > self.initial:
            raise ValueError(
                f"maintenance: {self.maintenance:.15g}, must be at most initial = "
                f"{self.initial:.15g}, lower it or raise initial"
            )
        return self

    def compute_rate(self, observed: F8) -> F8:
        """Return the rate from the mean premium; see :class:`FundingRule`."""
        bound = compute_max_rate_ppm(
            factor=round(self.factor * MILLION),
            initial=round(self.initial * MILLION),
            maintenance=round(self.maintenance * MILLION),
        )
        rate = np.clip(np.rint((observed + self.interest) * MILLION), -bound, bound)
        return rate / MILLION * (self.interval / EIGHT_HOURS)


def compute_max_rate_ppm(factor: int, initial: int, maintenance: int) -> int:
    """Return the bound of the rate per 8 h: factor x (initial - maintenance), rounded down.

    All numbers are parts per million.
    """
    return factor * (initial - maintenance) // MILLION


def compute_index_change(rate: int, seconds: int, price: int, exponent: int) -> int:
    """Return the change of the funding index over some seconds: rate x price x seconds / 8 h.

    All numbers are whole, and the change is rounded towards zero.

    Args:
        rate: per 8 h, parts per million.
        seconds: since the index last moved.
        price: the market's whole-number price.
        exponent: of ten, price's own and that of the base quantum together (price exponent + atomic
            resolution).

    Returns:
        Parts per million of a quote quantum per base quantum.
    """
    power = exponent - QUOTE_EXPONENT
    size = (
        abs(rate)
        * seconds
        * price
        * 10 ** max(power, 0)
        // 10 ** max(-power, 0)
        // int(EIGHT_HOURS)
    )
    return size if rate >= 0 else -size
