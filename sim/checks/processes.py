"""Laws of index processes and of stresses (IDX-1, RNG-1)."""

from typing import Any, NamedTuple

import numpy as np

from sim.checks.law import FLOAT, Law, Suite, require, require_array, require_equal, require_methods
from sim.numerics.rng import RandomStreams
from sim.prices.bars import Bars, validate_bars
from sim.prices.process import ProcessInputs
from sim.types import F8

STEP = 60.0
"""Seconds in a step."""

DAYS, FIRST_DAYS = 3, 2
"""Days of a path, and of the shorter one that begins it."""

DAY_ROWS = 1_440
"""Steps in a day."""


class PathWorld(NamedTuple):
    """Inputs of a process, and a shorter stretch of the same."""

    seed: int
    normals: F8  # (T,)
    first_rows: int  # of the shorter path
    inputs: ProcessInputs
    first_inputs: ProcessInputs


def make_path_world(seed: int) -> PathWorld:
    """Return three days in steps of a minute, with daily bars for a replay."""
    rng = np.random.default_rng(seed)
    normals = rng.standard_normal(DAYS * DAY_ROWS - 1)
    start = np.datetime64("2020-01-01")
    day = np.arange(start, start + DAYS)
    prices = np.tile([100.0, 104.0, 97.0, 101.0], (DAYS, 1))
    bars = validate_bars("generated", day, prices)
    return PathWorld(
        seed,
        normals,
        FIRST_DAYS * DAY_ROWS - 1,
        _make_inputs(seed, bars),
        _make_inputs(seed, bars.take(day[:FIRST_DAYS])),
    )


def _make_inputs(seed: int, bars: Bars) -> ProcessInputs:
    return ProcessInputs(STEP, RandomStreams(seed), "A", bars)


def make_opening_path(name: str, dt: float) -> PathWorld:
    """Return a short path of one underlying in steps of ``dt`` seconds, without bars."""
    normals = np.random.default_rng(0).standard_normal(200)
    inputs = ProcessInputs(dt, RandomStreams(0), name)
    return PathWorld(0, normals, 120, inputs, inputs)


def _compute_returns(process: Any, world: PathWorld) -> F8:
    returns = process.compute_log_returns(world.normals.copy(), world.inputs)
    require_array(returns, "what compute_log_returns returns", world.normals.shape, FLOAT)
    return returns


def _check_methods(process: Any, world: PathWorld) -> None:
    methods = {"compute_log_returns": "z, tape", "seconds_per_year": "bars", "years_per_step": "dt"}
    require_methods(process, methods, type(process).__name__)
    seconds = process.seconds_per_year(world.inputs.bars)
    is_time = isinstance(seconds, int | float) and np.isfinite(seconds) and seconds > 0
    require(is_time, f"seconds_per_year returns {seconds!r}, must be positive")


def _check_form(process: Any, world: PathWorld) -> None:
    _compute_returns(process, world)


def _check_purity(process: Any, world: PathWorld) -> None:
    normals = world.normals.copy()
    first = process.compute_log_returns(normals, world.inputs).copy()
    changed = "compute_log_returns writes to the normals it is given"
    require_equal((normals,), (world.normals,), changed)
    again = process.compute_log_returns(normals, world.inputs)
    require_equal((again,), (first,), "compute_log_returns returns other values at the second call")


def _check_prefix(process: Any, world: PathWorld) -> None:
    whole = _compute_returns(process, world)
    normals = world.normals[: world.first_rows].copy()
    first = process.compute_log_returns(normals, world.first_inputs)
    require_array(first, "what compute_log_returns returns", normals.shape, FLOAT)
    moved = np.flatnonzero(first != whole[: world.first_rows])
    if moved.size:
        row = int(moved[0])
        values = f"{first[row]:.10g} of {world.first_rows} steps, {whole[row]:.10g} of {whole.size}"
        require(False, f"return {row} is {values}")


def _check_correlation(process: Any, world: PathWorld) -> None:
    returns = _compute_returns(process, world)
    require(returns.std() > 0, "all returns are equal")
    one, other = (
        np.argsort(np.argsort(each)).astype(np.float64) for each in (returns, world.normals)
    )
    correlation = float(np.corrcoef(one, other)[0, 1])  # of ranks, for a jump outweighs many steps
    require(correlation > 0.5, f"returns and normals have a rank correlation of {correlation:.3g}")


LAWS = (
    Law("methods", "IDX-1", "It has the methods of an index process.", _check_methods),
    Law("form of returns", "IDX-1", "There is one finite return for each step.", _check_form),
    Law(
        "pure returns",
        "IDX-1",
        "The same call returns the same returns, and the normals stay as they are.",
        _check_purity,
    ),
    Law(
        "no look-ahead",
        "RNG-1",
        "A longer path begins with the shorter one.",
        _check_prefix,
        n_worlds=100,
    ),
    Law(
        "correlation",
        "IDX-1",
        "Returns follow the normals, which carry the correlation (rank correlation above 0.5).",
        _check_correlation,
        is_cheap=False,
        n_worlds=100,
    ),
)

SUITE = Suite("index process", LAWS, make_path_world, lambda world: (), {"volatility": 0.6})
