"""Members who move excess margin from isolated accounts back into their wallets (AGT-7, ISO-1)."""

from typing import NamedTuple, Self

import numpy as np
from pydantic import Field

from agents.base import TradingScope, compute_event_probability
from agents.compiled.capital import ENTRY_EXIT_COLUMN
from agents.compiled.take_back import take_back_margin
from agents.shared.commitment import has_separate_wallet
from sim.arrays import U8
from sim.cash_flows import CashFlows
from sim.compiled.arrays import StepArrays
from sim.component import Component
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.rounding import to_exact_int
from sim.types import F8, I8, AccountView, MarginAssessment, MarketSpec, Observation


class TakeBackSettings(Component):
    """Settings of members who take excess margin back."""

    take_back_buffer: float | None = Field(
        None,
        ge=0,
        description="headroom beyond which members move margin from an isolated account back into "
        "the wallet, none = never (share of initial margin)",
    )
    take_back_time: float = Field(
        3600.0, gt=0, description="mean time until they take excess margin back (seconds)"
    )

    def check_take_back(self, margin_buffer: float | None) -> None:
        """Require that members keep more than what they pay in to restore.

        Raises:
            ValueError: they would pay in and take back in turn.
        """
        kept = self.take_back_buffer
        if kept is not None and margin_buffer is not None and kept <= margin_buffer:
            raise ValueError(
                f"take_back_buffer: {kept:.15g} is not above margin_buffer {margin_buffer:.15g}, "
                "raise it, or members pay in and take back in turn"
            )

    def bind_take_back(self, spec: MarketSpec, scope: TradingScope) -> "TakeBack | None":
        """Return the rule of members in a market, None if none of them takes margin back."""
        if self.take_back_buffer is None or not has_separate_wallet(spec, scope.venue):
            return None
        return TakeBack.bind(spec, scope, self.take_back_buffer, self.take_back_time)


class TakeBack(NamedTuple):
    """Excess margin that holders take back; m instruments in g accounts.

    An account keeps a buffer beyond the larger of its initial margin and its notional over the
    leverage chosen. Unrealised profit cannot be moved. Only members who hold a position draw.
    """

    scope: TradingScope
    first_instrument: I8  # (g,) index in the scope of the first instrument of each account
    account: I8  # (m,) account of each instrument
    buffer: float  # headroom that accounts keep, share of initial margin
    probability: float  # of acting in a step

    @classmethod
    def bind(cls, spec: MarketSpec, scope: TradingScope, buffer: float, time: float) -> Self:
        """Return the rule of members in a market; ``time`` is the mean until they act, seconds."""
        accounts = spec.margin_account[scope.instruments]
        _, first, account = np.unique(accounts, return_index=True, return_inverse=True)
        return cls(scope, first, account, buffer, compute_event_probability(spec.dt, time))

    def request(
        self,
        observation: Observation,
        accounts: AccountView,
        assessment: MarginAssessment,
        draws: F8,
    ) -> CashFlows:
        """Return transfers into wallets; ``draws`` are those of payments (AGT-7)."""
        columns, first = self.scope.instruments, self.scope.instruments[self.first_instrument]
        rows = np.flatnonzero(draws[:, ENTRY_EXIT_COLUMN] < self.probability)
        rows = rows[(accounts.position[rows[:, None], columns] != 0).any(axis=1)]
        own, gain = self._measure_accounts(rows, observation, accounts)
        at = rows[:, None]
        initial, equity = assessment.initial[at, first], assessment.equity[at, first]
        excess = equity - (1 + self.buffer) * np.maximum(initial, own)
        free = np.where(initial > 0, np.minimum(excess, equity - gain), 0.0)
        amount = to_exact_int(np.floor(np.maximum(free, 0.0)))
        members, places = np.nonzero(amount)
        return CashFlows.from_columns(
            rows[members], self.scope.venue, first[places], -amount[members, places]
        )

    def _measure_accounts(
        self, rows: I8, observation: Observation, accounts: AccountView
    ) -> tuple[F8, F8]:
        """Return what chosen leverage requires of accounts, and their unrealised gains, (r, g)."""
        own, gain = np.zeros((2, rows.size, self.first_instrument.size))
        view, places = self.scope.view(observation)
        lot_value, price = view.lot_value()[places], view.price[view.contracts.settle[places]]
        for j, k in enumerate(self.scope.instruments):
            held = accounts.position[rows, k]
            paid = accounts.entry[rows, k] * price[j]
            worth = np.minimum(np.abs(paid), np.abs(held) * lot_value[j])
            own[:, self.account[j]] += worth / accounts.leverage[rows, k]
            gain[:, self.account[j]] += held * lot_value[j] - paid
        return own, gain

    def bind_kernel(self, step: StepArrays, key: U8, first_owner: int, members: int) -> BoundKernel:
        """Return the kernel of :meth:`request`.

        Args:
            step: arrays of the market.
            key: key of the stream of payments.
            first_owner: owner of the first member.
            members: number of members.
        """
        instruments = self.scope.instruments
        return bind_kernel(
            take_back_margin,
            key,
            step.payments,
            step.counters,
            first_owner,
            self.scope.venue,
            instruments,
            step.market.ledger.pool_numbers[instruments],
            self.first_instrument,
            self.account,
            step.ledger.position,
            step.ledger.entry,
            step.ledger.leverage,
            step.assessed,
            step.lot_value,
            step.quote_price,
            members,
            self.buffer,
            self.probability,
        )
