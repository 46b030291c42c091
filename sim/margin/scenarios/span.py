"""SPAN: sixteen scenarios per underlying, and credits between underlyings (CME)."""

from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin.base import RequirementComponent, find_underlying
from sim.margin.breakdown import subtract_parts
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.margin.scenarios.grid_kernels import (
    bind_linear_gains,
    bind_standalone_shares,
)
from sim.margin.scenarios.scenarios import (
    SCANNING_RISK,
    PeriodicRevaluation,
    ScenarioMargin,
    ShockedStates,
    compute_lot_pnl,
    compute_spreads,
    compute_standalone_shares,
    find_pair,
    find_worst_gain,
    group_by_expiry,
    group_by_underlying,
    sum_leg_values,
)
from sim.margin.scenarios.span_kernels import charge_span, fix_gains, number_legs
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.pricing.instrument_values import compute_sensitivities
from sim.types import F8, I8, OPTION, Contracts, Exposure, Margins, MarketView

RANGE_THIRDS = (0, 1, -1, 2, -2, 3, -3)
"""Price moves of the first fourteen scenarios in thirds of the scan range.

Each move occurs with volatility up, then down.
"""

N_SCENARIOS = 2 * len(RANGE_THIRDS) + 2

SCENARIO_LABELS = (
    *(
        f"{third:+d}/3 of the range, volatility {way}"
        for third in RANGE_THIRDS
        for way in ("up", "down")
    ),
    *("extreme rise", "extreme fall"),
)


class SpanCommodity(Component):
    """SPAN parameters of one underlying."""

    scan: float = Field(
        default=0.1, gt=0, lt=1, description="price scan range (share of the price)"
    )
    vol_scan: float = Field(
        default=0.1, ge=0, description="volatility scan range, absolute (annualised volatility)"
    )
    calendar: float = Field(
        default=0.0,
        ge=0,
        description="charge on deltas that offset those of other expiries (share of the price)",
    )
    short_option: float = Field(
        default=0.0, ge=0, description="least charge per short option (share of the price)"
    )


class InterCommodityCredit(Component):
    """Credit on opposite positions in two underlyings."""

    underlyings: tuple[str, str] = Field(description="the two underlyings (names)")
    deltas: tuple[float, float] = Field(
        default=(1.0, 1.0), description="units of each in one spread (units)"
    )
    rate: float = Field(
        ge=0, le=1, description="share of the spread's price risk that is credited (ratio)"
    )


class SpanRequirement(RequirementComponent):
    """Worst of sixteen scenarios per underlying, plus spread charges, less spread credits.

    Price moves are 0, ±1/3, ±2/3 and ±1 scan range with volatility up, then down. Two further
    scenarios move the price by ±``extreme`` ranges, and the share ``covered`` of their loss counts.
    Maintenance = Σ_u max(scan_u + calendar_u - credit_u, short option minimum_u), and initial is a
    multiple of it.

    The spreads of a credit are deltas of opposite sign at the spread's ratio. Credits use up the
    deltas in the order of the list. Price risk is the scan range on the spread's deltas, scaled
    down where scan risk is less than the range on all deltas. (CME instead removes volatility and
    time risk from scan risk; here the cap replaces this step.) The value of options counts in
    equity and is not credited again. Sources: CME, "CME SPAN: standard portfolio analysis of risk"
    (2019); McMillan, "Options as a Strategic Investment", ch. 34, pp. 668-671.
    """

    kind: Literal["span"] = Field(default="span", description="sixteen scenarios (name)")
    commodity: SpanCommodity = Field(
        default=SpanCommodity(),
        description="parameters of underlyings without their own (component)",
    )
    commodities: dict[str, SpanCommodity] = Field(
        default={}, description="parameters by underlying, for those that differ (name: parameters)"
    )
    credits: tuple[InterCommodityCredit, ...] = Field(
        default=(),
        description="inter-commodity credits, in the order in which they apply (components)",
    )
    extreme: float = Field(default=2.0, ge=1, le=1000, description="extreme move (scan ranges)")
    min_short_option_share: float = Field(
        default=0.35, ge=0, le=1, description="share of the extreme loss that counts (ratio)"
    )
    initial: float = Field(default=1.1, ge=1, description="initial over maintenance (ratio)")
    arrays: dict[str, tuple[float, ...]] = Field(
        default={},
        description="published risk arrays: gain per lot in each scenario (units of the numeraire)",
    )
    round_to: float = Field(
        default=0.0,
        ge=0,
        description=(
            "unit to which risk arrays are rounded; 0 = not rounded (units of the numeraire)"
        ),
    )
    revalue: float = Field(
        default=0.0, ge=0, description="time between revaluations; 0 = at every assessment (s)"
    )

    @model_validator(mode="after")
    def _check_array_lengths(self) -> Self:
        for name, array in self.arrays.items():
            if len(array) != N_SCENARIOS:
                remedy = "add some" if len(array) < N_SCENARIOS else "remove some"
                raise ValueError(
                    f"arrays.{name}: {len(array)} numbers, must be {N_SCENARIOS}, "
                    f"one per scenario: {remedy}"
                )
        return self

    def mentioned_names(self) -> frozenset[str]:
        """Return the instruments with published arrays."""
        return frozenset(self.arrays)

    def bind(self, contracts: Contracts, unit: int) -> "SpanMargin":
        """See :class:`RequirementComponent`.

        Raises:
            ConfigError: a parameter names an underlying that the market does not have.
        """
        return SpanMargin(self, contracts, unit)


