"""Leveraged traders decide and pay in compiled code as in plain Python, to the byte."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import assert_same, build

from agents.leveraged import LeveragedPopulation
from agents.traders import NoiseTraders
from experiments.config import RunConfig, load_run
from sim.market import Market
from sim.step import cash_flows
from sim.types import F8, I8, Observation

PEOPLE = {"count": 60, "venue": "exchange", "wealth": 50_000, "entries_per_day": 40}
PEOPLE |= {"initial_entry_share": 0.6, "warm_up": 600, "holding_time": 7200}
LEVERED = PEOPLE | {"leverage": 8, "elasticity": 0.7}
CARRY = PEOPLE | {"kind": "carry", "spot_venue": "outside", "entry_threshold": 0.02}
CARRY |= {"exit_threshold": 0.01, "carry_half_life": 600}
MAKERS = {"kind": "makers", "count": 4, "venue": "exchange", "wealth": 400_000}

KINDS: dict[str, dict[str, Any]] = {
    "traders": {"kind": "traders"} | LEVERED,
    "trend": {"kind": "trend", "threshold": 0.05} | LEVERED,
    "fundamental": {"kind": "fundamental", "value_half_life": 3600} | LEVERED,
    "kelly": {"kind": "kelly", "drift_half_life": 7200, "belief_sigma": 3} | PEOPLE,
    "carry": CARRY,
    "carry of both signs": CARRY | {"entry_threshold": 0.005, "exit_threshold": 0.0},
}

RULES: dict[str, dict[str, Any]] = {
    "no response to leverage": {"elasticity": 0.0},
    "square root of leverage": {"elasticity": 0.5},
    "full response to leverage": {"elasticity": 1.0, "leverage": 40},
    "take-profit and stop": {"take_profit": 0.004, "stop_loss": 0.003, "leverage": 20},
    "take-profit alone": {"take_profit": 0.002},
    "stop of equity": {"equity_stop_loss": 0.02, "leverage": 20},
    "no entries but the first": {"entries_per_day": 0},
    "no slippage": {"slippage": 0.0, "cap": 1.0, "leverage": 90},
    "entries that respond to margin": {"entry_elasticity": 1.0, "initial_entry_share": 0.2},
    "exits that respond to margin": {"exit_elasticity": 1.5, "holding_time": 2400},
    "entries and exits that respond": {"entry_elasticity": 0.5, "exit_elasticity": 0.5},
    "one instrument": {"instruments": ["ETH-PERP"]},
    "highest leverage": {"position_leverage": "highest"},
}

CAPITAL: dict[str, Any] = {"margin_buffer": 0.5, "reaction": 120, "replacement_time": 600}
CAPITAL |= {"withdrawal_time": 600, "withdrawal_threshold": 1.01, "bankruptcy_threshold": 0.97}

POLICIES: dict[str, dict[str, Any]] = {
    "all reactions": {"trim_probability": 0.3, "top_up_probability": 0.4}
    | {"hedge_probability": 0.2},
    "top-ups alone": {"trim_probability": 0, "top_up_probability": 1, "outside_multiple": 0.1},
    "hedges alone": {"trim_probability": 0, "top_up_probability": 0, "hedge_probability": 1},
    "no reactions": {"margin_buffer": None},
    "margin taken back": {"top_up_probability": 0.5, "take_back_buffer": 0.8}
    | {"take_back_time": 300},
    "margin taken back alone": {"margin_buffer": None, "take_back_buffer": 0.1}
    | {"take_back_time": 60},
}

CRASH = "stresses=[{kind: move, at: 900, duration: 900, size: -0.12}]"


@contextmanager
def no_python(config: RunConfig) -> Iterator[None]:
    """Fail where a population decides or pays in Python."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(cash_flows, "post_cash_flows", side_effect=AssertionError))
        for kind in {type(each) for each in config.populations}:
            stack.enter_context(patch.object(kind, "decide", side_effect=AssertionError))
        yield


def run_pair(
    people: Sequence[dict[str, Any]], *given: str, name: str = "two_coins", seed: int = 3
) -> Market:
    """Make a run by plain and by compiled steps, compare the two, and return the compiled one."""
    chosen = json.dumps([MAKERS, *people])
    config = load_run(name, [f"populations={chosen}", "duration=3600", CRASH, *given])
    plain, compiled = build(config, seed), build(config, seed)
    while plain.tick < plain.steps_planned:
        plain.step()
    with no_python(config):
        compiled.advance(21)
    compiled.step()  # state passes from one kind of step to the other
    with no_python(config):
        compiled.advance(compiled.steps_planned)
    assert_same(plain, compiled)
    return compiled


def count_trades(market: Market) -> int:
    """Return the owners of the last population who hold or have held a position."""
    held = market.ledger.position[:, market.member_slices[-1]]
    paid = market.ledger.balance[0, :, market.member_slices[-1]].sum(axis=0)
    return int(((held != 0).any(axis=0) | (paid % 100 != 0)).sum())


