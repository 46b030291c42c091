"""Auto-deleveraging by a venue's queue."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PrivateAttr

from sim.component import Component
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import I8
from sim.waterfall.deleveraging import BankruptLeg, Counterparties, deleverage_account
from sim.waterfall.ranking import SCORES, SortedQueue, select_from_queue


class AdlQueue(Component):
    """The opposite side is closed from the head of the queue: few lose everything, the rest nothing."""

    kind: Literal["adl_queue"] = "adl_queue"
    score: Literal["bitmex", "binance", "hyperliquid"] = Field(
        default="bitmex", description="whose queue ranks the counterparties (name of venue)"
    )

    # by instrument and side of the bankrupt
    _queues: dict[tuple[int, bool], SortedQueue] = PrivateAttr(default_factory=dict)
    _moved_batches: Sequence[I8] | None = PrivateAttr(None)  # of the floor that they are of

    def absorb(self, loss: Shortfall, floor: LayerContext) -> LayerResult:
        """Closes what the counterparties can pay for, at the bankruptcy price (see ``deleverage``)."""
        if floor.changed_accounts is None or floor.changed_accounts is not self._moved_batches:
            self._moved_batches = floor.changed_accounts
            self._queues.clear()
        return deleverage_account(loss, floor, self._choose_counterparties)

    def _choose_counterparties(self, leg: BankruptLeg) -> tuple[Counterparties, I8]:
        """Heads of queues are kept within one run of the waterfall, which changes speed only."""
        key = leg.instrument, leg.quantity > 0
        side, lots, self._queues[key] = select_from_queue(
            leg, SCORES[self.score], self._queues.get(key)
        )
        return side, lots
