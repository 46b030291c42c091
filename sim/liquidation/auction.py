"""Offer to everybody what the book refuses, at a discount that grows."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.liquidation.full import FullCloseOut
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
    """As ``full``, and what the book refuses is published, for anybody to bid for with ordinary orders (LIQ-3).

    A solvent account goes on at its bankruptcy price: below that the price would be another's loss. A bankrupt one
    is sold in a Dutch auction, before the waterfall is asked: in each step its lots meet the book at the mark less a
    discount (plus, for a short), which rises evenly to ``max_discount`` at the end of ``duration``. What that costs
    more than the account has is the waterfall's. Derive's auctions fall by the clock in the same two stages, from
    95% of a solvent account's value to 70% in 900 s, with payments from its security module to whoever takes an
    insolvent one (documentation, "Liquidation parameters", 2025); its discounts are of an account's value, ours of
    the price.
    """

    kind: Literal["auction"] = "auction"  # type: ignore[assignment]
    duration: float = Field(
        default=300.0, gt=0, description="how long bankrupt accounts wait for bidders (s)"
    )
    max_discount: float = Field(
        default=0.05, ge=0, lt=1, description="discount at its end, share of the mark (1)"
    )

    def plan_close_outs(
        self, risk: MarginAssessment, distress: DistressHistory, book: Exposure, weights: F8
    ) -> CloseOuts:
        """Whole positions of those due; since the step after their bankruptcy at the auction's price."""
        plan = super().plan_close_outs(risk, distress, book, weights)
        market, account = book.market, plan.account
        late = self._steps_since_bankruptcy(distress, market.tick)[account]
        auctioned = risk.bankrupt[account] & (late > 0)
        if not auctioned.any():
            return plan
        sign, mark = np.sign(plan.quantity), market.mark[plan.instrument]
        discount = self.max_discount * np.minimum(
            late / self._duration_in_steps(self.duration), 1.0
        )
        worst = sign * np.floor(sign * mark * (1 + sign * discount))  # buys round down, sells up
        price = np.clip(worst, 1, market.contracts.max_price[plan.instrument]).astype(np.int64)
        limit = np.where(auctioned, price, plan.limit)
        return plan._replace(limit=limit, route=np.where(auctioned, ROUTE_AUCTION, plan.route))

    def select_auctioned(
        self, risk: MarginAssessment, distress: DistressHistory, book: Exposure
    ) -> B1:
        """The solvent whose close-outs the book has not met, and the bankrupt while their auction runs, (A,)."""
        refused = (
            risk.liquidatable
            & (distress.liquidatable_since != MISSING)
            & (distress.last_action >= distress.liquidatable_since)
        )
        running = self._steps_since_bankruptcy(
            distress, book.market.tick
        ) < self._duration_in_steps(self.duration)
        on_offer = np.where(risk.bankrupt, running, refused)
        rows = np.flatnonzero(on_offer)
        on_offer[rows] = (book.position[rows] * (book.market.contracts.kind != SPOT)).any(axis=1)
        return on_offer

    @staticmethod
    def _steps_since_bankruptcy(distress: DistressHistory, tick: int) -> I8:
        """Steps since bankruptcy, (A,); nil for those not bankrupt, or only now."""
        return np.where(distress.bankrupt_since == MISSING, 0, tick - distress.bankrupt_since)
