"""Auto-deleveraging in the order of a venue's queue."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PrivateAttr

from sim.component import Component
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import I8
from sim.waterfall.deleveraging import BankruptLeg, Counterparties, deleverage_account
from sim.waterfall.ranking import SCORES, SortedQueue, select_from_queue


class AdlQueue(Component):
    """Auto-deleveraging from the front of a queue.

    Few accounts lose everything, and the others lose nothing.
    """

    kind: Literal["adl_queue"] = "adl_queue"
    score: Literal["bitmex", "binance", "hyperliquid"] = Field(
        default="bitmex", description="venue whose queue ranks the counterparties (name of venue)"
    )

    # by instrument and side of the bankrupt account
    _queues: dict[tuple[int, bool], SortedQueue] = PrivateAttr(default_factory=dict)
    _moved_batches: Sequence[I8] | None = PrivateAttr(None)  # of the context of these queues

    def absorb(self, loss: Shortfall, context: LayerContext) -> LayerResult:
        """Close the lots that counterparties can pay for, at the bankruptcy price.

        See :func:`sim.waterfall.deleveraging.deleverage_account`.
        """
        if context.changed_accounts is None or context.changed_accounts is not self._moved_batches:
            self._moved_batches = context.changed_accounts
            self._queues.clear()
        return deleverage_account(loss, context, self._choose_counterparties)

    def _choose_counterparties(self, leg: BankruptLeg) -> tuple[Counterparties, I8]:
        """Return counterparties from the front of the queue, and the lots each loses.

        Queues are kept within one run of the waterfall, which changes speed only.
        """
        key = leg.instrument, leg.quantity > 0
        side, lots, self._queues[key] = select_from_queue(
            leg, SCORES[self.score], self._queues.get(key)
        )
        return side, lots
