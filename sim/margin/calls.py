"""Margin calls (MAR-4): requests for outside cash to accounts near their requirement."""

from typing import NamedTuple

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.numerics.jit import kernel
from sim.numerics.rounding import to_exact_int, to_exact_one
from sim.types import B1, F8, I8, MISSING, MarginAssessment

N_CALL_DRAWS = 2
"""Uniform draws per owner and step: whether a call is met, and when it is answered."""


class MarginCalls(Component):
    """Rule that opens margin calls, and the owners' responses to them."""

    call_threshold: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="a call opens when equity is below this times initial (ratio)",
    )
    response_probability: float = Field(
        default=0.5, ge=0, le=1, description="probability that the owner intends to meet a call (1)"
    )
    delay: float = Field(
        default=3600.0,
        ge=0,
        le=1e9,
        description="mean of the exponential time until the answer (s)",
    )
    outside_multiple: float = Field(
        default=1.0,
        ge=0,
        le=1e6,
        description=(
            "wealth from which calls are met, also reduced by the owner's own top-ups "
            "(multiple of starting wealth)"
        ),
    )

    def outside_wealth(self, starting: I8) -> I8:
        """Return the wealth each owner may bring in, (N,), minor units of the numeraire."""
        wealth: I8 = np.floor(self.outside_multiple * starting).astype(np.int64)
        return wealth

    def build_calls(self, owners: int, dt: float) -> "PoolMarginCalls":
        """Build the margin calls of one pool, with no open call.

        Args:
            owners: N, rows of the pool.
            dt: seconds per step.
        """
        return PoolMarginCalls(self, owners, dt)


class CallOutcome(NamedTuple):
    """Outcome of margin calls in one step, (N,) each."""

    deposits: I8  # minor units of the numeraire, from outside into the account
    opened: B1
    met: B1  # answered with the deposit
    missed: B1  # due and not answered: the owner would not, or could not, deposit it all
    lapsed: B1  # initial margin was covered without a deposit: price moves or a smaller position


class CallState(NamedTuple):
    """Calls of one pool, (N,) each, in place."""

    answer_ticks: I8  # tick of the answer; MISSING if no call is open
    will_answer: B1
    has_missed_call: B1  # a call was missed and initial margin has not been covered since


class PoolMarginCalls:
    """Margin calls of one pool, one row per owner.

    A call is answered once, at a time drawn when it opens. A missed call is not repeated until the
    account has covered its initial margin again. Otherwise a new call, with a new draw, would open
    at every step.
    """

    def __init__(self, rule: MarginCalls, owners: int, dt: float) -> None:
        self.rule = rule
        self.dt = dt
        self.state = CallState(np.full(owners, MISSING), *np.zeros((2, owners), dtype=np.bool_))

    @property
    def has_open_call(self) -> B1:
        """True for owners whose call is open, (N,)."""
        pending: B1 = self.state.answer_ticks != MISSING
        return pending

    def advance_tick(
        self, tick: int, assessment: MarginAssessment, draws: F8, outside: I8
    ) -> CallOutcome:
        """Advance one step: let calls lapse, open new ones, and answer those that are due.

        Args:
            tick: steps since the start; called once per tick.
            assessment: the pool's margin assessment, (N,).
            draws: uniform on [0, 1), (N, N_CALL_DRAWS); all are consumed, whatever the state
                (RNG-1).
            outside: wealth each owner can still bring in, (N,), minor units of the numeraire.
        """
        lapsed = self._lapse_calls(assessment)
        opened = self._open_calls(tick, assessment, draws)
        due = self.has_open_call & (self.state.answer_ticks <= tick)
        lacking = to_exact_int(np.ceil(np.maximum(assessment.initial - assessment.equity, 0.0)))
        met = due & self.state.will_answer & (lacking <= outside)
        missed = due & ~met
        self.state.answer_ticks[due] = MISSING
        self.state.has_missed_call[missed] = True
        return CallOutcome(np.where(met, lacking, 0), opened, met, missed, lapsed)

    def _lapse_calls(self, assessment: MarginAssessment) -> B1:
        covered = assessment.equity >= assessment.initial
        lapsed = self.has_open_call & covered
        self.state.answer_ticks[lapsed] = MISSING
        self.state.has_missed_call[covered] = False
        return lapsed

    def _open_calls(self, tick: int, assessment: MarginAssessment, draws: F8) -> B1:
        short = (assessment.initial > 0) & (
            assessment.equity < self.rule.call_threshold * assessment.initial
        )
        opened = short & ~self.has_open_call & ~self.state.has_missed_call
        steps = list_waiting_steps(draws[:, 1], self.rule.delay, self.dt)
        intends = draws[:, 0] < self.rule.response_probability
        self.state.will_answer[opened] = intends[opened]
        self.state.answer_ticks[opened] = tick + steps[opened]
        return opened


@kernel
def count_waiting_steps(draw: float, delay: float, dt: float) -> int:
    """Return the steps until an answer, an exponential time made from one uniform draw.

    Args:
        draw: uniform on [0, 1).
        delay: mean time, seconds.
        dt: seconds per step.
    """
    return to_exact_one(np.ceil(-delay * np.log1p(-draw) / dt))


@kernel
def list_waiting_steps(draws: F8, delay: float, dt: float) -> I8:
    """Return the steps until each answer; see :func:`count_waiting_steps`."""
    steps = np.empty(draws.size, dtype=np.int64)
    for i in range(draws.size):
        steps[i] = count_waiting_steps(draws[i], delay, dt)
    return steps
