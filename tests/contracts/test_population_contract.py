"""What every population promises, whatever state it is asked in."""

import copy

import numpy as np
import pytest
from bazaar import CONTRACTS, SETTING, StillModel, accounts, frozen, outlook
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import POPULATIONS, Population, Trader, populate
from sim.protocols import PopulationProtocol
from sim.types import (
    LIMIT,
    MARKET,
    POST_ONLY,
    REDUCE_ONLY,
    AccountView,
    MarginAssessment,
    Observation,
    Orders,
)

KINDS = sorted(POPULATIONS)
REQUIRED: dict[str, dict[str, object]] = {
    "arbitrageurs": {"spot_venue": "beta"},
    "carry": {"spot_venue": "beta"},
    "metaorder": {"quantity": 500},
}
CAPITAL = {
    "headroom": 1.0,
    "reaction": 60.0,
    "ruin": 0.9,
    "renewal": 60.0,
    "success": 1.1,
    "taking": 60.0,
}
TRADING = {
    "entries": 2000.0,
    "hold": 60.0,
    "initially_in": 0.5,
    "stop": 0.01,
    "take_profit": 0.01,
    "capital": CAPITAL,
}
BUSY = {
    "traders": TRADING,
    "fundamental": TRADING,
    "trend": TRADING | {"threshold": 0.0},
    "kelly": TRADING | {"least": 0.0},
    "carry": TRADING | {"carry_half_life": 1.0},
    "makers": {"refresh": 120.0},
    "latent_liquidity": {"reach": 0.05, "lifetime": 120.0, "pause": 60.0},
}


def config(kind: str, count: int = 7) -> Population:
    """A population at work: one member where only one is allowed."""
    many = {} if kind == "insurance_fund" else {"count": count}
    return POPULATIONS[kind].model_validate(
        {"kind": kind, "venue": "alpha"} | many | REQUIRED.get(kind, {}) | BUSY.get(kind, {})
    )


def started(kind: str, count: int = 7, seed: int = 0) -> PopulationProtocol:
    population = populate([config(kind, count)])(StillModel())[0]
    draws = np.random.default_rng(seed).random((population.count, population.n_trait_draws))
    population.start(SETTING, draws)
    return population


def state(count: int, seed: int, equity: float = 1e7, headroom: float | None = None) -> AccountView:
    """Random positions and entries, some nil."""
    random = np.random.default_rng(seed)
    position = random.integers(-40, 41, (count, 5)) * random.integers(0, 2, (count, 5))
    entry = position * CONTRACTS.multiplier * random.integers(18_000, 110_000, (count, 5))
    return frozen(accounts(count, equity, position, headroom, entry))


def verdict(count: int, seed: int) -> MarginAssessment:
    """Random verdicts on the accounts of each instrument, some short of initial margin."""
    random = np.random.default_rng(seed)
    initial = random.integers(0, 2, (count, 5)) * random.uniform(0, 1e7, (count, 5))
    return MarginAssessment(random.normal(1e7, 1e7, (count, 5)), initial, initial / 2)


