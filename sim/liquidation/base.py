"""What every close-out policy shares: whom to act on, in which order, and at which price."""

import math
from typing import Self

import numpy as np
from pydantic import Field, PrivateAttr

from sim.component import Component
from sim.liquidation.bankruptcy import compute_limit_prices
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
"""The plan of a calm market."""


class LiquidationBase(Component):
    """The dials of LIQ-5, common to all policies.

    Durations are configured in seconds and rounded up to steps; ``bind`` tells a policy the length of one.
    A policy keeps no other state: the market records in ``Distress`` whom it found liquidatable (``since``) and
    whom a plan named (``acted``, whether or not anything was filled).
    """

    capacity: int | None = Field(
        default=None, gt=0, description="accounts acted on per step; null: no limit (accounts)"
    )
    delay: float = Field(
        default=0.0,
        ge=0,
        description="wait between becoming liquidatable and the first close-out (s)",
    )
    _dt: float = PrivateAttr()

    def bind(self, dt: float) -> Self:
        """The same policy on a clock of ``dt`` seconds per step. The original is left as it was."""
        bound = self.model_copy()
        bound._dt = dt
        return bound

    def find_due_accounts(self, risk: MarginAssessment, distress: DistressHistory, tick: int) -> I8:
        """Rows that are liquidatable and have been for ``delay``; the bankrupt at most once per step.

        A bankrupt account's limit lies beyond the mark and can only meet quotes that have not caught up, so asking
        again within the step is useless.
        """
        liquidatable = risk.liquidatable
        if not liquidatable.any():
            return NO_CLOSE_OUTS.account
        rows = np.flatnonzero(liquidatable)
        since = distress.liquidatable_since[rows]
        waited = np.where(since == MISSING, 0, tick - since) >= self._duration_in_steps(self.delay)
        asked = risk.bankrupt[rows] & (distress.last_action[rows] == tick)
        due: I8 = rows[waited & ~asked]
        return due

    def select_auctioned(
        self, risk: MarginAssessment, distress: DistressHistory, book: Exposure
    ) -> B1:
        """Whose lots are for anybody to take after a step, (A,): by default nobody's."""
        return np.zeros(len(risk.equity), dtype=bool)

    def has_cooled_down(
        self, distress: DistressHistory, rows: I8, tick: int, cooldown: float
    ) -> B1:
        """Whether ``cooldown`` seconds have passed since the account was last acted on, (n,)."""
        acted = distress.last_action[rows]
        rested: B1 = (acted == MISSING) | (tick - acted >= self._duration_in_steps(cooldown))
        return rested

    def select_most_distressed(
        self, rows: I8, risk: MarginAssessment, distress: DistressHistory, tick: int
    ) -> I8:
        """``rows`` by rising equity over maintenance, ties by account, as many as capacity allows.

        Capacity counts accounts: one already acted on in this step may be acted on again without using more.
        """
        equity, maintenance = risk.equity[rows], risk.maintenance[rows]
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
        """A duration in steps, rounded up."""
        return math.ceil(seconds / self._dt - 1e-9) if seconds else 0


def build_close_outs(book: Exposure, equity: F8, weights: F8, rows: I8, quantity: I8) -> CloseOuts:
    """Close-outs through the book at bankruptcy prices, account after account in the order of ``rows``.

    Perpetuals are closed, and spot legs for which the engine asks margin; other spot is the owner's property (LED-3).

    Args:
        book: all accounts, (A, K).
        equity: (A,) minor units of the numeraire.
        weights: (A, K) shares of maintenance.
        rows: (n,) whom to close out.
        quantity: (n, K) lots to trade, signed.
    """
    perpetual = book.market.contracts.kind == PERPETUAL
    prices = compute_limit_prices(book.take(rows), equity[rows], weights[rows])
    account, leg = np.nonzero((quantity != 0) & (perpetual | (weights[rows] > 0)))
    route = np.full(len(leg), ROUTE_BOOK, dtype=np.int64)
    return CloseOuts(rows[account], leg, quantity[account, leg], prices[account, leg], route)
