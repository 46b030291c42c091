"""Commitment of wallets to margin accounts, where the two are separate (ISO-1)."""

from typing import NamedTuple, Self

import numpy as np

from agents.compiled import commitment as kernels
from agents.compiled.commitment import allocate_cash, list_available_cash
from sim.cash_flows import CashFlows
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import B1, I8, AccountView, MarginAssessment, MarketSpec, Observation


def has_separate_wallet(spec: MarketSpec, venue: int) -> bool:
    """Return True if wallets at a venue are separate from margin accounts there (ISO-1)."""
    several = np.unique(spec.margin_account[spec.contracts.venue == venue]).size > 1
    return several or (
        spec.has_separate_wallet is not None and bool(spec.has_separate_wallet[venue])
    )


class WalletCommitment(NamedTuple):
    """Margin accounts among which members divide their wallets, g accounts of one venue.

    Before they decide in a step, members pay their whole wallets into these accounts. The
    accounts with the least equity are levelled up first. After trading, an account without
    positions or orders returns its cash to the wallet.
    """

    venue: int
    instruments: I8  # (g,) one of each account, global numbers; or (n, 1), one per member

    @classmethod
    def from_instruments(cls, spec: MarketSpec, venue: int, instruments: I8) -> Self | None:
        """Return the accounts of instruments, (m,) shared by all members or (n, 1) per member.

        None if wallets and margin accounts are not separate.
        """
        if not has_separate_wallet(spec, venue):
            return None
        if instruments.ndim == 1:
            _, first = np.unique(spec.margin_account[instruments], return_index=True)
            instruments = instruments[first]
        return cls(venue, instruments)

    def available_cash(self, observation: Observation, accounts: AccountView) -> I8:
        """Return the cash that wallets can pay, (n,) minor units.

        It is the smaller of the numeraire balance and the value of the wallet.
        """
        wallets = accounts.wallet[:, self.venue]
        return list_available_cash(wallets, observation.venues[self.venue].price)

    def commit_wallets(
        self,
        observation: Observation,
        accounts: AccountView,
        assessment: MarginAssessment,
        open_to: B1 | None = None,
    ) -> CashFlows:
        """Return payments of whole wallets into margin accounts.

        Args:
            observation: market data that agents see.
            accounts: the members' own accounts.
            assessment: last assessment of the account that margins each instrument.
            open_to: (n, g) accounts that receive payments; None = all.
        """
        cash = self.available_cash(observation, accounts)
        rows = np.flatnonzero((cash > 0) & (True if open_to is None else open_to.any(axis=1)))
        if not rows.size:
            return CashFlows.join([])
        instruments = np.broadcast_to(self.instruments, (len(cash), self.instruments.shape[-1]))[
            rows
        ]
        equity = assessment.equity[rows[:, None], instruments]
        if open_to is not None:
            equity = np.where(open_to[rows], equity, np.inf)
        amount = allocate_cash(cash[rows], equity)
        owner = np.repeat(rows, instruments.shape[1])
        return CashFlows.from_columns(owner, self.venue, instruments.ravel(), amount.ravel())

    def bind_payments(
        self, step: StepArrays, members: slice, is_open: B1 | None = None
    ) -> BoundKernel:
        """Return the kernel of :meth:`commit_wallets`.

        Args:
            step: arrays of the market.
            members: owners.
            is_open: (n, g) accounts that receive payments in the present step; None = all.
        """
        return bind_kernel(
            kernels.commit_wallets,
            step.payments,
            step.counters,
            members.start,
            members.stop - members.start,
            self.venue,
            step.market.venues[self.venue].wallet_pool,
            step.ledger.balance,
            step.price,
            np.atleast_2d(self.instruments),
            step.market.ledger.pool_numbers,
            step.assessed,
            np.ones((1, 1), dtype=np.bool_) if is_open is None else is_open,
        )
