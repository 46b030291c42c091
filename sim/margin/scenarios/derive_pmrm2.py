"""Derive's portfolio margin, PMRM_2.

Source: github.com/derivexyz/v2-core, src/risk-managers/PMRMLib_2.sol (2025).
"""

from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from sim.margin.base import (
    RequirementComponent,
    find_underlying,
    require_initial_covers_maintenance,
)
from sim.margin.breakdown import join_breakdowns
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.margin.scenarios.grid_kernels import bind_standalone_shares
from sim.margin.scenarios.pmrm2 import (
    BasisContingency,
    PmrmCharges,
    Skew,
    SkewScenario,
    StaticDiscount,
    build_standard_grid,
)
from sim.margin.scenarios.pmrm2_kernels import bind_moves, charge_pmrm, weigh_gains
from sim.margin.scenarios.pmrm2_legs import (
    UnderlyingLegs,
    build_underlying_legs,
    find_asset,
    find_least_confidence,
    list_underlyings,
    number_legs,
)
from sim.margin.scenarios.scenarios import (
    SCANNING_RISK,
    PeriodicRevaluation,
    ScenarioMargin,
    ShockedStates,
    VolShock,
    build_shocked_states,
    compute_standalone_shares,
    describe_scenario,
    find_worst_gain,
    sum_leg_gains,
    sum_leg_values,
)
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.pricing.instrument_values import (
    find_forwards,
    find_rates,
    find_years_to_expiry,
    value_instruments,
)
from sim.types import F8, OPTION, Contracts, Exposure, Margins, MarketView

TILTS = ("linear", "abs")


class DerivePmrm2(RequirementComponent):
    """Worst of a grid, tilts of the smile and a move of forwards, by underlying, plus charges.

    In scenario s an account gains weight_s x [Σ_expiries (d x V_e(s) - V_e) + linear legs and
    risk-cancelling collateral x move_s]. V_e is the Black-76 value of its options of the expiry.
    The factor d is lower where V_e(s) is an asset than where it is a debt. In a tilt each expiry
    loses the absolute value of its change. Forwards are settled evenly over the last half hour, and
    the settled part moves no more. With L = -min(basis, min_s gain_s), at least zero: maintenance =
    factor x L + charges, and initial = (factor + peg_factor x shortfall of the peg below its
    threshold) x L + charges, including the initial ones. Haircuts on collateral belong to the
    valuation.

    Derive reports the equity that is left, IM and MM; here they are equity less this requirement
    less the haircuts. One manager has one underlying; with several underlyings, each is assessed
    alone. Negative rates count as zero.
    """

    kind: Literal["derive_pmrm2"] = Field(
        default="derive_pmrm2", description="Derive's PMRM_2 (name)"
    )
    scenarios: tuple[SkewScenario, ...] = Field(
        default=build_standard_grid(), min_length=1, description="scenario grid (scenarios)"
    )
    vol: VolShock = Field(
        default=VolShock(up=0.5, down=0.275, least=0.45),
        description="size of the volatility moves up and down (component)",
    )
    skew: Skew = Field(default=Skew(), description="tilts of the smile (component)")
    discount: StaticDiscount = Field(
        default=StaticDiscount(), description="discount of shocked values (component)"
    )
    basis: BasisContingency = Field(
        default=BasisContingency(), description="basis contingency (component)"
    )
    charges: PmrmCharges = Field(
        default=PmrmCharges(), description="other contingencies (component)"
    )
    initial: float = Field(default=1.0, ge=0, description="initial over the worst loss (ratio)")
    maintenance: float = Field(
        default=0.8, ge=0, description="maintenance over the worst loss (ratio)"
    )
    collateral: dict[str, str] = Field(
        default={},
        description="underlying that a collateral asset follows; empty = none (name: underlying)",
    )
    averaging: float = Field(
        default=1_800.0, ge=0, description="time over which forwards are settled (s)"
    )
    revalue: float = Field(
        default=0.0, ge=0, description="time between revaluations; 0 = at every assessment (s)"
    )

    @model_validator(mode="after")
    def _check_initial_maintenance(self) -> Self:
        require_initial_covers_maintenance(self.initial, self.maintenance)
        return self

    @model_validator(mode="after")
    def _check_tilts_unmoved(self) -> Self:
        for number, each in enumerate(self.scenarios):
            if each.vol in TILTS and each.move:
                raise ValueError(
                    f"scenarios.{number}.move: {each.move:g}, "
                    "a tilt of the smile has none: make it 0"
                )
        return self

    def bind(self, contracts: Contracts, unit: int) -> "PmrmMargin":
        """See :class:`RequirementComponent`.

        Raises:
            ConfigError: a parameter names an underlying or asset that the market does not have.
        """
        return PmrmMargin(self, contracts)


