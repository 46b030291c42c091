"""Carry traders: they sell a perpetual that pays and hold its spot, or the reverse (AGT-1, LED-3)."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from agents.base import DAY, Trader
from agents.leveraged import LeveragedTrader, LognormalLeverage
from agents.shared.commitment import WalletCommitment, has_separate_wallet
from agents.shared.hedging import HedgedPairs, pair_with_spot
from sim.cash_flows import CashFlows
from sim.pricing.instrument_values import find_seconds_per_year
from sim.types import (
    B1,
    F8,
    I8,
    MISSING,
    VENUE_MAX_LEVERAGE,
    AccountView,
    MarginAssessment,
    MarketSpec,
    Observation,
    Orders,
)


class CarryTrader(LeveragedTrader):
    """A member of a population of carry traders."""


class CarryTraders(LognormalLeverage):
    """Traders who hold a perpetual against spot for what it pays, without a view on the price.

    What it pays a year is the last funding rate over its interval, and the basis over the mean time held, in which
    it is expected to close; a moving average of the sum decides. They enter above ``enter`` (long spot, short the
    perpetual), with ``reverse`` also below its negative, and leave by time or below ``exit``. Spot follows the
    perpetual's position as an arbitrageur's does; a position whose hedge could not be had for two steps is left.

    Where wallets lie apart from margin accounts, members who hold a perpetual and lack no hedge keep their wallets
    committed to its account (ISO-1). With spot at the same venue a perpetual is entered at the engine's highest
    leverage, so that the wallet pays for the hedge first.
    """

    agent_class: ClassVar[type[Trader]] = CarryTrader
    is_hedged: ClassVar[bool] = True

    kind: Literal["carry"] = "carry"
    name: str = Field(
        "carry", min_length=1, description="name of the population, unique in the market (text)"
    )
    leverage: float = Field(
        1.0, gt=0, description="median leverage wished at the reference leverage (times equity)"
    )
    leverage_sigma: float = Field(0.3, ge=0, description="standard deviation of log leverage (1)")
    hold: float = Field(7 * DAY, gt=0, description="mean time a position is held (seconds)")
    spot_venue: str = Field(
        min_length=1, description="venue that lists spot, may be the same (name)"
    )
    spot_share: float = Field(
        0.5, gt=0, lt=1, description="share of wealth kept at the spot venue if another (share)"
    )
    enter: float = Field(0.1, gt=0, description="carry that opens (share per year)")
    exit: float = Field(0.0, description="carry below which a position is left (share per year)")
    reverse: bool = Field(
        True, description="whether they short spot where the carry is negative (yes or no)"
    )
    funding_interval: float = Field(
        28_800.0, gt=0, description="time that a funding rate pays for (seconds)"
    )
    carry_half_life: float = Field(
        3600.0, gt=0, description="half-life of the carry's moving average (seconds)"
    )
    hedge_slippage: float = Field(
        20.0, ge=0, description="worst hedge accepted, distance from index (basis points)"
    )

    _pairs: HedgedPairs = PrivateAttr()
    _carry_average: F8 | None = PrivateAttr(None)  # (m,) share per year, before the first look None
    _lacks_hedge: B1 = PrivateAttr()  # (n,) who lacked a hedge at the last tick
    _lacked_hedge_twice: B1 = PrivateAttr()  # (n,) and at the tick before
    _hedge_check_tick: int = PrivateAttr(MISSING)  # tick of that look

    @model_validator(mode="after")
    def _check_exit_below_enter(self) -> Self:
        """An exit above the entry would open and close at once."""
        if self.exit >= self.enter:
            raise ValueError(
                f"exit: {self.exit:.15g} must be below enter = {self.enter:.15g}, lower it or raise enter"
            )
        return self

    def _place_wealth(self, setting: MarketSpec, wealth: F8) -> I8:
        """Part of it at the spot venue, if that is another."""
        self._pairs = pair_with_spot(self, setting, self._members.scope, self.spot_venue)
        self._lacks_hedge, self._lacked_hedge_twice = np.zeros((2, self.count), dtype=np.bool_)
        if has_separate_wallet(
            setting, self._members.scope.venue
        ):  # a member holds one perpetual at a time
            self._commitment = WalletCommitment(*self._members.scope)
        return self._pairs.place_wealth(self, setting, wealth, self.spot_share)

    def request_cash_flows(
        self, outlook: Observation, accounts: AccountView, standing: MarginAssessment, draws: F8
    ) -> CashFlows:
        """What members' capital does, and wallets of the others into the accounts of perpetuals that are hedged."""
        managed = super().request_cash_flows(outlook, accounts, standing, draws)
        if self._commitment is None:
            return managed
        held = accounts.position[:, self._commitment.instruments] != 0
        hedged = (self._pairs.missing_hedges(accounts) == 0).all(axis=1)
        hedged[managed.owner] = False
        committed = self._commitment.commit_wallets(
            outlook, accounts, standing, held & hedged[:, None]
        )
        return CashFlows.join([managed, committed])

    def _choose_leverage(self, leverage: F8, highest: F8) -> I8:
        """The highest where the wallet still has to pay for spot."""
        joint = self._pairs.spot.venue == self._pairs.perp.venue
        return (
            np.full(leverage.size, VENUE_MAX_LEVERAGE)
            if joint
            else super()._choose_leverage(leverage, highest)
        )

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Entries and exits of the perpetual, and everybody's hedges."""
        missing = self._pairs.missing_hedges(accounts)
        if outlook.tick != self._hedge_check_tick:
            bare = (missing != 0).any(axis=1)
            self._lacked_hedge_twice, self._lacks_hedge, self._hedge_check_tick = (
                self._lacks_hedge & bare,
                bare,
                outlook.tick,
            )
        hedges = self._pairs.create_hedge_orders(missing, outlook, self.hedge_slippage)
        return Orders.join([super().decide(outlook, accounts, draws), hedges])

    def _observe_prices(self, outlook: Observation) -> None:
        view, columns = self._members.scope.view(outlook)
        basis = view.mark[columns] / self._pairs.perp.index_ticks(outlook) - 1
        year = find_seconds_per_year(view)[columns]
        now = view.funding[columns] * (year / self.funding_interval) + basis * (year / self.hold)
        if self._carry_average is None:
            self._carry_average = np.zeros_like(now)
        learn = 1 - 0.5 ** (outlook.dt / self.carry_half_life)
        self._carry_average = self._carry_average + learn * (now - self._carry_average)

    def _paid_side(self) -> F8:
        """Side of the perpetual that is paid enough to enter, (m,); nil = neither."""
        carry = np.zeros(0) if self._carry_average is None else self._carry_average
        enough = (carry > self.enter) | (self.reverse & (carry < -self.enter))
        return np.where(enough, -np.sign(carry), 0.0)

    def _entry_probabilities(self, outlook: Observation) -> F8:
        return np.where(self._paid_side() != 0, self._members.entry_probability, 0.0)

    def _signals(self, rows: I8, columns: I8, outlook: Observation, draws: F8) -> F8:
        opinions: F8 = self._paid_side()[columns] * self._members.target_leverage[rows]
        return opinions

    def _affordable_leverage(
        self, rows: I8, chosen: I8, outlook: Observation, accounts: AccountView
    ) -> F8:
        """No more than the other leg's venue carries, either."""
        perp, spot, _ = self._pairs
        twin = spot.instruments[np.searchsorted(perp.instruments, chosen)]
        equity = accounts.equity[rows, perp.venue]
        capital = (
            self.cap
            * outlook.max_leverage[twin]
            * np.maximum(accounts.equity[rows, spot.venue], 0.0)
        )
        if spot.venue == perp.venue:  # one account pays for both legs
            capital = equity / (
                1 / (self.cap * outlook.max_leverage[twin])
                + 1 / (self.cap * outlook.max_leverage[chosen])
            )
        most = np.divide(capital, equity, out=np.zeros_like(equity), where=equity > 0)
        return np.fmin(super()._affordable_leverage(rows, chosen, outlook, accounts), most)

    def _early_exits(self, held: I8, outlook: Observation, accounts: AccountView) -> B1 | None:
        """Whose carry is gone, or whose hedge could not be had."""
        carry = np.zeros(held.shape[1]) if self._carry_average is None else self._carry_average
        gone: B1 = ((held != 0) & (-np.sign(held) * carry < self.exit)).any(axis=1)
        return gone | self._lacked_hedge_twice
