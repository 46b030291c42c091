"""Trend followers: they trade on a fast and a slow average of the mark (AGT-1)."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from agents.base import DAY, Trader
from agents.leveraged import LeveragedTrader, LognormalLeverage
from agents.shared.signals import LogPriceTracker
from sim.types import F8, I8, MarketSpec, Observation


class TrendFollower(LeveragedTrader):
    """A member of a population of trend followers."""


class TrendFollowers(LognormalLeverage):
    """Traders who buy while the fast average of the log mark is above the slow one, or sell below.

    Brock, Lakonishok and LeBaron (1992) test this crossing of two averages. Their band is the
    ``threshold`` here, below which no member enters. It is in standard deviations of the move
    over the slow half-life.
    """

    agent_class: ClassVar[type[Trader]] = TrendFollower

    kind: Literal["trend"] = "trend"
    name: str = Field(
        "trend", min_length=1, description="name of the population, unique in the market (text)"
    )
    fast_half_life: float = Field(
        3600.0, gt=0, description="half-life of the fast average (seconds)"
    )
    slow_half_life: float = Field(
        DAY / 2, gt=0, description="half-life of the slow average (seconds)"
    )
    threshold: float = Field(
        0.25,
        ge=0,
        description="strength of the trend below which no member enters (standard deviations)",
    )

    _tracker: LogPriceTracker = PrivateAttr()

    @model_validator(mode="after")
    def _check_half_lives(self) -> Self:
        """Require the fast half-life below the slow one; otherwise the rule sells on a rise."""
        if self.fast_half_life >= self.slow_half_life:
            message = f"fast_half_life: {self.fast_half_life:.15g} must be below slow_half_life"
            raise ValueError(
                f"{message} = {self.slow_half_life:.15g}, lower it or raise slow_half_life"
            )
        return self

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw traits; see ``sim.protocols.PopulationProtocol``."""
        wealth = super().start(spec, draws)
        year = spec.find_seconds_per_year(self._members.scope.instruments)
        self._tracker = LogPriceTracker(
            spec.dt, [self.fast_half_life, self.slow_half_life], year=year
        )
        return wealth

    def _observe_prices(self, observation: Observation) -> None:
        view, columns = self._members.scope.view(observation)
        self._tracker.add_prices(view.mark[columns])

    def _trend_strength(self) -> F8:
        """Return the strength of the trend, (m,) standard deviations, + up.

        The strength is zero below the threshold.
        """
        fast, slow = self._tracker.averages
        strength = self._tracker.standardise_deviation(fast - slow, self.slow_half_life)
        return np.where(np.abs(strength) >= self.threshold, strength, 0.0)

    def _entry_probabilities(self, observation: Observation) -> F8:
        return np.where(self._trend_strength() != 0, self._members.entry_probability, 0.0)

    def _signals(self, rows: I8, columns: I8, observation: Observation, draws: F8) -> F8:
        signals: F8 = np.sign(self._trend_strength())[columns] * self._members.target_leverage[rows]
        return signals
