"""Losses are allocated in compiled code as in the plain step (LIQ-3, LOSS-1 to LOSS-3)."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twins import assert_same, build, run_twins

from experiments.config import RunConfig, load_run
from sim.compiled.distress.loss_program import LossProgram
from sim.market import Market

STEPS = 60
FUND = "{kind: fund}"
WATERFALLS = {
    "packaged": f"[{FUND}, {{kind: adl_queue, score: bitmex}}, {{kind: socialised, base: equity}}]",
    "binance": "[{kind: adl_queue, score: binance}]",
    "hyperliquid": "[{kind: fund, max_share: 0.02}, {kind: adl_queue, score: hyperliquid}]",
    "pro rata": f"[{FUND}, {{kind: adl_pro_rata}}]",
    "profit only": "[{kind: adl_pro_rata, profit_only: true}, {kind: socialised, base: profit}]",
    "socialised": "[{kind: socialised, base: equity}]",
    "bad debt": "[]",
}
RULES = [
    ["venues.0.engine.netting={kind: isolated}"],
    ["venues.0.liquidation={kind: auction, duration: 120, max_discount: 0.2}"],
    ["venues.0.liquidation={kind: fraction, share: 0.3, cooldown: 0}"],
    ["max_rounds=1"],
    ["populations.2.wealth=20_000"],
]


def crash(waterfall: str, *overrides: str, size: float = -0.4) -> RunConfig:
    layers = f"venues.0.waterfall={WATERFALLS[waterfall]}"
    return load_run("small_crash", [f"stresses.0.size={size}", layers, *overrides], quick=True)


def count_losses(market: Market) -> int:
    return len(market.recorder.frames()["losses"])


@pytest.fixture
def allocated_plainly(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps whose losses compiled runs allocate in Python."""
    ticks: list[int] = []
    allocate = LossProgram._allocate_plainly

    def allocate_and_count(self: LossProgram) -> None:
        ticks.append(self.market.tick)
        allocate(self)

    monkeypatch.setattr(LossProgram, "_allocate_plainly", allocate_and_count)
    return ticks


@pytest.mark.parametrize("waterfall", WATERFALLS)
def test_layers_absorb_the_same_without_python(
    waterfall: str, allocated_plainly: list[int]
) -> None:
    plain, compiled = run_twins(crash(waterfall), steps=STEPS)
    assert count_losses(plain) >= 5
    assert not allocated_plainly
    assert_same(plain, compiled)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_losses_under_other_rules_are_the_same(rule: list[str]) -> None:
    plain, compiled = run_twins(crash("packaged", *rule), steps=STEPS)
    assert count_losses(plain) >= 1
    assert_same(plain, compiled)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    waterfall=st.sampled_from(sorted(WATERFALLS)),
    rules=st.lists(st.sampled_from(RULES), max_size=2, unique_by=str),
    size=st.sampled_from([-0.5, -0.3, 0.3]),
    seed=st.integers(0, 2**20),
    batches=st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_random_losses_are_the_same(
    waterfall: str, rules: list[list[str]], size: float, seed: int, batches: list[int]
) -> None:
    config = crash(waterfall, *(line for rule in rules for line in rule), size=size)
    assert_same(*run_twins(config, seed, steps=60, batches=batches))


@pytest.mark.parametrize("netting", ["cross", "isolated"])
def test_a_fund_without_means_is_treated_the_same(
    netting: str, allocated_plainly: list[int]
) -> None:
    """Its own account is bankrupt after it has taken over positions of others.

    Under isolated netting its wallet pays first.
    """
    config = crash("packaged", f"venues.0.engine.netting={{kind: {netting}}}", size=0.3)
    plain, compiled = run_twins(config, seed=3, steps=STEPS)
    fund = plain.state.venues[0].system_accounts.insurance_fund
    assert fund in set(plain.recorder.frames()["losses"]["owner"])
    assert not allocated_plainly
    assert_same(plain, compiled)


@pytest.mark.parametrize("netting", ["cross", "isolated"])
@pytest.mark.parametrize("requirement", ["at_entry", "open_interest"])
def test_other_margins_limit_the_fund_the_same(
    requirement: str, netting: str, allocated_plainly: list[int]
) -> None:
    """The fund's margin after a take-over is that of the engine's own kernels."""
    rule = f"venues.0.engine.requirement={{kind: {requirement}}}"
    rules = (rule, f"venues.0.engine.netting={{kind: {netting}}}")
    plain, compiled = run_twins(crash("packaged", *rules, size=-0.6), steps=STEPS)
    assert "fund" in set(plain.recorder.frames()["losses"]["layer"])
    assert not allocated_plainly
    assert_same(plain, compiled)


def test_losses_are_read_at_any_time() -> None:
    """Reading the record of losses during a run does not change it."""
    whole, parts = build(crash("packaged"), 1), build(crash("packaged"), 1)
    whole.advance(STEPS)
    while parts.running:
        parts.advance(7)
        count_losses(parts)
    assert_same(whole, parts)


def test_nothing_happens_after_the_last_step() -> None:
    over, more = build(crash("packaged"), 1), build(crash("packaged"), 1)
    over.advance(10**9)
    more.advance(10**9)
    more.advance(1)
    assert more.tick == more.steps_planned
    assert_same(over, more)
