"""What wrappers share that multiply an inner requirement leg by leg."""

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
    """An inner requirement times a factor of each instrument and side.

    An account is charged its inner margin times the mean factor of its legs, weighted by what each asks alone. Of a
    single leg that is the leg's factor, exactly; of a portfolio it keeps what the inner requirement says of netting.
    """

    part_name = "by volatility"
    """What a breakdown calls the factor's doing."""

    def __init__(self, inner: Requirement) -> None:
        self.inner = inner
        self.factor: F8 | None = None  # (2, K) of longs and shorts; none = one
        self.rate: F8 | None = None  # (2, K) of the inner requirement, when the factor was set

    def account_factor(self, accounts: Exposure) -> F8:
        """The factor of each account, (A,)."""
        if self.factor is None:
            return np.ones(len(accounts.position))
        rate = np.ones_like(self.factor) if self.rate is None else self.rate
        return compute_mean_factor(
            accounts.position, leg_values.compute_lot_values(accounts.market)[0], rate, self.factor
        )

    def compute_margins(self, accounts: Exposure) -> Margins:
        """The inner margins times the factor, (A,)."""
        scale = self.account_factor(accounts)
        initial, maintenance = self.inner.compute_margins(scale_leverage(accounts, scale[:, None]))
        return Margins(scale * initial, scale * maintenance)

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """The inner parts, and what the factor adds."""
        inner = break_down_margins(self.inner, accounts)
        return join_breakdowns(
            inner, {self.part_name: subtract_parts(self.compute_margins(accounts), inner)}
        )

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """The inner shares, weighted by their factors."""
        shares = self.inner.compute_leg_shares(accounts)
        if self.factor is None:
            return shares
        return leg_values.normalise_shares(
            shares * self._pick_side(accounts, self.factor),
            leg_values.compute_gross_notional(accounts),
        )

    @staticmethod
    def _pick_side(accounts: Exposure, table: F8) -> F8:
        """The long's or the short's entry, (A, K)."""
        return np.where(accounts.position >= 0, table[0], table[1])


@kernel
def compute_mean_factor(position: I8, lot_value: F8, rate: F8, factor: F8) -> F8:
    """Mean of the factors (2, K) of each account's legs, weighted by gross value times rate (2, K); one of no leg."""
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
    """An anti-procyclicality tool: from a margin's path so far to what is asked."""

    def adjust_rates(self, rate: F8) -> F8:
        """One more entry of the paths (P,); what is asked instead, (P,)."""
        ...


class AntiProcyclicalityMargin(FactorMargin):
    """A tool at work on the rates of one lot, on a clock of its own.

    Args:
        inner: the requirement that is steadied.
        tool: the rule.
        every: seconds between entries of the path.
        since: seconds of past from which on the inner margin is what it claims; before that nothing is recorded.
    """

    part_name = "steadying"

    def __init__(
        self, inner: Requirement, tool: AntiProcyclicalityTool, every: float, since: float
    ) -> None:
        super().__init__(inner)
        self.tool, self.every, self.since = tool, every, since
        self._turn = 0

    def observe(self, market: MarketView) -> None:
        """The inner requirement learns; on the clock, the tool does too."""
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
