"""Wallets that members keep committed to their margin accounts, where the two lie apart (ISO-1)."""

from typing import NamedTuple, Self

import numpy as np

from sim.cash_flows import CashFlows
from sim.types import B1, F8, I8, AccountView, MarginAssessment, MarketSpec, Observation


def has_separate_wallet(setting: MarketSpec, venue: int) -> bool:
    """Whether an owner's wallet at a venue lies apart from its margin accounts there (ISO-1)."""
    several = np.unique(setting.margin_account[setting.contracts.venue == venue]).size > 1
    return several or (
        setting.has_separate_wallet is not None and bool(setting.has_separate_wallet[venue])
    )


class WalletCommitment(NamedTuple):
    """The margin accounts that members of a population divide their wallets among, g accounts of one venue.

    Before they decide in a step, members pay all that lies in their wallets into these accounts, so that the poorest
    come level first. What an account without position and order does not need is back after trading.
    """

    venue: int
    instruments: I8  # (g,) one instrument of each account, global; or (n, 1), each member's own

    @classmethod
    def from_instruments(cls, setting: MarketSpec, venue: int, instruments: I8) -> Self | None:
        """Accounts of what is traded at a venue, (m,) instruments or each member's own (n, 1).

        None where wallets and margin accounts are one.
        """
        if not has_separate_wallet(setting, venue):
            return None
        if instruments.ndim == 1:
            _, first = np.unique(setting.margin_account[instruments], return_index=True)
            instruments = instruments[first]
        return cls(venue, instruments)

    def available_cash(self, outlook: Observation, accounts: AccountView) -> I8:
        """What wallets can give, (n,) minor units: no more than lies there, nor than they are worth."""
        wallet = accounts.wallet[:, self.venue]
        worth = np.minimum(np.floor(wallet @ outlook.venues[self.venue].price), wallet[:, 0])
        return np.maximum(worth, 0.0).astype(np.int64)

    def commit_wallets(
        self,
        outlook: Observation,
        accounts: AccountView,
        standing: MarginAssessment,
        open_to: B1 | None = None,
    ) -> CashFlows:
        """Payments of whole wallets into accounts.

        Args:
            outlook: what agents see.
            accounts: their own accounts.
            standing: the last verdict on the account that margins each instrument.
            open_to: (n, g) accounts that are paid into; None = all.
        """
        cash = self.available_cash(outlook, accounts)
        rows = np.flatnonzero((cash > 0) & (True if open_to is None else open_to.any(axis=1)))
        if not rows.size:
            return CashFlows.join([])
        instruments = np.broadcast_to(self.instruments, (len(cash), self.instruments.shape[-1]))[
            rows
        ]
        equity = standing.equity[rows[:, None], instruments]
        if open_to is not None:
            equity = np.where(open_to[rows], equity, np.inf)
        amount = allocate_cash(cash[rows], equity)
        owner = np.repeat(rows, instruments.shape[1])
        return CashFlows.from_columns(owner, self.venue, instruments.ravel(), amount.ravel())


def allocate_cash(cash: I8, equity: F8) -> I8:
    """What each account receives of its owner's cash (r,) so that the poorest come level, (r, g) whole minor units.

    The level is the least of what the j poorest would come to if they shared the cash alone, over all j.
    """
    poorest = np.cumsum(np.sort(equity, axis=1), axis=1)
    level = ((cash[:, None] + poorest) / np.arange(1, equity.shape[1] + 1)).min(
        axis=1, keepdims=True
    )
    return np.floor(np.maximum(level - equity, 0.0)).astype(np.int64)
