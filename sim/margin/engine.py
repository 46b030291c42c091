"""Margin engine: netting x valuation x requirement, with one assessment per account (MAR-1)."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.errors import ConfigError, suggest_name
from sim.margin import leg_values
from sim.margin.additive import (
    choose_costlier_sides,
    compute_initial_by_leg,
    is_admission_separable,
)
from sim.margin.base import AnyNetting, AnyRequirement, AnyValuation, RequirementComponent
from sim.margin.compiled import (
    LearningArrays,
    LearningStep,
    MarginArrays,
    bind_leg_shares,
    is_compiled,
    is_compiled_valuation,
)
from sim.margin.fills import pay_for_fills, update_entry_values
from sim.margin.learning import explain_short_run
from sim.margin.netting import CrossNetting
from sim.margin.options.options_separately import OptionsSeparately
from sim.margin.probe_portfolio import build_one_lot_accounts
from sim.margin.rounding import round_up_sum
from sim.margin.tiers.tiered import TieredRequirement
from sim.margin.valuations.cash import CashValuation
from sim.margin.wrappers.compressed import Compression
from sim.margin.wrappers.rescaled import RescaledMargin, scale_leverage
from sim.margin.wrappers.standalone import StandaloneSum, StandaloneSumMargin
from sim.numerics import account_sums
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.prices.past import PastLengths
from sim.protocols import Requirement, Valuation
from sim.types import F8, I8, OPTION, Contracts, Exposure, MarginAssessment, MarketView


class EngineConfig(Component):
    """The three choices of a venue's margin engine, and factors that scale it (MAR-2)."""

    netting: AnyNetting = Field(
        default=CrossNetting(),
        description="partition of instruments into pools that share margin (component)",
    )
    valuation: AnyValuation = Field(
        default=CashValuation(), description="haircuts on collateral (component)"
    )
    requirement: AnyRequirement = Field(
        default=TieredRequirement(), description="margin requirement (component)"
    )
    options: AnyRequirement | None = Field(
        default=None,
        description=(
            "separate margin requirement of options, none = they are legs like others (component)"
        ),
    )
    offsets: bool = Field(
        default=True,
        description="false = instruments are margined alone and added up (true or false)",
    )
    margin_multiplier: float = Field(
        default=1.0,
        gt=0,
        description="multiplier of margins, to give engines equal capital (ratio)",
    )
    compression: float = Field(
        default=0.0, lt=1, description="share by which margins are cut; negative = raised (ratio)"
    )
    maintenance_ratio: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="maintenance over initial, none = that of the requirement (ratio)",
    )

    def build_pools(self, contracts: Contracts) -> list[list[int]]:
        """Return the netting partition of one venue's instruments, columns of ``contracts``.

        Raises:
            ConfigError: a choice names instruments or assets that the venue does not have.
        """
        known = ", ".join(contracts.names)
        problems = [
            f"requirement: {name!r} is not an instrument of this venue, use one of {known}"
            for name in self._find_misnamed(contracts.names)
        ]
        problems += [
            f"valuation: {name!r} is neither an asset nor an instrument of this venue, use one of "
            f"{', '.join(contracts.assets[1:] + contracts.names)}"
            for name in sorted(
                self.valuation.mentioned_names() - set(contracts.names) - set(contracts.assets)
            )
        ]
        if problems:
            raise ConfigError(problems)
        return self.netting.build_pools(contracts)

    def explain_short_run(
        self, seconds: float, dt: float, history: PastLengths | None = None
    ) -> str:
        """Return a warning that a run of this length is too short for the engine to learn (MAR-5).

        The warning includes the remedy; it is empty if the run is long enough.

        Args:
            seconds: length of the run.
            dt: length of a step (s).
            history: lengths of the past before the run; none = it has none.
        """
        slow = max(
            filter(None, (self.requirement, self.options)), key=lambda rule: rule.look_back()
        )
        return explain_short_run(slow, seconds, dt, history)

    def _find_misnamed(self, listed: Sequence[str]) -> list[str]:
        """Return names in the requirements that a venue does not list and that look like a mistake.

        Rules for more instruments than are listed are no mistake: a venue's ladders also serve a
        run with two of its instruments. A name is refused if it is close to an instrument that has
        no rule of its own, or if none of the names is listed.
        """
        named = self.mentioned_instruments()
        unlisted, without_rule = sorted(named - set(listed)), set(listed) - named
        is_any_listed = bool(named & set(listed))
        return [name for name in unlisted if not is_any_listed or suggest_name(name, without_rule)]

    def mentioned_instruments(self) -> frozenset[str]:
        """Return the instruments that the requirements name."""
        return self.requirement.mentioned_names() | (
            self.options.mentioned_names() if self.options else frozenset()
        )

    def rescaled_requirement(self) -> RequirementComponent:
        """Return the requirement after scaling and compression, outside a pool.

        The requirement of options is left out.
        """
        factor = self.margin_multiplier * (1.0 - self.compression)
        rule = self.requirement if self.offsets else StandaloneSum(inner=self.requirement)
        return rule if factor == 1 else Compression(inner=rule, compression=1.0 - factor)

    def build_engine(self, contracts: Contracts, unit: int) -> "MarginEngine":
        """Build the engine of one pool.

        Args:
            contracts: the pool's instruments.
            unit: minor units in one unit of the numeraire.
        """
        return MarginEngine(self.valuation, self.bind(contracts, unit))

    def bind(self, contracts: Contracts, unit: int) -> Requirement:
        """Return the requirement of one pool after scaling and compression.

        Both leave haircuts unchanged.
        """
        bound = self.requirement.bind(contracts, unit)
        factor = self.margin_multiplier * (1.0 - self.compression)
        if self.options is not None and (contracts.kind == OPTION).any():
            bound = OptionsSeparately(bound, self.options.bind(contracts, unit), contracts)
        if not self.offsets:
            bound = StandaloneSumMargin(bound)
        return (
            bound
            if factor == 1 and self.maintenance_ratio is None
            else RescaledMargin(bound, factor, self.maintenance_ratio)
        )


