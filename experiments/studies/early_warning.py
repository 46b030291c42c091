"""How early can a cascade be seen coming? Indicators every ten minutes, judged by what followed within the hour."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t

from experiments.config import RunConfig
from experiments.figures.style import COLOURS, LINE_STYLES, PAGE_WIDTH, save_figure, use_style
from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.statistics import LEVEL, Estimate, jackknife_clusters
from experiments.studies.shared.rules import join_names
from experiments.studies.shared.shocks import find_first_perpetual
from sim.metrics.cascades import Frames
from sim.metrics.contagion import build_contagion
from sim.metrics.criticality import estimate_excitation, tabulate_feedback, tabulate_rounds
from sim.metrics.generations import tabulate_cascades
from sim.metrics.indicator_roc import compute_roc, compute_roc_area, find_threshold, measure_leads
from sim.types import B1, I8

WARNING_HORIZON, LOOK_BACK = 3600.0, 21_600.0
"""Seconds that a warning is for, and that past close-outs are remembered."""

MIN_CASCADE_SHARE = 0.0025
"""What close-outs bring about of an event's notional, least share of open interest."""

FALSE_ALARM_RATE = 0.1
"""Share of quiet readings that may alarm where lead times are told."""

SETTLING_TIME = 7200.0
"""Seconds before which people still enter."""

INDICATORS = {
    "r_half": "R(½%)",
    "r_1": "R(1%)",
    "r_2": "R(2%)",
    "r_5": "R(5%)",
    "at_risk": "notional within 2% ÷ open interest",
    "thin": "open interest ÷ depth within 1%",
    "spread": "spread",
    "volatility": "volatility of the last hour",
    "hawkes": "Hawkes ratio of the last 6 hours",
    "closed_out": "closed out in the last 6 hours",
}
"""All say more danger when larger."""

DRAWN_INDICATORS = ("r_1", "r_2", "r_5", "at_risk", "thin", "volatility", "hawkes")
"""Those of the figure."""

IndicatorFigures = dict[str, dict[str, float]]
"""By indicator: area, within, threshold, false, events, warned, lead (minutes)."""

CONTOUR_LEVELS = (0.25, 0.5, 1, 2, 4)
"""Values of R(2%) whose contours are drawn, heavier for larger ones."""

