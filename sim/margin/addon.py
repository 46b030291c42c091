"""What add-ons share: an amount per leg that is asked to open and to keep alike."""

from abc import abstractmethod
from typing import ClassVar

from sim.margin import legs
from sim.margin.additive import Additive
from sim.margin.base import RequirementComponent
from sim.margin.breakdown import Itemised
from sim.types import F8, Contracts, Exposure, Margins, MarketView


class AddOn(RequirementComponent):
    """A requirement meant to be added to another by ``sum``; it learns nothing. Ours by definition, not any venue's."""

    adds_up: ClassVar[bool] = False
    """Whether what a leg asks depends on its own position alone."""

    @abstractmethod
    def legs(self, book: Exposure) -> F8:
        """What each leg asks, (A, K), minor units of the numeraire."""

    def bind(self, contracts: Contracts, unit: int) -> "AddOnMargin":
        """See :class:`RequirementComponent`."""
        return AddOnMargin(self)


class AddOnMargin(Itemised, Additive):
    """An add-on for one pool's instruments."""

    def __init__(self, rule: AddOn) -> None:
        self.rule = rule

    def observe(self, market: MarketView) -> None:
        """Nothing to learn: what it needs is in the view that books come with."""

    def margins(self, book: Exposure) -> Margins:
        """Sums over positions, (A,)."""
        total = self.rule.legs(book).sum(axis=1)
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
        return legs.shares(self.rule.legs(book), legs.gross(book))
