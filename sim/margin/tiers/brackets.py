"""Engines whose margins are brackets times factors, as tables for compiled code."""

from typing import NamedTuple

import numpy as np

from sim.margin.engine import MarginEngine
from sim.margin.tiers.tiered import TieredMargin
from sim.margin.valuations.cash import CashValuation
from sim.margin.wrappers.compressed import CompressionMargin
from sim.margin.wrappers.rescaled import RescaledMargin
from sim.types import F8


class BracketTable(NamedTuple):
    """Brackets of an engine with cash valuation, and the factors applied to them in turn."""

    brackets: F8  # (5, K, T) table of `TieredMargin`
    # (n, 2) factor of both margins; maintenance as a share of initial, or NaN for the factor
    factors: F8


def tabulate_brackets(engine: MarginEngine) -> BracketTable | None:
    """Return the brackets of an engine, or None for an engine with another requirement.

    The table describes accounts that chose no leverage of their own.
    """
    if type(engine.valuation) is not CashValuation:
        return None
    requirement, factors = engine.requirement, []
    while isinstance(requirement, RescaledMargin | CompressionMargin):
        ratio = requirement.maintenance if isinstance(requirement, RescaledMargin) else None
        factors.append((requirement.factor, np.nan if ratio is None else ratio))
        requirement = requirement.inner
    if type(requirement) is not TieredMargin:
        return None
    return BracketTable(requirement.table, np.array(factors[::-1]).reshape(-1, 2))
