"""Derive's portfolio margin, PMRM_2 (github.com/derivexyz/v2-core, src/risk-managers/PMRMLib_2.sol, 2025)."""

from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from sim.errors import ConfigError
from sim.margin.base import (
    RequirementComponent,
    find_underlying,
    require_initial_covers_maintenance,
)
from sim.margin.breakdown import join_breakdowns
from sim.margin.scenarios.pmrm2 import (
    BasisContingency,
    PmrmCharges,
    Skew,
    SkewScenario,
    StaticDiscount,
    build_standard_grid,
)
from sim.margin.scenarios.scenarios import (
    SCANNING_RISK,
    PeriodicRevaluation,
    ScenarioMargin,
    VolShock,
    build_shocked_states,
    compute_standalone_shares,
    describe_scenario,
    find_worst_gain,
    sum_leg_gains,
    sum_leg_values,
)
from sim.pricing.instrument_values import (
    find_forwards,
    find_rates,
    find_years_to_expiry,
    value_instruments,
)
from sim.types import F8, FUTURE, I8, OPTION, PERPETUAL, Contracts, Exposure, Margins, MarketView

TILTS = ("linear", "abs")


class DerivePmrm2(RequirementComponent):
    """The worst of a grid, tilts of the smile and a move of forwards, underlying by underlying, plus charges.

    In scenario s an account gains weight_s x [Σ_expiries (d x V_e(s) - V_e) + linear legs and risk-cancelling
    collateral x move_s], V_e the Black-76 value of its options of the expiry and d a factor that is lower where V_e(s)
    is owned than where it is owed; in a tilt each expiry loses the size of its change. Forwards are settled over the
    last half hour, evenly, and what is settled moves no more. With L = -min(basis, min_s gain_s), at least nil:
    maintenance = factor x L + charges, initial = (factor + peg_factor x what the peg is below its threshold) x L +
    charges, those at the opening too. Haircuts of collateral are for the valuation.

    Derive states what is left of equity, IM and MM; here they are equity less what this asks less the haircuts. One
    manager has one underlying: of several, each is assessed alone. Rates below nil count as nil.
    """

    kind: Literal["derive_pmrm2"] = Field(
        default="derive_pmrm2", description="Derive's PMRM_2 (name)"
    )
    scenarios: tuple[SkewScenario, ...] = Field(
        default=build_standard_grid(), min_length=1, description="the grid (scenarios)"
    )
    vol: VolShock = Field(
        default=VolShock(up=0.5, down=0.275, least=0.45),
        description="what up and down mean for volatility (component)",
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
        description="assets held as collateral (name: underlying whose moves they take part in, or empty)",
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
                    f"scenarios.{number}.move: {each.move:g}, a tilt of the smile has none: make it 0"
                )
        return self

    def bind(self, contracts: Contracts, unit: int) -> "PmrmMargin":
        """See :class:`RequirementComponent`.

        Raises:
            ConfigError: an underlying or asset that the market does not have.
        """
        return PmrmMargin(self, contracts)


class ExpiryLegs(NamedTuple):
    """The options of one underlying and expiry."""

    legs: I8  # columns
    strikes: list[I8]  # columns by strike


class UnderlyingLegs(NamedTuple):
    """One underlying of a pool."""

    number: int
    linear: I8  # columns of perpetuals and futures
    moving: I8  # columns of everything that moves in proportion, spot too
    expiries: list[ExpiryLegs]
    collateral: I8  # assets that move with it


class PmrmValues(NamedTuple):
    """What revaluation makes of a market."""

    now: F8  # (K,) value per lot, minor units of the numeraire
    moved: F8  # (S, K) the same in each scenario, before discounts
    bumped: F8  # (2, K) the same after the two moves of forwards
    spot: F8  # (K,) worth of the underlying of one lot at the oracle
    discount: F8  # (2, K) factors on what is owned and owed
    factor: F8  # (K,) factor on the loss by basis