class SpanArrays(NamedTuple):
    """Risk arrays and sensitivities per lot, minor units of the numeraire."""

    pnl: F8  # (16, K) risk arrays
    delta: F8  # (K,) value of the delta at the oracle, signed
    units: F8  # (K,) delta in units of the underlying, signed
    spot: F8  # (K,) value of the underlying at the oracle


class SpanMargin(ScenarioMargin):
    """SPAN on one pool's instruments."""

    labels = SCENARIO_LABELS

    def __init__(self, rule: SpanRequirement, contracts: Contracts, unit: int) -> None:
        self.rule, self.unit, self.groups = rule, unit, group_by_underlying(contracts)
        numbers = [int(contracts.underlying[legs[0]]) for legs in self.groups]
        by_number = _list_commodities(rule, contracts, numbers)
        self.commodities = [by_number[number] for number in numbers]
        self.scan = np.array([commodity.scan for commodity in by_number])
        self.vol_scan = np.array([commodity.vol_scan for commodity in by_number])
        ranges = [*np.array(RANGE_THIRDS) / 3, rule.extreme, -rule.extreme]
        self.moves = np.outer(ranges, self.scan).ravel()
        self.credits = [
            (find_pair(credit.underlyings, contracts, numbers), credit) for credit in rule.credits
        ]
        self.is_option = contracts.kind == OPTION
        self.expiry_columns = [group_by_expiry(contracts, legs) for legs in self.groups]
        self.published_arrays = {
            k: np.array(rule.arrays[name])
            for k, name in enumerate(contracts.names)
            if name in rule.arrays
        }
        self.risk_arrays: PeriodicRevaluation[SpanArrays] = PeriodicRevaluation(
            self._revalue, rule.revalue
        )

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the margins, (A,), as in :class:`SpanRequirement`."""
        priced = self.risk_arrays.get_current(accounts.market)
        scans = self._compute_scan_risks(accounts, priced)
        credit = self._compute_credits(accounts, priced, scans)
        maintenance = np.zeros(len(accounts.position))
        for number, (legs, each) in enumerate(zip(self.groups, self.commodities, strict=True)):
            risk = scans[number] - credit[number]
            if each.calendar:
                risk = risk + each.calendar * compute_spreads(
                    accounts, priced.delta, self.expiry_columns[number]
                )
            if each.short_option:
                options = legs[self.is_option[legs]]
                short_lots = np.maximum(-accounts.position, 0)
                short_value = sum_leg_values(short_lots, priced.spot, options)
                risk = np.maximum(risk, each.short_option * short_value)
            maintenance += risk
        return Margins(self.rule.initial * maintenance, maintenance)

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`.

        There are none for options, nor for risk arrays that are revalued at intervals.
        """
        contracts = arrays.market.contracts
        if self.is_option.any() or self.rule.revalue:
            return None
        count = len(contracts.names)
        table, per_lot = np.zeros((N_SCENARIOS, count)), np.zeros((3, count))
        known = [(pair, credit) for pair, credit in self.credits if pair is not None]
        spreads = [(*credit.deltas, credit.rate) for _, credit in known]
        rule = (
            *number_legs(self.expiry_columns, count),
            np.array([(each.scan, each.calendar, each.short_option) for each in self.commodities]),
            np.array([pair for pair, _ in known], dtype=np.int64).reshape(-1, 2),
            np.array(spreads).reshape(-1, 3),
            float(self.rule.initial),
        )
        accounts = (arrays.n_accounts, arrays.position, table, per_lot)
        return (
            *self._bind_values(arrays, table, per_lot),
            bind_kernel(charge_span, *accounts, *rule, arrays.initial, arrays.maintenance),
        )

    def _bind_values(self, arrays: MarginArrays, table: F8, per_lot: F8) -> tuple[BoundKernel, ...]:
        """Return the kernels that value scenarios: see :func:`bind_linear_gains`."""
        underlying = arrays.market.contracts.underlying
        factors, _, weights = self._list_moves(underlying, len(arrays.market.oracle))
        published = np.zeros(factors.shape)
        for k, array in self.published_arrays.items():
            published[:, k] = array * self.unit
        is_published = np.isin(np.arange(factors.shape[1]), list(self.published_arrays))
        unit = float(self.rule.round_to * self.unit)
        return (
            bind_linear_gains(arrays, factors, weights, table, per_lot),
            bind_kernel(fix_gains, published, is_published.astype(np.int64), unit, table),
        )

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        if self.is_option.any() or self.rule.revalue:
            return None
        count = arrays.lot_value.size
        table, per_lot = np.zeros((N_SCENARIOS, count)), np.zeros((3, count))
        values = self._bind_values(arrays, table, per_lot)
        return (*values, bind_standalone_shares(arrays, table, shares))

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """Return no step if risk arrays are valued at every assessment, else None."""
        return None if self.rule.revalue else ()

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """See :class:`ItemisedRequirement`.

        The minimum on short options is the part beyond the rest.
        """
        priced = self.risk_arrays.get_current(accounts.market)
        scans = self._compute_scan_risks(accounts, priced)
        credit, calendar = (
            self._compute_credits(accounts, priced, scans).sum(axis=0),
            np.zeros(len(accounts.position)),
        )
        for expiries, each in zip(self.expiry_columns, self.commodities, strict=True):
            calendar += each.calendar * compute_spreads(accounts, priced.delta, expiries)
        parts = {
            SCANNING_RISK: scans.sum(axis=0),
            "calendar spreads": calendar,
            "inter-commodity credit": -credit,
        }
        margins = {name: Margins(self.rule.initial * each, each) for name, each in parts.items()}
        return {
            **margins,
            "short-option minimum": subtract_parts(self.compute_margins(accounts), margins),
        }

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's share of the sum of the legs' worst standalone losses, (A, K)."""
        return compute_standalone_shares(
            accounts, self.risk_arrays.get_current(accounts.market).pnl
        )

    def _compute_scan_risks(self, accounts: Exposure, priced: SpanArrays) -> F8:
        """Return the scan risk of each underlying, (groups, A)."""
        scans = np.zeros((len(self.groups), len(accounts.position)))
        for number, legs in enumerate(self.groups):
            scans[number] = np.maximum(-find_worst_gain(accounts.position, priced.pnl, legs), 0.0)
        return scans

    def _compute_credits(self, accounts: Exposure, priced: SpanArrays, scans: F8) -> F8:
        """Return the credit on the scan risk of each underlying, (groups, A)."""
        total = np.zeros_like(scans)
        if not self.credits:
            return total
        # deltas in units of the underlying that no spread has used yet
        left = np.stack(
            [sum_leg_values(accounts.position, priced.units, legs) for legs in self.groups]
        )
        per_delta = self._compute_risk_per_delta(accounts, priced, scans, left)
        for pair, credit in self.credits:
            if pair is None:
                continue
            first, second = pair
            spreads = np.minimum(
                np.abs(left[first]) / credit.deltas[0], np.abs(left[second]) / credit.deltas[1]
            )
            spreads = np.where(left[first] * left[second] < 0, spreads, 0.0)
            for i, size in zip(pair, credit.deltas, strict=True):
                total[i] += credit.rate * spreads * size * per_delta[i]
                left[i] -= np.sign(left[i]) * spreads * size
        return np.minimum(total, scans)

    def _compute_risk_per_delta(
        self, accounts: Exposure, priced: SpanArrays, scans: F8, deltas: F8
    ) -> F8:
        """Return the price risk of one unit of delta on each underlying, (groups, A)."""
        delta_values = np.stack(
            [sum_leg_values(accounts.position, priced.delta, legs) for legs in self.groups]
        )
        ranges = np.abs(delta_values)
        ranges *= np.array([commodity.scan for commodity in self.commodities])[:, None]
        risk = np.minimum(scans, ranges)
        return np.divide(risk, np.abs(deltas), out=np.zeros_like(risk), where=deltas != 0)

    def _revalue(self, market: MarketView) -> SpanArrays:
        lot = market.tick_value() / market.contracts.tick
        spot = market.oracle[market.contracts.underlying] * lot
        pnl = compute_lot_pnl(market, self._build_shocked_states(market))
        for k, array in self.published_arrays.items():
            pnl[:, k] = array * self.unit
        if self.rule.round_to:
            pnl = np.rint(pnl / (self.rule.round_to * self.unit)) * (self.rule.round_to * self.unit)
        delta = compute_sensitivities(market).delta
        return SpanArrays(pnl, delta * spot, delta * market.contracts.lot, spot)

    def _build_shocked_states(self, market: MarketView) -> ShockedStates:
        underlyings = np.arange(market.oracle.size)
        moves, turn, weight = self._list_moves(underlyings, market.oracle.size)
        vol = market.vol + turn[:, None] * self.vol_scan[market.contracts.underlying]
        return ShockedStates(market.oracle * moves, np.maximum(vol, 0.0), weight)

    def _list_moves(self, underlying: I8, count: int) -> tuple[F8, F8, F8]:
        """Return what the scenarios change.

        Args:
            underlying: (n,) underlyings.
            count: underlyings of the market.

        Returns:
            (16, n) prices over the present ones, (16,) directions of volatility, (16,) weights.
        """
        extreme = 3 * self.rule.extreme
        thirds = np.array([*np.repeat(RANGE_THIRDS, 2), extreme, -extreme]) / 3
        turn = np.array([*[1, -1] * len(RANGE_THIRDS), 0, 0])
        weight = np.ones(N_SCENARIOS)
        weight[-2:] = self.rule.min_short_option_share
        scan = np.zeros(count)
        scan[: self.scan.size] = self.scan
        return np.maximum(1 + thirds[:, None] * scan[underlying], 0.0), turn, weight


def _list_commodities(
    rule: SpanRequirement, contracts: Contracts, numbers: list[int]
) -> list[SpanCommodity]:
    """Return the parameters of each underlying up to the last that has legs or its own ones.

    Args:
        rule: the parameters.
        contracts: the pool's instruments.
        numbers: underlyings that have legs.
    """
    named = {
        find_underlying(name, contracts, "requirement.commodities"): commodity
        for name, commodity in rule.commodities.items()
    }
    n_underlyings = max([*numbers, *named], default=-1) + 1
    return [named.get(number, rule.commodity) for number in range(n_underlyings)]
