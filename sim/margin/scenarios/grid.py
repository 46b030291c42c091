"""Portfolio margin by a grid of scenarios with dampened tails, as at Paradex and Deribit."""

from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin import leg_values
from sim.margin.base import RequirementComponent, require_initial_covers_maintenance
from sim.margin.breakdown import subtract_parts
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.margin.scenarios.grid_kernels import (
    bind_linear_gains,
    bind_standalone_shares,
    charge_grid,
)
from sim.margin.scenarios.scenarios import (
    SCANNING_RISK,
    PeriodicRevaluation,
    Scenario,
    ScenarioMargin,
    TailScenarios,
    VolShock,
    build_shocked_states,
    compute_lot_pnl,
    compute_offset,
    compute_standalone_shares,
    describe_scenario,
    find_worst_gain,
    group_by_underlying,
    sum_leg_values,
)
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.pricing.black import Greeks
from sim.pricing.instrument_values import compute_sensitivities
from sim.types import F8, FUTURE, I8, OPTION, PERPETUAL, Contracts, Exposure, Margins, MarketView

# Paradex (docs.paradex.trade, risk/portfolio-margin, read in November 2026)
_STEPS = (0.12, 0.08, 0.04, 0.0, -0.04, -0.08, -0.12)
_PARADEX = (
    Scenario(move=0.16, vol="up"),
    *(Scenario(move=move, vol=vol) for move in _STEPS for vol in ("up", "down")),
    Scenario(move=-0.16, vol="up"),
)


class GridContingencies(Component):
    """Charges in addition to the scan, as shares of the underlying's value at the oracle.

    The unit differs only where a field states it.
    """

    short_options: float = Field(
        default=0.0, ge=0, description="charge on net short options, per strike and expiry (share)"
    )
    options: float = Field(
        default=0.0, ge=0, description="charge on all options, long and short (share)"
    )
    futures: float = Field(
        default=0.0, ge=0, description="charge on perpetuals and futures that offset others (share)"
    )
    vega: float = Field(
        default=0.0,
        ge=0,
        description=(
            "charge on the value of a volatility point on expiries that offset others (share)"
        ),
    )


class ScenarioGrid(RequirementComponent):
    """Worst loss over a grid for each underlying, at least a charge on delta, plus contingencies.

    scan_u = max(0, -min_s weight_s x PnL_u(s)). The required amount is Σ_u max(scan_u, net_delta
    |Δ_u| + hedged_delta x half of the excess of |legs' deltas| over |Δ_u|) + contingencies, with Δ
    in value at the oracle. Initial and maintenance are shares of it, plus a provision for the fees
    of closing. Gains on one underlying do not offset losses on another. Sources:
    docs.paradex.trade, risk/portfolio-margin; Deribit support 25944756247837 and the older page of
    docs (November 2026).
    """

    kind: Literal["grid"] = Field(default="grid", description="scenario grid (name)")
    scenarios: tuple[Scenario, ...] = Field(
        default=_PARADEX, min_length=1, description="the grid (scenarios)"
    )
    tails: TailScenarios = Field(
        default=TailScenarios(moves=(-0.66, -0.33, 0.5, 1, 2, 3, 4, 5)),
        description="moves beyond the grid (component)",
    )
    vol: VolShock = Field(
        default=VolShock(), description="size of the volatility moves up and down (component)"
    )
    net_delta: float = Field(
        default=0.02, ge=0, description="least charge on the net delta of all legs (share)"
    )
    hedged_delta: float = Field(
        default=0.01, ge=0, description="least charge on deltas that offset others (share)"
    )
    contingencies: GridContingencies = Field(
        default=GridContingencies(), description="charges beside the scan (component)"
    )
    initial: float = Field(
        default=1.0, ge=0, description="initial over the required amount (ratio)"
    )
    maintenance: float = Field(
        default=0.5, ge=0, description="maintenance over the required amount (ratio)"
    )
    fee: float = Field(
        default=0.0,
        ge=0,
        description="provision for fees of closing (share of the absolute value of all legs)",
    )
    revalue: float = Field(
        default=0.0, ge=0, description="time between revaluations; 0 = at every assessment (s)"
    )

    @model_validator(mode="after")
    def _check_initial_maintenance(self) -> Self:
        require_initial_covers_maintenance(self.initial, self.maintenance)
        return self

    def bind(self, contracts: Contracts, unit: int) -> "GridMargin":
        """See :class:`RequirementComponent`."""
        return GridMargin(self, contracts)

    def all_scenarios(self) -> tuple[Scenario, ...]:
        """Return the scenarios of the grid and its tails."""
        reach = max(abs(each.move) for each in self.scenarios)
        return (*self.scenarios, *self.tails.build_scenarios(reach))


