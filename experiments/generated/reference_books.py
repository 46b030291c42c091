"""Reference portfolios: frozen accounts of calm markets, on which engines are compared (MAR-2).

``baseline``, for equal capital efficiency, has one product under isolated tiers. ``hedged`` has
two coins, perpetuals and spot in one account, and traders who hedge. ``portfolio_market`` has
members who hold several positions, on three underlyings. The portfolios are frozen so that an
engine's compression does not depend on how traders respond to it. Run
``python -m experiments.generated.reference_books`` only if the markets themselves change.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from agents import populate
from experiments.config import load_run
from sim.margin.efficiency import measure_capital, solve_compression
from sim.margin.engine import EngineConfig
from sim.market import Market
from sim.reading.loading import load_config
from sim.reading.packaged import PACKAGED
from sim.types import I8, Contracts, Exposure, MarketView
from sim.venue import Venue

ENGINES = PACKAGED / "engines"
FOLDER = PACKAGED / "reference"
BOOKS = {
    "baseline": ("venues.0.engine.netting.kind=isolated", "duration=86400"),
    "hedged": (),
    "portfolio_market": (),
}
"""Packaged configurations of the portfolios, with the overrides of each."""

SNAPSHOT_INTERVAL = 21_600.0
"""Seconds between snapshots."""

COLUMNS = ("mark", "bid", "ask", "last", "depth", "funding", "open_interest", "vol")
OMITTED_TERMS = ("expiry", "strike", "side")
"""Terms that perpetuals do not have: infinite or missing values, which JSON cannot hold."""

HELD_COLUMNS = ("balance", "position", "entry")


def load_reference_book(name: str = "baseline") -> tuple[list[Exposure], int]:
    """Return the snapshots of a reference portfolio, and minor units per unit of the numeraire.

    Snapshots cover all instruments of the venue.
    """
    kept = json.loads(_find_book_path(name).read_text(encoding="utf-8"))
    return [
        _restore_exposure(kept["contracts"], kept["returns"], shot) for shot in kept["snapshots"]
    ], int(kept["unit"])


def _find_book_path(name: str) -> Path:
    return FOLDER / f"{name}.json"


def freeze_book(name: str) -> dict[str, Any]:
    """Run the market of a reference portfolio and record the exchange's accounts at intervals."""
    config = load_run(name, BOOKS[name])
    market = Market(config, populate(config.populations), seed=config.seed)
    snapshots, turn = [], round(SNAPSHOT_INTERVAL / config.dt)
    while market.tick < market.steps_planned:
        market.step()
        if market.tick % turn == 0:
            snapshots.append(_record_snapshot(market))
    venue = market.venues[0]
    listed = venue.contracts._asdict()
    contracts = {name: _to_list(listed[name]) for name in listed if name not in OMITTED_TERMS}
    unit = 10 ** config.assets[0].decimals
    changed = ", ".join(BOOKS[name]) or "as packaged"
    hours = f"every {SNAPSHOT_INTERVAL / 3600:g} hours of a day"
    about = f"accounts of the first venue of {name} ({changed}), {hours}"
    returns = [[float(f"{value:.9g}") for value in row] for row in venue.view.returns.tolist()]
    return {
        "about": about,
        "unit": unit,
        "contracts": contracts,
        "returns": returns,
        "snapshots": snapshots,
    }


def take_snapshot(market: Market, number: int = 0) -> Exposure:
    """Return the exposure of a venue's accounts with a position, over all of its pools.

    Orders and chosen leverage are not included.

    Args:
        market: market between two steps.
        number: index of the venue.
    """
    venue = market.venues[number]
    return _build_exposure(venue.view, _read_holdings(market, venue))


def _read_holdings(market: Market, venue: Venue) -> dict[str, I8]:
    """Return the holdings of accounts at a venue, one row for each account with a position."""
    position = market.ledger.position[venue.instrument_slice]
    rows = np.flatnonzero((position != 0).any(axis=0) & market.state.is_margined)
    pools = sorted({pool.number for pool in venue.pools} | {venue.wallet_pool})
    return {
        "balance": market.ledger.balance[:, pools][:, :, rows].sum(axis=1).T,
        "position": position[:, rows].T,
        "entry": market.ledger.entry[venue.instrument_slice][:, rows].T,
    }


def _record_snapshot(market: Market) -> dict[str, Any]:
    """Return the holdings of accounts with a position, and the public market data."""
    held, view = _read_holdings(market, market.venues[0]), market.venues[0].view
    known = {
        name: _to_list(getattr(view, name)) for name in (*COLUMNS, "oracle", "confidence", "price")
    }
    clock = {"tick": view.tick, "seconds": view.seconds, "dt": view.dt}
    return {**clock, **known, **{name: table.tolist() for name, table in held.items()}}


def _to_list(column: Any) -> Any:
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


def _restore_exposure(
    contracts: dict[str, Any], returns: list[list[float]], shot: dict[str, Any]
) -> Exposure:
    names = {"names", "underlyings", "assets", "units"}
    columns: dict[str, Any] = {
        k: tuple(v) if k in names else np.array(v) for k, v in contracts.items()
    }
    known: dict[str, Any] = {
        name: np.array(shot[name]) for name in (*COLUMNS, "oracle", "confidence", "price")
    }
    past = np.array(returns[: shot["tick"]], dtype=np.float64).reshape(shot["tick"], -1)
    clock = {"tick": shot["tick"], "seconds": shot["seconds"], "dt": shot["dt"]}
    view = MarketView(contracts=Contracts(**columns), returns=past, **clock, **known)
    return _build_exposure(
        view, {name: np.array(shot[name], dtype=np.int64) for name in HELD_COLUMNS}
    )


def _build_exposure(view: MarketView, held: dict[str, I8]) -> Exposure:
    none = np.zeros_like(held["position"])
    free = np.full(none.shape, np.inf)
    return Exposure(
        pledged=np.zeros_like(held["balance"]),
        bids=none,
        asks=none,
        reserved=none,
        leverage=free,
        market=view,
        **held,
    )


def format_engine_table(books: list[Exposure], unit: int) -> Iterator[str]:
    """Yield one line per packaged engine: the capital it requires, and its compression.

    Compression is relative to the capital under ``isolated``.
    """
    presets = {
        path.stem: load_config(f"engines/{path.stem}", [], EngineConfig)
        for path in sorted(ENGINES.glob("*.yaml"))
    }
    target = measure_capital(presets["isolated"], books, unit).total
    yield f"{'engine':12} {'margin':>8} {'haircut':>8} {'kappa':>8}"
    for name, engine in presets.items():
        found = measure_capital(engine, books, unit)
        compression = solve_compression(found, target)
        yield f"{name:12} {found.margin:8.4f} {found.haircut:8.4f} {compression:8.4f}"


def main() -> None:
    """Freeze the portfolios again, or print a table for each."""
    for name in BOOKS:
        if sys.argv[1:] == ["--table"]:
            sys.stdout.write(
                "\n".join([name, *format_engine_table(*load_reference_book(name)), ""])
            )
        else:
            text = json.dumps(freeze_book(name), separators=(",", ":"))
            lines = text.replace("},{", "},\n{").replace('"snapshots"', '\n"snapshots"')
            _find_book_path(name).write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
