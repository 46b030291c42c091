"""Real crash under leverage caps: close-outs by day, and the parties that bore the losses."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from experiments.config import RunConfig
from experiments.figures.style import (
    COLOURS,
    LAYER_NAMES,
    LINE_STYLES,
    PAGE_WIDTH,
    create_figure,
    draw_band_between,
    draw_line,
    save_figure,
    use_style,
)
from experiments.results.markdown import format_header, format_row
from experiments.statistics import compare_neighbours, summarise_measures
from experiments.studies.shared.caps import SETTING_COLUMNS, format_grid
from experiments.studies.shared.shocks import find_first_perpetual
from sim.metrics.cascades import Frames
from sim.metrics.overview import OWN_MARGIN, sum_losses_by_payer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORDS = {
    "closed_out": ("closed out at least once, % of participants", 100),
    "at_open": ("of them first at an open, %", 100),
    "close_outs": ("close-outs", 1),
    "deleveraged": ("ADL, % of mean open interest", 100),
}
"""Measures of a whole run: label, and the factor of its figures."""

CAPTIONS = {
    "real_crash": "The index, and the share of participants closed out so far by leverage cap, a "
    "panel for each elasticity of leverage to the cap; means with 95% confidence intervals.",
    "estimates": "Totals of a run at every cap and elasticity.",
    "differences": "Paired change from the next lower cap, on the same draws.",
    "days": "Shares of participants closed out so far, on that day, and on that day at the open.",
}

MONEY_FACTOR = 1e-3  # reports are in thousands


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return a row for each day: index at the close, first close-outs, losses by payer (USD)."""
    unit = 10 ** config.assets[0].decimals
    steps = _select_steps(frames["steps"], find_first_perpetual(config))
    day = steps["stamp"].dt.normalize()
    is_open = day.ne(day.shift())
    filled = _filled_closeouts(config, frames)
    first = filled.drop_duplicates("owner")["step"]
    first_days = day.loc[first]
    table = pd.DataFrame({"index": steps["exogenous"].groupby(day).last()})
    table["participants"] = _count_participants(config)
    table["closed_out"] = first_days.value_counts()
    table["at_open"] = first_days[is_open.loc[first].to_numpy()].value_counts()
    table["close_outs"] = day.loc[filled["step"]].value_counts()
    open_interest = steps["open_interest"].mean()
    table["deleveraged"] = steps["adl"].groupby(day).sum() / open_interest
    borne = [_sum_losses(frames, group.index) for _, group in steps.groupby(day)]
    for layer in _list_payers(config):
        table[f"borne_{layer}"] = [losses.get(layer, 0) / unit for losses in borne]
    return table.fillna(0).rename_axis("day").reset_index()


def _select_steps(steps: pd.DataFrame, instrument: str) -> pd.DataFrame:
    return steps[steps["instrument"] == instrument].set_index("step")


def _list_payers(config: RunConfig) -> list[str]:
    """Return the parties that may bear a loss, in order."""
    return [OWN_MARGIN, *(layer.kind for layer in config.venues[0].waterfall), "bad_debt"]


def _count_participants(config: RunConfig) -> int:
    """Return the number of participants, without insurance funds."""
    return sum(population.count for population in config.populations if not population.fund_venue)


def _filled_closeouts(config: RunConfig, frames: Frames) -> pd.DataFrame:
    """Return the close-outs that filled, without those of insurance funds."""
    funds = [population.name for population in config.populations if population.fund_venue]
    closeouts = frames["closeouts"]
    others = closeouts[~closeouts["population"].isin(funds)]
    return others[others["filled"] > 0]


