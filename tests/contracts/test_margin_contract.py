"""What every netting, valuation and requirement promises, over the registries; a class that joins is tested too.

A new requirement needs nothing here if it can be built from its kind alone (or its kind and an ``inner``); else, or to
test more than its defaults, give it settings in ``SETTINGS``.
"""

from typing import Any

import numpy as np
import pytest
from contracts import margin_worlds, scan_worlds
from contracts.margin_worlds import TIERED, UNIT, close, equal, few, market_of, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sim import margin
from sim.component import Component
from sim.margin.addons.summed import RequirementSum
from sim.margin.base import AnyNetting, AnyRequirement, AnyValuation, RequirementComponent
from sim.margin.breakdown import break_down_margins
from sim.margin.engine import EngineConfig
from sim.margin.learning import explain_short_run
from sim.margin.tail.margin_path import compute_margin_path, compute_rate_path
from sim.margin.wrappers.compressed import Compression
from sim.protocols import Requirement
from sim.reading.loading import load_config
from sim.types import Exposure, Margins

TAIL: dict[str, Any] = {
    "kind": "tail",
    "model": {"kind": "historical", "window": 2400},
    "every": 60,
}

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "tiered": [
        {},
        TIERED,
        TIERED | {"initial_rule": "marginal"},
        {"maintenance_ratio": 0, "maintenance_rule": "step"},
    ],
    "tail": [
        {},
        {
            "model": {"kind": "historical", "window": 2400},
            "every": 60,
            "convention": "order",
            "floor": 0.004,
        },
        {
            "model": {"kind": "filtered", "window": 2400, "seed": 10},
            "every": 60,
            "horizon": 240,
            "measure": "es",
        },
        {"model": {"kind": "ewma", "seed": 10, "df": 4}, "every": 120},
        {"model": {"kind": "covariance", "window": 2400}, "every": 60},
    ],
    "clocked": [{"inner": TAIL, "every": 120, "delay": delay} for delay in (0, 6000)],
    "stressed": [{"inner": TAIL, "every": 60}],
    "floored": [{"inner": TAIL, "every": 60, "window": 600, "least": 60}],
    "buffered": [{"inner": TAIL, "every": 60, "window": 600, "least": 60}],
    "at_entry": [{}, {"inner": TIERED}],
    "closing_fee": [{}, {"inner": TIERED | {"maintenance_rule": "step"}, "fee": 0.01}],
    "open_interest": [{}, {"lower": 1e6, "upper": 1e8, "fraction": 1.0}],
    "lognormal": [
        {},
        {"factors": (0.1, 0.12), "slippage_on": "riskiest"},
        {"sigma": 1.0, "funding_factor": 0.9},
    ],
    "sum": [{"parts": [TIERED, {"kind": "liquidity"}, {"kind": "gap"}, {"kind": "wrong_way"}]}],
    "concentration": [{"threshold": 0.0, "least": 1}],
    "scaled": [{"inner": TAIL, "reference": 0.2, "half_life": 600, "power": 1.5}],
    "avsl_inspired": [{"inner": TIERED, "reference": 0.2, "half_life": 600}],
    "liquidation_buffer": [{"inner": TIERED, "participation": 0.01}],
    "standard_options": [{}, {"least": 0.05, "keep": 0.2}],
    "per_contract": [
        {"initial": 12_000, "maintenance": 10_900},
        {
            "initial": 5,
            "maintenance": 0,
            "size": 7,
            "instruments": {"i1": {"initial": 9, "maintenance": 9}},
        },
    ],
    "compressed": [{"inner": TIERED, "kappa": kappa} for kappa in (0.0, 0.3, -0.5)],
}


def world(seed: int) -> tuple[np.random.Generator, Exposure]:
    """Books of perpetuals and spot; every third of futures and options, too."""
    return scan_worlds.world(seed) if seed % 3 == 0 else margin_worlds.world(seed)


