"""Capital management of members: headroom, replacement and withdrawals (AGT-7)."""

import itertools
from typing import NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from agents.base import TradingScope, compute_event_probability
from agents.compiled.capital import (
    CALM,
    ENTRY_EXIT_COLUMN,
    HEDGES,
    REACT_COLUMN,
    REACTION_KIND_COLUMN,
    TOPS_UP,
    TRIMS,
)
from agents.shared.capital_binding import (
    CapitalArrays,
    CapitalBinding,
    CapitalRule,
    KeptOrders,
)
from agents.shared.commitment import has_separate_wallet
from agents.shared.offsets import OffsettingHedges
from agents.shared.take_back import TakeBackSettings
from sim.cash_flows import CashFlows
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel
from sim.numerics.rounding import to_exact_int
from sim.types import (
    B1,
    F8,
    I8,
    MARKET,
    MISSING,
    REDUCE_ONLY,
    AccountView,
    MarginAssessment,
    MarketSpec,
    Observation,
    Orders,
)


class CapitalPolicy(TakeBackSettings):
    """Policy of members whose headroom is short, and of deposits and withdrawals.

    Headroom is measured in the account that margins a position: equity less initial margin, over
    initial margin. Each member draws one reaction when its headroom first falls below
    ``headroom``, and keeps it until the headroom is restored. It acts after an exponential time.
    A member trims its position or tops up the account until the measure is back at ``headroom``.
    A member who hedges trades another instrument instead of trimming
    (``agents.shared.offsets``), and trims if the hedge was not enough. All other members wait for
    a margin call or a close-out. With ``take_back_buffer``, members who hold an isolated position
    move excess margin back into their wallets.
    """

    margin_buffer: float | None = Field(
        0.05,
        ge=0,
        description="headroom below which members react, none = never (share of initial margin)",
    )
    reaction: float = Field(3600.0, gt=0, description="mean time until they react (seconds)")
    trim_probability: float = Field(
        0.5, ge=0, le=1, description="probability of trimming the position (probability)"
    )
    top_up_probability: float = Field(
        0.2, ge=0, le=1, description="probability of topping up the account (probability)"
    )
    hedge_probability: float = Field(
        0.0,
        ge=0,
        le=1,
        description="probability of hedging, if the account lists a hedge (probability)",
    )
    hedge_slippage: float = Field(
        20.0, ge=0, description="worst hedge accepted, distance from mark (basis points)"
    )
    outside_multiple: float = Field(
        1.0,
        ge=0,
        le=1e12,
        description="largest total of a member's top-ups (times wealth at the start)",
    )
    bankruptcy_threshold: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="wealth below which a flat member may be replaced (share of start)",
    )
    replacement_time: float | None = Field(
        None,
        gt=0,
        description="mean time until a ruined member is replaced, none = never (seconds)",
    )
    withdrawal_threshold: float = Field(
        3.0,
        gt=1,
        le=1e12,
        description="wealth from which a flat member withdraws gains (times start)",
    )
    withdrawal_share: float = Field(
        0.5, gt=0, le=1, description="share of its gains that it withdraws (share)"
    )
    withdrawal_time: float | None = Field(
        None, gt=0, description="mean time until it withdraws, none = never (seconds)"
    )

    @model_validator(mode="after")
    def _check_probabilities(self) -> Self:
        """Require probabilities of trimming, topping up and hedging of at most one in total."""
        if self.trim_probability + self.top_up_probability + self.hedge_probability > 1:
            trims, tops_up, hedges = (
                f"{share:.15g}"
                for share in (
                    self.trim_probability,
                    self.top_up_probability,
                    self.hedge_probability,
                )
            )
            raise ValueError(
                f"trim_probability: {trims}, top_up_probability {tops_up} and "
                f"hedge_probability {hedges} sum to more than 1, "
                "lower one or more"
            )
        self.check_take_back(self.margin_buffer)
        return self

    def bind(
        self, spec: MarketSpec, scope: TradingScope, wealth: I8, *, hedged: bool = False
    ) -> "CapitalManager":
        """Return the capital manager of members.

        Args:
            spec: description of the market.
            scope: instruments that the members trade.
            wealth: (n, V) wealth at the start, minor units.
            hedged: True if members hedge by their own rule, so that no other hedge is available.
        """
        offsets = (
            OffsettingHedges.from_scope(spec, scope, self.hedge_slippage)
            if self.hedge_probability and not hedged
            else None
        )
        return CapitalManager(self, spec, CapitalScope(scope, wealth, offsets))


