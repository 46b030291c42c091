"""Laws of populations (AGT-1, AGT-7, BOOK-2, RNG-1)."""

import copy
from typing import Any

import numpy as np

from sim.cash_flows import CashFlows
from sim.checks.crowd_worlds import CrowdState, CrowdWorld, make_crowd_world
from sim.checks.law import (
    INTEGER,
    Law,
    Suite,
    require,
    require_array,
    require_columns,
    require_equal,
    require_methods,
)
from sim.component import Component
from sim.protocols import PopulationProtocol
from sim.types import (
    I8,
    IOC,
    LIMIT,
    MARKET,
    MISSING,
    POST_ONLY,
    REDUCE_ONLY,
    AccountView,
    Contracts,
    MarginAssessment,
    MarketView,
    Orders,
)

METHODS = {
    "start": "setting, draws",
    "decide": "outlook, accounts, draws",
    "request_cash_flows": "outlook, accounts, standing, draws",
}
COUNTS = ("count", "n_sides", "n_trait_draws", "n_decision_draws", "n_cash_flow_draws", "latency")
MAX_LATENCY, LEAST_LEVERAGE = 15, 100
LARGEST_DRAW = float(np.nextafter(1.0, 0.0))


def start_population(config: Any, world: CrowdWorld) -> PopulationProtocol:
    """Return a copy of a population that has started in the market of a world."""
    population = copy.deepcopy(config)
    population.start(world.spec, world.draw_uniform(population.count, population.n_trait_draws, 1))
    started: PopulationProtocol = population
    return started


def require_orders(orders: Any, population: PopulationProtocol, world: CrowdWorld) -> None:
    """Raise a breach unless a batch of orders is well formed.

    Raises:
        BrokenLawError: it is not.
    """
    name, contracts = "what decide returns", world.spec.contracts
    require(isinstance(orders, Orders), f"{name} is {type(orders).__name__}, must be Orders")
    if not len(orders.leverage):
        orders = orders._replace(leverage=np.zeros(len(orders.owner), dtype=np.int64))
    require_columns(orders, Orders, name)
    _require_range("owner", orders.owner, count_rows(population), name)
    _require_range("instrument", orders.instrument, len(contracts.names), name)
    _require_kinds(orders)
    _require_limits(orders, contracts)
    keys = np.stack([orders.owner, orders.instrument, orders.slot])
    is_unique = np.unique(keys, axis=1).shape == keys.shape
    require(is_unique, "two orders have the same owner, instrument and slot")
    for leverage in orders.leverage[(orders.leverage != 0) & (orders.leverage < LEAST_LEVERAGE)]:
        wanted = f"must be 0, or hundredths from {LEAST_LEVERAGE}"
        require(False, f"an order chooses leverage {leverage}, {wanted}")


def _require_kinds(orders: Orders) -> None:
    plain = orders.kind & ~REDUCE_ONLY
    for kind in orders.kind[~np.isin(plain, (LIMIT, IOC, POST_ONLY, MARKET))]:
        require(False, f"an order has kind {kind}")
    rests = np.isin(orders.kind, (LIMIT, POST_ONLY))
    is_empty = bool((~rests & (orders.quantity == 0)).any())
    require(not is_empty, "an order of no lots is not a limit order: only these can be cancelled")


def _require_limits(orders: Orders, contracts: Contracts) -> None:
    highest = contracts.max_price[orders.instrument]
    has_limit = (orders.kind & ~REDUCE_ONLY) != MARKET
    is_wrong = (orders.limit < 1) | (orders.limit > highest)
    for row in np.flatnonzero(has_limit & is_wrong):
        name = contracts.names[orders.instrument[row]]
        limit = f"limit {orders.limit[row]}, must be from 1 to {highest[row]} ticks"
        require(False, f"an order of {name} has {limit}")


def _require_range(field: str, column: Any, most: int, name: str) -> None:
    for wrong in column[(column < 0) | (column >= most)]:
        require(False, f"{name} has {field} {wrong}, must be from 0 to {most - 1}")


def _decide(population: PopulationProtocol, world: CrowdWorld) -> Orders:
    draws = world.draw_uniform(population.count, population.n_decision_draws)
    return population.decide(world.observation, _make_accounts(population, world), draws)


