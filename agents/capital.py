"""How members manage capital: headroom, newcomers, and gains taken out (AGT-7)."""

import itertools
from typing import NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from agents.base import Stall, hazard
from agents.commitment import apart
from agents.offsets import Offsets
from sim.component import Component
from sim.flows import Payments
from sim.rounding import whole
from sim.types import B1, F8, I8, MARKET, NOBODY, REDUCE_ONLY, AccountView, Orders, Outlook, Risk, Setting

REACT, HOW, MOVE = range(3)
"""Columns of a step's draws for payments: whether a member reacts, how it is disposed, whether it comes or goes."""

WIDTH = 3

CALM, TRIMS, TOPS_UP, HEDGES, WAITS = range(5)
"""What a member does about its headroom."""


class Capital(Component):
    """What members do when headroom is short, and how capital enters and leaves.

    The measure of headroom is that of the account which margins a position: equity less initial margin, over initial
    margin. From below ``headroom`` until above it again a member is of one mind, drawn as the shortage begins, and
    acts on it after an exponential time: it trims its position or tops up the account until the measure is
    back at ``headroom``, or sells in another instrument what it would have trimmed (``agents.offsets``), and trims if
    that was not enough; the others wait for a margin call, or worse.
    """

    headroom: float | None = Field(
        0.05, ge=0, description="cushion over initial margin below which members react, none = never (share of initial)"
    )
    reaction: float = Field(3600.0, gt=0, description="mean time until they react (seconds)")
    trims: float = Field(0.5, ge=0, le=1, description="probability of trimming the position (probability)")
    tops_up: float = Field(0.2, ge=0, le=1, description="probability of topping up the account (probability)")
    hedges: float = Field(
        0.0, ge=0, le=1, description="probability of hedging, where the account has what with (probability)"
    )
    hedge_slippage: float = Field(20.0, ge=0, description="worst hedge accepted, distance from mark (basis points)")
    outside: float = Field(
        1.0, ge=0, le=1e12, description="all top-ups of a member together (times wealth at the start)"
    )
    ruin: float = Field(0.1, ge=0, lt=1, description="wealth at which a flat member's seat is free (share of start)")
    renewal: float | None = Field(
        None, gt=0, description="mean time until a free seat is taken, none = never (seconds)"
    )
    success: float = Field(
        3.0, gt=1, le=1e12, description="wealth from which a flat member takes gains out (times start)"
    )
    payout: float = Field(0.5, gt=0, le=1, description="part of its gains that it takes out (share)")
    taking: float | None = Field(None, gt=0, description="mean time until it does, none = never (seconds)")

    @model_validator(mode="after")
    def _dispositions(self) -> Self:
        """The probabilities of trimming, topping up and hedging must not exceed one in total."""
        if self.trims + self.tops_up + self.hedges > 1:
            told = f"trims: {self.trims:.15g}, tops_up {self.tops_up:.15g} and hedges {self.hedges:.15g}"
            raise ValueError(f"{told} are more than all members together, lower one or more")
        return self

    def bind(self, setting: Setting, stall: Stall, wealth: I8, *, hedged: bool = False) -> "Keeper":
        """The capital of members who start with ``wealth`` (n, V) minor units and trade at a stall.

        Members who are ``hedged`` as a matter of course have nothing more to hedge with.
        """
        offsets = Offsets.of(setting, stall, self.hedge_slippage) if self.hedges and not hedged else None
        return Keeper(self, setting, Purse(stall, wealth, offsets))


class Purse(NamedTuple):
    """What members have to manage."""

    stall: Stall
    start: I8  # (n, V) wealth they start with, minor units
    offsets: Offsets | None  # what they hedge with, None = nothing


class Lacking(NamedTuple):
    """The margin accounts of some members, g accounts at the stall's venue."""

    rows: I8  # (r,)
    amount: I8  # (r, g) minor units that bring each account's headroom back


