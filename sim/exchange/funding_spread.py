"""Funding of Drift: a daily share of the gap between two averages."""

from typing import Literal

import numpy as np
from pydantic import Field, PrivateAttr

from sim.exchange.funding import FundingRule, PriceAverages
from sim.types import F8

DAY = 86_400.0


class SpreadFunding(FundingRule):
    """Clamped gap (average of the mid - average of the oracle) x interval / a day.

    The gap is at most a share of the oracle. A premium that persists is therefore paid once a day.
    Source: drift-labs/protocol-v2, controller/funding.rs (2024). Its averages are exponential; here
    they run over the interval, and the mid of the quotes replaces the mark.
    """

    kind: Literal["spread"] = Field(
        default="spread", description="gap between averages of mid and oracle (name)"
    )
    interval: float = Field(default=3600.0, gt=0, description="time between payments (s)")
    share: float = Field(default=1 / 33, gt=0, description="largest gap (share of the oracle)")

    _observations: PriceAverages = PrivateAttr(default_factory=PriceAverages)

    def compute_rate(self, observed: F8) -> F8:
        """Return the rate from the averages of mid and oracle; see :class:`FundingRule`."""
        mid, oracle = observed
        return compute_spread_payment(mid, oracle, self.share * oracle, self.interval)


def compute_spread_payment(mark: F8, oracle: F8, clamp: F8, interval: float) -> F8:
    """Return the payment of a long of one unit for an interval: the clamped gap x interval / a day.

    The payment has the unit of the prices.
    """
    return np.clip(mark - oracle, -clamp, clamp) * (interval / DAY)
