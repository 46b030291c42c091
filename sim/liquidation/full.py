"""Full close-outs: the whole account at once."""

from typing import Literal

from pydantic import Field

from sim.liquidation.base import NO_CLOSE_OUTS, LiquidationBase, build_close_outs
from sim.liquidation.compiled import PlanArrays, bind_close_outs, bind_selection, choose_whole
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import F8, CloseOuts, DistressHistory, Exposure, MarginAssessment


class FullCloseOut(LiquidationBase):
    """Close-out of every leg of a liquidatable account, IOC at its bankruptcy price (LIQ-2).

    Each call plans an account at most once. Without a cooldown, an account whose close-out found no
    liquidity is planned again in the next round. The market ends its rounds when one of them fills
    nothing, so that such an account costs one round and not ``max_rounds``.
    """

    kind: Literal["full"] = "full"
    cooldown: float = Field(
        default=0.0, ge=0, description="wait between close-outs of one account; 0: every round (s)"
    )

    def plan_close_outs(
        self,
        assessment: MarginAssessment,
        distress: DistressHistory,
        accounts: Exposure,
        weights: F8,
    ) -> CloseOuts:
        """Plan whole positions of accounts due, most distressed first."""
        tick = accounts.market.tick
        rows = self.find_due_accounts(assessment, distress, tick)
        if not len(rows):
            return NO_CLOSE_OUTS
        rows = rows[self.has_cooled_down(distress, rows, tick, self.cooldown)]
        rows = self.select_most_distressed(rows, assessment, distress, tick)
        return build_close_outs(
            accounts, assessment.equity, weights, rows, -accounts.position[rows]
        )

    def bind_plan(self, arrays: PlanArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`LiquidationBase`; a policy derived from this one has none by itself."""
        return self._bind_whole_close_outs(arrays) if type(self) is FullCloseOut else None

    def bind_offers(self, arrays: PlanArrays) -> tuple[BoundKernel, ...] | None:
        """Return no kernel: nothing is on offer."""
        return () if type(self) is FullCloseOut else None

    def _bind_whole_close_outs(self, arrays: PlanArrays) -> tuple[BoundKernel, ...]:
        steps = self._duration_in_steps
        return (
            bind_kernel(choose_whole, arrays.n_rows, arrays.is_whole),
            bind_selection(arrays, steps(self.delay), steps(self.cooldown), self.capacity),
            bind_close_outs(arrays, 1.0),
        )
