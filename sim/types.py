"""Array aliases, and the frozen records that the parts of a market exchange.

Axes: N owners, A accounts of one pool (A = N), K instruments, U underlyings, C assets, V venues,
T history. Units: prices of instruments in ticks, quantities in lots, money in minor units of an
asset, time in ticks of the clock (steps). Signed quantities: + buys or long, - sells or short.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.numerics import account_sums
from sim.pricing import instrument_values

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
Ints = int | I8
B1 = NDArray[np.bool_]

PERPETUAL, SPOT, FUTURE, OPTION = 0, 1, 2, 3
"""Kinds of instrument."""

LIMIT, IOC, POST_ONLY, MARKET, REDUCE_ONLY = 0, 1, 2, 3, 4
"""Kinds of order. REDUCE_ONLY is a flag on another kind. MARKET is IOC up to the price band."""

MISSING = -1
"""Stands for an owner, slot, close-out or price that does not exist."""

NOT_GIVEN: F8 = np.empty(0)
NO_LOTS_ON_OFFER: I8 = np.empty(0, dtype=np.int64)
NO_LEVERAGE_CHOSEN: I8 = np.empty(0, dtype=np.int64)
for _empty in (NOT_GIVEN, NO_LOTS_ON_OFFER, NO_LEVERAGE_CHOSEN):
    _empty.flags.writeable = False
"""Empty columns. The comment of each field states what an empty column stands for."""

LEVERAGE_STEP, VENUE_MAX_LEVERAGE = 0.01, 2**53
"""Leverage is chosen in hundredths (the step of Bybit's API), 100 for one. VENUE_MAX_LEVERAGE
stands for the highest leverage that the venue admits."""


def broadcast_columns(*values: int | I8) -> list[I8]:
    """Return columns of one length; single numbers are repeated."""
    sizes = [value.size for value in values if isinstance(value, np.ndarray)]
    count = max(sizes, default=1) if all(sizes) else 0
    table = list(np.empty((len(values), count), dtype=np.int64))
    if count:
        for column, value in zip(table, values, strict=True):
            column[:] = value
    return table


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
    """Public data of some instruments of one venue, without the future and without the index."""

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
    *("mark", "bid", "ask", "last", "depth", "funding", "open_interest"),
    *("vol", "forward", "rate", "feed", "to_sell", "to_buy", "imbalance", "crowd"),
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
        """Return market equity, (A,), minor units of the numeraire; the only formula of it."""
        view, terms = self.market, self.market.contracts
        return account_sums.sum_equity(
            self.balance, self.position, view.price, view.mark, terms.multiplier, terms.settle
        )

    def reserved_value(self) -> F8:
        """Return the value reserved by resting orders, (A,), minor units of the numeraire."""
        return account_sums.sum_reserved(
            self.reserved, self.market.price, self.market.contracts.settle
        )

    def worst_case_portfolios(self) -> "tuple[Exposure, ...]":
        """Return the portfolios that admission must cover, with cash as it is (MAR-1).

        A perpetual takes its larger side. Spot that is held and spot that is owed have different
        margins, so the portfolios contain both sides of spot in every combination.
        """
        positions = [account_sums.find_worse_side(self.position, self.bids, self.asks)]
        spots = self.market.contracts.kind == SPOT
        if not spots.any():
            return (self._replace(position=positions[0]),)
        # without orders both sides are the same
        spots = spots & ((self.bids != 0) | (self.asks != 0)).any(axis=0)
        buys, sells = self.position + self.bids, self.position - self.asks
        for column in np.flatnonzero(spots):
            positions += [position.copy() for position in positions]
            for number, position in enumerate(positions):
                side = buys if 2 * number < len(positions) else sells
                position[:, column] = side[:, column]
        return tuple(self._replace(position=position) for position in positions)

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

    def find_seconds_per_year(self, instruments: I8) -> F8:
        """Return seconds of the run's clock in a year of each of some instruments, (m,)."""
        clock = self.seconds_per_year
        if not clock.size:
            clock = np.full(len(self.underlyings), instrument_values.YEAR_SECONDS)
        return clock[self.contracts.underlying[instruments]]


class AccountView(NamedTuple):
    """Accounts of a population, one row per member, as of the last mark."""

    position: I8  # (n, K) lots, over all instruments of all venues
    entry: I8  # (n, K) value paid for the position, minor units
    free_margin: F8  # (n, V) still usable as initial margin, minor units of the numeraire
    equity: F8  # (n, V) over all the owner's accounts at a venue
    wallet: I8  # (n, V, C) free balance of the wallet row, minor units

    def take(self, rows: slice) -> "AccountView":
        """Return some of the owners."""
        return AccountView(*(column[rows] for column in self))  # type: ignore[arg-type]


class Orders(NamedTuple):
    """Orders, one row each.

    An order replaces one with the same owner, instrument and slot; quantity 0 cancels. An order
    that may open can choose its owner's leverage in the instrument, until another order changes it
    (ISO-1).
    """

    owner: I8  # row in the population when agents return it, global once collected
    instrument: I8
    quantity: I8  # lots, signed
    limit: I8  # ticks; ignored for MARKET
    kind: I8
    slot: I8
    # hundredths, from 100; 0 = as it is set, at first the highest; empty = all 0
    leverage: I8 = NO_LEVERAGE_CHOSEN

    @classmethod
    def from_columns(
        cls,
        owner: Ints,
        instrument: Ints,
        quantity: I8,
        limit: Ints,
        kind: Ints,
        slot: Ints = 0,
        leverage: Ints = 0,
    ) -> "Orders":
        """Return orders from columns; a single number is repeated."""
        return cls(*broadcast_columns(owner, instrument, quantity, limit, kind, slot, leverage))

    @classmethod
    def join(cls, parts: "Sequence[Orders]") -> "Orders":
        """Return several batches, one after another."""
        full = [part.fill_leverage() for part in parts if part.owner.size]
        if not full:
            return cls(*(np.empty(0, dtype=np.int64) for _ in cls._fields))
        if len(full) == 1:
            return full[0]
        return cls(*(np.concatenate(columns) for columns in zip(*full, strict=True)))

    def fill_leverage(self) -> "Orders":
        """Return the same orders with a column of leverage."""
        has_leverage = self.leverage.size == self.owner.size
        return self if has_leverage else self._replace(leverage=np.zeros_like(self.owner))

    def take(self, rows: I8 | B1 | slice) -> "Orders":
        """Return some of the orders."""
        return Orders(*(column[rows] for column in self.fill_leverage()))


class Fills(NamedTuple):
    """Trades, one row each."""

    taker: I8  # owner
    maker: I8  # owner
    instrument: I8
    quantity: I8  # lots, + the taker bought
    price: I8  # ticks
    close_out_id: I8  # MISSING for a voluntary trade

    @classmethod
    def from_table(cls, packed: I8) -> "Fills":
        """Return fills from a table (m, 6) of these columns.

        Columns are copied, because the order books write the next trades into the same table.
        """
        return cls(*packed.T.copy())


class Transfers(NamedTuple):
    """Cash transfers between accounts, one row each, posted with both signs."""

    source: I8  # (n,) owner
    target: I8  # (n,) owner
    source_pool: I8  # (n,) pool index
    target_pool: I8  # (n,) pool index
    asset: I8
    amount: I8  # minor units; negative = from target to source

    @classmethod
    def from_columns(
        cls,
        source: Ints,
        target: Ints,
        source_pool: Ints,
        target_pool: Ints,
        asset: Ints,
        amount: Ints,
    ) -> "Transfers":
        """Return transfers from columns; a single number is repeated."""
        return cls(*broadcast_columns(source, target, source_pool, target_pool, asset, amount))


class MarginPool(NamedTuple):
    """Part of a venue's netting partition. Its accounts are (pool, owner)."""

    venue: int
    number: int  # among all pools of the market
    instruments: slice  # global numbers, contiguous; empty for a wallet without instruments
    venue_slice: slice  # the same within the venue
    wallet_pool: int  # index of the venue's wallet pool; its own index if the pool is the wallet
