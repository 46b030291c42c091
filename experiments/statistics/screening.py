"""Sensitivity to parameters: Morris's screening and Sobol's indices by SALib, apart from noise."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.statistics.tails import StatisticsError
from sim.types import F8

Problem = Mapping[str, Any]
"""Problem in SALib's form: num_vars, names, bounds."""

GRID_LEVELS = 4
"""Levels of the grid of Morris's trajectories; SALib's default."""
RESAMPLES = 1_000


def define_problem(bounds: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """Return parameters and their ranges in SALib's form."""
    return {
        "num_vars": len(bounds),
        "names": list(bounds),
        "bounds": [list(ends) for ends in bounds.values()],
    }


def screen_by_morris(problem: Problem, points: F8, outcome: F8) -> pd.DataFrame:
    """Return elementary effects of parameters by Morris's method.

    The spread sigma of effects holds interaction, curvature and noise. With replications at every
    point (same seeds everywhere) the noise is separated: an effect is the mean of R replications,
    and their variance ÷ R is the noise. Sources: Morris 1991, Technometrics 33; mu* of Campolongo
    et al. 2007, Env. Modelling & Software 22.

    Args:
        problem: see ``define_problem``.
        points: trajectories of ``SALib.sample.morris`` with 4 levels (points, parameters).
        outcome: outcome at every point, one column for each seed (points,) or (points, R).

    Returns:
        A row for each parameter, in order: name, mu, mu_star, low, high (95%, bootstrap of
            trajectories), sigma, noise (standard deviation of an effect due to noise; nan from one
            seed), sigma_net (sigma without noise, at least zero), floor (mu_star of a parameter
            without effect; nan from one seed), screened_in (low above floor).

    Raises:
        StatisticsError: outcomes are missing or do not fit the points.
    """
    from SALib.analyze import morris as analysis

    values = _outcome_table(points, outcome)
    effects = analysis.analyze(
        dict(problem), points, values.mean(axis=1), num_resamples=RESAMPLES, seed=0
    )
    noise = _effect_noise(points, values)
    floor = np.sqrt(2 / np.pi) * noise
    star = np.asarray(effects["mu_star"], dtype=float)
    reach = np.asarray(effects["mu_star_conf"], dtype=float)
    sigma = np.asarray(effects["sigma"], dtype=float)
    return pd.DataFrame(
        {
            "parameter": list(problem["names"]),
            "mu": np.asarray(effects["mu"], dtype=float),
            "mu_star": star,
            "low": np.maximum(star - reach, 0),
            "high": star + reach,
            "sigma": sigma,
            "noise": noise,
            "sigma_net": np.sqrt(np.maximum(sigma**2 - noise**2, 0)),
            "floor": floor,
            "screened_in": star - reach > np.nan_to_num(floor),
        }
    )


def compute_effects(points: F8, values: F8) -> F8:
    """Return elementary effects by trajectory, parameter and seed, per grid unit.

    Returns:
        Effects (trajectories, parameters, R).
    """
    count = points.shape[1]
    delta = GRID_LEVELS / (2 * (GRID_LEVELS - 1))
    steps = np.diff(points.reshape(-1, count + 1, count), axis=1)
    moved = np.abs(steps).argmax(axis=2)  # one parameter a step
    direction = np.sign(np.take_along_axis(steps, moved[..., None], axis=2))
    outcomes = values.reshape(-1, count + 1, values.shape[1])
    rises = np.diff(outcomes, axis=1) * direction / delta
    trajectories = np.arange(len(moved))[:, None]
    return rises[trajectories, np.argsort(moved, axis=1)]


def _effect_noise(points: F8, values: F8) -> F8:
    """Return the standard deviation of a mean effect that is due to seeds, by parameter."""
    seeds = values.shape[1]
    if seeds < 2:
        return np.full(points.shape[1], np.nan)
    return np.sqrt(compute_effects(points, values).var(axis=2, ddof=1).mean(axis=0) / seeds)


def estimate_sobol_indices(
    problem: Problem, outcome: F8, *, second_order: bool = False
) -> pd.DataFrame:
    """Return first-order and total Sobol indices of the mean over seeds.

    Source: Saltelli et al. 2010, Computer Physics Communications 181.

    Args:
        problem: see ``define_problem``.
        outcome: outcome at every point of ``SALib.sample.sobol``, one column for each seed
            (points,) or (points, R).
        second_order: True if the sample was made for second-order indices.

    Returns:
        A row for each parameter: first, first_low, first_high, total, total_low, total_high (95%),
        and noise. The noise is the share of the variance between points that is due to seeds, the
        same for all parameters; nan from one seed.

    Raises:
        StatisticsError: outcomes are missing or do not vary.
    """
    from SALib.analyze import sobol as analysis

    values = np.atleast_2d(outcome.T).T
    _require_outcomes(values)
    if not np.ptp(values):
        problem_text = f"{values.flat[0]:g} at every point, indices need values that vary"
        raise StatisticsError(
            f"outcome: {problem_text}: widen the ranges, or choose another outcome"
        )
    centre = values.mean(axis=1)
    options: dict[str, Any] = {
        "num_resamples": RESAMPLES,
        "calc_second_order": second_order,
        "seed": 0,
    }
    indices = analysis.analyze(dict(problem), centre, **options)
    seeds = values.shape[1]
    noise = values.var(axis=1, ddof=1).mean() / seeds / centre.var(ddof=1) if seeds > 1 else np.nan
    columns: dict[str, Any] = {"parameter": list(problem["names"])}
    for name, key in (("first", "S1"), ("total", "ST")):
        index, reach = indices[key], indices[f"{key}_conf"]
        columns |= {name: index, f"{name}_low": index - reach, f"{name}_high": index + reach}
    return pd.DataFrame(columns).assign(noise=noise)


def _outcome_table(points: F8, outcome: F8) -> F8:
    """Return outcomes as a table of points and seeds.

    Raises:
        StatisticsError: they do not fit the points, or values are missing.
    """
    values = np.atleast_2d(outcome.T).T
    count = points.shape[1] + 1
    if len(values) != len(points) or len(points) % count:
        rule = f"trajectories have {count} points each, give one of each"
        raise StatisticsError(f"outcome: {len(values)} for {len(points)} points, {rule}")
    _require_outcomes(values)
    return values


def _require_outcomes(values: F8) -> None:
    """Refuse outcomes that are missing.

    Raises:
        StatisticsError: names the first point without an outcome.
    """
    missing = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if missing.size:
        raise StatisticsError(
            f"outcome: point {missing[0]} has none, every point needs all its runs, make them"
        )
