"""Makers' gain in a market like the baseline, and the index's share since they quoted (BOOK-2)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from papers import calm

from agents import populate
from agents.arbitrageurs import Arbitrageur
from agents.base import Trader
from agents.ladders import MarketMaker
from experiments.config import load_run
from sim.market import Market
from sim.metrics.calm_benchmarks import measure_markout
from sim.types import B1, F8, I8, Fills

HOURS, SINCE = 4, 120
"""Length of a run, and the step after which it counts: by then the traders have entered."""

PERPETUAL = 0
"""Number of the baseline's perpetual; its tick is one unit of the quote currency."""

BP = 1e4


class Deals(NamedTuple):
    """Trades of makers' quotes, (n,)."""

    step: I8
    quoted: I8  # step in which the maker had sent its ladder
    lots: I8  # + the maker bought
    price: I8  # ticks
    taker: I8  # owner


class Tape:
    """Records trades between a market and its books, and the last quote of each resting side."""

    def __init__(self, market: Market) -> None:
        self._market, self._trade = market, market.order_books.trade
        self._last = np.zeros(market.state.n_owners, dtype=np.int64)
        self._parts: list[Deals] = []
        self._makers = owners(market, MarketMaker)
        market.order_books.trade = self  # type: ignore[method-assign, assignment]

    def __call__(self, orders: I8, *state: I8) -> Fills:
        """Trades of a step's orders, makers' ladders first, as their latency class is."""
        tick = self._market.tick
        self._last[orders[:, 0]] = tick
        fills = self._trade(orders, *state)
        here = self._makers[fills.maker] & (fills.instrument == PERPETUAL) & (tick > SINCE)
        step, lots = np.full(here.sum(), tick), -fills.quantity[here]
        self._parts.append(
            Deals(step, self._last[fills.maker[here]], lots, fills.price[here], fills.taker[here])
        )
        return fills

    def deals(self) -> Deals:
        """All that was noted."""
        return Deals(*(np.concatenate(column) for column in zip(*self._parts, strict=True)))


def owners(market: Market, kind: type[Trader]) -> B1:
    """Return a mask of the owners of a kind."""
    found = np.zeros(market.state.n_owners, dtype=np.bool_)
    found[[member.owner for member in market.agents.select(agent_type=kind)]] = True
    return found


def figures(overrides: Sequence[str], seed: int) -> dict[str, float]:
    """Basis points of makers' volume: gain at the oracle, quoted spread, moves of the oracle.

    A quote that traded gained lots * (oracle - price). That is the spread it quoted when placed,
    lots * (oracle then - price), and the later move of the oracle, lots * (oracle - oracle then):
    below zero, the quote was picked off.
    """
    config = load_run(
        "baseline", [f"duration={3600 * HOURS}", "populations.0.count=300", *overrides]
    )
    market = Market(config, populate(config.populations), seed=seed)
    tape = Tape(market)
    while market.tick < market.steps_planned:
        market.step()
    steps = market.recorder.frames()["steps"]
    steps = steps[steps["instrument"] == calm.PERPETUAL]
    counted = steps[steps["step"] > SINCE]
    return split(tape.deals(), steps["oracle"].to_numpy(), owners(market, Arbitrageur)) | {
        "at_mark": BP * measure_markout(counted, calm.WORTH),
        "spread": BP * float(((counted["ask"] - counted["bid"]) / counted["mid"]).median()),
    }


def split(deals: Deals, oracle: F8, arbitrageurs: B1) -> dict[str, float]:
    """Parts of the gain, from the oracle (n,) of steps 1 to n."""
    now, then = oracle[deals.step - 1], oracle[deals.quoted - 1]
    volume = np.abs(deals.lots) @ now
    moved = deals.lots * (now - then)
    return {
        "gain": BP * float(deals.lots @ (now - deals.price) / volume),
        "quoted": BP * float(deals.lots @ (then - deals.price) / volume),
        "moved": BP * float(moved.sum() / volume),
        "to_arbitrageurs": BP * float(moved[arbitrageurs[deals.taker]].sum() / volume),
        "their_volume": float((np.abs(deals.lots) * now)[arbitrageurs[deals.taker]].sum() / volume),
        "age": float(np.abs(deals.lots) @ (deals.step - deals.quoted) / np.abs(deals.lots).sum()),
        "volume": float(volume) * calm.WORTH / 100,
    }
