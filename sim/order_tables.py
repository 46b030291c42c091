"""Tables of orders, trades, close-outs and transfers: frozen records with one row each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sim.arrays import B1, I8, NO_LEVERAGE_CHOSEN, Ints, broadcast_columns


class Orders(NamedTuple):
    """Orders, one row each.

    An order replaces one with the same owner, instrument and slot; quantity 0 cancels. An order
    that may open can choose its owner's leverage in the instrument, until another order changes it
    (ISO-1). In hedge mode the owner's row also names the side that the order acts on.
    """

    owner: I8  # row in the population when agents return it, global once collected
    instrument: I8
    quantity: I8  # lots, signed
    limit: I8  # ticks; ignored for MARKET
    kind: I8
    slot: I8
    # hundredths, from 100; 0 = as it is set, at first the highest; empty = all 0
    leverage: I8 = NO_LEVERAGE_CHOSEN

    @classmethod
    def from_columns(
        cls,
        owner: Ints,
        instrument: Ints,
        quantity: I8,
        limit: Ints,
        kind: Ints,
        slot: Ints = 0,
        leverage: Ints = 0,
    ) -> "Orders":
        """Return orders from columns; a single number is repeated."""
        return cls(*broadcast_columns(owner, instrument, quantity, limit, kind, slot, leverage))

    @classmethod
    def join(cls, parts: "Sequence[Orders]") -> "Orders":
        """Return several batches, one after another."""
        full = [part.fill_leverage() for part in parts if part.owner.size]
        if not full:
            return cls(*(np.empty(0, dtype=np.int64) for _ in cls._fields))
        return (
            full[0]
            if len(full) == 1
            else cls(*(np.concatenate(columns) for columns in zip(*full, strict=True)))
        )

    def fill_leverage(self) -> "Orders":
        """Return the same orders with a column of leverage."""
        return (
            self
            if self.leverage.size == self.owner.size
            else self._replace(leverage=np.zeros_like(self.owner))
        )

    def take(self, rows: I8 | B1 | slice) -> "Orders":
        """Return some of the orders."""
        return Orders(*(column[rows] for column in self.fill_leverage()))


class Fills(NamedTuple):
    """Trades, one row each."""

    taker: I8  # owner
    maker: I8  # owner
    instrument: I8
    quantity: I8  # lots, + the taker bought
    price: I8  # ticks
    close_out_id: I8  # MISSING for a voluntary trade

    @classmethod
    def from_table(cls, packed: I8) -> "Fills":
        """Return fills from a table (m, 6) of these columns.

        Columns are copied, because the order books write the next trades into the same table.
        """
        return cls(*packed.T.copy())


class CloseOuts(NamedTuple):
    """Close-outs that a liquidation policy plans."""

    account: I8  # row of the pool = owner
    instrument: I8  # column of the pool when planned, global once collected
    quantity: I8  # lots to trade, signed: opposite to the position
    limit: I8  # ticks
    route: I8  # ROUTE_BOOK or ROUTE_AUCTION

    @classmethod
    def empty(cls) -> "CloseOuts":
        """Return a plan that closes nothing."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(nothing, nothing, nothing, nothing, nothing)

    @classmethod
    def join(cls, parts: "Sequence[CloseOuts]") -> "CloseOuts":
        """Return several plans, one after another."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def take(self, rows: I8) -> "CloseOuts":
        """Return some of the close-outs."""
        return CloseOuts(*(column[rows] for column in self))


class Transfers(NamedTuple):
    """Cash transfers between accounts, one row each, posted with both signs."""

    source: I8  # (n,) owner
    target: I8  # (n,) owner
    source_pool: I8  # (n,) pool index
    target_pool: I8  # (n,) pool index
    asset: I8
    amount: I8  # minor units; negative = from target to source

    @classmethod
    def from_columns(
        cls,
        source: Ints,
        target: Ints,
        source_pool: Ints,
        target_pool: Ints,
        asset: Ints,
        amount: Ints,
    ) -> "Transfers":
        """Return transfers from columns; a single number is repeated."""
        return cls(*broadcast_columns(source, target, source_pool, target_pool, asset, amount))
