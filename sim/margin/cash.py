"""Cash valuation: only the numeraire covers margin."""

from typing import Literal

from pydantic import Field

from sim.margin.base import ValuationComponent
from sim.margin.collateral import held
from sim.types import Exposure, Margins


class Cash(ValuationComponent):
    """Whatever is held of other assets or in spot positions is disallowed entirely; what is owed of them counts.

    Equity less the haircut is cash plus the value of derivatives: a spot position must be paid in full (LED-3). What is
    held of an asset includes the derivatives that settle in it, for what they cost is in its balance.
    """

    kind: Literal["cash"] = Field(default="cash", description="only the numeraire counts (name)")

    def haircuts(self, book: Exposure) -> Margins:
        """The market value of all that is not cash, (A,), the same for initial and maintenance."""
        assets, spot = held(book)
        disallowed = assets.sum(axis=1) + spot.sum(axis=1)
        return Margins(disallowed, disallowed)
