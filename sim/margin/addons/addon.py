"""What add-ons share: an amount per leg that is asked to open and to keep alike."""

from abc import abstractmethod
from typing import ClassVar

from sim.margin import leg_values
from sim.margin.additive import Additive
from sim.margin.base import RequirementComponent
from sim.margin.breakdown import Itemised
from sim.margin.quoted import Quoted
from sim.types import F8, Contracts, Exposure, Margins, MarketView


class AddOn(RequirementComponent):
    """A requirement meant to be added to another by ``sum``. Ours by definition, not any venue's.

    All it learns is whether an instrument has been quoted and held yet: before that it asks nothing on their account.
    """

    adds_up: ClassVar[bool] = False
    """Whether what a leg asks depends on its own position alone."""

    @abstractmethod
    def legs(self, book: Exposure) -> F8:
        """What each leg asks, (A, K), minor units of the numeraire; depth and open interest are NaN before any."""

    def bind(self, contracts: Contracts, unit: int) -> "AddOnMargin":
        """See :class:`RequirementComponent`."""
        return AddOnMargin(self, len(contracts.names))


class AddOnMargin(Itemised, Additive):
    """An add-on for one pool's instruments."""

    def __init__(self, rule: AddOn, count: int) -> None:
        self.rule, self.quoted = rule, Quoted(count)

    def observe(self, market: MarketView) -> None:
        """Note what has been quoted and held; the rest is in the view that books come with."""
        self.quoted.observe(market)

    def margins(self, book: Exposure) -> Margins:
        """Sums over positions, (A,)."""
        total = self._legs(book).sum(axis=1)
        return Margins(total, total)

    @property
    def adds_up(self) -> bool:
        """As its rule says."""
        return self.rule.adds_up

    def initial_by_leg(self, book: Exposure) -> F8:
        """See :class:`Additive`."""
        return self.rule.legs(book)

    def breakdown(self, book: Exposure) -> dict[str, Margins]:
        """All of it, by its kind."""
        return {str(type(self.rule).model_fields["kind"].default): self.margins(book)}

    def shares(self, book: Exposure) -> F8:
        """Each leg's part of the sum, (A, K)."""
        return leg_values.shares(self._legs(book), leg_values.gross(book))

    def _legs(self, book: Exposure) -> F8:
        return self.rule.legs(self.quoted.book(book))
