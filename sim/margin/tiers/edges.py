"""Marks at which a bracket of a position begins: where its margin may jump, or bend."""

from typing import Any

import numpy as np

from sim.margin import leg_values
from sim.margin.tiers.tiered import EDGE_TOLERANCE, TieredMargin
from sim.types import F8, Exposure

JUST_ABOVE = 1.0 + 2e-7
"""From a floor to a notional that lies in its bracket, by whatever rounding."""


def find_tier_edges(requirement: object, accounts: Exposure) -> list[F8]:
    """Return, for each instrument, factors of its mark at which a bracket of one account's position begins.

    Each floor gives two, at which the notional is the floor and a trifle above it. Where a bracket's rate applies to
    all of a position, an account may be liquidatable at the second and not at the first.

    Args:
        requirement: of the engine; brackets are looked for within wrappers and sums, too.
        accounts: one account.
    """
    tables = list(_collect_tables(requirement))
    found = []
    for k, value in enumerate(leg_values.compute_gross_notional(accounts)[0]):
        floors = np.concatenate([np.empty(0), *(table[4, k] / EDGE_TOLERANCE for table in tables)])
        at = floors[floors > 0] / value if value > 0 else np.empty(0)
        found.append(np.unique(np.concatenate([at, at * JUST_ABOVE])))
    return found


def _collect_tables(requirement: object) -> list[F8]:
    """Brackets of a requirement, of what it wraps and of its parts."""
    if isinstance(requirement, TieredMargin):
        return [requirement.table]
    fields: dict[str, Any] = vars(requirement)
    inner = [fields["inner"]] if "inner" in fields else []
    parts = [part[0] if isinstance(part, tuple) else part for part in fields.get("parts", ())]
    return [table for each in [*inner, *parts] for table in _collect_tables(each)]
