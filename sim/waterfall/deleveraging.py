"""What all auto-deleveraging shares: counterparties, fills at the mark, the cash that settles the deficit."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import B1, F8, I8, MISSING, Fills
from sim.waterfall.allocation import allocate_largest_remainder, scale_with_remainders
from sim.waterfall.layer_results import NO_FILLS


class Counterparties(NamedTuple):
    """Who may be deleveraged against one leg of a bankrupt account."""

    context: LayerContext
    instrument: int  # column of the pool
    rows: I8  # (n,) accounts with an opposite position, ascending
    lots: I8  # (n,) lots they hold, unsigned
    limit: I8  # (n,) lots they may lose: no more than they hold, nor than they can pay for

    def take(self, some: B1) -> "Counterparties":
        """Some of them."""
        return self._replace(rows=self.rows[some], lots=self.lots[some], limit=self.limit[some])

    def entry_value(self) -> F8:
        """Value paid for each position, unsigned, (n,) minor units of the settle asset, at least one."""
        paid: F8 = np.maximum(
            np.abs(self.context.accounts.entry[self.rows, self.instrument]), 1
        ).astype(np.float64)
        return paid

    def position_value(self) -> F8:
        """Value of each position at the mark, unsigned, (n,) minor units of the settle asset."""
        market = self.context.accounts.market
        worth: F8 = self.lots * (
            market.mark[self.instrument] * market.contracts.multiplier[self.instrument]
        )
        return worth

    def unrealised_profit(self) -> F8:
        """Unrealised profit of each position, (n,) minor units of the settle asset."""
        sign = np.sign(self.context.accounts.position[self.rows, self.instrument])
        profit: F8 = sign * (self.position_value() - self.entry_value())
        return profit


class DuePayments:
    """What others owe for the legs of one bankrupt account that are closed, of those alone who owe anything."""

    def __init__(self) -> None:
        self.rows: I8 = np.empty(0, dtype=np.int64)  # (n,) ascending
        self.amounts: I8 = np.empty(0, dtype=np.int64)  # (n,) minor units of the numeraire

    def amounts_due(self, rows: I8) -> I8:
        """Return what some accounts owe, (n,)."""
        owed = np.zeros(len(rows), dtype=np.int64)
        if len(self.rows):
            at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
            known = self.rows[at] == rows
            owed[known] = self.amounts[at[known]]
        return owed

    def add(self, rows: I8, amounts: I8) -> None:
        """Add what accounts owe for one more leg; each row stands once."""
        some = np.flatnonzero(amounts)
        joined = np.concatenate((self.rows, rows[some]))
        self.rows, place = np.unique(joined, return_inverse=True)
        total = np.zeros(len(self.rows), dtype=np.int64)
        np.add.at(total, place, np.concatenate((self.amounts, amounts[some])))
        self.amounts = total


class BankruptLeg(NamedTuple):
    """One leg of a bankrupt account, to be closed against others."""

    context: LayerContext
    instrument: int  # column of the pool
    quantity: int  # lots held, signed, not nil
    deficit: int  # minor units of the numeraire
    dues: DuePayments  # what others already owe for the account's other legs

    @property
    def lots_to_close(self) -> int:
        """Lots to be taken over."""
        return abs(self.quantity)

    def find_counterparties(self, rows: I8 | None = None) -> Counterparties:
        """The counterparties, of everybody or among ``rows``, ascending, and what each may lose."""
        floor, column = self.context, self.context.accounts.position[:, self.instrument]
        if rows is None:
            rows = np.flatnonzero(
                ((column < 0) if self.quantity > 0 else (column > 0)) & floor.is_eligible
            )
        else:
            held = column[rows]
            rows = rows[((held < 0) if self.quantity > 0 else (held > 0)) & floor.is_eligible[rows]]
        means = np.floor(floor.assessment.equity[rows]).astype(np.int64) - self.dues.amounts_due(
            rows
        )
        rows, means = rows[means > 0], means[means > 0]
        lots = np.abs(column[rows])
        limit = lots.copy()
        # a due is its exact part of the deficit rounded up at worst: whole means that reach that part are enough
        poor = np.flatnonzero(means <= lots * (self.deficit / self.lots_to_close) + 1)
        if self.deficit and len(poor):
            affordable, _ = scale_with_remainders(
                np.minimum(means[poor], self.deficit), self.lots_to_close, self.deficit
            )
            limit[poor] = np.minimum(limit[poor], affordable)
        return Counterparties(floor, self.instrument, rows, lots, limit)


ChooseFunction = Callable[[BankruptLeg], tuple[Counterparties, I8]]
"""Counterparties, and the lots each loses, (n,), no more than its limit, together no more than wanted."""


def deleverage_account(loss: Shortfall, floor: LayerContext, choose: ChooseFunction) -> LayerResult:
    """Close a bankrupt account's legs against the opposite positions that ``choose`` names (LOSS-2).

    Fills are at the mark. Each counterparty also pays, in the numeraire, its part of the leg's deficit: pro rata to
    lots taken, by largest remainder. Together that is a fill at the bankruptcy price, exact to the unit. Of a leg
    taken in part, the same part of the deficit is paid, rounded down.

    Nobody is flipped or enlarged, and nobody pays more than its equity: whoever cannot pay for all its lots
    loses fewer. What an account pays for one leg is no longer there for the next.
    """
    fills, dues = [], DuePayments()
    for instrument, quantity, deficit in zip(
        *(column.tolist() for column in loss[1:]), strict=True
    ):
        if not quantity:
            continue
        side, lots = choose(BankruptLeg(floor, instrument, quantity, deficit, dues))
        some = np.flatnonzero(lots)
        rows, lots = side.rows[some], lots[some]
        dues.add(rows, allocate_largest_remainder(deficit * int(lots.sum()) // abs(quantity), lots))
        fills.append(_build_fills(loss.account, side, rows, lots if quantity < 0 else -lots))
    return LayerResult(_join_fills(fills), dues.rows, dues.amounts)


def _build_fills(account: int, side: Counterparties, rows: I8, quantity: I8) -> Fills:
    """Trades of the bankrupt account with each of ``rows``, at the mark."""
    price = int(side.context.accounts.market.mark[side.instrument])
    taker, instrument, prices, cause = (
        np.full(len(rows), number, dtype=np.int64)
        for number in (account, side.instrument, price, MISSING)
    )
    return Fills(taker, rows, instrument, quantity, prices, cause)


def _join_fills(fills: list[Fills]) -> Fills:
    """Trades of several legs, one after another."""
    return Fills(*(np.concatenate(columns) for columns in zip(NO_FILLS, *fills, strict=True)))
