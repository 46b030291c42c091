"""Shocks of prices and volatilities, and what they leave of an account."""

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
"""The largest relative move that makes sense of a price or a volatility."""


class Shock(Component):
    """One story of prices and volatilities."""

    name: str = Field(min_length=1, description="what to call it")
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
    """Shocks to put a portfolio through."""

    description: str = Field(default="", description="one line for `deleverage configs`")
    shocks: tuple[Shock, ...] = Field(min_length=1, description="the stories")


class StressedPortfolio(NamedTuple):
    """One shock under one engine, minor units."""

    equity: float
    maintenance: float
    status: str


def stress_portfolio(
    account: MarginedPortfolio, shocks: Sequence[Shock]
) -> list[StressedPortfolio]:
    """Equity and solvency after each shock.

    Raises:
        ConfigError: a shock moves an underlying that the portfolio does not have, or to nil.
    """
    names = account.parts[0].book.market.contracts.underlyings
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
    if problems:
        raise ConfigError(problems)
    found = []
    for vol, alike in itertools.groupby(shocks, key=lambda shock: shock.vol):
        moves = np.array([[shock.moves.get(name, shock.all) for name in names] for shock in alike])
        for books in zip(
            *(move_exposures(part.book, moves, vol) for part in account.parts), strict=True
        ):
            moved_parts = [
                part._replace(book=book) for part, book in zip(account.parts, books, strict=True)
            ]
            there = account._replace(parts=moved_parts)
            equity, initial, maintenance = there.total_risk()
            found.append(
                StressedPortfolio(equity, maintenance, classify_amounts(there, equity, initial))
            )
    return found