BONFERRONI_LEVEL = 1 - (1 - LEVEL) / len(INDICATORS)
"""Level of the intervals by which one of all indicators is called the best (Bonferroni)."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """A row for each reading: indicators, seconds to the next event (inf = none), and its size over open interest."""
    instrument = find_first_perpetual(config)
    steps = frames["steps"][frames["steps"]["instrument"] == instrument].set_index("step")
    table = _compute_indicators(config, frames, steps, instrument)
    events = _find_events(frames, steps)
    begins = events["seconds"].to_numpy(np.float64)
    after = np.searchsorted(begins, table["seconds"].to_numpy(), side="right")
    known = np.append(begins, np.inf)[after]
    table["until"] = known - table["seconds"]
    table["size"] = np.append(events["size"].to_numpy(np.float64), 0.0)[after]
    return table[table["seconds"] >= SETTLING_TIME].reset_index(drop=True)


def _compute_indicators(
    config: RunConfig, frames: Frames, steps: pd.DataFrame, instrument: str
) -> pd.DataFrame:
    """Everything known at a reading, larger = more danger, the worse of falls and rises."""
    ratios = tabulate_feedback(frames, instrument).replace(np.inf, np.nan)
    now = steps.loc[ratios.index]
    own = frames["profile"][frames["profile"]["instrument"] == instrument]
    risk = own.pivot(index="step", columns="move", values="at_risk")
    returns = np.log(steps["mark"]).diff()
    memory, past = (
        round(LOOK_BACK / config.dt),
        steps["liquidated"].rolling(round(LOOK_BACK / config.dt), min_periods=1).sum(),
    )
    found = {
        name: ratios[[-size, size]].max(axis=1)
        for name, size in (("r_half", 0.005), ("r_1", 0.01), ("r_2", 0.02), ("r_5", 0.05))
    }
    found["at_risk"] = risk[[-0.02, 0.02]].max(axis=1) / (now["gross"] / 2)
    found["thin"] = now["open_interest"] / now["depth"].where(now["depth"] > 0)
    found["spread"] = (now["ask"] - now["bid"]) / now["mid"]
    found["volatility"] = (
        returns.rolling(round(WARNING_HORIZON / config.dt), min_periods=2)
        .std()
        .reindex(ratios.index)
    )
    found["closed_out"] = (past / steps["open_interest"]).reindex(ratios.index)
    slots = tabulate_rounds(frames, config.venues[0].name)
    past_ratio = estimate_excitation(slots, ratios.index.to_numpy(np.int64), memory)
    found["hawkes"] = pd.Series(past_ratio, index=ratios.index)
    # a side of the book without a quote is as bad as it gets; past close-outs that tell nothing say nothing
    worst = {
        name: values.fillna(0.0 if name in ("hawkes", "volatility") else 1e9)
        for name, values in found.items()
    }
    return pd.DataFrame({"step": ratios.index, "seconds": now["seconds"]} | worst)[
        ["step", "seconds", *INDICATORS]
    ]


def _find_events(frames: Frames, steps: pd.DataFrame) -> pd.DataFrame:
    """Cascades of which close-outs brought about enough: when they began, and that part over open interest then."""
    found = tabulate_cascades(build_contagion(frames))
    held = steps["gross"].to_numpy(np.float64)[found["first"].to_numpy(np.int64) - 1] / 2
    found["size"] = found["endogenous"] * found["notional"] / held
    found["seconds"] = steps["seconds"].reindex(found["first"]).to_numpy()
    return found[found["size"] >= MIN_CASCADE_SHARE].sort_values("seconds")


def is_event_ahead(runs: pd.DataFrame) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Readings that an event follows in time."""
    return (runs["until"] <= WARNING_HORIZON).to_numpy()


def _number_runs(runs: pd.DataFrame) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The number of each reading's run."""
    return runs.groupby(["capital", "cap", "seed"], sort=False).ngroup().to_numpy().astype(np.int64)


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``indicators``: area over all readings and within runs, what 10% false alarms catch and when; ``markets``.

    Markets of one seed share the index and its jumps (RNG-1): intervals are of seeds, each left out in turn.
    ``behind``: by how much an indicator's area falls short of the largest, at the level of all comparisons together.
    """
    seeds = np.unique(runs["seed"])
    whole = _judge_indicators(runs)
    without = (
        [_judge_indicators(runs[runs["seed"] != seed]) for seed in seeds] if seeds.size > 1 else []
    )
    rows = [
        {"indicator": name, **_indicator_row(whole[name], [each[name] for each in without])}
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
    told = [lead for _, group in runs.groupby(market) for lead in _find_leads(group, name, level)]
    warned = [lead.seconds / 60 for lead in told if lead.warned]
    return {
        "area": compute_roc_area(values, events),
        "within": _finite_mean(
            [
                compute_roc_area(values[market == each], events[market == each])
                for each in np.unique(market)
            ]
        ),
        "threshold": level,
        "false": float((values >= level)[~events].mean()),
        "events": len(told),
        "warned": len(warned) / len(told) if told else np.nan,
        "lead": float(np.median(warned)) if warned else np.nan,
    }


def _finite_mean(values: Sequence[float]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _indicator_row(
    whole: Mapping[str, float], without: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """An indicator's row, intervals beside the figures that have them."""
    row = {"seeds": len(without) or 1} | dict(whole)
    for name in ("area", "within", "warned"):
        found = jackknife_clusters(row[name], np.array([each[name] for each in without]))
        row |= {f"{name}_low": max(found.low, 0.0), f"{name}_high": min(found.high, 1.0)}
    return row


