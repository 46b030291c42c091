"""Vega's funding: the gap between time-weighted averages, less what interest explains."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from sim.exchange.funding import Averages, FundingRule
from sim.types import F8


class InterestGap(FundingRule):
    """Payment f - s + clamp((1 + r Δ) s - f, lower s, upper s) of a long, then scaled, then its rate bounded.

    f and s are the time-weighted averages of internal and external price over the interval; rate = payment / s.
    vegaprotocol/specs, 0053-PERP (v0.77). In a market the mid of the quotes is the internal price, the oracle the
    external one, and there are no auctions.
    """

    kind: Literal["interest_gap"] = Field(
        default="interest_gap", description="gap between time-weighted averages, less interest (name)"
    )
    interest: float = Field(default=0.0, description="interest r (per year)")
    clamp_lower: float = Field(default=0.0, le=0, description="lower bound of the interest term (share of s)")
    clamp_upper: float = Field(default=0.0, ge=0, description="upper bound of the interest term (share of s)")
    scaling: float = Field(default=1.0, gt=0, description="factor of the payment (1)")
    rate_lower: float | None = Field(default=None, description="lower bound of the rate; none = none (rate)")
    rate_upper: float | None = Field(default=None, description="upper bound of the rate; none = none (rate)")

    _seen: Averages = PrivateAttr(default_factory=Averages)

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.rate_lower is not None and self.rate_upper is not None and self.rate_lower > self.rate_upper:
            raise ValueError(f"rate_lower: {self.rate_lower:.15g} exceeds rate_upper {self.rate_upper:.15g}, swap them")
        return self

    def rate_of(self, seen: F8) -> F8:
        """See :class:`FundingRule`; of averages of mid and oracle."""
        internal, external = seen
        return self.payment(internal, external, self.interval / self._year)

    def payment(self, internal: F8, external: F8, years: F8 | float, trading: float = 1.0) -> F8:
        """What a long of one unit pays, in the prices' unit.

        Args:
            internal: time-weighted average f of the contract's price.
            external: time-weighted average s of the underlying's.
            years: Δ, length of the interval.
            trading: share of the interval that was not an auction (1).
        """
        carried = (1.0 + self.interest * years) * external - internal
        gap = internal - external + np.clip(carried, self.clamp_lower * external, self.clamp_upper * external)
        lower = -np.inf if self.rate_lower is None else self.rate_lower
        upper = np.inf if self.rate_upper is None else self.rate_upper
        return np.clip(gap * trading * self.scaling, lower * external, upper * external)


def time_weighted(
    times: Sequence[float], prices: Sequence[float], end: float, pause: tuple[float, float] = (0.0, 0.0)
) -> float:
    """The average of a price that holds from each time to the next, the last until the end, a pause apart.

    Args:
        times: when prices were observed, rising.
        prices: one for each time.
        end: of the period.
        pause: from when to when an auction was held, whose time does not count.
    """
    edges = np.array([*times, end], dtype=np.float64)
    trading = edges - np.clip(edges - pause[0], 0.0, pause[1] - pause[0])  # a clock that stands still in the pause
    return float(np.average(prices, weights=np.diff(trading)))
