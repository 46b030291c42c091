"""A real crash under leverage caps: who would have been closed out, on which day, at whose expense."""

import itertools
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.config import RunConfig
from experiments.figures.style import (
    COLOURS,
    LAYER_NAMES,
    LINE_STYLES,
    PAGE_WIDTH,
    save_figure,
    use_style,
)
from experiments.results.markdown import format_header, format_row
from experiments.statistics import compare_neighbours, summarise_measures
from experiments.studies.shared.caps import SETTING_COLUMNS, format_grid
from experiments.studies.shared.shocks import find_first_perpetual
from sim.metrics.cascades import Frames
from sim.metrics.overview import OWN_MARGIN, sum_losses_by_payer

WORDS = {
    "closed_out": ("closed out at least once, % of participants", 100),
    "at_open": ("of them first at an open, %", 100),
    "close_outs": ("close-outs", 1),
    "deleveraged": ("ADL, % of mean open interest", 100),
}
"""What is reported of a whole run: words, and by what figures are multiplied."""

CAPTIONS = {
    "real_crash": "The index, and participants closed out so far by leverage cap, a panel for each elasticity "
    "of leverage to the cap; means with 95% intervals.",
    "estimates": "Totals of a run at every cap and elasticity.",
    "differences": "Paired change from the next lower cap, on the same draws.",
    "days": "Closed out so far, that day, and that day at the open, as shares of participants.",
}

MONEY_FACTOR = 1e-3  # reports are in thousands


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """A row for each day: index at its close, people closed out for the first time, who bore what (numeraire)."""
    name, unit = find_first_perpetual(config), 10 ** config.assets[0].decimals
    steps = frames["steps"][frames["steps"]["instrument"] == name].set_index("step")
    day = steps["stamp"].dt.normalize()
    opens = day.ne(day.shift())
    funds = [each.name for each in config.populations if each.fund_venue]
    others = frames["closeouts"][~frames["closeouts"]["population"].isin(funds)]
    filled = others[others["filled"] > 0]
    first = filled.drop_duplicates("owner")["step"]
    people = sum(each.count for each in config.populations if not each.fund_venue)
    table = pd.DataFrame({"index": steps["exogenous"].groupby(day).last()})
    table["people"] = people
    table["closed_out"] = day.loc[first].value_counts()
    table["at_open"] = day.loc[first][opens.loc[first].to_numpy()].value_counts()
    table["close_outs"] = day.loc[filled["step"]].value_counts()
    table["deleveraged"] = steps["adl"].groupby(day).sum() / steps["open_interest"].mean()
    borne = [
        sum_losses_by_payer(_select_steps(frames, group.index)) for _, group in steps.groupby(day)
    ]
    layers = [OWN_MARGIN, *(layer.kind for layer in config.venues[0].waterfall), "bad_debt"]
    for layer in layers:
        table[f"borne_{layer}"] = [each.get(layer, 0) / unit for each in borne]
    return table.fillna(0).rename_axis("day").reset_index()


