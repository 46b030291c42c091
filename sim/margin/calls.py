"""Margin calls (MAR-4): accounts near their requirement are asked for cash from outside, and some find it."""

from typing import NamedTuple

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.numerics.rounding import whole
from sim.types import B1, F8, I8, NOBODY, Risk

WIDTH = 2
"""Uniform draws per owner and step: whether a call is met, and when it is answered."""


class MarginCalls(Component):
    """When accounts are called, and how their owners answer."""

    trigger: float = Field(
        default=1.0, gt=0, le=1, description="a call opens when equity is below this times initial (ratio)"
    )
    met: float = Field(default=0.5, ge=0, le=1, description="probability that the owner means to meet a call (1)")
    delay: float = Field(default=3600.0, ge=0, le=1e9, description="mean of the exponential time until the answer (s)")
    outside: float = Field(
        default=1.0,
        ge=0,
        le=1e6,
        description="wealth from which calls are met; own top-ups use it up, too (multiple of starting wealth)",
    )

    def wealth(self, starting: I8) -> I8:
        """What each owner may bring in over the run, (N,), minor units of the numeraire."""
        wealth: I8 = np.floor(self.outside * starting).astype(np.int64)
        return wealth

    def build(self, owners: int, dt: float) -> "Calls":
        """The calls of one pool, none open yet.

        Args:
            owners: N, rows of the pool.
            dt: seconds per step.
        """
        return Calls(self, owners, dt)


class CallOutcome(NamedTuple):
    """What became of calls in one step, (N,) each."""

    deposits: I8  # minor units of the numeraire, from outside into the account
    opened: B1
    met: B1  # answered with the deposit
    missed: B1  # due and not answered: the owner would not, or could not bring the whole
    lapsed: B1  # initial was restored without a deposit, by the market or by a smaller position


class Calls:
    """The margin calls of one pool, one row per owner.

    A call is answered once, at a time drawn when it opens. A missed call is not repeated until the account has
    covered its initial margin again; else a new call, with a new chance, would open at every step.
    """

    def __init__(self, rule: MarginCalls, owners: int, dt: float) -> None:
        self.rule = rule
        self.dt = dt
        self._due: I8 = np.full(owners, NOBODY, dtype=np.int64)  # tick of the answer, NOBODY = no call open
        self._willing: B1 = np.zeros(owners, dtype=np.bool_)
        self._defied: B1 = np.zeros(owners, dtype=np.bool_)  # a call was missed and initial not covered since

    @property
    def pending(self) -> B1:
        """Whose call is open, (N,)."""
        pending: B1 = self._due != NOBODY
        return pending

    def advance(self, tick: int, risk: Risk, draws: F8, outside: I8) -> CallOutcome:
        """One step: let calls lapse, open new ones, answer those due.

        Args:
            tick: steps since the start; called once per tick.
            risk: the pool's verdicts, (N,).
            draws: uniform on [0, 1), (N, WIDTH); all are consumed, whatever the state (RNG-1).
            outside: what each owner can still bring in, (N,), minor units of the numeraire.
        """
        lapsed = self._lapse(risk)
        opened = self._open(tick, risk, draws)
        due = self.pending & (self._due <= tick)
        lacking = whole(np.ceil(np.maximum(risk.initial - risk.equity, 0.0)))
        met = due & self._willing & (lacking <= outside)
        missed = due & ~met
        self._due[due] = NOBODY
        self._defied |= missed
        return CallOutcome(np.where(met, lacking, 0), opened, met, missed, lapsed)

    def _lapse(self, risk: Risk) -> B1:
        covered = risk.equity >= risk.initial
        lapsed = self.pending & covered
        self._due[lapsed] = NOBODY
        self._defied &= ~covered
        return lapsed

    def _open(self, tick: int, risk: Risk, draws: F8) -> B1:
        short = (risk.initial > 0) & (risk.equity < self.rule.trigger * risk.initial)
        opened = short & ~self.pending & ~self._defied
        steps = np.ceil(-self.rule.delay * np.log1p(-draws[:, 1]) / self.dt)
        self._willing = np.where(opened, draws[:, 0] < self.rule.met, self._willing)
        self._due = np.where(opened, tick + whole(steps), self._due)
        return opened