class PmrmMargin(ScenarioMargin):
    """PMRM_2 on one pool's instruments."""

    def __init__(self, rule: DerivePmrm2, contracts: Contracts) -> None:
        self.rule = rule
        self.labels = tuple(map(describe_scenario, rule.scenarios))
        self.moves = np.array([each.move for each in rule.scenarios])
        self.weights = np.array([each.weight for each in rule.scenarios])
        self.is_tilt = np.array([each.vol in TILTS for each in rule.scenarios])
        moving = {
            _find_asset(asset, contracts): find_underlying(
                name, contracts, f"requirement.collateral.{asset}"
            )
            for asset, name in rule.collateral.items()
            if name
        }
        self.collateral = np.array(
            [_find_asset(asset, contracts) for asset in rule.collateral], dtype=np.int64
        )
        self.underlyings = [
            _build_underlying_legs(contracts, int(number), moving)
            for number in _list_underlyings(contracts, moving)
        ]
        self.risk_arrays: PeriodicRevaluation[PmrmValues] = PeriodicRevaluation(
            self._revalue, rule.revalue
        )

    def compute_margins(self, accounts: Exposure) -> Margins:
        """See :class:`DerivePmrm2`, (A,)."""
        valued, rule = self.risk_arrays.get_current(accounts.market), self.rule
        opening = self._initial_factor(accounts.market)
        maintenance, initial = (
            np.zeros(len(accounts.position)),
            self._charge_doubtful_collateral(accounts),
        )
        for side in self.underlyings:
            loss = -np.minimum(
                self._compute_gains(accounts, side, valued).min(axis=0),
                self._compute_basis(accounts, side, valued),
            )
            charged = self._compute_charges(accounts, side, valued).values()
            maintenance += rule.maintenance * loss + sum(each.maintenance for each in charged)
            initial += opening * loss + sum(each.initial for each in charged)
        return Margins(initial, maintenance)

    def scenario_gains(self, accounts: Exposure) -> F8:
        """See :class:`Scanning`."""
        valued = self.risk_arrays.get_current(accounts.market)
        return np.sum(
            [self._compute_gains(accounts, side, valued) for side in self.underlyings], axis=0
        )

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """See :class:`Itemised`; basis is what its contingency asks beyond the scan."""
        valued = self.risk_arrays.get_current(accounts.market)
        scan, basis = np.zeros((2, len(accounts.position)))
        for side in self.underlyings:
            lost = np.minimum(self._compute_gains(accounts, side, valued).min(axis=0), 0.0)
            scan -= lost
            basis += np.maximum(lost - self._compute_basis(accounts, side, valued), 0.0)
        opening, keep = self._initial_factor(accounts.market), self.rule.maintenance
        found = {
            SCANNING_RISK: Margins(opening * scan, keep * scan),
            "basis": Margins(opening * basis, keep * basis),
        }
        charges = [self._compute_charges(accounts, side, valued) for side in self.underlyings]
        doubt = Margins(
            self._charge_doubtful_collateral(accounts), np.zeros(len(accounts.position))
        )
        return join_breakdowns(found, *charges, {"collateral in doubt": doubt})

    def basis_contingency(self, accounts: Exposure) -> F8:
        """Basis contingency, (A,) minor units of the numeraire, at most nil, summed over underlyings."""
        valued = self.risk_arrays.get_current(accounts.market)
        return np.sum(
            [self._compute_basis(accounts, side, valued) for side in self.underlyings], axis=0
        )

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Each leg's share of what the legs would lose at worst if each stood alone, (A, K)."""
        valued = self.risk_arrays.get_current(accounts.market)
        return compute_standalone_shares(
            accounts, (valued.moved - valued.now) * self.weights[:, None]
        )

    def _initial_factor(self, market: MarketView) -> float:
        """Initial over the worst loss, more where the stable price is off its peg."""
        charges = self.rule.charges
        return float(self.rule.initial + max(charges.peg - market.peg, 0.0) * charges.peg_factor)

    def _compute_gains(self, accounts: Exposure, side: UnderlyingLegs, valued: PmrmValues) -> F8:
        """Gain by one underlying in each scenario, (S, A)."""
        gain = sum_leg_gains(accounts.position, valued.moved - valued.now, side.moving)
        for asset in side.collateral:
            gain += self.moves[:, None] * (
                accounts.balance[:, asset] * accounts.market.price[asset]
            )
        for expiry in side.expiries:
            owned, owed = valued.discount[:, expiry.legs[0]]
            moved = sum_leg_gains(accounts.position, valued.moved, expiry.legs)
            change = moved * np.where(moved >= 0, owned, owed) - sum_leg_values(
                accounts.position, valued.now, expiry.legs
            )
            change[self.is_tilt] = -np.abs(change[self.is_tilt])
            gain += change
        return gain * self.weights[:, None]

    def _compute_basis(self, accounts: Exposure, side: UnderlyingLegs, valued: PmrmValues) -> F8:
        """Basis contingency of one underlying, (A,), at most nil."""
        total = np.zeros(len(accounts.position))
        for expiry in side.expiries:
            lost = find_worst_gain(accounts.position, valued.bumped - valued.now, expiry.legs)
            total += np.minimum(lost, 0.0) * valued.factor[expiry.legs[0]]
        return total

    def _compute_charges(
        self, accounts: Exposure, side: UnderlyingLegs, valued: PmrmValues
    ) -> dict[str, Margins]:
        """Contingencies of one underlying by name, (A,) each."""
        charges, size = self.rule.charges, np.abs(accounts.position)
        perps, naked = sum_leg_values(size, valued.spot, side.linear), np.zeros(len(size))
        sure = np.minimum(
            accounts.market.confidence[side.number], _find_least_confidence(accounts, side.linear)
        )
        doubt = self._charge_doubt(sure, perps)
        for expiry in side.expiries:
            options = sum_leg_values(size, valued.spot, expiry.legs)
            doubt = doubt + self._charge_doubt(
                np.minimum(sure, _find_least_confidence(accounts, expiry.legs)), options
            )
            for legs in expiry.strikes:
                naked += np.maximum(-sum_leg_values(accounts.position, valued.spot, legs), 0.0)
        kept, opened = charges.perp_maintenance, charges.perp_maintenance + charges.perp_initial
        short, to_open = (
            charges.option_maintenance,
            charges.option_maintenance + charges.option_initial,
        )
        return {
            "perpetuals": Margins(opened * perps, kept * perps),
            "short options": Margins(to_open * naked, short * naked),
            "oracles in doubt": Margins(doubt, np.zeros(len(size))),
        }

    def _charge_doubtful_collateral(self, accounts: Exposure) -> F8:
        """What is asked at the opening for collateral of which oracles are not sure, (A,)."""
        total, market = np.zeros(len(accounts.position)), accounts.market
        for asset in self.collateral:
            own = market.trust[asset] if market.trust.size else 1.0
            sure = np.minimum(
                own, min((market.confidence[side.number] for side in self.underlyings), default=1.0)
            )
            total += self._charge_doubt(
                sure, np.maximum(accounts.balance[:, asset] * market.price[asset], 0.0)
            )
        return total

    def _charge_doubt(self, sure: F8, amount: F8) -> F8:
        charges = self.rule.charges
        return np.where(sure < charges.confidence, (1.0 - sure) * charges.unsure, 0.0) * amount

    def _revalue(self, market: MarketView) -> PmrmValues:
        rule, contracts = self.rule, market.contracts
        market = market._replace(
            rate=np.maximum(find_rates(market), 0.0), forward=find_forwards(market)
        )
        unit, left = (
            market.tick_value(),
            np.where(np.isinf(find_years_to_expiry(market)), 0.0, find_years_to_expiry(market)),
        )
        now = value_instruments(market, market.oracle[None], market.vol[None], rule.averaging)[0]
        plain = [
            each if each.vol not in TILTS else each.model_copy(update={"vol": "none"})
            for each in rule.scenarios
        ]
        moved = build_shocked_states(market, plain, rule.vol)
        option = np.flatnonzero(contracts.kind == OPTION)
        for number in np.flatnonzero(self.is_tilt) if option.size else ():
            k = np.log(contracts.strike[option] / market.forward[option])
            how = rule.scenarios[number].vol
            moved.vol[number, option] = rule.skew.tilt_volatility(
                market.vol[option], k, left[option], how
            )
        bumps = market.oracle * (1 + np.array([[rule.basis.up], [rule.basis.down]]))
        discounts = [
            rule.discount.compute_factors(*pair)
            for pair in zip(market.rate.tolist(), left.tolist(), strict=True)
        ]
        return PmrmValues(
            now * unit,
            value_instruments(market, moved.oracle, moved.vol, rule.averaging) * unit,
            value_instruments(market, bumps, np.stack([market.vol] * 2), rule.averaging) * unit,
            market.oracle[contracts.underlying] * unit / contracts.tick,
            np.array(discounts).reshape(-1, 2).T,
            rule.basis.add + rule.basis.mult * left,
        )


