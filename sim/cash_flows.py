"""Record of deposits, withdrawals and margin transfers that owners request."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sim.types import B1, I8, broadcast_columns

NO_CASH_FLOWS: I8 = np.empty(0, dtype=np.int64)
NO_CASH_FLOWS.flags.writeable = False


class CashFlows(NamedTuple):
    """Cash that owners move, one row each, minor units of the numeraire (AGT-7).

    Without an instrument, cash moves from outside into the wallet at a venue, or back. With an
    instrument, it moves from the wallet into the account that margins the instrument, or back;
    nothing moves where the two are the same (ISO-1).
    """

    owner: I8  # row in the population when agents return it, global once collected
    venue: I8
    instrument: I8  # global, or MISSING
    amount: I8  # + towards the account, - the other way
    is_new_capital: I8  # 1 = capital of a new member, with an outside wealth of its own; else 0

    @classmethod
    def from_columns(
        cls, owner: int | I8, venue: int | I8, instrument: int | I8, amount: I8, fresh: int | I8 = 0
    ) -> "CashFlows":
        """Return payments from columns, without zero amounts; a single number is repeated."""
        return cls(*broadcast_columns(owner, venue, instrument, amount, fresh)).take(amount != 0)

    @classmethod
    def join(cls, parts: "Sequence[CashFlows]") -> "CashFlows":
        """Return several batches, one after another."""
        full = [part for part in parts if part.owner.size]
        return (
            cls(*(np.concatenate(parts) for parts in zip(*full, strict=True)))
            if full
            else cls(*[NO_CASH_FLOWS] * 5)
        )

    def take(self, rows: I8 | B1) -> "CashFlows":
        """Return some of the payments."""
        return CashFlows(*(column[rows] for column in self))
