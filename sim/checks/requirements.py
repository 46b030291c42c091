"""Laws of margin requirements (MAR-1)."""

from typing import Any

import numpy as np

from sim.checks.law import (
    FLOAT,
    Law,
    Suite,
    require,
    require_array,
    require_equal,
    require_methods,
)
from sim.checks.margin_worlds import (
    MarginWorld,
    make_margin_world,
    make_market,
    make_smaller_worlds,
)
from sim.margin.base import RequirementComponent
from sim.margin.tail.margin_path import compute_margin_path
from sim.protocols import Requirement
from sim.types import Exposure, Margins

METHODS = {"bind": "contracts, unit", "mentioned_names": "", "look_back": ""}
BOUND_METHODS = {"observe": "market", "compute_margins": "book", "compute_leg_shares": "book"}

TOLERANCE = 1e-12
"""Relative difference of two sums of the same floats in another order."""

STEP = 60.0
"""Seconds between the returns of a path."""


def bind_requirement(rule: RequirementComponent, world: MarginWorld) -> Requirement:
    """Return the requirement of a world's instruments, after one step of learning."""
    requirement = rule.bind(world.contracts, world.unit)
    require_methods(requirement, BOUND_METHODS, f"what bind returns, {type(requirement).__name__},")
    requirement.observe(world.accounts.market)
    return requirement


def read_margins(found: Any, accounts: Exposure, method: str = "compute_margins") -> Margins:
    """Return margins or haircuts after a check of their form.

    Raises:
        BrokenLawError: they have another form.
    """
    is_pair = isinstance(found, tuple) and len(found) == 2
    require(is_pair, f"{method} returns {type(found).__name__}, must return Margins")
    for name, column in zip(Margins._fields, found, strict=True):
        require_array(column, f"{name} of {method}", (len(accounts.position),), FLOAT)
    return Margins(*found)


def require_ordered(margins: Margins, world: MarginWorld) -> None:
    """Raise a breach unless initial covers maintenance, which is not negative.

    Raises:
        BrokenLawError: an account's amounts are out of order.
    """
    wrong = np.flatnonzero((margins.maintenance < 0) | (margins.initial < margins.maintenance))
    if wrong.size:
        row = int(wrong[0])
        initial, maintenance = margins.initial[row], margins.maintenance[row]
        amounts = f"initial {initial:.10g} and maintenance {maintenance:.10g}"
        require(False, f"{world.describe_account(row)} has {amounts}")


def require_close(got: Margins, expected: Margins, world: MarginWorld, where: str) -> None:
    """Raise a breach unless margins agree but for the order of sums.

    Raises:
        BrokenLawError: an account's margins differ.
    """
    for name, one, other in zip(Margins._fields, got, expected, strict=True):
        wrong = np.flatnonzero(~np.isclose(one, other, rtol=TOLERANCE, atol=0.0))
        if wrong.size:
            row = int(wrong[0])
            amounts = f"{name} {other[row]:.10g}, and {one[row]:.10g} {where}"
            require(False, f"{world.describe_account(row)} has {amounts}")


def keep_columns(accounts: Exposure) -> list[Any]:
    """Return copies of all columns of some accounts and of their market."""
    market = accounts.market
    return [each.copy() for each in (*accounts[:-1], market.mark, market.price, market.vol)]


def require_unchanged(accounts: Exposure, kept: list[Any], method: str) -> None:
    """Raise a breach if a method has written to the accounts that it was given.

    Raises:
        BrokenLawError: a column has changed.
    """
    require_equal(keep_columns(accounts), kept, f"{method} writes to the accounts it is given")


def _check_methods(rule: RequirementComponent, world: MarginWorld) -> None:
    require_methods(rule, METHODS, type(rule).__name__)
    requirement = rule.bind(world.contracts, world.unit)
    require(
        requirement is not rule.bind(world.contracts, world.unit),
        "bind returns the same object twice",
    )
    names = rule.mentioned_names()
    are_names = isinstance(names, frozenset) and all(isinstance(name, str) for name in names)
    require(are_names, f"mentioned_names returns {names!r}, must return a frozenset of names")
    seconds = rule.look_back()
    is_time = isinstance(seconds, int | float) and np.isfinite(seconds) and seconds >= 0
    require(is_time, f"look_back returns {seconds!r}, must return seconds")


def _check_form(rule: RequirementComponent, world: MarginWorld) -> None:
    requirement = bind_requirement(rule, world)
    read_margins(requirement.compute_margins(world.accounts), world.accounts)


def _check_order(rule: RequirementComponent, world: MarginWorld) -> None:
    requirement = bind_requirement(rule, world)
    require_ordered(
        read_margins(requirement.compute_margins(world.accounts), world.accounts), world
    )


def _check_flat(rule: RequirementComponent, world: MarginWorld) -> None:
    position = np.zeros_like(world.accounts.position)
    flat = world.accounts._replace(position=position)
    margins = read_margins(bind_requirement(rule, world).compute_margins(flat), flat)
    for name, column in zip(Margins._fields, margins, strict=True):
        require(not column.any(), f"an account without a position has {name} {column.max():.10g}")


