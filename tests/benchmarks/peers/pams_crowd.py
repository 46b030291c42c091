"""The crowd on PAMS: one agent object each, orders of one step, cash and shares, no margin."""

from collections.abc import Callable
from random import Random
from typing import Any

from benchmarks.markets import LOTS, START, TICKS
from pams.agents import Agent
from pams.order import LIMIT_ORDER, Order
from pams.runners import SequentialRunner


class Crowd(Agent):  # type: ignore[misc]
    """One limit order about the market price each step."""

    def submit_orders(self, markets: list[Any]) -> list[Order]:
        """PAMS's hook."""
        market, draw = markets[0], self.prng.random
        price = market.get_market_price() - TICKS + int(draw() * (2 * TICKS + 1))
        lots, buys = 1 + int(draw() * LOTS), draw() < 0.5
        return [Order(self.agent_id, market.market_id, buys, LIMIT_ORDER, lots, price=price, ttl=1)]


def crowd(members: int, steps: int) -> Callable[[], None]:
    """A run of ``steps`` steps, once; setting up is not part of it."""
    session = {
        "sessionName": 0,
        "iterationSteps": steps,
        "maxNormalOrders": members,
        "highFrequencySubmitRate": 0.0,
    }
    session |= {"withOrderPlacement": True, "withOrderExecution": True, "withPrint": False}
    settings = {
        "simulation": {"markets": ["Market"], "agents": ["Members"], "sessions": [session]},
        "Market": {"class": "Market", "tickSize": 1.0, "marketPrice": START},
        "Members": {
            "class": "Crowd",
            "numAgents": members,
            "markets": ["Market"],
            "assetVolume": 50,
            "cashAmount": 1e6,
        },
    }
    runner = SequentialRunner(settings, Random(1))
    runner.class_register(Crowd)
    runner._setup()
    run: Callable[[], None] = runner._run
    return run
