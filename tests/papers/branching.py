"""A market with a known branching ratio: an even density of liquidation prices without an end.

As in `papers.cascade`, the same depth is bid at every tick and the mark is the book's price.
Liquidation prices are drawn independently and evenly over a long way down, so a closed-out account
finds as many below as earlier ones did: a Poisson number of children, of mean R. A seller eats the
book down by a Poisson number of small shocks in every step. A step's rounds are event time: between
them only close-outs move the price.
"""

from typing import NamedTuple

import numpy as np
from papers.cascade import ENDLESS, OPEN
from scipy import stats

from sim.config import MarketConfig
from sim.market import Market
from sim.types import F8, I8, IOC, LIMIT, AccountView, MarketSpec, Observation, Orders

PRICE, REACH, DEPTH = 1_000_000, 200_000, 20
"""First price and how far below it accounts and bids go, ticks; lots bid at each."""

MAINTENANCE = 0.05
"""Farther from bankruptcy than any round falls."""

PER_STEP = 4.0
"""Mean number of shocks, each of which puts one account under in the mean."""


class Chain(NamedTuple):
    """One market."""

    ratio: float  # R: children of each close-out
    accounts: int = 2_000
    seed: int = 1

    @property
    def lots(self) -> int:
        """Lots of each account: its sale moves the price down by the distance of R accounts."""
        lots = self.ratio * DEPTH * REACH / self.accounts
        assert lots == round(lots), f"{lots} lots"
        return round(lots)

    @property
    def shock(self) -> int:
        """Lots of one shock: as far as the mean distance of liquidation prices."""
        return DEPTH * REACH // self.accounts

    @property
    def steps(self) -> int:
        """As many as leave a tenth of the accounts for the end."""
        return 1 + round(0.9 * self.accounts * (1 - self.ratio) / PER_STEP)


class Cast:
    """Common behaviour of the three populations: fixed wealth."""

    n_sides = 1
    n_trait_draws, n_decision_draws, n_cash_flow_draws, has_commitment, latency, fund_venue = (
        0,
        0,
        0,
        False,
        0,
        "",
    )

    def __init__(self, chain: Chain, name: str, count: int = 1, latency: int = 0) -> None:
        self.chain, self.name, self.count, self.latency = chain, name, count, latency

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        return np.full((self.count, 1), ENDLESS)

    def endow_spot(self, lot_value: F8) -> I8:
        return np.zeros((self.count, 0), dtype=np.int64)


class Makers(Cast):
    """One offers the lots of the accounts at the first price; all bid once at every tick below."""

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        if outlook.tick != OPEN:
            return Orders.join([])
        below = np.arange(REACH + REACH // 4)
        slot, who = np.divmod(
            below, self.count
        )  # an owner's orders are looked through one by one: few each
        bids = Orders.from_columns(
            who, 0, np.full(below.size, DEPTH), PRICE - 1 - below, LIMIT, slot
        )
        sold = np.array([self.chain.lots * self.chain.accounts])
        return Orders.join(
            [
                bids,
                Orders.from_columns(
                    np.zeros(1, dtype=np.int64), 0, -sold, PRICE, LIMIT, below.size
                ),
            ]
        )


class Holders(Cast):
    """Accounts of equal lots whose liquidation prices are drawn evenly."""

    n_trait_draws = 1

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        fall = REACH * draws[:, 0]
        return np.rint(self.chain.lots * (fall + MAINTENANCE * (PRICE - fall))).astype(np.int64)[
            :, None
        ]

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        if outlook.tick != OPEN:
            return Orders.join([])
        return Orders.from_columns(
            np.arange(self.count), 0, np.full(self.count, self.chain.lots), PRICE, IOC
        )


class Seller(Cast):
    """Sells a Poisson number of shocks in every step, at any price."""

    n_decision_draws = 1

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        count = stats.poisson.ppf(draws[:, 0], PER_STEP).astype(np.int64)
        if outlook.tick == OPEN or not count[0]:
            return Orders.join([])
        return Orders.from_columns(
            np.zeros(1, dtype=np.int64), 0, -count * self.chain.shock, 1, IOC
        )


def config(chain: Chain) -> MarketConfig:
    """No funding, fees, impact, clamp, band or volatility."""
    tier = {"floor": 0, "max_leverage": 1 / MAINTENANCE, "maintenance": MAINTENANCE}
    listed = {
        "name": "PERP",
        "underlying": "x",
        "tick": 1,
        "lot": 0.01,
        "max_price": PRICE,
        "max_lots": 5_000_000,
    }
    venue = {
        "name": "venue",
        "instruments": [listed],
        "mark": {"kind": "book"},
        "band": 1,
        "liquidation": {"kind": "full"},
    }
    venue["engine"] = {"requirement": {"kind": "tiered", "tiers": [tier]}}
    index = {"name": "x", "start": PRICE, "process": {"kind": "gbm", "volatility": 0}}
    clock = {
        "duration": 60 * chain.steps,
        "profile_every": 60 * max(chain.steps // 60, 1),
        "max_rounds": 2_000,
    }
    return MarketConfig.model_validate({**clock, "underlyings": [index], "venues": [venue]})


def begun(chain: Chain) -> Market:
    """The market before its first step."""
    cast = [
        Makers(chain, "makers", 500),
        Holders(chain, "holders", chain.accounts, 1),
        Seller(chain, "seller", latency=2),
    ]
    return Market(config(chain), lambda _: cast, seed=chain.seed)


def played(chain: Chain) -> Market:
    """The market after its last step."""
    market = begun(chain)
    for _ in range(market.steps_planned):
        market.step()
    market.ledger.check_conservation()
    return market
