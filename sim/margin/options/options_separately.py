"""Separate requirements for options and for all other instruments of a pool."""

import numpy as np

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement, compute_initial_by_leg, is_additive
from sim.margin.breakdown import ItemisedRequirement, break_down_margins, join_breakdowns
from sim.protocols import Requirement
from sim.types import B1, F8, OPTION, Contracts, Exposure, Margins, MarketView


class OptionsSeparately(ItemisedRequirement, AdditiveRequirement):
    """Two requirements of one pool, each applied to its own legs; nothing is offset between them.

    Args:
        rest: requirement of instruments that are not options.
        options: requirement of options.
        contracts: the pool's instruments.
    """

    def __init__(self, rest: Requirement, options: Requirement, contracts: Contracts) -> None:
        option = contracts.kind == OPTION
        self.parts: tuple[tuple[Requirement, B1], ...] = ((rest, ~option), (options, option))

    def observe(self, market: MarketView) -> None:
        """Update both requirements."""
        for part, _ in self.parts:
            part.observe(market)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the sums of both requirements, (A,)."""
        rest, options = (
            part.compute_margins(leg_values.keep_legs(accounts, seen)) for part, seen in self.parts
        )
        return Margins(rest.initial + options.initial, rest.maintenance + options.maintenance)

    @property
    def is_additive(self) -> bool:
        """True if both requirements are additive."""
        return all(is_additive(part) for part, _ in self.parts)

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        rest, options = (
            compute_initial_by_leg(part, leg_values.keep_legs(accounts, seen))
            for part, seen in self.parts
        )
        return rest + options

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Return the parts of both requirements."""
        return join_breakdowns(
            *(
                break_down_margins(part, leg_values.keep_legs(accounts, seen))
                for part, seen in self.parts
            )
        )

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return the shares of both requirements, weighted by their maintenance."""
        mixed = np.zeros(accounts.position.shape)
        for part, seen in self.parts:
            mine = leg_values.keep_legs(accounts, seen)
            mixed += part.compute_leg_shares(mine) * part.compute_margins(mine).maintenance[:, None]
        return leg_values.normalise_shares(mixed, leg_values.compute_gross_notional(accounts))
