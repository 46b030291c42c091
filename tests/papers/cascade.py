"""A market in which the cascade condition holds exactly (targets A5): a static linear book.

A maker offers once, at the first price, all lots of the accounts, and bids ``depth`` lots on every
tick below. In the first step each account buys the same lots with the wealth that puts its
liquidation price on its place of an even grid. No offer is left then, so that the mark of kind
``book`` is the last trade: the price to which the book has been eaten. In the second step one
seller, with no regard to price, eats the book down by the shock.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from sim.config import MarketConfig
from sim.market import Market
from sim.types import F8, I8, IOC, LIMIT, AccountView, MarketSpec, Observation, Orders

PRICE = 100_000
"""First price, ticks. A tick and lot is worth one minor unit."""

REACH = 25_000
"""How far below the first price liquidation prices and bids go, ticks."""

OPEN, SHOCK = 1, 2
"""Steps."""

ENDLESS = 10**14
"""Wealth that no loss here exhausts, minor units."""


class Setup(NamedTuple):
    """One cascade."""

    ratio: float  # R: lots liquidated per tick of fall over lots bid per tick
    maintenance: float  # maintenance margin over notional
    accounts: int = 2_500
    shock: int = 2_000  # ticks
    max_rounds: int = 200

    @property
    def depth(self) -> int:
        """Lots bid at each tick: accounts hold whole lots if R is a multiple of 1/20."""
        return max(20 * self.accounts // REACH, 20)

    @property
    def lots(self) -> int:
        """Lots of each account: R = lots * accounts / reach / depth."""
        lots = self.ratio * self.depth * REACH / self.accounts
        assert lots == round(lots), f"{lots} lots"
        return round(lots)


@dataclass
class Cast:
    """Common behaviour of the three populations: fixed wealth and no draws."""

    setup: Setup
    name: str = ""
    count: int = 1
    n_sides: int = 1
    n_trait_draws: int = 0
    n_decision_draws: int = 0
    n_cash_flow_draws: int = 0
    has_commitment: bool = False
    latency: int = 0
    fund_venue: str = ""

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        return np.full((self.count, 1), ENDLESS)

    def endow_spot(self, lot_value: F8) -> I8:
        return np.zeros((self.count, 0), dtype=np.int64)


class Maker(Cast):
    """Offers the lots of the accounts at the first price; bids one depth at every tick below."""

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        if outlook.tick != OPEN:
            return Orders.join([])
        below = np.arange(REACH)
        bids = Orders.from_columns(
            np.zeros_like(below),
            0,
            np.full(REACH, self.setup.depth),
            PRICE - 1 - below,
            LIMIT,
            below,
        )
        sold = np.array([self.setup.lots * self.setup.accounts])
        return Orders.join(
            [bids, Orders.from_columns(np.zeros(1, dtype=np.int64), 0, -sold, PRICE, LIMIT, REACH)]
        )


class Grid(Cast):
    """Accounts of equal lots; liquidation prices are the middles of equal parts of the reach."""

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        fall = REACH * (np.arange(self.count) + 0.5) / self.count
        # at a price of PRICE - fall: wealth - lots * fall = maintenance * lots * price
        wealth = self.setup.lots * (fall + self.setup.maintenance * (PRICE - fall))
        return np.rint(wealth).astype(np.int64)[:, None]

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        if outlook.tick != OPEN:
            return Orders.join([])
        return Orders.from_columns(
            np.arange(self.count), 0, np.full(self.count, self.setup.lots), PRICE, IOC
        )


class Seller(Cast):
    """Eats the book down by the shock, once."""

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        if outlook.tick != SHOCK:
            return Orders.join([])
        lots = np.array([-self.setup.shock * self.setup.depth])
        return Orders.from_columns(
            np.zeros(1, dtype=np.int64), 0, lots, PRICE - self.setup.shock, IOC
        )


def config(setup: Setup) -> MarketConfig:
    """No funding, fees, impact, clamp, band or volatility."""
    rate = setup.maintenance
    tier = {"floor": 0, "max_leverage": 1 / max(rate, 1e-9), "maintenance": rate}
    listed = {
        "name": "PERP",
        "underlying": "x",
        "tick": 1,
        "lot": 0.01,
        "max_price": PRICE,
        "max_lots": 10**7 * 5,
    }
    venue = {
        "name": "venue",
        "instruments": [listed],
        "engine": {"requirement": {"kind": "tiered", "tiers": [tier]}},
        "mark": {"kind": "book"},
        "band": 1,
        "liquidation": {"kind": "full"},
    }
    index = {"name": "x", "start": PRICE, "process": {"kind": "gbm", "volatility": 0}}
    return MarketConfig.model_validate(
        {"duration": 120, "underlyings": [index], "venues": [venue], "max_rounds": setup.max_rounds}
    )


def opened(setup: Setup) -> Market:
    """Return the market after its first step: all positions open, the mark at the first price."""
    cast = [
        Maker(setup, "maker"),
        Grid(setup, "grid", setup.accounts, latency=1),
        Seller(setup, "seller", latency=2),
    ]
    market = Market(config(setup), lambda _: cast, seed=0)
    market.step()
    return market


def amplification(setup: Setup) -> float:
    """Total drop of the mark over the shock."""
    market = opened(setup)
    market.step()
    return (PRICE - market.venues[0].view.mark[0]) / setup.shock


Turn = Literal["most distressed", "any", "least distressed"]


def recursion(setup: Setup, turn: Turn = "most distressed") -> float:
    """The same drop over the shock by the rules alone, in floats, without market, ledger or book.

    Round after round, accounts with a liquidation price above the mark sell in turn, down to the
    bankruptcy price at most. A bankrupt account is closed out once.

    Args:
        setup: the cascade; ``max_rounds`` bounds it.
        turn: who sells first within a round. Any: a fixed random order.
    """
    price = PRICE - REACH * (np.arange(setup.accounts) + 0.5) / setup.accounts
    floor = price * (1 - setup.maintenance)
    left = np.full(
        setup.accounts, setup.ratio * REACH / setup.accounts
    )  # of lots, as ticks of the book
    asked = np.zeros(setup.accounts, dtype=bool)
    lottery = np.random.default_rng(0).random(setup.accounts)
    mark = float(PRICE - setup.shock)
    for _ in range(setup.max_rounds):
        sellers = np.flatnonzero((price > mark) & (left > 0) & ~(asked & (floor > mark)))
        if turn == "any":
            sellers = sellers[np.argsort(lottery[sellers])]
        before = mark
        for seller in sellers[::-1] if turn == "least distressed" else sellers:
            taken = min(max(mark - floor[seller], 0.0), left[seller])
            left[seller] -= taken
            mark -= taken
        asked[sellers] = True
        if mark == before:
            break
    return (PRICE - mark) / setup.shock
