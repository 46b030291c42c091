"""Relative-value traders: long one instrument and short another by their spread (AGT-10)."""

import itertools
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from agents.base import DAY, Trader
from agents.compiled.leveraged import DecisionArrays
from agents.compiled.portfolios import spreads as kernels
from agents.portfolios.books import BookPopulation, BookTrader
from agents.shared.signals import LogPriceTracker
from sim.compiled.arrays import StepArrays
from sim.errors import ConfigError, describe_unknown
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import B1, F8, I8, AccountView, MarketSpec, Observation


class PairTrader(BookTrader):
    """A member of a population of relative-value traders."""


class PairTraders(BookPopulation):
    """Traders who expect the ratio of two prices to come back to its slow average.

    The rule is that of Gatev, Goetzmann and Rouwenhorst (2006, Review of Financial Studies 19(3)):
    a pair is opened when its prices are two standard deviations apart and closed when they have
    converged. The spread here is the log ratio of the marks less its average, in standard
    deviations of the ratio's move over the average's half-life. Members are short the leg that has
    risen. Both legs are entered together. A pair is closed on convergence, at a stop or by time.
    A member whose legs do not match, because one was not filled, closed out or deleveraged,
    completes the missing one or leaves. A pair of one underlying, such as a perpetual and another
    or a future, is a trade on their basis.
    """

    agent_class: ClassVar[type[Trader]] = PairTrader
    is_whole: ClassVar[bool] = True
    keeps_gross: ClassVar[bool] = False

    kind: Literal["pairs"] = "pairs"
    name: str = Field(
        "pairs", min_length=1, description="name of the population, unique in the market (text)"
    )
    leverage: float = Field(
        3.0, gt=0, description="median desired leverage at the reference leverage (times equity)"
    )
    holding_time: float = Field(3 * DAY, gt=0, description="mean time a position is held (seconds)")
    equity_stop_loss: float | None = Field(
        0.2, gt=0, description="loss that closes, share of the equity at entry (share)"
    )
    entries_per_day: float = Field(
        4.0, ge=0, description="hazard of entering while flat and a spread is wide (per day)"
    )
    pairs: tuple[tuple[str, str], ...] = Field(
        (),
        description="pairs of instruments; empty = all of two underlyings (names)",
    )
    spread_half_life: float = Field(
        DAY / 2, gt=0, description="half-life of the average of the log ratio (seconds)"
    )
    entry_threshold: float = Field(
        2.0, gt=0, description="spread that opens a pair (standard deviations)"
    )
    exit_threshold: float = Field(
        0.25, ge=0, description="spread that closes a pair (standard deviations)"
    )
    leg_weights: Literal["equal", "beta"] = Field(
        "equal", description="value of the second leg: as the first, or times its beta (name)"
    )
    rebalance_band: float = Field(
        0.1,
        ge=0,
        description="mismatch of the legs beyond which members act (share of gross value)",
    )
    rebalance_time: float = Field(600.0, gt=0, description="mean time until they act (seconds)")
    abandon_probability: float = Field(
        0.5,
        ge=0,
        le=1,
        description="probability that they then leave; else they complete the legs (probability)",
    )

    _first: I8 = PrivateAttr()  # (b,) columns of the legs in the scope
    _second: I8 = PrivateAttr()  # (b,)
    _tracker: LogPriceTracker = PrivateAttr()  # of instruments and then of ratios
    _spread: F8 = PrivateAttr()  # (b,) standard deviations

    @model_validator(mode="after")
    def _check_exit_below_entry(self) -> Self:
        """Require the exit below the entry; otherwise a member opens and closes at once."""
        if self.exit_threshold >= self.entry_threshold:
            message = (
                f"exit_threshold: {self.exit_threshold:.15g} must be below "
                f"entry_threshold = {self.entry_threshold:.15g}"
            )
            raise ValueError(f"{message}, lower it or raise entry_threshold")
        return self

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw traits and find the pairs; see ``sim.protocols.PopulationProtocol``."""
        placed = super().start(spec, draws)
        instruments = self._members.scope.instruments
        self._first, self._second = self._list_pairs(spec, instruments)
        self._spread = np.zeros(self._first.size)
        year = spec.find_seconds_per_year(np.concatenate([instruments, instruments[self._first]]))
        self._tracker = LogPriceTracker(spec.dt, [self.spread_half_life], year=year)
        return placed

    def _list_pairs(self, spec: MarketSpec, instruments: I8) -> tuple[I8, I8]:
        """Return the columns of the legs of each pair.

        Raises:
            ConfigError: a name is not traded, a pair is one instrument, or there is no pair.
        """
        names = [spec.contracts.names[k] for k in instruments]
        underlying = spec.contracts.underlying[instruments]
        unknown = {name for pair in self.pairs for name in pair} - set(names)
        problems = [f"{self.name}.pairs: {describe_unknown(each, names)}" for each in unknown]
        if problems:
            raise ConfigError(sorted(problems))
        chosen = [(names.index(one), names.index(other)) for one, other in self.pairs] or [
            (one, other)
            for one, other in itertools.combinations(range(len(names)), 2)
            if underlying[one] != underlying[other]
        ]
        if not chosen or any(one == other for one, other in chosen):
            raise ConfigError(
                [
                    f"{self.name}.pairs: the legs must be two instruments, and unless pairs are "
                    f"named, of two underlyings; name pairs of {', '.join(names)}"
                ]
            )
        first, second = np.array(chosen, dtype=np.int64).T
        return np.ascontiguousarray(first), np.ascontiguousarray(second)

    @property
    def n_books(self) -> int:
        """Number of pairs."""
        return int(self._first.size)

    @property
    def _exit_share(self) -> float:
        return self.abandon_probability

    def _observe_prices(self, observation: Observation) -> None:
        view, columns = self._members.scope.view(observation)
        prices = np.zeros(columns.size + self.n_books)
        pairs = (self._first, self._second)
        kernels.read_prices(
            0,
            view.mark[columns],
            view.contracts.tick[columns],
            np.arange(columns.size),
            *pairs,
            prices,
        )
        self._tracker.add_prices(prices)

    def _find_sides(self) -> tuple[F8, F8]:
        """Update the spreads, and return the hazard and the side of each pair, (b,)."""
        hazard, side = np.zeros((2, self.n_books))
        kernels.find_spreads(
            0,
            float(self.entry_threshold),
            float(self.spread_half_life),
            self._members.entry_probability,
            self._tracker.log_prices,
            self._tracker.averages,
            *self._tracker.scales,
            self._spread,
            hazard,
            side,
        )
        return hazard, side

    def _entry_probabilities(self, observation: Observation) -> F8:
        return self._find_sides()[0]

    def _signals(self, rows: I8, columns: I8, observation: Observation, draws: F8) -> F8:
        signals: F8 = self._find_sides()[1][columns] * self._members.target_leverage[rows]
        return signals

    def _weigh_books(self, arrays: DecisionArrays, draws: F8) -> None:
        kernels.weigh_pairs(
            0,
            int(self.leg_weights == "beta"),
            self._first,
            self._second,
            self._tracker.state.mean_squares,
            arrays.n_entries,
            arrays.rows,
            arrays.columns,
            arrays.signal,
            self._books.weights,
        )

    def _early_exits(self, held: I8, observation: Observation, accounts: AccountView) -> B1 | None:
        """Return the members whose spread has converged."""
        leaves = np.zeros(self.count, dtype=np.bool_)
        kernels.leave_converged(
            0,
            float(self.exit_threshold),
            self._first,
            self._second,
            self._spread,
            self._books.weights,
            leaves,
        )
        return leaves

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """See :class:`sim.compiled.components.CompiledPopulation`."""
        binding, pairs = self._begin_binding(step, members), (self._first, self._second)
        arrays = binding.common.arrays
        weigh = bind_kernel(
            kernels.weigh_pairs,
            int(self.leg_weights == "beta"),
            *pairs,
            self._tracker.state.mean_squares,
            arrays.n_entries,
            arrays.rows,
            arrays.columns,
            arrays.signal,
            self._books.weights,
        )
        leave = bind_kernel(
            kernels.leave_converged,
            float(self.exit_threshold),
            *pairs,
            self._spread,
            self._books.weights,
            arrays.leaves,
        )
        return self._bind_books(
            binding,
            prices=self._bind_spreads(step, arrays),
            signals=[binding.common.follow_sides(self._members.target_leverage), weigh],
            exits=[leave],
        )

    def _bind_spreads(self, step: StepArrays, arrays: DecisionArrays) -> list[BoundKernel]:
        """Return the kernels of prices and spreads, and of hazards and sides that follow."""
        tracker, legs = self._tracker, self._members.scope.instruments
        prices = np.zeros(legs.size + self.n_books)
        ticks = (step.mark, step.market.contracts.tick)
        read = bind_kernel(kernels.read_prices, *ticks, legs, self._first, self._second, prices)
        observe = tracker.bind_prices(prices, np.arange(prices.size))
        compare = bind_kernel(
            kernels.find_spreads,
            float(self.entry_threshold),
            float(self.spread_half_life),
            self._members.entry_probability,
            tracker.log_prices,
            tracker.averages,
            *tracker.scales,
            self._spread,
            arrays.hazard,
            arrays.side,
        )
        return [read, observe, compare]
