"""Carry traders: they sell a perpetual that pays and hold its spot, or the reverse (AGT-1, LED-3)."""

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from agents.base import DAY, Participant
from agents.commitment import Commitment, apart
from agents.hedging import Pairs, paired
from agents.leveraged import Tasteful, Trader
from sim.flows import Payments
from sim.pricing import clock_of
from sim.types import B1, F8, HIGHEST, I8, NOBODY, AccountView, Orders, Outlook, Risk, Setting


class CarryTrader(Trader):
    """A member of a population of carry traders."""


class Carry(Tasteful):
    """Traders who hold a perpetual against spot for what it pays, without a view on the price.

    What it pays a year is the last funding rate over its interval, and the basis over the mean time held, in which
    it is expected to close; a moving average of the sum decides. They enter above ``enter`` (long spot, short the
    perpetual), with ``reverse`` also below its negative, and leave by time or below ``exit``. Spot follows the
    perpetual's position as an arbitrageur's does; a position whose hedge could not be had for two steps is left.

    Where wallets lie apart from margin accounts, members who hold a perpetual and lack no hedge keep their wallets
    committed to its account (ISO-1). With spot at the same venue a perpetual is entered at the engine's highest
    leverage, so that the wallet pays for the hedge first.
    """

    agent: ClassVar[type[Participant]] = CarryTrader
    hedged: ClassVar[bool] = True

    kind: Literal["carry"] = "carry"
    name: str = Field("carry", min_length=1, description="name of the population, unique in the market (text)")
    leverage: float = Field(1.0, gt=0, description="median leverage wished at the reference leverage (times equity)")
    leverage_sigma: float = Field(0.3, ge=0, description="standard deviation of log leverage (1)")
    hold: float = Field(7 * DAY, gt=0, description="mean time a position is held (seconds)")
    spot_venue: str = Field(min_length=1, description="venue that lists spot, may be the same (name)")
    spot_share: float = Field(0.5, gt=0, lt=1, description="share of wealth kept at the spot venue if another (share)")
    enter: float = Field(0.1, gt=0, description="carry that opens (share per year)")
    exit: float = Field(0.0, description="carry below which a position is left (share per year)")
    reverse: bool = Field(True, description="whether they short spot where the carry is negative (yes or no)")
    funding_interval: float = Field(28_800.0, gt=0, description="time that a funding rate pays for (seconds)")
    carry_half_life: float = Field(3600.0, gt=0, description="half-life of the carry's moving average (seconds)")
    hedge_slippage: float = Field(20.0, ge=0, description="worst hedge accepted, distance from index (basis points)")

    _pairs: Pairs = PrivateAttr()
    _carry: F8 | None = PrivateAttr(None)  # (m,) share per year, before the first look None
    _bare: B1 = PrivateAttr()  # (n,) who lacked a hedge at the last tick
    _twice: B1 = PrivateAttr()  # (n,) and at the tick before
    _checked: int = PrivateAttr(NOBODY)  # tick of that look

    @model_validator(mode="after")
    def _exit_below_enter(self) -> Self:
        """An exit above the entry would open and close at once."""
        if self.exit >= self.enter:
            raise ValueError(f"exit: {self.exit:.15g} must be below enter = {self.enter:.15g}, lower it or raise enter")
        return self

    def _placed(self, setting: Setting, wealth: F8) -> I8:
        """Part of it at the spot venue, if that is another."""
        self._pairs = paired(self, setting, self._members.stall, self.spot_venue)
        self._bare, self._twice = np.zeros((2, self.count), dtype=np.bool_)
        if apart(setting, self._members.stall.venue):  # a member holds one perpetual at a time
            self._commitment = Commitment(*self._members.stall)
        return self._pairs.placed(self, setting, wealth, self.spot_share)

    def pay(self, outlook: Outlook, accounts: AccountView, standing: Risk, draws: F8) -> Payments:
        """What members' capital does, and wallets of the others into the accounts of perpetuals that are hedged."""
        managed = super().pay(outlook, accounts, standing, draws)
        if self._commitment is None:
            return managed
        held = accounts.position[:, self._commitment.instruments] != 0
        hedged = (self._pairs.missing(accounts) == 0).all(axis=1)
        hedged[managed.owner] = False
        committed = self._commitment.pay(outlook, accounts, standing, held & hedged[:, None])
        return Payments.join([managed, committed])

    def _chosen(self, leverage: F8, highest: F8) -> I8:
        """The highest where the wallet still has to pay for spot."""
        joint = self._pairs.spot.venue == self._pairs.perp.venue
        return np.full(leverage.size, HIGHEST) if joint else super()._chosen(leverage, highest)

    def decide(self, outlook: Outlook, accounts: AccountView, draws: F8) -> Orders:
        """Entries and exits of the perpetual, and everybody's hedges."""
        missing = self._pairs.missing(accounts)
        if outlook.tick != self._checked:
            bare = (missing != 0).any(axis=1)
            self._twice, self._bare, self._checked = self._bare & bare, bare, outlook.tick
        hedges = self._pairs.hedges(missing, outlook, self.hedge_slippage)
        return Orders.join([super().decide(outlook, accounts, draws), hedges])

    def _learn(self, outlook: Outlook) -> None:
        view, columns = self._members.stall.look(outlook)
        basis = view.mark[columns] / self._pairs.perp.fair(outlook) - 1
        year = clock_of(view)[columns]
        now = view.funding[columns] * (year / self.funding_interval) + basis * (year / self.hold)
        if self._carry is None:
            self._carry = np.zeros_like(now)
        learn = 1 - 0.5 ** (outlook.dt / self.carry_half_life)
        self._carry = self._carry + learn * (now - self._carry)

    def _paying(self) -> F8:
        """Side of the perpetual that is paid enough to enter, (m,); nil = neither."""
        carry = np.zeros(0) if self._carry is None else self._carry
        enough = (carry > self.enter) | (self.reverse & (carry < -self.enter))
        return np.where(enough, -np.sign(carry), 0.0)

    def _hazards(self, outlook: Outlook) -> F8:
        return np.where(self._paying() != 0, self._members.enter, 0.0)

    def _opinions(self, rows: I8, columns: I8, outlook: Outlook, draws: F8) -> F8:
        opinions: F8 = self._paying()[columns] * self._members.taste[rows]
        return opinions

    def _affordable(self, rows: I8, chosen: I8, outlook: Outlook, accounts: AccountView) -> F8:
        """No more than the other leg's venue carries, either."""
        perp, spot, _ = self._pairs
        twin = spot.instruments[np.searchsorted(perp.instruments, chosen)]
        equity = accounts.equity[rows, perp.venue]
        capital = self.cap * outlook.leverage[twin] * np.maximum(accounts.equity[rows, spot.venue], 0.0)
        if spot.venue == perp.venue:  # one account pays for both legs
            capital = equity / (1 / (self.cap * outlook.leverage[twin]) + 1 / (self.cap * outlook.leverage[chosen]))
        most = np.divide(capital, equity, out=np.zeros_like(equity), where=equity > 0)
        return np.fmin(super()._affordable(rows, chosen, outlook, accounts), most)

    def _regrets(self, held: I8, outlook: Outlook, accounts: AccountView) -> B1 | None:
        """Whose carry is gone, or whose hedge could not be had."""
        carry = np.zeros(held.shape[1]) if self._carry is None else self._carry
        gone: B1 = ((held != 0) & (-np.sign(held) * carry < self.exit)).any(axis=1)
        return gone | self._twice
