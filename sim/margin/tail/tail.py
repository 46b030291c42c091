"""Risk-based margin: value at risk or expected shortfall of a portfolio (MAR-5)."""

import math
from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.base import RequirementComponent
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.margin.learning import describe_kinds
from sim.margin.past import PastSums, PastView
from sim.margin.scenarios.revaluation import OptionApproach, compute_tail_loss, revalue_lot_pnl
from sim.margin.tail.models.base import AnyModel, ReturnForecast, TailSpec, read_sample_state
from sim.margin.tail.models.filtered import FilteredModel
from sim.margin.tail.models.history import count_rows
from sim.margin.tail.risk_measures import Convention, Measure
from sim.margin.tail.tail_kernels import (
    add_return,
    charge_net_positions,
    charge_tails,
    compute_margined_value,
    learn_sample,
    margin_net_position,
    net_by_underlying,
    share_by_rates,
)
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import F8, I8, SPOT, Contracts, Exposure, Margins, MarketView


class TailRisk(RequirementComponent):
    """Loss that a portfolio exceeds with probability 1 - level, or the mean loss beyond it.

    The model learns the oracle's log returns over ``every`` and forecasts the next one. The tail is
    scaled to ``horizon`` by the root of time. Legs net within an underlying, and across underlyings
    as far as the model allows. Long spot has no exposure, as in ``tiered``. Initial is at least
    notional ÷ the leverage that was chosen.

    If options are listed, every leg is valued in every return of the model, scaled to ``horizon``.
    The returns are past returns, or 16,384 even points of a normal or Student-t law. Alternatively,
    each leg is moved by its delta and gamma: see :mod:`sim.margin.scenarios.revaluation`. Until the
    model forecasts, the margin is the worse of a rise and a fall by ``opening``.
    """

    kind: Literal["tail"] = Field(
        default="tail", description="value at risk or expected shortfall (name)"
    )
    model: AnyModel = Field(default=FilteredModel(), description="model of returns (component)")
    measure: Measure = Field(default="var", description="var or es (name)")
    level: float = Field(default=0.99, ge=0.5, lt=1, description="confidence (share)")
    convention: Convention = Field(
        default="linear",
        description="VaR of a sample: linear between order statistics, or order (name)",
    )
    every: float = Field(
        default=86_400, gt=0, description="spacing of the returns that the model learns (s)"
    )
    horizon: float = Field(default=86_400, gt=0, description="horizon of the loss (s)")
    maintenance_ratio: float = Field(
        default=0.5, ge=0, le=1, description="maintenance over initial (ratio)"
    )
    floor: float = Field(default=0.0, ge=0, description="least margin (share of notional)")
    opening_rate: float = Field(
        default=0.1, gt=0, description="margin until the model forecasts (share of notional)"
    )
    options: OptionApproach = Field(
        default="full",
        description="options: full = revalued in every scenario, or delta_gamma (name)",
    )

    def bind(self, contracts: Contracts, unit: int) -> "TailMargin":
        """See :class:`RequirementComponent`."""
        return TailMargin(self, contracts)

    def look_back(self) -> float:
        """Return the time until the model forecasts (s)."""
        return self.model.n_returns_needed(self.every) * self.every

    def spacing(self) -> float:
        """See :class:`RequirementComponent`."""
        return self.every


