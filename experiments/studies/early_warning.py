"""How early can a cascade be seen coming? Indicators every ten minutes, judged by what followed within the hour."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from experiments.config import RunConfig
from experiments.figures_style import COLOURS, LINES, PAGE, save, style
from experiments.markdown import cell, header, row
from experiments.statistics import Estimate
from experiments.studies.shocks import perpetual
from sim.metrics.cascades import Frames
from sim.metrics.contagion import contagion
from sim.metrics.criticality import excitation, feedback, rounds
from sim.metrics.generations import cascades
from sim.metrics.warning import area, leads, roc, threshold
from sim.types import F8

AHEAD, BEHIND = 3600.0, 21_600.0
"""Seconds that a warning is for, and that past close-outs are remembered."""

SPREADS = 0.0025
"""What close-outs bring about of an event's notional, least share of open interest."""

FALSE = 0.1
"""Share of quiet readings that may alarm where lead times are told."""

SETTLED = 7200.0
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

SHOWN = ("r_1", "r_2", "r_5", "at_risk", "thin", "volatility", "hawkes")
"""Those of the figure."""

RESAMPLES = 199

WIDER = float(norm.isf(0.025 / len(INDICATORS)) / norm.isf(0.025))
"""By how much the interval of the best of all indicators is wider than that of one named before (Bonferroni)."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """A row for each reading: indicators, seconds to the next event (inf = none), and its size over open interest."""
    instrument = perpetual(config)
    steps = frames["steps"][frames["steps"]["instrument"] == instrument].set_index("step")
    table = _indicators(config, frames, steps, instrument)
    events = _events(frames, steps)
    begins = events["seconds"].to_numpy(np.float64)
    after = np.searchsorted(begins, table["seconds"].to_numpy(), side="right")
    known = np.append(begins, np.inf)[after]
    table["until"] = known - table["seconds"]
    table["size"] = np.append(events["size"].to_numpy(np.float64), 0.0)[after]
    return table[table["seconds"] >= SETTLED].reset_index(drop=True)


def _indicators(config: RunConfig, frames: Frames, steps: pd.DataFrame, instrument: str) -> pd.DataFrame:
    """Everything known at a reading, larger = more danger, the worse of falls and rises."""
    ratios = feedback(frames, instrument)
    now = steps.loc[ratios.index]
    own = frames["profile"][frames["profile"]["instrument"] == instrument]
    risk = own.pivot(index="step", columns="move", values="at_risk")
    returns = np.log(steps["mark"]).diff()
    memory, past = (
        round(BEHIND / config.dt),
        steps["liquidated"].rolling(round(BEHIND / config.dt), min_periods=1).sum(),
    )
    found = {
        name: ratios[[-size, size]].max(axis=1)
        for name, size in (("r_half", 0.005), ("r_1", 0.01), ("r_2", 0.02), ("r_5", 0.05))
    }
    found["at_risk"] = risk[[-0.02, 0.02]].max(axis=1) / (now["gross"] / 2)
    found["thin"] = now["open_interest"] / now["depth"].where(now["depth"] > 0)
    found["spread"] = (now["ask"] - now["bid"]) / now["mid"]
    found["volatility"] = returns.rolling(round(AHEAD / config.dt), min_periods=2).std().reindex(ratios.index)
    found["closed_out"] = (past / steps["open_interest"]).reindex(ratios.index)
    slots = rounds(frames, config.venues[0].name)
    past_ratio = excitation(slots, ratios.index.to_numpy(np.int64), memory)
    found["hawkes"] = pd.Series(past_ratio, index=ratios.index)
    # a side of the book without a quote is as bad as it gets; past close-outs that tell nothing say nothing
    worst = {name: values.fillna(0.0 if name in ("hawkes", "volatility") else 1e9) for name, values in found.items()}
    return pd.DataFrame({"step": ratios.index, "seconds": now["seconds"]} | worst)[["step", "seconds", *INDICATORS]]


def _events(frames: Frames, steps: pd.DataFrame) -> pd.DataFrame:
    """Cascades of which close-outs brought about enough: when they began, and that part over open interest then."""
    found = cascades(contagion(frames))
    held = steps["gross"].to_numpy(np.float64)[found["first"].to_numpy(np.int64) - 1] / 2
    found["size"] = found["endogenous"] * found["notional"] / held
    found["seconds"] = steps["seconds"].reindex(found["first"]).to_numpy()
    return found[found["size"] >= SPREADS].sort_values("seconds")


def event(runs: pd.DataFrame) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Readings that an event follows in time."""
    return (runs["until"] <= AHEAD).to_numpy()


