"""Auto-deleveraging in proportion to positions."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import I8
from sim.waterfall.allocation import allocate_capped
from sim.waterfall.deleveraging import BankruptLeg, Counterparties, deleverage_account


class AdlProRata(Component):
    """Auto-deleveraging in which every opposite position loses the same share of its lots.

    Lots are divided by largest remainder (contract pro rata). A counterparty that cannot pay for
    that share loses the lots it can pay for, and the others lose more.

    With ``profit_only`` positions that are not in profit are spared. In a single fall all shorts
    opened before it are in profit, so the switch then changes nothing. It matters if some shorts
    were entered below the mark at which longs go bankrupt, such as after a rise, and the other way
    round.
    """

    kind: Literal["adl_pro_rata"] = "adl_pro_rata"
    profit_only: bool = Field(
        default=False, description="spare positions that are not in profit (true or false)"
    )

    def absorb(self, loss: Shortfall, context: LayerContext) -> LayerResult:
        """Close the lots that counterparties can pay for, at the bankruptcy price.

        See :func:`sim.waterfall.deleveraging.deleverage_account`.
        """
        return deleverage_account(loss, context, self._choose_counterparties)

    def _choose_counterparties(self, leg: BankruptLeg) -> tuple[Counterparties, I8]:
        side = leg.find_counterparties()
        may_lose = side.unrealised_profit() > 0 if self.profit_only else True
        return side, allocate_capped(
            leg.lots_to_close, np.where(may_lose, side.lots, 0), side.limit
        )