def examples() -> list[Any]:
    """Every registered requirement in some settings, with the settings as its name."""
    found = []
    for kind, cls in margin.REQUIREMENTS.items():
        inner = {"inner": {"kind": "tiered"}} if "inner" in cls.model_fields else {}
        for number, setting in enumerate(SETTINGS.get(kind, [{}])):
            rule = TypeAdapter(AnyRequirement).validate_python({"kind": kind, **inner, **setting})
            found.append(pytest.param(rule, id=f"{kind}-{number}"))
    return found


every = pytest.mark.parametrize("rule", examples())


def bound(rule: RequirementComponent, book: Exposure) -> Requirement:
    """The rule's requirement for the book's instruments, after one step of learning."""
    requirement = rule.bind(book.market.contracts, UNIT)
    requirement.observe(book.market)
    return requirement


# Every requirement


@every
@few
@given(seed=seeds)
def test_margins_are_pure(rule: RequirementComponent, seed: int) -> None:
    _, book = world(seed)
    requirement = bound(rule, book)
    before = [column.copy() for column in (*book[:-1], book.market.mark, book.market.price)]
    first = requirement.compute_margins(book)
    kept = Margins(first.initial.copy(), first.maintenance.copy())
    requirement.compute_margins(book.take(slice(0, 1)))
    equal(requirement.compute_margins(book), kept)
    equal(first, kept)
    for column, old in zip((*book[:-1], book.market.mark, book.market.price), before, strict=True):
        np.testing.assert_array_equal(column, old)


@every
@few
@given(seed=seeds)
def test_initial_covers_maintenance_covers_nil(rule: RequirementComponent, seed: int) -> None:
    _, book = world(seed)
    initial, maintenance = bound(rule, book).compute_margins(book)
    assert initial.shape == maintenance.shape == (len(book.balance),)
    assert (initial >= maintenance).all()
    assert (maintenance >= 0).all()


@every
@few
@given(seed=seeds)
def test_a_flat_book_owes_nothing(rule: RequirementComponent, seed: int) -> None:
    _, book = world(seed)
    flat = book._replace(position=np.zeros_like(book.position))
    equal(
        bound(rule, book).compute_margins(flat),
        Margins(np.zeros(len(book.balance)), np.zeros(len(book.balance))),
    )


@every
@few
@given(seed=seeds)
def test_accounts_do_not_see_one_another(rule: RequirementComponent, seed: int) -> None:
    """Neither the order of rows nor their company matters: batch = permuted batch = one at a time."""
    rng, book = world(seed)
    requirement = bound(rule, book)
    together = requirement.compute_margins(book)
    order = rng.permutation(len(book.balance))
    close(
        requirement.compute_margins(book.take(order)),
        Margins(*(column[order] for column in together)),
    )
    for row in range(len(book.balance)):
        one = slice(row, row + 1)
        close(
            requirement.compute_margins(book.take(one)),
            Margins(*(column[one] for column in together)),
        )


@every
@few
@given(seed=seeds, factor=st.integers(2, 50))
def test_a_larger_book_is_margined_no_less(
    rule: RequirementComponent, seed: int, factor: int
) -> None:
    _, book = world(seed)
    requirement = bound(rule, book)
    small, large = (
        requirement.compute_margins(book),
        requirement.compute_margins(book._replace(position=book.position * factor)),
    )
    assert (large.initial >= small.initial).all()
    assert (large.maintenance >= small.maintenance).all()


@every
@few
@given(seed=seeds)
def test_shares_are_parts_of_one(rule: RequirementComponent, seed: int) -> None:
    _, book = world(seed)
    shares = bound(rule, book).compute_leg_shares(book)
    assert shares.shape == book.position.shape
    assert (shares >= 0).all()
    assert (shares[book.position == 0] == 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), (book.position != 0).any(axis=1), rtol=1e-12)