def _check_methods(config: Any, world: CrowdWorld) -> None:
    require_methods(config, METHODS, type(config).__name__)
    for name in COUNTS:
        number = getattr(config, name, None)
        is_count = isinstance(number, int | np.integer) and number >= 0
        require(is_count, f"{name} is {number!r}, must be a whole number, zero or more")
    require(config.latency <= MAX_LATENCY, f"latency is {config.latency}, at most {MAX_LATENCY}")
    for name in ("name", "fund_venue"):
        value = getattr(config, name, None)
        require(isinstance(value, str), f"{name} is {value!r}, must be text")


def _check_wealth(config: Any, world: CrowdWorld) -> None:
    population = copy.deepcopy(config)
    draws = world.draw_uniform(population.count, population.n_trait_draws, 1)
    wealth = population.start(world.spec, draws)
    shape = (population.count, len(world.spec.venues))
    require_array(wealth, "the wealth that start returns", shape, INTEGER)
    poorest = int(wealth.min(initial=0))
    require(poorest >= 0, f"a member starts with {poorest} minor units")


def _check_orders(config: Any, world: CrowdWorld) -> None:
    population = start_population(config, world)
    require_orders(_decide(population, world), population, world)


def _check_extreme_draws(config: Any, world: CrowdWorld) -> None:
    for edge in (0.0, LARGEST_DRAW):
        population = copy.deepcopy(config)
        wealth = population.start(
            world.spec, np.full((population.count, population.n_trait_draws), edge)
        )
        poorest = int(wealth.min(initial=0))
        require(poorest >= 0, f"with draws of {edge:g} a member starts with {poorest} minor units")
        draws = np.full((population.count, population.n_decision_draws), edge)
        accounts = _make_accounts(population, world._replace(state=CrowdState(is_flat=True)))
        require_orders(population.decide(world.observation, accounts, draws), population, world)


def _check_cash_flows(config: Any, world: CrowdWorld) -> None:
    population = start_population(config, world)
    count, spec = population.count, world.spec
    draws = world.draw_uniform(count, population.n_cash_flow_draws, 2)
    accounts = _make_accounts(population, world)
    standing = world.make_assessment(count_rows(population))
    flows, again = (
        population.request_cash_flows(world.observation, accounts, standing, draws)
        for _ in range(2)
    )
    name = "what request_cash_flows returns"
    require_columns(flows, CashFlows, name)
    require_equal(flows, again, "request_cash_flows returns other values at the second call")
    _require_range("owner", flows.owner, count_rows(population), name)
    _require_range("venue", flows.venue, len(spec.venues), name)
    known = (flows.instrument >= MISSING) & (flows.instrument < len(spec.contracts.names))
    require(known.all(), f"{name} has an instrument that is not there")
    require((flows.amount != 0).all(), f"{name} has an amount of zero")
    require(
        np.isin(flows.is_new_capital, (0, 1)).all(), f"{name} has is_new_capital beside 0 and 1"
    )
    keys = np.stack(flows[:3])
    is_unique = np.unique(keys, axis=1).shape == keys.shape
    require(is_unique, f"{name} has two flows of one owner, venue and instrument")
    require_orders(_decide(population, world), population, world)


def _check_purity(config: Any, world: CrowdWorld) -> None:
    population = start_population(config, world)
    kept = [_copy_view(view) for view in world.observation.venues]
    leverage = world.observation.max_leverage.copy()
    first, second = (_decide(population, world) for _ in range(2))
    require_equal(first, second, "decide returns other orders at the second call of a step")
    for view, before in zip(world.observation.venues, kept, strict=True):
        require_equal(_copy_view(view), before, "decide writes to the view of a venue")
    same = np.array_equal(world.observation.max_leverage, leverage)
    require(same, "decide writes to the highest leverage")


def _copy_view(view: MarketView) -> list[Any]:
    columns = [column for column in view if isinstance(column, np.ndarray)]
    return [column.copy() for column in columns]


