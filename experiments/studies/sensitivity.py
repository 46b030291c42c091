"""Sensitivity of the cost of a crash to parameters: Morris's screening, then Sobol's indices."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.config import RunConfig
from experiments.figures.style import (
    COLOURS,
    PAGE_WIDTH,
    create_figure,
    draw_intervals,
    draw_legend_above,
    save_figure,
    use_style,
)
from experiments.results.markdown import format_header, format_row
from experiments.statistics import define_problem, estimate_sobol_indices, screen_by_morris
from experiments.studies.shared.aftermath import make_score_row, measure_aftermath
from experiments.studies.shared.rules import join_names
from experiments.sweep.config import StudyConfig
from experiments.sweep.plan import SettingRequest
from sim.metrics.cascades import Frames
from sim.types import F8

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARAMETER_RANGES: dict[str, tuple[float, float]] = {
    "kappa": (0.0, 0.8),
    "elasticity": (0.0, 1.0),
    "leverage": (1.5, 4.0),
    "fall": (0.05, 0.15),
    "minutes": (5.0, 60.0),
    "depth_left": (0.1, 1.0),
    "makers": (0.5, 2.0),
    "impact": (0.5, 2.0),
    "cooldown": (0.0, 600.0),
    "maintenance": (0.25, 0.9),
}
"""Ranges of parameters; makers' wealth and depth of spot as multiples of those of small_crash."""

CENTRAL_VALUES: dict[str, float] = {
    "kappa": 0.5,
    "elasticity": 0.5,
    "leverage": 2.55,
    "fall": 0.1,
    "minutes": 30.0,
    "depth_left": 0.25,
    "makers": 1.0,
    "impact": 1.0,
    "cooldown": 60.0,
    "maintenance": 0.5,
}
"""Values of parameters that were screened out; they are the first setting of the study's file."""

LOSS_FLOOR = 1e-6
"""Smallest loss, as a share of open interest (here a hundred dollars); less counts as none."""

QUICK_TRAJECTORIES, FULL_TRAJECTORIES = 4, 16
"""Numbers of Morris's trajectories: with fewer than five seeds, and with more."""

MAX_SURVIVORS, SOBOL_SAMPLE = 4, 64
"""Largest number of parameters in the second stage, and the base of its sample.

Source: Saltelli et al. 2010.
"""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return one row: the outcomes of the shock, and the log of system loss."""
    aftermath = measure_aftermath(config, frames, twin)
    log_loss = float(np.log10(max(aftermath["system_loss"], LOSS_FLOOR)))
    return make_score_row(aftermath | {"log_loss": log_loss})


def sample_trajectories(count: int) -> F8:
    """Return the points of Morris's trajectories, (count x (parameters + 1), parameters).

    The points are the same each time.
    """
    from SALib.sample.morris import sample

    return _round_points(sample(define_problem(PARAMETER_RANGES), count, num_levels=4, seed=1))


def sample_sobol_points(names: Sequence[str]) -> F8:
    """Return a Sobol sample over some parameters (points, parameters), others at the centre."""
    from SALib.sample.sobol import sample

    problem = define_problem({name: PARAMETER_RANGES[name] for name in names})
    varied = _round_points(sample(problem, SOBOL_SAMPLE, calc_second_order=False, seed=1))
    points = np.tile([CENTRAL_VALUES[name] for name in PARAMETER_RANGES], (len(varied), 1))
    points[:, [list(PARAMETER_RANGES).index(name) for name in names]] = varied
    return points


def _round_points(points: Any) -> F8:
    """Round points to the digits that files of settings keep."""
    return np.array([[float(f"{value:.9g}") for value in point] for point in points])


def refine(study: StudyConfig, runs: pd.DataFrame) -> Sequence[SettingRequest]:
    """Return Morris's points, then those of the second stage; a quick sweep has no second."""
    screened = _screen_parameters(runs)
    if screened is None:
        points = sample_trajectories(_count_trajectories(runs))
    else:
        survivors = _find_survivors(screened)
        if _count_trajectories(runs) == QUICK_TRAJECTORIES or not survivors:
            return ()
        points = sample_sobol_points(survivors)
    if _log_losses(runs, points) is not None:
        return []
    return [
        SettingRequest(dict(zip(PARAMETER_RANGES, map(float, point), strict=True)))
        for point in points
    ]