@every
@settings(max_examples=6, deadline=None)
@given(seed=seeds)
def test_parts_add_up_to_margins(rule: RequirementComponent, seed: int) -> None:
    """Of any requirement, of a wrapper around two of the same, and as dials have it."""
    _, book = world(seed)
    twice = RequirementSum(parts=(rule, Compression(inner=rule, kappa=0.25)))
    dialled = EngineConfig(requirement=rule, scale=1.5, maintenance=0.6).bind(
        book.market.contracts, UNIT
    )
    for requirement in (bound(rule, book), bound(twice, book), dialled):
        parts = break_down_margins(requirement, book).values()
        whole = requirement.compute_margins(book)
        for i in range(2):
            np.testing.assert_allclose(
                sum(part[i] for part in parts), whole[i], rtol=1e-12, atol=1e-6
            )


@every
@few
@given(seed=seeds)
def test_nothing_is_known_before_it_is_observed(rule: RequirementComponent, seed: int) -> None:
    """Two pasts that agree give one answer, whatever happens later, even to the arrays that were shown."""
    rng, book = world(seed)
    left, right = bound(rule, book), bound(rule, book)
    view = book.market._replace(
        mark=book.market.mark.copy(), vol=book.market.vol.copy(), price=book.market.price.copy()
    )
    view = view._replace(tick=1, returns=book.market.returns.copy())
    left.observe(view)
    right.observe(view)
    kept = right.compute_margins(book)
    for column in (view.mark, view.vol, view.price, view.returns):
        column *= 3.0
    equal(left.compute_margins(book), kept)
    right.observe(market_of(rng, view.contracts, len(view.price), tick=2))
    equal(left.compute_margins(book), kept)


@every
def test_margins_follow_from_the_past_alone(rule: RequirementComponent) -> None:
    """The look-ahead detector: returns after a step scrambled, and no margin up to it moves."""
    returns = 0.01 * np.random.default_rng(3).standard_t(4, (80, 1))
    later = returns.copy()
    later[60:] = -3 * np.random.default_rng(4).permutation(later[60:])
    paths = [compute_margin_path(rule, each, dt=60.0) for each in (returns, later)]
    np.testing.assert_array_equal(paths[0][:61], paths[1][:61])


@every
def test_a_requirement_says_how_long_it_learns(rule: RequirementComponent) -> None:
    """What is asked first moves no later than its look-back; one that keeps a past has a look-back."""
    returns = 0.01 * np.random.default_rng(5).standard_t(4, (200, 1))
    path = compute_rate_path(rule, returns, dt=60.0).reshape(len(returns) + 1, -1)
    moved = np.flatnonzero((path != path[0]).any(axis=1))
    learns = rule.look_back()
    if moved.size:
        assert moved[0] * 60.0 <= max(learns, 60.0)
    assert (learns > 0) >= keeps_a_past(rule)
    told = explain_short_run(rule, 60.0, 60.0)
    assert bool(told) == (learns >= 60.0)
    if told:
        longer = float(told.split("duration=")[1].split(")")[0])
        assert explain_short_run(rule, longer, 60.0) == ""
        assert explain_short_run(rule, longer - 60.0, 60.0) != ""


def keeps_a_past(component: Any) -> bool:
    """Whether a field of a component, or of one within, is a past that is needed or kept."""
    for name, field in type(component).model_fields.items():
        value = getattr(component, name)
        parts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(part, Component) and keeps_a_past(part) for part in parts):
            return True
        if "past that is" in str(field.description) or "past needed" in str(field.description):
            return True
    return False


