"""Dials of any engine: what it asks, times a factor; and maintenance as a share of initial (MAR-2)."""

from sim.protocols import Requirement
from sim.types import F8, Exposure, Margins, MarketView


class Dialled:
    """A requirement times a factor, its maintenance its own or a share of its initial.

    Args:
        inner: the requirement.
        factor: by which its margins are multiplied (ratio).
        maintenance: as a share of initial, none = the inner requirement's own times the factor (ratio).
    """

    def __init__(self, inner: Requirement, factor: float, maintenance: float | None) -> None:
        self.inner, self.factor, self.maintenance = inner, factor, maintenance

    def observe(self, market: MarketView) -> None:
        """The inner requirement learns."""
        self.inner.observe(market)

    def margins(self, book: Exposure) -> Margins:
        """Both margins, (A,)."""
        initial, maintenance = self.inner.margins(book)
        initial = self.factor * initial
        return Margins(initial, self.factor * maintenance if self.maintenance is None else self.maintenance * initial)

    def shares(self, book: Exposure) -> F8:
        """The inner shares: dials do not move them."""
        return self.inner.shares(book)
