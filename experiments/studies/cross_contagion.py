"""Contagion between coins: ether closed out because bitcoin fell, by engine, against two twins."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from experiments.config import RunConfig
from experiments.figures.style import (
    COLOURS,
    PAGE_WIDTH,
    create_figure,
    draw_intervals,
    save_figure,
    use_style,
)
from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.statistics import Estimate, compare_with_reference, summarise_measures
from experiments.statistics.intervals import estimate_mean
from experiments.studies.shared.rules import REFERENCE_RULE, list_rules
from experiments.studies.shared.shocks import find_first_perpetual, find_shock_step
from sim.metrics.cascades import Frames
from sim.metrics.contagion import build_contagion
from sim.metrics.links.origins import build_origins, tabulate_instruments

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SETTING_COLUMNS = ("engine", "holdings")
MEASURES = ("closed", "from_btc", "owners", "closed_btc")
BASE, STILL, APART = "base", "still", "apart"

EFFECTS = {
    "attributed": "attributed to bitcoin",
    "fall": "effect of the fall",
    "link": "effect of the shared account",
    "gap": "attributed less effect of the fall",
}
"""Measures of the table ``effects``, % of open interest in ether."""

CAPTIONS = {
    "cross_contagion": "Ether closed out, % of open interest before bitcoin falls, by engine: what "
    "attribution traces to bitcoin, what the fall adds to a run without it, and what the shared "
    "account adds to one account per position; means with 95% confidence intervals.",
    "estimates": "Close-outs of every engine, with each role of a run: itself, without the fall of "
    "bitcoin (still), and with one account per position (apart).",
    "effects": "Attribution beside the two twins, % of open interest in ether, paired by seed.",
    "engines": "Ether closed out less that under isolated margin, paired by seed.",
}


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return one row: close-outs from the fall on, % of open interest before it in the instrument.

    ``closed``: ether. ``from_btc``: the part of it that came from losses in bitcoin, followed back
    through close-outs (LIQ-10). ``owners``: owners whose ether was closed out. ``closed_btc``:
    bitcoin.
    """
    bitcoin, ether = _find_coins(config)
    since = find_shock_step(config)
    late = frames["closeouts"][frames["closeouts"]["step"] >= since]
    filled = late[late["filled"] > 0]
    notional = filled.groupby("instrument")["notional"].sum()
    open_interest = _measure_open_interest(frames["steps"], since - 1)
    links = build_contagion(frames)
    kept = links.actions["step"].to_numpy() >= since
    origins = build_origins(frames, links)
    closed = origins._replace(closed=origins.closed * kept[:, None])
    traced = tabulate_instruments(closed).set_index(["closed", "origin"])["notional"]
    held = open_interest[ether]
    row = {
        "closed": 100 * notional.get(ether, 0) / held,
        "from_btc": 100 * traced.get((ether, bitcoin), 0.0) / held,
        "owners": filled.loc[filled["instrument"] == ether, "owner"].nunique(),
        "closed_btc": 100 * notional.get(bitcoin, 0) / open_interest[bitcoin],
    }
    return pd.DataFrame({name: [float(value)] for name, value in row.items()})


def _find_coins(config: RunConfig) -> tuple[str, str]:
    """Return the names of the two perpetuals: that which falls, and the other."""
    first = find_first_perpetual(config)
    others = [each.name for each in config.venues[0].instruments if each.name != first]
    return first, others[0]


