"""Base of populations in plain Python whose members decide one at a time; simple but slow."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Population, TradingScope
from sim.errors import DeleverageError, describe_unknown
from sim.types import (
    F8,
    I8,
    LIMIT,
    MARKET,
    REDUCE_ONLY,
    AccountView,
    MarketSpec,
    MarketView,
    Observation,
    Orders,
)

NOTHING_TRADED: I8 = np.empty(0, dtype=np.int64)


class MemberOrder(NamedTuple):
    """One order. It replaces the order of the same instrument and slot; quantity 0 cancels."""

    instrument: int  # global number
    quantity: int  # lots, + buys
    limit: int = 1  # ticks; ignored for MARKET
    kind: int = LIMIT  # of sim.types
    slot: int = 0
    leverage: int = 0  # hundredths, at least 100, chosen for the instrument; 0 = unchanged


class MemberAccount(NamedTuple):
    """One member's row of ``sim.types.AccountView``, and the numbers of the instruments by name."""

    member: int  # row in the population
    position: I8  # (K,) lots, over all instruments of all venues
    entry: I8  # (K,) value paid for the position, minor units
    free_margin: F8  # (V,) unused initial margin, minor units of the numeraire
    equity: F8  # (V,) over all its accounts at a venue, minor units of the numeraire
    wallet: I8  # (V, C) free balance of the wallet, minor units
    numbers: Mapping[str, int] = {}  # global number of each instrument

    def lots_of(self, instrument: str) -> int:
        """Return the lots held of an instrument, + long.

        Raises:
            DeleverageError: no venue lists an instrument of that name.
        """
        return int(self.position[_number_of(instrument, self.numbers)])


class MemberMarket:
    """Market as one member sees it in a step: prices and orders by name of instrument.

    Prices are in quote currency, sizes in lots. All data are public and as of the last mark. An
    order that is made here passes admission like any other.

    Attributes:
        instruments: names of the instruments that the population trades.
        observation: the underlying arrays, over all instruments and venues.
    """

    def __init__(
        self, observation: Observation, scope: TradingScope, numbers: Mapping[str, int]
    ) -> None:
        self.observation = observation
        self._numbers = numbers
        names = list(numbers)
        self.instruments = tuple(names[k] for k in scope.instruments)

    @property
    def step(self) -> int:
        """Number of the step, from 1."""
        return self.observation.tick

    def mark(self, instrument: str) -> float:
        """Return the mark price of an instrument."""
        return self._quote_price("mark", instrument)

    def bid(self, instrument: str) -> float:
        """Return the best bid of an instrument; NaN if the side is empty."""
        return self._quote_price("bid", instrument)

    def ask(self, instrument: str) -> float:
        """Return the best ask of an instrument; NaN if the side is empty."""
        return self._quote_price("ask", instrument)

    def last(self, instrument: str) -> float:
        """Return the last price at which an instrument traded."""
        return self._quote_price("last", instrument)

    def oracle(self, instrument: str) -> float:
        """Return the oracle's price of an instrument's underlying."""
        view, column = self._view(instrument)
        return float(view.oracle[view.contracts.underlying[column]])

    def funding(self, instrument: str) -> float:
        """Return the last funding rate of an instrument, per interval."""
        view, column = self._view(instrument)
        return float(view.funding[column])

    def volatility(self, instrument: str) -> float:
        """Return the annualised volatility of an instrument's oracle."""
        view, column = self._view(instrument)
        return float(view.vol[column])

    def max_leverage(self, instrument: str) -> float:
        """Return the highest leverage that the margin engine admits for one lot."""
        return float(self.observation.max_leverage[_number_of(instrument, self._numbers)])

    def buy(
        self,
        instrument: str,
        lots: int,
        limit: float | None = None,
        *,
        kind: int = LIMIT,
        slot: int = 0,
    ) -> MemberOrder:
        """Return an order to buy.

        Args:
            instrument: its name.
            lots: at least 1.
            limit: highest price, in quote currency, rounded down to a tick; none = at the market.
            kind: LIMIT, IOC or POST_ONLY, with REDUCE_ONLY where wanted (``sim.types``).
            slot: an order of the same instrument and slot is replaced.

        Raises:
            DeleverageError: no venue lists the instrument, or ``lots`` is below 1.
        """
        return self._order(instrument, _positive(lots), limit, kind, slot)

    def sell(
        self,
        instrument: str,
        lots: int,
        limit: float | None = None,
        *,
        kind: int = LIMIT,
        slot: int = 0,
    ) -> MemberOrder:
        """Return an order to sell; ``limit`` is the lowest price, rounded up. See :meth:`buy`."""
        return self._order(instrument, -_positive(lots), limit, kind, slot)

    def close(self, instrument: str, account: MemberAccount) -> MemberOrder:
        """Return an order at the market that closes the whole position of an account."""
        number = _number_of(instrument, self._numbers)
        held = int(account.position[number])
        return MemberOrder(number, -held, kind=MARKET | REDUCE_ONLY)

    def _order(
        self, instrument: str, lots: int, limit: float | None, kind: int, slot: int
    ) -> MemberOrder:
        number = _number_of(instrument, self._numbers)
        if limit is None:
            return MemberOrder(number, lots, kind=MARKET | (kind & REDUCE_ONLY), slot=slot)
        view, column = self._view(instrument)
        ticks = limit / view.contracts.tick[column]
        nearest = round(ticks)
        if abs(ticks - nearest) > 1e-9 * abs(ticks):
            nearest = int(np.floor(ticks) if lots > 0 else np.ceil(ticks))
        return MemberOrder(number, lots, max(nearest, 1), kind, slot)

    def _quote_price(self, column: str, instrument: str) -> float:
        view, place = self._view(instrument)
        ticks: F8 = getattr(view, column)
        return float(ticks[place] * view.contracts.tick[place])

    def _view(self, instrument: str) -> tuple[MarketView, int]:
        """Return the view of the venue that lists an instrument, and its column there."""
        number = _number_of(instrument, self._numbers)
        first = np.array(self.observation.first_instrument)
        venue = int(np.searchsorted(first, number, side="right")) - 1
        return self.observation.venues[venue], number - int(first[venue])


