"""Postings of opening positions, and collateral of accounts apart from the wallet (ACC-1)."""

from collections.abc import Sequence

import numpy as np

from sim.accounts.opening import OpeningBook
from sim.accounts.positions import OpeningPositions
from sim.attribution import DEPOSIT
from sim.ledger import Ledger
from sim.types import B1, F8, I8, SPOT, Transfers
from sim.venue import Venue


def post_opening(
    book: OpeningBook, ledger: Ledger, venues: Sequence[Venue], *, by_position: bool
) -> None:
    """Post the positions of a table, and fund the margin accounts that are apart from wallets.

    Args:
        book: the opening accounts, whose deposits are in the wallets.
        ledger: in place.
        venues: venues of the market; their views receive the open interest.
        by_position: whether an account receives the collateral of its own rows.
    """
    positions = book.positions
    external = venues[0].system_accounts.external
    ledger.open_positions(
        positions.owner, positions.instrument, positions.lots, positions.entry, external
    )
    ledger.cap_leverage(positions.instrument, positions.owner, positions.leverage)
    for venue in venues:
        part = venue.instrument_slice
        interest = np.abs(ledger.position[part]).sum(axis=1) // 2
        venue.view = venue.view._replace(open_interest=interest)
        if venue.wallet_pool not in venue.pool_states:
            here = ledger.contracts.venue[positions.instrument] == venue.number
            own = OpeningPositions._make(column[here] for column in positions)
            _fund_accounts(own, ledger, venue, by_position=by_position)


class _MarginAccounts:
    """Margin accounts of one venue that hold opening positions, (A,), and their owners, (W,)."""

    def __init__(self, positions: OpeningPositions, ledger: Ledger) -> None:
        self.positions, self.ledger = positions, ledger
        pool = ledger.pool_numbers[positions.instrument]
        keys, self.account = np.unique(
            positions.owner * len(ledger.pools) + pool, return_inverse=True
        )
        self.owner, self.pool = keys // len(ledger.pools), keys % len(ledger.pools)
        self.owners, self.place = np.unique(self.owner, return_inverse=True)

    def sum_positions(self, amounts: F8 | I8 | B1) -> F8:
        """Return the sum of amounts of positions in each account, (A,)."""
        weights = amounts.astype(np.float64)
        totals: F8 = np.bincount(self.account, weights, self.owner.size).astype(np.float64)
        return totals

    def sum_accounts(self, amounts: F8) -> F8:
        """Return the sum of amounts of accounts of each owner, by account: (A,)."""
        totals: F8 = np.bincount(self.place, amounts, self.owners.size).astype(np.float64)
        return totals[self.place]

    def spot_cost(self) -> F8:
        """Return the cost of spot held in each account, (A,) minor units."""
        is_spot = self.ledger.contracts.kind[self.positions.instrument] == SPOT
        return self.sum_positions(
            np.where(is_spot & (self.positions.lots > 0), self.positions.entry, 0)
        )

    def is_leverage_stated(self) -> B1:
        """Return True for accounts in which every position has a chosen leverage, (A,)."""
        return self.sum_positions(np.isinf(self.positions.leverage)) == 0


def _fund_accounts(
    positions: OpeningPositions, ledger: Ledger, venue: Venue, *, by_position: bool
) -> None:
    """Move collateral from wallets into the accounts of a venue."""
    if not positions.owner.size:
        return
    accounts = _MarginAccounts(positions, ledger)
    cost = accounts.spot_cost()
    if by_position:
        margin = accounts.sum_positions(positions.collateral)
    else:
        cash = ledger.balance[0, venue.wallet_pool, accounts.owner].astype(np.float64)
        margin = _divide_collateral(accounts, venue, cash - accounts.sum_accounts(cost))
    amount = np.floor(cost + margin).astype(np.int64)
    moves = Transfers.from_columns(
        accounts.owner, accounts.owner, venue.wallet_pool, accounts.pool, 0, amount
    )
    ledger.transfer(moves, DEPOSIT)


def _divide_collateral(accounts: _MarginAccounts, venue: Venue, cash: F8) -> F8:
    """Return the collateral of each account, (A,), of an owner's wallet.

    Accounts with chosen leverage receive value at entry ÷ leverage, less if the wallet is short.
    The others receive the rest, in proportion to their initial margin.

    Args:
        accounts: the accounts.
        venue: their venue.
        cash: (A,) the whole collateral of each account's owner.
    """
    is_stated = accounts.is_leverage_stated()
    positions = accounts.positions
    wanted = accounts.sum_positions(np.abs(positions.entry) / positions.leverage) * is_stated
    total = accounts.sum_accounts(wanted)
    scale = np.minimum(1.0, np.divide(cash, total, out=np.ones_like(cash), where=total > 0))
    stated = wanted * np.maximum(scale, 0.0)
    rest = np.maximum(cash - accounts.sum_accounts(stated), 0.0)
    initial = _compute_initial(accounts, venue) * ~is_stated
    total = accounts.sum_accounts(initial)
    share = np.divide(initial, total, out=np.zeros_like(cash), where=total > 0)
    return stated + rest * share


def _compute_initial(accounts: _MarginAccounts, venue: Venue) -> F8:
    """Return the initial margin of each account, (A,)."""
    initial = np.zeros(accounts.owner.size)
    for state in venue.pool_states.values():
        mine = accounts.pool == state.pool.number
        if mine.any():
            held = venue.pool_accounts(state.pool).take(accounts.owner[mine])
            initial[mine] = state.engine.assess(held).initial
    return initial
