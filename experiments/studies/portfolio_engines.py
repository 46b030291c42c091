"""Margin engines at equal capital in a market of portfolios, and why each differs from isolated
tiers.

The difference between an engine and isolated tiers is divided among what the engine changes:

- account: one margin account for all positions in place of one for each (ISO-1),
- rates: the engine's margin of each instrument held alone, in place of a ladder of tiers,
- volatility: rates that follow the market from the start of the run on,
- offsets: margin of the portfolio in place of the sum of standalone margins.

Arms with the same draws differ in one of these. All of them require the same capital on the
reference book (MAR-2). Account and rates are switched in both orders, and the mean is reported.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
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
from experiments.statistics import (
    Estimate,
    adjust_by_holm,
    compare_with_reference,
    estimate_mean,
    summarise_measures,
)
from experiments.studies.shared.shocks import find_shock_step
from sim.metrics.cascades import Frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REFERENCE = "isolated"
SHARED_TIERS = {"derive": "tiers_by_underlying"}
"""Arm with an engine's accounts and the tiers of ``isolated``; ``cross`` unless listed."""

OF_OPEN_INTEREST = ", % of open interest"
"""Unit in the labels of measures of harm."""

PARTS = ("account", "rates", "volatility", "offsets")
WORDS = {
    "closed_out": (f"closed out{OF_OPEN_INTEREST}", 100),
    "deleveraged": (f"ADL{OF_OPEN_INTEREST}", 100),
    "system_loss": (f"system loss{OF_OPEN_INTEREST}", 100),
    "fund_draw": (f"fund draw{OF_OPEN_INTEREST}", 100),
    "leverage": ("open interest ÷ equity before the shock", 1),
    "margin": ("initial margin before the shock, % of notional", 100),
}
"""Measures: label, and the factor of its figures."""

HARM = ("closed_out", "deleveraged", "system_loss")
CAPTIONS = {
    "portfolio_engines": "Differences from isolated tiers at equal capital, divided into what each "
    "engine changes; means over seeds with 95% intervals.",
    "estimates": "Every measure under every engine and arm.",
    "differences": "Each engine less isolated tiers, on the same draws.",
    "parts": "The same differences, divided into account, rates, volatility and offsets.",
}


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return one row: what was closed out and lost from the shock on, over all perpetuals."""
    since, venue = find_shock_step(config), config.venues[0].name
    here = {name: frame[frame["venue"] == venue] for name, frame in _select(frames).items()}
    listed = here["steps"][here["steps"]["kind"] == "perpetual"]
    gross = float(listed.loc[listed["step"] == since - 1, "gross"].sum())
    account = here["venues"][here["venues"]["step"] == since - 1].iloc[0]
    harm = _sum_harm(listed[listed["step"] >= since], here["losses"], since)
    row = {
        **{name: amount / (gross / 2) for name, amount in harm.items()},
        "leverage": gross / 2 / float(account["equity"]),
        "margin": float(account["initial"]) / gross,
    }
    return pd.DataFrame({name: [row[name]] for name in WORDS})


def _select(frames: Frames) -> dict[str, pd.DataFrame]:
    return {name: frames[name] for name in ("steps", "venues", "losses")}


def _sum_harm(listed: pd.DataFrame, losses: pd.DataFrame, since: int) -> dict[str, float]:
    """Return what close-outs, ADL and the layers of loss amount to, minor units."""
    lost = losses[losses["step"] >= since]
    return {
        "closed_out": float(listed["liquidated_notional"].sum()),
        "deleveraged": float(listed["adl_notional"].sum()),
        "system_loss": float(lost["absorbed"].sum()),
        "fund_draw": float(lost.loc[lost["layer"] == "fund", "absorbed"].sum()),
    }


def list_engines(runs: pd.DataFrame) -> list[str]:
    """Return the engines of which every arm was run, in order of appearance."""
    arms = list(dict.fromkeys(runs["engine"]))
    return [name for name in arms if f"{name}_isolated" in arms and f"{name}_standalone" in arms]


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return every measure, differences from isolated tiers, and the parts of these."""
    named = [*dict.fromkeys([REFERENCE, "cross", *list_engines(runs)])]
    whole = runs[runs["engine"].isin(named)]
    compared = compare_with_reference(whole, "engine", REFERENCE, ["kappa"], list(WORDS))
    return {
        "estimates": summarise_measures(runs, ["kappa", "engine"], list(WORDS)),
        "differences": adjust_by_holm(compared, ["measure"]),
        "parts": divide_differences(runs),
    }


