"""Laws of funding rules (FUND-1)."""

from typing import Any, NamedTuple

import numpy as np

from sim.checks.law import FLOAT, Law, Suite, require, require_array, require_methods
from sim.exchange.funding import FundingRule
from sim.pricing.instrument_values import YEAR_SECONDS
from sim.types import F8

METHODS = {
    "set_year_lengths": "year",
    "prepare_run": "stamps, seconds",
    "add_sample": "bid, ask, oracle",
    "take_due_rate": "seconds",
    "close_interval": "",
}
NO_TIMES = np.empty(0, dtype="datetime64[s]")
BASIS = 0.01
"""Distance of the quotes from the oracle, as a share of it."""


class FundingWorld(NamedTuple):
    """Quotes of three instruments: above the oracle, below it, and around it."""

    bid: F8
    ask: F8
    oracle: F8


def make_funding_world(seed: int) -> FundingWorld:
    """Return quotes of random oracles; those of the first world are 100."""
    rng = np.random.default_rng(seed)
    oracle = 10 ** rng.uniform(1, 6, 3) if seed else np.full(3, 100.0)
    fair = oracle * (1 + np.array([BASIS, -BASIS, 0.0]))
    half = oracle * float(rng.uniform(1e-5, BASIS / 4))
    return FundingWorld(fair - half, fair + half, oracle)


def _start(rule: Any, world: FundingWorld) -> Any:
    made = rule.model_copy(deep=True)
    made.set_year_lengths(np.full(world.oracle.size, YEAR_SECONDS))
    made.prepare_run(NO_TIMES, 100 * float(rule.interval))
    return made


def _close(made: Any, world: FundingWorld) -> F8:
    rate = made.close_interval()
    require_array(rate, "the rate that close_interval returns", world.oracle.shape, FLOAT)
    return rate


def _check_methods(rule: Any, world: FundingWorld) -> None:
    is_rule = isinstance(rule, FundingRule)
    require(is_rule, f"{type(rule).__name__} is not a subclass of FundingRule")
    require_methods(rule, METHODS, type(rule).__name__)


def _check_form(rule: Any, world: FundingWorld) -> None:
    made = _start(rule, world)
    made.add_sample(*world)
    _close(made, world)


def _check_direction(rule: Any, world: FundingWorld) -> None:
    made = _start(rule, world)
    made.add_sample(*world)
    above, below, _ = _close(made, world)
    prices = f"{above:.3g} above the oracle and {below:.3g} below it"
    require(above > 0 > below, f"with quotes {BASIS:.0%} away, the rate is {prices}")


def _check_clock(rule: Any, world: FundingWorld) -> None:
    made, interval = _start(rule, world), float(rule.interval)
    require(made.take_due_rate(0.0) is None, "a payment is due at the start")
    made.add_sample(*world)
    require(
        made.take_due_rate(0.99 * interval) is None, "a payment is due before its interval ends"
    )
    require(made.take_due_rate(interval) is not None, "no payment is due when its interval ends")
    require(made.take_due_rate(1.5 * interval) is None, "a payment is due twice in an interval")
    unseen = made.take_due_rate(2 * interval)
    require(unseen is None, "a payment is due for an interval without observations")


def _check_empty_side(rule: Any, world: FundingWorld) -> None:
    made, unknown = _start(rule, world), np.full(world.oracle.size, np.nan)
    made.add_sample(unknown, unknown, world.oracle)
    rate = _close(made, world)
    spread = float(np.ptp(rate))
    require(spread <= 1e-9, f"with empty books, rates differ by {spread:.3g}")


LAWS = (
    Law("methods", "FUND-1", "It has the methods of a funding rule.", _check_methods),
    Law("form of rates", "FUND-1", "There is one finite rate for each instrument.", _check_form),
    Law(
        "direction",
        "FUND-1",
        "Longs pay where the book is above the oracle, and shorts where it is below.",
        _check_direction,
        is_cheap=False,
    ),
    Law("clock", "FUND-1", "A rate is due once, at the end of each interval.", _check_clock),
    Law("empty books", "FUND-1", "A book without quotes has no premium.", _check_empty_side),
)

SUITE = Suite("funding", LAWS, make_funding_world, lambda world: ())