def _count_trajectories(runs: pd.DataFrame) -> int:
    return QUICK_TRAJECTORIES if runs["seed"].nunique() < 5 else FULL_TRAJECTORIES


def _log_losses(runs: pd.DataFrame, points: F8) -> F8 | None:
    """Return log losses at points, a column for each seed; None if a run is missing."""
    known = runs.set_index([*PARAMETER_RANGES, "seed"])["log_loss"].to_dict()
    seeds = sorted(runs["seed"].unique())
    losses = [[known.get((*map(float, point), seed)) for seed in seeds] for point in points]
    if any(value is None for line in losses for value in line):
        return None
    return np.array(losses, dtype=np.float64)


def _screen_parameters(runs: pd.DataFrame) -> pd.DataFrame | None:
    """Return Morris's table; None while its runs are missing."""
    points = sample_trajectories(_count_trajectories(runs))
    values = _log_losses(runs, points)
    if values is None:
        return None
    return screen_by_morris(define_problem(PARAMETER_RANGES), points, values)


def _find_survivors(table: pd.DataFrame) -> list[str]:
    """Return the parameters whose effect exceeds the noise, the largest first."""
    kept = table[table["screened_in"]].sort_values("mu_star", ascending=False)
    return [str(name) for name in kept["parameter"][:MAX_SURVIVORS]]


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return ``morris``, and ``sobol`` if its runs exist."""
    screened = _screen_parameters(runs)
    if screened is None:
        return {"runs": runs}
    made = {"morris": screened}
    names = _find_survivors(screened)
    values = _log_losses(runs, sample_sobol_points(names)) if names else None
    if values is not None and np.ptp(values):
        problem = define_problem({name: PARAMETER_RANGES[name] for name in names})
        made["sobol"] = estimate_sobol_indices(problem, values)
    return made


def report(runs: pd.DataFrame) -> str:
    """Return findings, the effects beside noise, and the indices of the survivors."""
    made = tables(runs)
    if "morris" not in made:
        return "The runs of Morris's trajectories are not there yet; the same command resumes them."
    lines = [
        "## Findings",
        "",
        *(f"- {line}" for line in write_findings(made)),
        "",
        _describe_sizes(runs),
        "",
        "## Screening",
        "",
        "Elementary effects on log10 of system loss, over a grid step of two thirds of a "
        "parameter's range.",
        "",
        *_screening_table(made["morris"]),
    ]
    if "sobol" in made:
        lines += ["", "## Sobol's indices of the survivors", "", *_sobol_table(made["sobol"])]
    return "\n".join(lines)


def _screening_table(table: pd.DataFrame) -> list[str]:
    lines = format_header(
        ["parameter", "range", "µ*", "µ", "sigma without noise", "µ* of noise alone", "screened in"]
    )
    for row in table.sort_values("mu_star", ascending=False).to_dict("records"):
        low, high = PARAMETER_RANGES[row["parameter"]]
        cells = [
            f"{row['mu_star']:.2f} ({row['low']:.2f} to {row['high']:.2f})",
            f"{row['mu']:+.2f}",
            f"{row['sigma_net']:.2f}",
            f"{row['floor']:.2f}",
            "yes" if row["screened_in"] else "no",
        ]
        signed = [cell.replace("-", "\N{MINUS SIGN}") for cell in cells]
        lines.append(format_row([row["parameter"], f"{low:g} to {high:g}", *signed]))
    return lines


def _sobol_table(table: pd.DataFrame) -> list[str]:
    lines = format_header(["parameter", "first order", "total"])
    for row in table.to_dict("records"):
        cells = [
            f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"
            for name in ("first", "total")
        ]
        signed = [cell.replace("-", "\N{MINUS SIGN}") for cell in cells]
        lines.append(format_row([row["parameter"], *signed]))
    return lines


def _describe_sizes(runs: pd.DataFrame) -> str:
    """Return the numbers of trajectories, points, replications and runs."""
    trajectories, seeds = _count_trajectories(runs), int(runs["seed"].nunique())
    points = len(PARAMETER_RANGES) + 1
    return (
        f"{trajectories} trajectories of {points} points, {seeds} replications of each; "
        f"{len(runs):,} runs in all, with the same draws."
    )


def write_findings(made: dict[str, pd.DataFrame]) -> list[str]:
    """Return the parameters that matter, those within the noise, and the share of interaction."""
    table = made["morris"].sort_values("mu_star", ascending=False)
    kept, out = (
        list(table.loc[table["screened_in"] == flag, "parameter"].astype(str))
        for flag in (True, False)
    )
    lines = [
        f"System loss depends on {join_names(kept)}{_describe_order(table)}."
        if kept
        else "No parameter stands out of the noise."
    ]
    if out:
        lines.append(f"Effects of {join_names(out)} do not exceed the noise of replications.")
    if "sobol" in made:
        first = float(made["sobol"]["first"].sum())
        noise = float(made["sobol"]["noise"].iloc[0])
        lines.append(
            f"Taken one by one, the survivors explain {100 * first:.0f}% of the variance of log "
            f"loss; the noise of replications is {100 * noise:.0f}% of it."
        )
    return lines


def _describe_order(table: pd.DataFrame) -> str:
    """Return a remark on the order of effects, which is clear if no intervals overlap."""
    kept = table[table["screened_in"]]
    is_clear = (kept["high"].to_numpy()[1:] < kept["low"].to_numpy()[:-1]).all()
    return ", in this order" if is_clear else "; their intervals overlap, so the order is open"


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``morris``: mean absolute effects with intervals, beside the effect of noise alone."""
    import seaborn

    made = tables(runs)
    if "morris" not in made:
        return
    table = made["morris"].sort_values("mu_star")
    with use_style():
        figure = create_figure(PAGE_WIDTH, 2.8)
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _draw_effects(left, table)
        _draw_interactions(right, table)
        for axes in (left, right):
            seaborn.despine(ax=axes)
        save_figure(figure, folder / "morris", table)


