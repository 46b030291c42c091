"""Early warning of cascades: indicators every ten minutes, scored by events within the hour."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.config import RunConfig
from experiments.figures.style import (
    COLOURS,
    COLUMN_WIDTH,
    LINE_STYLES,
    PAGE_WIDTH,
    create_figure,
    draw_line,
    save_figure,
    use_style,
)
from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.statistics import LEVEL, Estimate, jackknife_clusters
from experiments.studies.shared.indicators import (
    INDICATORS,
    WARNING_HORIZON,
    compute_indicators,
)
from experiments.studies.shared.rules import join_names, name_level
from experiments.studies.shared.shocks import find_first_perpetual
from sim.metrics.cascades import Frames
from sim.metrics.contagion import build_contagion
from sim.metrics.generations import tabulate_cascades
from sim.metrics.indicator_roc import compute_roc, compute_roc_area, find_threshold, measure_leads
from sim.types import B1, F8, I8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIN_CASCADE_SHARE = 0.0025
"""Smallest event: notional of a cascade that close-outs caused, as a share of open interest."""

FALSE_ALARM_RATE = 0.1
"""Share of quiet readings that raise an alarm, for lead times."""

SETTLING_TIME = 7200.0
"""Time before which traders still enter (s)."""

DRAWN_INDICATORS = ("r_1", "r_2", "r_5", "at_risk", "thin", "volatility", "hawkes")
"""Indicators of the figure."""

IndicatorFigures = dict[str, dict[str, float]]
"""Figures by indicator: area, within, threshold, false, events, warned, lead (min)."""

CONTOUR_LEVELS = (0.25, 0.5, 1, 2, 4)
"""Values of R(2%) whose contours are drawn; larger ones have thicker lines."""

BONFERRONI_LEVEL = 1 - (1 - LEVEL) / len(INDICATORS)
"""Confidence level for calling one of all indicators the best (Bonferroni)."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return a row for each reading: indicators, time to the next event, and the event's size.

    The time is in s, inf if there is no further event. The size is a share of open interest.
    """
    instrument = find_first_perpetual(config)
    steps = frames["steps"][frames["steps"]["instrument"] == instrument].set_index("step")
    table = compute_indicators(config, frames, steps, instrument)
    events = _find_events(frames, steps)
    begins = events["seconds"].to_numpy(np.float64)
    after = np.searchsorted(begins, table["seconds"].to_numpy(), side="right")
    next_event = np.append(begins, np.inf)[after]
    table["until"] = next_event - table["seconds"]
    table["size"] = np.append(events["size"].to_numpy(np.float64), 0.0)[after]
    return table[table["seconds"] >= SETTLING_TIME].reset_index(drop=True)


def _find_events(frames: Frames, steps: pd.DataFrame) -> pd.DataFrame:
    """Return the cascades that close-outs deepened enough: their start and that part's size.

    The size is a share of open interest at the start.
    """
    cascades = tabulate_cascades(build_contagion(frames))
    before = cascades["first"].to_numpy(np.int64) - 1
    open_interest = steps["gross"].to_numpy(np.float64)[before] / 2
    cascades["size"] = cascades["endogenous"] * cascades["notional"] / open_interest
    cascades["seconds"] = steps["seconds"].reindex(cascades["first"]).to_numpy()
    return cascades[cascades["size"] >= MIN_CASCADE_SHARE].sort_values("seconds")


def is_event_ahead(runs: pd.DataFrame) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Return True for readings that an event follows within the horizon."""
    return (runs["until"] <= WARNING_HORIZON).to_numpy()


def _number_runs(runs: pd.DataFrame) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the number of each reading's run."""
    return runs.groupby(["capital", "cap", "seed"], sort=False).ngroup().to_numpy().astype(np.int64)


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return ``indicators``, ``behind`` and ``markets``.

    ``indicators``: areas over all readings and within runs, and detection at 10% false alarms.
    Markets of one seed share the index and its jumps (RNG-1), so intervals come from leaving out
    each seed in turn.
    ``behind``: shortfall of an indicator's area from the largest, at a level adjusted for all
    comparisons.
    """
    seeds = np.unique(runs["seed"])
    whole = _judge_indicators(runs)
    without = (
        [_judge_indicators(runs[runs["seed"] != seed]) for seed in seeds] if seeds.size > 1 else []
    )
    rows = [
        {"indicator": name, **_indicator_row(whole[name], [part[name] for part in without])}
        for name in INDICATORS
    ]
    return {
        "indicators": pd.DataFrame(rows),
        "behind": _compare_with_best(whole, without),
        "markets": _summarise_settings(runs),
    }


def _judge_indicators(runs: pd.DataFrame) -> IndicatorFigures:
    events, market = is_event_ahead(runs), _number_runs(runs)
    return {name: _judge_indicator(runs, name, events, market) for name in INDICATORS}


def _judge_indicator(runs: pd.DataFrame, name: str, events: B1, market: I8) -> dict[str, float]:
    values = runs[name].to_numpy(np.float64)
    level = find_threshold(values, events, FALSE_ALARM_RATE)
    leads = [lead for _, group in runs.groupby(market) for lead in _find_leads(group, name, level)]
    minutes = [lead.seconds / 60 for lead in leads if lead.warned]
    areas_within = [
        compute_roc_area(values[market == number], events[market == number])
        for number in np.unique(market)
    ]
    return {
        "area": compute_roc_area(values, events),
        "within": _finite_mean(areas_within),
        "threshold": level,
        "false": float((values >= level)[~events].mean()),
        "events": len(leads),
        "warned": len(minutes) / len(leads) if leads else np.nan,
        "lead": float(np.median(minutes)) if minutes else np.nan,
    }


def _finite_mean(values: Sequence[float]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _indicator_row(
    whole: Mapping[str, float], without: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """Return an indicator's row, with intervals for the figures that have them."""
    row = {"seeds": len(without) or 1} | dict(whole)
    for name in ("area", "within", "warned"):
        estimate = jackknife_clusters(row[name], np.array([part[name] for part in without]))
        row |= {f"{name}_low": max(estimate.low, 0.0), f"{name}_high": min(estimate.high, 1.0)}
    return row


