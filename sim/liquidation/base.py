"""Base of the close-out policies: accounts due, their order, and the limit prices."""

import math
from typing import Self

import numpy as np
from pydantic import Field, PrivateAttr

from sim.component import Component
from sim.liquidation.bankruptcy import compute_limit_prices
from sim.liquidation.compiled import PlanArrays
from sim.numerics.bound_kernels import BoundKernel
from sim.types import (
    B1,
    F8,
    I8,
    MISSING,
    PERPETUAL,
    ROUTE_BOOK,
    CloseOuts,
    DistressHistory,
    Exposure,
    MarginAssessment,
)

NO_CLOSE_OUTS = CloseOuts(*(np.empty(0, dtype=np.int64) for _ in CloseOuts._fields))
"""An empty liquidation plan."""


class LiquidationBase(Component):
    """Parameters of LIQ-5 that all policies share.

    Durations are configured in seconds and rounded up to steps; ``bind`` sets the length of a step.
    A policy keeps no other state. The market records in :class:`sim.types.DistressHistory` since
    when an account is liquidatable (``liquidatable_since``), and when a plan last included it
    (``last_action``), whether or not anything was filled.
    """

    capacity: int | None = Field(
        default=None, gt=0, description="accounts closed out per step; null: no limit (accounts)"
    )
    delay: float = Field(
        default=0.0,
        ge=0,
        description="wait between becoming liquidatable and the first close-out (s)",
    )
    _dt: float = PrivateAttr()

    def bind(self, dt: float) -> Self:
        """Return a copy of the policy on a clock of ``dt`` seconds per step."""
        bound = self.model_copy()
        bound._dt = dt
        return bound

    def bind_plan(self, arrays: PlanArrays) -> tuple[BoundKernel, ...] | None:
        """Return the kernels that do what ``plan_close_outs`` does, None where there are none.

        They append close-outs to the plan, and set ``last_action`` of their accounts.
        """
        return None

    def bind_offers(self, arrays: PlanArrays) -> tuple[BoundKernel, ...] | None:
        """Return the kernels that do what :meth:`select_auctioned` does, None where there are none.

        They set ``is_offered``.
        """
        return None

    def find_due_accounts(
        self, assessment: MarginAssessment, distress: DistressHistory, tick: int
    ) -> I8:
        """Return rows that have been liquidatable for ``delay``.

        Bankrupt accounts are due at most once per step. Their limit lies beyond the mark and can
        only meet quotes that are not yet updated, so a second attempt within the step is useless.
        """
        liquidatable = assessment.liquidatable
        if not liquidatable.any():
            return NO_CLOSE_OUTS.account
        rows = np.flatnonzero(liquidatable)
        since = distress.liquidatable_since[rows]
        has_waited = np.where(since == MISSING, 0, tick - since) >= self._duration_in_steps(
            self.delay
        )
        was_tried = assessment.bankrupt[rows] & (distress.last_action[rows] == tick)
        due: I8 = rows[has_waited & ~was_tried]
        return due

    def select_auctioned(
        self, assessment: MarginAssessment, distress: DistressHistory, accounts: Exposure
    ) -> B1:
        """Return the accounts whose lots are on public offer after a step, (A,); none here."""
        return np.zeros(len(assessment.equity), dtype=bool)

    def has_cooled_down(
        self, distress: DistressHistory, rows: I8, tick: int, cooldown: float
    ) -> B1:
        """Return whether ``cooldown`` seconds have passed since each row's last close-out, (n,)."""
        acted = distress.last_action[rows]
        rested: B1 = (acted == MISSING) | (tick - acted >= self._duration_in_steps(cooldown))
        return rested

    def select_most_distressed(
        self, rows: I8, assessment: MarginAssessment, distress: DistressHistory, tick: int
    ) -> I8:
        """Return ``rows`` by rising equity over maintenance, as many as capacity allows.

        Ties are ordered by account. Capacity counts accounts: one that was already acted on in this
        step does not count again.
        """
        equity, maintenance = assessment.equity[rows], assessment.maintenance[rows]
        cover = np.divide(
            equity, maintenance, out=np.full(len(rows), -np.inf), where=maintenance > 0
        )
        rows = rows[np.argsort(cover, kind="stable")]
        if self.capacity is None:
            return rows
        fresh = distress.last_action[rows] != tick
        left = self.capacity - np.count_nonzero(distress.last_action == tick)
        served: I8 = rows[~fresh | (np.cumsum(fresh) <= left)]
        return served

    def _duration_in_steps(self, seconds: float) -> int:
        """Return a duration in steps, rounded up."""
        return math.ceil(seconds / self._dt - 1e-9) if seconds else 0


def build_close_outs(
    accounts: Exposure, equity: F8, weights: F8, rows: I8, quantity: I8
) -> CloseOuts:
    """Return close-outs through the book at bankruptcy prices, by account in the order of ``rows``.

    Perpetuals are closed, and spot legs for which the engine requires margin. Other spot is the
    owner's property (LED-3).

    Args:
        accounts: all accounts, (A, K).
        equity: (A,) minor units of the numeraire.
        weights: (A, K) shares of maintenance.
        rows: (n,) accounts to close out.
        quantity: (n, K) lots to trade, signed.
    """
    is_perpetual = accounts.market.contracts.kind == PERPETUAL
    limits = compute_limit_prices(accounts.take(rows), equity[rows], weights[rows])
    needs_margin = weights[rows] > 0
    position, leg = np.nonzero((quantity != 0) & (is_perpetual | needs_margin))
    return CloseOuts(
        account=rows[position],
        instrument=leg,
        quantity=quantity[position, leg],
        limit=limits[position, leg],
        route=np.full(len(leg), ROUTE_BOOK, dtype=np.int64),
    )
