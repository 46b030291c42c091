"""Relative moves at which a portfolio is first evaluated: an even grid, and possible kinks."""

from collections.abc import Sequence

import numpy as np

from sim.margin.engine import MarginEngine
from sim.margin.scenarios.scenarios import ScenarioMargin
from sim.margin.tiers.edges import find_tier_edges
from sim.pricing.instrument_values import (
    YEAR_SECONDS,
    find_forwards,
    find_option_columns,
    find_years_to_expiry,
)
from sim.types import F8, Exposure

MOVE_RANGE = (-0.999, 9.0)
"""Range of examined relative moves."""

GRID_STEPS = ((0.001, 0.6, 0.05), (0.6, 1.6, 0.005), (1.6, 10.0, 0.02))
"""Lowest and highest price of each grid, in current prices, and its relative spacing (share)."""

STRIKE_WIDTHS = (-2.5, -1.0, 0.0, 1.0, 2.5)
"""Distances from an option's strike with a curved value, in standard deviations to expiry."""

SETTLEMENT_WINDOW = 1_800.0
"""Time before expiry over which venues average settlement prices (s)."""

MIN_SPACING = 1e-7
"""Prices closer than this are equal (share)."""


def find_scenarios(engine: MarginEngine) -> ScenarioMargin | None:
    """Return the engine's own scenarios, inside its wrappers, or None."""
    requirement: object = engine.requirement
    while requirement is not None and not isinstance(requirement, ScenarioMargin):
        requirement = vars(requirement).get("inner")
    return requirement


def list_price_factors(parts: Sequence[tuple[MarginEngine, Exposure]]) -> F8:
    """Return ascending prices to evaluate as factors of the current ones, which are included."""
    found = [np.array([1.0 + MOVE_RANGE[0], 1.0, 1.0 + MOVE_RANGE[1]])]
    for low, high, step in GRID_STEPS:
        found.append(np.geomspace(low, high, int(np.ceil(np.log(high / low) / step)) + 1))
    for engine, book in parts:
        found += [_list_strike_factors(engine, book), *find_tier_edges(engine.requirement, book)]
    every = np.unique(np.concatenate(found))
    every = every[(every >= 1.0 + MOVE_RANGE[0]) & (every <= 1.0 + MOVE_RANGE[1])]
    apart = np.append(True, np.diff(every) > MIN_SPACING * every[1:])
    apart[-1] = True
    return np.union1d(every[apart], [1.0])


def _list_strike_factors(engine: MarginEngine, book: Exposure) -> F8:
    """Return factors where the value of a held option bends, now or in a scenario of the engine."""
    market = book.market
    column = np.intersect1d(find_option_columns(market), np.flatnonzero(book.position[0]))
    if not column.size:
        return np.empty(0)
    strike = market.contracts.strike[column] / find_forwards(market)[column]
    spread = market.vol[column] * np.sqrt(find_years_to_expiry(market)[column])
    around = strike * np.exp(np.minimum(np.outer(STRIKE_WIDTHS, spread), 5.0))
    moves = np.unique(_list_scenario_moves(engine.requirement))
    moves = moves[moves > -1]
    # share of the settlement price that is not yet fixed
    still = np.minimum(find_years_to_expiry(market)[column] * YEAR_SECONDS / SETTLEMENT_WINDOW, 1.0)
    scanned = [strike / (1.0 + np.outer(moves, part)) for part in (np.ones_like(still), still)]
    return np.concatenate([around.ravel(), *(each.ravel() for each in scanned)])


def _list_scenario_moves(requirement: object) -> F8:
    """Return the moves of all scenarios of a requirement, its inner requirement and its parts."""
    if isinstance(requirement, ScenarioMargin):
        return requirement.moves
    fields = vars(requirement)
    inner = [fields["inner"]] if "inner" in fields else []
    parts = [part[0] if isinstance(part, tuple) else part for part in fields.get("parts", ())]
    return np.concatenate([np.empty(0), *(_list_scenario_moves(each) for each in [*inner, *parts])])
