"""Binding of capital management's kernels to the arrays of a market (AGT-7)."""

from typing import NamedTuple, Self

import numpy as np

from agents.base import TradingScope
from agents.compiled import capital as kernels
from agents.shared.take_back import TakeBack
from sim.arrays import U8
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel, chain_kernels
from sim.types import F8, I8, MISSING, Orders


class KeptOrders(NamedTuple):
    """Orders of members who react, kept for their decision in the same step, in place."""

    tick: I8  # (1,) tick at which they are sent
    number: I8  # (1,) orders, the first of the table
    table: I8  # (., 4) member, instrument, lots and kind

    @classmethod
    def allocate(cls, most: int) -> Self:
        """Return room for a number of orders."""
        tick, number = np.full(1, MISSING), np.zeros(1, dtype=np.int64)
        return cls(tick, number, np.zeros((most, 4), dtype=np.int64))

    def keep(self, orders: Orders) -> None:
        """Keep orders of this tick."""
        self.number[0] = orders.owner.size
        columns = (orders.owner, orders.instrument, orders.quantity, orders.kind)
        self.table[: orders.owner.size] = np.stack(columns, axis=1)

    def read(self) -> Orders:
        """Return the orders, without limits."""
        owner, instrument, quantity, kind = self.table[: self.number[0]].T.copy()
        return Orders.from_columns(owner, instrument, quantity, 0, kind)


class CapitalRule(NamedTuple):
    """Numbers of a policy; see ``agents.shared.capital.CapitalPolicy``."""

    buffer: float | None  # headroom below which members react, share of initial margin
    reaction_probability: float  # per step
    bars: F8  # (3,) cumulated probabilities of trimming, topping up and hedging
    thresholds: F8  # (2,) wealth of ruined and of rich members, times that at the start
    probabilities: F8  # (2,) of a replacement and of a withdrawal, per step
    outside_multiple: float
    withdrawal_share: float


class CapitalArrays(NamedTuple):
    """Members, and the state of their capital, in place; m instruments, g accounts."""

    scope: TradingScope
    start_wealth: I8  # (n, V) minor units
    hedge_instrument: I8  # (m,) hedge of each, MISSING = none
    first_instrument: I8  # (g,) index in the scope of the first instrument of each account
    take_back: TakeBack | None
    has_separate_wallet: bool
    reaction: I8  # (n,) see ``agents.compiled.capital``
    outside_cash: F8  # (n,) cash that members may still deposit
    kept_orders: KeptOrders


class CapitalBinding(NamedTuple):
    """Arrays of a market and of one population in it."""

    step: StepArrays
    first_owner: int
    name: str
    rule: CapitalRule
    arrays: CapitalArrays

    def bind(self) -> BoundKernel:
        """Return the kernel that sends the payments of one step."""
        last = self._list_last()
        if self.rule.buffer is None:
            return chain_kernels(*last)
        count, instruments = len(self.arrays.start_wealth), self.arrays.scope.instruments.size
        share, lacking = np.zeros((2, count, instruments))
        acting = (np.zeros(1, dtype=np.int64), np.zeros(count, dtype=np.int64))
        held = (self.first_owner, self.step.ledger.position, self.arrays.scope.instruments)
        hedges = (self.arrays.hedge_instrument, self.step.market.contracts.lot)
        shortages = bind_kernel(
            kernels.react_to_shortages,
            self._key,
            *held,
            self.step.market.ledger.pool_numbers[self.arrays.scope.instruments],
            self.step.assessed,
            float(self.rule.buffer),
            self.rule.reaction_probability,
            self.rule.bars,
            *hedges,
            self.arrays.reaction,
            *acting,
            share,
            lacking,
        )
        reactions = (self.arrays.reaction, *acting)
        keep = bind_kernel(
            kernels.keep_orders, *held, *hedges, *reactions, share, *self.arrays.kept_orders
        )
        return chain_kernels(shortages, keep, self._bind_top_ups(acting, lacking), *last)

    def _list_last(self) -> list[BoundKernel]:
        """Return the kernels of new members, withdrawals and margin taken back."""
        replace, take_back = self._bind_replacements(), self.arrays.take_back
        if take_back is None:
            return [replace]
        count = len(self.arrays.start_wealth)
        return [replace, take_back.bind_kernel(self.step, self._key, self.first_owner, count)]

    def _bind_top_ups(self, acting: tuple[I8, I8], lacking: F8) -> BoundKernel:
        """Return the kernel of members who top up now."""
        arrays = self.arrays
        return bind_kernel(
            kernels.top_up_accounts,
            *self._payments,
            arrays.scope.instruments,
            self.step.ledger.balance[0, self._wallet_pools[arrays.scope.venue]],
            int(arrays.has_separate_wallet),
            arrays.first_instrument,
            arrays.reaction,
            *acting,
            lacking,
            arrays.outside_cash,
        )

    @property
    def _key(self) -> U8:
        return self.step.market.streams.stream_key(f"pay/{self.name}")

    @property
    def _payments(self) -> tuple[I8, I8, int, int]:
        venue = self.arrays.scope.venue
        return self.step.payments, self.step.counters, self.first_owner, venue

    @property
    def _wallet_pools(self) -> I8:
        return np.array([venue.wallet_pool for venue in self.step.market.venues])

    def _bind_replacements(self) -> BoundKernel:
        """Return the kernel of new members and of withdrawals."""
        step, total = self.step, self.arrays.start_wealth.sum(axis=1)
        return bind_kernel(
            kernels.replace_and_withdraw,
            self._key,
            *self._payments,
            step.ledger.position,
            step.equity,
            step.free_margin,
            step.ledger.balance,
            self._wallet_pools,
            self.arrays.start_wealth,
            self.rule.thresholds[:, np.newaxis] * total,
            self.rule.probabilities,
            float(self.rule.outside_multiple),
            float(self.rule.withdrawal_share),
            self.arrays.outside_cash,
        )
