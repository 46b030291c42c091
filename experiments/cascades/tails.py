"""Tails of cascades and returns: power laws compared with other distributions.

Source: Clauset, Shalizi and Newman 2009, SIAM Review 51.
"""

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
"""Smallest number of values to which a tail is fitted."""

EXPONENT_RANGES = {"alpha": [1.0, None]}
"""Range of fitted exponents. The default of the package ends at 3, below those of returns."""

START_QUANTILES = np.linspace(0.0, 0.95, 39)
"""Candidate shares of the values below a tail; a tail has at least a twentieth of the values."""


def fit_tail(sizes: F8, discrete: bool = False) -> pd.DataFrame:
    """Compare the power law of a tail with other distributions.

    A tail starts where the largest distance from its power law is smallest (Clauset et al.,
    section 3.3).

    Args:
        sizes: (n,); values not above zero are omitted.
        discrete: True for counts.

    Returns:
        Rows of rival, exponent, start, values, ratio and p. A ratio above zero favours the power
        law, and p is the p-value of no difference.

    Raises:
        DataError: there are fewer than 20 values, or values or a tail without variation.
    """
    import powerlaw  # pulls in much that a run does not need

    kept = sizes[sizes > 0]
    message = f"tail: {np.unique(kept).size} different of {kept.size} sizes above 0"
    remedy = "run longer or take more runs together"
    if kept.size < MIN_VALUES or np.ptp(kept) == 0:
        needed = f"{MIN_VALUES} that are not all the same are needed"
        raise DataError(f"{message}, {needed}, {remedy}")
    starts = np.unique(np.quantile(kept, START_QUANTILES, method="lower"))
    options: dict[str, Any] = {
        "discrete": discrete,
        "parameter_ranges": EXPONENT_RANGES,
        "verbose": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numerical warnings of fits that are discarded
        try:
            fits: list[Any] = [powerlaw.Fit(kept, xmin=start, **options) for start in starts]
            fit = min(fits, key=lambda each: float(each.power_law.D))
            found = _compare_with_rivals(fit)
        except ValueError as error:
            raise DataError(f"{message}, too few for laws to differ, {remedy}") from error
    power_law = float(fit.power_law.alpha), float(fit.xmin), int((kept >= fit.xmin).sum())
    rows = [(rival, *power_law, ratio, p) for rival, ratio, p in found]
    return pd.DataFrame(rows, columns=["rival", "exponent", "start", "values", "ratio", "p"])


def _compare_with_rivals(fit: Any) -> list[tuple[str, float, float]]:
    """Return the name, likelihood ratio and p-value of each rival of a fit."""
    rows = []
    for rival in RIVALS:
        ratio, p = fit.distribution_compare("power_law", rival, nested=None)
        rows.append((rival, float(ratio), float(p)))
    return rows


def measure_finite_size(sizes: dict[int, F8]) -> pd.DataFrame:
    """Measure cascade sizes in systems of several sizes.

    If the cutoff is a constant share of the system, cascades have no characteristic size. If the
    cutoff is constant, they have one.

    Returns:
        Rows of system, cascades, mean, cutoff (Σ s² ÷ Σ s) and share of the system.
    """
    rows = [
        (system, each.size, float(each.mean()), float((each**2).sum() / each.sum()))
        for system, each in sizes.items()
    ]
    table = pd.DataFrame(rows, columns=["system", "cascades", "mean", "cutoff"])
    return table.assign(share=table["cutoff"] / table["system"])


def gather_cascade_sizes(folders: Sequence[Path]) -> dict[int, F8]:
    """Return the accounts in each cascade by size of the market, smallest market first.

    Args:
        folders: folders of runs, or of sweeps, all of whose runs are used.

    Raises:
        DataError: a folder is not a result, or a frame of a run is missing or cannot be read.
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
    """Return a text on the tails of cascades in each system and on their growth with it."""
    lines = []
    for system, each in sizes.items():
        lines += ["", f"{each.size} cascades among {system:,} accounts", *_format_tail(each)]
    kept = {system: each for system, each in sizes.items() if each.size}
    if kept:
        lines += ["", f"{'accounts':>9} {'cascades':>9} {'mean':>7} {'cutoff':>7}  share of system"]
        for row in measure_finite_size(kept).to_dict("records"):
            counts = f"{row['system']:>9,} {row['cascades']:>9,}"
            figures = f"{row['mean']:>7.2f} {row['cutoff']:>7.1f}  {row['share']:.2%}"
            lines.append(f"{counts} {figures}")
    return "\n".join(lines[1:])


def _format_tail(sizes: F8) -> list[str]:
    """Return lines on the tail of one system, or on the reason why it has none."""
    try:
        table = fit_tail(sizes, discrete=True)
    except DataError as error:
        return [f"  {error}"]
    first = table.iloc[0]
    tail = f"from {first['start']:g} accounts on, {first['values']} cascades"
    lines = [f"  power law: exponent {first['exponent']:.2f} {tail}"]
    for row in table.to_dict("records"):
        test = f"likelihood ratio {row['ratio']:+8.2f}, p = {row['p']:.3f}"
        lines.append(f"  against {row['rival']:<20} {test}")
    return lines
