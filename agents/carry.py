"""Carry traders: they earn funding and basis of a perpetual hedged with spot (AGT-1, LED-3)."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from agents.base import DAY, Trader
from agents.compiled import carry as kernels
from agents.compiled.arbitrage import send_hedges
from agents.compiled.leveraged import HIGHEST
from agents.leveraged import LeveragedTrader, LognormalLeverage
from agents.shared.commitment import WalletCommitment, has_separate_wallet
from agents.shared.hedging import HedgedPairs, pair_with_spot
from agents.shared.leveraged_binding import LeveragedBinding
from sim.cash_flows import CashFlows
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel, chain_kernels
from sim.pricing.instrument_values import find_seconds_per_year
from sim.types import (
    B1,
    F8,
    I8,
    MISSING,
    AccountView,
    MarginAssessment,
    MarketSpec,
    Observation,
    Orders,
)


class CarryTrader(LeveragedTrader):
    """A member of a population of carry traders."""


class CarryTraders(LognormalLeverage):
    """Traders who hold a perpetual against spot for its carry, without a view on the price.

    The carry per year is the last funding rate over its interval, plus the basis over the mean
    holding time, in which it is expected to close. A moving average of the sum is compared with
    the thresholds. Members enter above ``enter`` (long spot, short the perpetual). With
    ``reverse`` they also enter below its negative. They exit by time or below ``exit``. Spot
    follows the perpetual's position as for arbitrageurs. A position that lacks its hedge for two
    steps is closed.

    A venue that has not paid funding yet shows no rate. Members then expect ``opening_funding``,
    the rate that funding rules pay where a perpetual trades at its index.

    Where wallets and margin accounts are separate, members whose perpetual is fully hedged commit
    their wallets to its account (ISO-1). With spot at the same venue, a perpetual is entered at
    the engine's highest leverage, so that the wallet pays for the hedge first.
    """

    agent_class: ClassVar[type[Trader]] = CarryTrader
    is_hedged: ClassVar[bool] = True

    kind: Literal["carry"] = "carry"
    name: str = Field(
        "carry", min_length=1, description="name of the population, unique in the market (text)"
    )
    leverage: float = Field(
        1.0, gt=0, description="median desired leverage at the reference leverage (times equity)"
    )
    leverage_sigma: float = Field(0.3, ge=0, description="standard deviation of log leverage (1)")
    holding_time: float = Field(7 * DAY, gt=0, description="mean time a position is held (seconds)")
    spot_venue: str = Field(
        min_length=1, description="venue that lists spot, may be the same (name)"
    )
    spot_share: float = Field(
        0.5, gt=0, lt=1, description="share of wealth kept at the spot venue if another (share)"
    )
    entry_threshold: float = Field(
        0.1, gt=0, description="carry that opens a position (share per year)"
    )
    exit_threshold: float = Field(
        0.0, description="carry below which a position is closed (share per year)"
    )
    can_short_spot: bool = Field(
        True, description="whether they short spot if the carry is negative (yes or no)"
    )
    funding_interval: float = Field(
        28_800.0, gt=0, description="time covered by one funding rate (seconds)"
    )
    opening_funding: float = Field(
        0.0, description="rate expected until the venue first pays funding (share per interval)"
    )
    carry_half_life: float = Field(
        3600.0, gt=0, description="half-life of the carry's moving average (seconds)"
    )
    hedge_slippage: float = Field(
        20.0, ge=0, description="worst hedge accepted, distance from index (basis points)"
    )

    _pairs: HedgedPairs = PrivateAttr()
    _carry_average: F8 = PrivateAttr()  # (m,) share per year
    _first_payment: int = PrivateAttr(0)  # tick until which funding may be unknown
    _lacks_hedge: B1 = PrivateAttr()  # (n,) lacked a hedge at the last tick
    _lacked_hedge_twice: B1 = PrivateAttr()  # (n,) and at the tick before
    _hedge_check_tick: int = PrivateAttr(MISSING)  # tick of the last hedge check

    @model_validator(mode="after")
    def _check_exit_below_enter(self) -> Self:
        """Require the exit below the entry; otherwise a member opens and closes at once."""
        if self.exit_threshold >= self.entry_threshold:
            message = (
                f"exit_threshold: {self.exit_threshold:.15g} must be below "
                f"entry_threshold = {self.entry_threshold:.15g}"
            )
            raise ValueError(f"{message}, lower it or raise entry_threshold")
        return self

    def _place_wealth(self, spec: MarketSpec, wealth: F8) -> I8:
        """Return the wealth by venue, with a share at the spot venue if that is another."""
        self._pairs = pair_with_spot(self, spec, self._members.scope, self.spot_venue)
        self._lacks_hedge, self._lacked_hedge_twice = np.zeros((2, self.count), dtype=np.bool_)
        year = spec.find_seconds_per_year(self._members.scope.instruments)
        self._carry_average = self.opening_funding * (year / self.funding_interval)
        self._first_payment = round(self.funding_interval / spec.dt)
        # a member holds one perpetual at a time
        if has_separate_wallet(spec, self._members.scope.venue):
            self._commitment = WalletCommitment(*self._members.scope)
        return self._pairs.place_wealth(self, spec, wealth, self.spot_share)

    def request_cash_flows(
        self,
        observation: Observation,
        accounts: AccountView,
        assessment: MarginAssessment,
        draws: F8,
    ) -> CashFlows:
        """Return payments of capital management, and wallets committed to hedged perpetuals.

        Members with a payment of capital management commit no wallet.
        """
        managed = super().request_cash_flows(observation, accounts, assessment, draws)
        if self._commitment is None:
            return managed
        held = accounts.position[:, self._commitment.instruments] != 0
        hedged = (self._pairs.missing_hedges(accounts) == 0).all(axis=1)
        hedged[managed.owner] = False
        committed = self._commitment.commit_wallets(
            observation, accounts, assessment, held & hedged[:, None]
        )
        return CashFlows.join([managed, committed])

    def bind_cash_flows(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """See :class:`sim.compiled.components.CompiledCashFlows`."""
        managed = super().bind_cash_flows(step, members)
        if self._commitment is None:
            return managed
        is_open = np.zeros((self.count, self._pairs.perp.instruments.size), dtype=np.bool_)
        hedged = bind_kernel(
            kernels.open_hedged_accounts,
            step.payments,
            step.counters,
            members.start,
            *self._list_pairs(),
            step.ledger.position,
            is_open,
        )
        committed = self._commitment.bind_payments(step, members, is_open)
        return chain_kernels(*([managed] if managed else []), hedged, committed)

    def _list_pairs(self) -> tuple[I8, I8, F8]:
        perp, spot, ratio = self._pairs
        return perp.instruments, spot.instruments, ratio

    def _position_choice(self) -> int:
        """Return the highest leverage if the wallet must also pay for spot."""
        joint = self._pairs.spot.venue == self._pairs.perp.venue
        return HIGHEST if joint else super()._position_choice()

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return entries and exits of the perpetual, and hedges of all members."""
        missing = self._pairs.missing_hedges(accounts)
        if observation.tick != self._hedge_check_tick:
            unhedged = (missing != 0).any(axis=1)
            self._lacked_hedge_twice[:] = self._lacks_hedge & unhedged
            self._lacks_hedge[:], self._hedge_check_tick = unhedged, observation.tick
        hedges = self._pairs.create_hedge_orders(missing, observation, self.hedge_slippage)
        return Orders.join([super().decide(observation, accounts, draws), hedges])

    def _observe_prices(self, observation: Observation) -> None:
        view, columns = self._members.scope.view(observation)
        basis = view.mark[columns] / self._pairs.perp.index_ticks(observation) - 1
        year = find_seconds_per_year(view)[columns]
        unknown = (view.funding[columns] == 0) & (observation.tick < self._first_payment)
        rate = np.where(unknown, self.opening_funding, view.funding[columns])
        now = rate * (year / self.funding_interval) + basis * (year / self.holding_time)
        learn = 1 - 0.5 ** (observation.dt / self.carry_half_life)
        self._carry_average += learn * (now - self._carry_average)

    def _paid_side(self) -> F8:
        """Return the side of each perpetual with enough carry to enter, (m,); zero = neither."""
        carry = self._carry_average
        enough = (carry > self.entry_threshold) | (
            self.can_short_spot & (carry < -self.entry_threshold)
        )
        return np.where(enough, -np.sign(carry), 0.0)

    def _entry_probabilities(self, observation: Observation) -> F8:
        return np.where(self._paid_side() != 0, self._members.entry_probability, 0.0)

    def _signals(self, rows: I8, columns: I8, observation: Observation, draws: F8) -> F8:
        signals: F8 = self._paid_side()[columns] * self._members.target_leverage[rows]
        return signals

    def _affordable_leverage(
        self, rows: I8, chosen: I8, observation: Observation, accounts: AccountView
    ) -> F8:
        """Return the highest leverage (r,) that the venues of both legs admit."""
        perp, spot, _ = self._pairs
        twin = spot.instruments[np.searchsorted(perp.instruments, chosen)]
        equity = accounts.equity[rows, perp.venue]
        capital = (
            self.cap
            * observation.max_leverage[twin]
            * np.maximum(accounts.equity[rows, spot.venue], 0.0)
        )
        if spot.venue == perp.venue:  # one account pays for both legs
            capital = equity / (
                1 / (self.cap * observation.max_leverage[twin])
                + 1 / (self.cap * observation.max_leverage[chosen])
            )
        most = np.divide(capital, equity, out=np.zeros_like(equity), where=equity > 0)
        return np.fmin(super()._affordable_leverage(rows, chosen, observation, accounts), most)

    def _early_exits(self, held: I8, observation: Observation, accounts: AccountView) -> B1 | None:
        """Return the members whose carry is below the exit, or whose hedge was not available."""
        carry = -np.sign(held) * self._carry_average
        is_low: B1 = ((held != 0) & (carry < self.exit_threshold)).any(axis=1)
        return is_low | self._lacked_hedge_twice

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        return super().count_orders() + self.count * self._pairs.perp.instruments.size

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """See :class:`sim.compiled.components.CompiledPopulation`."""
        binding = LeveragedBinding.begin(step, members, self._members.scope, self.latency)
        arrays, position = binding.arrays, step.ledger.position
        pairs, perp = self._list_pairs(), self._pairs.perp.instruments
        contracts = step.market.contracts
        check = bind_kernel(
            kernels.check_hedges,
            members.start,
            *pairs,
            position,
            self._lacks_hedge,
            self._lacked_hedge_twice,
        )
        leave = bind_kernel(
            kernels.leave_low_carry,
            members.start,
            perp,
            position,
            self._carry_average,
            float(self.exit_threshold),
            self._lacked_hedge_twice,
            arrays.leaves,
        )
        decided = self._bind_members(
            binding,
            prices=[check, *self._bind_carry(binding)],
            signals=[
                binding.follow_sides(self._members.target_leverage),
                self._bind_capital(binding),
            ],
            exits=[leave],
        )
        hedges = bind_kernel(
            send_hedges,
            step.orders,
            step.counters,
            self.latency,
            self.count,
            members.start,
            *pairs,
            position,
            step.index,
            contracts.underlying,
            contracts.tick,
            contracts.max_price,
            float(self.hedge_slippage),
        )
        return None if decided is None else chain_kernels(decided, hedges)

    def _bind_carry(self, binding: LeveragedBinding) -> list[BoundKernel]:
        """Return the kernels of the carry, and of hazards and sides that follow from it."""
        step, perp = binding.step, self._pairs.perp
        contracts, venue = step.market.contracts, step.market.venues[perp.venue]
        columns = perp.instruments - venue.instrument_slice.start
        year = find_seconds_per_year(venue.view)[columns]
        average = bind_kernel(
            kernels.average_carry,
            perp.instruments,
            step.mark,
            step.index,
            contracts.underlying,
            contracts.tick,
            step.funding,
            float(self.opening_funding),
            self._first_payment,
            year / self.funding_interval,
            year / self.holding_time,
            1 - 0.5 ** (step.market.config.dt / self.carry_half_life),
            self._carry_average,
        )
        sides = bind_kernel(
            kernels.find_paid_sides,
            self._carry_average,
            float(self.entry_threshold),
            int(self.can_short_spot),
            self._members.entry_probability,
            binding.arrays.hazard,
            binding.arrays.side,
        )
        return [average, sides]

    def _bind_capital(self, binding: LeveragedBinding) -> BoundKernel:
        """Return the kernel of the leverage that the venues of both legs admit."""
        step, arrays, (perp, spot, _) = binding.step, binding.arrays, self._pairs
        return bind_kernel(
            kernels.afford_both_legs,
            binding.first_owner,
            perp.instruments,
            spot.instruments,
            int(spot.venue == perp.venue),
            float(self.cap),
            step.max_leverage_long,
            step.equity[perp.venue],
            step.equity[spot.venue],
            arrays.n_entries,
            arrays.rows,
            arrays.columns,
            arrays.most,
        )
