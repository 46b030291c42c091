"""Margin calls: MAR-4."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from sim.margin.calls import N_CALL_DRAWS, CallOutcome, MarginCalls, PoolMarginCalls
from sim.numerics.rng import RandomStreams
from sim.types import MarginAssessment

DT = 60.0
RICH = 10**9


def risk(equity: ArrayLike, initial: ArrayLike = 100) -> MarginAssessment:
    equity = np.atleast_1d(np.asarray(equity, dtype=float))
    required = np.broadcast_to(np.asarray(initial, dtype=float), equity.shape)
    return MarginAssessment(equity, required, required / 2)


def step(
    calls: PoolMarginCalls,
    tick: int,
    verdict: MarginAssessment,
    draw: tuple[float, float] = (0.0, 0.0),
    outside: int = RICH,
) -> CallOutcome:
    rows = len(verdict.equity)
    return calls.advance_tick(tick, verdict, np.tile(draw, (rows, 1)), np.full(rows, outside))


def test_a_call_opens_below_the_trigger_and_restores_initial() -> None:
    calls = MarginCalls(call_threshold=0.8, response_probability=1.0, delay=0.0).build_calls(4, DT)
    got = step(calls, 0, risk([120, 80, 79, 0], [100, 100, 100, 0]))
    assert got.opened.tolist() == got.met.tolist() == [False, False, True, False]
    assert got.deposits.tolist() == [0, 0, 21, 0]
    assert not got.missed.any()
    assert not got.lapsed.any()


def test_the_answer_comes_after_its_delay_and_covers_what_is_lacking_then() -> None:
    calls = MarginCalls(response_probability=1.0, delay=600.0).build_calls(1, DT)
    draw = (0.5, 1 - np.exp(-0.25))  # 0.25 of the mean = 150 s = 3 steps, rounded up
    assert step(calls, 5, risk([90]), draw).opened[0]
    for tick in (6, 7):
        waiting = step(calls, tick, risk([80]), draw)
        assert [column[0] for column in waiting] == [0, False, False, False, False]
    assert calls.has_open_call[0]
    answer = step(calls, 8, risk([69.5]), draw)
    assert answer.met[0]
    assert answer.deposits[0] == 31
    assert not calls.has_open_call[0]


@pytest.mark.parametrize(("at_opening", "later"), [(0.2, 0.9), (0.9, 0.2)])
def test_whether_a_call_is_met_is_drawn_when_it_opens(at_opening: float, later: float) -> None:
    calls = MarginCalls(response_probability=0.5, delay=60.0).build_calls(1, DT)
    step(calls, 0, risk([90]), (at_opening, 0.5))
    assert step(calls, 1, risk([90]), (later, 0.5)).met[0] == (at_opening < 0.5)


def test_a_missed_call_is_not_repeated_until_initial_is_covered() -> None:
    calls = MarginCalls(response_probability=0.5, delay=0.0).build_calls(1, DT)
    assert step(calls, 0, risk([90]), (0.5, 0.0)).missed[0]
    again = step(calls, 1, risk([80]), (0.0, 0.0))
    assert [column[0] for column in again] == [0, False, False, False, False]
    step(calls, 2, risk([100]))
    assert step(calls, 3, risk([90]), (0.0, 0.0)).met[0]


def test_who_cannot_bring_the_whole_brings_nothing() -> None:
    calls = MarginCalls(response_probability=1.0, delay=0.0).build_calls(2, DT)
    got = calls.advance_tick(0, risk([90, 90]), np.zeros((2, N_CALL_DRAWS)), np.array([9, 10]))
    assert got.missed.tolist() == [True, False]
    assert got.deposits.tolist() == [0, 10]


def test_a_call_lapses_when_the_market_or_a_close_out_restores_initial() -> None:
    calls = MarginCalls(response_probability=1.0, delay=6000.0).build_calls(2, DT)
    assert step(calls, 0, risk([90, 90]), (0.0, 0.9)).opened.all()
    got = step(calls, 1, risk([100, 0], [100, 0]), (0.0, 0.9))
    assert got.lapsed.all()
    assert not calls.has_open_call.any()


def test_wealth_outside_is_a_multiple_of_the_start() -> None:
    assert MarginCalls(outside_multiple=1.5).outside_wealth(np.array([0, 3, 10**12])).tolist() == [
        0,
        4,
        1_500_000_000_000,
    ]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    met=st.floats(0, 1),
    trigger=st.floats(0.1, 1),
    delay=st.floats(0, 600),
)
def test_every_call_ends_once_and_draws_are_addressed(
    seed: int, met: float, trigger: float, delay: float
) -> None:
    """Opened = met + missed + lapsed + pending; deposits within wealth; rows are independent."""
    rule, owners, streams = (
        MarginCalls(response_probability=met, call_threshold=trigger, delay=delay),
        12,
        RandomStreams(seed),
    )
    calls, alone = rule.build_calls(owners, DT), rule.build_calls(1, DT)
    rng, outside, counts = (
        np.random.default_rng(seed),
        rule.outside_wealth(np.full(owners, 300)),
        np.zeros(4, dtype=int),
    )
    for tick in range(60):
        draws = streams.draw_uniform("calls", tick, owners, N_CALL_DRAWS)
        verdict = risk(rng.integers(-50, 150, owners), rng.choice([0, 100], owners))
        got = calls.advance_tick(tick, verdict, draws, outside)
        single = alone.advance_tick(
            tick, MarginAssessment(*(column[:1] for column in verdict)), draws[:1], outside[:1]
        )
        assert all(one[0] == many[0] for one, many in zip(single, got, strict=True))
        assert not (got.met & got.missed).any()
        assert ((got.deposits > 0) == got.met).all()
        outside = outside - got.deposits
        assert (outside >= 0).all()
        counts += [got.opened.sum(), got.met.sum(), got.missed.sum(), got.lapsed.sum()]
    assert counts[0] == counts[1:].sum() + calls.has_open_call.sum()


def test_share_met_and_mean_delay_are_as_configured() -> None:
    owners, streams = 4000, RandomStreams(7)
    calls = MarginCalls(response_probability=0.3, delay=3000.0).build_calls(owners, DT)
    answered, met, waited = np.zeros(owners, dtype=bool), 0, 0
    for tick in range(1000):
        draws = streams.draw_uniform("calls", tick, owners, N_CALL_DRAWS)
        got = calls.advance_tick(tick, risk(np.full(owners, 50)), draws, np.full(owners, RICH))
        first = (
            got.met | got.missed
        ) & ~answered  # met calls reopen in a world where cash changes nothing
        answered |= first
        met += int((got.met & first).sum())
        waited += tick * int(first.sum())
    assert answered.all()
    assert abs(met / owners - 0.3) < 4 * np.sqrt(0.3 * 0.7 / owners)
    assert abs(waited / owners * DT - (3000 + DT / 2)) < 4 * 3000 / np.sqrt(
        owners
    )  # rounding up adds half a step


@pytest.mark.parametrize(
    "field", ["call_threshold", "response_probability", "delay", "outside_multiple"]
)
def test_parameters_name_their_units(field: str) -> None:
    assert MarginCalls.model_fields[field].description.endswith(")")
