"""Who is rescued is given what it lacks and nothing more, and everybody else goes on as it does (LIQ-9)."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from laws.test_contagion import B, C, D, chain_market
from markets import build, worlds
from papers import crash

from sim.errors import ConfigError
from sim.market import Market

A = 0
SAVED = [{"owners": [A]}]


def owners(market: Market) -> list[int]:
    closeouts = crash.run(market).recorder.frames()["closeouts"]
    return closeouts.loc[closeouts["filled"] > 0, "owner"].tolist()


def test_without_the_first_those_it_pushed_stand_and_the_other_root_falls_all_the_same() -> None:
    """E's 100 lots sell into the bids that A's would have taken: the mark stays, and nobody is pushed."""
    assert owners(chain_market()) == [A, 1, B, C, D]
    assert owners(chain_market(rescues=SAVED)) == [1]
    assert owners(chain_market(rescues=[{"populations": ["script"]}])) == []


def test_the_gift_is_what_was_lacking_and_is_recorded() -> None:
    """Long 200 at 1000 with 52.5 a lot: at 970, 54.25 are needed."""
    market = chain_market(rescues=SAVED)
    steps = crash.run(market).recorder.frames()["venues"]
    assert steps.groupby("step")["deposits"].first().to_dict()[2] == 200 * (54.25 - 52.5)
    assert market.venues[0].states[0].risk.excess[A] >= 0


def test_a_window_ends() -> None:
    """Rescued in the step of the fall and not in the next: closed out only if it is under water then."""
    once = [{"owners": [A], "since": 2, "until": 2}]
    assert A not in owners(chain_market(rescues=once)), "what it was given it keeps"
    late = [{"owners": [A], "since": 3}]
    assert owners(chain_market(rescues=late)) == [A, 1, B, C, D]


@given(worlds())
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_rescued_population_is_never_closed_out_and_cash_is_conserved(world) -> None:
    rules, people, seed = world
    rescue = [{"populations": ["hostile", "traders"]}]
    rules = type(rules).model_validate(rules.model_dump() | {"rescues": rescue})
    market = build(rules, people, seed)
    for _ in range(market.steps_planned):
        market.step()
    market.ledger.check()
    assert not set(market.recorder.frames()["closeouts"]["population"]) & {"hostile", "traders"}


def test_a_crash_in_which_nobody_needs_help_is_the_same_crash() -> None:
    one = crash.market(2, crash.config(steps=60))
    two = crash.market(2, crash.config(steps=60, rescues=[{"populations": ["traders"]}]))
    ends = [crash.run(market).recorder.frames()["steps"] for market in (one, two)]
    assert np.array_equal(ends[0]["mark"], ends[1]["mark"])


@pytest.mark.parametrize(
    ("rescue", "told"),
    [
        ({"owners": [5000]}, r"rescues\.0\.owners: 5000, must be from 0 to"),
        ({"populations": ["tradrs"]}, r"rescues\.0\.populations: 'tradrs' is not one of .*did you mean 'traders'"),
        ({}, "owners: none, and no populations; at least one account is rescued"),
        ({"owners": [1], "since": 5, "until": 4}, "until: 4, must not lie before since = 5"),
    ],
)
def test_nobody_and_strangers_are_refused(rescue, told: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=told):
        crash.market(1, crash.config(rescues=[rescue]))