class TailMargin:
    """Tail risk of one pool, with a model that learns."""

    def __init__(self, rule: TailRisk, contracts: Contracts) -> None:
        self.rule = rule
        # (K,) place of a leg's underlying among those of the pool
        self.columns, self.place = np.unique(contracts.underlying, return_inverse=True)
        self.forecaster = rule.model.bind(self.columns.size, rule.every)
        self.tail_spec = TailSpec(rule.measure, rule.level, rule.convention)
        self.horizon_factor = math.sqrt(rule.horizon / rule.every)
        self._forecast: ReturnForecast | None = None
        self._is_stale = np.zeros(1, dtype=np.bool_)  # whether the forecast has to be made anew
        self.side_rates = np.full((2, self.columns.size), rule.opening_rate)
        self.has_options = bool(np.any(contracts.side))
        self._seen = np.zeros(1, dtype=np.int64)
        self._sum = np.zeros(self.columns.size)
        self._past_sums: PastSums | None = None

    @property
    def forecast(self) -> ReturnForecast | None:
        """Forecast of the model after its last return, None while it has too few."""
        if self._is_stale[0]:
            self._forecast, self._is_stale[0] = self.forecaster.forecast(), False
        return self._forecast

    @forecast.setter
    def forecast(self, forecast: ReturnForecast | None) -> None:
        self._forecast, self._is_stale[0] = forecast, False

    def observe(self, market: MarketView) -> None:
        """Update the model with every complete return since the last call."""
        stride, learnt = count_rows(self.rule.every, market.dt), False
        for number in range(self._seen[0], len(market.returns)):
            self._sum += market.returns[number, self.columns]
            if (number + 1) % stride == 0:
                self.forecaster.learn(self._sum)
                self._sum[:], learnt = 0.0, True
        self._seen[0] = len(market.returns)
        if learnt:
            self._renew_rates()

    def learn_past(self, past: PastView) -> None:
        """Update the model with every complete return before the start."""
        if self._past_sums is None:
            stride = count_rows(self.rule.every, past.opening.dt)
            self._past_sums = PastSums(self.columns, stride)
        rows = self._past_sums.add(past)
        for row in rows:
            self.forecaster.learn(row)
        if len(rows):
            self._renew_rates()

    def _renew_rates(self) -> None:
        """Set the rates of single legs by the model, if it forecasts."""
        self._is_stale[0] = True
        if self.forecast is not None:
            self.side_rates[:] = self._compute_side_rates(self.forecast)

    def describe_opening(self) -> str:
        """See :class:`sim.margin.past.HasOpeningValue`."""
        if self.forecast is not None:
            return ""
        rule = self.rule
        needed = rule.model.n_returns_needed(rule.every)
        return (
            f"{describe_kinds(rule)} requires {rule.opening_rate:g} of notional: it has not "
            f"learned {needed:,} returns over {rule.every:g} s"
        )

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...]:
        """Return the step that sums returns and lets the model learn.

        A model other than a sample learns by the plain method.
        """
        rule, stride = self.rule, count_rows(self.rule.every, arrays.market.dt)
        sums = (arrays.returns, self.columns, self._seen, self._sum, stride)
        state = read_sample_state(self.forecaster)
        if state is None:
            return (LearningStep(bind_kernel(add_return, *sums), self.observe),)
        scale = (self.horizon_factor, float(rule.floor), self.side_rates, self._is_stale)
        learn = bind_kernel(learn_sample, *sums, *state, *self._list_tail_terms(), *scale)
        return (LearningStep(learn, self.observe),)

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`.

        There are none for options, nor for a joint law of several underlyings.
        """
        rule, accounts = self.rule, (arrays.n_accounts, arrays.position, arrays.leverage)
        columns = (*accounts, arrays.lot_value, arrays.is_spot)
        bounds = (float(rule.floor), float(rule.maintenance_ratio))
        results = (*bounds, arrays.initial, arrays.maintenance)
        if self.has_options:
            return None
        if self.columns.size == 1:
            return (bind_kernel(charge_net_positions, *columns, self.side_rates, *results),)
        state, tail = read_sample_state(self.forecaster), self._list_tail_terms()
        if state is None:
            return None
        scale = (self.horizon_factor, float(rule.opening_rate))
        return (bind_kernel(charge_tails, *columns, self.place, *state, *tail, *scale, *results),)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        if self.has_options:
            return None
        columns = (arrays.n_accounts, arrays.position, arrays.lot_value, arrays.is_spot)
        return (bind_kernel(share_by_rates, *columns, self.place, self.side_rates, shares),)

    def _list_tail_terms(self) -> tuple[float, int, int]:
        """Return level, and whether the measure is es, and whether a var is an order statistic."""
        spec = self.tail_spec
        return float(spec.level), int(spec.measure == "es"), int(spec.convention == "order")

    def _compute_side_rates(self, forecast: ReturnForecast) -> F8:
        """Return the rates of a long and of a short of each underlying alone, (2, U)."""
        alone = np.eye(self.columns.size)
        loss = forecast.compute_tail_loss(np.concatenate([alone, -alone]), self.tail_spec)
        return np.maximum(self.horizon_factor * loss.reshape(2, -1), self.rule.floor)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the tail of each account's portfolio, (A,).

        It is at least the floor of its gross notional.
        """
        value = self._margined_value(accounts)
        if self.columns.size == 1 and not self.has_options:
            initial, maintenance = margin_net_position(
                value,
                accounts.leverage,
                self.side_rates[:, 0],
                self.rule.floor,
                self.rule.maintenance_ratio,
            )
            return Margins(initial, maintenance)
        gross = np.abs(value)
        if self.has_options:
            loss = compute_tail_loss(
                self._margined_lots(accounts),
                self._build_gain_table(accounts.market),
                self.tail_spec,
            )
        elif self.forecast is None:
            net = net_by_underlying(value, self.place, self.columns.size)
            loss = self.rule.opening_rate * leg_values.sum_legs(np.abs(net))
        else:
            net = net_by_underlying(value, self.place, self.columns.size)
            loss = self.horizon_factor * self.forecast.compute_tail_loss(net, self.tail_spec)
        required = np.maximum(loss, self.rule.floor * leg_values.sum_legs(gross))
        initial = np.maximum(required, leg_values.sum_legs(gross / accounts.leverage))
        return Margins(initial, self.rule.maintenance_ratio * required)

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's standalone margin over their sum, (A, K)."""
        value = self._margined_value(accounts)
        if self.has_options:
            return leg_values.normalise_shares(
                self._compute_standalone_tails(accounts),
                leg_values.compute_gross_notional(accounts),
            )
        rate = self.side_rates[:, self.place]
        return leg_values.normalise_shares(
            np.abs(value) * np.where(value >= 0, rate[0], rate[1]),
            leg_values.compute_gross_notional(accounts),
        )

    def _build_gain_table(self, market: MarketView) -> F8:
        """Return the gain of a lot of each instrument in each scenario, (S, K)."""
        if self.forecast is None:
            moves = self.rule.opening_rate * np.array([[1.0], [-1.0]]) * np.ones(self.columns.size)
        else:
            moves = self.horizon_factor * self.forecast.scenario_returns()
        return revalue_lot_pnl(market, moves, self.columns, self.rule.options)

    def _compute_standalone_tails(self, accounts: Exposure) -> F8:
        """Return the tail of each leg alone, (A, K)."""
        lots, alone = (
            self._margined_lots(accounts),
            np.eye(accounts.position.shape[1], dtype=np.int64),
        )
        rate = compute_tail_loss(
            np.concatenate([alone, -alone]), self._build_gain_table(accounts.market), self.tail_spec
        ).reshape(2, -1)
        return np.abs(lots) * np.where(lots >= 0, rate[0], rate[1])

    @staticmethod
    def _margined_lots(accounts: Exposure) -> I8:
        """Return the positions that need margin, (A, K)."""
        return np.where(
            (accounts.market.contracts.kind == SPOT) & (accounts.position > 0), 0, accounts.position
        )

    @staticmethod
    def _margined_value(accounts: Exposure) -> F8:
        """Return the signed value of the positions that need margin, (A, K)."""
        return compute_margined_value(
            accounts.position, *leg_values.compute_lot_values(accounts.market)
        )
