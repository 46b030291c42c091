"""Which parameters decide what a crash costs: Morris's screening of log system loss, then Sobol's indices."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from experiments.config import RunConfig
from experiments.figures.style import COLOURS, PAGE_WIDTH, save_figure, use_style
from experiments.results.markdown import format_header, format_row
from experiments.statistics import define_problem, estimate_sobol_indices, screen_by_morris
from experiments.studies.shared.aftermath import make_score_row, measure_aftermath
from experiments.studies.shared.rules import join_names
from experiments.sweep.config import StudyConfig
from experiments.sweep.plan import SettingRequest
from sim.metrics.cascades import Frames
from sim.types import F8

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
"""What is varied, and how far; makers' wealth and depth of spot as multiples of small_crash's."""

CENTRAL_VALUES: dict[str, float] = {
    **{
        "kappa": 0.5,
        "elasticity": 0.5,
        "leverage": 2.55,
        "fall": 0.1,
        "minutes": 30.0,
        "depth_left": 0.25,
    },
    **{"makers": 1.0, "impact": 1.0, "cooldown": 60.0, "maintenance": 0.5},
}
"""Where the parameters that were screened out stay; the first setting of the study's file."""

LOSS_FLOOR = 1e-6
"""Loss, as a share of open interest, that counts as none: a hundred dollars here."""

QUICK_TRAJECTORIES, FULL_TRAJECTORIES = 4, 16
"""Morris's trajectories with fewer than five seeds, as a quick look has, and else."""

MAX_SURVIVORS, SOBOL_SAMPLE = 4, 64
"""Most parameters of the second stage, those of largest effect, and the base of its sample (Saltelli et al. 2010)."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """One row: what the shock took, and the log of system loss."""
    found = measure_aftermath(config, frames, twin)
    return make_score_row(
        found | {"log_loss": float(np.log10(max(found["system_loss"], LOSS_FLOOR)))}
    )


def sample_trajectories(count: int) -> F8:
    """Points of Morris's trajectories, (count x (parameters + 1), parameters); the same each time."""
    from SALib.sample.morris import sample

    return _round_points(sample(define_problem(PARAMETER_RANGES), count, num_levels=4, seed=1))


def sample_sobol_points(names: Sequence[str]) -> F8:
    """Points of a Sobol sample over some parameters (points, parameters), the others in the middle."""
    from SALib.sample.sobol import sample

    found = _round_points(
        sample(
            define_problem({name: PARAMETER_RANGES[name] for name in names}),
            SOBOL_SAMPLE,
            calc_second_order=False,
            seed=1,
        )
    )
    points = np.tile([CENTRAL_VALUES[name] for name in PARAMETER_RANGES], (len(found), 1))
    points[:, [list(PARAMETER_RANGES).index(name) for name in names]] = found
    return points


def _round_points(points: Any) -> F8:
    """As many digits as a setting keeps on its way through files."""
    return np.array([[float(f"{value:.9g}") for value in point] for point in points])


def refine(study: StudyConfig, runs: pd.DataFrame) -> Sequence[SettingRequest]:
    """Morris's points, and once they are there those of the second stage; none in a quick look."""
    screened = _screen_parameters(runs)
    points = (
        sample_trajectories(_count_trajectories(runs))
        if screened is None
        else sample_sobol_points(_find_survivors(screened))
    )
    if screened is not None and (
        _count_trajectories(runs) == QUICK_TRAJECTORIES or not _find_survivors(screened)
    ):
        return ()
    return (
        []
        if _log_losses(runs, points) is not None
        else [
            SettingRequest(dict(zip(PARAMETER_RANGES, map(float, p), strict=True))) for p in points
        ]
    )


def _count_trajectories(runs: pd.DataFrame) -> int:
    return QUICK_TRAJECTORIES if runs["seed"].nunique() < 5 else FULL_TRAJECTORIES


def _log_losses(runs: pd.DataFrame, points: F8) -> F8 | None:
    """Log losses at points, a column for each seed; none if a run is missing."""
    seen = runs.set_index([*PARAMETER_RANGES, "seed"])["log_loss"].to_dict()
    numbers = sorted(runs["seed"].unique())
    found = [[seen.get((*map(float, point), seed)) for seed in numbers] for point in points]
    return (
        None
        if any(value is None for line in found for value in line)
        else np.array(found, dtype=np.float64)
    )


def _screen_parameters(runs: pd.DataFrame) -> pd.DataFrame | None:
    """Morris's table, or none while its runs are missing."""
    points = sample_trajectories(_count_trajectories(runs))
    values = _log_losses(runs, points)
    return (
        None
        if values is None
        else screen_by_morris(define_problem(PARAMETER_RANGES), points, values)
    )


def _find_survivors(table: pd.DataFrame) -> list[str]:
    """Parameters whose effect stands out of the noise, the largest first."""
    kept = table[table["screened_in"]].sort_values("mu_star", ascending=False)
    return [str(name) for name in kept["parameter"][:MAX_SURVIVORS]]


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """``morris``, and ``sobol`` where its runs are there."""
    screened = _screen_parameters(runs)
    if screened is None:
        return {"runs": runs}
    made = {"morris": screened}
    names = _find_survivors(screened)
    values = _log_losses(runs, sample_sobol_points(names)) if names else None
    if values is not None and np.ptp(values):
        made["sobol"] = estimate_sobol_indices(
            define_problem({name: PARAMETER_RANGES[name] for name in names}), values
        )
    return made


