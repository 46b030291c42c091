"""What closing a position is likely to cost, by volatility and depth, added to an inner requirement."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.additive import Additive, adds_up, initial_by_leg
from sim.margin.base import AnyRequirement, Wrapper
from sim.margin.breakdown import Itemised, breakdown, joined
from sim.margin.quoted import Quoted
from sim.margin.realised_volatility import Realised
from sim.pricing.instrument_values import clock_of
from sim.protocols import Requirement
from sim.types import F8, Contracts, Exposure, Margins, MarketView


class LiquidationBuffer(Wrapper):
    """M + sum over legs of notional x min(cap, half the spread + z x volatility x sqrt(time to close)).

    Time to close = ``refill`` x lots ÷ (participation x depth within 1%), so the buffer grows faster than the position.
    Our own definition: no clearing house or venue publishes its liquidity add-on with numbers. Spread, depth and
    volatility are those of the engine's last look, once a step. Where a book has emptied the cap is asked; before a
    book is quoted for the first time, and where there is none at all, nothing is.
    """

    kind: Literal["liquidation_buffer"] = Field(default="liquidation_buffer", description="cost of closing (name)")
    inner: AnyRequirement = Field(description="the requirement that is added to (component)")
    participation: float = Field(default=0.2, gt=0, le=1, description="of the depth, in which one would close (share)")
    refill: float = Field(default=300, gt=0, description="time in which taken depth comes back (s)")
    z: float = Field(default=2.33, ge=0, description="standard deviations that are covered (1)")
    half_life: float = Field(default=86_400, gt=0, description="memory of realised volatility (s)")
    reference: float = Field(default=0.5, gt=0, description="volatility it starts from (annualised)")
    cap: float = Field(default=0.2, ge=0, le=1, description="most that is added (share of notional)")

    def bind(self, contracts: Contracts, unit: int) -> "LiquidationBufferMargin":
        """See :class:`RequirementComponent`."""
        return LiquidationBufferMargin(self, self.inner.bind(contracts, unit), contracts)


class LiquidationBufferMargin(Itemised, Additive):
    """One pool's books and volatilities at work."""

    def __init__(self, rule: LiquidationBuffer, inner: Requirement, contracts: Contracts) -> None:
        self.rule, self.inner = rule, inner
        self.realised = Realised(contracts, rule.half_life, rule.reference)
        self.quoted = Quoted(len(contracts.names))
        self.spread = np.zeros(len(contracts.names))  # half of it, share of the mark
        self.depth = np.full(len(contracts.names), np.nan)  # lots; NaN = there was no book yet

    def observe(self, market: MarketView) -> None:
        """The inner requirement learns; spread, depth and volatility are noted."""
        self.inner.observe(market)
        self.realised.observe(market)
        self.quoted.observe(market)
        half = np.nan_to_num(market.ask - market.bid) / 2
        self.spread = np.divide(half, market.mark, out=np.zeros_like(half), where=market.mark > 0)
        self.depth = self.quoted.known(market).depth

    def _legs(self, book: Exposure) -> F8:
        """What is added for each leg, (A, K)."""
        rule = self.rule
        lots = np.abs(book.position)
        pace = rule.participation * self.depth / rule.refill  # lots a second
        with np.errstate(divide="ignore", invalid="ignore"):
            years = np.where(lots > 0, lots / pace, 0.0) / clock_of(book.market)
        rate = self.spread + rule.z * self.realised.volatility * np.sqrt(years)
        return leg_values.notional(book) * np.where(np.isnan(self.depth), 0.0, np.minimum(rate, rule.cap))

    def margins(self, book: Exposure) -> Margins:
        """The inner margins and the buffer, (A,)."""
        initial, maintenance = self.inner.margins(book)
        buffer = self._legs(book).sum(axis=1)
        return Margins(initial + buffer, maintenance + buffer)

    @property
    def adds_up(self) -> bool:
        """If the inner requirement does."""
        return adds_up(self.inner)

    def initial_by_leg(self, book: Exposure) -> F8:
        """See :class:`Additive`."""
        return initial_by_leg(self.inner, book) + self._legs(book)

    def breakdown(self, book: Exposure) -> dict[str, Margins]:
        """The inner parts and the buffer."""
        buffer = self._legs(book).sum(axis=1)
        return joined(breakdown(self.inner, book), {"cost of closing": Margins(buffer, buffer)})

    def shares(self, book: Exposure) -> F8:
        """Inner shares of the inner maintenance, and each leg's own buffer."""
        own = self.inner.shares(book) * self.inner.margins(book).maintenance[:, None]
        return leg_values.shares(own + self._legs(book), leg_values.gross(book))