def _find_least_confidence(accounts: Exposure, legs: I8) -> F8:
    """The least confidence in what values the legs that are held, (A,)."""
    feed = accounts.market.feed
    if not feed.size:
        return np.ones(len(accounts.position))
    return np.where(accounts.position[:, legs] != 0, feed[legs], 1.0).min(axis=1, initial=1.0)


def _find_asset(name: str, contracts: Contracts) -> int:
    """A collateral asset's number."""
    if name not in contracts.assets[1:]:
        known = ", ".join(contracts.assets[1:]) or "none"
        raise ConfigError(
            [
                f"requirement.collateral: {name!r} is not an asset beside the numeraire, use one of {known}"
            ]
        )
    return contracts.assets.index(name)


def _list_underlyings(contracts: Contracts, moving: dict[int, int]) -> list[int]:
    """Underlyings that a pool has legs on or collateral that moves with them."""
    return sorted({*contracts.underlying.tolist(), *moving.values()})


def _build_underlying_legs(
    contracts: Contracts, number: int, moving: dict[int, int]
) -> UnderlyingLegs:
    here = contracts.underlying == number
    linear = np.flatnonzero(here & np.isin(contracts.kind, (PERPETUAL, FUTURE)))
    options = np.flatnonzero(here & (contracts.kind == OPTION))
    expiries = []
    for expiry in np.unique(contracts.expiry[options]) if options.size else ():
        legs = options[contracts.expiry[options] == expiry]
        strikes = [
            legs[contracts.strike[legs] == strike] for strike in np.unique(contracts.strike[legs])
        ]
        expiries.append(ExpiryLegs(legs, strikes))
    assets = np.array(
        [asset for asset, underlying in moving.items() if underlying == number], dtype=np.int64
    )
    return UnderlyingLegs(
        number, linear, np.flatnonzero(here & (contracts.kind != OPTION)), expiries, assets
    )