class GridArrays(NamedTuple):
    """Risk arrays and sensitivities per lot, minor units of the numeraire."""

    pnl: F8  # (S, K) gain in each scenario
    spot: F8  # (K,) value of the underlying at the oracle
    delta: F8  # (K,) value of the delta at the oracle, signed
    vega: F8  # (K,) gain from a point of volatility


class GridMargin(ScenarioMargin):
    """Scenario grid on one pool's instruments."""

    def __init__(self, rule: ScenarioGrid, contracts: Contracts) -> None:
        self.rule, self.groups = rule, group_by_underlying(contracts)
        self.grid = rule.all_scenarios()
        self.labels = tuple(map(describe_scenario, self.grid))
        self.moves = np.array([each.move for each in self.grid])
        self.strikes, self.expiries = _group_options(contracts)
        self.option_columns = np.flatnonzero(contracts.kind == OPTION)
        traded = np.isin(contracts.kind, (PERPETUAL, FUTURE))
        self.linear_columns = [legs[traded[legs]] for legs in self.groups]
        self.risk_arrays: PeriodicRevaluation[GridArrays] = PeriodicRevaluation(
            self._revalue, rule.revalue
        )

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the margins, (A,), as in :class:`ScenarioGrid`."""
        arrays = self.risk_arrays.get_current(accounts.market)
        needed = self._sum_charges(accounts, arrays)
        for legs in self.groups:
            scan = -find_worst_gain(accounts.position, arrays.pnl, legs)
            needed += np.maximum(scan, self._charge_delta(accounts, arrays, legs))
        provision = (
            self.rule.fee * leg_values.sum_legs(np.abs(accounts.position_value()))
            if self.rule.fee
            else 0.0
        )
        return Margins(
            self.rule.initial * needed + provision, self.rule.maintenance * needed + provision
        )

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`.

        There are none for options, nor for risk arrays that are revalued at intervals.
        """
        rule, contracts = self.rule, arrays.market.contracts
        if self.option_columns.size or rule.revalue:
            return None
        count = len(contracts.names)
        table, per_lot = np.zeros((self.moves.size, count)), np.zeros((3, count))
        group, is_future = np.zeros((2, count), dtype=np.int64)
        for number, legs in enumerate(self.groups):
            group[legs] = number
            is_future[self.linear_columns[number]] = 1
        charges = (rule.contingencies.futures, rule.net_delta, rule.hedged_delta)
        shares = np.array([*charges, rule.initial, rule.maintenance, rule.fee])
        accounts = (arrays.n_accounts, arrays.position, arrays.lot_value, table, per_lot)
        results = (group, is_future, shares, arrays.initial, arrays.maintenance)
        return (
            self._bind_values(arrays, table, per_lot),
            bind_kernel(charge_grid, *accounts, *results),
        )

    def _bind_values(self, arrays: MarginArrays, table: F8, per_lot: F8) -> BoundKernel:
        """Return the kernel that values scenarios: see :func:`bind_linear_gains`."""
        weights = np.array([each.weight for each in self.grid])
        factors = np.repeat((1.0 + self.moves)[:, None], arrays.lot_value.size, axis=1)
        return bind_linear_gains(arrays, factors, weights, table, per_lot)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        if self.option_columns.size or self.rule.revalue:
            return None
        count = arrays.lot_value.size
        table, per_lot = np.zeros((self.moves.size, count)), np.zeros((3, count))
        values = self._bind_values(arrays, table, per_lot)
        return (values, bind_standalone_shares(arrays, table, shares))

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """Return no step if risk arrays are valued at every assessment, else None."""
        return None if self.rule.revalue else ()

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """See :class:`ItemisedRequirement`; the charge on delta is the part beyond the scan."""
        arrays = self.risk_arrays.get_current(accounts.market)
        scan, delta = np.zeros((2, len(accounts.position)))
        for legs in self.groups:
            lost = np.maximum(-find_worst_gain(accounts.position, arrays.pnl, legs), 0.0)
            scan += lost
            delta += np.maximum(self._charge_delta(accounts, arrays, legs) - lost, 0.0)
        parts = {
            SCANNING_RISK: scan,
            "charge on delta": delta,
            **self._compute_contingencies(accounts, arrays),
        }
        margins = {
            name: Margins(self.rule.initial * each, self.rule.maintenance * each)
            for name, each in parts.items()
        }
        return {
            **margins,
            "fees of closing": subtract_parts(self.compute_margins(accounts), margins),
        }

    def sum_contingencies(self, accounts: Exposure) -> F8:
        """Return the charges in addition to the scan, (A,)."""
        return self._sum_charges(accounts, self.risk_arrays.get_current(accounts.market))

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's share of the sum of the legs' worst standalone losses, (A, K)."""
        return compute_standalone_shares(
            accounts, self.risk_arrays.get_current(accounts.market).pnl
        )

    def _sum_charges(self, accounts: Exposure, arrays: GridArrays) -> F8:
        total = np.zeros(len(accounts.position))
        for charge in self._compute_contingencies(accounts, arrays).values():
            total += charge
        return total

    def _compute_contingencies(self, accounts: Exposure, arrays: GridArrays) -> dict[str, F8]:
        """Return the charges by name, (A,) each."""
        shares, nothing = self.rule.contingencies, np.zeros(len(accounts.position))
        charges = {
            "short options": nothing.copy(),
            "offsetting futures": nothing.copy(),
            "offsetting vega": nothing,
        }
        for legs in self.strikes if shares.short_options else ():
            charges["short options"] += shares.short_options * np.maximum(
                -sum_leg_values(accounts.position, arrays.spot, legs), 0.0
            )
        for legs in self.linear_columns if shares.futures else ():
            charges["offsetting futures"] += (
                shares.futures * compute_offset(accounts.position, arrays.spot, legs)[1]
            )
        for expiries in self.expiries if shares.vega else ():
            vegas = np.stack(
                [sum_leg_values(accounts.position, arrays.vega, legs) for legs in expiries]
            )
            gross, net = np.abs(vegas).sum(axis=0), np.abs(vegas.sum(axis=0))
            charges["offsetting vega"] += shares.vega * (gross - net) / 2
        if shares.options and self.option_columns.size:
            charges["all options"] = shares.options * sum_leg_values(
                np.abs(accounts.position), arrays.spot, self.option_columns
            )
        return charges

    def _charge_delta(self, accounts: Exposure, arrays: GridArrays, legs: I8) -> F8:
        """Return the charge on delta, (A,), >= 0."""
        if not (self.rule.net_delta or self.rule.hedged_delta):
            return np.zeros(len(accounts.position))
        net, hedged = compute_offset(accounts.position, arrays.delta, legs)
        return self.rule.net_delta * np.abs(net) + self.rule.hedged_delta * hedged

    def _revalue(self, market: MarketView) -> GridArrays:
        lot = market.tick_value() / market.contracts.tick
        spot = market.oracle[market.contracts.underlying] * lot
        moves: Greeks = compute_sensitivities(market)
        pnl = compute_lot_pnl(market, build_shocked_states(market, self.grid, self.rule.vol))
        return GridArrays(pnl, spot, moves.delta * spot, moves.vega / 100 * lot)


def _group_options(contracts: Contracts) -> tuple[list[I8], list[list[I8]]]:
    """Return options by underlying, expiry and strike; and by expiry within each underlying."""
    columns = np.flatnonzero(contracts.kind == OPTION)
    strikes: dict[tuple[int, float, float], list[int]] = {}
    expiries: dict[int, dict[float, list[int]]] = {}
    for k in columns.tolist():
        underlying, expiry = int(contracts.underlying[k]), float(contracts.expiry[k])
        strikes.setdefault((underlying, expiry, float(contracts.strike[k])), []).append(k)
        expiries.setdefault(underlying, {}).setdefault(expiry, []).append(k)
    by_expiry = [[np.array(legs) for legs in each.values()] for each in expiries.values()]
    return [np.array(legs) for legs in strikes.values()], by_expiry
