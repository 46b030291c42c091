"""Stress tests: shocks of prices and volatilities, and accounts after them."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from experiments.calculator.calculator import MarginedPortfolio, classify_amounts
from experiments.calculator.market_moves import move_exposures
from sim.component import Component
from sim.errors import ConfigError, describe_unknown

MAX_MOVE = 1e6
"""Largest admissible relative move of a price or a volatility."""


class Shock(Component):
    """One shock of prices and volatilities."""

    name: str = Field(min_length=1, description="name of the shock")
    moves: dict[str, float] = Field(
        default={}, description="relative moves by underlying (name: share)"
    )
    all: float = Field(
        default=0.0,
        gt=-1,
        le=MAX_MOVE,
        description="relative move of underlyings not named (share)",
    )
    vol: float = Field(
        default=0.0,
        gt=-1,
        le=MAX_MOVE,
        description="relative move of every option's volatility (share)",
    )


class StressConfig(Component):
    """Shocks of a stress test."""

    description: str = Field(default="", description="one line for `deleverage configs`")
    shocks: tuple[Shock, ...] = Field(min_length=1, description="shocks of the test")


class StressedPortfolio(NamedTuple):
    """Portfolio after one shock under one engine, minor units."""

    equity: float
    maintenance: float
    status: str


def stress_portfolio(
    account: MarginedPortfolio, shocks: Sequence[Shock]
) -> list[StressedPortfolio]:
    """Return equity and solvency after each shock.

    Raises:
        ConfigError: a shock moves an underlying that the portfolio does not have, or to zero.
    """
    names = account.parts[0].book.market.contracts.underlyings
    if problems := _find_faults(names, shocks):
        raise ConfigError(problems)
    found = []
    for vol, alike in itertools.groupby(shocks, key=lambda shock: shock.vol):
        moves = np.array([[shock.moves.get(name, shock.all) for name in names] for shock in alike])
        moved = (move_exposures(part.book, moves, vol) for part in account.parts)
        for books in zip(*moved, strict=True):
            parts = [
                part._replace(book=book) for part, book in zip(account.parts, books, strict=True)
            ]
            stressed = account._replace(parts=parts)
            equity, initial, maintenance = stressed.total_risk()
            status = classify_amounts(stressed, equity, initial)
            found.append(StressedPortfolio(equity, maintenance, status))
    return found


def _find_faults(names: Sequence[str], shocks: Sequence[Shock]) -> list[str]:
    """Return a line for each unknown underlying and each move out of range."""
    problems = [
        f"shocks.{n}.moves.{name}: {describe_unknown(name, names)}"
        for n, shock in enumerate(shocks)
        for name in shock.moves
        if name not in names
    ]
    problems += [
        f"shocks.{n}.moves.{name}: {move:g}, must be above -1 and at most {MAX_MOVE:g}, correct it"
        for n, shock in enumerate(shocks)
        for name, move in shock.moves.items()
        if not -1 < move <= MAX_MOVE
    ]
    return problems
