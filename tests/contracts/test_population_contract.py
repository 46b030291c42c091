"""Contracts of every registered population, in any state of the market."""

import numpy as np
import pytest
from bazaar import SETTING, StillModel
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import POPULATIONS, Population, Trader, populate
from sim.checks.crowd_worlds import CrowdState, build_crowd_world
from sim.checks.law import Law
from sim.checks.populations import LAWS, start_population

KINDS = sorted(POPULATIONS)
REQUIRED: dict[str, dict[str, object]] = {
    "arbitrageurs": {"spot_venue": "beta"},
    "carry": {"spot_venue": "beta"},
    "hedgers": {"spot_venue": "beta"},
    "metaorder": {"quantity": 500},
}
CAPITAL = {
    "margin_buffer": 1.0,
    "reaction": 60.0,
    "bankruptcy_threshold": 0.9,
    "replacement_time": 60.0,
    "withdrawal_threshold": 1.1,
    "withdrawal_time": 60.0,
}
TRADING = {
    "entries_per_day": 2000.0,
    "holding_time": 60.0,
    "initial_entry_share": 0.5,
    "stop_loss": 0.01,
    "take_profit": 0.01,
    "capital": CAPITAL,
}
BUSY = {
    "traders": TRADING,
    "fundamental": TRADING,
    "trend": TRADING | {"threshold": 0.0},
    "kelly": TRADING | {"least": 0.0},
    "carry": TRADING | {"carry_half_life": 1.0},
    "diversified": TRADING | {"rebalance_band": 0.0, "rebalance_time": 60.0},
    "pairs": TRADING | {"exit_threshold": 0.0, "entry_threshold": 1e-9, "rebalance_time": 60.0},
    "hedgers": {"reaction": 60.0},
    "makers": {"refresh_time": 120.0},
    "latent_liquidity": {"price_range": 0.05, "lifetime": 120.0, "return_time": 60.0},
}


def config(kind: str, count: int = 7) -> Population:
    """A population at work: one member where only one is allowed."""
    many = {} if kind == "insurance_fund" else {"count": count}
    return POPULATIONS[kind].model_validate(
        {"kind": kind, "venue": "alpha"} | many | REQUIRED.get(kind, {}) | BUSY.get(kind, {})
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


states = st.builds(
    CrowdState,
    tick=st.integers(0, 200),
    basis=st.sampled_from([0.0, 0.05, -0.05, 0.002]),
    vol=st.sampled_from([0.0, 0.5, 40.0, float("nan")]),
    equity=st.sampled_from([-1e6, 0.0, 1.0, 1e7, 1e14]),
    free_margin=st.sampled_from([None, -1e5]),
    has_empty_books=st.booleans(),
    is_flat=st.booleans(),
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), state=states)
def test_every_population_keeps_every_law(
    kind: str, law: Law, seed: int, state: CrowdState
) -> None:
    law.check(config(kind), build_crowd_world(seed, state))


@pytest.mark.parametrize("kind", KINDS)
def test_a_population_without_draws_for_payments_makes_none(kind: str) -> None:
    """Those whose members keep wallets committed apart (AGT-8)."""
    found = build_crowd_world(3, CrowdState())
    population = start_population(config(kind), found)
    count = population.count
    draws = found.draw_uniform(count, population.n_cash_flow_draws)
    accounts, standing = found.make_accounts(count), found.make_assessment(count)
    flows = population.request_cash_flows(found.observation, accounts, standing, draws)
    assert population.n_cash_flow_draws or not flows.owner.size


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
