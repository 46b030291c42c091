"""One exchange during a run: its rules, its public view and its margin pools."""

from typing import Any, NamedTuple

import numpy as np

from sim.attribution import CARRY, INDEX, VOLUNTARY
from sim.config import VenueConfig
from sim.errors import ConfigError
from sim.exchange.mark import MarkInputs
from sim.ledger import Ledger
from sim.margin.calls import PoolMarginCalls
from sim.margin.engine import MarginEngine
from sim.margin.past import iterate_views, learn_past
from sim.margin.probe_portfolio import preview_initial_margins
from sim.margin.tail.volatility import RunningVolatility
from sim.numerics.rng import RandomStreams
from sim.prices.impact import compute_log_returns
from sim.prices.past import PastReturns
from sim.prices.path import Times
from sim.records import StepFlows
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
    """Owners of the ledger that are not participants."""

    insurance_fund: int  # MISSING for a venue without an insurance fund
    fees: int  # trading fees
    rounding: int  # remainders of rounding
    venue_equity: int  # own capital of the venue, which pays bad debt
    external: int  # the rest of the world


class PoolState:
    """A margin pool with its engine and the state of its accounts."""

    def __init__(self, pool: MarginPool, engine: MarginEngine, owners: int) -> None:
        self.pool, self.engine = pool, engine
        self.assessment = MarginAssessment(np.zeros(owners), np.zeros(owners), np.zeros(owners))
        self.distress = DistressHistory(
            *(np.full(owners, MISSING) for _ in DistressHistory._fields)
        )
        self.margin_calls: PoolMarginCalls | None = None


def record_since(since: I8, holds: B1, tick: int) -> None:
    """Update the tick since which a condition holds for each account.

    Args:
        since: (N,) in place; MISSING where the condition does not hold.
        holds: (N,) True where it holds now.
        tick: the present tick.
    """
    rows = np.flatnonzero(holds)
    since[rows[since[rows] == MISSING]] = tick
    np.putmask(since, ~holds, MISSING)


class VenueWorld(NamedTuple):
    """Data of the market around a venue, and its opening prices."""

    contracts: Contracts  # of all venues
    pools: tuple[MarginPool, ...]  # of all venues
    ledger: Ledger
    unit: int  # minor units in one unit of the numeraire
    dt: float  # seconds in a step
    clock: F8  # (U,) seconds of the run's clock in a year
    streams: RandomStreams
    steps: int  # number of steps of the run
    opening_index: F8  # (U,) quote currency
    opening_price: F8  # (C,) minor units of the numeraire per minor unit of each asset
    stamps: Times  # exchange time of each step; empty without replayed days
    seconds: float  # length of the run
    past: PastReturns | None = None  # returns before the start; none = no history


