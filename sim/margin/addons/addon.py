"""What add-ons share: an amount per leg that is asked to open and to keep alike."""

from abc import abstractmethod
from typing import ClassVar

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementComponent
from sim.margin.breakdown import ItemisedRequirement
from sim.margin.quoted import QuoteHistory
from sim.types import F8, Contracts, Exposure, Margins, MarketView


class AddOn(RequirementComponent):
    """A requirement meant to be added to another by ``sum``. Ours by definition, not any venue's.

    All it learns is whether an instrument has been quoted and held yet: before that it asks nothing on their account.
    """

    is_additive: ClassVar[bool] = False
    """Whether what a leg asks depends on its own position alone."""

    @abstractmethod
    def charge_by_leg(self, accounts: Exposure) -> F8:
        """What each leg asks, (A, K), minor units of the numeraire; depth and open interest are NaN before any."""

    def bind(self, contracts: Contracts, unit: int) -> "AddOnMargin":
        """See :class:`RequirementComponent`."""
        return AddOnMargin(self, len(contracts.names))


class AddOnMargin(ItemisedRequirement, AdditiveRequirement):
    """An add-on for one pool's instruments."""

    def __init__(self, rule: AddOn, count: int) -> None:
        self.rule, self.quote_history = rule, QuoteHistory(count)

    def observe(self, market: MarketView) -> None:
        """Note what has been quoted and held; the rest is in the view that books come with."""
        self.quote_history.observe(market)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Sums over positions, (A,)."""
        total = self._charge_by_leg(accounts).sum(axis=1)
        return Margins(total, total)

    @property
    def is_additive(self) -> bool:
        """As its rule says."""
        return self.rule.is_additive

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`Additive`."""
        return self.rule.charge_by_leg(accounts)

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """All of it, by its kind."""
        return {str(type(self.rule).model_fields["kind"].default): self.compute_margins(accounts)}

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Each leg's part of the sum, (A, K)."""
        return leg_values.normalise_shares(
            self._charge_by_leg(accounts), leg_values.compute_gross_notional(accounts)
        )

    def _charge_by_leg(self, accounts: Exposure) -> F8:
        return self.rule.charge_by_leg(self.quote_history.mask_accounts(accounts))