def _markets(runs: pd.DataFrame) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The number of each reading's run."""
    return runs.groupby(["capital", "cap", "seed"], sort=False).ngroup().to_numpy().astype(np.int64)


def _areas(scores: F8, events: "np.ndarray[Any, Any]", market: "np.ndarray[Any, Any]") -> tuple[Estimate, Estimate]:
    """Area over all readings, and the mean of areas within a run; intervals resample runs."""
    rows = [np.flatnonzero(market == each) for each in np.unique(market)]
    within = np.array([area(scores[each], events[each]) for each in rows])
    draws, pooled, inner = np.random.default_rng(0), [], []
    for _ in range(RESAMPLES):
        drawn = draws.integers(0, len(rows), len(rows))
        taken = np.concatenate([rows[each] for each in drawn])
        pooled.append(area(scores[taken], events[taken]))
        inner.append(np.nanmean(within[drawn]) if np.isfinite(within[drawn]).any() else np.nan)
    made = ((len(rows), area(scores, events), pooled), (int(np.isfinite(within).sum()), _mean(within), inner))
    one, two = (Estimate(n, value, *np.nanpercentile(each, [2.5, 97.5])) for n, value, each in made)
    return one, two


def _mean(values: F8) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``indicators``: area over all readings and within runs, what 10% false alarms catch and when; ``markets``."""
    events, market = event(runs), _markets(runs)
    rows = []
    for name in INDICATORS:
        values = runs[name].to_numpy(np.float64)
        pooled, within = _areas(values, events, market) if events.any() else (Estimate(0, *[np.nan] * 3),) * 2
        level = threshold(values, events, FALSE)
        told = [lead for _, group in runs.groupby(market) for lead in _leads(group, name, level)]
        warned = [lead.seconds / 60 for lead in told if lead.warned]
        rows.append(
            {"indicator": name, "area": pooled.mean, "low": pooled.low, "high": pooled.high, "within": within.mean}
            | {"within_low": within.low, "within_high": within.high, "runs": within.n, "threshold": level}
            | {"false": float((values >= level)[~events].mean()), "events": len(told)}
            | {"warned": len(warned) / len(told) if told else np.nan}
            | {"lead": float(np.median(warned)) if warned else np.nan}
        )
    return {"indicators": pd.DataFrame(rows), "markets": _settings(runs)}


def _leads(group: pd.DataFrame, name: str, level: float) -> list[Any]:
    """How the events of one run were announced."""
    begins = np.unique((group["seconds"] + group["until"])[np.isfinite(group["until"])].round(3))
    return leads(group["seconds"].to_numpy(), group[name].to_numpy() >= level, begins)


def _settings(runs: pd.DataFrame) -> pd.DataFrame:
    """What the market is like at each setting: median R, share of readings that an event follows, largest cascade."""
    marked = runs.assign(event=event(runs))
    grouped = marked.groupby(["capital", "cap"])
    told = grouped.agg(r_1=("r_1", "mean"), r_2=("r_2", "median"), before=("event", "mean"), largest=("size", "max"))
    return told.reset_index()


def report(runs: pd.DataFrame) -> str:
    """Three sentences, or that there was nothing to warn of, and the table of indicators."""
    found = tables(runs)["indicators"].to_dict("records")
    lines = [*(f"- {sentence}" for sentence in _findings(found)), ""]
    lines += header(["", "area, all markets", "area within a market", "warned of, %", "lead, minutes (median)"])
    for each in found:
        whole = Estimate(1, each["area"], each["low"], each["high"])
        inner = Estimate(1, each["within"], each["within_low"], each["within_high"])
        lead = f"{each['lead']:.0f}" if each["warned"] else "none"
        told = [cell(whole), cell(inner), f"{100 * each['warned']:.0f}", lead]
        lines.append(row([INDICATORS[str(each["indicator"])], *told]))
    return "\n".join(lines)


def _findings(found: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Which indicator is best over all markets, which in time, and what it would have meant to heed one."""
    if not found[0]["events"]:
        return ["No cascade of the size asked for followed any reading: nothing can be said of warnings."]
    best, inside = (max(found, key=lambda each: np.nan_to_num(each[name], nan=-1.0)) for name in ("area", "within"))
    (past,) = (each for each in found if each["indicator"] == "hawkes")
    name, area_of = INDICATORS[best["indicator"]], f"{best['area']:.2f} ({best['low']:.2f} to {best['high']:.2f})"
    spread = f"{inside['within']:.2f} ({inside['within_low']:.2f} to {inside['within_high']:.2f})"
    chance = inside["within"] - WIDER * (inside["within"] - inside["within_low"])
    verdict = "better than chance" if chance > 0.5 else "not shown to be better than chance"
    early = f"{best['warned']:.0%} of {best['events']} cascades, for {best['lead']:.0f} minutes in the median"
    return [
        f"{name} tells best which readings a cascade follows within an hour: area {area_of} over all markets.",
        f"Within a market, where only time tells, the best is {INDICATORS[inside['indicator']]}, {spread}: {verdict}.",
        f"At {FALSE:.0%} false alarms {name} stood before {early}; the Hawkes ratio before {past['warned']:.0%}.",
    ]


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``early_warning``: ROC curves. ``phase_diagram``: how often cascades follow, with contours of R."""
    events = event(runs)
    curves = pd.concat([roc(runs[name].to_numpy(), events).assign(indicator=name) for name in SHOWN])
    with style():
        figure = Figure(figsize=(PAGE, 3.6), layout="constrained")
        axes = figure.subplots()
        for place, (name, curve) in enumerate(curves.groupby("indicator", sort=False)):
            told = f"{INDICATORS[str(name)]}: {area(runs[name].to_numpy(), events):.2f}"
            look: dict[str, Any] = {"color": COLOURS[place], "linestyle": LINES[place % len(LINES)], "linewidth": 1.1}
            axes.plot(curve["false"], curve["true"], label=told, **look)
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.7, linestyle="--", zorder=0)
        axes.set_xlabel("Share of quiet readings that alarm")
        axes.set_ylabel("Share of readings within an hour\nof a cascade that alarm")
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), title="Area under the curve")
        axes.set_aspect("equal")
        seaborn.despine(ax=axes)
        save(figure, folder / "early_warning", curves)
        _phases(_settings(runs), folder)


def _phases(table: pd.DataFrame, folder: Path) -> None:
    figure = Figure(figsize=(PAGE * 0.6, 3.0), layout="constrained")
    axes = figure.subplots()
    _phase(axes, table, "before", figure)
    save(figure, folder / "phase_diagram", table)


def _phase(axes: Axes, table: pd.DataFrame, name: str, figure: Figure) -> None:
    """A cell for each setting, and lines on which R(2%) is the same."""
    colours, edge = (table.pivot(index="cap", columns="capital", values=column) for column in (name, "r_2"))
    across, up = np.arange(colours.shape[1]), np.arange(colours.shape[0])
    edges = (np.arange(size + 1) - 0.5 for size in (across.size, up.size))  # one row has a height, too
    cells = axes.pcolormesh(
        *edges, 100 * colours.to_numpy(), cmap=seaborn.light_palette(COLOURS[3], as_cmap=True), vmin=0
    )
    figure.colorbar(cells, ax=axes, label="Readings that a cascade\nfollows within an hour (%)")
    if min(edge.shape) > 1:
        lines = axes.contour(across, up, edge.to_numpy(), levels=[0.25, 0.5, 1, 2, 4], colors="0.15", linewidths=0.8)
        axes.clabel(lines, fmt=lambda level: f"R(2%) = {level:g}", fontsize=7)
    axes.set_xticks(across, [f"{each:g}" for each in colours.columns.to_numpy(np.float64) / 1000])
    axes.set_yticks(up, [f"{each:g}" for each in colours.index])
    axes.set_xlabel("Capital of each maker (thousand USD)")
    axes.set_ylabel("Leverage cap (times)")
