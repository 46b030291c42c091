"""Marks at which a bracket of a position begins: its margin may jump or bend there."""

from typing import Any

import numpy as np

from sim.margin import leg_values
from sim.margin.tiers.tiered import EDGE_TOLERANCE, TieredMargin
from sim.types import F8, Exposure

JUST_ABOVE = 1.0 + 2e-7
"""Factor from a floor to a notional that lies in its bracket despite rounding."""


def find_tier_edges(requirement: object, accounts: Exposure) -> list[F8]:
    """Return the factors of each instrument's mark at which a bracket of the position begins.

    Each floor gives two factors: at one the notional equals the floor, at the other it is slightly
    above. Where a bracket's rate applies to all of a position, an account may be liquidatable at
    the second and not at the first.

    Args:
        requirement: requirement of the engine; brackets inside wrappers and sums are also found.
        accounts: one account.
    """
    tables = list(_collect_tables(requirement))
    edges = []
    for k, value in enumerate(leg_values.compute_gross_notional(accounts)[0]):
        floors = np.concatenate([np.empty(0), *(table[4, k] / EDGE_TOLERANCE for table in tables)])
        factors = floors[floors > 0] / value if value > 0 else np.empty(0)
        edges.append(np.unique(np.concatenate([factors, factors * JUST_ABOVE])))
    return edges


def _collect_tables(requirement: object) -> list[F8]:
    """Return the brackets of a requirement, of its inner requirement and of its parts."""
    if isinstance(requirement, TieredMargin):
        return [requirement.table]
    fields: dict[str, Any] = vars(requirement)
    inner = [fields["inner"]] if "inner" in fields else []
    parts = [part[0] if isinstance(part, tuple) else part for part in fields.get("parts", ())]
    return [table for each in [*inner, *parts] for table in _collect_tables(each)]
