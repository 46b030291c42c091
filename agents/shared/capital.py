"""How members manage capital: headroom, newcomers, and gains taken out (AGT-7)."""

import itertools
from typing import NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from agents.base import TradingScope, compute_event_probability
from agents.shared.commitment import has_separate_wallet
from agents.shared.offsets import OffsettingHedges
from sim.cash_flows import CashFlows
from sim.component import Component
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

REACT_COLUMN, REACTION_KIND_COLUMN, ENTRY_EXIT_COLUMN = range(3)
"""Columns of a step's draws for payments: whether a member reacts, how it is disposed, whether it comes or goes."""

N_CASH_FLOW_DRAWS = 3

CALM, TRIMS, TOPS_UP, HEDGES, WAITS = range(5)
"""What a member does about its headroom."""


class CapitalPolicy(Component):
    """What members do when headroom is short, and how capital enters and leaves.

    The measure of headroom is that of the account which margins a position: equity less initial margin, over initial
    margin. From below ``headroom`` until above it again a member is of one mind, drawn as the shortage begins, and
    acts on it after an exponential time: it trims its position or tops up the account until the measure is
    back at ``headroom``, or sells in another instrument what it would have trimmed (``agents.shared.offsets``), and
    trims if that was not enough; the others wait for a margin call, or worse.
    """

    headroom: float | None = Field(
        0.05,
        ge=0,
        description="cushion over initial margin below which members react, none = never (share of initial)",
    )
    reaction: float = Field(3600.0, gt=0, description="mean time until they react (seconds)")
    trims: float = Field(
        0.5, ge=0, le=1, description="probability of trimming the position (probability)"
    )
    tops_up: float = Field(
        0.2, ge=0, le=1, description="probability of topping up the account (probability)"
    )
    hedges: float = Field(
        0.0,
        ge=0,
        le=1,
        description="probability of hedging, where the account has what with (probability)",
    )
    hedge_slippage: float = Field(
        20.0, ge=0, description="worst hedge accepted, distance from mark (basis points)"
    )
    outside: float = Field(
        1.0,
        ge=0,
        le=1e12,
        description="all top-ups of a member together (times wealth at the start)",
    )
    ruin: float = Field(
        0.1, ge=0, lt=1, description="wealth at which a flat member's seat is free (share of start)"
    )
    renewal: float | None = Field(
        None, gt=0, description="mean time until a free seat is taken, none = never (seconds)"
    )
    success: float = Field(
        3.0,
        gt=1,
        le=1e12,
        description="wealth from which a flat member takes gains out (times start)",
    )
    payout: float = Field(
        0.5, gt=0, le=1, description="part of its gains that it takes out (share)"
    )
    taking: float | None = Field(
        None, gt=0, description="mean time until it does, none = never (seconds)"
    )

    @model_validator(mode="after")
    def _check_probabilities(self) -> Self:
        """The probabilities of trimming, topping up and hedging must not exceed one in total."""
        if self.trims + self.tops_up + self.hedges > 1:
            told = f"trims: {self.trims:.15g}, tops_up {self.tops_up:.15g} and hedges {self.hedges:.15g}"
            raise ValueError(f"{told} are more than all members together, lower one or more")
        return self

    def bind(
        self, setting: MarketSpec, stall: TradingScope, wealth: I8, *, hedged: bool = False
    ) -> "CapitalManager":
        """The capital of members who start with ``wealth`` (n, V) minor units and trade at a stall.

        Members who are ``hedged`` as a matter of course have nothing more to hedge with.
        """
        offsets = (
            OffsettingHedges.from_scope(setting, stall, self.hedge_slippage)
            if self.hedges and not hedged
            else None
        )
        return CapitalManager(self, setting, CapitalScope(stall, wealth, offsets))


class CapitalScope(NamedTuple):
    """What members have to manage."""

    scope: TradingScope
    start_wealth: I8  # (n, V) wealth they start with, minor units
    offsets: OffsettingHedges | None  # what they hedge with, None = nothing


class MarginShortage(NamedTuple):
    """The margin accounts of some members, g accounts at the stall's venue."""

    rows: I8  # (r,)
    amount: I8  # (r, g) minor units that bring each account's headroom back