def _check_shares(rule: RequirementComponent, world: MarginWorld) -> None:
    accounts = world.accounts
    shares = bind_requirement(rule, world).compute_leg_shares(accounts)
    require_array(shares, "what compute_leg_shares returns", accounts.position.shape, FLOAT)
    total, is_held = shares.sum(axis=1), accounts.position != 0
    expected = is_held.any(axis=1)
    for row in np.flatnonzero(~np.isclose(total, expected, rtol=TOLERANCE)):
        sums = f"shares that sum to {total[row]:.10g}, not to {expected[row]:d}"
        require(False, f"{world.describe_account(row)} has {sums}")
    for row, k in np.argwhere((shares < 0) | (~is_held & (shares != 0))):
        share = f"share {shares[row, k]:.10g} of {world.contracts.names[k]}"
        require(False, f"{world.describe_account(row)} has {share}")


def _check_purity(rule: RequirementComponent, world: MarginWorld) -> None:
    requirement, accounts = bind_requirement(rule, world), world.accounts
    kept = keep_columns(accounts)
    first = read_margins(requirement.compute_margins(accounts), accounts)
    copied = Margins(first.initial.copy(), first.maintenance.copy())
    requirement.compute_margins(accounts.take(slice(0, 1)))
    again = requirement.compute_margins(accounts)
    require_equal(again, copied, "compute_margins returns other margins at the second call")
    require_equal(first, copied, "a later call writes to the margins that were returned before")
    require_unchanged(accounts, kept, "compute_margins")


def _check_independence(rule: RequirementComponent, world: MarginWorld) -> None:
    requirement, accounts = bind_requirement(rule, world), world.accounts
    together = read_margins(requirement.compute_margins(accounts), accounts)
    order = np.random.default_rng(world.seed).permutation(len(accounts.position))
    permuted = requirement.compute_margins(accounts.take(order))
    unmixed = Margins(*(column[np.argsort(order)] for column in permuted))
    require_close(unmixed, together, world, "with the accounts in another order")
    alone = [
        requirement.compute_margins(accounts.take(slice(row, row + 1))) for row in range(len(order))
    ]
    joined = Margins(*(np.concatenate(column) for column in zip(*alone, strict=True)))
    require_close(joined, together, world, "by itself")


def _check_size(rule: RequirementComponent, world: MarginWorld) -> None:
    factor = int(np.random.default_rng(world.seed).integers(2, 51))
    requirement, accounts = bind_requirement(rule, world), world.accounts
    small = read_margins(requirement.compute_margins(accounts), accounts)
    large = requirement.compute_margins(accounts._replace(position=accounts.position * factor))
    for name, less, more in zip(Margins._fields, small, large, strict=True):
        for row in np.flatnonzero(more < less):
            amounts = f"{name} {less[row]:.10g}, and {more[row]:.10g} with {factor} times the lots"
            require(False, f"{world.describe_account(row)} has {amounts}")


def _check_memory(rule: RequirementComponent, world: MarginWorld) -> None:
    accounts, market = world.accounts, world.accounts.market
    left, right = bind_requirement(rule, world), bind_requirement(rule, world)
    view = market._replace(tick=1, mark=market.mark.copy(), vol=market.vol.copy())
    view = view._replace(price=market.price.copy(), returns=market.returns.copy())
    left.observe(view)
    right.observe(view)
    kept = right.compute_margins(accounts)
    for column in (view.mark, view.vol, view.price, view.returns):
        column *= 3.0
    held = "observe keeps an array that it was shown, and margins change with it"
    require_equal(left.compute_margins(accounts), kept, held)
    rng = np.random.default_rng(world.seed)
    right.observe(make_market(rng, view.contracts, len(view.price), tick=2))
    shared = "two requirements from bind share what they have observed"
    require_equal(left.compute_margins(accounts), kept, shared)


def _check_past(rule: RequirementComponent, world: MarginWorld) -> None:
    rng = np.random.default_rng(world.seed)
    returns = 0.01 * rng.standard_t(4, (80, 1))
    later = returns.copy()
    later[60:] = -3 * rng.permutation(later[60:])
    paths = [compute_margin_path(rule, each, dt=STEP)[:61] for each in (returns, later)]
    moved = np.flatnonzero(paths[0] != paths[1])
    if moved.size:
        require(False, f"the margin of step {moved[0]} changes with the returns from step 60 on")


ORDER = "Initial margin is at least maintenance margin, and neither is negative."
LAWS = (
    Law("methods", "MAR-1", "It has the methods of a margin requirement.", _check_methods),
    Law("form of margins", "MAR-1", "Margins are two floats for each account.", _check_form),
    Law("initial covers maintenance", "MAR-1", ORDER, _check_order),
    Law("flat accounts", "MAR-1", "An account without a position has no margin.", _check_flat),
    Law(
        "leg shares",
        "LIQ-2",
        "Shares of legs are not negative and sum to one in an account with a position.",
        _check_shares,
    ),
    Law(
        "pure margins",
        "MAR-1",
        "The same call returns the same margins, and the accounts stay as they are.",
        _check_purity,
    ),
    Law(
        "independent accounts",
        "MAR-1",
        "The margins of an account do not depend on the other accounts.",
        _check_independence,
    ),
    Law(
        "larger positions",
        "MAR-1",
        "An account with a multiple of the positions has no less margin.",
        _check_size,
        is_cheap=False,
    ),
    Law(
        "own memory",
        "MAR-3",
        "Margins change by observe alone, and what is observed is copied.",
        _check_memory,
        is_cheap=False,
    ),
    Law(
        "no look-ahead",
        "MAR-5",
        "Margins follow from past returns alone.",
        _check_past,
        is_cheap=False,
        n_worlds=3,
    ),
)

SUITE = Suite(
    "requirement",
    LAWS,
    make_margin_world,
    make_smaller_worlds,
    {"inner": {"kind": "tiered"}, "parts": [{"kind": "tiered"}]},
)