def test_what_is_unlearnt_names_the_engine_and_remedies_that_work() -> None:
    """fhs_es needs six hours for its model, and its floor eleven more entries of an hour."""
    rule = load_config("engines/fhs_es", [], EngineConfig).requirement
    told = explain_short_run(rule, 3600.0, 60.0)
    assert told == (
        "floored(tail(filtered)) needs 17 h of past (1,020 steps) and the run lasts 1 h, so that some or all of its "
        "margin stays at its opening value: run longer (duration=61260), or shorten requirement.least and "
        "requirement.inner.model.least"
    )
    assert explain_short_run(rule, 61_200.0, 60.0)
    assert not explain_short_run(rule, 61_260.0, 60.0)
    short = [
        "requirement.least=3600",
        "requirement.inner.model.least=600",
        "requirement.inner.model.seed=10",
    ]
    assert not explain_short_run(
        load_config("engines/fhs_es", short, EngineConfig).requirement, 3600.0, 60.0
    )


@every
@few
@given(seed=seeds, kappa=st.floats(-3, 0.99))
def test_compression_scales_exactly(rule: RequirementComponent, seed: int, kappa: float) -> None:
    _, book = world(seed)
    compressed = TypeAdapter(AnyRequirement).validate_python(
        {"kind": "compressed", "inner": rule, "kappa": kappa}
    )
    whole, part = bound(rule, book), bound(compressed, book)
    free = book._replace(leverage=np.full(book.leverage.shape, np.inf))
    scaled = Margins(*((1 - kappa) * column for column in whole.compute_margins(free)))
    equal(part.compute_margins(free), scaled)
    chosen = part.compute_margins(book)  # the leverage that an account chose is not scaled (MAR-1)
    equal(chosen._replace(initial=scaled.initial), scaled)
    assert (chosen.initial >= scaled.initial * (1 - 1e-12) - 1e-6).all()
    np.testing.assert_array_equal(part.compute_leg_shares(book), whole.compute_leg_shares(book))


@every
def test_a_bound_requirement_has_a_state_of_its_own(rule: RequirementComponent) -> None:
    _, book = world(1)
    assert rule.bind(book.market.contracts, UNIT) is not rule.bind(book.market.contracts, UNIT)


@pytest.mark.parametrize(
    "cls",
    [
        cls
        for registry in (margin.NETTINGS, margin.VALUATIONS, margin.REQUIREMENTS)
        for cls in registry.values()
    ],
)
def test_every_parameter_is_described(cls: Any) -> None:
    for name, field in cls.model_fields.items():
        assert field.description, name
        assert field.description.endswith(")"), f"{name}: the description names no unit"


def test_registered_by_kind() -> None:
    for registry in (margin.NETTINGS, margin.VALUATIONS, margin.REQUIREMENTS):
        assert {kind: cls.model_fields["kind"].default for kind, cls in registry.items()} == {
            k: k for k in registry
        }


# Netting


@few
@given(seed=seeds)
@pytest.mark.parametrize("kind", sorted(margin.NETTINGS))
def test_pools_partition_the_instruments(kind: str, seed: int) -> None:
    rng, book = world(seed)
    contracts = book.market.contracts
    parts = np.array_split(
        rng.permutation(contracts.names), int(rng.integers(1, len(contracts.names) + 1))
    )
    extra = {"groups": [part.tolist() for part in parts]} if kind == "groups" else {}
    pools = TypeAdapter(AnyNetting).validate_python({"kind": kind, **extra}).build_pools(contracts)
    assert sorted(column for pool in pools for column in pool) == list(range(len(contracts.names)))
    assert pools == sorted(sorted(pool) for pool in pools)
    assert all(pools)


# Valuation


@few
@given(seed=seeds)
@pytest.mark.parametrize("kind", sorted(margin.VALUATIONS))
def test_haircuts_disallow_no_more_than_is_held(kind: str, seed: int) -> None:
    _, book = world(seed)
    initial, maintenance = (
        TypeAdapter(AnyValuation).validate_python({"kind": kind}).compute_haircuts(book)
    )
    held = np.maximum(book.balance * book.market.price, 0).sum(axis=1) + np.maximum(
        book.position_value(), 0
    ).sum(axis=1)
    assert (initial >= maintenance).all()
    assert (maintenance >= 0).all()
    assert (initial <= held * (1 + 1e-12)).all()
