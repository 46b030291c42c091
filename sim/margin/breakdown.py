"""What margins are made of: named parts that add up to them."""

from abc import ABC, abstractmethod

import numpy as np

from sim.margin import leg_values
from sim.protocols import Requirement
from sim.types import Exposure, Margins

NETTING = "netting"
"""What legs together ask beyond what each asks alone: below nil where one hedges the other."""


class ItemisedRequirement(ABC):
    """A requirement that names the parts of its margins itself."""

    @abstractmethod
    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Parts by name, (A,) each, minor units of the numeraire; they add up to the margins, credits below nil."""


def break_down_margins(requirement: Requirement, accounts: Exposure) -> dict[str, Margins]:
    """The parts of any requirement's margins, (A,) each: its own, or what each leg asks alone, and netting."""
    if isinstance(requirement, ItemisedRequirement):
        return requirement.breakdown(accounts)
    held = np.flatnonzero((accounts.position != 0).any(axis=0))
    columns = np.arange(accounts.position.shape[1])
    names = (
        accounts.market.contracts.names
    )  # one stands there twice where it is long and short in hedge mode
    found = join_breakdowns(
        *(
            {names[k]: requirement.compute_margins(leg_values.keep_legs(accounts, columns == k))}
            for k in held
        )
    )
    return {**found, NETTING: subtract_parts(requirement.compute_margins(accounts), found)}


def subtract_parts(whole: Margins, parts: dict[str, Margins]) -> Margins:
    """What margins exceed the sum of their parts by, (A,)."""
    initial, maintenance = (
        sum((part[i] for part in parts.values()), np.zeros_like(whole[i])) for i in range(2)
    )
    return Margins(whole.initial - initial, whole.maintenance - maintenance)


def join_breakdowns(*breakdowns: dict[str, Margins]) -> dict[str, Margins]:
    """All their parts; those of one name are added up."""
    found: dict[str, Margins] = {}
    for name, part in (item for each in breakdowns for item in each.items()):
        found[name] = (
            Margins(*(found[name][i] + part[i] for i in range(2))) if name in found else part
        )
    return found
