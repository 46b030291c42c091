"""Auto-deleveraging by a venue's queue."""

from typing import Literal

from pydantic import Field

from sim.component import Component
from sim.types import I8, Floor, Relief, Residual
from sim.waterfall.deleveraging import Side, deleverage
from sim.waterfall.ranking import SCORES, serve


class AdlQueue(Component):
    """The opposite side is closed from the head of the queue: few lose everything, the rest nothing."""

    kind: Literal["adl_queue"] = "adl_queue"
    score: Literal["bitmex", "binance", "hyperliquid"] = Field(
        default="bitmex", description="whose queue ranks the counterparties (name of venue)"
    )

    def absorb(self, loss: Residual, floor: Floor) -> Relief:
        """Closes what the counterparties can pay for, at the bankruptcy price (see ``deleverage``)."""
        return deleverage(loss, floor, self._choose)

    def _choose(self, side: Side, wanted: int) -> I8:
        return serve(SCORES[self.score](side), side.limit, wanted)
