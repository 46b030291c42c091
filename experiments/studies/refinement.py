"""Refinement test of TIME-1: the same market at three lengths of a step."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.config import RunConfig
from experiments.figures.style import (
    COLOURS,
    PAGE_WIDTH,
    create_figure,
    draw_estimates,
    save_figure,
    use_style,
)
from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.statistics import Estimate, estimate_difference, summarise_measures
from experiments.studies.shared.shocks import find_first_perpetual, find_shock_step
from sim.metrics.calm_benchmarks import measure_health
from sim.metrics.cascades import Frames, measure_fall
from sim.metrics.shock_losses import measure_shock_losses

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SETTLING_TIME = 10_800.0
"""Start of the calm that is measured; traders enter in the first two hours (s)."""

WORDS = {
    "volatility": ("calm: volatility of mark ÷ of x", 1.0),
    "spread": ("calm: median spread, bp", 1e4),
    "basis": ("calm: largest basis, bp", 1e4),
    "turnover": ("calm: turnover a day ÷ open interest", 1.0),
    "closed_out_calm": ("calm: closed out a day, % of open interest", 100.0),
    "leverage": ("calm: open interest ÷ equity", 1.0),
    "closed_out": ("crash: closed out, % of open interest", 100.0),
    "deleveraged": ("crash: ADL, % of open interest", 100.0),
    "taken_over": ("crash: fund take-overs, % of open interest", 100.0),
    "fall": ("crash: fall of the mark ÷ of x", 1.0),
}
"""Measures: label, and the factor of its figures."""

CAPTIONS = {
    "refinement": "Every measure against the length of a step; means with 95% confidence "
    "intervals.",
    "estimates": "Every measure at every length of a step.",
    "differences": "Each length less the longest: independent samples, with Welch's interval.",
}


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return one row: figures of the calm before the shock, and of the shock."""
    instrument, since = find_first_perpetual(config), find_shock_step(config)
    steps = frames["steps"]
    before = frames | {"steps": steps[steps["step"] < since]}
    lot_value = config.venues[0].instruments[0].lot * 10 ** config.assets[0].decimals
    calm = measure_health(before, instrument, lot_value, round(SETTLING_TIME / config.dt))
    shock = measure_shock_losses(frames, instrument, since)
    figures = calm._asdict() | {"closed_out_calm": calm.closed_out} | shock._asdict()
    index_fall = _index_fall(steps, instrument, since)
    figures["fall"] = measure_fall(frames, instrument, since) / index_fall
    return pd.DataFrame({name: [figures[name]] for name in WORDS})


def _index_fall(steps: pd.DataFrame, instrument: str, since: int) -> float:
    """Return the fall of x, which the market does not affect and which differs between step
    lengths.
    """
    x = steps[steps["instrument"] == instrument].set_index("step")["exogenous"]
    return float(np.log(x.loc[since:].min() / x.loc[since - 1]))


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return every measure at every step length, and its difference from the longest."""
    return {
        "estimates": summarise_measures(runs, ["dt"], list(WORDS)),
        "differences": _compare_with_longest(runs),
    }


def _compare_with_longest(runs: pd.DataFrame) -> pd.DataFrame:
    """Return each step length's mean less that of the longest.

    The samples are independent, because draws are addressed by step.
    """
    samples = {dt: runs[runs["dt"] == dt] for dt in sorted(runs["dt"].unique(), reverse=True)}
    longest = max(samples)
    rows = []
    for dt, sample in samples.items():
        for name in WORDS if dt != longest else ():
            values = sample[name].to_numpy(float)
            difference = estimate_difference(values, samples[longest][name].to_numpy(float))
            rows.append((dt, longest, name, *difference))
    return pd.DataFrame(rows, columns=["dt", "versus", "measure", *Estimate._fields])


def report(runs: pd.DataFrame) -> str:
    """Return a line for each measure: its mean at every step length, and the differences."""
    made, lengths = tables(runs), sorted(runs["dt"].unique(), reverse=True)
    lines = [
        f"{runs['seed'].nunique()} seeds; means with 95% confidence intervals; differences of "
        "independent samples.",
        "",
    ]
    lines += format_header(
        [
            "",
            *(f"{dt:g} s" for dt in lengths),
            *(f"{dt:g} less {lengths[0]:g} s" for dt in lengths[1:]),
        ]
    )
    for name, (label, factor) in WORDS.items():
        cells = [
            format_estimate(estimate.rescale(factor))
            for estimate in _measure_estimates(made["estimates"], name)
        ]
        differences = [
            format_estimate(estimate.rescale(factor), signed=True)
            for estimate in _measure_estimates(made["differences"], name)
        ]
        lines.append(format_row([label, *cells, *differences]))
    return "\n".join(lines)


def _measure_estimates(table: pd.DataFrame, name: str) -> list[Estimate]:
    """Return a measure's estimates, longest step first."""
    ordered = table[table["measure"] == name].sort_values("dt", ascending=False)
    return [Estimate(*row) for row in ordered[list(Estimate._fields)].itertuples(index=False)]


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``refinement``: every measure against the length of a step."""
    table = summarise_measures(runs, ["dt"], list(WORDS))
    with use_style():
        figure = create_figure(PAGE_WIDTH, 3.6)
        panels = figure.subplots(2, 5).flat
        for axes, (name, (label, factor)) in zip(panels, WORDS.items(), strict=True):
            _draw_panel(axes, table[table["measure"] == name], label, factor)
        figure.supxlabel("Length of a step (s)", fontsize="medium")
        save_figure(figure, folder / "refinement", table)


def _draw_panel(axes: "Axes", table: pd.DataFrame, label: str, factor: float) -> None:
    import seaborn

    scaled = table.assign(**factor * table[["mean", "low", "high"]])
    look: dict[str, Any] = {"color": COLOURS[0 if label.startswith("calm") else 3]}
    look |= {"marker": "o", "markersize": 4, "linestyle": "none"}
    draw_estimates(axes, {label: scaled}, [look], "dt", 1.0)
    axes.set_xscale("log")
    lengths = sorted(table["dt"].unique())
    axes.set_xticks(lengths, [f"{dt:g}" for dt in lengths])
    axes.minorticks_off()
    axes.set_xlim(lengths[0] / 1.5, lengths[-1] * 1.5)
    axes.set_ylim(0, 1.15 * float(np.nanmax(scaled[["mean", "high"]])) or 1.0)
    axes.set_title(textwrap.fill(label[0].upper() + label[1:], 20), fontsize="small", loc="left")
    seaborn.despine(ax=axes)
