"""Bases of wrappers that multiply an inner requirement leg by leg."""

from typing import Protocol

import numpy as np

from sim.margin import leg_values
from sim.margin.breakdown import (
    ItemisedRequirement,
    break_down_margins,
    join_breakdowns,
    subtract_parts,
)
from sim.margin.probe_portfolio import compute_margin_rates
from sim.margin.tail.models.history import count_rows
from sim.margin.wrappers.rescaled import scale_leverage
from sim.numerics.jit import kernel
from sim.protocols import Requirement
from sim.types import F8, I8, Exposure, Margins, MarketView


class FactorMargin(ItemisedRequirement):
    """Inner requirement times a factor of each instrument and side.

    An account's inner margin is multiplied by the mean factor of its legs, weighted by their
    standalone margins. For a single leg, that is exactly the leg's factor. For a portfolio, the
    netting of the inner requirement is kept.
    """

    part_name = "by volatility"
    """Name of the factor's part in a breakdown."""

    def __init__(self, inner: Requirement) -> None:
        self.inner = inner
        self.factor: F8 | None = None  # (2, K) of longs and shorts; None = all ones
        self.rate: F8 | None = None  # (2, K) inner margin rates when the factor was set

    def account_factor(self, accounts: Exposure) -> F8:
        """Return the factor of each account, (A,)."""
        if self.factor is None:
            return np.ones(len(accounts.position))
        rate = np.ones_like(self.factor) if self.rate is None else self.rate
        return compute_mean_factor(
            accounts.position, leg_values.compute_lot_values(accounts.market)[0], rate, self.factor
        )

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the inner margins times the factor, (A,)."""
        scale = self.account_factor(accounts)
        initial, maintenance = self.inner.compute_margins(scale_leverage(accounts, scale[:, None]))
        return Margins(scale * initial, scale * maintenance)

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Return the inner parts, and the part that the factor adds."""
        inner = break_down_margins(self.inner, accounts)
        return join_breakdowns(
            inner, {self.part_name: subtract_parts(self.compute_margins(accounts), inner)}
        )

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return the inner shares, weighted by their factors."""
        shares = self.inner.compute_leg_shares(accounts)
        if self.factor is None:
            return shares
        return leg_values.normalise_shares(
            shares * self._pick_side(accounts, self.factor),
            leg_values.compute_gross_notional(accounts),
        )

    @staticmethod
    def _pick_side(accounts: Exposure, table: F8) -> F8:
        """Return the table's entry of the position's side, (A, K)."""
        return np.where(accounts.position >= 0, table[0], table[1])


@kernel
def compute_mean_factor(position: I8, lot_value: F8, rate: F8, factor: F8) -> F8:
    """Return the mean of the factors (2, K) of each account's legs, (A,).

    Factors are weighted by gross value times rate (2, K). The mean of an account without legs is
    one.
    """
    accounts, instruments = position.shape
    mean = np.ones(accounts)
    for a in range(accounts):
        total, weighted = 0.0, 0.0
        for k in range(instruments):
            side = 0 if position[a, k] >= 0 else 1
            alone = abs(position[a, k]) * lot_value[k] * rate[side, k]
            total += alone
            weighted += alone * factor[side, k]
        if total > 0:
            mean[a] = weighted / total
    return mean


class AntiProcyclicalityTool(Protocol):
    """Anti-procyclicality tool: it maps the path of a margin to the margin that applies."""

    def adjust_rates(self, rate: F8) -> F8:
        """Record one more entry of the paths, (P,), and return the rates that apply, (P,)."""
        ...


class AntiProcyclicalityMargin(FactorMargin):
    """Anti-procyclicality tool applied to the rates of one lot, on a clock of its own.

    Args:
        inner: requirement that is smoothed.
        tool: the rule.
        every: seconds between entries of the path.
        since: seconds of past that the inner requirement needs; nothing is recorded before.
    """

    part_name = "steadying"

    def __init__(
        self, inner: Requirement, tool: AntiProcyclicalityTool, every: float, since: float
    ) -> None:
        super().__init__(inner)
        self.tool, self.every, self.since = tool, every, since
        self._turn = 0

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement; on the clock, also update the tool."""
        self.inner.observe(market)
        rows = len(market.returns)
        turn = rows // count_rows(self.every, market.dt)
        if turn > self._turn and rows * market.dt >= self.since * (1 - 1e-12):
            self._turn = turn
            self.rate = compute_margin_rates(self.inner, market)
            required = self.tool.adjust_rates(self.rate.ravel()).reshape(self.rate.shape)
            self.factor = np.divide(
                required, self.rate, out=np.ones_like(required), where=self.rate > 0
            )
