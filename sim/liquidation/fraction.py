"""Partial close-outs: a fixed fraction, then a cooldown."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.liquidation.base import NO_CLOSE_OUTS, LiquidationBase, build_close_outs
from sim.liquidation.compiled import (
    PlanArrays,
    bind_close_outs,
    bind_selection,
    find_whole_close_outs,
)
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import B1, F8, I8, CloseOuts, DistressHistory, Exposure, MarginAssessment


class FractionalCloseOut(LiquidationBase):
    """Close-out of a share of every leg, then a cooldown; small or badly covered accounts in full.

    The defaults of share and cooldown are those of Hyperliquid's first stage (documentation,
    "Liquidations": 20%, then 30 s). The close-out rule itself is generic: on Hyperliquid, orders
    *during* the cooldown close the whole position.
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
    full_below_coverage: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="equity over maintenance below which everything is closed at once (1)",
    )
    small_notional: float = Field(
        default=0.0,
        ge=0,
        description="gross notional below which everything is closed at once "
        "(minor units of numeraire)",
    )

    def plan_close_outs(
        self,
        assessment: MarginAssessment,
        distress: DistressHistory,
        accounts: Exposure,
        weights: F8,
    ) -> CloseOuts:
        """Plan parts of the positions of accounts due, or whole positions, most distressed first.

        Whole positions are closed below the thresholds and of bankrupt accounts.
        """
        tick = accounts.market.tick
        rows = self.find_due_accounts(assessment, distress, tick)
        if not len(rows):
            return NO_CLOSE_OUTS
        rows = rows[
            self.has_cooled_down(distress, rows, tick, self.cooldown)
            | self.is_full_close_out(assessment, accounts, rows)
        ]
        rows = self.select_most_distressed(rows, assessment, distress, tick)
        position = accounts.position[rows]
        part = np.maximum(np.rint(self.share * np.abs(position)), 1).astype(np.int64)
        part = np.where(
            self.is_full_close_out(assessment, accounts, rows)[:, None],
            np.abs(position),
            np.minimum(part, np.abs(position)),
        )
        return build_close_outs(
            accounts, assessment.equity, weights, rows, -np.sign(position) * part
        )

    def bind_plan(self, arrays: PlanArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`LiquidationBase`; a policy derived from this one has none by itself."""
        if type(self) is not FractionalCloseOut:
            return None
        steps = self._duration_in_steps
        return (
            bind_kernel(
                find_whole_close_outs,
                arrays.rows,
                arrays.n_rows,
                arrays.assessed,
                arrays.position,
                arrays.lot_value,
                float(self.full_below_coverage),
                float(self.small_notional),
                arrays.is_whole,
            ),
            bind_selection(arrays, steps(self.delay), steps(self.cooldown), self.capacity),
            bind_close_outs(arrays, float(self.share)),
        )

    def bind_offers(self, arrays: PlanArrays) -> tuple[BoundKernel, ...] | None:
        """Return no kernel: nothing is on offer."""
        return () if type(self) is FractionalCloseOut else None

    def is_full_close_out(self, assessment: MarginAssessment, accounts: Exposure, rows: I8) -> B1:
        """Return whether everything is closed, (n,): always if the account is bankrupt."""
        uncovered = (
            assessment.equity[rows] < self.full_below_coverage * assessment.maintenance[rows]
        )
        gross = np.abs(accounts.take(rows).position_value()).sum(axis=1)
        whole: B1 = assessment.bankrupt[rows] | uncovered | (gross < self.small_notional)
        return whole