def _compare_with_best(
    whole: IndicatorFigures, without: Sequence[IndicatorFigures]
) -> pd.DataFrame:
    """Area of the best indicator less that of each other, over all readings."""
    best = max(INDICATORS, key=lambda name: np.nan_to_num(whole[name]["area"], nan=-1.0))
    rows = []
    for name in (each for each in INDICATORS if each != best):
        apart, *left_out = (each[best]["area"] - each[name]["area"] for each in (whole, *without))
        rows.append((best, name, *jackknife_clusters(apart, np.array(left_out), BONFERRONI_LEVEL)))
    return pd.DataFrame(rows, columns=["indicator", "versus", *Estimate._fields])


def _find_leads(group: pd.DataFrame, name: str, level: float) -> list[Any]:
    """How the events of one run were announced."""
    begins = np.unique((group["seconds"] + group["until"])[np.isfinite(group["until"])].round(3))
    return measure_leads(group["seconds"].to_numpy(), group[name].to_numpy() >= level, begins)


def _summarise_settings(runs: pd.DataFrame) -> pd.DataFrame:
    """What the market is like at each setting: median R, share of readings that an event follows, largest cascade."""
    marked = runs.assign(event=is_event_ahead(runs))
    grouped = marked.groupby(["capital", "cap"])
    told = grouped.agg(
        r_1=("r_1", "median"),
        r_2=("r_2", "median"),
        before=("event", "mean"),
        largest=("size", "max"),
    )
    return told.reset_index()


def report(runs: pd.DataFrame) -> str:
    """Three sentences, or that there was nothing to warn of, and the table of indicators."""
    made = tables(runs)
    found = made["indicators"].to_dict("records")
    lines = [*(f"- {sentence}" for sentence in _write_findings(found, made["behind"])), ""]
    lines += format_header(
        ["", "area, all markets", "area within a market", "warned of, %", "lead, minutes (median)"]
    )
    for each in found:
        lead = f"{each['lead']:.0f}" if each["warned"] else "none"
        told = [
            format_estimate(_make_estimate(each, "area")),
            format_estimate(_make_estimate(each, "within")),
            format_estimate(_make_estimate(each, "warned", 100)),
        ]
        lines.append(format_row([INDICATORS[str(each["indicator"])], *told, lead]))
    return "\n".join(lines)


def _make_estimate(each: Mapping[Any, Any], name: str, factor: float = 1) -> Estimate:
    ends = (each[name], each[f"{name}_low"], each[f"{name}_high"])
    return Estimate(int(each["seeds"]), *ends).rescale(factor)


def _write_findings(found: Sequence[Mapping[Any, Any]], apart: pd.DataFrame) -> list[str]:
    """Which indicator is best over all markets and which are not told apart from it; within one; what to heed meant."""
    if not found[0]["events"]:
        return [
            "No cascade of the size asked for followed any reading: nothing can be said of warnings."
        ]
    best, inside = (
        max(found, key=lambda each: np.nan_to_num(each[name], nan=-1.0))
        for name in ("area", "within")
    )
    (past,) = (each for each in found if each["indicator"] == "hawkes")
    name, early = INDICATORS[best["indicator"]], _make_estimate(best, "warned", 100)
    alike = [INDICATORS[str(each)] for each in apart.loc[~(apart["low"] > 0), "versus"]]
    beside = f"; that it is better than {join_names(alike)} is not shown" if alike else ""
    share = f"{early.mean:.0f}%" + (
        f" ({early.low:.0f} to {early.high:.0f})" if early.n > 1 else ""
    )
    heard = f"before {share} of {best['events']:.0f} cascades, for {best['lead']:.0f} minutes in the median"
    return [
        f"For a cascade within the hour the largest area is that of {name}, {format_estimate(_make_estimate(best, 'area'))} over all "
        f"markets{beside}.",
        f"Within a market, where only time tells, the largest area is that of {INDICATORS[inside['indicator']]}, "
        f"{format_estimate(_make_estimate(inside, 'within'))}: {_describe_chance(inside)}.",
        f"At {FALSE_ALARM_RATE:.0%} false alarms {name} stood {heard}; the Hawkes ratio before {past['warned']:.0%}.",
    ]