class MarginEngine:
    """Margin engine of one pool.

    The same :meth:`assess` admits orders, informs agents and triggers liquidation.
    """

    def __init__(self, valuation: Valuation, requirement: Requirement) -> None:
        self.valuation = valuation
        self.requirement = requirement
        self._probe: Exposure | None = None  # one lot of each instrument, long and short
        self.is_separable = False  # True if admission tries each spot instrument alone

    def prepare_admission(self, contracts: Contracts) -> None:
        """Determine how admission tries the possible fills of spot orders (MAR-1).

        Args:
            contracts: the pool's instruments.

        Raises:
            ConfigError: more spot instruments share the pool than can be tried in all combinations.
        """
        self.is_separable = is_admission_separable(self.requirement, self.valuation, contracts)

    def bind_kernels(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """Return the kernels that compute margins in compiled code, None where there are none.

        Spot that is admitted instrument by instrument has none.
        """
        requirement, valuation = self.requirement, self.valuation
        if (
            self.is_separable
            or not is_compiled(requirement)
            or not is_compiled_valuation(valuation)
        ):
            return None
        margins, haircuts = requirement.bind_margins(arrays), valuation.bind_haircuts(arrays)
        return None if margins is None or haircuts is None else (*margins, *haircuts)

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """Return the steps that do what :meth:`observe` does, None where there are none."""
        if not is_compiled(self.requirement):
            return None
        return self.requirement.bind_learning(arrays)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """Return the kernels that do what :meth:`compute_leg_shares` does, None if there are none.

        They write ``shares``, (K, A), of the accounts in use.
        """
        if arrays.lot_value.size == 1 and is_compiled(self.requirement):
            columns = (arrays.n_accounts, arrays.position, shares)
            return (bind_kernel(leg_values.share_single_leg, *columns),)
        return bind_leg_shares(self.requirement, arrays, shares)

    @property
    def leverage_factor(self) -> float:
        """Factor of the engine's margins that chosen leverage does not have."""
        requirement = self.requirement
        return float(requirement.factor) if isinstance(requirement, RescaledMargin) else 1.0

    def observe(self, market: MarketView) -> None:
        """Update the requirement with the pool's market, once per step.

        No other call changes the state of the engine.
        """
        self.requirement.observe(market)

    def assess(self, accounts: Exposure) -> MarginAssessment:
        """Return equity, initial and maintenance of each account.

        Margins are rounded up to a minor unit (LED-2).
        """
        return self._compute_assessment(accounts.equity(), accounts)

    def assess_admission(self, accounts: Exposure) -> MarginAssessment:
        """Return the assessment that orders must pass (MAR-1).

        Equity must cover initial margin once every resting order has filled. Orders change the
        requirement, not equity: they fill at the mark. The loss of a limit price worse than the
        mark is reserved, and reserved amounts are deducted from equity. The worst of several
        combinations of fills counts. Initial is at least positions ÷ the leverage chosen for them,
        whatever the requirement.
        """
        equity = accounts.equity() - accounts.reserved_value()
        if not self.is_separable:
            rows, before, filled = accounts.list_worst_cases()
            every = self._assess_filled(equity[rows], before, filled)
            return _keep_worst(every, rows, equity)
        first, *others = (
            self._assess_filled(equity, accounts, portfolio)
            for portfolio in self._find_costliest_fills(accounts)
        )
        for other in others:
            first = MarginAssessment(equity, *map(np.maximum, first[1:], other[1:]))
        return first

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's share of maintenance, (A, K); rows that hold a position sum to one."""
        return self.requirement.compute_leg_shares(accounts)

    def max_leverage(self, market: MarketView) -> tuple[F8, F8]:
        """Return the highest leverage admitted for a long and for a short of one lot, (K,) each.

        This is value over initial margin, infinite if no margin is required. Its inverse is the
        margin path that a backtest judges.
        """
        if self._probe is None:
            self._probe = build_one_lot_accounts(market, sides=(1, -1))
        value = market.mark * market.contracts.multiplier
        probe = self._probe._replace(
            market=market, entry=self._probe.position * value.astype(np.int64)
        )
        required = (
            self.valuation.compute_haircuts(probe).initial
            + self.requirement.compute_margins(probe).initial
        )
        required, lot_value = required.reshape(2, -1), value * market.price[market.contracts.settle]
        long, short = np.divide(
            lot_value, required, out=np.full(required.shape, np.inf), where=required > 0
        )
        return long, short

    def _find_costliest_fills(self, accounts: Exposure) -> list[Exposure]:
        """Return the filled portfolios with the largest margin, if initial margin is additive.

        One is the costliest under the rules, the other under the leverage that was chosen.
        """
        bought, sold = accounts.one_sided_portfolios()
        after = [
            pay_for_fills(accounts, update_entry_values(accounts, portfolio))
            for portfolio in (bought, sold)
        ]
        required = [
            compute_initial_by_leg(self.requirement, self._undo_leverage_scaling(each))
            + self.valuation.compute_spot_haircuts(each)
            for each in after
        ]
        costliest = [choose_costlier_sides(accounts, (bought, required[0]), (sold, required[1]))]
        if np.isfinite(accounts.leverage).any():
            chosen = [compute_chosen_margin_by_leg(each) for each in after]
            costliest.append(
                choose_costlier_sides(accounts, (bought, chosen[0]), (sold, chosen[1]))
            )
        return costliest

    def _assess_filled(self, equity: F8, before: Exposure, filled: Exposure) -> MarginAssessment:
        """Return the assessment of portfolios after fills, which are paid at the mark.

        Initial is at least the margin that was chosen: the engine's factors do not scale that
        margin, and its rules cannot lower it.
        """
        accounts = pay_for_fills(before, update_entry_values(before, filled))
        if not np.isfinite(accounts.leverage).any():
            return self._compute_assessment(equity, accounts)
        assessment = self._compute_assessment(equity, self._undo_leverage_scaling(accounts))
        return assessment._replace(
            initial=np.maximum(assessment.initial, compute_chosen_margin(accounts))
        )

    def _undo_leverage_scaling(self, accounts: Exposure) -> Exposure:
        """Return the accounts with the chosen leverage corrected for the engine's own factor."""
        return (
            scale_leverage(accounts, self.requirement.factor)
            if isinstance(self.requirement, RescaledMargin)
            else accounts
        )

    def _compute_assessment(self, equity: F8, accounts: Exposure) -> MarginAssessment:
        haircuts, margins = (
            self.valuation.compute_haircuts(accounts),
            self.requirement.compute_margins(accounts),
        )
        initial = round_up_sum(haircuts.initial, margins.initial)
        return MarginAssessment(
            equity, initial, round_up_sum(haircuts.maintenance, margins.maintenance)
        )


def _keep_worst(assessment: MarginAssessment, rows: I8, equity: F8) -> MarginAssessment:
    """Return the largest margins of each account among portfolios, (A,).

    Args:
        assessment: (T,) of the portfolios.
        rows: (T,) accounts of the portfolios, rising.
        equity: (A,) minor units.
    """
    if rows.size == equity.size:
        return assessment
    margins = (
        account_sums.find_largest(column, rows, equity.size)
        for column in (assessment.initial, assessment.maintenance)
    )
    return MarginAssessment(equity, *margins)


def compute_chosen_margin(accounts: Exposure) -> F8:
    """Return positions ÷ the leverage chosen for them, (A,), whole minor units.

    The smaller of the values at entry and at the mark counts.
    """
    chosen = compute_chosen_margin_by_leg(accounts).sum(axis=1)
    return round_up_sum(np.zeros_like(chosen), chosen)


def compute_chosen_margin_by_leg(accounts: Exposure) -> F8:
    """Return the chosen margin of each leg, (A, K), not rounded."""
    cost = np.abs(accounts.entry) * accounts.market.price[accounts.market.contracts.settle]
    share: F8 = np.minimum(cost, leg_values.compute_margined_notional(accounts)) / accounts.leverage
    return share