def _sum_losses(frames: Frames, steps: "pd.Index[int]") -> dict[str, int]:
    """Return the losses of some steps by payer (minor units)."""
    selected = {
        name: frames[name][frames[name]["step"].isin(steps)] for name in ("closeouts", "losses")
    }
    return sum_losses_by_payer(selected)


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return totals of a run, their change from cap to cap, and cumulative shares by day."""
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
    """Return one row for each run, with counts of participants as shares."""
    keys = [*SETTING_COLUMNS, "seed"]
    counts = ["closed_out", "at_open", "close_outs", "deleveraged", *_loss_columns(runs)]
    summed = runs.groupby(keys)[counts].sum()
    participants = runs.groupby(keys)["participants"].first()
    summed["at_open"] = summed["at_open"] / summed["closed_out"].where(summed["closed_out"] > 0)
    summed["closed_out"] = summed["closed_out"] / participants
    return summed.reset_index()


def _cumulative_shares(runs: pd.DataFrame) -> pd.DataFrame:
    """Return shares of participants by day: closed out so far, that day, and at its open."""
    keys = [*SETTING_COLUMNS, "seed"]
    ordered = runs.sort_values([*keys, "day"])
    participants = ordered["participants"]
    shares = ordered[[*keys, "day", "index"]].copy()
    shares["closed_out"] = ordered.groupby(keys)["closed_out"].cumsum() / participants
    shares["first"] = ordered["closed_out"] / participants
    shares["first_at_open"] = ordered["at_open"] / participants
    return shares


def report(runs: pd.DataFrame) -> str:
    """Return totals with a column for each cap, and the days with the most first close-outs."""
    made = tables(runs)
    words = WORDS | {
        name: (f"borne by {_layer_name(name)}, thousands", MONEY_FACTOR)
        for name in _loss_columns(runs)
    }
    lines = [
        f"{runs['seed'].nunique()} seeds; means with 95% confidence intervals.",
        "",
        *format_grid(made["estimates"], words),
    ]
    return "\n".join([*lines, "", *_worst_day_lines(runs, made["days"])])


def _worst_day_lines(runs: pd.DataFrame, days: pd.DataFrame, most: int = 6) -> list[str]:
    """Return the days with the most first close-outs, % of participants, at the open in
    brackets.
    """
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
        "Days with the most participants closed out for the first time, % of participants (of "
        "them at the open):",
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
        moved = ""
        if not pd.isna(change[day]):
            moved = f"{100 * change[day]:+.1f}%".replace("-", "\N{MINUS SIGN}")
        lines.append(format_row([f"{day:%d %b %Y}", moved, *cells]))
    return lines


def _layer_name(column: str) -> str:
    name = column.removeprefix("borne_")
    return "own margin" if name == OWN_MARGIN else LAYER_NAMES.get(name, name)


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``real_crash``: the index, and participants closed out so far by cap and elasticity."""
    shares = _cumulative_shares(runs)
    table = summarise_measures(shares, (*SETTING_COLUMNS, "day"), ["closed_out"])
    index = runs.groupby("day")["index"].mean()
    with use_style():
        figure = _draw_elasticities(table, index)
        indexed = index.reset_index().assign(measure="index").rename(columns={"index": "mean"})
        save_figure(figure, folder / "real_crash", pd.concat([table, indexed], ignore_index=True))


def _draw_elasticities(table: pd.DataFrame, index: "pd.Series[float]") -> "Figure":
    """Draw the index above the shares of each cap, in a column for each elasticity."""
    import seaborn

    figure = create_figure(PAGE_WIDTH, 3.6)
    elasticities = sorted(table["elasticity"].unique())
    grid = figure.subplots(
        2, len(elasticities), sharex=True, sharey="row", height_ratios=(1, 2), squeeze=False
    )
    for column, elasticity in enumerate(elasticities):
        top, bottom = grid[:, column]
        _draw_shares(bottom, table[table["elasticity"] == elasticity])
        draw_line(top, range(len(index)), index, color="0.35", linewidth=1.1)
        top.set_title(f"$\\epsilon$ = {elasticity:g}", fontsize="medium")
        _draw_days(bottom, list(index.index))
        for axes in (top, bottom):
            axes.label_outer()
            seaborn.despine(ax=axes)
    grid[0, 0].set_ylabel("Index at close")
    grid[1, 0].set_ylabel("Closed out so far\n(% of participants)")
    handles, caps = grid[1, 0].get_legend_handles_labels()
    look: dict[str, Any] = {"ncols": 3, "frameon": False, "handlelength": 2.8}
    labels = [f"cap {cap}" for cap in caps]
    figure.legend(handles, labels, loc="outside upper center", **look)
    figure.align_ylabels(grid[:, 0])
    return figure


def _draw_shares(axes: "Axes", table: pd.DataFrame) -> None:
    """Draw a line with its band for each cap."""
    caps = {
        f"{cap:g}": 100 * group.sort_values("day")[["mean", "low", "high"]]
        for cap, group in table.groupby("cap")
    }
    for number, shares in enumerate(caps.values()):
        draw_band_between(axes, shares.assign(at=range(len(shares))), COLOURS[number])
    for number, (label, shares) in enumerate(caps.items()):
        look: dict[str, Any] = {"color": COLOURS[number], "linestyle": LINE_STYLES[number]}
        draw_line(axes, range(len(shares)), shares["mean"], label=label, linewidth=1.1, **look)
    axes.set_ylim(bottom=0)


def _draw_days(axes: "Axes", days: list[pd.Timestamp], most: int = 4) -> None:
    """Label trading days, which are evenly spaced without nights and weekends."""
    shown = range(0, len(days), max(1, len(days) // most))
    axes.set_xticks(list(shown), [f"{days[number].day} {days[number]:%b}" for number in shown])
    axes.set_xlabel(f"Trading days ({days[0].year})")
