"""Several entries of one instrument: the two sides of hedge mode, or fills in the order of the file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from experiments.calculator.portfolio import PortfolioConfig
from experiments.calculator.records import InstrumentColumn
from sim.errors import ConfigError
from sim.reading.packaged import list_packaged

PositionMode = Literal["hedge", "one_way"]

HEDGE_MODE_VENUES: dict[str, PositionMode] = {
    "binance": "hedge",
    "bybit": "one_way",
    "okx": "one_way",
    "gate": "one_way",
    "phemex": "one_way",
}
"""Packaged venues with a hedge mode, and how each is taken if a portfolio does not name a mode.

Binance's published liquidation price (FAQ b3c689c1f50a) has a term of each side, LONG and SHORT. Bybit's default is
one way (API, "Switch Position Mode"). Gate calls hedge mode dual mode, OKX long/short mode; Phemex has both modes too.
Hyperliquid, dYdX, Drift, Derive, Deribit, Paradex and Vega keep one net position of an instrument.
"""

LINEAR = ("perpetual", "future")
"""Kinds that have two sides in hedge mode; spot and options are always netted."""


class EntryReading(NamedTuple):
    """How an engine takes several entries of one instrument."""

    instrument: str
    how: Literal["hedge", "one_way", "averaged"]


def find_position_mode(portfolio: PortfolioConfig, engine: str) -> PositionMode:
    """Return the mode of positions under an engine.

    Raises:
        ConfigError: the portfolio names hedge mode and holds both sides of something, but the venue has no such mode.
    """
    preset = _find_preset(portfolio, engine)
    if portfolio.mode != "hedge":
        return (
            "one_way"
            if portfolio.mode or preset is None
            else HEDGE_MODE_VENUES.get(preset, "one_way")
        )
    both = ", ".join(sorted(_find_two_sided(portfolio)))
    if both and preset is not None and preset not in HEDGE_MODE_VENUES:
        told = f"no hedge mode there, so {both} cannot be long and short at once"
        raise ConfigError([f"{told}: set mode to one_way, remove mode, or leave the engine out"])
    return "hedge"


def list_columns(portfolio: PortfolioConfig, mode: PositionMode) -> list[InstrumentColumn]:
    """Columns of a portfolio's instruments: two of those that are long and short in hedge mode, else one of each."""
    both = _find_two_sided(portfolio) if mode == "hedge" else set()
    return [
        InstrumentColumn(number, side)
        for number, each in enumerate(portfolio.instruments)
        for side in ((1, -1) if each.name in both else (0,))
    ]


def describe_entries(portfolio: PortfolioConfig, mode: PositionMode) -> tuple[EntryReading, ...]:
    """Return how each instrument of several entries is taken."""
    both = {
        name
        for name, quantities in _list_entry_quantities(portfolio)
        if len({quantity > 0 for quantity in quantities}) > 1
    }
    two_sided = _find_two_sided(portfolio) if mode == "hedge" else set()
    return tuple(
        EntryReading(
            name, "hedge" if name in two_sided else "one_way" if name in both else "averaged"
        )
        for name, quantities in _list_entry_quantities(portfolio)
        if len(quantities) > 1
    )


def _find_two_sided(portfolio: PortfolioConfig) -> set[str]:
    """Instruments with a hedge mode that the portfolio holds long and short."""
    linear = {each.name for each in portfolio.instruments if each.kind in LINEAR}
    return {
        name
        for name, quantities in _list_entry_quantities(portfolio)
        if name in linear and min(quantities) < 0 < max(quantities)
    }


def _list_entry_quantities(portfolio: PortfolioConfig) -> Iterator[tuple[str, Sequence[float]]]:
    """Quantities of each instrument's entries that are not zero."""
    for each in portfolio.instruments:
        quantities = [
            held.quantity
            for held in portfolio.positions
            if held.instrument == each.name and held.quantity
        ]
        if quantities:
            yield each.name, quantities


def _find_preset(portfolio: PortfolioConfig, engine: str) -> str | None:
    """The packaged preset of that name; None of the portfolio's own engines and of files, whose venue is not known."""
    name = engine.removeprefix("engines/").removesuffix(".yaml")
    known = (
        engine not in portfolio.own
        and not Path(engine).is_file()
        and f"engines/{name}" in list_packaged()
    )
    return name if known else None
