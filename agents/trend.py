"""Trend followers: they trade on a fast and a slow average of the mark (AGT-1)."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from agents.base import DAY, Trader
from agents.leveraged import LeveragedTrader, LognormalLeverage
from agents.shared.leveraged_binding import LeveragedBinding
from agents.shared.signals import LogPriceTracker, standardise
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.prices.past import PastReturns
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

    def learn_past(self, past: PastReturns, opening: Observation) -> None:
        """See ``sim.protocols.LearnsPastPrices``; marks followed the index."""
        view, columns = self._members.scope.view(opening)
        underlying = view.contracts.underlying[columns]
        self._tracker.learn_past(past, view.mark[columns], underlying)

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

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """See :class:`sim.compiled.components.CompiledPopulation`."""
        traits = self._members
        binding = LeveragedBinding.begin(step, members, traits.scope, self.latency)
        first = self._tracker.bind_prices(step.mark, traits.scope.instruments)
        trends = bind_kernel(
            find_trends,
            self.threshold,
            self.slow_half_life,
            traits.entry_probability,
            self._tracker.averages,
            *self._tracker.scales,
            binding.arrays.hazard,
            binding.arrays.side,
        )
        return self._bind_members(
            binding,
            prices=[first, trends],
            signals=[binding.follow_sides(traits.target_leverage)],
        )


@kernel
def find_trends(
    tick: int,
    threshold: float,
    over: float,
    probability: float,
    averages: F8,
    variance_weight: F8,
    mean_squares: F8,
    steps_per_year: F8,
    seconds_per_year: F8,
    hazard: F8,
    side: F8,
) -> int:
    """Set the side of each instrument with a trend, and its hazard.

    Args:
        tick: present tick.
        threshold: strength below which there is no trend, standard deviations.
        over: time of the move that is compared, seconds.
        probability: probability that a flat member enters an instrument with a trend.
        averages: (2, m) fast and slow average.
        variance_weight, mean_squares, steps_per_year, seconds_per_year: see ``PriceScales``.
        hazard, side: (m,) out.
    """
    for m in range(side.size):
        strength = standardise(
            averages[0, m] - averages[1, m],
            m,
            over,
            variance_weight,
            mean_squares,
            steps_per_year,
            seconds_per_year,
        )
        side[m] = np.sign(strength) if abs(strength) >= threshold else 0.0
        hazard[m] = probability if side[m] != 0 else 0.0
    return 0
