"""Fundamental traders: they buy below a slow average of the index and sell above it (AGT-1)."""

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
    """Traders who take a slow moving average of the index as its value.

    The model follows Chiarella (1992) and Lux (1995). Members trade against the distance of the
    index from its value. Their entry hazard is proportional to that distance, in standard
    deviations of the move over a half-life. It is ``entries`` per day at one standard deviation,
    and at most ``eagerness`` times as much.
    """

    agent_class: ClassVar[type[Trader]] = FundamentalTrader

    kind: Literal["fundamental"] = "fundamental"
    name: str = Field(
        "fundamental",
        min_length=1,
        description="name of the population, unique in the market (text)",
    )
    value_half_life: float = Field(
        5 * DAY, gt=0, description="half-life of the average taken as the value (seconds)"
    )
    max_entry_multiple: float = Field(
        3.0, gt=0, description="largest factor of mispricing on the entry hazard (times)"
    )

    _tracker: LogPriceTracker = PrivateAttr()

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw traits; see ``sim.protocols.PopulationProtocol``."""
        wealth = super().start(spec, draws)
        year = spec.find_seconds_per_year(self._members.scope.instruments)
        self._tracker = LogPriceTracker(spec.dt, [self.value_half_life], year=year)
        return wealth

    def _observe_prices(self, observation: Observation) -> None:
        view, columns = self._members.scope.view(observation)
        self._tracker.add_prices(observation.spot[view.contracts.underlying[columns]])

    def _mispricing(self) -> F8:
        """Return the distance of the index above its value, (m,) standard deviations."""
        return self._tracker.standardise_deviation(
            self._tracker.log_prices - self._tracker.averages[0], self.value_half_life
        )

    def _entry_probabilities(self, observation: Observation) -> F8:
        pull = np.minimum(np.abs(self._mispricing()), self.max_entry_multiple)
        hazards: F8 = -np.expm1(-self.entries_per_day * observation.dt / DAY * pull)
        return hazards

    def _signals(self, rows: I8, columns: I8, observation: Observation, draws: F8) -> F8:
        signals: F8 = -np.sign(self._mispricing())[columns] * self._members.target_leverage[rows]
        return signals
