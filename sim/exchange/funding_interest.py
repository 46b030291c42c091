"""Funding of Vega: the gap between time-weighted averages, less the gap that interest explains."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from sim.exchange.funding import FundingRule, PriceAverages
from sim.types import F8


class InterestGapFunding(FundingRule):
    """Gap between time-weighted averages of internal and external price, less interest.

    A long pays f - s + clamp((1 + r Δ) s - f, lower s, upper s), then scaled and with a bounded
    rate. f and s are the averages of internal and external price over the interval; rate = payment
    / s. Source: vegaprotocol/specs, 0053-PERP (v0.77). In a market the mid of the quotes is the
    internal price and the oracle the external one. There are no auctions.
    """

    kind: Literal["interest_gap"] = Field(
        default="interest_gap",
        description="gap between time-weighted averages, less interest (name)",
    )
    interest: float = Field(default=0.0, description="interest r (per year)")
    clamp_lower: float = Field(
        default=0.0, le=0, description="lower bound of the interest term (share of s)"
    )
    clamp_upper: float = Field(
        default=0.0, ge=0, description="upper bound of the interest term (share of s)"
    )
    scaling: float = Field(default=1.0, gt=0, description="factor of the payment (1)")
    rate_lower: float | None = Field(
        default=None, description="lower bound of the rate; none = unbounded (rate)"
    )
    rate_upper: float | None = Field(
        default=None, description="upper bound of the rate; none = unbounded (rate)"
    )

    _observations: PriceAverages = PrivateAttr(default_factory=PriceAverages)

    @model_validator(mode="after")
    def _check_bound_order(self) -> Self:
        if (
            self.rate_lower is not None
            and self.rate_upper is not None
            and self.rate_lower > self.rate_upper
        ):
            raise ValueError(
                f"rate_lower: {self.rate_lower:.15g} exceeds rate_upper {self.rate_upper:.15g}, "
                "swap them"
            )
        return self

    def compute_rate(self, observed: F8) -> F8:
        """Return the rate from the averages of mid and oracle; see :class:`FundingRule`."""
        internal, external = observed
        return self.compute_payment(internal, external, self.interval / self._year_seconds)

    def compute_payment(
        self, internal: F8, external: F8, years: F8 | float, trading: float = 1.0
    ) -> F8:
        """Return the payment of a long of one unit, in the unit of the prices.

        Args:
            internal: time-weighted average f of the contract's price.
            external: time-weighted average s of the underlying's.
            years: Δ, length of the interval.
            trading: share of the interval that was not an auction (1).
        """
        carried = (1.0 + self.interest * years) * external - internal
        gap = (
            internal
            - external
            + np.clip(carried, self.clamp_lower * external, self.clamp_upper * external)
        )
        lower = -np.inf if self.rate_lower is None else self.rate_lower
        upper = np.inf if self.rate_upper is None else self.rate_upper
        return np.clip(gap * trading * self.scaling, lower * external, upper * external)


def compute_time_average(
    times: Sequence[float],
    prices: Sequence[float],
    end: float,
    pause: tuple[float, float] = (0.0, 0.0),
) -> float:
    """Return the average of a price that holds from each time to the next, without the pause.

    The last price holds until the end.

    Args:
        times: when prices were observed, rising.
        prices: one for each time.
        end: end of the period.
        pause: start and end of an auction, whose time does not count.
    """
    edges = np.array([*times, end], dtype=np.float64)
    # this clock stops during the pause
    trading = edges - np.clip(edges - pause[0], 0.0, pause[1] - pause[0])
    return float(np.average(prices, weights=np.diff(trading)))