def divide_differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the parts of each engine's difference from isolated tiers.

    Returns:
        Rows of kappa, engine, measure, part, n, mean, low, high. Parts of a measure add up to
        the difference.
    """
    rows = [
        (kappa, engine, measure, part, *estimate_mean(values))
        for (kappa,), group in runs.groupby(["kappa"], sort=False)
        for engine in list_engines(runs)
        for measure in HARM
        for part, values in _divide(group, engine, measure)
    ]
    columns = ["kappa", "engine", "measure", "part", *Estimate._fields]
    return pd.DataFrame(rows, columns=columns)


def _divide(runs: pd.DataFrame, engine: str, measure: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the parts of one engine's difference, by seed."""
    table = runs.pivot(index="seed", columns="engine", values=measure)
    fixed = f"{engine}_fixed" if f"{engine}_fixed" in table else engine
    names = [REFERENCE, SHARED_TIERS.get(engine, "cross"), f"{engine}_isolated"]
    names += [f"{engine}_standalone", fixed, engine]
    split, shared, alone, summed, netted, whole = table[names].dropna().to_numpy(float).T
    yield "account", ((shared - split) + (summed - alone)) / 2
    yield "rates", ((alone - split) + (summed - shared)) / 2
    yield "volatility", whole - netted
    yield "offsets", netted - summed


def report(runs: pd.DataFrame) -> str:
    """Return the measures by engine, and the parts of each difference."""
    made, lines = tables(runs), [f"{runs['seed'].nunique()} seeds; 95% intervals.", ""]
    for kappa in dict.fromkeys(runs["kappa"]):
        lines += [f"## Compression {kappa:g}", "", *_list_measures(made["estimates"], kappa), ""]
        lines += ["Difference from isolated tiers, and its parts (percentage points):", ""]
        lines += [*_list_parts(made, kappa), ""]
    return "\n".join(lines)


def _list_measures(estimates: pd.DataFrame, kappa: float) -> list[str]:
    """Return a table with a row for each arm and a column for each measure."""
    here = estimates[estimates["kappa"] == kappa]
    lines = format_header(["engine", *(label for label, _ in WORDS.values())])
    for engine in dict.fromkeys(here["engine"]):
        cells = (_format_cell(here[here["engine"] == engine], name) for name in WORDS)
        lines.append(format_row([f"`{engine}`", *cells]))
    return lines


def _list_parts(made: dict[str, pd.DataFrame], kappa: float) -> list[str]:
    """Return a table with a row for each engine and measure, and a column for each part."""
    compared, parts = (
        table[table["kappa"] == kappa] for table in (made["differences"], made["parts"])
    )
    lines = format_header(["engine", "measure", "difference", *PARTS])
    for engine in dict.fromkeys(parts["engine"]):
        for measure in HARM:
            whole = compared[compared["engine"] == engine]
            own = parts[(parts["engine"] == engine) & (parts["measure"] == measure)]
            cells = (_format_cell(own[own["part"] == part], measure, signed=True) for part in PARTS)
            first = _format_cell(whole, measure, signed=True)
            lines.append(format_row([f"`{engine}`", WORDS[measure][0], first, *cells]))
    return lines


def _format_cell(table: pd.DataFrame, measure: str, *, signed: bool = False) -> str:
    """Return one estimate of a measure in the units of the report."""
    row = table.loc[table["measure"] == measure, list(Estimate._fields)].iloc[0]
    estimate = Estimate(int(row["n"]), *(float(value) for value in row.iloc[1:]))
    return format_estimate(estimate.rescale(WORDS[measure][1]), signed=signed)


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``portfolio_engines``: the parts of each difference, a panel for each measure."""
    parts = divide_differences(runs)
    levels = list(dict.fromkeys(parts["kappa"]))
    with use_style():
        figure = create_figure(PAGE_WIDTH, 1.0 + 2.1 * len(levels))
        panels = figure.subplots(len(levels), len(HARM), sharey=True, squeeze=False)
        for row, kappa in zip(panels, levels, strict=True):
            for axes, measure in zip(row, HARM, strict=True):
                chosen = (parts["kappa"] == kappa) & (parts["measure"] == measure)
                _draw_parts(axes, parts[chosen], WORDS[measure][1])
            row[0].set_ylabel(f"compression {kappa:g}")
        for axes, measure in zip(panels[0], HARM, strict=True):
            axes.set_title(WORDS[measure][0].removesuffix(OF_OPEN_INTEREST), fontsize="medium")
        figure.supxlabel(f"change from isolated tiers{OF_OPEN_INTEREST}", fontsize="medium")
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(PARTS), frameon=False)
        save_figure(figure, folder / "portfolio_engines", parts)


def _draw_parts(axes: "Axes", table: pd.DataFrame, factor: float) -> None:
    """Draw the parts of each engine's difference side by side, with intervals."""
    import seaborn

    engines: Sequence[str] = list(dict.fromkeys(table["engine"]))
    for number, part in enumerate(PARTS):
        own = table[table["part"] == part]
        place = [
            len(engines) - engines.index(name) + 0.18 * (1.5 - number) for name in own["engine"]
        ]
        drawn = (own[["mean", "low", "high"]] * factor).assign(
            at=place, colour=[COLOURS[number]] * len(own)
        )
        look = {"color": COLOURS[number], "s": 14, "linewidth": 0, "legend": False}
        seaborn.scatterplot(drawn, x="mean", y="at", label=part, ax=axes, **look)
        draw_intervals(axes, drawn, along="y")
    axes.axvline(0, color="0.4", linewidth=0.7, zorder=0)
    axes.set(xlabel="", ylabel="", yticks=range(len(engines), 0, -1))
    axes.set_yticklabels(engines)
    seaborn.despine(ax=axes)