@pytest.mark.parametrize("netting", ["cross", "isolated"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_decides_as_in_plain_python(kind: str, netting: str) -> None:
    market = run_pair([KINDS[kind]], f"venues.0.engine.netting.kind={netting}")
    assert count_trades(market) > 5


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_of_entry_and_exit_is_the_same(rule: str) -> None:
    people = [KINDS["traders"] | RULES[rule], {"kind": "trend", "threshold": 0} | LEVERED]
    market = run_pair(people, "venues.0.engine.netting.kind=isolated")
    assert count_trades(market) > 5


def sum_flows(market: Market) -> tuple[float, float]:
    """Return the deposits and the withdrawals of a whole run."""
    venues = market.recorder.frames()["venues"]
    return float(venues["deposits"].sum()), float(venues["withdrawals"].sum())


@pytest.mark.parametrize("netting", ["cross", "isolated"])
@pytest.mark.parametrize("policy", POLICIES)
def test_capital_is_managed_the_same(policy: str, netting: str) -> None:
    managed = {"capital": CAPITAL | POLICIES[policy], "leverage": 25}
    settings = [f"venues.0.engine.netting.kind={netting}"] if netting == "isolated" else []
    name, spot = ("two_coins", "outside") if netting == "isolated" else ("hedged", "exchange")
    people = [KINDS["traders"] | managed, KINDS["carry"] | {"spot_venue": spot}]
    market = run_pair(people, *settings, name=name)
    paid_in, paid_out = sum_flows(market)
    assert paid_in > 0
    assert paid_out > 0
    if netting == "isolated":
        removed = market.recorder.frames()["venues"]["margin_removed"].sum()
        assert bool(removed > 0) is ("take_back_buffer" in POLICIES[policy])


def test_deposits_use_up_what_margin_calls_may_take() -> None:
    policy = CAPITAL | POLICIES["top-ups alone"] | {"outside_multiple": 2}
    calls = "venues.0.calls={outside_multiple: 0.3, response_probability: 1, delay: 60}"
    people = KINDS["traders"] | {"capital": policy, "leverage": 25}
    market = run_pair([people], calls, "venues.0.engine.netting.kind=isolated")
    venue = market.state.venues[0]
    assert venue.has_been_called.any()
    assert sum_flows(market)[0] > 0


@pytest.mark.parametrize("netting", ["cross", "isolated"])
def test_a_fund_keeps_its_share_and_its_cushions(netting: str) -> None:
    fund = {"kind": "insurance_fund", "venue": "exchange", "wealth": 50_000, "share": 0.02}
    layers = "venues.0.waterfall=[{kind: fund}]"
    steep = "stresses=[{kind: move, at: 900, duration: 300, size: -0.3}]"
    people = [KINDS["traders"] | {"leverage": 40}, fund]
    market = run_pair(people, layers, steep, f"venues.0.engine.netting.kind={netting}")
    assert market.ledger.position[:, market.member_slices[-1]].any()
    assert min(sum_flows(market)) > 0


def test_retired_members_neither_trade_nor_pay() -> None:
    config = load_run("small_crash", ["populations.0.capital.replacement_time=60"], quick=True)
    plain, compiled = build(config, 1), build(config, 1)
    for market in (plain, compiled):
        market.state.is_retired[5:40] = True
    while plain.tick < 40:
        plain.step()
    compiled.advance(40)
    assert_same(plain, compiled)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_random_populations_are_the_same(data: st.DataObject) -> None:
    def draw(name: str, *choices: object) -> object:
        return data.draw(st.sampled_from(choices), label=name)

    policy = CAPITAL | POLICIES[str(draw("policy", *POLICIES))]
    rule = RULES[str(draw("rule", *RULES))]
    people = [
        KINDS[str(draw("kind", "traders", "trend", "fundamental"))]
        | {"capital": draw("capital", None, policy)}
        | rule
    ]
    if draw("carries", True, False):
        people.append(KINDS["carry"] | {"capital": draw("capital of carry", None, policy)})
    netting, seed = draw("netting", "cross", "isolated"), data.draw(st.integers(0, 99))
    run_pair(people, f"venues.0.engine.netting.kind={netting}", "duration=2400", seed=seed)


class Contrarians(NoiseTraders):
    """A plug-in with signals of its own."""

    def _signals(self, rows: I8, columns: I8, observation: Observation, draws: F8) -> F8:
        return -super()._signals(rows, columns, observation, draws)


class Spenders(NoiseTraders):
    """A plug-in with payments of its own."""

    request_cash_flows = LeveragedPopulation.request_cash_flows


@pytest.mark.parametrize("cls", [Contrarians, Spenders])
def test_a_subclass_with_rules_of_its_own_keeps_them(cls: type[NoiseTraders]) -> None:
    config = load_run("small_crash", quick=True)
    own = cls.model_validate(config.populations[0].model_dump())
    config = config.model_copy(update={"populations": (own, *config.populations[1:])})
    plain, compiled = build(config, 1), build(config, 1)
    while plain.tick < 20:
        plain.step()
    compiled.advance(20)
    assert_same(plain, compiled)
    held = compiled.ledger.position[:, compiled.member_slices[0]]
    assert np.count_nonzero(held) > 5
