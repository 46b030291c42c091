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
    """Every opposite position loses the same share of its lots (contract pro rata), by largest remainder.

    Whoever cannot pay for that share loses what it can pay for, and the others more.

    With ``profit_only`` positions that are not in profit are spared. In one fall all shorts that were open before it
    are in profit, so the switch changes nothing then; it acts where some of the shorts were entered below the mark at
    which longs go bankrupt, such as after a rise, and the other way round.
    """

    kind: Literal["adl_pro_rata"] = "adl_pro_rata"
    profit_only: bool = Field(
        default=False, description="spare positions that are not in profit (true or false)"
    )

    def absorb(self, loss: Shortfall, floor: LayerContext) -> LayerResult:
        """Closes what the counterparties can pay for, at the bankruptcy price (see ``deleverage``)."""
        return deleverage_account(loss, floor, self._choose_counterparties)

    def _choose_counterparties(self, leg: BankruptLeg) -> tuple[Counterparties, I8]:
        side = leg.find_counterparties()
        asked = side.unrealised_profit() > 0 if self.profit_only else True
        return side, allocate_capped(leg.lots_to_close, np.where(asked, side.lots, 0), side.limit)