class CapitalManager:
    """What members' capital is about to do; asked again at one tick, it answers the same."""

    def __init__(self, rule: CapitalPolicy, setting: MarketSpec, purse: CapitalScope) -> None:
        self.policy = rule
        self.scope, self.start_wealth, self.offsets = purse
        self._account_of_instrument = setting.margin_account[self.scope.instruments]
        _, self._first_instrument = np.unique(self._account_of_instrument, return_index=True)
        self._has_separate_wallet = has_separate_wallet(setting, self.scope.venue)
        self._reaction_probability = compute_event_probability(setting.dt, rule.reaction)
        self._replacement_probability = (
            compute_event_probability(setting.dt, rule.renewal) if rule.renewal else 0.0
        )
        self._withdrawal_probability = (
            compute_event_probability(setting.dt, rule.taking) if rule.taking else 0.0
        )
        self._reaction = np.full(len(self.start_wealth), CALM)
        # what members may still bring in
        self._outside_cash = rule.outside * self.start_wealth[:, self.scope.venue].astype(
            np.float64
        )
        self._tick, self._cash_flows, self._orders = MISSING, CashFlows.join([]), Orders.join([])

    def request_cash_flows(
        self, tick: int, accounts: AccountView, standing: MarginAssessment, draws: F8
    ) -> CashFlows:
        """Top-ups, newcomers' capital and gains taken out; see ``sim.protocols.PopulationProtocol``."""
        if tick != self._tick:
            self._tick = tick
            self._cash_flows = CashFlows.join(
                [
                    self._react_to_shortage(accounts, standing, draws),
                    self._replace_and_withdraw(accounts, draws),
                ]
            )
        return self._cash_flows

    def reaction_orders(self, outlook: Observation) -> Orders:
        """Reduce-only market orders of members who trim at this tick, and orders of those who hedge."""
        if outlook.tick != self._tick:
            return Orders.join([])
        return (
            self._orders if self.offsets is None else self.offsets.set_limits(self._orders, outlook)
        )

    def _react_to_shortage(
        self, accounts: AccountView, standing: MarginAssessment, draws: F8
    ) -> CashFlows:
        """Who is short of headroom, and what they do about it."""
        if self.policy.headroom is None:
            return CashFlows.join([])
        columns = self.scope.instruments
        initial, equity = standing.initial[:, columns], standing.equity[:, columns]
        wanted = (1 + self.policy.headroom) * initial
        short = (initial > 0) & (equity < wanted)
        if short.any():
            short &= (accounts.position[:, columns] != 0).any(axis=1, keepdims=True)
        if not short.any():
            self._reaction[:], self._orders = CALM, Orders.join([])
            return CashFlows.join([])
        acts = self._choose_reactions(np.any(short, axis=1), draws)
        share = np.divide(equity, wanted, out=np.ones_like(equity), where=short)
        hedging = self._hedge_positions(
            acts, accounts, share
        )  # also looks at who cannot, whether or not they act now
        if not acts.any():
            self._orders = Orders.join([])
            return CashFlows.join([])
        trimming = self._trim_positions(
            np.flatnonzero(acts & (self._reaction == TRIMS)), accounts, share
        )
        self._orders = Orders.join([trimming, hedging]) if hedging.owner.size else trimming
        self._reaction[hedging.owner] = TRIMS
        rows = np.flatnonzero(acts & (self._reaction == TOPS_UP))
        missing = to_exact_int(
            np.ceil(np.where(short, wanted - equity, 0.0)[rows][:, self._first_instrument])
        )
        return self._top_up_accounts(MarginShortage(rows, missing), accounts)

    def _choose_reactions(self, short: B1, draws: F8) -> B1:
        """Who acts now; dispositions are drawn as a shortage begins and forgotten when it ends."""
        fresh = short & (self._reaction == CALM)
        bars = itertools.accumulate((self.policy.trims, self.policy.tops_up, self.policy.hedges))
        drawn = TRIMS + sum(draws[:, REACTION_KIND_COLUMN] >= bar for bar in bars)
        self._reaction = np.where(fresh, drawn, np.where(short, self._reaction, CALM))
        acts: B1 = short & (draws[:, REACT_COLUMN] < self._reaction_probability)
        return acts

    def _hedge_positions(self, acts: B1, accounts: AccountView, share: F8) -> Orders:
        """What members of that mind offset; who has nothing to hedge with is of a mind to trim instead."""
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
        """What brings positions down to a share of themselves, (n, m), where that is less than one."""
        held = accounts.position[rows[:, None], self.scope.instruments]
        less = to_exact_int(np.ceil(np.abs(held) * (1 - np.maximum(share[rows], 0.0))))
        places, columns = np.nonzero(less)
        lots = -(np.sign(held) * less)[places, columns]
        return Orders.from_columns(
            rows[places], self.scope.instruments[columns], lots, 0, MARKET | REDUCE_ONLY
        )

    def _top_up_accounts(self, lacking: MarginShortage, accounts: AccountView) -> CashFlows:
        """From outside what wallets lack, as long as that lasts; under isolated netting on into the accounts."""
        rows, amount, venue = lacking.rows, lacking.amount, self.scope.venue
        wallet = (
            np.maximum(accounts.wallet[rows, venue, 0], 0)
            if self._has_separate_wallet
            else np.zeros(len(rows), np.int64)
        )
        brought = np.clip(
            amount.sum(axis=1) - wallet, 0, np.floor(self._outside_cash[rows])
        ).astype(np.int64)
        self._outside_cash[rows] -= brought
        deposits = CashFlows.from_columns(rows, venue, MISSING, brought)
        if not self._has_separate_wallet:
            return deposits
        spent = np.minimum(np.cumsum(amount, axis=1), (wallet + brought)[:, None])
        each = np.diff(spent, axis=1, prepend=0)
        places, columns = np.nonzero(each)
        instruments = self.scope.instruments[self._first_instrument[columns]]
        return CashFlows.join(
            [
                deposits,
                CashFlows.from_columns(rows[places], venue, instruments, each[places, columns]),
            ]
        )

    def _replace_and_withdraw(self, accounts: AccountView, draws: F8) -> CashFlows:
        """Newcomers in the seats of members who lost nearly all, and gains that winners take out; both are flat."""
        moves = draws[:, ENTRY_EXIT_COLUMN] < max(
            self._replacement_probability, self._withdrawal_probability
        )
        rows = np.flatnonzero(moves)
        rows = rows[(accounts.position[rows] == 0).all(axis=1)]
        if not rows.size:
            return CashFlows.join([])
        start, wealth = self.start_wealth[rows].sum(axis=1), accounts.equity[rows].sum(axis=1)
        ruined = rows[
            (wealth < self.policy.ruin * start)
            & (draws[rows, ENTRY_EXIT_COLUMN] < self._replacement_probability)
        ]
        rich = rows[
            (wealth >= self.policy.success * start)
            & (draws[rows, ENTRY_EXIT_COLUMN] < self._withdrawal_probability)
        ]
        self._outside_cash[ruined] = (
            self.policy.outside * self.start_wealth[ruined, self.scope.venue]
        )
        entering = np.maximum(self.start_wealth[ruined] - np.floor(accounts.equity[ruined]), 0)
        free = np.minimum(accounts.free_margin[rich], accounts.wallet[rich, :, 0])
        gains = self.policy.payout * np.maximum(accounts.equity[rich] - self.start_wealth[rich], 0)
        leaving = np.floor(np.minimum(gains, np.maximum(free, 0.0)))
        return CashFlows.join(
            [_split_by_venue(ruined, entering, 1), _split_by_venue(rich, -leaving, 0)]
        )


def _split_by_venue(rows: I8, amount: F8, fresh: int) -> CashFlows:
    """Payments of (r, V) amounts to and from outside."""
    count = amount.shape[1]
    owner, venue = np.repeat(rows, count), np.tile(np.arange(count), len(rows))
    return CashFlows.from_columns(owner, venue, MISSING, to_exact_int(amount).ravel(), fresh)
