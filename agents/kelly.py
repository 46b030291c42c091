"""Fractional Kelly traders: leverage is a share of estimated drift over variance (AGT-1)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr
from scipy.special import ndtri

from agents.base import DAY, Participant, lognormal
from agents.leveraged import Leveraged, Trader
from agents.shared.signals import Tracker
from sim.types import F8, I8, Outlook, Setting


class KellyTrader(Trader):
    """A member of a population of Kelly traders."""


class Kelly(Leveraged):
    """Traders who maximise the growth of wealth on what they believe, and take a fraction of that bet.

    Growth is largest at leverage drift / variance (Kelly 1956; in continuous time Thorp 2006, section 7). A member's
    drift is a belief of its own, drawn once, and ``trust`` times the slope of the log mark: the log mark less its
    average, over the lag of that average, which is drift without bias and full of noise. Leverage is chosen on entry
    and kept until exit, for members who re-target every step drive prices to and fro (AGT-1).
    """

    agent: ClassVar[type[Participant]] = KellyTrader
    traits: ClassVar[int] = 4

    kind: Literal["kelly"] = "kelly"
    name: str = Field("kelly", min_length=1, description="name of the population, unique in the market (text)")
    fraction: float = Field(0.5, gt=0, le=1, description="median share of the growth-optimal bet (share)")
    fraction_sigma: float = Field(0.3, ge=0, description="standard deviation of the log share (1)")
    belief_sigma: float = Field(0.5, ge=0, description="standard deviation of drawn drifts about 0 (per year)")
    trust: float = Field(0.1, ge=0, le=1, description="weight of the estimated slope in the drift (share)")
    drift_half_life: float = Field(7 * DAY, gt=0, description="half-life of the average behind the slope (seconds)")
    least: float = Field(0.25, ge=0, description="wish below which a member stays out (times equity)")

    _tracker: Tracker = PrivateAttr()
    _belief: F8 = PrivateAttr()  # (n,) per year
    _year: F8 = PrivateAttr()  # (m,) seconds of the run's clock in a year

    def start(self, setting: Setting, draws: F8) -> I8:
        """Draw traits and beliefs; see ``sim.protocols.Population``."""
        self._belief = self.belief_sigma * ndtri(np.clip(draws[:, 3], 2.0**-54, 1 - 2.0**-53))
        wealth = super().start(setting, draws)
        self._year = setting.year(self._members.stall.instruments)
        self._tracker = Tracker(setting.dt, [self.drift_half_life], year=self._year)
        return wealth

    def _tastes(self, draws: F8) -> F8:
        """The fraction of each member, never above the whole bet."""
        return np.minimum(lognormal(draws, self.fraction, self.fraction_sigma), 1.0)

    def _learn(self, outlook: Outlook) -> None:
        view, columns = self._members.stall.look(outlook)
        self._tracker.learn(view.mark[columns])

    def _opinions(self, rows: I8, columns: I8, outlook: Outlook, draws: F8) -> F8:
        tracker, lag = self._tracker, self.drift_half_life / np.log(2) / self._year
        slope = (tracker.log - tracker.averages[0]) / lag
        drift, variance = self._belief[rows] + self.trust * slope[columns], tracker.variance[columns]
        bet = np.divide(drift, variance, out=np.zeros_like(drift), where=variance > 0)
        wish = self._members.taste[rows] * bet
        return np.where(np.abs(wish) >= self.least, wish, 0.0)
