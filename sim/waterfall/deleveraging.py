"""Base of auto-deleveraging: counterparties, fills at the mark, and payments of the deficit."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import B1, F8, I8, MISSING, Fills
from sim.waterfall.allocation import allocate_largest_remainder, scale_with_remainders
from sim.waterfall.layer_results import NO_FILLS


class Counterparties(NamedTuple):
    """Accounts that may be deleveraged against one leg of a bankrupt account."""

    context: LayerContext
    instrument: int  # column of the pool
    rows: I8  # (n,) accounts with an opposite position, ascending
    lots: I8  # (n,) lots they hold, unsigned
    limit: I8  # (n,) lots they may lose: no more than they hold or can pay for

    def take(self, selected: B1) -> "Counterparties":
        """Return some of the counterparties."""
        return self._replace(
            rows=self.rows[selected], lots=self.lots[selected], limit=self.limit[selected]
        )

    def entry_value(self) -> F8:
        """Return the unsigned entry value of each position, (n,) minor units of the settle asset.

        It is at least one.
        """
        paid: F8 = np.maximum(
            np.abs(self.context.accounts.entry[self.rows, self.instrument]), 1
        ).astype(np.float64)
        return paid

    def position_value(self) -> F8:
        """Return the unsigned value of each position at the mark, (n,) settle asset minor units."""
        market = self.context.accounts.market
        worth: F8 = self.lots * (
            market.mark[self.instrument] * market.contracts.multiplier[self.instrument]
        )
        return worth

    def unrealised_profit(self) -> F8:
        """Return the unrealised profit of each position, (n,) minor units of the settle asset."""
        sign = np.sign(self.context.accounts.position[self.rows, self.instrument])
        profit: F8 = sign * (self.position_value() - self.entry_value())
        return profit


class DuePayments:
    """Payments that counterparties owe for the closed legs of one bankrupt account.

    Only accounts that owe something are listed.
    """

    def __init__(self) -> None:
        self.rows: I8 = np.empty(0, dtype=np.int64)  # (n,) ascending
        self.amounts: I8 = np.empty(0, dtype=np.int64)  # (n,) minor units of the numeraire

    def amounts_due(self, rows: I8) -> I8:
        """Return the amounts that some accounts owe, (n,)."""
        owed = np.zeros(len(rows), dtype=np.int64)
        if len(self.rows):
            place = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
            is_listed = self.rows[place] == rows
            owed[is_listed] = self.amounts[place[is_listed]]
        return owed

    def add(self, rows: I8, amounts: I8) -> None:
        """Add the amounts that accounts owe for one more leg; each row occurs once."""
        paying = np.flatnonzero(amounts)
        joined = np.concatenate((self.rows, rows[paying]))
        self.rows, place = np.unique(joined, return_inverse=True)
        total = np.zeros(len(self.rows), dtype=np.int64)
        np.add.at(total, place, np.concatenate((self.amounts, amounts[paying])))
        self.amounts = total


class BankruptLeg(NamedTuple):
    """Leg of a bankrupt account that is closed against counterparties."""

    context: LayerContext
    instrument: int  # column of the pool
    quantity: int  # lots held, signed, not zero
    deficit: int  # minor units of the numeraire
    dues: DuePayments  # amounts already due for the account's other legs

    @property
    def lots_to_close(self) -> int:
        """Return the unsigned lots to be closed."""
        return abs(self.quantity)

    def find_counterparties(self, rows: I8 | None = None) -> Counterparties:
        """Return the counterparties and their limits.

        They are searched among all accounts, or among ``rows`` (ascending).
        """
        context = self.context
        position = context.accounts.position[:, self.instrument]
        if rows is None:
            rows = np.flatnonzero(self._is_opposite(position) & context.is_eligible)
        else:
            rows = rows[self._is_opposite(position[rows]) & context.is_eligible[rows]]
        equity = np.floor(context.assessment.equity[rows]).astype(np.int64)
        means = equity - self.dues.amounts_due(rows)
        rows, means = rows[means > 0], means[means > 0]
        lots = np.abs(position[rows])
        limit = lots.copy()
        # a payment is the exact part of the deficit, rounded up at most: means of that part suffice
        poor = np.flatnonzero(means <= lots * (self.deficit / self.lots_to_close) + 1)
        if self.deficit and len(poor):
            affordable, _ = scale_with_remainders(
                np.minimum(means[poor], self.deficit), self.lots_to_close, self.deficit
            )
            limit[poor] = np.minimum(limit[poor], affordable)
        return Counterparties(context, self.instrument, rows, lots, limit)

    def _is_opposite(self, position: I8) -> B1:
        """Return whether positions are opposite to the leg."""
        is_opposite: B1 = (position < 0) if self.quantity > 0 else (position > 0)
        return is_opposite


ChooseFunction = Callable[[BankruptLeg], tuple[Counterparties, I8]]
"""Function that returns counterparties and the lots each loses, (n,).

No counterparty loses more than its limit, nor all together more than the lots to close.
"""


def deleverage_account(
    loss: Shortfall, context: LayerContext, choose: ChooseFunction
) -> LayerResult:
    """Close a bankrupt account's legs against the positions that ``choose`` returns (LOSS-2).

    Fills are at the mark. Each counterparty also pays, in the numeraire, its part of the leg's
    deficit: in proportion to lots taken, by largest remainder. Together that is a fill at the
    bankruptcy price, exact to the unit. If a leg is taken in part, the same part of the deficit is
    paid, rounded down.

    No position is reversed or enlarged, and no account pays more than its equity. An account that
    cannot pay for all its lots loses fewer. Money paid for one leg is no longer available for the
    next.
    """
    fills, dues = [], DuePayments()
    for instrument, quantity, deficit in zip(
        *(column.tolist() for column in loss[1:]), strict=True
    ):
        if not quantity:
            continue
        side, lots = choose(BankruptLeg(context, instrument, quantity, deficit, dues))
        losing = np.flatnonzero(lots)
        rows, lots = side.rows[losing], lots[losing]
        dues.add(rows, allocate_largest_remainder(deficit * int(lots.sum()) // abs(quantity), lots))
        fills.append(_build_fills(loss.account, side, rows, lots if quantity < 0 else -lots))
    return LayerResult(_join_fills(fills), dues.rows, dues.amounts)


def _build_fills(account: int, side: Counterparties, rows: I8, quantity: I8) -> Fills:
    """Return the trades of the bankrupt account with each of ``rows``, at the mark."""
    price = int(side.context.accounts.market.mark[side.instrument])
    taker, instrument, prices, cause = (
        np.full(len(rows), number, dtype=np.int64)
        for number in (account, side.instrument, price, MISSING)
    )
    return Fills(taker, rows, instrument, quantity, prices, cause)


def _join_fills(fills: list[Fills]) -> Fills:
    """Return the trades of several legs, one after another."""
    return Fills(*(np.concatenate(columns) for columns in zip(NO_FILLS, *fills, strict=True)))
