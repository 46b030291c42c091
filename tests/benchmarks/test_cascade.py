"""The margin check of 100,000 accounts while a mass of them is closed out.

The check is the assessment of every account by the engine, and has a gate. The time that
attribution of causes adds in a round is printed.
"""

from time import process_time
from typing import NamedTuple

import numpy as np
import pytest
from benchmarks.markets import DT, START, perpetuals

from agents import POPULATIONS, populate
from sim.config import MarketConfig
from sim.market import Market
from sim.state import MarketState
from sim.step import assessment, liquidation, loss_waterfall
from sim.types import MISSING

pytestmark = pytest.mark.benchmark

MEMBERS, QUIET, ROUNDS = 100_000, 40, 20


class Check(NamedTuple):
    """One assessment of every account."""

    tick: int
    round: int  # just made; MISSING = none yet in this step
    posted: bool  # whether anything was, since the assessment before
    seconds: float  # CPU time, causes included
    alone: float  # CPU time of the engine alone
    under: float  # share of the participants found under water


class AssessmentTimer:
    """Replacement of the market's assessment that records the time of each call."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self._assess = assessment.assess_accounts

    def assess_accounts(self, market: MarketState, number: int = MISSING) -> None:
        posted, began = bool(market.ledger.journal), process_time()
        self._assess(market, number)
        taken = process_time() - began
        states = [state for venue in market.venues for state in venue.pool_states.values()]
        began = process_time()
        for venue in market.venues:
            for state in venue.pool_states.values():
                state.engine.assess(venue.pool_accounts(state.pool))
        alone = process_time() - began
        under = np.mean(
            [state.assessment.liquidatable[market.is_margined].mean() for state in states]
        )
        if market.tick:
            self.checks.append(Check(market.tick, number, posted, taken, alone, float(under)))


def crash() -> Market:
    """Return a crowd at the highest leverage; after QUIET steps the index falls by 3 x 2%."""
    fall = {"kind": "move", "at": QUIET * DT, "duration": 3 * DT, "size": -0.06}
    rules = {
        **perpetuals(1, mark={"kind": "median", "clamp": 0.002}),
        "stresses": [fall],
        "dt": DT,
        "duration": DT * (QUIET + 6),
        "max_rounds": ROUNDS,
    }
    people = POPULATIONS["zero_intelligence"](
        name="crowd", venue="venue", count=MEMBERS, wealth=START / 100
    )
    return Market(MarketConfig.model_validate(rules), populate([people]), seed=1)


def test_check_keeps_its_rate_in_a_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = AssessmentTimer()
    for phase in (assessment, liquidation, loss_waterfall):
        monkeypatch.setattr(phase, "assess_accounts", timer.assess_accounts)
    market = crash()
    while market.tick < QUIET + 6:
        market.step()
    quiet = [check for check in timer.checks if 5 < check.tick <= QUIET and check.round == MISSING]
    mass = [check for check in timer.checks if check.tick > QUIET and check.under > 0.05]
    rounds = [check for check in mass if 0 <= check.round < ROUNDS and check.posted]
    rates = [rate([check.seconds for check in checks]) for checks in (quiet, rounds)]
    alone = [rate([check.alone for check in checks]) for checks in (quiet, rounds)]
    after = rate([check.seconds for check in mass if check.round == ROUNDS])
    print(
        f"\n{MEMBERS} accounts, up to {max(c.under for c in mass):.0%} under water, "
        f"{len(rounds)} rounds",
        end="",
    )
    print(
        f"; M accounts/s: quiet {alone[0]:.1f}, rounds {alone[1]:.1f}; "
        f"ratio {alone[1] / alone[0]:.2f}, gate 0.5"
    )
    print(f"with attribution of causes: quiet {rates[0]:.1f}, rounds {rates[1]:.1f}", end="")
    print(f"; ratio {rates[1] / rates[0]:.2f}; after the waterfall {after:.2f}")
    assert len(rounds) >= 5
    assert alone[1] >= 0.5 * alone[0]


def rate(seconds: list[float]) -> float:
    """Million accounts a second, at the median."""
    return MEMBERS / float(np.median(seconds)) / 1e6
