"""Liquidation rounds and causes of deficits in compiled code are those of the plain step."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from twins import assert_same, build, run_twins

from experiments.config import RunConfig, load_run
from sim.compiled.assembly.assessment import AssessmentPhases
from sim.liquidation.full import FullCloseOut
from sim.market import Market

CRASH = "stresses.0.size=-0.3"
STEPS = 60
POLICIES = [
    "{kind: full, cooldown: 60}",
    "{kind: full, cooldown: 0, delay: 120, capacity: 2}",
    "{kind: fraction, share: 0.3, cooldown: 0}",
    "{kind: fraction, capacity: 3, delay: 60, full_below_coverage: 0.5, small_notional: 5e5}",
    "{kind: auction, duration: 600}",
    "{kind: auction, duration: 120, max_discount: 0.2, delay: 60}",
]
OTHER_RULES = [
    ["shuffle_closeouts=true", "venues.0.liquidation.cooldown=0"],
    ["max_rounds=1"],
    ["venues.0.mark={kind: book}"],
    ["venues.0.engine.netting={kind: isolated}"],
    ["venues.0.engine.compression=0.5"],
    ["venues.0.fees.liquidation=0"],
    ["venues.0.funding.interval=600"],
]


def crash(*overrides: str) -> RunConfig:
    return load_run("small_crash", [CRASH, *overrides], quick=True)


def count_close_outs(market: Market) -> int:
    return len(market.recorder.frames()["closeouts"])


@pytest.fixture
def finished_plainly(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps that compiled runs leave to the plain phases from the assessment on."""
    ticks: list[int] = []
    finish = AssessmentPhases._finish_plainly

    def finish_and_count(self: AssessmentPhases) -> None:
        ticks.append(self.market.tick)
        finish(self)

    monkeypatch.setattr(AssessmentPhases, "_finish_plainly", finish_and_count)
    return ticks


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_close_out_the_same(policy: str) -> None:
    plain, compiled = run_twins(crash(f"venues.0.liquidation={policy}"), steps=STEPS)
    assert count_close_outs(plain) >= 5
    assert_same(plain, compiled)


@pytest.mark.parametrize("overrides", OTHER_RULES, ids=str)
def test_rules_of_rounds_are_the_same(overrides: list[str]) -> None:
    plain, compiled = run_twins(crash(*overrides), steps=STEPS)
    assert count_close_outs(plain) >= 5
    assert_same(plain, compiled)


def test_causes_of_several_instruments_are_the_same() -> None:
    """Losses in bitcoin close ether out; funding, marks and trades carry their instrument."""
    config = load_run("coin_crash", ["venues.0.funding.interval=1800", "profile_every=0"])
    plain, compiled = run_twins(config, steps=STEPS + 5, batches=(7, 30))
    frames = plain.recorder.frames()
    assert "ETH-PERP" in set(frames["closeouts"]["instrument"])
    causes = frames["causes"]
    assert {"index", "voluntary", "own"} <= set(causes["kind"][causes["instrument"] != ""])
    assert_same(plain, compiled)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    policy=st.sampled_from(POLICIES),
    rules=st.lists(st.sampled_from(OTHER_RULES[1:]), max_size=2, unique_by=str),
    seed=st.integers(0, 2**20),
    batches=st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_random_crashes_are_the_same(
    policy: str, rules: list[list[str]], seed: int, batches: list[int]
) -> None:
    overrides = [f"venues.0.liquidation={policy}", *(line for rule in rules for line in rule)]
    assert_same(*run_twins(crash(*overrides), seed, steps=50, batches=batches))


def test_rounds_need_no_plain_phase(finished_plainly: list[int]) -> None:
    market = build(crash("venues.0.liquidation={kind: fraction}"), 1)
    market.advance(STEPS)
    assert count_close_outs(market) > 10
    assert not finished_plainly


def test_the_logs_of_causes_are_the_same() -> None:
    """Attribution begins from the same arrays after either run."""
    plain, compiled = run_twins(crash(), steps=STEPS)
    for number, log in plain.state.cause_logs.items():
        ours, theirs = log.arrays, compiled.state.cause_logs[number].arrays
        for name in ("excess", "since", "mark", "price"):
            assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
        under = np.flatnonzero(ours.since >= 0)
        expected = log.collect_causes(under)
        made = compiled.state.cause_logs[number].collect_causes(under)
        for ours_column, theirs_column in zip(expected, made, strict=True):
            assert_array_equal(ours_column, theirs_column)


def test_a_policy_with_rules_of_its_own_is_called_in_python(finished_plainly: list[int]) -> None:
    """A plug-in derived from a packaged policy does not inherit its kernels."""

    class Patient(FullCloseOut):
        def plan_close_outs(self, *known: Any) -> Any:
            plan = super().plan_close_outs(*known)
            return plan.take(np.arange(0, plan.account.size, 2))

    def build_patient() -> Market:
        market = build(crash(), 1)
        for venue in market.venues:
            policy = Patient.model_validate(venue.liquidation_policy.model_dump())
            venue.liquidation_policy = policy.bind(venue.dt)
        return market

    plain, compiled = build_patient(), build_patient()
    for _ in range(STEPS):
        plain.step()
    compiled.advance(STEPS)
    assert len(finished_plainly) > 10
    assert_same(plain, compiled)