def report(runs: pd.DataFrame) -> str:
    """What was screened in; effects beside noise; indices of what was left."""
    made = tables(runs)
    if "morris" not in made:
        return "The runs of Morris's trajectories are not there yet; the same command goes on."
    table = made["morris"].sort_values("mu_star", ascending=False)
    lines = [
        "## Findings",
        "",
        *(f"- {line}" for line in write_findings(made)),
        "",
        _describe_sizes(runs),
        "",
        "## Screening",
        "",
    ]
    lines += [
        "Elementary effects on log10 of system loss, over a grid step of two thirds of a parameter's range.",
        "",
    ]
    lines += format_header(
        ["parameter", "range", "µ*", "µ", "sigma without noise", "µ* of noise alone", "screened in"]
    )
    for each in table.to_dict("records"):
        low, high = PARAMETER_RANGES[each["parameter"]]
        told = [
            f"{each['mu_star']:.2f} ({each['low']:.2f} to {each['high']:.2f})",
            f"{each['mu']:+.2f}",
        ]
        told += [
            f"{each['sigma_net']:.2f}",
            f"{each['floor']:.2f}",
            "yes" if each["screened_in"] else "no",
        ]
        lines.append(
            format_row(
                [
                    each["parameter"],
                    f"{low:g} to {high:g}",
                    *(cell.replace("-", "\N{MINUS SIGN}") for cell in told),
                ]
            )
        )
    if "sobol" in made:
        lines += [
            "",
            "## Sobol's indices of the survivors",
            "",
            *format_header(["parameter", "first order", "total"]),
        ]
        for each in made["sobol"].to_dict("records"):
            ends = [
                f"{each[n]:.2f} ({each[f'{n}_low']:.2f} to {each[f'{n}_high']:.2f})"
                for n in ("first", "total")
            ]
            lines.append(
                format_row(
                    [each["parameter"], *(cell.replace("-", "\N{MINUS SIGN}") for cell in ends)]
                )
            )
    return "\n".join(lines)


def _describe_sizes(runs: pd.DataFrame) -> str:
    """How much was run."""
    told = f"{_count_trajectories(runs)} trajectories of {len(PARAMETER_RANGES) + 1} points, {int(runs['seed'].nunique())} replications of each"
    return f"{told}; {len(runs):,} runs in all, the same draws everywhere."


def write_findings(made: dict[str, pd.DataFrame]) -> list[str]:
    """Which parameters matter, which do not stand out of the noise, and how much of the spread is interaction."""
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
        lines.append(f"Effects of {join_names(out)} cannot be told from the noise of replications.")
    if "sobol" in made:
        first = float(made["sobol"]["first"].sum())
        noise = float(made["sobol"]["noise"].iloc[0])
        lines.append(
            f"Taken one by one the survivors explain {100 * first:.0f}% of the variance of log loss; the noise of "
            f"replications is {100 * noise:.0f}% of it."
        )
    return lines


def _describe_order(table: pd.DataFrame) -> str:
    """Whether the order of effects, largest first, is more than chance: each interval lies below the one before."""
    kept = table[table["screened_in"]]
    apart = (kept["high"].to_numpy()[1:] < kept["low"].to_numpy()[:-1]).all()
    return ", in this order" if apart else "; their intervals overlap, so the order is not shown"


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``morris``: mean absolute effects with intervals, beside what noise alone would show."""
    made = tables(runs)
    if "morris" not in made:
        return
    table = made["morris"].sort_values("mu_star")
    with use_style():
        figure = Figure(figsize=(PAGE_WIDTH, 2.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        at = np.arange(len(table))
        reach = np.abs(table[["low", "high"]].to_numpy().T - table["mu_star"].to_numpy())
        left.errorbar(
            table["mu_star"],
            at,
            xerr=reach,
            fmt="o",
            color=COLOURS[0],
            markersize=4,
            elinewidth=0.8,
        )
        left.plot(table["floor"], at, "|", color="0.4", markersize=9, label="noise alone")
        left.set_yticks(at, list(table["parameter"]))
        left.set_xlabel("Mean absolute effect on log$_{10}$ system loss")
        left.set_xlim(left=0)
        left.legend(frameon=False, loc="lower right")
        right.plot(table["mu_star"], table["sigma_net"], "o", color=COLOURS[3], markersize=4)
        for each in table.to_dict("records"):
            where: dict[str, Any] = {
                "xytext": (3, 3),
                "textcoords": "offset points",
                "fontsize": "x-small",
            }
            right.annotate(each["parameter"], (each["mu_star"], each["sigma_net"]), **where)
        right.set_xlabel("Mean absolute effect")
        right.set_ylabel("Interaction and curvature ($\\sigma$)")
        for axes in (left, right):
            seaborn.despine(ax=axes)
        save_figure(figure, folder / "morris", table)
