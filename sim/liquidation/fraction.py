"""Close a fixed fraction, wait, look again."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.liquidation.base import NO_CLOSE_OUTS, LiquidationBase, build_close_outs
from sim.types import B1, F8, I8, CloseOuts, DistressHistory, Exposure, MarginAssessment


class FractionalCloseOut(LiquidationBase):
    """A share of every leg, then a cooldown; small or badly covered accounts are closed whole and at once.

    The defaults of share and cooldown are those of Hyperliquid's first stage (documentation, "Liquidations":
    20%, then 30 s); the close-out rule itself is generic: there, orders *during* the cooldown are whole.
    """

    kind: Literal["fraction"] = "fraction"
    share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="share of each leg closed at a time, at least one lot (1)",
    )
    cooldown: float = Field(
        default=30.0, ge=0, description="wait between partial close-outs of one account (s)"
    )
    full_below: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="equity over maintenance below which everything is closed at once (1)",
    )
    small: float = Field(
        default=0.0,
        ge=0,
        description="gross notional below which everything is closed at once (minor units of numeraire)",
    )

    def plan_close_outs(
        self, risk: MarginAssessment, distress: DistressHistory, book: Exposure, weights: F8
    ) -> CloseOuts:
        """Parts of the positions of those due, whole positions of those under a threshold; most distressed first."""
        tick = book.market.tick
        rows = self.find_due_accounts(risk, distress, tick)
        if not len(rows):
            return NO_CLOSE_OUTS
        rows = rows[
            self.has_cooled_down(distress, rows, tick, self.cooldown)
            | self.is_full_close_out(risk, book, rows)
        ]
        rows = self.select_most_distressed(rows, risk, distress, tick)
        position = book.position[rows]
        part = np.maximum(np.rint(self.share * np.abs(position)), 1).astype(np.int64)
        part = np.where(
            self.is_full_close_out(risk, book, rows)[:, None],
            np.abs(position),
            np.minimum(part, np.abs(position)),
        )
        return build_close_outs(book, risk.equity, weights, rows, -np.sign(position) * part)

    def is_full_close_out(self, risk: MarginAssessment, book: Exposure, rows: I8) -> B1:
        """Whether everything is closed, (n,): the bankrupt always."""
        uncovered = risk.equity[rows] < self.full_below * risk.maintenance[rows]
        gross = np.abs(book.take(rows).position_value()).sum(axis=1)
        whole: B1 = risk.bankrupt[rows] | uncovered | (gross < self.small)
        return whole
