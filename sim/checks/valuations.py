"""Laws of collateral valuations (MAR-1)."""

import numpy as np

from sim.checks.law import FLOAT, Law, Suite, require, require_array, require_equal, require_methods
from sim.checks.margin_worlds import MarginWorld, make_margin_world, make_smaller_worlds
from sim.checks.requirements import (
    keep_columns,
    read_margins,
    require_close,
    require_ordered,
    require_unchanged,
)
from sim.margin.base import ValuationComponent
from sim.types import SPOT, Margins

METHODS = {"compute_haircuts": "book", "is_additive": "contracts", "mentioned_names": ""}
NAME = "compute_haircuts"
TOLERANCE = 1e-12
"""Relative difference of two sums of the same floats in another order."""


def _check_methods(rule: ValuationComponent, world: MarginWorld) -> None:
    require_methods(rule, METHODS, type(rule).__name__)
    names = rule.mentioned_names()
    are_names = isinstance(names, frozenset) and all(isinstance(name, str) for name in names)
    require(are_names, f"mentioned_names returns {names!r}, must return a frozenset of names")


def _check_form(rule: ValuationComponent, world: MarginWorld) -> None:
    read_margins(rule.compute_haircuts(world.accounts), world.accounts, NAME)


def _check_order(rule: ValuationComponent, world: MarginWorld) -> None:
    accounts = world.accounts
    require_ordered(read_margins(rule.compute_haircuts(accounts), accounts, NAME), world)


def _check_bound(rule: ValuationComponent, world: MarginWorld) -> None:
    accounts = world.accounts
    value = np.concatenate([accounts.balance * accounts.market.price, accounts.position_value()], 1)
    held = np.maximum(value, 0).sum(axis=1)
    initial = read_margins(rule.compute_haircuts(accounts), accounts, NAME).initial
    owes = (accounts.balance < 0).any(axis=1) | (accounts.position < 0).any(axis=1)
    for row in np.flatnonzero(~owes & (initial > held * (1 + TOLERANCE))):
        amounts = f"haircut {initial[row]:.10g} on assets of {held[row]:.10g}"
        require(False, f"{world.describe_account(row)} has {amounts}")


def _check_purity(rule: ValuationComponent, world: MarginWorld) -> None:
    accounts = world.accounts
    kept = keep_columns(accounts)
    first = read_margins(rule.compute_haircuts(accounts), accounts, NAME)
    copied = Margins(first.initial.copy(), first.maintenance.copy())
    rule.compute_haircuts(accounts.take(slice(0, 1)))
    again = rule.compute_haircuts(accounts)
    require_equal(again, copied, f"{NAME} returns other haircuts at the second call")
    require_unchanged(accounts, kept, NAME)


def _check_independence(rule: ValuationComponent, world: MarginWorld) -> None:
    accounts = world.accounts
    together = read_margins(rule.compute_haircuts(accounts), accounts, NAME)
    alone = [
        rule.compute_haircuts(accounts.take(slice(row, row + 1)))
        for row in range(len(accounts.position))
    ]
    joined = Margins(*(np.concatenate(column) for column in zip(*alone, strict=True)))
    require_close(joined, together, world, "by itself")


def _check_spot(rule: ValuationComponent, world: MarginWorld) -> None:
    """Require that haircuts of spot, where they add up, are the difference that spot makes."""
    accounts, contracts = world.accounts, world.contracts
    if not rule.is_additive(contracts):
        return
    require_methods(rule, {"compute_spot_haircuts": "book"}, type(rule).__name__)
    by_leg = rule.compute_spot_haircuts(accounts)
    name = "what compute_spot_haircuts returns"
    require_array(by_leg, name, accounts.position.shape, FLOAT)
    is_spot = contracts.kind == SPOT
    require(not by_leg[:, ~is_spot].any(), f"{name} is not zero for an instrument that is not spot")
    without = accounts._replace(position=np.where(is_spot, 0, accounts.position))
    whole, rest = rule.compute_haircuts(accounts).initial, rule.compute_haircuts(without).initial
    wrong = np.flatnonzero(~np.isclose(by_leg.sum(axis=1), whole - rest, rtol=1e-9, atol=1e-3))
    for row in wrong:
        added = whole[row] - rest[row]
        amounts = f"spot haircuts of {by_leg[row].sum():.10g}, and spot adds {added:.10g}"
        require(False, f"{world.describe_account(row)} has {amounts}")


LAWS = (
    Law("methods", "MAR-1", "It has the methods of a valuation.", _check_methods),
    Law("form of haircuts", "MAR-1", "Haircuts are two floats for each account.", _check_form),
    Law(
        "initial covers maintenance",
        "MAR-1",
        "The initial haircut is at least that for maintenance, and neither is negative.",
        _check_order,
    ),
    Law(
        "haircuts within assets",
        "MAR-1",
        "The haircut of an account without debts is at most the value of its assets.",
        _check_bound,
    ),
    Law(
        "pure haircuts",
        "MAR-1",
        "The same call returns the same haircuts, and the accounts stay as they are.",
        _check_purity,
    ),
    Law(
        "independent accounts",
        "MAR-1",
        "The haircut of an account does not depend on the other accounts.",
        _check_independence,
    ),
    Law(
        "haircuts of spot",
        "MAR-1",
        "Where haircuts add up, those of single spot positions sum to what spot adds.",
        _check_spot,
    ),
)

SUITE = Suite("valuation", LAWS, make_margin_world, make_smaller_worlds)