class CapitalScope(NamedTuple):
    """Instruments, initial wealth and hedges of members."""

    scope: TradingScope
    start_wealth: I8  # (n, V) wealth at the start, minor units
    offsets: OffsettingHedges | None  # available hedges, None = no hedging


class MarginShortage(NamedTuple):
    """Margin missing in the accounts of some members, g accounts at the venue."""

    rows: I8  # (r,) members
    amount: I8  # (r, g) minor units that restore the headroom of each account


class CapitalManager:
    """Capital management of one population; repeated calls at one tick return the same."""

    def __init__(self, policy: CapitalPolicy, spec: MarketSpec, capital: CapitalScope) -> None:
        self.policy = policy
        self.scope, wealth, self.offsets = capital
        self.start_wealth: I8 = np.ascontiguousarray(wealth)
        columns = self.scope.instruments
        self._account_of_instrument = spec.margin_account[columns]
        _, self._first_instrument = np.unique(self._account_of_instrument, return_index=True)
        self._has_separate_wallet = has_separate_wallet(spec, self.scope.venue)
        self._reaction_probability = compute_event_probability(spec.dt, policy.reaction)
        self._replacement_probability = (
            compute_event_probability(spec.dt, policy.replacement_time)
            if policy.replacement_time
            else 0.0
        )
        self._withdrawal_probability = (
            compute_event_probability(spec.dt, policy.withdrawal_time)
            if policy.withdrawal_time
            else 0.0
        )
        self.take_back = policy.bind_take_back(spec, self.scope)
        self._reaction = np.full(len(self.start_wealth), CALM)
        # (n,) cash that members may still deposit
        self._outside_cash = policy.outside_multiple * self.start_wealth[
            :, self.scope.venue
        ].astype(np.float64)
        self._cash_flows = CashFlows.join([])
        # a member trims each of its positions, or hedges one
        self.kept_orders = KeptOrders.allocate(len(self.start_wealth) * len(columns))

    def adopt_wealth(self, members: B1, wealth: I8) -> None:
        """Replace starting wealth of members (n,) by wealth (n, V); see ``Population``."""
        self.start_wealth = np.where(members[:, None], wealth, self.start_wealth)
        own = self.start_wealth[members, self.scope.venue].astype(np.float64)
        self._outside_cash[members] = self.policy.outside_multiple * own

    def request_cash_flows(
        self, tick: int, accounts: AccountView, assessment: MarginAssessment, draws: F8
    ) -> CashFlows:
        """Return top-ups, capital of new members and withdrawals.

        See ``sim.protocols.PopulationProtocol``.
        """
        if tick != self.kept_orders.tick[0]:
            self.kept_orders.tick[0] = tick
            self._cash_flows = CashFlows.join(
                [
                    self._react_to_shortage(accounts, assessment, draws),
                    self._replace_and_withdraw(accounts, draws),
                ]
            )
        return self._cash_flows

    def reaction_orders(self, observation: Observation) -> Orders:
        """Return reduce-only market orders of members who trim, and orders of those who hedge."""
        if observation.tick != self.kept_orders.tick[0]:
            return Orders.join([])
        orders = self.kept_orders.read()
        return orders if self.offsets is None else self.offsets.set_limits(orders, observation)

    def bind_cash_flows(self, step: StepArrays, members: slice, name: str) -> BoundKernel:
        """Return the kernel of :meth:`request_cash_flows` for a population by name."""
        own, hedges = self.policy, np.full(self.scope.instruments.size, MISSING)
        if self.offsets is not None:
            hedges = self.offsets.hedge_instrument
        rule = CapitalRule(
            buffer=own.margin_buffer,
            reaction_probability=self._reaction_probability,
            bars=np.array(self._reaction_bars()),
            thresholds=np.array([own.bankruptcy_threshold, own.withdrawal_threshold]),
            probabilities=np.array([self._replacement_probability, self._withdrawal_probability]),
            outside_multiple=own.outside_multiple,
            withdrawal_share=own.withdrawal_share,
        )
        arrays = CapitalArrays(
            scope=self.scope,
            start_wealth=self.start_wealth,
            hedge_instrument=hedges,
            first_instrument=self._first_instrument,
            take_back=self.take_back,
            has_separate_wallet=self._has_separate_wallet,
            reaction=self._reaction,
            outside_cash=self._outside_cash,
            kept_orders=self.kept_orders,
        )
        return CapitalBinding(step, members.start, name, rule, arrays).bind()

    def _react_to_shortage(
        self, accounts: AccountView, assessment: MarginAssessment, draws: F8
    ) -> CashFlows:
        """Return top-ups of members short of headroom; keep the orders of those who trade."""
        self.kept_orders.number[0] = 0
        if self.policy.margin_buffer is None:
            return CashFlows.join([])
        columns = self.scope.instruments
        initial, equity = assessment.initial[:, columns], assessment.equity[:, columns]
        required = (1 + self.policy.margin_buffer) * initial
        short = (initial > 0) & (equity < required)
        if short.any():
            short &= _has_position(accounts, columns)
        if not short.any():
            self._reaction[:] = CALM
            return CashFlows.join([])
        acts = self._choose_reactions(np.any(short, axis=1), draws)
        share = np.divide(equity, required, out=np.ones_like(equity), where=short)
        self.kept_orders.keep(self._create_reaction_orders(acts, accounts, share))
        rows = np.flatnonzero(acts & (self._reaction == TOPS_UP))
        if not rows.size:
            return CashFlows.join([])
        lacking = np.where(short, required - equity, 0.0)[rows]
        amount = to_exact_int(np.ceil(lacking[:, self._first_instrument]))
        return self._top_up_accounts(MarginShortage(rows, amount), accounts)

    def _create_reaction_orders(self, acts: B1, accounts: AccountView, share: F8) -> Orders:
        """Return orders of members who trim or hedge now; members who hedged trim next time."""
        # members without a hedge are reassigned here, whether or not they act now
        hedging = self._hedge_positions(acts, accounts, share)
        if not acts.any():
            return Orders.join([])
        trims = np.flatnonzero(acts & (self._reaction == TRIMS))
        trimming = self._trim_positions(trims, accounts, share)
        self._reaction[hedging.owner] = TRIMS
        return Orders.join([trimming, hedging]) if hedging.owner.size else trimming

    def _choose_reactions(self, short: B1, draws: F8) -> B1:
        """Return the members who act now.

        A reaction is drawn when a shortage begins and reset when it ends.
        """
        fresh = short & (self._reaction == CALM)
        drawn = TRIMS + sum(draws[:, REACTION_KIND_COLUMN] >= bar for bar in self._reaction_bars())
        self._reaction[:] = np.where(fresh, drawn, np.where(short, self._reaction, CALM))
        acts: B1 = short & (draws[:, REACT_COLUMN] < self._reaction_probability)
        return acts

    def _reaction_bars(self) -> list[float]:
        """Return the cumulated probabilities of trimming, topping up and hedging."""
        own = self.policy
        shares = own.trim_probability, own.top_up_probability, own.hedge_probability
        return list(itertools.accumulate(shares))

    def _hedge_positions(self, acts: B1, accounts: AccountView, share: F8) -> Orders:
        """Return orders of members who hedge; members without a hedge trim instead."""
        hedging = self._reaction == HEDGES
        if not hedging.any():
            return Orders.join([])
        if self.offsets is None:
            self._reaction[hedging] = TRIMS
            return Orders.join([])
        able = hedging & self.offsets.can_hedge(accounts)
        self._reaction[hedging & ~able] = TRIMS
        return self.offsets.create_orders(np.flatnonzero(acts & able), accounts, share)

    def _trim_positions(self, rows: I8, accounts: AccountView, share: F8) -> Orders:
        """Return orders that reduce positions to a share (n, m) of themselves, where below one."""
        held = accounts.position[rows[:, None], self.scope.instruments]
        less = to_exact_int(np.ceil(np.abs(held) * (1 - np.maximum(share[rows], 0.0))))
        places, columns = np.nonzero(less)
        lots = -(np.sign(held) * less)[places, columns]
        return Orders.from_columns(
            rows[places], self.scope.instruments[columns], lots, 0, MARKET | REDUCE_ONLY
        )

    def _top_up_accounts(self, shortage: MarginShortage, accounts: AccountView) -> CashFlows:
        """Return deposits of what wallets lack, up to the outside cash left.

        Under isolated netting the amounts also move from wallets into the margin accounts.
        """
        rows, amount, venue = shortage.rows, shortage.amount, self.scope.venue
        wallet = np.zeros(len(rows), np.int64)
        if self._has_separate_wallet:
            wallet = np.maximum(accounts.wallet[rows, venue, 0], 0)
        lacking = amount.sum(axis=1) - wallet
        deposited = np.clip(lacking, 0, np.floor(self._outside_cash[rows])).astype(np.int64)
        self._outside_cash[rows] -= deposited
        deposits = CashFlows.from_columns(rows, venue, MISSING, deposited)
        if not self._has_separate_wallet:
            return deposits
        spent = np.minimum(np.cumsum(amount, axis=1), (wallet + deposited)[:, None])
        transfer = np.diff(spent, axis=1, prepend=0)
        places, columns = np.nonzero(transfer)
        instruments = self.scope.instruments[self._first_instrument[columns]]
        transfers = CashFlows.from_columns(
            rows[places], venue, instruments, transfer[places, columns]
        )
        return CashFlows.join([deposits, transfers])

    def _replace_and_withdraw(self, accounts: AccountView, draws: F8) -> CashFlows:
        """Replace ruined members by new ones, and let flat members withdraw large gains."""
        draw = draws[:, ENTRY_EXIT_COLUMN]
        rows = np.flatnonzero(
            draw < max(self._replacement_probability, self._withdrawal_probability)
        )
        rows = rows[(accounts.position[rows] == 0).all(axis=1)]
        if not rows.size:
            return CashFlows.join([])
        start = self.start_wealth[rows].sum(axis=1)
        wealth = sum(accounts.equity[rows].T, np.zeros(len(rows)))
        is_ruined = wealth < self.policy.bankruptcy_threshold * start
        is_rich = wealth >= self.policy.withdrawal_threshold * start
        ruined = rows[is_ruined & (draw[rows] < self._replacement_probability)]
        rich = rows[is_rich & (draw[rows] < self._withdrawal_probability)]
        return CashFlows.join(
            [self._replace_members(ruined, accounts), self._withdraw_gains(rich, accounts)]
        )

    def _replace_members(self, rows: I8, accounts: AccountView) -> CashFlows:
        """Return the deposits of new members, which restore the wealth of the start."""
        start = self.start_wealth[rows]
        self._outside_cash[rows] = self.policy.outside_multiple * start[:, self.scope.venue]
        deposits = np.maximum(start - np.floor(accounts.equity[rows]), 0)
        return _split_by_venue(rows, deposits, 1)

    def _withdraw_gains(self, rows: I8, accounts: AccountView) -> CashFlows:
        """Return the withdrawals of gains, as far as free margin and wallets allow."""
        free = np.minimum(accounts.free_margin[rows], accounts.wallet[rows, :, 0])
        gains = self.policy.withdrawal_share * np.maximum(
            accounts.equity[rows] - self.start_wealth[rows], 0
        )
        withdrawals = np.floor(np.minimum(gains, np.maximum(free, 0.0)))
        return _split_by_venue(rows, -withdrawals, 0)


def _has_position(accounts: AccountView, instruments: I8) -> B1:
    """Return True for each member (n, 1) with a position in some of the instruments."""
    has: B1 = (accounts.position[:, instruments] != 0).any(axis=1, keepdims=True)
    return has


def _split_by_venue(rows: I8, amount: F8, fresh: int) -> CashFlows:
    """Return payments of (r, V) amounts to and from outside the market."""
    count = amount.shape[1]
    owner, venue = np.repeat(rows, count), np.tile(np.arange(count), len(rows))
    return CashFlows.from_columns(owner, venue, MISSING, to_exact_int(amount).ravel(), fresh)
