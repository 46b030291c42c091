"""dYdX v4's funding: a rate per eight hours that margin bounds, paid by the hour through an index."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.exchange.funding import EIGHT_HOURS, FundingRule
from sim.types import F8

MILLION = 1_000_000
QUOTE_EXPONENT = -6
"""Quote quantums are millionths of a dollar."""


class MarginBounded(FundingRule):
    """Mean premium plus interest per 8 h, at most factor x (initial - maintenance rate) either way, pro rata to time.

    dydxprotocol/v4-chain, x/perpetuals/types/liquidity_tier.go ``GetMaxAbsFundingClampPpm`` and x/perpetuals/funding
    (2025); rates are whole parts per million.
    """

    kind: Literal["margin_bounded"] = Field(
        default="margin_bounded", description="average premium, bounded by margin (name)"
    )
    interval: float = Field(default=3600.0, gt=0, description="time between payments (s)")
    interest: float = Field(default=0.0, description="interest per 8 hours (rate)")
    factor: float = Field(default=6.0, ge=0, description="bound (multiple of initial less maintenance rate)")
    initial: float = Field(default=0.02, gt=0, le=1, description="initial margin rate (ratio)")
    maintenance: float = Field(default=0.012, ge=0, le=1, description="maintenance margin rate (ratio)")

    @model_validator(mode="after")
    def _initial_is_more(self) -> Self:
        if self.maintenance > self.initial:
            told = f"maintenance: {self.maintenance:.15g}, must be at most initial = {self.initial:.15g}"
            raise ValueError(f"{told}, lower it or raise initial")
        return self

    def rate_of(self, seen: F8) -> F8:
        """See :class:`FundingRule`; of the mean premium."""
        ppm = (round(amount * MILLION) for amount in (self.factor, self.initial, self.maintenance))
        most = largest_ppm(*ppm)
        rate = np.clip(np.rint((seen + self.interest) * MILLION), -most, most)
        return rate / MILLION * (self.interval / EIGHT_HOURS)


def largest_ppm(factor: int, initial: int, maintenance: int) -> int:
    """Bound of the rate per 8 h, all in parts per million: factor x (initial - maintenance), rounded down."""
    return factor * (initial - maintenance) // MILLION


def index_delta(rate: int, seconds: int, price: int, exponent: int) -> int:
    """Change of the funding index over some seconds: rate x price x seconds / 8 h, in whole numbers, towards nil.

    Args:
        rate: per 8 h, parts per million.
        seconds: since the index last moved.
        price: the market's whole-number price.
        exponent: of ten, price's own and that of the base quantum together (price exponent + atomic resolution).

    Returns:
        parts per million of a quote quantum per base quantum.
    """
    power = exponent - QUOTE_EXPONENT
    size = abs(rate) * seconds * price * 10 ** max(power, 0) // 10 ** max(-power, 0) // int(EIGHT_HOURS)
    return size if rate >= 0 else -size
