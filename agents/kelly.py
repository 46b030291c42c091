"""Fractional Kelly traders: leverage is a share of estimated drift over variance (AGT-1)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr
from scipy.special import ndtri

from agents.base import DAY, Trader, draw_lognormal
from agents.leveraged import LeveragedPopulation, LeveragedTrader
from agents.shared.leveraged_binding import LeveragedBinding
from agents.shared.signals import LogPriceTracker, measure_variance
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.prices.past import PastReturns
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

    def learn_past(self, past: PastReturns, opening: Observation) -> None:
        """See ``sim.protocols.LearnsPastPrices``; marks followed the index."""
        view, columns = self._members.scope.view(opening)
        underlying = view.contracts.underlying[columns]
        self._tracker.learn_past(past, view.mark[columns], underlying)

    def _observe_prices(self, observation: Observation) -> None:
        view, columns = self._members.scope.view(observation)
        self._tracker.add_prices(view.mark[columns])

    def _signals(self, rows: I8, columns: I8, observation: Observation, draws: F8) -> F8:
        tracker = self._tracker
        slope = (tracker.log_prices - tracker.averages[0]) / self._slope_lag()
        drift, variance = (
            self._believed_drift[rows] + self.trend_weight * slope[columns],
            tracker.variance[columns],
        )
        bet = np.divide(drift, variance, out=np.zeros_like(drift), where=variance > 0)
        wish = self._members.target_leverage[rows] * bet
        return np.where(np.abs(wish) >= self.least, wish, 0.0)

    def _slope_lag(self) -> F8:
        """Return the lag of the average behind the slope, (m,) years."""
        lag: F8 = self.drift_half_life / np.log(2) / self._seconds_per_year
        return lag

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """See :class:`sim.compiled.components.CompiledPopulation`."""
        traits, tracker = self._members, self._tracker
        binding = LeveragedBinding.begin(step, members, traits.scope, self.latency)
        arrays = binding.arrays
        arrays.hazard[:] = traits.entry_probability
        observe = tracker.bind_prices(step.mark, traits.scope.instruments)
        bets = bind_kernel(
            bet_by_drift,
            self.least,
            self.trend_weight,
            self._slope_lag(),
            self._believed_drift,
            traits.target_leverage,
            tracker.log_prices,
            tracker.averages,
            *tracker.scales[:3],
            arrays.n_entries,
            arrays.rows,
            arrays.columns,
            arrays.signal,
        )
        return self._bind_members(binding, prices=[observe], signals=[bets])


@kernel
def bet_by_drift(
    tick: int,
    least: float,
    trend_weight: float,
    lag: F8,
    believed: F8,
    fraction: F8,
    log_prices: F8,
    averages: F8,
    variance_weight: F8,
    mean_squares: F8,
    steps_per_year: F8,
    n_entries: I8,
    rows: I8,
    columns: I8,
    signal: F8,
) -> int:
    """Set the signals of entrants to a fraction of drift over variance.

    Args:
        tick: present tick.
        least: leverage below which a member does not enter.
        trend_weight: weight of the slope in the drift.
        lag: (m,) of the average behind the slope, years.
        believed: (n,) drift per year.
        fraction: (n,) share of the growth-optimal bet.
        log_prices: (m,).
        averages: (1, m).
        variance_weight, mean_squares, steps_per_year: see ``PriceScales``.
        n_entries, rows, columns, signal: see ``DecisionArrays``.
    """
    for at in range(n_entries[0]):
        m = columns[at]
        slope = (log_prices[m] - averages[0, m]) / lag[m]
        drift = believed[rows[at]] + trend_weight * slope
        variance = measure_variance(m, variance_weight, mean_squares, steps_per_year)
        wish = fraction[rows[at]] * (drift / variance if variance > 0 else 0.0)
        signal[at] = wish if abs(wish) >= least else 0.0
    return 0