def _describe_chance(inside: Mapping[Any, Any]) -> str:
    """Whether the best of all indicators is better than a coin, its interval widened as for the best of so many."""
    n = int(inside["seeds"])
    if n < 2:
        return "one seed, too few for an interval"
    wider = float(t.isf((1 - BONFERRONI_LEVEL) / 2, n - 1) / t.isf((1 - LEVEL) / 2, n - 1))
    low = inside["within"] - wider * (inside["within"] - inside["within_low"])
    return "better than chance" if low > 0.5 else "not shown to be better than chance"


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``early_warning``: ROC curves. ``phase_diagram``: how often cascades follow, with contours of R."""
    events = is_event_ahead(runs)
    areas = {each["indicator"]: each for each in tables(runs)["indicators"].to_dict("records")}
    curves = pd.concat(
        [
            compute_roc(runs[name].to_numpy(), events).assign(indicator=name)
            for name in DRAWN_INDICATORS
        ]
    )
    with use_style():
        figure = Figure(figsize=(PAGE_WIDTH, 3.6), layout="constrained")
        axes = figure.subplots()
        for place, (name, curve) in enumerate(curves.groupby("indicator", sort=False)):
            told = (
                f"{INDICATORS[str(name)]}: {format_estimate(_make_estimate(areas[name], 'area'))}"
            )
            look: dict[str, Any] = {
                "color": COLOURS[place],
                "linestyle": LINE_STYLES[place % len(LINE_STYLES)],
                "linewidth": 1.1,
            }
            axes.plot(curve["false"], curve["true"], label=told, **look)
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.7, linestyle="--", zorder=0)
        axes.set_xlabel("Share of quiet readings that alarm")
        axes.set_ylabel("Share of readings within an hour\nof a cascade that alarm")
        title = "Area under the curve, 95% interval"
        figure.legend(frameon=False, loc="outside right center", title=title)
        axes.set_box_aspect(1)
        seaborn.despine(ax=axes)
        save_figure(figure, folder / "early_warning", curves)
        _save_phase_diagram(_summarise_settings(runs), folder)


def _save_phase_diagram(table: pd.DataFrame, folder: Path) -> None:
    figure = Figure(figsize=(PAGE_WIDTH * 0.6, 3.0), layout="constrained")
    axes = figure.subplots()
    _draw_phase_diagram(axes, table, "before", figure)
    save_figure(figure, folder / "phase_diagram", table)


def _draw_phase_diagram(axes: Axes, table: pd.DataFrame, name: str, figure: Figure) -> None:
    """A cell for each setting, and lines on which R(2%) is the same."""
    colours, edge = (
        table.pivot(index="cap", columns="capital", values=column) for column in (name, "r_2")
    )
    across, up = np.arange(colours.shape[1]), np.arange(colours.shape[0])
    edges = (
        np.arange(size + 1) - 0.5 for size in (across.size, up.size)
    )  # one row has a height, too
    cells = axes.pcolormesh(
        *edges,
        100 * colours.to_numpy(),
        cmap=seaborn.light_palette(COLOURS[3], as_cmap=True),
        vmin=0,
    )
    figure.colorbar(cells, ax=axes, label="Readings that a cascade\nfollows within an hour (%)")
    if min(edge.shape) > 1:
        look: dict[str, Any] = {
            "levels": CONTOUR_LEVELS,
            "colors": "0.15",
            "linewidths": np.linspace(0.5, 1.7, len(CONTOUR_LEVELS)),
        }
        handles, _ = axes.contour(across, up, edge.to_numpy(), **look).legend_elements()
        least, most = np.nanmin(edge.to_numpy(np.float64)), np.nanmax(edge.to_numpy(np.float64))
        inside = [k for k, level in enumerate(CONTOUR_LEVELS) if least < level < most]
        names = [f"R(2%) = {CONTOUR_LEVELS[k]:g}" for k in inside]
        figure.legend(
            [handles[k] for k in inside], names, loc="outside upper center", ncols=3, frameon=False
        )
    axes.set_xticks(across, [f"{each:g}" for each in colours.columns.to_numpy(np.float64) / 1000])
    axes.set_yticks(up, [f"{each:g}" for each in colours.index])
    axes.set_xlabel("Capital of each maker (thousand USD)")
    axes.set_ylabel("Leverage cap (times)")
