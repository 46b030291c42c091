"""Trend followers: they go with the difference of a fast and a slow average of the mark (AGT-1)."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from agents.base import DAY, Participant
from agents.leveraged import Tasteful, Trader
from agents.signals import Tracker
from sim.types import F8, I8, Outlook, Setting


class TrendFollower(Trader):
    """A member of a population of trend followers."""


class Trend(Tasteful):
    """Traders who buy where the fast average of the log mark is above the slow one, and sell where it is below.

    The crossing of two averages is the rule tested by Brock, Lakonishok and LeBaron (1992), its band the ``threshold``
    below which nobody enters, here in standard deviations of the move over the slow half-life.
    """

    agent: ClassVar[type[Participant]] = TrendFollower

    kind: Literal["trend"] = "trend"
    name: str = Field("trend", min_length=1, description="name of the population, unique in the market (text)")
    fast_half_life: float = Field(3600.0, gt=0, description="half-life of the fast average (seconds)")
    slow_half_life: float = Field(DAY / 2, gt=0, description="half-life of the slow average (seconds)")
    threshold: float = Field(0.25, ge=0, description="strength below which nobody enters (standard deviations)")

    _tracker: Tracker = PrivateAttr()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        """A fast average slower than the slow one would sell what rises."""
        if self.fast_half_life >= self.slow_half_life:
            told = f"fast_half_life: {self.fast_half_life:.15g} must be below slow_half_life"
            raise ValueError(f"{told} = {self.slow_half_life:.15g}, lower it or raise slow_half_life")
        return self

    def start(self, setting: Setting, draws: F8) -> I8:
        """Draw traits; see ``sim.protocols.Population``."""
        wealth = super().start(setting, draws)
        year = setting.year(self._members.stall.instruments)
        self._tracker = Tracker(setting.dt, [self.fast_half_life, self.slow_half_life], year=year)
        return wealth

    def _learn(self, outlook: Outlook) -> None:
        view, columns = self._members.stall.look(outlook)
        self._tracker.learn(view.mark[columns])

    def _strength(self) -> F8:
        """Of the trend, + up, (m,) standard deviations; nil below the threshold."""
        fast, slow = self._tracker.averages
        strength = self._tracker.strength(fast - slow, self.slow_half_life)
        return np.where(np.abs(strength) >= self.threshold, strength, 0.0)

    def _hazards(self, outlook: Outlook) -> F8:
        return np.where(self._strength() != 0, self._members.enter, 0.0)

    def _opinions(self, rows: I8, columns: I8, outlook: Outlook, draws: F8) -> F8:
        opinions: F8 = np.sign(self._strength())[columns] * self._members.taste[rows]
        return opinions