def _compare_with_best(
    whole: IndicatorFigures, without: Sequence[IndicatorFigures]
) -> pd.DataFrame:
    """Return the area of the best indicator less that of each other, over all readings."""
    best = max(INDICATORS, key=lambda name: np.nan_to_num(whole[name]["area"], nan=-1.0))
    rows = []
    for name in INDICATORS:
        if name == best:
            continue
        behind, *left_out = (
            scored[best]["area"] - scored[name]["area"] for scored in (whole, *without)
        )
        estimate = jackknife_clusters(behind, np.array(left_out), BONFERRONI_LEVEL)
        rows.append((best, name, *estimate))
    return pd.DataFrame(rows, columns=["indicator", "versus", *Estimate._fields])


def _find_leads(group: pd.DataFrame, name: str, level: float) -> list[Any]:
    """Return the lead time of the warning before each event of one run."""
    begins = np.unique((group["seconds"] + group["until"])[np.isfinite(group["until"])].round(3))
    return measure_leads(group["seconds"].to_numpy(), group[name].to_numpy() >= level, begins)


def _summarise_settings(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the median R, the share of readings before events and the largest cascade by
    setting.
    """
    marked = runs.assign(event=is_event_ahead(runs))
    grouped = marked.groupby(["capital", "cap"])
    summary = grouped.agg(
        r_1=("r_1", "median"),
        r_2=("r_2", "median"),
        before=("event", "mean"),
        largest=("size", "max"),
    )
    return summary.reset_index()


def report(runs: pd.DataFrame) -> str:
    """Return the findings as sentences, and the table of indicators."""
    made = tables(runs)
    rows = made["indicators"].to_dict("records")
    lines = [*(f"- {sentence}" for sentence in _write_findings(rows, made["behind"])), ""]
    lines += format_header(
        ["", "area, all markets", "area within a market", "warned, %", "lead, min (median)"]
    )
    for row in rows:
        lead = f"{row['lead']:.0f}" if row["warned"] else "none"
        cells = [
            format_estimate(_make_estimate(row, "area")),
            format_estimate(_make_estimate(row, "within")),
            format_estimate(_make_estimate(row, "warned", 100)),
        ]
        lines.append(format_row([INDICATORS[str(row["indicator"])], *cells, lead]))
    return "\n".join(lines)


def _make_estimate(row: Mapping[Any, Any], name: str, factor: float = 1) -> Estimate:
    ends = (row[name], row[f"{name}_low"], row[f"{name}_high"])
    return Estimate(int(row["seeds"]), *ends).rescale(factor)


def _write_findings(rows: Sequence[Mapping[Any, Any]], behind: pd.DataFrame) -> list[str]:
    """Return sentences: the best indicator over all markets, within a market, and its warnings."""
    if not rows[0]["events"]:
        return ["No cascade of the required size followed any reading: warnings cannot be scored."]
    best, inside = (
        max(rows, key=lambda row: np.nan_to_num(row[name], nan=-1.0)) for name in ("area", "within")
    )
    (hawkes,) = (row for row in rows if row["indicator"] == "hawkes")
    name = INDICATORS[best["indicator"]]
    area = name_level(format_estimate(_make_estimate(best, "area")))
    within = name_level(format_estimate(_make_estimate(inside, "within")))
    alike = [INDICATORS[str(other)] for other in behind.loc[~(behind["low"] > 0), "versus"]]
    beside = (
        f". It is not statistically significantly better than {join_names(alike)}" if alike else ""
    )
    return [
        f"For a cascade within the hour, {name} has the largest area over all markets, "
        f"{area}{beside}.",
        f"Within a market, {INDICATORS[inside['indicator']]} has the largest area, "
        f"{within}: {_describe_chance(inside)}.",
        f"At {FALSE_ALARM_RATE:.0%} false alarms, {name} warned {_describe_warnings(best)}; the "
        f"Hawkes ratio warned before {hawkes['warned']:.0%}.",
    ]


def _describe_warnings(best: Mapping[Any, Any]) -> str:
    """Return the share of cascades that were warned of, and the median lead time."""
    warned = _make_estimate(best, "warned", 100)
    interval = f" (95% CI {warned.low:.0f} to {warned.high:.0f})" if warned.n > 1 else ""
    return (
        f"before {warned.mean:.0f}%{interval} of {best['events']:.0f} cascades, with a median lead "
        f"of {best['lead']:.0f} min"
    )


def _describe_chance(inside: Mapping[Any, Any]) -> str:
    """Return whether the best indicator beats chance, with an interval adjusted for all
    indicators.
    """
    from scipy.stats import t

    n = int(inside["seeds"])
    if n < 2:
        return "one seed, too few for an interval"
    wider = float(t.isf((1 - BONFERRONI_LEVEL) / 2, n - 1) / t.isf((1 - LEVEL) / 2, n - 1))
    low = inside["within"] - wider * (inside["within"] - inside["within_low"])
    return (
        "better than chance" if low > 0.5 else "not statistically significantly better than chance"
    )


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``early_warning``: ROC curves. Draw ``phase_diagram``: frequency of cascades, contours
    of R.
    """
    events = is_event_ahead(runs)
    areas = {row["indicator"]: row for row in tables(runs)["indicators"].to_dict("records")}
    curves = pd.concat(
        [
            compute_roc(runs[name].to_numpy(), events).assign(indicator=name)
            for name in DRAWN_INDICATORS
        ]
    )
    with use_style():
        _save_curves(curves, areas, folder)
        _save_phase_diagram(_summarise_settings(runs), folder)


def _save_curves(curves: pd.DataFrame, areas: Mapping[str, Any], folder: Path) -> None:
    import seaborn

    figure = create_figure(PAGE_WIDTH, 3.6)
    axes = figure.subplots()
    for place, (name, curve) in enumerate(curves.groupby("indicator", sort=False)):
        area = format_estimate(_make_estimate(areas[str(name)], "area"))
        look: dict[str, Any] = {
            "color": COLOURS[place],
            "linestyle": LINE_STYLES[place % len(LINE_STYLES)],
            "linewidth": 1.1,
        }
        label = f"{INDICATORS[str(name)]}: {area}"
        draw_line(axes, curve["false"], curve["true"], label=label, **look)
    axes.axline((0, 0), (1, 1), color="0.6", linewidth=0.7, linestyle="--", zorder=0)
    axes.set_xlabel("Share of quiet readings with an alarm")
    axes.set_ylabel("Share of readings within an hour\nof a cascade with an alarm")
    title = "Area under the curve (95% CI)"
    figure.legend(frameon=False, loc="outside right center", title=title)
    axes.set_box_aspect(1)
    seaborn.despine(ax=axes)
    save_figure(figure, folder / "early_warning", curves)


def _save_phase_diagram(table: pd.DataFrame, folder: Path) -> None:
    figure = create_figure(COLUMN_WIDTH, 2.7)
    axes = figure.subplots()
    _draw_phase_diagram(axes, table, "before", figure)
    save_figure(figure, folder / "phase_diagram", table)


def _draw_phase_diagram(axes: "Axes", table: pd.DataFrame, name: str, figure: "Figure") -> None:
    """Draw a cell for each setting, and contours of R(2%)."""
    import seaborn

    colours, edge = (
        table.pivot(index="cap", columns="capital", values=column) for column in (name, "r_2")
    )
    seaborn.heatmap(
        100 * colours,
        cmap=seaborn.light_palette(COLOURS[3], as_cmap=True),
        vmin=0,
        annot=True,
        fmt=".0f",
        annot_kws={"fontsize": "small", "color": "0.15"},
        cbar_kws={"label": "Readings before a cascade\nwithin an hour (%)"},
        ax=axes,
    )
    axes.invert_yaxis()
    if min(edge.shape) > 1:
        _draw_contours(axes, edge.to_numpy(np.float64), figure)
    capital = colours.columns.to_numpy(np.float64) / 1000
    axes.set_xticks(axes.get_xticks(), [f"{value:g}" for value in capital])
    axes.set_yticks(axes.get_yticks(), [f"{value:g}" for value in colours.index], rotation=0)
    axes.set_xlabel("Capital of each maker (thousand USD)")
    axes.set_ylabel("Leverage cap (times)")


def _draw_contours(axes: "Axes", feedback: F8, figure: "Figure") -> None:
    """Draw contours of R(2%) over the cells, and a legend of those within its range."""
    widths = np.linspace(0.5, 1.7, len(CONTOUR_LEVELS))
    centres = (np.arange(size) + 0.5 for size in feedback.shape[::-1])
    contours = axes.contour(
        *centres, feedback, levels=CONTOUR_LEVELS, colors="0.15", linewidths=widths
    )
    handles, _ = contours.legend_elements()
    least, most = np.nanmin(feedback), np.nanmax(feedback)
    inside = [k for k, level in enumerate(CONTOUR_LEVELS) if least < level < most]
    names = [f"R(2%) = {CONTOUR_LEVELS[k]:g}" for k in inside]
    lines = [handles[k] for k in inside]
    figure.legend(lines, names, loc="outside upper center", ncols=2, frameon=False)