def same(one: Orders, other: Orders) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def check(orders: Orders, population: PopulationProtocol) -> None:
    """The form of a batch of orders."""
    assert all(column.dtype == np.int64 and column.ndim == 1 for column in orders)
    assert len({len(column) for column in orders}) == 1
    assert ((orders.owner >= 0) & (orders.owner < population.count)).all()
    assert np.isin(orders.instrument, np.arange(5)).all()
    assert np.isin(orders.kind & ~REDUCE_ONLY, (LIMIT, 1, POST_ONLY, MARKET)).all()
    priced = (orders.kind & ~REDUCE_ONLY) != MARKET
    assert (orders.limit[priced] >= 1).all()
    assert (orders.limit[priced] <= CONTRACTS.max_price[orders.instrument[priced]]).all()
    resting = np.isin(orders.kind, (LIMIT, POST_ONLY))
    assert (orders.quantity[~resting] != 0).all(), "only a resting order can be cancelled"
    keys = np.stack([orders.owner, orders.instrument, orders.slot])
    assert np.unique(keys, axis=1).shape == keys.shape, (
        "no order replaces another of the same batch"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_names_its_kind_and_describes_every_field(kind: str) -> None:
    cls = POPULATIONS[kind]
    assert config(kind).model_dump()["kind"] == kind
    assert issubclass(cls, Population)
    assert issubclass(cls.agent_class, Trader)
    for name, field in cls.model_fields.items():
        assert name == "kind" or (field.description or "").endswith(")"), (
            f"{name} needs a description and a unit"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_wealth_at_the_start_is_money_at_venues_of_the_setting(kind: str) -> None:
    population = populate([config(kind)])(StillModel())[0]
    wealth = population.start(
        SETTING, np.random.default_rng(1).random((population.count, population.n_trait_draws))
    )
    assert wealth.shape == (population.count, 2)
    assert wealth.dtype == np.int64
    assert (wealth >= 0).all()
    assert (wealth.sum(axis=1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    tick=st.integers(0, 200),
    basis=st.sampled_from([0.0, 0.05, -0.05, 0.002]),
    vol=st.sampled_from([0.0, 0.5, 40.0, float("nan")]),
    equity=st.sampled_from([-1e6, 0.0, 1.0, 1e7, 1e14]),
    short_of_capital=st.booleans(),
    empty=st.booleans(),
)
def test_orders_are_well_formed_in_any_state(
    kind: str,
    seed: int,
    tick: int,
    basis: float,
    vol: float,
    equity: float,
    short_of_capital: bool,
    empty: bool,
) -> None:
    population = started(kind, seed=seed)
    view = outlook(tick, basis, vol, empty=empty)
    book = state(population.count, seed, equity, -1e5 if short_of_capital else None)
    draws = np.random.default_rng(seed).random((population.count, population.n_decision_draws))
    check(population.decide(view, book, draws), population)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    tick=st.integers(0, 200),
    equity=st.sampled_from([-1e6, 0.0, 1.0, 1e7, 1e12]),
    flat=st.booleans(),
)
def test_payments_are_well_formed_told_twice_alike_and_leave_orders_well_formed(
    kind: str, seed: int, tick: int, equity: float, flat: bool
) -> None:
    """AGT-7: own rows, venues and instruments of the setting, one payment for each."""
    population = started(kind, seed=seed)
    n, random = population.count, np.random.default_rng(seed)
    book = frozen(accounts(n, equity)) if flat else state(n, seed, equity)
    view, standing, draws = (
        outlook(tick),
        verdict(n, seed),
        random.random((n, population.n_cash_flow_draws)),
    )
    payments, again = (population.request_cash_flows(view, book, standing, draws) for _ in range(2))
    assert all(np.array_equal(one, two) for one, two in zip(payments, again, strict=True))
    assert population.n_cash_flow_draws or not payments.owner.size
    assert all(
        column.dtype == np.int64 and column.shape == payments.owner.shape for column in payments
    )
    assert ((payments.owner >= 0) & (payments.owner < n)).all()
    assert np.isin(payments.venue, (0, 1)).all()
    assert np.isin(payments.instrument, np.arange(-1, 5)).all()
    assert (payments.amount != 0).all()
    assert np.isin(payments.is_new_capital, (0, 1)).all()
    keys = np.stack(payments[:3])
    assert np.unique(keys, axis=1).shape == keys.shape
    check(
        population.decide(view, book, random.random((n, population.n_decision_draws))), population
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("edge", [0.0, np.nextafter(1.0, 0.0)])
def test_extreme_draws_are_draws(kind: str, edge: float) -> None:
    population = populate([config(kind)])(StillModel())[0]
    wealth = population.start(SETTING, np.full((population.count, population.n_trait_draws), edge))
    assert (wealth >= 0).all()
    draws = np.full((population.count, population.n_decision_draws), edge)
    for basis in (-0.05, 0.0, 0.05):
        check(population.decide(outlook(1, basis), accounts(population.count), draws), population)


@pytest.mark.parametrize("kind", KINDS)
def test_asking_twice_answers_twice_the_same_and_touches_nothing(kind: str) -> None:
    population = started(kind)
    view: Observation = outlook(3, basis=0.01)
    before = copy.deepcopy(view)
    book = state(population.count, 5)
    draws = np.random.default_rng(2).random((population.count, population.n_decision_draws))
    draws.flags.writeable = False
    first = population.decide(view, book, draws)
    second = population.decide(view, book, draws)
    assert same(first, second)
    for venue, was in zip(view.venues, before.venues, strict=True):
        for column, old in zip(venue, was, strict=True):
            assert column is venue.contracts or np.array_equal(column, old, equal_nan=True)
    assert np.array_equal(view.max_leverage, before.max_leverage)


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_told_apart_by_their_rows_alone(kind: str) -> None:
    """Permuting members, traits, accounts and draws together permutes the orders."""
    random = np.random.default_rng(9)
    there, here = (populate([config(kind)])(StillModel())[0] for _ in range(2))
    n = here.count
    turn = random.permutation(n)
    traits, draws, book = (
        random.random((n, here.n_trait_draws)),
        random.random((n, here.n_decision_draws)),
        state(n, 4),
    )
    wealth = here.start(SETTING, traits)
    assert np.array_equal(there.start(SETTING, traits[turn]), wealth[turn])
    paying, standing = random.random((n, here.n_cash_flow_draws)), verdict(n, 6)
    paid = here.request_cash_flows(outlook(2, 0.01), book, standing, paying)
    turned_book, turned_verdict = (
        AccountView(*(c[turn] for c in book)),
        MarginAssessment(*(c[turn] for c in standing)),
    )
    repaid = there.request_cash_flows(outlook(2, 0.01), turned_book, turned_verdict, paying[turn])
    flows = np.stack(paid), np.stack(repaid._replace(owner=turn[repaid.owner]))
    assert np.array_equal(*(f[:, np.lexsort(f)] for f in flows))
    orders = here.decide(outlook(2, 0.01), book, draws)
    turned = there.decide(outlook(2, 0.01), turned_book, draws[turn])
    rows = np.stack(orders), np.stack(turned._replace(owner=turn[turned.owner]))
    assert np.array_equal(*(r[:, np.lexsort(r)] for r in rows))


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_stays_pure(kind: str) -> None:
    plain = config(kind)
    dumped = plain.model_dump_json()
    settle = populate([plain])
    for _ in range(2):
        population = settle(StillModel())[0]
        assert population is not plain
        population.start(
            SETTING, np.random.default_rng(0).random((population.count, population.n_trait_draws))
        )
    assert plain == config(kind)
    assert plain.model_dump_json() == dumped
