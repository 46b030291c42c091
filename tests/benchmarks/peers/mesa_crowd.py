"""The crowd as Mesa models are usually written: one object per trader, a plain Python book."""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

import mesa
from benchmarks.markets import LOTS, START, TICKS

BUY, SELL = 1, -1


class Order:
    """Remainder of one limit order."""

    __slots__ = ("lots", "owner", "price")

    def __init__(self, owner: "Trader", lots: int, price: int) -> None:
        self.owner, self.lots, self.price = owner, lots, price


class Book:
    """Two heaps in price-time priority; cancelled orders leave when they come to the top."""

    def __init__(self) -> None:
        self.queues: dict[int, list[tuple[int, int, Order]]] = {BUY: [], SELL: []}
        self.arrived, self.last = 0, START

    def place(self, side: int, order: Order) -> None:
        """Trade with what crosses, then rest."""
        queue = self.queues[-side]
        while order.lots and queue:
            _, _, best = queue[0]
            if best.lots and side * (best.price - order.price) > 0:
                break
            traded = min(order.lots, best.lots)
            if traded and best.owner is not order.owner:
                order.lots -= traded
                best.lots -= traded
                self.last = best.price
            else:
                best.lots = 0
            if not best.lots:
                heappop(queue)
        if order.lots:
            self.arrived += 1
            heappush(self.queues[side], (-side * order.price, self.arrived, order))


class Trader(mesa.Agent):
    """Replaces its one limit order each step."""

    def __init__(self, model: "Exchange") -> None:
        super().__init__(model)
        self.order = Order(self, 0, START)

    def step(self) -> None:
        """One order."""
        draw: Callable[[], float] = self.model.draw
        self.order.lots = 0
        price = self.model.middle - TICKS + int(draw() * (2 * TICKS + 1))
        self.order = Order(self, 1 + int(draw() * LOTS), price)
        self.model.book.place(BUY if draw() < 0.5 else SELL, self.order)


class Exchange(mesa.Model):
    """Traders step in random order."""

    def __init__(self, members: int) -> None:
        super().__init__(rng=1)
        self.book, self.middle, self.draw = Book(), START, Random(1).random
        Trader.create_agents(self, members)

    def step(self) -> None:
        """Let every trader send an order about the last price."""
        self.middle = self.book.last
        self.agents.shuffle_do("step")


def crowd(members: int) -> Callable[[], None]:
    """One step of a market of ``members`` traders."""
    return Exchange(members).step
