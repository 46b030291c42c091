"""Liquidation maps as aligned text, JSON, CSV files and a figure."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.accounts.liquidation_map import LiquidationMap
from experiments.calculator.report import align_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Sizes of moves in the text; the files have every one."""

Maps = Mapping[str, LiquidationMap]


def join_maps(maps: Maps) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of moves and of prices of all engines, with the column ``engine`` first."""
    moves, prices = (
        pd.concat(
            [found[place].assign(engine=engine) for engine, found in maps.items()],
            ignore_index=True,
        )
        for place in (0, 1)
    )
    return tuple(  # type: ignore[return-value]
        table[["engine", *table.columns.drop("engine")]] for table in (moves, prices)
    )


def format_map(maps: Maps, currency: str) -> str:
    """Return the text of the maps: totals, and notional liquidated by shock, move and engine."""
    moves, prices = join_maps(maps)
    lines = _format_totals(prices, currency)
    for shock in moves["shock"].unique():
        for sign, word in ((-1, "falls"), (1, "rises")):
            part = moves[(moves["shock"] == shock) & (np.sign(moves["move"]) == sign)]
            subject = "all underlyings" if shock == "all" else shock
            verb = word if shock != "all" else word.removesuffix("s")
            title = f"notional liquidated as {subject} {verb}, {currency} (share of the notional)"
            lines += ["", title, *_format_moves(part)]
    return "\n".join(lines)


def _format_totals(prices: pd.DataFrame, currency: str) -> list[str]:
    """Return lines on the accounts of each engine at the opening mark."""
    rows = [[currency, "positions", "notional", "equity", "initial", "maintenance", "owners below"]]
    for engine, table in prices.groupby("engine", sort=False):
        notional = float((table["quantity"].abs() * table["mark"]).sum())
        # an account of several positions is counted once
        accounts = table.drop_duplicates(["owner", "equity", "initial", "maintenance"])
        sums = [float(accounts[name].sum()) for name in ("equity", "initial", "maintenance")]
        owners = table.loc[table["status"] != "healthy", "owner"].nunique()
        figures = [f"{amount:,.0f}" for amount in (notional, *sums)]
        rows.append([str(engine), f"{len(table):,}", *figures, f"{owners:,}"])
    return align_columns(rows)


def _format_moves(part: pd.DataFrame) -> list[str]:
    several = part["instrument"].nunique() > 1
    rows = [["", *(f"{size:.0%}" for size in SHOWN)]]
    for (engine, instrument), table in part.groupby(["engine", "instrument"], sort=False):
        by_size = table.set_index((table["move"].abs() * 100).round().astype(int))
        cells = [by_size.loc[round(size * 100)] for size in SHOWN]
        if several and not any(cell["notional"] for cell in cells):
            continue
        name = f"{engine} {instrument}" if several else str(engine)
        rows.append([name, *(f"{cell['notional']:,.0f} ({cell['share']:.0%})" for cell in cells)])
    return align_columns(rows)


def format_json(maps: Maps, notices: Mapping[str, tuple[str, ...]]) -> str:
    """Return the maps as JSON; what does not exist is null."""
    content: dict[str, Any] = {
        engine: {
            "notices": list(notices[engine]),
            "moves": json.loads(found.moves.to_json(orient="records")),
            "prices": json.loads(found.prices.to_json(orient="records")),
        }
        for engine, found in maps.items()
    }
    return json.dumps(content, indent=2)


def write_map(maps: Maps, folder: Path, currency: str) -> list[Path]:
    """Write ``liquidation_map.csv``, ``liquidation_prices.csv`` and the figure, and return paths.

    Raises:
        OSError: the folder cannot be written.
    """
    from experiments.results import store

    moves, prices = join_maps(maps)
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "liquidation_map.csv", folder / "liquidation_prices.csv"]
    for table, path in zip((moves, prices), written, strict=True):
        store.write_csv(table, path)
    return [*written, _draw_map(moves, folder, currency)]


def _draw_map(moves: pd.DataFrame, folder: Path, currency: str) -> Path:
    """Draw notional liquidated against the move, a panel for each shock and a line each engine."""
    import seaborn

    from experiments.figures import style

    shocks = list(moves["shock"].unique())
    scale, word = style.choose_scale(float(moves["notional"].max()))
    totals = moves.groupby(["engine", "shock", "move"], sort=False, as_index=False)[
        ["notional"]
    ].sum()
    with style.use_style():
        figure = style.create_figure(style.PAGE_WIDTH, 2.6 * ((len(shocks) + 1) // 2))
        n_columns = min(2, len(shocks))
        grid = figure.subplots(-(-len(shocks) // n_columns), n_columns, squeeze=False).ravel()
        for axes, shock in zip(grid, shocks, strict=False):
            _draw_shock(axes, totals[totals["shock"] == shock], scale)
            axes.set_xlabel(f"move of {'all underlyings' if shock == 'all' else shock} (%)")
            axes.set_ylabel(f"liquidated ({word}{currency})")
            seaborn.despine(ax=axes)
        for axes in grid[len(shocks) :]:
            axes.set_axis_off()
        if totals["engine"].nunique() > 1:
            grid[0].legend(frameon=False)
        return style.save_figure(figure, folder / "liquidation_map.pdf", moves)


def _draw_shock(axes: "Axes", totals: pd.DataFrame, scale: float) -> None:
    import seaborn

    from experiments.figures import style

    for number, (engine, table) in enumerate(totals.groupby("engine", sort=False)):
        ordered = table.sort_values("move")
        seaborn.lineplot(
            x=100 * ordered["move"],
            y=ordered["notional"] / scale,
            drawstyle="steps-mid",
            color=style.COLOURS[number % len(style.COLOURS)],
            linestyle=style.LINE_STYLES[number % len(style.LINE_STYLES)],
            label=str(engine),
            legend=False,
            ax=axes,
        )
    axes.set_ylim(bottom=0)