def _check_rows(config: Any, world: CrowdWorld) -> None:
    """Members, traits, accounts and draws permuted together permute orders and cash flows."""
    here, there = (copy.deepcopy(config) for _ in range(2))
    turn = np.random.default_rng(world.seed).permutation(here.count)
    traits = world.draw_uniform(here.count, here.n_trait_draws, 1)
    wealth = here.start(world.spec, traits)
    turned = there.start(world.spec, traits[turn])
    require(np.array_equal(turned, wealth[turn]), "wealth depends on the order of members")
    paid = _request(here, world, np.arange(here.count))
    repaid = _request(there, world, turn)
    rows = _list_rows(here, turn)
    repaid = repaid._replace(owner=rows[repaid.owner])
    require(_are_permuted(paid, repaid), "cash flows depend on the order of members")
    accounts = _make_accounts(here, world)
    draws = world.draw_uniform(here.count, here.n_decision_draws)
    orders = here.decide(world.observation, accounts, draws)
    others = AccountView(*(column[rows] for column in accounts))  # type: ignore[arg-type]
    reordered = there.decide(world.observation, others, draws[turn])
    reordered = reordered._replace(owner=rows[reordered.owner])
    require(_are_permuted(orders, reordered), "orders depend on the order of members")


def count_rows(population: PopulationProtocol) -> int:
    """Return the accounts of all members: in hedge mode each has two."""
    return population.count * population.n_sides


def _list_rows(population: PopulationProtocol, members: I8) -> I8:
    """Return the accounts of members, those of all short sides after those of all long sides."""
    sides = [members + side * population.count for side in range(population.n_sides)]
    return np.concatenate(sides)


def _make_accounts(population: PopulationProtocol, world: CrowdWorld) -> AccountView:
    """Return random accounts of all members, each of a side that it may have."""
    accounts = world.make_accounts(count_rows(population))
    if population.n_sides == 1:
        return accounts
    side = np.repeat([1, -1], population.count)[:, None]
    held = side * np.abs(accounts.position)
    return accounts._replace(position=held, entry=side * np.abs(accounts.entry))


def _request(population: PopulationProtocol, world: CrowdWorld, members: I8) -> CashFlows:
    """Return the cash flows of members in a given order."""
    count, rows = population.count, _list_rows(population, members)
    accounts = AccountView(*(column[rows] for column in _make_accounts(population, world)))  # type: ignore[arg-type]
    standing = MarginAssessment(
        *(column[rows] for column in world.make_assessment(count_rows(population)))
    )
    draws = world.draw_uniform(count, population.n_cash_flow_draws, 2)[members]
    return population.request_cash_flows(world.observation, accounts, standing, draws)


def _are_permuted(one: Any, other: Any) -> bool:
    """Return whether two records hold the same rows in some order; empty columns do not count."""
    first, second = (_sort_rows(each) for each in (one, other))
    return np.array_equal(first, second)


def _sort_rows(record: Any) -> Any:
    table = np.stack([column for column in record if len(column) == len(record[0])])
    return table[:, np.lexsort(table)]


def _check_config(config: Any, world: CrowdWorld) -> None:
    if isinstance(config, Component):
        before = config.model_dump_json()
        start_population(config, world)
        require(config.model_dump_json() == before, "start changes the configuration")


LAWS = (
    Law("methods", "AGT-1", "It has the methods of a population.", _check_methods),
    Law(
        "starting wealth",
        "AGT-1",
        "Wealth is a whole number of minor units for each member and venue, and not negative.",
        _check_wealth,
    ),
    Law(
        "well-formed orders",
        "BOOK-2",
        "Orders are whole numbers, of own members, listed instruments and possible prices.",
        _check_orders,
    ),
    Law(
        "cash flows",
        "AGT-7",
        "Cash flows are whole numbers, of own members, once for each account, and repeatable.",
        _check_cash_flows,
    ),
    Law(
        "pure decisions",
        "AGT-1",
        "The same call returns the same orders, and what members see stays as it is.",
        _check_purity,
    ),
    Law(
        "extreme draws",
        "RNG-1",
        "Draws of zero and next to one give wealth and orders like others.",
        _check_extreme_draws,
        is_cheap=False,
        n_worlds=60,
    ),
    Law(
        "members by their rows",
        "RNG-1",
        "Orders and cash flows follow members, whatever the order of rows.",
        _check_rows,
        is_cheap=False,
    ),
    Law(
        "frozen configuration",
        "AGT-1",
        "A population that starts leaves its configuration as it is.",
        _check_config,
        is_cheap=False,
        n_worlds=10,
    ),
)

SUITE = Suite(
    "population",
    LAWS,
    make_crowd_world,
    lambda world: (),
    {"venue": "alpha", "spot_venue": "beta", "count": 7, "name": "checked", "quantity": 500},
)
