"""Contracts of every registered netting, valuation and requirement, new classes included.

A new requirement needs no entry here if it can be built from its kind alone (or its kind and an
``inner``); otherwise, or to test more than its defaults, add settings to ``SETTINGS``.
"""

from typing import Any

import numpy as np
import pytest
from contracts.margin_worlds import TIERED, UNIT, equal, few, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sim import margin
from sim.checks import nettings, valuations
from sim.checks.law import Law
from sim.checks.margin_worlds import make_margin_world
from sim.checks.requirements import LAWS
from sim.component import Component
from sim.margin import leg_values
from sim.margin.additive import is_additive
from sim.margin.addons.summed import RequirementSum
from sim.margin.base import AnyNetting, AnyRequirement, AnyValuation, RequirementComponent
from sim.margin.breakdown import break_down_margins
from sim.margin.engine import EngineConfig
from sim.margin.learning import explain_short_run
from sim.margin.tail.margin_path import compute_rate_path
from sim.margin.wrappers.compressed import Compression
from sim.margin.wrappers.standalone import StandaloneSum
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
    "scaled": [{"inner": TAIL, "reference": 0.2, "half_life": 600, "exponent": 1.5}],
    "avsl_inspired": [{"inner": TIERED, "reference": 0.2, "half_life": 600}],
    "liquidation_buffer": [{"inner": TIERED, "participation": 0.01}],
    "standalone": [{"inner": {"kind": "grid"}}, {"inner": TIERED}],
    "standard_options": [{}, {"least": 0.05, "maintenance_share": 0.2}],
    "per_contract": [
        {"initial": 12_000, "maintenance": 10_900},
        {
            "initial": 5,
            "maintenance": 0,
            "size": 7,
            "instruments": {"i1": {"initial": 9, "maintenance": 9}},
        },
    ],
    "compressed": [{"inner": TIERED, "compression": kappa} for kappa in (0.0, 0.3, -0.5)],
}


def world(seed: int) -> tuple[np.random.Generator, Exposure]:
    """Books of perpetuals and spot; every third of futures and options, too."""
    return np.random.default_rng(seed), make_margin_world(seed).accounts


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


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@every
@few
@given(seed=seeds)
def test_every_requirement_keeps_every_law(rule: RequirementComponent, law: Law, seed: int) -> None:
    law.check(rule, make_margin_world(seed))


@every
@settings(max_examples=6, deadline=None)
@given(seed=seeds)
def test_parts_add_up_to_margins(rule: RequirementComponent, seed: int) -> None:
    """Holds for a requirement, for a wrapper around two of it, and for an engine with dials."""
    _, book = world(seed)
    twice = RequirementSum(parts=(rule, Compression(inner=rule, compression=0.25)))
    dialled = EngineConfig(requirement=rule, margin_multiplier=1.5, maintenance_ratio=0.6).bind(
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
def test_a_requirement_says_how_long_it_learns(rule: RequirementComponent) -> None:
    """Initial margin first moves after the look-back; a component that keeps a past has one."""
    returns = 0.01 * np.random.default_rng(5).standard_t(4, (200, 1))
    path = compute_rate_path(rule, returns, dt=60.0).reshape(len(returns) + 1, -1)
    moved = np.flatnonzero((path != path[0]).any(axis=1))
    learns = rule.look_back()
    if moved.size:
        assert moved[0] * 60.0 <= max(learns, 60.0)
    assert (learns > 0) >= keeps_a_past(rule)
    reported = explain_short_run(rule, 60.0, 60.0)
    assert bool(reported) == (learns >= 60.0)
    if reported:
        longer = float(reported.split("duration=")[1].split(")")[0])
        assert explain_short_run(rule, longer, 60.0) == ""
        assert explain_short_run(rule, longer - 60.0, 60.0) != ""


def keeps_a_past(component: Any) -> bool:
    """Return true if a field of a component or of its parts is a required or kept past."""
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
    reported = explain_short_run(rule, 3600.0, 60.0)
    assert reported == (
        "floored(tail(filtered)) needs 17 h of past (1,020 steps) and the run lasts 1 h, so that "
        "some or all of its margin stays at its opening value: run longer (duration=61260), or "
        "shorten requirement.least and requirement.inner.model.least"
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
        {"kind": "compressed", "inner": rule, "compression": kappa}
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
@few
@given(seed=seeds)
def test_a_single_position_has_no_offsets(rule: RequirementComponent, seed: int) -> None:
    """Without offsets the margin is that of each position alone; additive rules have none."""
    _, book = world(seed)
    inner, alone = bound(rule, book), bound(StandaloneSum(inner=rule), book)
    first = leg_values.keep_legs(book, np.arange(book.position.shape[1]) == 0)
    books = [first, book] if is_additive(inner) else [first]
    for each in books:
        np.testing.assert_allclose(
            alone.compute_margins(each), inner.compute_margins(each), rtol=1e-12
        )


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


@pytest.mark.parametrize("law", nettings.LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("kind", sorted(margin.NETTINGS))
@few
@given(seed=seeds)
def test_every_netting_keeps_every_law(kind: str, law: Law, seed: int) -> None:
    found = make_margin_world(seed)
    names, rng = found.contracts.names, np.random.default_rng(seed)
    parts = np.array_split(rng.permutation(names), int(rng.integers(1, len(names) + 1)))
    extra = {"groups": [part.tolist() for part in parts]} if kind == "groups" else {}
    law.check(TypeAdapter(AnyNetting).validate_python({"kind": kind, **extra}), found)


# Valuation


@pytest.mark.parametrize("law", valuations.LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("kind", sorted(margin.VALUATIONS))
@few
@given(seed=seeds)
def test_every_valuation_keeps_every_law(kind: str, law: Law, seed: int) -> None:
    law.check(TypeAdapter(AnyValuation).validate_python({"kind": kind}), make_margin_world(seed))


@few
@given(seed=seeds)
@pytest.mark.parametrize("kind", sorted(margin.VALUATIONS))
def test_haircuts_disallow_no_more_than_is_held(kind: str, seed: int) -> None:
    """By default this holds for accounts with debts, too."""
    _, book = world(seed)
    initial, _ = TypeAdapter(AnyValuation).validate_python({"kind": kind}).compute_haircuts(book)
    cash, value = book.balance * book.market.price, book.position_value()
    held = np.maximum(cash, 0).sum(axis=1) + np.maximum(value, 0).sum(axis=1)
    assert (initial <= held * (1 + 1e-12)).all()
