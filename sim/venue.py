"""One exchange at run time: its rules, its public view, its margin pools."""

from typing import Any, NamedTuple

import numpy as np

from sim.attribution import CARRY, INDEX, VOLUNTARY
from sim.config import VenueConfig
from sim.errors import ConfigError
from sim.exchange.mark import MarkInputs
from sim.ledger import Ledger
from sim.margin.calls import PoolMarginCalls
from sim.margin.engine import MarginEngine
from sim.margin.tail.volatility import RunningVolatility
from sim.numerics.rng import RandomStreams
from sim.prices.path import Times
from sim.types import (
    B1,
    F8,
    I8,
    MISSING,
    SPOT,
    Contracts,
    DistressHistory,
    Exposure,
    MarginAssessment,
    MarginPool,
    MarketView,
)


class SystemAccounts(NamedTuple):
    """Owners that are not participants."""

    insurance_fund: int  # insurance fund, or NOBODY
    fees: int  # trading fees
    rounding: int  # what rounding leaves
    venue_equity: int  # the venue's own money: pays bad debt
    external: int  # the rest of the world


class PoolState:
    """A margin pool with its engine and what is known of its accounts."""

    def __init__(self, pool: MarginPool, engine: MarginEngine, owners: int) -> None:
        self.pool, self.engine = pool, engine
        self.assessment = MarginAssessment(np.zeros(owners), np.zeros(owners), np.zeros(owners))
        self.distress = DistressHistory(
            *(np.full(owners, MISSING) for _ in DistressHistory._fields)
        )
        self.margin_calls: PoolMarginCalls | None = None


def record_since(since: I8, now: B1, tick: int) -> None:
    """Keep since when something has been so of each account, NOBODY where it is not; in place."""
    rows = np.flatnonzero(now)
    since[rows[since[rows] == MISSING]] = tick
    np.putmask(since, ~now, MISSING)


class VenueWorld(NamedTuple):
    """What a venue is built in: the market around it and how it opens."""

    contracts: Contracts  # of all venues
    pools: tuple[MarginPool, ...]  # of all venues
    ledger: Ledger
    unit: int  # minor units in one unit of the numeraire
    dt: float  # seconds in a step
    clock: F8  # (U,) seconds of trading in a year
    streams: RandomStreams
    steps: int  # of the run
    opening_index: F8  # (U,) quote currency
    opening_price: F8  # (C,) of a minor unit of each asset, minor units of the numeraire
    stamps: Times  # exchange time of each step; empty where no days are replayed
    seconds: float  # at the end of the run


class StepFlows:
    """Counts of one step at one venue; every step begins with zeros."""

    def __init__(self) -> None:
        self.calls_opened = self.calls_met = self.calls_missed = 0
        self.paid_in = self.paid_out = 0  # from outside and back, minor units of the numeraire