class PmrmValues(NamedTuple):
    """Values of a market, now and in the scenarios."""

    now: F8  # (K,) value per lot, minor units of the numeraire
    moved: F8  # (S, K) the same in each scenario, before discounts
    bumped: F8  # (2, K) the same after the two moves of forwards
    spot: F8  # (K,) value of the underlying of one lot at the oracle
    discount: F8  # (2, K) factors on assets and debts
    factor: F8  # (K,) factor on the basis loss


class PmrmMargin(ScenarioMargin):
    """PMRM_2 on one pool's instruments."""

    def __init__(self, rule: DerivePmrm2, contracts: Contracts) -> None:
        self.rule = rule
        self.labels = tuple(map(describe_scenario, rule.scenarios))
        self.moves = np.array([each.move for each in rule.scenarios])
        self.weights = np.array([each.weight for each in rule.scenarios])
        self.is_tilt = np.array([each.vol in TILTS for each in rule.scenarios])
        moving = {
            find_asset(asset, contracts): find_underlying(
                name, contracts, f"requirement.collateral.{asset}"
            )
            for asset, name in rule.collateral.items()
            if name
        }
        self.collateral = np.array(
            [find_asset(asset, contracts) for asset in rule.collateral], dtype=np.int64
        )
        self.underlyings = [
            build_underlying_legs(contracts, int(number), moving)
            for number in list_underlyings(contracts, moving)
        ]
        self.risk_arrays: PeriodicRevaluation[PmrmValues] = PeriodicRevaluation(
            self._revalue, rule.revalue
        )

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the margins, (A,), as in :class:`DerivePmrm2`."""
        values, rule = self.risk_arrays.get_current(accounts.market), self.rule
        initial_factor = self._initial_factor(accounts.market.peg)
        maintenance, initial = (
            np.zeros(len(accounts.position)),
            self._charge_doubtful_collateral(accounts),
        )
        for group in self.underlyings:
            loss = -np.minimum(
                self._compute_gains(accounts, group, values).min(axis=0),
                self._compute_basis(accounts, group, values),
            )
            charged = self._compute_charges(accounts, group, values).values()
            maintenance += rule.maintenance * loss + sum(each.maintenance for each in charged)
            initial += initial_factor * loss + sum(each.initial for each in charged)
        return Margins(initial, maintenance)

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`.

        There are none for options, nor for arrays revalued at intervals. The numeraire is at par.
        """
        contracts, market = arrays.market.contracts, arrays.market
        if (contracts.kind == OPTION).any() or self.rule.revalue:
            return None
        table, spot = np.zeros((self.moves.size, len(contracts.names))), np.zeros(market.mark.size)
        factors = (self._initial_factor(1.0), self.rule.maintenance)
        shares = np.array([*factors, *self.rule.charges.list_shares()])
        rule = (
            self.moves,
            self.weights,
            *number_legs(contracts, self.underlyings),
            self.collateral,
        )
        accounts = (arrays.n_accounts, arrays.position, arrays.balance, arrays.pool, arrays.price)
        results = (market.confidence, shares, arrays.initial, arrays.maintenance)
        return (
            bind_moves(arrays, self.moves, table, spot),
            bind_kernel(charge_pmrm, *accounts, table, spot, *rule, *results),
        )

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        if (arrays.market.contracts.kind == OPTION).any() or self.rule.revalue:
            return None
        count = arrays.lot_value.size
        table, spot = np.zeros((self.moves.size, count)), np.zeros(count)
        values = bind_moves(arrays, self.moves, table, spot)
        weighted = bind_kernel(weigh_gains, self.weights, table)
        return (values, weighted, bind_standalone_shares(arrays, table, shares))

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """Return no step if risk arrays are valued at every assessment, else None."""
        return None if self.rule.revalue else ()

    def scenario_gains(self, accounts: Exposure) -> F8:
        """See :class:`ScenarioMargin`."""
        values = self.risk_arrays.get_current(accounts.market)
        return np.sum(
            [self._compute_gains(accounts, group, values) for group in self.underlyings], axis=0
        )

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """See :class:`ItemisedRequirement`.

        Basis is the part of its contingency beyond the scan.
        """
        values = self.risk_arrays.get_current(accounts.market)
        scan, basis = np.zeros((2, len(accounts.position)))
        for group in self.underlyings:
            lost = np.minimum(self._compute_gains(accounts, group, values).min(axis=0), 0.0)
            scan -= lost
            basis += np.maximum(lost - self._compute_basis(accounts, group, values), 0.0)
        initial_factor = self._initial_factor(accounts.market.peg)
        maintenance_factor = self.rule.maintenance
        margins = {
            SCANNING_RISK: Margins(initial_factor * scan, maintenance_factor * scan),
            "basis": Margins(initial_factor * basis, maintenance_factor * basis),
        }
        charges = [self._compute_charges(accounts, group, values) for group in self.underlyings]
        doubt = Margins(
            self._charge_doubtful_collateral(accounts), np.zeros(len(accounts.position))
        )
        return join_breakdowns(margins, *charges, {"collateral in doubt": doubt})

    def basis_contingency(self, accounts: Exposure) -> F8:
        """Return the basis contingency, summed over underlyings.

        Returns:
            (A,) minor units of the numeraire, <= 0.
        """
        values = self.risk_arrays.get_current(accounts.market)
        return np.sum(
            [self._compute_basis(accounts, group, values) for group in self.underlyings], axis=0
        )

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's share of the sum of the legs' worst standalone losses, (A, K)."""
        values = self.risk_arrays.get_current(accounts.market)
        return compute_standalone_shares(
            accounts, (values.moved - values.now) * self.weights[:, None]
        )

    def _initial_factor(self, peg: float) -> float:
        """Return initial over the worst loss, larger if the stable price is below its peg."""
        charges = self.rule.charges
        return float(self.rule.initial + max(charges.peg - peg, 0.0) * charges.peg_factor)

    def _compute_gains(self, accounts: Exposure, group: UnderlyingLegs, values: PmrmValues) -> F8:
        """Return the gain on one underlying in each scenario, (S, A)."""
        gain = sum_leg_gains(accounts.position, values.moved - values.now, group.moving)
        for asset in group.collateral:
            gain += self.moves[:, None] * (
                accounts.balance[:, asset] * accounts.market.price[asset]
            )
        for expiry in group.expiries:
            asset_factor, debt_factor = values.discount[:, expiry.legs[0]]
            shocked = sum_leg_gains(accounts.position, values.moved, expiry.legs)
            change = shocked * np.where(shocked >= 0, asset_factor, debt_factor) - sum_leg_values(
                accounts.position, values.now, expiry.legs
            )
            change[self.is_tilt] = -np.abs(change[self.is_tilt])
            gain += change
        return gain * self.weights[:, None]

    def _compute_basis(self, accounts: Exposure, group: UnderlyingLegs, values: PmrmValues) -> F8:
        """Return the basis contingency of one underlying, (A,), <= 0."""
        total = np.zeros(len(accounts.position))
        for expiry in group.expiries:
            lost = find_worst_gain(accounts.position, values.bumped - values.now, expiry.legs)
            total += np.minimum(lost, 0.0) * values.factor[expiry.legs[0]]
        return total

    def _compute_charges(
        self, accounts: Exposure, group: UnderlyingLegs, values: PmrmValues
    ) -> dict[str, Margins]:
        """Return the contingencies of one underlying by name, (A,) each."""
        charges, size = self.rule.charges, np.abs(accounts.position)
        perps, short_options = sum_leg_values(size, values.spot, group.linear), np.zeros(len(size))
        confidence = np.minimum(
            accounts.market.confidence[group.number], find_least_confidence(accounts, group.linear)
        )
        doubt = self._charge_doubt(confidence, perps)
        for expiry in group.expiries:
            options = sum_leg_values(size, values.spot, expiry.legs)
            doubt = doubt + self._charge_doubt(
                np.minimum(confidence, find_least_confidence(accounts, expiry.legs)), options
            )
            for legs in expiry.strikes:
                short_options += np.maximum(
                    -sum_leg_values(accounts.position, values.spot, legs), 0.0
                )
        perp_initial = charges.perp_maintenance + charges.perp_initial
        option_initial = charges.option_maintenance + charges.option_initial
        return {
            "perpetuals": Margins(perp_initial * perps, charges.perp_maintenance * perps),
            "short options": Margins(
                option_initial * short_options, charges.option_maintenance * short_options
            ),
            "oracles in doubt": Margins(doubt, np.zeros(len(size))),
        }

    def _charge_doubtful_collateral(self, accounts: Exposure) -> F8:
        """Return the initial charge on collateral whose oracles have a low confidence, (A,)."""
        total, market = np.zeros(len(accounts.position)), accounts.market
        for asset in self.collateral:
            asset_confidence = market.trust[asset] if market.trust.size else 1.0
            confidence = np.minimum(
                asset_confidence,
                min((market.confidence[group.number] for group in self.underlyings), default=1.0),
            )
            total += self._charge_doubt(
                confidence, np.maximum(accounts.balance[:, asset] * market.price[asset], 0.0)
            )
        return total

    def _charge_doubt(self, confidence: F8, amount: F8) -> F8:
        charges = self.rule.charges
        return (
            np.where(
                confidence < charges.confidence, (1.0 - confidence) * charges.doubt_factor, 0.0
            )
            * amount
        )

    def _revalue(self, market: MarketView) -> PmrmValues:
        rule = self.rule
        market = market._replace(
            rate=np.maximum(find_rates(market), 0.0), forward=find_forwards(market)
        )
        tick_value = market.tick_value()
        years = find_years_to_expiry(market)
        years = np.where(np.isinf(years), 0.0, years)
        now = value_instruments(market, market.oracle[None], market.vol[None], rule.averaging)[0]
        moved = self._build_scenario_states(market, years)
        in_scenarios = value_instruments(market, moved.oracle, moved.vol, rule.averaging)
        bumps = market.oracle * (1 + np.array([[rule.basis.up], [rule.basis.down]]))
        bumped = value_instruments(market, bumps, np.stack([market.vol] * 2), rule.averaging)
        spot = market.oracle[market.contracts.underlying]
        return PmrmValues(
            now=now * tick_value,
            moved=in_scenarios * tick_value,
            bumped=bumped * tick_value,
            spot=spot * tick_value / market.contracts.tick,
            discount=rule.discount.tabulate(market.rate, years),
            factor=rule.basis.add + rule.basis.mult * years,
        )

    def _build_scenario_states(self, market: MarketView, years: F8) -> ShockedStates:
        """Return the states of the grid and of the tilts, for options with some years to expiry."""
        rule, contracts = self.rule, market.contracts
        without_tilts = [
            each if each.vol not in TILTS else each.model_copy(update={"vol": "none"})
            for each in rule.scenarios
        ]
        moved = build_shocked_states(market, without_tilts, rule.vol)
        options = np.flatnonzero(contracts.kind == OPTION)
        if not options.size:
            return moved
        moneyness = np.log(contracts.strike[options] / market.forward[options])
        for number in np.flatnonzero(self.is_tilt):
            moved.vol[number, options] = rule.skew.tilt_volatility(
                market.vol[options], moneyness, years[options], rule.scenarios[number].vol
            )
        return moved