def _measure_open_interest(steps: pd.DataFrame, step: int) -> "pd.Series[float]":
    """Return the long notional of each instrument at the end of a step, minor units."""
    own = steps[steps["step"] == step].set_index("instrument")
    half: pd.Series[float] = own["gross"] / 2
    return half


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return every measure, attribution beside the twins, and engines against isolated margin."""
    base = runs[runs["role"] == BASE]
    return {
        "estimates": summarise_measures(runs, [*SETTING_COLUMNS, "role"], MEASURES),
        "effects": measure_effects(runs),
        "engines": compare_with_reference(
            base, "engine", REFERENCE_RULE, ["holdings"], ["closed", "from_btc"]
        ),
    }


def measure_effects(runs: pd.DataFrame) -> pd.DataFrame:
    """Return rows of engine, holdings, measure, n, mean, low, high: see ``EFFECTS``."""
    wide = runs.pivot(index=[*SETTING_COLUMNS, "seed"], columns="role", values="closed")
    traced = runs[runs["role"] == BASE].set_index([*SETTING_COLUMNS, "seed"])["from_btc"]
    found = pd.DataFrame(
        {
            "attributed": traced,
            "fall": wide[BASE] - wide[STILL],
            "link": wide[BASE] - wide[APART],
        }
    )
    found["gap"] = found["attributed"] - found["fall"]
    rows = [
        (engine, holdings, name, *estimate_mean(group[name].to_numpy()))
        for (engine, holdings), group in found.groupby(list(SETTING_COLUMNS), sort=False)
        for name in EFFECTS
    ]
    return pd.DataFrame(rows, columns=[*SETTING_COLUMNS, "measure", *Estimate._fields])


def report(runs: pd.DataFrame) -> str:
    """Return a table of each engine and kind of holdings: close-outs, attribution and twins."""
    estimates, effects = tables(runs)["estimates"], measure_effects(runs)
    base = estimates[estimates["role"] == BASE]
    lines = [
        f"{runs['seed'].nunique()} seeds; % of open interest in ether before bitcoin falls, means "
        "with 95% confidence intervals, differences paired by seed.",
        "",
    ]
    names = ["engine", "traders hold", "ether closed out", "owners", *EFFECTS.values()]
    lines += format_header(names)
    for setting in base[list(SETTING_COLUMNS)].drop_duplicates().itertuples(index=False):
        cells = [_format(base, setting, name) for name in ("closed", "owners")]
        cells += [_format(effects, setting, name, signed=True) for name in EFFECTS]
        lines.append(format_row([*setting, *cells]))
    return "\n".join(lines)


def _format(table: pd.DataFrame, setting: Any, measure: str, *, signed: bool = False) -> str:
    """Return the estimate of one measure at a setting."""
    here = (table["engine"] == setting.engine) & (table["holdings"] == setting.holdings)
    row = table[here & (table["measure"] == measure)].iloc[0]
    return format_estimate(Estimate(*row[list(Estimate._fields)]), signed=signed)


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``cross_contagion``: attribution and both twins by engine, a panel for each holdings."""
    table = measure_effects(runs)
    engines = list_rules(runs)
    with use_style():
        figure = create_figure(PAGE_WIDTH, 2.6)
        kinds = list(dict.fromkeys(table["holdings"]))
        grid = figure.subplots(1, len(kinds), sharex=True, sharey=True, squeeze=False)
        for axes, holdings in zip(grid[0], kinds, strict=True):
            _draw_panel(axes, table[table["holdings"] == holdings], engines)
            axes.set_title(f"Second half of traders: {holdings}", fontsize="medium")
        grid[0, 0].invert_yaxis()
        figure.supxlabel("Ether closed out (% of open interest)", fontsize="medium")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        save_figure(figure, folder / "cross_contagion", table)


def _draw_panel(axes: "Axes", table: pd.DataFrame, engines: list[str]) -> None:
    """Draw the three measures of each engine, a little apart."""
    import seaborn
    from matplotlib.colors import to_hex

    names = list(EFFECTS)[:3]
    shown = table[table["measure"].isin(names)]
    number = shown["measure"].map(names.index)
    placed = shown.assign(
        at=shown["engine"].astype(str).map(engines.index) + 0.2 * (number - 1),
        colour=[to_hex(COLOURS[place]) for place in number],
    )
    draw_intervals(axes, placed, along="y")
    axes.axvline(0, color="0.7", linewidth=0.7, zorder=0)
    for place, name in enumerate(names):
        look: dict[str, Any] = {"color": COLOURS[place], "marker": "osD"[place], "s": 16}
        look |= {"label": EFFECTS[name], "linewidth": 0, "zorder": 3}
        here = placed[placed["measure"] == name]
        seaborn.scatterplot(here, x="mean", y="at", legend=False, ax=axes, **look)
    axes.set(xlabel="", ylabel="")
    axes.set_yticks(range(len(engines)), engines)
    axes.label_outer()
    seaborn.despine(ax=axes)
