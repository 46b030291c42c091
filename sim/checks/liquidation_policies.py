"""Laws of liquidation policies (LIQ-1, LIQ-2, LIQ-5)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sim.checks.law import (
    BOOLEAN,
    Law,
    Suite,
    require,
    require_array,
    require_columns,
    require_equal,
    require_methods,
)
from sim.checks.margin_worlds import MarginWorld, make_accounts, make_contracts, make_market
from sim.checks.margin_worlds import make_smaller_worlds as make_fewer_accounts
from sim.types import (
    F8,
    MISSING,
    ROUTE_AUCTION,
    ROUTE_BOOK,
    CloseOuts,
    DistressHistory,
    Exposure,
    MarginAssessment,
)

METHODS = {
    "plan_close_outs": "risk, distress, book, weights",
    "select_auctioned": "risk, distress, book",
}
MAINTENANCE = 0.05
"""Maintenance margin as a share of gross notional."""

STEP = 60.0
"""Seconds in a step."""

LARGEST_LOTS, LARGEST_MARK = 50, 5_000


class PolicyWorld(NamedTuple):
    """Some accounts, their assessment and what is known of their past."""

    margin: MarginWorld
    risk: MarginAssessment
    distress: DistressHistory
    weights: F8  # (A, K) shares of maintenance
    dt: float = STEP  # seconds in a step

    @property
    def accounts(self) -> Exposure:
        """The accounts of the pool."""
        return self.margin.accounts


def make_policy_world(seed: int) -> PolicyWorld:
    """Return random accounts, of which some are liquidatable and some bankrupt."""
    rng = np.random.default_rng(seed)
    contracts = make_contracts(rng, int(rng.integers(1, 4)), 1)
    market = make_market(rng, contracts, 1, tick=int(rng.integers(5, 50)))
    mark = rng.integers(100, LARGEST_MARK, len(contracts.names)).astype(float)
    accounts = make_accounts(rng, market._replace(mark=mark), int(rng.integers(1, 30)))
    position = rng.integers(-LARGEST_LOTS, LARGEST_LOTS + 1, accounts.position.shape)
    accounts = accounts._replace(position=position * (rng.random(position.shape) < 0.8))
    value = accounts.position_value()
    wanted = rng.uniform(-0.05, 0.2, len(value)) * np.abs(value).sum(axis=1)
    cash = np.rint(wanted - value.sum(axis=1)).astype(np.int64)[:, None]
    return build_policy_world(MarginWorld(seed, accounts._replace(balance=cash)), rng)


def build_policy_world(world: MarginWorld, rng: np.random.Generator) -> PolicyWorld:
    """Return some accounts with an assessment and a random past."""
    accounts = world.accounts
    gross = np.abs(accounts.position_value())
    total = gross.sum(axis=1)
    risk = MarginAssessment(accounts.equity(), 2 * MAINTENANCE * total, MAINTENANCE * total)
    weights = gross / np.maximum(total, 1)[:, None]
    tick, count = accounts.market.tick, len(accounts.position)
    past = [
        np.where(rng.random(count) < 0.5, MISSING, rng.integers(0, tick + 1, count))
        for _ in DistressHistory._fields
    ]
    return PolicyWorld(world, risk, DistressHistory(*past), weights)


def make_smaller_worlds(world: PolicyWorld) -> Iterator[PolicyWorld]:
    """Return worlds with fewer accounts, then with fewer positions."""
    for smaller in make_fewer_accounts(world.margin):
        yield build_policy_world(smaller, np.random.default_rng(world.margin.seed))


def plan_close_outs(policy: Any, world: PolicyWorld) -> CloseOuts:
    """Return the plan of a policy on the world's clock, after a check of its form.

    Raises:
        BrokenLawError: it has another form.
    """
    found = policy.bind(world.dt).plan_close_outs(
        world.risk, world.distress, world.accounts, world.weights
    )
    require_columns(found, CloseOuts, "what plan_close_outs returns")
    plan: CloseOuts = found
    accounts, instruments = world.accounts.position.shape
    for name, column, most in (
        ("account", plan.account, accounts),
        ("instrument", plan.instrument, instruments),
    ):
        for wrong in column[(column < 0) | (column >= most)]:
            require(False, f"a close-out has {name} {wrong}, must be from 0 to {most - 1}")
    return plan


def _describe(world: PolicyWorld, plan: CloseOuts, row: int | np.integer[Any]) -> str:
    account, k = int(plan.account[row]), int(plan.instrument[row])
    name = world.margin.contracts.names[k]
    lots = f"{plan.quantity[row]} lots of {name} at {plan.limit[row]} ticks"
    return f"{world.margin.describe_account(account)} is to trade {lots}"


def _check_methods(policy: Any, world: PolicyWorld) -> None:
    require_methods(policy, {"bind": "dt"}, type(policy).__name__)
    require_methods(policy.bind(world.dt), METHODS, type(policy).__name__)


def _check_form(policy: Any, world: PolicyWorld) -> None:
    plan_close_outs(policy, world)


def _check_reduction(policy: Any, world: PolicyWorld) -> None:
    plan = plan_close_outs(policy, world)
    held = world.accounts.position[plan.account, plan.instrument]
    for row in range(held.size):
        lots = plan.quantity[row]
        is_against = np.sign(lots) == -np.sign(held[row]) and lots != 0
        require(is_against, f"{_describe(world, plan, row)}, which does not reduce its position")
        is_held = abs(lots) <= abs(held[row])
        require(is_held, f"{_describe(world, plan, row)}, which is more than it holds")


def _check_accounts(policy: Any, world: PolicyWorld) -> None:
    plan = plan_close_outs(policy, world)
    for row in np.flatnonzero(~world.risk.liquidatable[plan.account]):
        account = plan.account[row]
        equity, maintenance = world.risk.equity[account], world.risk.maintenance[account]
        amounts = f"with equity {equity:.10g} and maintenance {maintenance:.10g}"
        require(False, f"{_describe(world, plan, row)} {amounts}")
    legs = np.stack([plan.account, plan.instrument])
    _, first = np.unique(legs, axis=1, return_index=True)
    for second in sorted(set(range(plan.account.size)) - set(first.tolist())):
        require(False, f"{_describe(world, plan, second)}, a second close-out of one position")


def _check_prices(policy: Any, world: PolicyWorld) -> None:
    plan, contracts = plan_close_outs(policy, world), world.margin.contracts
    highest = contracts.max_price[plan.instrument]
    for row in np.flatnonzero((plan.limit < 1) | (plan.limit > highest)):
        rule = f"the limit must be from 1 to {highest[row]} ticks"
        require(False, f"{_describe(world, plan, row)}, {rule}")
    for row in np.flatnonzero(~np.isin(plan.route, (ROUTE_BOOK, ROUTE_AUCTION))):
        require(False, f"{_describe(world, plan, row)} by route {plan.route[row]}")


def _check_calm(policy: Any, world: PolicyWorld) -> None:
    equity = world.risk.maintenance + 1.0
    calm = world._replace(risk=world.risk._replace(equity=equity))
    plan = plan_close_outs(policy, calm)
    require(not plan.account.size, f"it closes {plan.account.size} positions of healthy accounts")


def _check_auction(policy: Any, world: PolicyWorld) -> None:
    bound = policy.bind(world.dt)
    offered = bound.select_auctioned(world.risk, world.distress, world.accounts)
    count = (len(world.accounts.position),)
    require_array(offered, "what select_auctioned returns", count, BOOLEAN)


def _check_purity(policy: Any, world: PolicyWorld) -> None:
    given = (*world.risk, *world.distress, world.weights, *world.accounts[:-1])
    kept = [column.copy() for column in given]
    first, again = (plan_close_outs(policy, world) for _ in range(2))
    require_equal(first, again, "plan_close_outs returns another plan at the second call")
    require_equal(given, kept, "plan_close_outs writes to what it is given")


LAWS = (
    Law("methods", "LIQ-1", "It has the methods of a liquidation policy.", _check_methods),
    Law("form of plans", "LIQ-1", "A plan is five columns of whole numbers.", _check_form),
    Law(
        "only reductions",
        "LIQ-1",
        "A close-out trades against the position, and no more than is held.",
        _check_reduction,
    ),
    Law(
        "only liquidatable accounts",
        "LIQ-1",
        "Only accounts with equity below maintenance are closed out, each position once.",
        _check_accounts,
    ),
    Law("limits", "LIQ-2", "A limit can be quoted, and the route is known.", _check_prices),
    Law("calm market", "LIQ-1", "Healthy accounts are not closed out.", _check_calm),
    Law(
        "auctions",
        "LIQ-3",
        "Whether an account is on offer is one boolean for each account.",
        _check_auction,
    ),
    Law(
        "pure plans",
        "LIQ-5",
        "The same call returns the same plan, and what is given stays as it is.",
        _check_purity,
    ),
)

SUITE = Suite("liquidation policy", LAWS, make_policy_world, make_smaller_worlds)
