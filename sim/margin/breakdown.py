"""Breakdown of margins into named parts that add up to them."""

from abc import ABC, abstractmethod

import numpy as np

from sim.margin import leg_values
from sim.protocols import Requirement
from sim.types import Exposure, Margins

NETTING = "netting"
"""Name of the part of margin beyond the sum of the legs' standalone margins.

It is negative if legs hedge each other.
"""


class ItemisedRequirement(ABC):
    """Requirement that itemises its own margins."""

    @abstractmethod
    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Return the parts of the margins by name, (A,) each, minor units of the numeraire.

        The parts add up to the margins; credits are negative.
        """


def break_down_margins(requirement: Requirement, accounts: Exposure) -> dict[str, Margins]:
    """Return the parts of any requirement's margins by name, (A,) each.

    A requirement that does not itemise its margins is broken down into the standalone margin of
    each leg, and netting.
    """
    if isinstance(requirement, ItemisedRequirement):
        return requirement.breakdown(accounts)
    held = np.flatnonzero((accounts.position != 0).any(axis=0))
    columns = np.arange(accounts.position.shape[1])
    # in hedge mode, an instrument that is long and short is listed twice
    names = accounts.market.contracts.names
    standalone = join_breakdowns(
        *(
            {names[k]: requirement.compute_margins(leg_values.keep_legs(accounts, columns == k))}
            for k in held
        )
    )
    netting = subtract_parts(requirement.compute_margins(accounts), standalone)
    return {**standalone, NETTING: netting}


def subtract_parts(whole: Margins, parts: dict[str, Margins]) -> Margins:
    """Return the margins less the sum of their parts, (A,)."""
    initial, maintenance = (
        sum((part[i] for part in parts.values()), np.zeros_like(whole[i])) for i in range(2)
    )
    return Margins(whole.initial - initial, whole.maintenance - maintenance)


def join_breakdowns(*breakdowns: dict[str, Margins]) -> dict[str, Margins]:
    """Return the parts of several breakdowns; parts of the same name are added up."""
    joined: dict[str, Margins] = {}
    for name, part in (item for each in breakdowns for item in each.items()):
        if name in joined:
            part = Margins(*(joined[name][i] + part[i] for i in range(2)))
        joined[name] = part
    return joined
