"""Close-outs that are published for bidders at a growing discount if the book refuses them."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.liquidation.compiled import PlanArrays, offer_auctioned, price_auctioned
from sim.liquidation.full import FullCloseOut
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import (
    B1,
    F8,
    I8,
    MISSING,
    ROUTE_AUCTION,
    SPOT,
    CloseOuts,
    DistressHistory,
    Exposure,
    MarginAssessment,
)


class AuctionCloseOut(FullCloseOut):
    """Full close-out that publishes unfilled lots for bids by ordinary orders (LIQ-3).

    A solvent account is still offered at its bankruptcy price, because below that price others
    would bear the loss. A bankrupt account is sold in a Dutch auction before the waterfall starts.
    In each step its lots meet the book at the mark less a discount (plus, for a short). The
    discount rises evenly to ``max_discount`` at the end of ``duration``. The waterfall bears the
    cost beyond the account's equity.

    Derive's auctions fall with time in the same two stages, from 95% of a solvent account's value
    to 70% in 900 s. Its security module pays the bidder who takes an insolvent account
    (documentation, "Liquidation parameters", 2025). Its discounts are shares of an account's value,
    ours are shares of the price.
    """

    kind: Literal["auction"] = "auction"  # type: ignore[assignment]
    duration: float = Field(
        default=300.0, gt=0, description="length of the auction of a bankrupt account (s)"
    )
    max_discount: float = Field(
        default=0.05, ge=0, lt=1, description="discount at the end, share of the mark (1)"
    )

    def plan_close_outs(
        self,
        assessment: MarginAssessment,
        distress: DistressHistory,
        accounts: Exposure,
        weights: F8,
    ) -> CloseOuts:
        """Plan whole positions of accounts due.

        From the step after its bankruptcy an account is sold at the auction's price.
        """
        plan = super().plan_close_outs(assessment, distress, accounts, weights)
        market, account = accounts.market, plan.account
        elapsed = self._steps_since_bankruptcy(distress, market.tick)[account]
        is_auctioned = assessment.bankrupt[account] & (elapsed > 0)
        if not is_auctioned.any():
            return plan
        sign, mark = np.sign(plan.quantity), market.mark[plan.instrument]
        discount = self.max_discount * np.minimum(
            elapsed / self._duration_in_steps(self.duration), 1.0
        )
        worst = sign * np.floor(sign * mark * (1 + sign * discount))  # buys round down, sells up
        price = np.clip(worst, 1, market.contracts.max_price[plan.instrument]).astype(np.int64)
        limit = np.where(is_auctioned, price, plan.limit)
        return plan._replace(limit=limit, route=np.where(is_auctioned, ROUTE_AUCTION, plan.route))

    def select_auctioned(
        self, assessment: MarginAssessment, distress: DistressHistory, accounts: Exposure
    ) -> B1:
        """Return the accounts on public offer, (A,).

        They are the solvent accounts whose close-outs the book has not filled, and the bankrupt
        accounts while their auction runs.
        """
        is_unfilled = (
            assessment.liquidatable
            & (distress.liquidatable_since != MISSING)
            & (distress.last_action >= distress.liquidatable_since)
        )
        is_running = self._steps_since_bankruptcy(
            distress, accounts.market.tick
        ) < self._duration_in_steps(self.duration)
        on_offer = np.where(assessment.bankrupt, is_running, is_unfilled)
        rows = np.flatnonzero(on_offer)
        on_offer[rows] = (accounts.position[rows] * (accounts.market.contracts.kind != SPOT)).any(
            axis=1
        )
        return on_offer

    def bind_plan(self, arrays: PlanArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`LiquidationBase`; a policy derived from this one has none by itself."""
        if type(self) is not AuctionCloseOut:
            return None
        priced = bind_kernel(
            price_auctioned,
            arrays.assessed,
            arrays.bankrupt_since,
            arrays.mark,
            arrays.max_price,
            arrays.first,
            arrays.pool,
            arrays.orders,
            arrays.details,
            arrays.n_planned,
            self._duration_in_steps(self.duration),
            float(self.max_discount),
        )
        return (*self._bind_whole_close_outs(arrays), priced)

    def bind_offers(self, arrays: PlanArrays) -> tuple[BoundKernel, ...] | None:
        """Return the kernel that finds the accounts on public offer."""
        if type(self) is not AuctionCloseOut:
            return None
        return (
            bind_kernel(
                offer_auctioned,
                arrays.assessed,
                arrays.liquidatable_since,
                arrays.last_action,
                arrays.bankrupt_since,
                arrays.position,
                arrays.is_spot,
                self._duration_in_steps(self.duration),
                arrays.is_offered,
            ),
        )

    @staticmethod
    def _steps_since_bankruptcy(distress: DistressHistory, tick: int) -> I8:
        """Return steps since bankruptcy, (A,); zero if not bankrupt, or bankrupt just now."""
        return np.where(distress.bankrupt_since == MISSING, 0, tick - distress.bankrupt_since)
