"""Laws of stresses, which are laid over index processes (IDX-1)."""

from typing import Any, NamedTuple

import numpy as np

from sim.checks.law import FLOAT, Law, Suite, require, require_array, require_equal, require_methods
from sim.types import F8

METHODS = {
    "return_multiplier": "seconds, underlying",
    "log_price_shift": "seconds, underlying",
    "depth_share": "seconds",
    "price_factor": "seconds, asset",
    "referenced_names": "",
}


class StressWorld(NamedTuple):
    """The times of a run, and the names of an underlying and an asset."""

    seconds: F8  # (T,)
    underlying: str
    asset: str


def make_stress_world(seed: int) -> StressWorld:
    """Return some times of a run, rising from its start."""
    rng = np.random.default_rng(seed)
    count, step = int(rng.integers(1, 500)), float(rng.choice([1.0, 60.0, 3600.0]))
    return StressWorld(np.arange(count, dtype=np.float64) * step, "A", "ALT")


def _compute_effects(stress: Any, world: StressWorld) -> dict[str, F8]:
    return {
        "return_multiplier": stress.return_multiplier(world.seconds, world.underlying),
        "log_price_shift": stress.log_price_shift(world.seconds, world.underlying),
        "depth_share": stress.depth_share(world.seconds),
        "price_factor": stress.price_factor(world.seconds, world.asset),
    }


def _check_methods(stress: Any, world: StressWorld) -> None:
    require_methods(stress, METHODS, type(stress).__name__)
    names = stress.referenced_names()
    is_pair = isinstance(names, tuple) and len(names) == 2
    require(
        is_pair, f"referenced_names returns {names!r}, must be names of underlyings and of assets"
    )


def _check_form(stress: Any, world: StressWorld) -> None:
    for name, effect in _compute_effects(stress, world).items():
        require_array(effect, f"what {name} returns", world.seconds.shape, FLOAT)


def _check_ranges(stress: Any, world: StressWorld) -> None:
    effects = _compute_effects(stress, world)
    for name, low, high in (
        ("return_multiplier", 0.0, np.inf),
        ("depth_share", 0.0, 1.0),
        ("price_factor", 0.0, np.inf),
    ):
        for wrong in effects[name][(effects[name] < low) | (effects[name] > high)]:
            require(False, f"{name} is {wrong:.10g}, must be from {low:g} to {high:g}")


def _check_purity(stress: Any, world: StressWorld) -> None:
    given = world._replace(seconds=world.seconds.copy())
    first, again = (_compute_effects(stress, given).values() for _ in range(2))
    require_equal(first, again, "it has other effects at the second call")
    require_equal((given.seconds,), (world.seconds,), "it writes to the times it is given")


LAWS = (
    Law("methods", "IDX-1", "It has the methods of a stress.", _check_methods),
    Law("form of effects", "IDX-1", "Each effect is one finite float for each time.", _check_form),
    Law(
        "ranges",
        "IDX-1",
        "Multipliers and prices are not negative, and depth is a share.",
        _check_ranges,
    ),
    Law(
        "pure effects",
        "IDX-1",
        "The same call returns the same effects, and the times stay as they are.",
        _check_purity,
    ),
)

SUITE = Suite(
    "stress",
    LAWS,
    make_stress_world,
    lambda world: (),
    {"at": 600.0, "duration": 600.0, "size": -0.1, "multiplier": 2.0, "share": 0.5},
)
