"""Fundamental traders: they buy what stands below its slow average and sell what stands above (AGT-1)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import DAY, Trader
from agents.leveraged import LeveragedTrader, LognormalLeverage
from agents.shared.signals import LogPriceTracker
from sim.types import F8, I8, MarketSpec, Observation


class FundamentalTrader(LeveragedTrader):
    """A member of a population of fundamental traders."""


class FundamentalTraders(LognormalLeverage):
    """Traders to whom a slow moving average of the index is the value, as in Chiarella (1992) and Lux (1995).

    They enter against the index' distance from it, with a hazard proportional to the distance in standard deviations of
    the move over a half-life: ``entries`` a day at one of them, ``eagerness`` times that at most.
    """

    agent_class: ClassVar[type[Trader]] = FundamentalTrader

    kind: Literal["fundamental"] = "fundamental"
    name: str = Field(
        "fundamental",
        min_length=1,
        description="name of the population, unique in the market (text)",
    )
    value_half_life: float = Field(
        5 * DAY, gt=0, description="half-life of the average that is the value (seconds)"
    )
    eagerness: float = Field(
        3.0, gt=0, description="most that mispricing multiplies the hazard by (times)"
    )

    _tracker: LogPriceTracker = PrivateAttr()

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        """Draw traits; see ``sim.protocols.PopulationProtocol``."""
        wealth = super().start(setting, draws)
        year = setting.find_seconds_per_year(self._members.scope.instruments)
        self._tracker = LogPriceTracker(setting.dt, [self.value_half_life], year=year)
        return wealth

    def _observe_prices(self, outlook: Observation) -> None:
        view, columns = self._members.scope.view(outlook)
        self._tracker.add_prices(outlook.spot[view.contracts.underlying[columns]])

    def _mispricing(self) -> F8:
        """How far the index stands above value, (m,) standard deviations."""
        return self._tracker.standardise_deviation(
            self._tracker.log_prices - self._tracker.averages[0], self.value_half_life
        )

    def _entry_probabilities(self, outlook: Observation) -> F8:
        pull = np.minimum(np.abs(self._mispricing()), self.eagerness)
        hazards: F8 = -np.expm1(-self.entries * outlook.dt / DAY * pull)
        return hazards

    def _signals(self, rows: I8, columns: I8, outlook: Observation, draws: F8) -> F8:
        opinions: F8 = -np.sign(self._mispricing())[columns] * self._members.target_leverage[rows]
        return opinions
