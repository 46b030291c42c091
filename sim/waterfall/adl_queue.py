"""Auto-deleveraging by a venue's queue."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PrivateAttr

from sim.component import Component
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import I8
from sim.waterfall.deleveraging import Leg, Side, deleverage
from sim.waterfall.ranking import SCORES, Head, call


class AdlQueue(Component):
    """The opposite side is closed from the head of the queue: few lose everything, the rest nothing."""

    kind: Literal["adl_queue"] = "adl_queue"
    score: Literal["bitmex", "binance", "hyperliquid"] = Field(
        default="bitmex", description="whose queue ranks the counterparties (name of venue)"
    )

    # by instrument and side of the bankrupt
    _heads: dict[tuple[int, bool], Head] = PrivateAttr(default_factory=dict)
    _moved: Sequence[I8] | None = PrivateAttr(None)  # of the floor that they are of

    def absorb(self, loss: Shortfall, floor: LayerContext) -> LayerResult:
        """Closes what the counterparties can pay for, at the bankruptcy price (see ``deleverage``)."""
        if floor.moved is None or floor.moved is not self._moved:
            self._moved = floor.moved
            self._heads.clear()
        return deleverage(loss, floor, self._choose)

    def _choose(self, leg: Leg) -> tuple[Side, I8]:
        """Heads of queues are kept within one run of the waterfall, which changes speed only."""
        key = leg.instrument, leg.quantity > 0
        side, lots, self._heads[key] = call(leg, SCORES[self.score], self._heads.get(key))
        return side, lots
