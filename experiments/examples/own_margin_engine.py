"""A margin requirement of your own, beside a packaged one, on the accounts of one portfolio."""

from typing import Literal

import deleverage
import numpy as np
from pydantic import Field

from sim.margin.base import RequirementComponent
from sim.types import F8, Contracts, Exposure, Margins, MarketView


class SquareRoot(RequirementComponent):
    """Maintenance of ``scale`` times the root of each leg's notional; initial is a multiple."""

    kind: Literal["square_root"] = "square_root"
    scale: float = Field(default=10.0, gt=0, description="maintenance of a notional of one (units)")
    multiple: float = Field(default=2.0, ge=1, description="initial over maintenance (ratio)")

    def bind(self, contracts: Contracts, unit: int) -> "SquareRootMargin":
        """Return the requirement of one margin account's instruments."""
        return SquareRootMargin(self, unit)


class SquareRootMargin:
    """The rule at work: it learns nothing, and looks at the book alone."""

    def __init__(self, rule: SquareRoot, unit: int) -> None:
        self.rule, self.unit = rule, unit

    def observe(self, market: MarketView) -> None:
        """Learn from a step: nothing."""

    def compute_margins(self, book: Exposure) -> Margins:
        """Return initial and maintenance of each account, (A,), minor units of the numeraire."""
        maintenance = self._leg_margins(book).sum(axis=1)
        return Margins(self.rule.multiple * maintenance, maintenance)

    def compute_leg_shares(self, book: Exposure) -> F8:
        """Return each leg's share of the maintenance, (A, K); a flat account has none."""
        legs = self._leg_margins(book)
        total = legs.sum(axis=1, keepdims=True)
        return np.divide(legs, total, out=np.zeros_like(legs), where=total > 0)

    def _leg_margins(self, book: Exposure) -> F8:
        notional = np.abs(book.position_value())
        return self.rule.scale * np.sqrt(notional * self.unit)


deleverage.register("requirement", SquareRoot)

OWN = {
    "netting": {"kind": "cross"},
    "valuation": {"kind": "cash"},
    "requirement": {"kind": "square_root", "scale": 4.0},
}
portfolio = {
    "cash": 20_000,
    "underlyings": [{"name": "BTC", "price": 60_000}],
    "instruments": [
        {"name": "BTC-PERP", "underlying": "BTC", "tick": 1, "lot": 0.01, "max_price": 1_000_000}
    ],
    "positions": [{"instrument": "BTC-PERP", "quantity": 0.5}],
    "own": {"root": OWN},
}
for quantity in (0.1, 1.0, 5.0):
    portfolio["positions"] = [{"instrument": "BTC-PERP", "quantity": quantity}]
    table = deleverage.margins(portfolio, engines=["root", "cross"])
    root, cross = table.loc["account", "maintenance"]
    print(f"{quantity} BTC: maintenance {root:,.0f} by the root, {cross:,.0f} by tiers")
