"""Dials of any engine: what it asks, times a factor; and maintenance as a share of initial (MAR-2)."""

from sim.margin.additive import AdditiveRequirement, compute_initial_by_leg, is_additive
from sim.margin.breakdown import ItemisedRequirement, break_down_margins
from sim.protocols import Requirement
from sim.types import F8, Exposure, Margins, MarketView


def scale_leverage(accounts: Exposure, factor: float | F8) -> Exposure:
    """The book whose chosen leverage, after margins are multiplied by a factor, is what was chosen again."""
    return accounts._replace(leverage=accounts.leverage * factor)


class RescaledMargin(ItemisedRequirement, AdditiveRequirement):
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

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Both margins, (A,)."""
        return self._rescale(self.inner.compute_margins(accounts))

    @property
    def is_additive(self) -> bool:
        """If the inner requirement does."""
        return is_additive(self.inner)

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`Additive`."""
        return self.factor * compute_initial_by_leg(self.inner, accounts)

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """The inner parts, each as the dials have it."""
        return {
            name: self._rescale(part)
            for name, part in break_down_margins(self.inner, accounts).items()
        }

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """The inner shares: dials do not move them."""
        return self.inner.compute_leg_shares(accounts)

    def _rescale(self, required: Margins) -> Margins:
        initial = self.factor * required.initial
        if self.maintenance is None:
            return Margins(initial, self.factor * required.maintenance)
        return Margins(initial, self.maintenance * initial)
