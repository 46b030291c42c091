"""Cash valuation: only the numeraire covers margin."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.jit import kernel
from sim.margin import legs
from sim.margin.base import ValuationComponent
from sim.types import B1, F8, I8, Exposure, Margins


class Cash(ValuationComponent):
    """Whatever is held of other assets or in spot positions is disallowed entirely; what is owed of them counts.

    Equity less the haircut is cash plus the value of derivatives: a spot position must be paid in full (LED-3). What is
    held of an asset includes the derivatives that settle in it, for what they cost is in its balance.
    """

    kind: Literal["cash"] = Field(default="cash", description="only the numeraire counts (name)")

    def haircuts(self, book: Exposure) -> Margins:
        """The market value of all that is not cash, (A,), the same for initial and maintenance."""
        worth, spot = legs.worth(book.market)
        disallowed = held_elsewhere(
            book.balance, book.position, book.market.price, book.market.contracts.settle, worth, spot
        )
        return Margins(disallowed, disallowed)


@kernel
def held_elsewhere(balance: I8, position: I8, price: F8, settle: I8, worth: F8, spot: B1) -> F8:
    """The sums of :func:`sim.margin.collateral.held` over other assets and over spot positions, (A,)."""
    accounts, assets = balance.shape
    disallowed, value = np.zeros(accounts), np.empty(accounts)
    for asset in range(1, assets):
        for a in range(accounts):
            value[a] = 0.0
        for k in range(worth.size):
            if settle[k] == asset and not spot[k]:
                for a in range(accounts):
                    value[a] += position[a, k] * worth[k]
        for a in range(accounts):
            disallowed[a] += max(balance[a, asset] * price[asset] + value[a], 0.0)
    owned = np.zeros(accounts)
    for k in range(worth.size):
        if spot[k]:
            for a in range(accounts):
                owned[a] += max(position[a, k] * worth[k], 0.0)
    return disallowed + owned