class Venue:
    """Rules of one venue, bound to the market's ledger.

    Args:
        number: index among the venues.
        config: rules of the venue; a private copy, because components keep state.
        rows: its system accounts.
        world: the market around it, and its opening prices.

    Raises:
        ConfigError: its engine or its funding does not fit its instruments or the run.
    """

    def __init__(
        self, number: int, config: VenueConfig, rows: SystemAccounts, world: VenueWorld
    ) -> None:
        self.number, self.config, self.system_accounts = number, config, rows
        self.ledger, self.dt, self.seconds_per_year = world.ledger, world.dt, world.clock
        self._set_instruments(world)
        self.flows = StepFlows()
        n_owners = world.ledger.balance.shape[2]
        # wealth outside the market with which each owner can still meet margin calls
        self.outside_wealth = np.zeros(n_owners, dtype=np.int64)
        self.has_been_called = np.zeros(n_owners, dtype=np.bool_)
        # payments of each owner from outside less those back, since the start, minor units
        self.net_paid_in = np.zeros(n_owners, dtype=np.int64)
        year = world.clock[self.contracts.underlying]
        self.running_volatility = RunningVolatility(world.dt, year)
        self.liquidation_policy = config.liquidation.bind(world.dt)
        self.pool_states = self._build_pool_states(n_owners, world.unit)
        if config.funding is not None:
            config.funding.set_year_lengths(year)
            config.funding.prepare_run(world.stamps, world.seconds)
        self.view = self._opening_view(world)
        self.quotes = self.previous_quotes = self._opening_quotes()
        if world.past is not None:
            self._learn_past(world.past)
        self._update_max_leverage()

    def _learn_past(self, past: PastReturns) -> None:
        """Let the estimate of volatility and the engines learn from returns before the start."""
        for segment in past.iterate_segments():
            returns = segment.returns[:, self.contracts.underlying]
            volatility = self.running_volatility.learn_past(returns, segment.steps)
            self.view = self.view._replace(vol=volatility)
        for state in self.pool_states.values():
            for seen in iterate_views(past, self.pool_view(state.pool)):
                learn_past(state.engine.requirement, seen)

    def _set_instruments(self, world: VenueWorld) -> None:
        """Select the venue's instruments and pools, and create its columns of instruments."""
        own = np.flatnonzero(world.contracts.venue == self.number)
        self.instrument_slice = slice(int(own[0]), int(own[-1]) + 1)
        self.contracts = world.contracts.select_instruments(self.instrument_slice)
        self.pools = _select_margin_pools(world.pools, self.number)
        self.wallet_pool = self.pools[0].wallet_pool
        self.spot_columns = np.flatnonzero(self.contracts.kind == SPOT)
        self.basis = np.zeros(own.size)
        self.has_missing_side = np.zeros(own.size, dtype=bool)
        self.max_leverage_long = np.full(own.size, np.inf)  # admitted for a long of one lot
        self.max_leverage_short = np.full(own.size, np.inf)

    def _build_pool_states(self, owners: int, unit: int) -> dict[int, PoolState]:
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
        """Return the view before the first step, with last trade and mark at the oracle."""
        count, unknown = len(self.contracts.names), np.full(len(self.contracts.names), np.nan)
        none, zero = np.zeros(count, dtype=np.int64), np.zeros(count)
        self.writable_returns = np.zeros((world.steps, world.opening_index.size))
        self.oracle_returns = self.writable_returns.view()
        self.oracle_returns.flags.writeable = False
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
            returns=self.oracle_returns[:0],
            to_sell=none,
            to_buy=none,
            dt=self.dt,
            imbalance=unknown,
            crowd=unknown,
            clock=self.seconds_per_year,
        )

    def _opening_quotes(self) -> MarkInputs:
        """Return quotes of empty order books at the oracle."""
        oracle = self.convert_to_ticks(self.view.oracle)
        empty = np.ones(oracle.size, dtype=bool)
        return MarkInputs(np.full(oracle.size, np.nan), np.rint(oracle), oracle, self.basis, empty)

    def deposit_wealth(self, owners: slice, wealth: I8) -> None:
        """Deposit starting wealth (n,) in the wallet.

        Outside wealth for margin calls is a multiple of it (MAR-4).
        """
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
        """Begin a step: publish the oracle, and let the engines learn their parameters."""
        self.previous_quotes = self.quotes
        oracle = self._oracle_price(streams, tick, seconds, index)
        returns = compute_log_returns(oracle, self.view.oracle)
        self.writable_returns[tick - 1] = returns
        self.view = self.view._replace(
            tick=tick,
            oracle=oracle,
            confidence=np.full(index.size, float(self._confidence)),
            vol=self.running_volatility.learn(returns[self.contracts.underlying]),
            price=price,
            returns=self.oracle_returns[:tick],
            seconds=seconds,
            crowd=self._crowd_leverage(),
        )
        self.observe_market()

    def observe_market(self) -> None:
        """Let the engines learn from the oracle, and find the leverage that they now admit."""
        for state in self.pool_states.values():
            state.engine.observe(self.pool_view(state.pool))
        self._update_max_leverage()

    def _crowd_leverage(self) -> F8:
        """Return gross notional of derivatives over equity, at the last step, (K,)."""
        view, lot_value = self.view, self.view.lot_value()
        gross = 2.0 * float((view.open_interest * lot_value)[self.contracts.kind != SPOT].sum())
        equity = (
            sum(float(state.assessment.equity.sum()) for state in self.pool_states.values())
            + self.separate_wallet_value()
        )
        return np.full(lot_value.size, gross / equity if equity > 0 else np.nan)

    def _oracle_price(self, streams: RandomStreams, tick: int, seconds: float, index: F8) -> F8:
        width = self.config.oracle.sources if self.config.oracle.noise else 0
        draws = streams.draw_uniform(f"oracle/{self.config.name}", tick, index.size, width)
        oracle, self._confidence = self.config.oracle.publish(seconds, index, draws, self.dt)
        return oracle

    def _update_max_leverage(self) -> None:
        for state in self.pool_states.values():
            part = state.pool.venue_slice
            self.max_leverage_long[part], self.max_leverage_short[part] = state.engine.max_leverage(
                self.pool_view(state.pool)
            )

    def preview_margin(self, lots: I8) -> F8:
        """Return the initial margin of hypothetical portfolios of lots (r, K), (r,)."""
        total = np.zeros(len(lots))
        for state in self.pool_states.values():
            engine, part = state.engine, state.pool.venue_slice
            total += preview_initial_margins(
                engine.valuation, engine.requirement, lots[:, part], self.pool_view(state.pool)
            )
        return total

    def convert_to_ticks(self, index: F8) -> F8:
        """Return a price of each underlying (U,) in ticks of each instrument, (K,)."""
        price: F8 = index[self.contracts.underlying] / self.contracts.tick
        return price

    def mark_price(self, quotes: MarkInputs) -> F8:
        """Return the mark at some quotes, (K,) whole ticks (MARK-1)."""
        return np.asarray(self.config.mark.compute_mark(quotes))

    def update_mark(self, tops: I8, learn: bool = False, **changed: Any) -> None:
        """Update quotes and marks, and other columns of the view that changed.

        Args:
            tops: (K, 3) best bid, best ask, last price.
            learn: True if a step has passed, so that the mark's average moves on.
            changed: further columns of the view.
        """
        has_no_bid, has_no_ask = tops[:, 0] == MISSING, tops[:, 1] == MISSING
        bid, ask, last = np.where(tops == MISSING, np.nan, tops).T
        mid = (bid + ask) / 2
        oracle = self.convert_to_ticks(self.view.oracle)
        if learn:
            basis = self.config.mark.update_basis(self.basis, mid, oracle, self.dt)
            self.basis = np.asarray(basis)
        self.has_missing_side = has_no_bid | has_no_ask
        self.quotes = MarkInputs(mid, last, oracle, self.basis, has_no_bid & has_no_ask)
        mark = self.mark_price(self.quotes)
        self.view = self.view._replace(mark=mark, bid=bid, ask=ask, last=last, **changed)

    def mark_stages(self) -> dict[str, F8]:
        """Return the marks between the last step and now, by kind of event, in order (LIQ-6)."""
        old, new = self.previous_quotes, self.quotes
        ratio = new.oracle / old.oracle
        index = old._replace(mid=old.mid * ratio, last=old.last * ratio, oracle=new.oracle)
        return {
            INDEX: self.mark_price(index),
            VOLUNTARY: self.mark_price(new._replace(basis=old.basis)),
            CARRY: self.view.mark,
        }

    def equity(self, rows: slice) -> F8:
        """Return the last assessed equity of owners at this venue, minor units of the numeraire."""
        if self.wallet_pool in self.pool_states:
            return self.pool_states[self.wallet_pool].assessment.equity[rows]
        total = self.wallet_value(rows)
        for state in self.pool_states.values():
            total = total + state.assessment.equity[rows]
        return total

    def publish_auctions(self) -> None:
        """Publish the lots that the liquidation policy auctions in the next step (LIQ-3)."""
        to_sell, to_buy = np.zeros((2, len(self.contracts.names)), dtype=np.int64)
        for state in self.pool_states.values():
            accounts = self.pool_accounts(state.pool)
            rows = np.flatnonzero(
                self.liquidation_policy.select_auctioned(state.assessment, state.distress, accounts)
            )
            if not rows.size:
                continue
            lots = accounts.position[rows] * (accounts.market.contracts.kind != SPOT)
            to_sell[state.pool.venue_slice] = np.maximum(lots, 0).sum(axis=0)
            to_buy[state.pool.venue_slice] = np.maximum(-lots, 0).sum(axis=0)
        self.view = self.view._replace(to_sell=to_sell, to_buy=to_buy)

    def pool_accounts(self, pool: MarginPool) -> Exposure:
        """Return the live accounts of a pool at the venue's present view."""
        return self.ledger.view_accounts(pool, self.pool_view(pool))

    def admission_accounts(self, pool: MarginPool) -> Exposure:
        """Return the accounts with the leverage that owners chose, for admission (MAR-1)."""
        return self.pool_accounts(pool)._replace(leverage=self.ledger.leverage[pool.instruments].T)

    def pool_view(self, pool: MarginPool) -> MarketView:
        """Return a pool's part of the view."""
        return self.view if len(self.pools) == 1 else self.view.select_instruments(pool.venue_slice)

    def free_margin(self, rows: slice) -> F8:
        """Return what owners can still use as initial margin, minor units of the numeraire.

        It includes wallets and margin accounts.
        """
        if self.wallet_pool in self.pool_states:
            return self._account_free_margin(self.pool_states[self.wallet_pool], rows)
        spare = self.free_wallet_cash(rows)
        for state in self.pool_states.values():
            spare = spare + np.maximum(self._account_free_margin(state, rows), 0.0)
        return spare

    def _account_free_margin(self, state: PoolState, rows: slice) -> F8:
        """Return last assessed equity beyond initial margin and the reserve of orders."""
        spare: F8 = state.assessment.equity[rows] - state.assessment.initial[rows]
        return spare - self.pool_accounts(state.pool).take(rows).reserved_value()

    def free_wallet_cash(self, rows: I8 | slice) -> F8:
        """Return what wallets can pay in the numeraire, at most their total value (ISO-1)."""
        cash: F8 = np.minimum(
            self.ledger.balance[0, self.wallet_pool, rows], self.wallet_value(rows)
        )
        return np.maximum(cash, 0.0)

    def separate_wallet_value(self) -> float:
        """Return the value of participants' separate wallets, minor units of the numeraire."""
        if self.wallet_pool in self.pool_states:
            return 0.0
        return float(self.wallet_value(slice(0, self.system_accounts.external)).sum())

    def wallet_value(self, rows: I8 | slice) -> F8:
        """Return the value of wallet balances, minor units of the numeraire."""
        cash: F8 = self.ledger.balance[:, self.wallet_pool, rows].T @ self.view.price
        return cash


def _select_margin_pools(pools: tuple[MarginPool, ...], number: int) -> tuple[MarginPool, ...]:
    """Return the pools of a venue that hold instruments."""
    return tuple(
        pool
        for pool in pools
        if pool.venue == number and pool.instruments.stop > pool.instruments.start
    )
