"""Array aliases, and the frozen records that the parts of a market exchange.

Axes: N owners, A accounts of one pool (A = N), K instruments, U underlyings, C assets, V venues,
T history. Units: prices of instruments in ticks, quantities in lots, money in minor units of an
asset, time in ticks of the clock (steps). Signed quantities: + buys or long, - sells or short.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sim.arrays import B1 as B1
from sim.arrays import F8 as F8
from sim.arrays import I8 as I8
from sim.arrays import MISSING as MISSING
from sim.arrays import NO_LEVERAGE_CHOSEN as NO_LEVERAGE_CHOSEN
from sim.arrays import NO_LOTS_ON_OFFER as NO_LOTS_ON_OFFER
from sim.arrays import NOT_GIVEN as NOT_GIVEN
from sim.arrays import Ints as Ints
from sim.arrays import broadcast_columns as broadcast_columns
from sim.numerics import account_sums
from sim.order_tables import CloseOuts as CloseOuts
from sim.order_tables import Fills as Fills
from sim.order_tables import Orders as Orders
from sim.order_tables import Transfers as Transfers
from sim.pricing import instrument_values

PERPETUAL, SPOT, FUTURE, OPTION = 0, 1, 2, 3
"""Kinds of instrument."""

LIMIT, IOC, POST_ONLY, MARKET, REDUCE_ONLY = 0, 1, 2, 3, 4
"""Kinds of order. REDUCE_ONLY is a flag added to another kind. MARKET is an IOC order whose limit
is the price band."""

ROUTE_BOOK, ROUTE_AUCTION = 0, 1
"""Routes of a close-out: at its bankruptcy price, or at an auction's price. Both trade with the
orders that rest in the book."""

LEVERAGE_STEP, VENUE_MAX_LEVERAGE = 0.01, 2**53
"""Leverage is chosen in hundredths (the step of Bybit's API), 100 for one. VENUE_MAX_LEVERAGE
stands for the highest leverage that the venue admits."""


class Contracts(NamedTuple):
    """Terms of K instruments, constant during a run."""

    names: tuple[str, ...]
    venue: I8  # (K,) venue index
    underlying: I8  # (K,) underlying index
    settle: I8  # (K,) asset index
    kind: I8  # (K,) PERPETUAL, SPOT, FUTURE or OPTION
    multiplier: I8  # (K,) minor units of the settle asset per tick and lot
    tick: F8  # (K,) price of one tick, in units of quote currency
    lot: F8  # (K,) units of the underlying in one lot
    max_price: I8  # (K,) largest price, ticks
    expiry: F8 = NOT_GIVEN  # (K,) seconds on the clock of the run, inf = never; not given = never
    strike: F8 = NOT_GIVEN  # (K,) quote currency, NaN for other kinds than options
    side: F8 = NOT_GIVEN  # (K,) CALL or PUT of an option, zero for other kinds
    underlyings: tuple[str, ...] = ()  # (U,) names
    assets: tuple[str, ...] = ()  # (C,) names, the numeraire first
    units: tuple[int, ...] = ()  # (C,) minor units in one unit of each asset

    def select_instruments(self, part: slice) -> "Contracts":
        """Return the same columns for some of the instruments."""
        return self._replace(**{name: getattr(self, name)[part] for name in self._fields[:-3]})


class MarketView(NamedTuple):
    """Public data of some instruments of one venue, up to the present and without the index."""

    tick: int
    contracts: Contracts
    mark: F8  # (K,) ticks, whole numbers
    bid: F8  # (K,) ticks, NaN if the side is empty
    ask: F8  # (K,) ticks, NaN if the side is empty
    last: F8  # (K,) ticks
    depth: F8  # (K,) lots resting within 1% of the mark, mean of both sides
    funding: F8  # (K,) last funding rate per interval
    open_interest: I8  # (K,) lots
    oracle: F8  # (U,) quote currency
    confidence: F8  # (U,) 1 = certain
    vol: F8  # (K,) annualised volatility: implied for an option, else EWMA of the oracle's returns
    price: F8  # (C,) minor units of the numeraire (asset 0) per minor unit of each asset
    returns: F8  # (T, U) log returns of the oracle, oldest first, read-only
    seconds: float = 0.0  # time on the clock of the run
    # (K,) forward of the underlying at expiry, quote currency; empty = oracle carried at `rate`
    forward: F8 = NOT_GIVEN
    rate: F8 = NOT_GIVEN  # (K,) interest to expiry, per year, continuously compounded; empty = zero
    feed: F8 = NOT_GIVEN  # (K,) confidence of the instrument's other data sources; empty = certain
    trust: F8 = NOT_GIVEN  # (C,) confidence of the prices of assets; empty = certain
    peg: float = 1.0  # price of the numeraire in the quote currency
    # (K,) lots that the venue sells for accounts in distress, without their names
    to_sell: I8 = NO_LOTS_ON_OFFER
    to_buy: I8 = NO_LOTS_ON_OFFER  # (K,) lots that the venue buys for them
    dt: float = 60.0  # seconds per step, and per row of returns
    # (K,) (bid - ask lots) / (bid + ask lots) within 1% of the mark, NaN where no order rests
    imbalance: F8 = NOT_GIVEN
    # (K,) gross notional over equity of all accounts of the venue, NaN without equity
    crowd: F8 = NOT_GIVEN
    # (U,) seconds of the run's clock in a year of each underlying; empty = 365 days
    clock: F8 = NOT_GIVEN

    def select_instruments(self, part: slice) -> "MarketView":
        """Return the view of a contiguous part of the instruments."""
        columns = {name: getattr(self, name)[part] for name in _BY_INSTRUMENT}
        return self._replace(contracts=self.contracts.select_instruments(part), **columns)

    def tick_value(self) -> F8:
        """Return minor units of the numeraire per tick and lot of each instrument, (K,)."""
        unit: F8 = self.contracts.multiplier * self.price[self.contracts.settle]
        return unit

    def lot_value(self) -> F8:
        """Return minor units of the numeraire per lot of each instrument at its mark, (K,)."""
        value: F8 = self.mark * self.contracts.multiplier * self.price[self.contracts.settle]
        return value

    def replace_mark(self, k: int, price: float) -> "MarketView":
        """Return the same view with one instrument's mark at ``price`` ticks."""
        return self._replace(mark=np.where(np.arange(self.mark.size) == k, price, self.mark))


_BY_INSTRUMENT = (
    "mark",
    "bid",
    "ask",
    "last",
    "depth",
    "funding",
    "open_interest",
    "vol",
    "forward",
    "rate",
    "feed",
    "to_sell",
    "to_buy",
    "imbalance",
    "crowd",
)


class Exposure(NamedTuple):
    """Accounts of one pool: read-only views into the ledger, or hypothetical rows."""

    balance: I8  # (A, C) minor units, settlement cash included
    pledged: I8  # (A, C) minor units received (+) or given (-)
    position: I8  # (A, K) lots
    bids: I8  # (A, K) lots of resting buy orders
    asks: I8  # (A, K) lots of resting sell orders
    # (A, K) reserve of resting orders: fees, and the loss of the limit against the mark;
    # minor units of the settle asset
    reserved: I8
    entry: I8  # (A, K) value paid for the position, minor units; informational, not part of equity
    # (A, K) chosen cap, inf = the venue's; in live accounts, only admission receives it (MAR-1)
    leverage: F8
    market: MarketView

    def take(self, rows: I8 | slice) -> "Exposure":
        """Return some of the accounts, as hypothetical rows."""
        if isinstance(rows, slice):
            return Exposure._make((*(column[rows] for column in self[:-1]), self.market))
        # columns are transposed: taken in this way, they are read in order and stay
        # instrument-major
        taken = (column.T.take(rows, axis=1).T for column in self[:-1])
        return Exposure._make((*taken, self.market))

    def position_value(self) -> F8:
        """Return the signed market value of each position, (A, K), minor units of the numeraire."""
        return self.position * self.market.lot_value()

    def equity(self) -> F8:
        """Return market equity, (A,), minor units of the numeraire."""
        view, terms = self.market, self.market.contracts
        return account_sums.sum_equity(
            self.balance, self.position, view.price, view.mark, terms.multiplier, terms.settle
        )

    def reserved_value(self) -> F8:
        """Return the value reserved by resting orders, (A,), minor units of the numeraire."""
        return account_sums.sum_reserved(
            self.reserved, self.market.price, self.market.contracts.settle
        )

    def list_worst_cases(self) -> "tuple[I8, Exposure, Exposure]":
        """Return the portfolios that admission must cover, with cash as it is (MAR-1).

        Each derivative is at its larger side. Spot that is held and spot that is owed have
        different margins, so an account has a portfolio for every combination of sides of the spot
        that it has orders in.

        Returns:
            Row of the account of each portfolio, rising; the accounts in these rows; and the
            portfolios.
        """
        spot = self.market.contracts.kind == SPOT
        rows, filled = account_sums.list_fills(self.position, self.bids, self.asks, spot)
        before = self if rows.size == len(self.position) else self.take(rows)
        return rows, before, before._replace(position=filled)

    def one_sided_portfolios(self) -> "tuple[Exposure, Exposure]":
        """Return the portfolio after all buys of spot, and after all sells of spot (MAR-1).

        Each derivative is at its worse side in both.
        """
        worse = account_sums.find_worse_side(self.position, self.bids, self.asks)
        spot = self.market.contracts.kind == SPOT
        bought = np.asfortranarray(np.where(spot, self.position + self.bids, worse))
        sold = np.asfortranarray(np.where(spot, self.position - self.asks, worse))
        return self._replace(position=bought), self._replace(position=sold)


class Margins(NamedTuple):
    """Initial and maintenance margin, (A,), minor units of the numeraire."""

    initial: F8
    maintenance: F8


class MarginAssessment(NamedTuple):
    """Assessment of each account by its engine (MAR-1), (A,), minor units of the numeraire."""

    equity: F8
    initial: F8
    maintenance: F8

    @property
    def excess(self) -> F8:
        """Return equity less maintenance, (A,)."""
        return self.equity - self.maintenance

    @property
    def margin_ratio(self) -> F8:
        """Return maintenance over equity: zero without a requirement, infinite without equity."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(self.equity > 0, self.maintenance / self.equity, np.inf)
        return np.where((self.maintenance == 0) & (self.equity >= 0), 0.0, ratio)

    @property
    def liquidatable(self) -> B1:
        """Return True for accounts with equity below maintenance."""
        return self.equity < self.maintenance

    @property
    def bankrupt(self) -> B1:
        """Return True for accounts with negative equity."""
        return self.equity < 0


class Observation(NamedTuple):
    """Market data that agents see when they decide."""

    tick: int
    dt: float  # seconds per step
    spot: F8  # (U,) the index: price outside the market, quote currency
    depth_share: float  # share of normal depth that makers quote; below 1 in a withdrawal stress
    venues: tuple[MarketView, ...]
    first_instrument: tuple[int, ...]  # (V,) global number of each venue's first instrument
    max_leverage: F8  # (K,) highest leverage admitted for a small position, all venues
    # initial margin of hypothetical portfolios without cash, from a venue's index and lots (r, K)
    # of its instruments: (r,) minor units of the numeraire; None = not offered
    preview_margin: Callable[[int, I8], F8] | None = None


class MarketSpec(NamedTuple):
    """Constants of a market that populations receive before the first step."""

    dt: float  # seconds per step
    minor_units: int  # minor units in one unit of the numeraire
    venues: tuple[str, ...]
    underlyings: tuple[str, ...]
    contracts: Contracts  # (K,) over all instruments of all venues
    # (K,) margin account of an owner that holds each instrument, numbered over all venues
    margin_account: I8
    # (U,) seconds of the run's clock in a year of each underlying; empty = 365 days
    seconds_per_year: F8 = NOT_GIVEN
    # (V,) True where wallets are separate from margin accounts; None = where there are several
    has_separate_wallet: B1 | None = None
    # (U, U) configured correlations of the index innovations; empty = independent
    correlation: F8 = NOT_GIVEN
    has_hedge_mode: B1 | None = None  # (V,) True where both sides may be held; None = nowhere

    def find_seconds_per_year(self, instruments: I8) -> F8:
        """Return seconds of the run's clock in a year of each of some instruments, (m,)."""
        clock = (
            self.seconds_per_year
            if self.seconds_per_year.size
            else np.full(len(self.underlyings), instrument_values.YEAR_SECONDS)
        )
        return clock[self.contracts.underlying[instruments]]


class AccountView(NamedTuple):
    """Accounts of a population, one row per member, as of the last mark."""

    position: I8  # (n, K) lots, over all instruments of all venues
    entry: I8  # (n, K) value paid for the position, minor units
    free_margin: F8  # (n, V) still usable as initial margin, minor units of the numeraire
    equity: F8  # (n, V) over all the owner's accounts at a venue
    wallet: I8  # (n, V, C) free balance of the wallet row, minor units
    leverage: F8 = NOT_GIVEN  # (n, K) that owners chose (ISO-1), inf or not given = the venue's

    def take(self, rows: slice) -> "AccountView":
        """Return some of the owners."""
        return AccountView(*(column[rows] for column in self))  # type: ignore[arg-type]


class PositionSides(NamedTuple):
    """Accounts of members in hedge mode, one for each side of their positions (ISO-1)."""

    side: I8  # (N,) + holds long positions only, - short ones only, 0 either
    member: I8  # (N,) owner whose wallet an account uses: itself, or the long side's
    pairs: I8  # (p, 2) owners of the long and of the short side

    @classmethod
    def from_pairs(cls, owners: int, pairs: I8) -> "PositionSides":
        """Return the sides of N owners, of whom some are pairs."""
        side, member = np.zeros(owners, dtype=np.int64), np.arange(owners)
        side[pairs[:, 0]], side[pairs[:, 1]] = 1, -1
        member[pairs[:, 1]] = pairs[:, 0]
        return cls(side, member, pairs)

    def sum_pairs(self, amounts: F8) -> F8:
        """Return amounts (N,) with the sum of both sides in place of each of them."""
        total = amounts.copy()
        total[self.pairs] = amounts[self.pairs].sum(axis=1, keepdims=True)
        return total


class DistressHistory(NamedTuple):
    """Past distress of accounts that policies can use, (A,) ticks, MISSING = never."""

    liquidatable_since: I8  # first tick of the present distress
    last_action: I8  # last tick on which a plan contained the account
    bankrupt_since: I8  # first tick at whose end the account was bankrupt, without a break since


class MarginPool(NamedTuple):
    """Part of a venue's netting partition. Its accounts are (pool, owner)."""

    venue: int
    number: int  # among all pools of the market
    instruments: slice  # global numbers, contiguous; empty for a wallet without instruments
    venue_slice: slice  # the same within the venue
    wallet_pool: int  # index of the venue's wallet pool; its own index if the pool is the wallet