class IndividualPopulation(Population):
    """Base of populations whose members decide one by one.

    A subclass has a ``kind`` and ``decide_member``. All members start with ``wealth`` at ``venue``.
    ``n_trait_draws`` and ``n_decision_draws`` are the numbers of uniform draws that a member
    receives at the start and in every step (RNG-1). A subclass with traits extends ``start``.
    """

    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        10_000.0, gt=0, description="wealth of each member at the start (units of the numeraire)"
    )
    instruments: tuple[str, ...] = Field(
        (), description="instruments they trade; empty = all perpetuals of the venue (names)"
    )

    _scope: TradingScope = PrivateAttr(TradingScope(0, NOTHING_TRADED))
    _numbers: dict[str, int] = PrivateAttr(default_factory=dict)

    @abstractmethod
    def decide_member(
        self, market: MemberMarket, account: MemberAccount, draws: F8
    ) -> Iterable[MemberOrder]:
        """Return one member's orders.

        Args:
            market: prices and orders by name of instrument.
            account: the member's own position, equity and free margin.
            draws: its uniform draws of this step, (n_decision_draws,).
        """

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        """Find venue and instruments; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(setting, self.venue)
        self._scope = TradingScope(venue, self.select_instruments(setting, venue, self.instruments))
        self._numbers = {name: number for number, name in enumerate(setting.contracts.names)}
        return self.place_wealth(setting, venue, np.full(self.count, self.wealth))

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return the orders of all members, one after another."""
        market = MemberMarket(outlook, self._scope, self._numbers)
        rows = []
        for member in range(self.count):
            account = MemberAccount(
                member=member,
                position=accounts.position[member],
                entry=accounts.entry[member],
                free_margin=accounts.free_margin[member],
                equity=accounts.equity[member],
                wallet=accounts.wallet[member],
                numbers=self._numbers,
            )
            orders = self.decide_member(market, account, draws[member])
            rows += [(member, *order) for order in orders]
        return Orders(*np.array(rows, dtype=np.int64).reshape(-1, len(Orders._fields)).T)


def _number_of(instrument: str, numbers: Mapping[str, int]) -> int:
    """Return the global number of an instrument.

    Raises:
        DeleverageError: no venue lists an instrument of that name.
    """
    if instrument not in numbers:
        raise DeleverageError(f"instrument: {describe_unknown(instrument, list(numbers))}")
    return numbers[instrument]


def _positive(lots: int) -> int:
    """Return a number of lots that is at least 1.

    Raises:
        DeleverageError: it is less.
    """
    if lots < 1:
        raise DeleverageError(f"lots: {lots}, must be at least 1; sell() sells, close() closes")
    return int(lots)
