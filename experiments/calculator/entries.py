"""Treatment of several entries of one instrument: sides of hedge mode, or fills in order."""

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
"""Packaged venues with a hedge mode, and the mode of each if a portfolio names none.

Binance's published liquidation price (FAQ b3c689c1f50a) has a term for each side, LONG and SHORT.
Bybit's default is one way (API, "Switch Position Mode"). Gate calls hedge mode dual mode, and OKX
calls it long/short mode. Phemex has both modes too. Hyperliquid, dYdX, Drift, Derive, Deribit,
Paradex and Vega keep one net position per instrument.
"""

LINEAR = ("perpetual", "future")
"""Kinds with two sides in hedge mode; spot and options are always netted."""


class EntryReading(NamedTuple):
    """Treatment of several entries of one instrument under an engine."""

    instrument: str
    how: Literal["hedge", "one_way", "averaged"]


def find_position_mode(portfolio: PortfolioConfig, engine: str) -> PositionMode:
    """Return the mode of positions under an engine.

    Raises:
        ConfigError: the portfolio uses hedge mode with both sides of an instrument, but the venue
            has no such mode.
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
        rule = f"no hedge mode there, so {both} cannot be long and short at once"
        raise ConfigError([f"{rule}: set mode to one_way, remove mode, or leave the engine out"])
    return "hedge"


def list_columns(portfolio: PortfolioConfig, mode: PositionMode) -> list[InstrumentColumn]:
    """Return columns of a portfolio's instruments.

    An instrument that is long and short in hedge mode has two columns, any other has one.
    """
    both = _find_two_sided(portfolio) if mode == "hedge" else set()
    return [
        InstrumentColumn(number, side)
        for number, each in enumerate(portfolio.instruments)
        for side in ((1, -1) if each.name in both else (0,))
    ]


def describe_entries(portfolio: PortfolioConfig, mode: PositionMode) -> tuple[EntryReading, ...]:
    """Return the treatment of each instrument with several entries."""
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
    """Return the instruments with a hedge mode that the portfolio holds long and short."""
    linear = {each.name for each in portfolio.instruments if each.kind in LINEAR}
    return {
        name
        for name, quantities in _list_entry_quantities(portfolio)
        if name in linear and min(quantities) < 0 < max(quantities)
    }


def _list_entry_quantities(portfolio: PortfolioConfig) -> Iterator[tuple[str, Sequence[float]]]:
    """Yield the non-zero quantities of the entries of each instrument."""
    for each in portfolio.instruments:
        quantities = [
            held.quantity
            for held in portfolio.positions
            if held.instrument == each.name and held.quantity
        ]
        if quantities:
            yield each.name, quantities


def _find_preset(portfolio: PortfolioConfig, engine: str) -> str | None:
    """Return the packaged preset of a name.

    None for the portfolio's own engines and for files, whose venue is unknown.
    """
    name = engine.removeprefix("engines/").removesuffix(".yaml")
    known = (
        engine not in portfolio.own
        and not Path(engine).is_file()
        and f"engines/{name}" in list_packaged()
    )
    return name if known else None