class Venue:
    """The rules of one venue bound to the market's ledger.

    Args:
        number: index among the venues.
        config: its rules; a private copy, for components keep state.
        rows: its system owners.
        world: the market around it and how it opens.

    Raises:
        ConfigError: its engine or its funding does not fit its instruments or the run.
    """

    def __init__(
        self, number: int, config: VenueConfig, rows: SystemAccounts, world: VenueWorld
    ) -> None:
        mine = np.flatnonzero(world.contracts.venue == number)
        self.number, self.config, self.system_accounts = number, config, rows
        self.ledger, self.dt, self.seconds_per_year = world.ledger, world.dt, world.clock
        self.instrument_slice = slice(int(mine[0]), int(mine[-1]) + 1)
        self.contracts = world.contracts.select_instruments(self.instrument_slice)
        self.pools = tuple(
            pool
            for pool in world.pools
            if pool.venue == number and pool.instruments.stop > pool.instruments.start
        )
        self.wallet_pool = self.pools[0].wallet_pool
        self.spot_columns = np.flatnonzero(self.contracts.kind == SPOT)
        self.basis = np.zeros(mine.size)
        self.has_missing_side = np.zeros(mine.size, dtype=bool)
        self.max_leverage_long = np.full(mine.size, np.inf)  # admitted for a long of one lot
        self.max_leverage_short = np.full(mine.size, np.inf)
        owners = world.ledger.balance.shape[2]
        self.flows = StepFlows()
        self.outside_wealth = np.zeros(
            owners, dtype=np.int64
        )  # what each owner can still bring in on margin calls
        self.has_been_called = np.zeros(owners, dtype=np.bool_)
        year = world.clock[self.contracts.underlying]
        self.running_volatility = RunningVolatility(world.dt, year)
        self.liquidation_policy = config.liquidation.bind(world.dt)
        self.pool_states = self._engines(owners, world.unit)
        if config.funding is not None:
            config.funding.set_year_lengths(year)
            config.funding.prepare_run(world.stamps, world.seconds)
        self.view = self._opening_view(world)
        self.quotes = self.previous_quotes = self._opening_quotes()
        self._update_max_leverage()

    def _engines(self, owners: int, unit: int) -> dict[int, PoolState]:
        """Build an engine for each pool, by the pool's number."""
        states = {}
        try:
            for pool in self.pools:
                engine = self.config.engine.build_engine(
                    self.contracts.select_instruments(pool.venue_slice), unit
                )
                engine.prepare_admission(self.contracts.select_instruments(pool.venue_slice))
                states[pool.number] = PoolState(pool, engine, owners)
                if self.config.calls is not None:
                    states[pool.number].margin_calls = self.config.calls.build_calls(
                        owners, self.dt
                    )
        except ConfigError as error:
            raise ConfigError([f"engine.{line}" for line in error.problems]) from error
        return states

    def _opening_view(self, world: VenueWorld) -> MarketView:
        """The view before the first step: last trade and mark at the oracle."""
        count, unknown = len(self.contracts.names), np.full(len(self.contracts.names), np.nan)
        none, zero = np.zeros(count, dtype=np.int64), np.zeros(count)
        self._oracle_returns = np.zeros((world.steps, world.opening_index.size))
        self._oracle_returns.flags.writeable = False
        oracle = self._oracle_price(world.streams, 0, 0.0, world.opening_index)
        ticks = np.rint(self.convert_to_ticks(oracle))
        return MarketView(
            tick=0,
            contracts=self.contracts,
            mark=ticks,
            bid=unknown,
            ask=unknown,
            last=ticks,
            depth=zero,
            funding=zero,
            open_interest=none,
            oracle=oracle,
            confidence=np.ones(world.opening_index.size),
            vol=zero,
            price=world.opening_price,
            returns=self._oracle_returns[:0],
            to_sell=none,
            to_buy=none,
            dt=self.dt,
            imbalance=unknown,
            crowd=unknown,
            clock=self.seconds_per_year,
        )

    def _opening_quotes(self) -> MarkInputs:
        """Quotes of empty books at the oracle."""
        oracle = self.convert_to_ticks(self.view.oracle)
        empty = np.ones(oracle.size, dtype=bool)
        return MarkInputs(np.full(oracle.size, np.nan), np.rint(oracle), oracle, self.basis, empty)

    def deposit_wealth(self, owners: slice, wealth: I8) -> None:
        """Deposit starting wealth (n,) in the wallet; what may follow on margin calls is a multiple of it (MAR-4)."""
        self.ledger.deposit_wealth(
            self.system_accounts.external,
            np.arange(owners.start, owners.stop),
            self.wallet_pool,
            wealth,
        )
        if self.config.calls is not None:
            self.outside_wealth[owners] = self.config.calls.outside_wealth(wealth)

    def update_oracle(
        self, streams: RandomStreams, tick: int, seconds: float, index: F8, price: F8
    ) -> None:
        """A new step: what the oracle says, what is learnt from it, and the engines' new parameters."""
        self.previous_quotes = self.quotes
        oracle = self._oracle_price(streams, tick, seconds, index)
        moved = np.log(oracle / self.view.oracle)
        self._oracle_returns.flags.writeable = True
        self._oracle_returns[tick - 1] = moved
        self._oracle_returns.flags.writeable = False
        self.view = self.view._replace(
            tick=tick,
            oracle=oracle,
            confidence=np.full(index.size, float(self._confidence)),
            vol=self.running_volatility.learn(moved[self.contracts.underlying]),
            price=price,
            returns=self._oracle_returns[:tick],
            seconds=seconds,
            crowd=self._crowd_leverage(),
        )
        for state in self.pool_states.values():
            state.engine.observe(self.pool_view(state.pool))
        self._update_max_leverage()

    def _crowd_leverage(self) -> F8:
        """Gross notional of what is not spot over participants' equity, both as of the last step, (K,)."""
        view, worth = self.view, self.view.lot_value()
        gross = 2.0 * float((view.open_interest * worth)[self.contracts.kind != SPOT].sum())
        equity = (
            sum(float(state.assessment.equity.sum()) for state in self.pool_states.values())
            + self.separate_wallet_value()
        )
        return np.full(worth.size, gross / equity if equity > 0 else np.nan)

    def _oracle_price(self, streams: RandomStreams, tick: int, seconds: float, index: F8) -> F8:
        width = self.config.oracle.sources if self.config.oracle.noise else 0
        draws = streams.draw_uniform(f"oracle/{self.config.name}", tick, index.size, width)
        told, self._confidence = self.config.oracle.publish(seconds, index, draws, self.dt)
        return told

    def _update_max_leverage(self) -> None:
        for state in self.pool_states.values():
            part = state.pool.venue_slice
            self.max_leverage_long[part], self.max_leverage_short[part] = state.engine.max_leverage(
                self.pool_view(state.pool)
            )

    def convert_to_ticks(self, index: F8) -> F8:
        """A price of each underlying (U,) as ticks of each instrument (K,)."""
        price: F8 = index[self.contracts.underlying] / self.contracts.tick
        return price

    def mark_price(self, quotes: MarkInputs) -> F8:
        """The mark that some quotes make, (K,) whole ticks (MARK-1)."""
        return np.asarray(self.config.mark.compute_mark(quotes))

    def update_mark(self, tops: I8, learn: bool = False, **changed: Any) -> None:
        """Quote and mark anew; other columns of the view that changed may come along.

        Args:
            tops: (K, 3) best bid, best ask, last price.
            learn: whether a step has passed, so that the mark's average moves on.
            changed: further columns of the view.
        """
        missing = (tops[:, 0] == MISSING) | (tops[:, 1] == MISSING)
        side = np.where(tops == MISSING, np.nan, tops)
        mid, oracle = (side[:, 0] + side[:, 1]) / 2, self.convert_to_ticks(self.view.oracle)
        if learn:
            self.basis = np.asarray(self.config.mark.update_basis(self.basis, mid, oracle, self.dt))
        bare = (tops[:, 0] == MISSING) & (tops[:, 1] == MISSING)
        self.has_missing_side, self.quotes = (
            missing,
            MarkInputs(mid, side[:, 2], oracle, self.basis, bare),
        )
        mark, bid, ask, last = self.mark_price(self.quotes), side[:, 0], side[:, 1], side[:, 2]
        self.view = self.view._replace(mark=mark, bid=bid, ask=ask, last=last, **changed)

    def mark_stages(self) -> dict[str, F8]:
        """How the marks came from the last step's to the present ones, by kind of event, in order (LIQ-6)."""
        old, new = self.previous_quotes, self.quotes
        ratio = new.oracle / old.oracle
        index = old._replace(mid=old.mid * ratio, last=old.last * ratio, oracle=new.oracle)
        return {
            INDEX: self.mark_price(index),
            VOLUNTARY: self.mark_price(new._replace(basis=old.basis)),
            CARRY: self.view.mark,
        }

    def equity(self, rows: slice) -> F8:
        """Equity of owners over all their accounts here, minor units of the numeraire, as last assessed."""
        if self.wallet_pool in self.pool_states:
            return self.pool_states[self.wallet_pool].assessment.equity[rows]
        total = self.wallet_value(rows)
        for state in self.pool_states.values():
            total = total + state.assessment.equity[rows]
        return total

    def publish_auctions(self) -> None:
        """Publish the lots that the policy has on offer, for the next step (LIQ-3)."""
        to_sell, to_buy = np.zeros((2, len(self.contracts.names)), dtype=np.int64)
        for state in self.pool_states.values():
            book = self.pool_accounts(state.pool)
            rows = np.flatnonzero(
                self.liquidation_policy.select_auctioned(state.assessment, state.distress, book)
            )
            if not rows.size:
                continue
            lots = book.position[rows] * (book.market.contracts.kind != SPOT)
            to_sell[state.pool.venue_slice] = np.maximum(lots, 0).sum(axis=0)
            to_buy[state.pool.venue_slice] = np.maximum(-lots, 0).sum(axis=0)
        self.view = self.view._replace(to_sell=to_sell, to_buy=to_buy)

    def pool_accounts(self, pool: MarginPool) -> Exposure:
        """The live accounts of a pool at the venue's present view."""
        return self.ledger.view_accounts(pool, self.pool_view(pool))

    def admission_accounts(self, pool: MarginPool) -> Exposure:
        """The same, with the leverage that owners chose: what admission and withdrawals look at (MAR-1)."""
        return self.pool_accounts(pool)._replace(leverage=self.ledger.leverage[pool.instruments].T)

    def pool_view(self, pool: MarginPool) -> MarketView:
        """A pool's part of the view."""
        return self.view if len(self.pools) == 1 else self.view.select_instruments(pool.venue_slice)

    def free_margin(self, rows: slice) -> F8:
        """What owners may still use as initial margin, minor units of the numeraire: in wallets and in accounts."""
        if self.wallet_pool in self.pool_states:
            return self._account_free_margin(self.pool_states[self.wallet_pool], rows)
        spare = self.free_wallet_cash(rows)
        for state in self.pool_states.values():
            spare = spare + np.maximum(self._account_free_margin(state, rows), 0.0)
        return spare

    def _account_free_margin(self, state: PoolState, rows: slice) -> F8:
        """What accounts have beyond initial margin and what orders reserve, as last assessed."""
        spare: F8 = state.assessment.equity[rows] - state.assessment.initial[rows]
        return spare - self.pool_accounts(state.pool).take(rows).reserved_value()

    def free_wallet_cash(self, rows: I8 | slice) -> F8:
        """What wallets can give in the numeraire: no more than lies there, nor than they are worth (ISO-1)."""
        cash: F8 = np.minimum(
            self.ledger.balance[0, self.wallet_pool, rows], self.wallet_value(rows)
        )
        return np.maximum(cash, 0.0)

    def separate_wallet_value(self) -> float:
        """Value of all participants' wallets that lie apart from margin accounts, minor units of the numeraire."""
        return (
            0.0
            if self.wallet_pool in self.pool_states
            else float(self.wallet_value(slice(0, self.system_accounts.external)).sum())
        )

    def wallet_value(self, rows: I8 | slice) -> F8:
        """Value of wallet balances, minor units of the numeraire."""
        cash: F8 = self.ledger.balance[:, self.wallet_pool, rows].T @ self.view.price
        return cash
