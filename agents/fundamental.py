"""Fundamental traders: they buy below a slow average of the index and sell above it (AGT-1)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import DAY, Trader
from agents.leveraged import LeveragedTrader, LognormalLeverage
from agents.shared.leveraged_binding import LeveragedBinding
from agents.shared.signals import LogPriceTracker, standardise
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.prices.past import PastReturns
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

    def learn_past(self, past: PastReturns, opening: Observation) -> None:
        """See ``sim.protocols.LearnsPastPrices``."""
        view, columns = self._members.scope.view(opening)
        underlying = view.contracts.underlying[columns]
        self._tracker.learn_past(past, opening.spot[underlying], underlying)

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
        return list_hazards(self.entries_per_day * observation.dt / DAY, pull)

    def _signals(self, rows: I8, columns: I8, observation: Observation, draws: F8) -> F8:
        signals: F8 = -np.sign(self._mispricing())[columns] * self._members.target_leverage[rows]
        return signals

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """See :class:`sim.compiled.components.CompiledPopulation`."""
        scope, tracker, contracts = self._members.scope, self._tracker, step.market.contracts
        binding = LeveragedBinding.begin(step, members, scope, self.latency)
        observe = tracker.bind_prices(step.index, contracts.underlying[scope.instruments])
        compare = bind_kernel(
            find_mispricings,
            self.value_half_life,
            self.max_entry_multiple,
            self.entries_per_day * step.market.config.dt / DAY,
            tracker.log_prices,
            tracker.averages,
            *tracker.scales,
            binding.arrays.hazard,
            binding.arrays.side,
        )
        return self._bind_members(
            binding,
            prices=[observe, compare],
            signals=[binding.follow_sides(self._members.target_leverage)],
        )


@kernel
def compute_hazard(rate: float, pull: float) -> float:
    """Return the probability of an entry in a step; rate is per step at a pull of one."""
    return -np.expm1(-rate * pull)


@kernel
def list_hazards(rate: float, pull: F8) -> F8:
    """Return the probability of an entry for each pull; see :func:`compute_hazard`."""
    hazards = np.empty_like(pull)
    for m in range(pull.size):
        hazards[m] = compute_hazard(rate, pull[m])
    return hazards


@kernel
def find_mispricings(
    tick: int,
    over: float,
    max_multiple: float,
    rate: float,
    log_prices: F8,
    averages: F8,
    variance_weight: F8,
    mean_squares: F8,
    steps_per_year: F8,
    seconds_per_year: F8,
    hazard: F8,
    side: F8,
) -> int:
    """Set the side against each instrument's distance from its value, and its hazard.

    Args:
        tick: present tick.
        over: half-life of the value, seconds.
        max_multiple: largest factor of the distance on the hazard.
        rate: entries per step at one standard deviation.
        log_prices: (m,) of the index.
        averages: (1, m) values.
        variance_weight, mean_squares, steps_per_year, seconds_per_year: see ``PriceScales``.
        hazard, side: (m,) out.
    """
    for m in range(side.size):
        distance = standardise(
            log_prices[m] - averages[0, m],
            m,
            over,
            variance_weight,
            mean_squares,
            steps_per_year,
            seconds_per_year,
        )
        side[m] = -np.sign(distance)
        hazard[m] = compute_hazard(rate, np.minimum(abs(distance), max_multiple))
    return 0
