"""Which parameters matter: Morris's screening and Sobol's indices by SALib, noise of replications told apart."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.statistics.tails import StatisticsError
from sim.types import F8

Problem = Mapping[str, Any]
"""As SALib has it: num_vars, names, bounds."""

LEVELS = 4
"""Of the grid that Morris's trajectories step on; SALib's default."""
RESAMPLES = 1_000


def problem(bounds: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """Parameters with their ranges, in SALib's words."""
    return {"num_vars": len(bounds), "names": list(bounds), "bounds": [list(ends) for ends in bounds.values()]}


def morris(problem: Problem, points: F8, outcome: F8) -> pd.DataFrame:
    """Elementary effects (Morris 1991, Technometrics 33; mu* of Campolongo et al. 2007, Env. Modelling & Software 22).

    The spread sigma of effects is interaction, curvature and noise. With replications at every point (same seeds
    everywhere) the noise is told apart: an effect is the mean of R, whose variance among seeds ÷ R is noise's share.

    Args:
        problem: see ``problem``.
        points: trajectories as ``SALib.sample.morris`` makes them with 4 levels (points, parameters).
        outcome: at every point, one column for each seed (points,) or (points, R).

    Returns:
        A row for each parameter, in order: name, mu, mu_star, low, high (95%, bootstrap of trajectories), sigma,
        noise (standard deviation of an effect, of noise alone; nan from one seed), sigma_net (sigma without it, not
        below nil), floor (mu_star of a parameter without effect; nan from one seed), screened_in (low above floor).

    Raises:
        StatisticsError: outcomes that are missing or do not fit the points.
    """
    from SALib.analyze import morris as analysis

    values = _replicated(points, outcome)
    found = analysis.analyze(dict(problem), points, values.mean(axis=1), num_resamples=RESAMPLES, seed=0)
    noise = _noise(points, values)
    floor = np.sqrt(2 / np.pi) * noise
    star, reach = np.asarray(found["mu_star"], dtype=float), np.asarray(found["mu_star_conf"], dtype=float)
    sigma = np.asarray(found["sigma"], dtype=float)
    columns = {"parameter": list(problem["names"]), "mu": np.asarray(found["mu"], dtype=float), "mu_star": star}
    columns |= {"low": np.maximum(star - reach, 0), "high": star + reach, "sigma": sigma, "noise": noise}
    columns |= {"sigma_net": np.sqrt(np.maximum(sigma**2 - noise**2, 0)), "floor": floor}
    return pd.DataFrame(columns).assign(screened_in=star - reach > np.nan_to_num(floor))


def effects(points: F8, values: F8) -> F8:
    """Elementary effects of every trajectory, parameter and seed per grid unit (trajectories, parameters, R)."""
    count, delta = points.shape[1], LEVELS / (2 * (LEVELS - 1))
    steps = np.diff(points.reshape(-1, count + 1, count), axis=1)
    moved = np.abs(steps).argmax(axis=2)  # one parameter a step
    way = np.sign(np.take_along_axis(steps, moved[..., None], axis=2))
    rises = np.diff(values.reshape(-1, count + 1, values.shape[1]), axis=1) * way / delta
    return rises[np.arange(len(moved))[:, None], np.argsort(moved, axis=1)]


def _noise(points: F8, values: F8) -> F8:
    """Standard deviation of a mean effect that is due to seeds, by parameter."""
    seeds = values.shape[1]
    if seeds < 2:
        return np.full(points.shape[1], np.nan)
    return np.sqrt(effects(points, values).var(axis=2, ddof=1).mean(axis=0) / seeds)


def sobol(problem: Problem, outcome: F8, *, second_order: bool = False) -> pd.DataFrame:
    """First-order and total indices (Saltelli et al. 2010, Computer Physics Communications 181) of the mean over seeds.

    Args:
        problem: see ``problem``.
        outcome: at every point of ``SALib.sample.sobol``, one column for each seed (points,) or (points, R).
        second_order: whether the sample was made for second-order indices.

    Returns:
        A row for each parameter: first, first_low, first_high, total, total_low, total_high (95%), and noise, the
        share of the outcome's variance between points that is due to seeds (the same for all; nan from one seed).

    Raises:
        StatisticsError: outcomes that are missing or do not vary.
    """
    from SALib.analyze import sobol as analysis

    values = np.atleast_2d(outcome.T).T
    missing = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if missing.size:
        raise StatisticsError(f"outcome: point {missing[0]} has none, every point needs all its runs, make them")
    if not np.ptp(values):
        told = f"outcome: {values.flat[0]:g} at every point, indices need values that vary"
        raise StatisticsError(f"{told}: widen the ranges, or choose another outcome")
    centre = values.mean(axis=1)
    options: dict[str, Any] = {"num_resamples": RESAMPLES, "calc_second_order": second_order, "seed": 0}
    found = analysis.analyze(dict(problem), centre, **options)
    seeds = values.shape[1]
    noise = values.var(axis=1, ddof=1).mean() / seeds / centre.var(ddof=1) if seeds > 1 else np.nan
    columns: dict[str, Any] = {"parameter": list(problem["names"])}
    for name, key in (("first", "S1"), ("total", "ST")):
        columns |= {name: found[key]}
        columns |= {f"{name}_low": found[key] - found[f"{key}_conf"], f"{name}_high": found[key] + found[f"{key}_conf"]}
    return pd.DataFrame(columns).assign(noise=noise)


def _replicated(points: F8, outcome: F8) -> F8:
    """Outcomes as a table of points and seeds.

    Raises:
        StatisticsError: it does not fit the points, or values are missing.
    """
    values = np.atleast_2d(outcome.T).T
    count = points.shape[1] + 1
    if len(values) != len(points) or len(points) % count:
        raise StatisticsError(
            f"outcome: {len(values)} for {len(points)} points, trajectories have {count} points each, give one of each"
        )
    missing = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if missing.size:
        raise StatisticsError(f"outcome: point {missing[0]} has none, every point needs all its runs, make them")
    return values
