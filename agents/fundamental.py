"""Fundamental traders: they buy what stands below its slow average and sell what stands above (AGT-1)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import DAY, Participant
from agents.leveraged import Tasteful, Trader
from agents.shared.signals import Tracker
from sim.types import F8, I8, Outlook, Setting


class FundamentalTrader(Trader):
    """A member of a population of fundamental traders."""


class Fundamental(Tasteful):
    """Traders to whom a slow moving average of the index is the value, as in Chiarella (1992) and Lux (1995).

    They enter against the index' distance from it, with a hazard proportional to the distance in standard deviations of
    the move over a half-life: ``entries`` a day at one of them, ``eagerness`` times that at most.
    """

    agent: ClassVar[type[Participant]] = FundamentalTrader

    kind: Literal["fundamental"] = "fundamental"
    name: str = Field("fundamental", min_length=1, description="name of the population, unique in the market (text)")
    value_half_life: float = Field(5 * DAY, gt=0, description="half-life of the average that is the value (seconds)")
    eagerness: float = Field(3.0, gt=0, description="most that mispricing multiplies the hazard by (times)")

    _tracker: Tracker = PrivateAttr()

    def start(self, setting: Setting, draws: F8) -> I8:
        """Draw traits; see ``sim.protocols.Population``."""
        wealth = super().start(setting, draws)
        year = setting.year(self._members.stall.instruments)
        self._tracker = Tracker(setting.dt, [self.value_half_life], year=year)
        return wealth

    def _learn(self, outlook: Outlook) -> None:
        view, columns = self._members.stall.look(outlook)
        self._tracker.learn(outlook.spot[view.contracts.underlying[columns]])

    def _mispricing(self) -> F8:
        """How far the index stands above value, (m,) standard deviations."""
        return self._tracker.strength(self._tracker.log - self._tracker.averages[0], self.value_half_life)

    def _hazards(self, outlook: Outlook) -> F8:
        pull = np.minimum(np.abs(self._mispricing()), self.eagerness)
        hazards: F8 = -np.expm1(-self.entries * outlook.dt / DAY * pull)
        return hazards

    def _opinions(self, rows: I8, columns: I8, outlook: Outlook, draws: F8) -> F8:
        opinions: F8 = -np.sign(self._mispricing())[columns] * self._members.taste[rows]
        return opinions