def _draw_effects(axes: "Axes", table: pd.DataFrame) -> None:
    """Draw the mean absolute effect of each parameter, and that of noise alone."""
    import seaborn
    from matplotlib.colors import to_hex

    at = np.arange(len(table))
    placed = table.assign(at=at, colour=to_hex(COLOURS[0]))
    draw_intervals(axes, placed, along="y")
    look: dict[str, Any] = {"ax": axes, "legend": False, "zorder": 3}
    seaborn.scatterplot(placed, x="mu_star", y="at", color=COLOURS[0], s=20, **look)
    stroke: dict[str, Any] = {"marker": "|", "color": "0.4", "s": 80, "linewidth": 1}
    seaborn.scatterplot(placed, x="floor", y="at", label="noise alone", **stroke, **look)
    axes.set_yticks(at, list(table["parameter"]))
    axes.set_ylabel("")
    axes.set_xlabel("Mean absolute effect on log$_{10}$ system loss")
    axes.set_xlim(left=0)
    axes.legend(frameon=False, loc="lower right")


def _draw_interactions(axes: "Axes", table: pd.DataFrame) -> None:
    """Draw interaction and curvature against the mean absolute effect, with names."""
    import seaborn

    titles = {True: "above the noise", False: "within the noise"}
    shown = table.assign(screening=table["screened_in"].astype(bool).map(titles))
    colours = dict(zip(titles.values(), (COLOURS[3], "0.6"), strict=True))
    seaborn.scatterplot(
        shown,
        x="mu_star",
        y="sigma_net",
        hue="screening",
        hue_order=list(titles.values()),
        palette=colours,
        s=20,
        linewidth=0,
        ax=axes,
    )
    draw_legend_above(axes, ncols=2, handletextpad=0.2)
    look: dict[str, Any] = {
        "xytext": (3, 3),
        "textcoords": "offset points",
        "fontsize": "small",
    }
    axes.margins(x=0.15, y=0.1)
    for row in shown[shown["screened_in"].astype(bool)].to_dict("records"):
        axes.annotate(row["parameter"], (row["mu_star"], row["sigma_net"]), **look)
    axes.set_xlabel("Mean absolute effect")
    axes.set_ylabel("Interaction and curvature ($\\sigma$)")
