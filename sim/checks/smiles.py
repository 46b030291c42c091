"""Laws of smiles: implied volatility as a function of log-moneyness."""

from typing import NamedTuple

import numpy as np

from sim.checks.law import FLOAT, Law, Suite, require, require_array, require_equal, require_methods
from sim.pricing.smiles import SmileComponent
from sim.types import F8


class SmileWorld(NamedTuple):
    """Options of one expiry."""

    moneyness: F8  # (n,) log of strike over forward, rising
    years: float  # to expiry


def make_smile_world(seed: int) -> SmileWorld:
    """Return options from a day to two years before their expiry."""
    rng = np.random.default_rng(seed)
    moneyness = np.sort(rng.uniform(-1.0, 1.0, int(rng.integers(1, 20))))
    return SmileWorld(moneyness, float(10 ** rng.uniform(np.log10(1 / 365), np.log10(2))))


def _check_methods(smile: SmileComponent, world: SmileWorld) -> None:
    require_methods(smile, {"compute_vol": "k, years"}, type(smile).__name__)


def _check_form(smile: SmileComponent, world: SmileWorld) -> None:
    vol = smile.compute_vol(world.moneyness, world.years)
    require_array(vol, "what compute_vol returns", world.moneyness.shape, FLOAT)
    for k, value in zip(world.moneyness, vol, strict=True):
        told = f"the volatility at log-moneyness {k:.3g} and {world.years:.3g} years is {value:.6g}"
        require(value > 0, told)


def _check_purity(smile: SmileComponent, world: SmileWorld) -> None:
    given = world.moneyness.copy()
    first, again = (smile.compute_vol(given, world.years) for _ in range(2))
    require_equal((first,), (again,), "compute_vol returns other values at the second call")
    require_equal((given,), (world.moneyness,), "compute_vol writes to what it is given")


LAWS = (
    Law("methods", "MAR-7", "It has the methods of a smile.", _check_methods),
    Law(
        "positive volatility",
        "MAR-7",
        "There is one finite volatility above zero for each log-moneyness.",
        _check_form,
    ),
    Law(
        "pure volatility",
        "MAR-7",
        "The same call returns the same volatilities, and what is given stays as it is.",
        _check_purity,
    ),
)

SUITE = Suite(
    "smile",
    LAWS,
    make_smile_world,
    lambda world: (),
    {
        "underlying": "btc",
        "expiry": 86_400.0,
        "level": 0.5,
        "a": 0.04,
        "b": 0.1,
        "rho": -0.3,
        "sigma": 0.2,
    },
)
