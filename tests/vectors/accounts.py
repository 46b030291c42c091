"""One account out of a case's decimal numbers, in the whole units of the market's own records."""

import math
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from sim.liquidation.prices import find_liquidation_prices
from sim.margin.engine import EngineConfig, MarginEngine
from sim.types import PERPETUAL, Contracts, Exposure, MarketView

SIGN = {"long": 1.0, "short": -1.0, "sell": 1.0, "buy": -1.0}


class Leg(NamedTuple):
    """A position."""

    quantity: float  # signed
    mark: float
    entry: float | None = None  # the mark if not given
    leverage: float = math.inf  # chosen
    part: float = 0.0  # another quantity of it that a case speaks of: must be whole lots, too


class Account:
    """An account with its engine.

    Args:
        cash: wallet balance: equity less unrealised profit.
        legs: positions by instrument.
        engine: configuration of the engine.
        decimals: of the numeraire; as many as the amounts leave room for if not given.
        interest: open interest in each instrument, units of the underlying.
        orders: lots bid and offered of the first instrument, whole units of the underlying.
    """

    def __init__(
        self,
        cash: float,
        legs: dict[str, Leg],
        engine: dict[str, Any],
        *,
        decimals: int | None = None,
        interest: float = 0.0,
        orders: tuple[float, float] = (0, 0),
    ) -> None:
        size = max(
            [
                abs(cash),
                1.0,
                *(abs(leg.quantity) * max(leg.mark, leg.entry or 0.0) for leg in legs.values()),
            ]
        )
        self.decimals = min(12, int(math.log10(2**50 / size))) if decimals is None else decimals
        self.unit = 10**self.decimals
        lot = [
            Decimal(1).scaleb(-max(_places(leg.quantity), _places(leg.part)))
            for leg in legs.values()
        ]
        # a tick of a lot is one minor unit: the mark need not be a whole number of ticks
        self.tick = np.array([float(Decimal(1).scaleb(-self.decimals) / each) for each in lot])
        contracts, lots = (
            _contracts(tuple(legs), self.tick, np.array([float(each) for each in lot])),
            [],
        )
        for leg, each in zip(legs.values(), lot, strict=True):
            lots.append(int(Decimal(str(leg.quantity)) / each))
        mark = np.array([leg.mark for leg in legs.values()]) / self.tick
        self.book = _book(_market(contracts, mark, interest), np.array(lots, dtype=np.int64))
        entry = np.array([leg.mark if leg.entry is None else leg.entry for leg in legs.values()])
        paid = np.rint(self.book.position * entry / self.tick).astype(np.int64)
        resting = np.zeros((2, 1, len(legs)), dtype=np.int64)
        resting[:, 0, 0] = [int(Decimal(str(side)) / lot[0]) for side in orders]
        self.book = self.book._replace(
            balance=np.array([[round(cash * self.unit) - int(paid.sum())]], dtype=np.int64),
            entry=paid,
            bids=resting[0],
            asks=resting[1],
            leverage=np.array([[leg.leverage for leg in legs.values()]]),
        )
        self.engine: MarginEngine = EngineConfig.model_validate(engine).build_engine(
            contracts, self.unit
        )
        self.engine.observe(self.book.market)
        self.risk = self.engine.assess(self.book)

    def money(self, amount: Any) -> float:
        """An amount of one account, from minor units."""
        return float(np.asarray(amount).reshape(-1)[0]) / self.unit

    def price(self, ticks: float, leg: int = 0) -> float | None:
        """A price, from ticks; none where there is none."""
        return None if math.isnan(ticks) else float(ticks * self.tick[leg])

    def liquidation_price(self) -> float | None:
        """Return the mark of the first leg at zero excess: down for a long, up for a short."""
        below, above = find_liquidation_prices(self.engine.assess, self.book, 0)
        down = (self.book.position[0, 0] > 0) == (float(self.risk.excess[0]) >= 0)
        return self.price(below if down else above)


def bracket(rate: float, amount: float = 0.0) -> list[dict[str, float]]:
    """Return a ladder whose top tier has the maintenance rate and cumulative amount of a case."""
    leverage = (1 - 1e-9) / max(
        rate, 1e-9
    )  # initial a trifle above maintenance, whatever rounding does
    top = {"max_leverage": leverage, "maintenance": rate}
    if not amount or not rate:
        return [{"floor": 0, **top}]
    return [
        {"floor": 0, "max_leverage": leverage, "maintenance": 0.0},
        {"floor": amount / rate, **top},
    ]


def tiered(ladder: list[dict[str, float]], **others: Any) -> dict[str, Any]:
    """The requirement of a ladder."""
    return {"kind": "tiered", "tiers": ladder, **others}


def _places(number: float) -> int:
    """Decimal places of a number as it is written."""
    exponent = Decimal(str(number)).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _contracts(
    names: tuple[str, ...], tick: np.ndarray[Any, Any], lot: np.ndarray[Any, Any]
) -> Contracts:
    count = len(names)
    zero, one = np.zeros(count, dtype=np.int64), np.ones(count, dtype=np.int64)
    largest = np.full(count, 2**62, dtype=np.int64)
    return Contracts(
        names,
        zero,
        zero,
        zero,
        zero + PERPETUAL,
        one,
        tick,
        lot,
        largest,
        assets=("USD",),
        units=(1,),
    )


def _market(contracts: Contracts, mark: np.ndarray[Any, Any], interest: float) -> MarketView:
    none = np.zeros(len(mark))
    return MarketView(
        tick=0,
        contracts=contracts,
        mark=mark,
        bid=mark,
        ask=mark,
        last=mark,
        depth=none,
        funding=none,
        open_interest=np.rint(interest / contracts.lot).astype(np.int64),
        oracle=np.ones(1),
        confidence=np.ones(1),
        vol=none,
        price=np.ones(1),
        returns=np.zeros((0, 1)),
    )


def _book(market: MarketView, lots: np.ndarray[Any, Any]) -> Exposure:
    none = np.zeros((1, len(lots)), dtype=np.int64)
    cash = np.zeros((1, 1), dtype=np.int64)
    return Exposure(
        cash, cash, lots[None, :], none, none, none, none, np.full((1, len(lots)), np.inf), market
    )