class Keeper:
    """What members' capital is about to do; asked again at one tick, it answers the same."""

    def __init__(self, rule: Capital, setting: Setting, purse: Purse) -> None:
        self.rule = rule
        self.stall, self.start, self.offsets = purse
        self._account = setting.account[self.stall.instruments]
        _, self._first = np.unique(self._account, return_index=True)
        self._isolated = apart(setting, self.stall.venue)
        self._reacts = hazard(setting.dt, rule.reaction)
        self._renews = hazard(setting.dt, rule.renewal) if rule.renewal else 0.0
        self._takes = hazard(setting.dt, rule.taking) if rule.taking else 0.0
        self._mood = np.full(len(self.start), CALM)
        # what members may still bring in
        self._left = rule.outside * self.start[:, self.stall.venue].astype(np.float64)
        self._tick, self._answer, self._orders = NOBODY, Payments.join([]), Orders.join([])

    def pay(self, tick: int, accounts: AccountView, standing: Risk, draws: F8) -> Payments:
        """Top-ups, newcomers' capital and gains taken out; see ``sim.protocols.Population``."""
        if tick != self._tick:
            self._tick = tick
            self._answer = Payments.join([self._manage(accounts, standing, draws), self._come_and_go(accounts, draws)])
        return self._answer

    def orders(self, outlook: Outlook) -> Orders:
        """Reduce-only market orders of members who trim at this tick, and orders of those who hedge."""
        if outlook.tick != self._tick:
            return Orders.join([])
        return self._orders if self.offsets is None else self.offsets.limited(self._orders, outlook)

    def _manage(self, accounts: AccountView, standing: Risk, draws: F8) -> Payments:
        """Who is short of headroom, and what they do about it."""
        if self.rule.headroom is None:
            return Payments.join([])
        columns = self.stall.instruments
        initial, equity = standing.initial[:, columns], standing.equity[:, columns]
        wanted = (1 + self.rule.headroom) * initial
        short = (initial > 0) & (equity < wanted)
        if short.any():
            short &= (accounts.position[:, columns] != 0).any(axis=1, keepdims=True)
        if not short.any():
            self._mood[:], self._orders = CALM, Orders.join([])
            return Payments.join([])
        acts = self._moods(np.any(short, axis=1), draws)
        share = np.divide(equity, wanted, out=np.ones_like(equity), where=short)
        hedging = self._hedged(acts, accounts, share)  # also looks at who cannot, whether or not they act now
        if not acts.any():
            self._orders = Orders.join([])
            return Payments.join([])
        trimming = self._trimmed(np.flatnonzero(acts & (self._mood == TRIMS)), accounts, share)
        self._orders = Orders.join([trimming, hedging]) if hedging.owner.size else trimming
        self._mood[hedging.owner] = TRIMS
        rows = np.flatnonzero(acts & (self._mood == TOPS_UP))
        missing = whole(np.ceil(np.where(short, wanted - equity, 0.0)[rows][:, self._first]))
        return self._topped_up(Lacking(rows, missing), accounts)

    def _moods(self, short: B1, draws: F8) -> B1:
        """Who acts now; dispositions are drawn as a shortage begins and forgotten when it ends."""
        fresh = short & (self._mood == CALM)
        bars = itertools.accumulate((self.rule.trims, self.rule.tops_up, self.rule.hedges))
        drawn = TRIMS + sum(draws[:, HOW] >= bar for bar in bars)
        self._mood = np.where(fresh, drawn, np.where(short, self._mood, CALM))
        acts: B1 = short & (draws[:, REACT] < self._reacts)
        return acts

    def _hedged(self, acts: B1, accounts: AccountView, share: F8) -> Orders:
        """What members of that mind offset; who has nothing to hedge with is of a mind to trim instead."""
        hedging = self._mood == HEDGES
        if not hedging.any():
            return Orders.join([])
        if self.offsets is None:
            self._mood[hedging] = TRIMS
            return Orders.join([])
        able = hedging & self.offsets.able(accounts)
        self._mood[hedging & ~able] = TRIMS
        return self.offsets.orders(np.flatnonzero(acts & able), accounts, share)

    def _trimmed(self, rows: I8, accounts: AccountView, share: F8) -> Orders:
        """What brings positions down to a share of themselves, (n, m), where that is less than one."""
        held = accounts.position[rows[:, None], self.stall.instruments]
        less = whole(np.ceil(np.abs(held) * (1 - np.maximum(share[rows], 0.0))))
        places, columns = np.nonzero(less)
        lots = -(np.sign(held) * less)[places, columns]
        return Orders.of(rows[places], self.stall.instruments[columns], lots, 0, MARKET | REDUCE_ONLY)

    def _topped_up(self, lacking: Lacking, accounts: AccountView) -> Payments:
        """From outside what wallets lack, as long as that lasts; under isolated netting on into the accounts."""
        rows, amount, venue = lacking.rows, lacking.amount, self.stall.venue
        wallet = np.maximum(accounts.wallet[rows, venue, 0], 0) if self._isolated else np.zeros(len(rows), np.int64)
        brought = np.clip(amount.sum(axis=1) - wallet, 0, np.floor(self._left[rows])).astype(np.int64)
        self._left[rows] -= brought
        deposits = Payments.of(rows, venue, NOBODY, brought)
        if not self._isolated:
            return deposits
        spent = np.minimum(np.cumsum(amount, axis=1), (wallet + brought)[:, None])
        each = np.diff(spent, axis=1, prepend=0)
        places, columns = np.nonzero(each)
        instruments = self.stall.instruments[self._first[columns]]
        return Payments.join([deposits, Payments.of(rows[places], venue, instruments, each[places, columns])])

    def _come_and_go(self, accounts: AccountView, draws: F8) -> Payments:
        """Newcomers in the seats of members who lost nearly all, and gains that winners take out; both are flat."""
        moves = draws[:, MOVE] < max(self._renews, self._takes)
        rows = np.flatnonzero(moves)
        rows = rows[(accounts.position[rows] == 0).all(axis=1)]
        if not rows.size:
            return Payments.join([])
        start, wealth = self.start[rows].sum(axis=1), accounts.equity[rows].sum(axis=1)
        ruined = rows[(wealth < self.rule.ruin * start) & (draws[rows, MOVE] < self._renews)]
        rich = rows[(wealth >= self.rule.success * start) & (draws[rows, MOVE] < self._takes)]
        self._left[ruined] = self.rule.outside * self.start[ruined, self.stall.venue]
        entering = np.maximum(self.start[ruined] - np.floor(accounts.equity[ruined]), 0)
        free = np.minimum(accounts.headroom[rich], accounts.wallet[rich, :, 0])
        gains = self.rule.payout * np.maximum(accounts.equity[rich] - self.start[rich], 0)
        leaving = np.floor(np.minimum(gains, np.maximum(free, 0.0)))
        return Payments.join([_by_venue(ruined, entering, 1), _by_venue(rich, -leaving, 0)])


def _by_venue(rows: I8, amount: F8, fresh: int) -> Payments:
    """Payments of (r, V) amounts to and from outside."""
    count = amount.shape[1]
    owner, venue = np.repeat(rows, count), np.tile(np.arange(count), len(rows))
    return Payments.of(owner, venue, NOBODY, whole(amount).ravel(), fresh)
