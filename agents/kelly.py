"""Fractional Kelly traders: leverage is a share of estimated drift over variance (AGT-1)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr
from scipy.special import ndtri

from agents.base import DAY, Trader, draw_lognormal
from agents.leveraged import LeveragedPopulation, LeveragedTrader
from agents.shared.signals import LogPriceTracker
from sim.types import F8, I8, MarketSpec, Observation


class KellyTrader(LeveragedTrader):
    """A member of a population of Kelly traders."""


class KellyTraders(LeveragedPopulation):
    """Traders who take a fraction of the bet that maximises their expected growth of wealth.

    Growth is largest at leverage drift / variance (Kelly 1956; in continuous time Thorp 2006,
    section 7). A member's drift is the sum of its own belief, drawn once, and ``trust`` times the
    slope of the log mark. The slope is the log mark less its average, over the lag of that
    average: an unbiased but noisy estimate of drift. Leverage is chosen on entry and kept until
    exit, because members who adjust it in every step make prices oscillate (AGT-1).
    """

    agent_class: ClassVar[type[Trader]] = KellyTrader
    n_trait_draws: ClassVar[int] = 4

    kind: Literal["kelly"] = "kelly"
    name: str = Field(
        "kelly", min_length=1, description="name of the population, unique in the market (text)"
    )
    fraction: float = Field(
        0.5, gt=0, le=1, description="median share of the growth-optimal bet (share)"
    )
    fraction_sigma: float = Field(0.3, ge=0, description="standard deviation of the log share (1)")
    belief_sigma: float = Field(
        0.5, ge=0, description="standard deviation of drawn drifts about 0 (per year)"
    )
    trend_weight: float = Field(
        0.1, ge=0, le=1, description="weight of the estimated slope in the drift (share)"
    )
    drift_half_life: float = Field(
        7 * DAY, gt=0, description="half-life of the average behind the slope (seconds)"
    )
    least: float = Field(
        0.25, ge=0, description="leverage below which a member does not enter (times equity)"
    )

    _tracker: LogPriceTracker = PrivateAttr()
    _believed_drift: F8 = PrivateAttr()  # (n,) per year
    _seconds_per_year: F8 = PrivateAttr()  # (m,) seconds of the run's clock in a year

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw traits and beliefs; see ``sim.protocols.PopulationProtocol``."""
        self._believed_drift = self.belief_sigma * ndtri(
            np.clip(draws[:, 3], 2.0**-54, 1 - 2.0**-53)
        )
        wealth = super().start(spec, draws)
        self._seconds_per_year = spec.find_seconds_per_year(self._members.scope.instruments)
        self._tracker = LogPriceTracker(
            spec.dt, [self.drift_half_life], year=self._seconds_per_year
        )
        return wealth

    def _target_leverages(self, draws: F8) -> F8:
        """Return the fraction of each member, at most one."""
        return np.minimum(draw_lognormal(draws, self.fraction, self.fraction_sigma), 1.0)

    def _observe_prices(self, observation: Observation) -> None:
        view, columns = self._members.scope.view(observation)
        self._tracker.add_prices(view.mark[columns])

    def _signals(self, rows: I8, columns: I8, observation: Observation, draws: F8) -> F8:
        tracker, lag = self._tracker, self.drift_half_life / np.log(2) / self._seconds_per_year
        slope = (tracker.log_prices - tracker.averages[0]) / lag
        drift, variance = (
            self._believed_drift[rows] + self.trend_weight * slope[columns],
            tracker.variance[columns],
        )
        bet = np.divide(drift, variance, out=np.zeros_like(drift), where=variance > 0)
        wish = self._members.target_leverage[rows] * bet
        return np.where(np.abs(wish) >= self.least, wish, 0.0)
