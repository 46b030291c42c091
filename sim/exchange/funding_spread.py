"""Drift's funding: a day's share of the gap between two averages."""

from typing import Literal

import numpy as np
from pydantic import Field, PrivateAttr

from sim.exchange.funding import FundingRule, PriceAverages
from sim.types import F8

DAY = 86_400.0


class SpreadFunding(FundingRule):
    """(average of the mid - average of the oracle), at most a share of the latter, x interval / a day.

    So that a premium that stays is paid once a day. drift-labs/protocol-v2, controller/funding.rs (2024); averages
    there are exponential, here over the interval, and the mid of the quotes stands for the mark's.
    """

    kind: Literal["spread"] = Field(
        default="spread", description="gap between averages of mid and oracle (name)"
    )
    interval: float = Field(default=3600.0, gt=0, description="time between payments (s)")
    share: float = Field(default=1 / 33, gt=0, description="largest gap (share of the oracle)")

    _observations: PriceAverages = PrivateAttr(default_factory=PriceAverages)

    def compute_rate(self, seen: F8) -> F8:
        """See :class:`FundingRule`; of averages of mid and oracle."""
        mid, oracle = seen
        return compute_spread_payment(mid, oracle, self.share * oracle, self.interval)


def compute_spread_payment(mark: F8, oracle: F8, clamp: F8, interval: float) -> F8:
    """What a long of one unit pays for an interval: the clamped gap x interval / a day, in the prices' unit."""
    return np.clip(mark - oracle, -clamp, clamp) * (interval / DAY)
