"""Markets advanced together, in threads, end as each does alone."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from twins import assert_same, build

from agents.zero_intelligence import ZeroIntelligenceCrowd
from experiments.config import RunConfig, load_run
from sim.compiled.many import advance_markets
from sim.liquidation.full import FullCloseOut
from sim.market import Market

STEPS = 60
CRASH = "stresses.0.size=-0.3"


class Patient(FullCloseOut):
    """Close-out policy in plain Python."""

    def plan_close_outs(self, *known: Any) -> Any:
        plan = super().plan_close_outs(*known)
        return plan.take(np.arange(0, plan.account.size, 2))


def crash(*overrides: str) -> RunConfig:
    return load_run("small_crash", [CRASH, *overrides], quick=True)


def build_patient(seed: int) -> Market:
    """Return a market whose liquidation rounds are plain phases."""
    market = build(crash(), seed)
    for venue in market.venues:
        policy = Patient.model_validate(venue.liquidation_policy.model_dump())
        venue.liquidation_policy = policy.bind(venue.dt)
    return market


BUILDERS: dict[str, Callable[[int], Market]] = {
    "close-outs": lambda seed: build(crash(), seed),
    "bankruptcies": lambda seed: build(crash("stresses.0.size=-0.5"), seed),
    "isolated": lambda seed: build(crash("venues.0.engine.netting={kind: isolated}"), seed),
    "plug-in": build_patient,
    "two coins": lambda seed: build(load_run("two_coins", quick=True), seed),
    "spot": lambda seed: build(load_run("baseline", quick=True), seed),
}


def count_losses(markets: Sequence[Market]) -> int:
    return sum(len(market.recorder.frames()["losses"]) for market in markets)


@pytest.mark.parametrize("threads", [1, 3])
def test_markets_advanced_together_equal_those_advanced_alone(threads: int) -> None:
    made = [make for make in BUILDERS.values() for _ in range(2)]
    alone = [make(seed) for seed, make in enumerate(made)]
    together = [make(seed) for seed, make in enumerate(made)]
    for market in alone:
        market.advance(STEPS)
    for steps in (1, STEPS // 2, STEPS - 1 - STEPS // 2):
        advance_markets(together, steps, threads)
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)
    assert count_losses(alone[2:4]) > 10
    assert all(market._compiled and market._compiled.n_plain_phases > 5 for market in alone[6:8])


def test_replications_that_share_a_configuration_share_nothing_else() -> None:
    config = crash()
    alone, together = build(config, 1), [build(config, seed % 2) for seed in range(6)]
    alone.advance(STEPS)
    advance_markets(together, STEPS, 4)
    for market in together[1::2]:
        assert_same(alone, market)


def test_steps_end_with_the_run() -> None:
    market = build(crash(), 1)
    advance_markets([market], 10**9, 2)
    assert market.tick == market.steps_planned
    assert not market.running


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, sliced = build(crash(), 1), build(crash(), 1)
    alone.advance(STEPS)
    monkeypatch.setattr("sim.compiled.many.SLICE", 7 * sliced.state.n_owners)
    advance_markets([sliced], STEPS, 2)
    assert_same(alone, sliced)


def test_an_error_in_one_market_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (build(crash(), seed) for seed in range(3))

    def fail(steps: int) -> None:
        raise ValueError("the second market fails")

    monkeypatch.setattr(second, "advance", fail)
    with pytest.raises(ValueError, match="the second market fails"):
        advance_markets([first, second, third], STEPS, 2)
    assert first.tick == third.tick == STEPS


def test_an_interruption_stops_all_markets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The markets under way stop after their slice, and those that wait do not begin."""
    markets = [build(crash(), seed) for seed in range(4)]
    begun = threading.Event()

    def dawdle(market: Market) -> Callable[[int], None]:
        def advance(steps: int) -> None:
            begun.set()
            time.sleep(0.1)
            market.state.tick += 1

        return advance

    def interrupt(futures: object) -> None:
        begun.wait()
        raise KeyboardInterrupt

    for market in markets:
        monkeypatch.setattr(market, "advance", dawdle(market))
    monkeypatch.setattr("sim.compiled.many.wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        advance_markets(markets, STEPS, 1)
    assert [market.tick for market in markets] == [1, 0, 0, 0]


def test_compiled_steps_do_not_hold_the_interpreter() -> None:
    """Another thread counts while one call makes many steps of one market."""
    crowd = ZeroIntelligenceCrowd(name="crowd", venue="exchange", count=20_000, wealth=100_000)
    config = crash("duration=14400").model_copy(update={"populations": [crowd]})
    market, counts = build(config, 1), []
    market.advance(1)
    ended = threading.Event()

    def count() -> None:
        while not ended.is_set():
            counts.append(time.perf_counter())
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    began = time.perf_counter()
    market.advance(100)
    taken = time.perf_counter() - began
    ended.set()
    counter.join()
    within = [moment for moment in counts if moment < began + 0.9 * taken]
    assert taken > 0.05
    assert len(within) > 20
