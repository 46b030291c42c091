"""Tails of cascades and returns: a power law against its rivals (Clauset, Shalizi and Newman 2009, SIAM Rev. 51)."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.paper.load_results import SUMMARY, RunResult, open_result
from experiments.sweep.sealed import is_run_name
from sim.errors import DataError
from sim.metrics.contagion import build_contagion
from sim.metrics.generations import tabulate_cascades
from sim.types import F8

RIVALS = ("exponential", "lognormal", "truncated_power_law")
MIN_VALUES = 20
"""Values from which on a tail is fitted."""

EXPONENT_RANGES = {"alpha": [1.0, None]}
"""Exponents that are tried; those that the package stops at by itself end at 3, which returns have beyond."""

START_QUANTILES = np.linspace(0.0, 0.95, 39)
"""Shares of the values that lie before a tail, of which the best is taken: a tail has a twentieth of them at least."""


def fit_tail(sizes: F8, discrete: bool = False) -> pd.DataFrame:
    """Rows of rival, exponent, start, values, ratio, p: above nil the power law is likelier, p is of no difference.

    A tail starts where the largest distance from its power law is least (Clauset et al., section 3.3).

    Args:
        sizes: (n,); those not above nil are left out.
        discrete: whether they are counts.

    Raises:
        DataError: fewer than 20 values, all the same, or a tail in which they are.
    """
    import powerlaw  # pulls in much that a run does not need

    kept = sizes[sizes > 0]
    told = f"tail: {np.unique(kept).size} different of {kept.size} sizes above 0"
    if kept.size < MIN_VALUES or np.ptp(kept) == 0:
        raise DataError(
            f"{told}, {MIN_VALUES} that are not all the same are needed, run longer or take more runs together"
        )
    starts = np.unique(np.quantile(kept, START_QUANTILES, method="lower"))
    asked: dict[str, Any] = {
        "discrete": discrete,
        "parameter_ranges": EXPONENT_RANGES,
        "verbose": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numerical corners in fits that lose
        try:
            fits: list[Any] = [powerlaw.Fit(kept, xmin=start, **asked) for start in starts]
            fit = min(fits, key=lambda each: float(each.power_law.D))
            found = [
                (rival, fit.distribution_compare("power_law", rival, nested=None))
                for rival in RIVALS
            ]
        except ValueError as error:
            raise DataError(
                f"{told}, too few for laws to differ, run longer or take more runs together"
            ) from error
    above = int((kept >= fit.xmin).sum())
    alpha, start = float(fit.power_law.alpha), float(fit.xmin)
    rows = [(rival, alpha, start, above, float(ratio), float(p)) for rival, (ratio, p) in found]
    return pd.DataFrame(rows, columns=["rival", "exponent", "start", "values", "ratio", "p"])


def measure_finite_size(sizes: dict[int, F8]) -> pd.DataFrame:
    """Cascade sizes in systems of several sizes: rows of system, cascades, mean, cutoff (Σ s² ÷ Σ s), share of system.

    A cutoff that keeps its share of the system grows with it: cascades know no size of their own. One that stays does.
    """
    rows = [
        (system, each.size, float(each.mean()), float((each**2).sum() / each.sum()))
        for system, each in sizes.items()
    ]
    table = pd.DataFrame(rows, columns=["system", "cascades", "mean", "cutoff"])
    return table.assign(share=table["cutoff"] / table["system"])


def gather_cascade_sizes(folders: Sequence[Path]) -> dict[int, F8]:
    """Accounts in each cascade of some results, by how many accounts the market has, smallest market first.

    Args:
        folders: of runs, and of sweeps, all of whose runs are taken.

    Raises:
        DataError: a folder is no result, or a run lacks a frame or has one that cannot be read.
    """
    found: dict[int, list[F8]] = {}
    for result in _open_runs(folders):
        if result.problems:
            raise DataError(*result.problems)
        system = sum(each.count for each in result.config.populations)
        try:
            sizes = tabulate_cascades(build_contagion(result.frames))["accounts"].to_numpy(
                np.float64
            )
        except DataError as error:
            raise DataError(
                *(f"{result.folder}: {problem}" for problem in str(error).splitlines())
            ) from error
        found.setdefault(system, []).append(sizes)
    return {system: np.concatenate(found[system]) for system in sorted(found)}


def _open_runs(folders: Sequence[Path]) -> Iterator[RunResult]:
    for folder in folders:
        result = open_result(folder, measured=False)
        if isinstance(result, RunResult):
            yield result
            continue
        named = {name for name in result.runs.get("hash", ()) if is_run_name(name)}
        made = [
            path for name in sorted(named) if ((path := folder / "runs" / name) / SUMMARY).is_file()
        ]
        if not made:
            raise DataError(
                f"{folder}: holds no runs, start deleverage sweep with this folder again"
            )
        yield from _open_runs(made)


def format_tails(sizes: Mapping[int, F8]) -> str:
    """Tails of cascades in each system and how they grow with it, as text."""
    lines = []
    for system, each in sizes.items():
        lines += ["", f"{each.size} cascades among {system:,} accounts"]
        try:
            table = fit_tail(each, discrete=True)
        except DataError as error:
            lines.append(f"  {error}")
            continue
        first = table.iloc[0]
        fitted = f"{first['exponent']:.2f} from {first['start']:g} accounts on, {first['values']} cascades"
        lines.append(f"  power law: exponent {fitted}")
        for row in table.to_dict("records"):
            lines.append(
                f"  against {row['rival']:<20} likelihood ratio {row['ratio']:+8.2f}, p = {row['p']:.3f}"
            )
    kept = {system: each for system, each in sizes.items() if each.size}
    if kept:
        lines += ["", f"{'accounts':>9} {'cascades':>9} {'mean':>7} {'cutoff':>7}  share of system"]
        for row in measure_finite_size(kept).to_dict("records"):
            figures = f"{row['cascades']:>9,} {row['mean']:>7.2f} {row['cutoff']:>7.1f}  {row['share']:.2%}"
            lines.append(f"{row['system']:>9,} {figures}")
    return "\n".join(lines[1:])