def _select_steps(frames: Frames, steps: "pd.Index[int]") -> Frames:
    """Close-outs and losses of some steps."""
    return {
        name: frames[name][frames[name]["step"].isin(steps)] for name in ("closeouts", "losses")
    }


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Totals of a run, their paired change from each cap to the next, and the cumulative share by day."""
    totals, sums = _run_totals(runs), [*WORDS, *_loss_columns(runs)]
    days = _cumulative_shares(runs)
    return {
        "estimates": summarise_measures(totals, SETTING_COLUMNS, sums),
        "differences": compare_neighbours(totals, "cap", SETTING_COLUMNS[:1], sums),
        "days": summarise_measures(
            days, (*SETTING_COLUMNS, "day"), ["closed_out", "first", "first_at_open"]
        ),
    }


def _loss_columns(runs: pd.DataFrame) -> list[str]:
    return [name for name in runs.columns if name.startswith("borne_")]


def _run_totals(runs: pd.DataFrame) -> pd.DataFrame:
    """One row for each run; people as shares."""
    keys = [*SETTING_COLUMNS, "seed"]
    summed = runs.groupby(keys)[
        ["closed_out", "at_open", "close_outs", "deleveraged", *_loss_columns(runs)]
    ].sum()
    people = runs.groupby(keys)["people"].first()
    summed["at_open"] = summed["at_open"] / summed["closed_out"].where(summed["closed_out"] > 0)
    summed["closed_out"] = summed["closed_out"] / people
    return summed.reset_index()


def _cumulative_shares(runs: pd.DataFrame) -> pd.DataFrame:
    """By day, shares of people: closed out so far, that day, and that day at the open."""
    ordered = runs.sort_values([*SETTING_COLUMNS, "seed", "day"])
    shares = ordered[[*SETTING_COLUMNS, "seed", "day", "index"]].copy()
    shares["closed_out"] = (
        ordered.groupby([*SETTING_COLUMNS, "seed"])["closed_out"].cumsum() / ordered["people"]
    )
    shares["first"] = ordered["closed_out"] / ordered["people"]
    shares["first_at_open"] = ordered["at_open"] / ordered["people"]
    return shares


def report(runs: pd.DataFrame) -> str:
    """Totals with intervals, caps across; then the days on which most were closed out."""
    made = tables(runs)
    words = WORDS | {
        name: (f"borne by {_layer_name(name)}, thousands", MONEY_FACTOR)
        for name in _loss_columns(runs)
    }
    lines = [
        f"{runs['seed'].nunique()} seeds; means with 95% intervals.",
        "",
        *format_grid(made["estimates"], words),
    ]
    return "\n".join([*lines, "", *_worst_day_lines(runs, made["days"])])


def _worst_day_lines(runs: pd.DataFrame, days: pd.DataFrame, most: int = 6) -> list[str]:
    """First close-outs on the days that had most of them, % of participants, at the open in brackets."""
    names = list(itertools.product(*(sorted(runs[name].unique()) for name in SETTING_COLUMNS)))
    mean = days.pivot_table(index="day", columns=["measure", *SETTING_COLUMNS], values="mean")
    worst = (
        days[days["measure"] == "first"]
        .groupby("day")["mean"]
        .sum()
        .nlargest(most)
        .index.sort_values()
    )
    index = runs.groupby("day")["index"].mean()
    change = index.pct_change()
    lines = [
        "Closed out for the first time on the days that had most, % of participants (at the open):",
        "",
    ]
    lines += format_header(
        ["day", "close to close", *(f"ε {e:g}, cap {cap:g}" for e, cap in names)]
    )
    for day in worst:
        cells = [
            f"{100 * mean['first', *at][day]:.1f} ({100 * mean['first_at_open', *at][day]:.1f})"
            for at in names
        ]
        moved = (
            ""
            if pd.isna(change[day])
            else f"{100 * change[day]:+.1f}%".replace("-", "\N{MINUS SIGN}")
        )
        lines.append(format_row([f"{day:%d %b %Y}", moved, *cells]))
    return lines


def _layer_name(column: str) -> str:
    name = column.removeprefix("borne_")
    return "own margin" if name == OWN_MARGIN else LAYER_NAMES.get(name, name)


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``real_crash``: the index, and people closed out so far by cap, a panel for each elasticity."""
    shares = _cumulative_shares(runs)
    table = summarise_measures(shares, (*SETTING_COLUMNS, "day"), ["closed_out"])
    index = runs.groupby("day")["index"].mean()
    with use_style():
        figure = Figure(figsize=(PAGE_WIDTH, 3.6), layout="constrained")
        elasticities = sorted(table["elasticity"].unique())
        grid = figure.subplots(
            2, len(elasticities), sharex=True, sharey="row", height_ratios=(1, 2), squeeze=False
        )
        for column, elasticity in enumerate(elasticities):
            top, bottom = grid[:, column]
            top.plot(range(len(index)), index, color="0.35", linewidth=1.1)
            top.set_title(f"$\\epsilon$ = {elasticity:g}", fontsize="medium")
            _draw_shares(bottom, table[table["elasticity"] == elasticity])
            _draw_days(bottom, list(index.index))
            for axes in (top, bottom):
                seaborn.despine(ax=axes)
        grid[0, 0].set_ylabel("Index at close")
        grid[1, 0].set_ylabel("Closed out so far\n(% of participants)")
        handles, words = grid[1, 0].get_legend_handles_labels()
        look: dict[str, Any] = {
            "loc": "outside upper center",
            "ncols": 3,
            "frameon": False,
            "handlelength": 2.8,
        }
        figure.legend(handles, [f"cap {word}" for word in words], **look)
        figure.align_ylabels(grid[:, 0])
        indexed = index.reset_index().assign(measure="index").rename(columns={"index": "mean"})
        save_figure(figure, folder / "real_crash", pd.concat([table, indexed], ignore_index=True))


def _draw_shares(axes: Axes, table: pd.DataFrame) -> None:
    """Lines with bands, a cap each."""
    for number, (cap, group) in enumerate(table.groupby("cap")):
        ordered, at = 100 * group.sort_values("day")[["mean", "low", "high"]], range(len(group))
        look: dict[str, Any] = {"color": COLOURS[number]}
        axes.fill_between(at, ordered["low"], ordered["high"], alpha=0.2, linewidth=0, **look)
        axes.plot(
            at,
            ordered["mean"],
            linestyle=LINE_STYLES[number],
            linewidth=1.1,
            label=f"{cap:g}",
            **look,
        )
    axes.set_ylim(bottom=0)


def _draw_days(axes: Axes, days: list[pd.Timestamp], most: int = 4) -> None:
    """Dates of trading days, evenly spaced: nights and weekends take no room."""
    shown = range(0, len(days), max(1, len(days) // most))
    axes.set_xticks(list(shown), [f"{days[number].day} {days[number]:%b}" for number in shown])
    axes.set_xlabel(f"Trading days ({days[0].year})")
