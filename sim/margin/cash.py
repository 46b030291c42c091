"""Cash valuation: only the numeraire covers margin."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.base import ValuationComponent
from sim.types import SPOT, Exposure, Margins


class Cash(ValuationComponent):
    """Whatever is held of other assets or in spot positions is disallowed entirely; what is owed of them counts.

    Equity less the haircut is cash plus the value of derivatives: a spot position must be paid in full (LED-3). What is
    held of an asset includes the derivatives that settle in it, for what they cost is in its balance.
    """

    kind: Literal["cash"] = Field(default="cash", description="only the numeraire counts (name)")

    def haircuts(self, book: Exposure) -> Margins:
        """The market value of all that is not cash, (A,), the same for initial and maintenance."""
        disallowed = np.zeros(len(book.balance))
        spot = book.market.contracts.kind == SPOT
        for asset in range(1, book.balance.shape[1]):
            held = book.balance[:, asset] * book.market.price[asset]
            settled = (book.market.contracts.settle == asset) & ~spot
            if settled.any():
                held = held + book.value()[:, settled].sum(axis=1)
            disallowed += np.maximum(held, 0.0)
        if spot.any():
            disallowed += np.maximum(book.value()[:, spot], 0.0).sum(axis=1)
        return Margins(disallowed, disallowed)
