"""What all auto-deleveraging shares: counterparties, fills at the mark, the cash that settles the deficit."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sim.types import F8, I8, NOBODY, Fills, Floor, Relief, Residual
from sim.waterfall.allocation import largest_remainder, share_out
from sim.waterfall.relief import NO_FILLS


class Side(NamedTuple):
    """Who may be deleveraged against one leg of a bankrupt account."""

    floor: Floor
    instrument: int  # column of the pool
    rows: I8  # (n,) accounts with an opposite position, ascending
    lots: I8  # (n,) lots they hold, unsigned
    limit: I8  # (n,) lots they may lose: no more than they hold, nor than they can pay for

    def paid(self) -> F8:
        """Value paid for each position, unsigned, (n,) minor units of the settle asset, at least one."""
        paid: F8 = np.maximum(np.abs(self.floor.book.entry[self.rows, self.instrument]), 1).astype(np.float64)
        return paid

    def worth(self) -> F8:
        """Value of each position at the mark, unsigned, (n,) minor units of the settle asset."""
        market = self.floor.book.market
        worth: F8 = self.lots * (market.mark[self.instrument] * market.contracts.multiplier[self.instrument])
        return worth

    def profit(self) -> F8:
        """Unrealised profit of each position, (n,) minor units of the settle asset."""
        sign = np.sign(self.floor.book.position[self.rows, self.instrument])
        profit: F8 = sign * (self.worth() - self.paid())
        return profit


Choose = Callable[[Side, int], I8]
"""(counterparties, lots wanted) -> lots each loses, (n,), no more than its limit, together no more than wanted."""


def deleverage(loss: Residual, floor: Floor, choose: Choose) -> Relief:
    """Close a bankrupt account's legs against the opposite positions that ``choose`` names (LOSS-2).

    Fills are at the mark. Each counterparty also pays, in the numeraire, its part of the leg's deficit: pro rata to
    lots taken, by largest remainder. Together that is a fill at the bankruptcy price, exact to the unit. Of a leg
    taken in part, the same part of the deficit is paid, rounded down.

    Nobody is flipped or enlarged, and nobody pays more than its equity: whoever cannot pay for all its lots
    loses fewer. What an account pays for one leg is no longer there for the next.
    """
    means = np.where(floor.eligible, np.floor(np.maximum(floor.risk.equity, 0)), 0).astype(np.int64)
    fills, dues = [], np.zeros(len(means), dtype=np.int64)
    for instrument, quantity, deficit in zip(*(column.tolist() for column in loss[1:]), strict=True):
        if not quantity:
            continue
        side = _side(floor, instrument, quantity, means - dues, deficit)
        lots = choose(side, abs(quantity))
        taken = int(lots.sum())
        if taken:
            dues[side.rows] += largest_remainder(deficit * taken // abs(quantity), lots)
        fills.append(_fills(loss.account, side, -np.sign(quantity) * lots))
    payers = np.flatnonzero(dues)
    return Relief(_join(fills), payers, dues[payers])


def _side(floor: Floor, instrument: int, quantity: int, means: I8, deficit: int) -> Side:
    """The counterparties of one leg and what each may lose."""
    position = floor.book.position[:, instrument]
    rows = np.flatnonzero(((position < 0) if quantity > 0 else (position > 0)) & (means > 0))
    lots = np.abs(position[rows])
    if not deficit:
        return Side(floor, instrument, rows, lots, lots)
    # a payer's due is its exact part rounded up at worst, so means >= the exact part is enough
    affordable, _ = share_out(np.minimum(means[rows], deficit), abs(quantity), deficit)
    return Side(floor, instrument, rows, lots, np.minimum(lots, affordable))


def _fills(account: int, side: Side, quantity: I8) -> Fills:
    """Trades of the bankrupt account, one per counterparty that loses lots."""
    some = np.flatnonzero(quantity)
    price = int(side.floor.book.market.mark[side.instrument])
    taker, instrument, prices, cause = (
        np.full(len(some), number, dtype=np.int64) for number in (account, side.instrument, price, NOBODY)
    )
    return Fills(taker, side.rows[some], instrument, quantity[some], prices, cause)


def _join(fills: list[Fills]) -> Fills:
    """Trades of several legs, one after another."""
    return Fills(*(np.concatenate(columns) for columns in zip(NO_FILLS, *fills, strict=True)))
