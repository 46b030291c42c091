"""A requirement for options beside one for everything else."""

import numpy as np

from sim.margin import leg_values
from sim.margin.breakdown import Itemised, breakdown, joined
from sim.protocols import Requirement
from sim.types import B1, F8, OPTION, Contracts, Exposure, Margins, MarketView


class OptionsApart(Itemised):
    """Two requirements of one pool, each of which sees its own legs only; nothing is offset between them.

    Args:
        rest: of all that is no option.
        options: of options.
        contracts: the pool's instruments.
    """

    def __init__(self, rest: Requirement, options: Requirement, contracts: Contracts) -> None:
        option = contracts.kind == OPTION
        self.parts: tuple[tuple[Requirement, B1], ...] = ((rest, ~option), (options, option))

    def observe(self, market: MarketView) -> None:
        """Both learn."""
        for part, _ in self.parts:
            part.observe(market)

    def margins(self, book: Exposure) -> Margins:
        """Sums of the two, (A,)."""
        rest, options = (part.margins(leg_values.only(book, seen)) for part, seen in self.parts)
        return Margins(rest.initial + options.initial, rest.maintenance + options.maintenance)

    def breakdown(self, book: Exposure) -> dict[str, Margins]:
        """Parts of both."""
        return joined(*(breakdown(part, leg_values.only(book, seen)) for part, seen in self.parts))

    def shares(self, book: Exposure) -> F8:
        """Shares of the two, weighted by their maintenance."""
        mixed = np.zeros(book.position.shape)
        for part, seen in self.parts:
            mine = leg_values.only(book, seen)
            mixed += part.shares(mine) * part.margins(mine).maintenance[:, None]
        return leg_values.shares(mixed, leg_values.gross(book))
