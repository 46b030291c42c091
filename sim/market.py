"""One market: its state, its recorder, and the order of a step."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sim.build import build_state
from sim.compiled.assembly.run import compile_run
from sim.compiled.program import CompiledRun
from sim.config import MarketConfig
from sim.deferred_agents import DeferredAgentsModel
from sim.errors import DeleverageError, LearningWarning, describe_unknown
from sim.exchange.book import OrderBooks
from sim.ledger import Ledger
from sim.margin.past import list_opening_values
from sim.market_path import measure_history
from sim.numerics.jit import IS_COMPILING
from sim.numerics.rng import RandomStreams
from sim.prices.bars import Bars
from sim.prices.path import ExogenousPath
from sim.protocols import PopulationProtocol
from sim.recording.recorder import Recorder
from sim.records import StepRecord
from sim.step import (
    admission,
    assessment,
    cash_flows,
    funding,
    index,
    liquidation,
    loss_waterfall,
    margin_calls,
    marking,
    opening,
    oracles,
    orders,
    trading,
)
from sim.types import I8, Contracts
from sim.venue import Venue

PopulationFactory = Callable[["Market"], Sequence[PopulationProtocol]]


class Market(DeferredAgentsModel):
    """Market of agents that trade on venues with exchangeable margin engines.

    It is a ``mesa.Model``. The agents of ``agents.populate`` are created when they are first used.

    Args:
        config: rules of the market; copied, not changed.
        populate: function that makes the participants (see ``agents.populate``).
        seed: root seed of every stream (RNG-1).
        bars: bars by source, of days or shorter, for replayed underlyings.
    """

    def __init__(
        self,
        config: MarketConfig,
        populate: PopulationFactory,
        *,
        seed: int,
        bars: Mapping[str, Bars] | None = None,
    ) -> None:
        super().__init__(rng=int(np.random.SeedSequence([seed, 0]).generate_state(1, np.uint64)[0]))
        own = config.model_copy(deep=True)
        self.state = build_state(own, RandomStreams(seed), bars or {}, lambda: populate(self))
        self.recorder = Recorder(self.state)
        self._compiled: CompiledRun | None = None
        self._warn_unlearnt(bars or {})
        opening.open_market(self.state)
        self.recorder.record_opening()

    def step(self) -> None:
        """Advance the market by one step, in the order of the model's description.

        Raises:
            DeleverageError: the exogenous path has ended; after its last step ``running`` is False.
        """
        market = self.state
        if market.tick == market.steps_planned:
            raise DeleverageError(
                f"step: the run of {market.tick} steps is over; give a longer duration"
            )
        market.begin_step()
        index.update_index(market)  # 1
        funding.settle_funding(market)  # 2
        margin_calls.answer_calls(market)  # 2
        oracles.publish_prices(market)  # 3
        cash_flows.post_cash_flows(market)  # 4
        sent, chosen = orders.collect_orders(market)  # 4
        admitted, replaced = admission.admit_orders(market, sent, chosen)  # 5
        trades = trading.match_orders(market, admitted, replaced)  # 6
        depth_near = marking.update_marks(market)  # 7
        assessment.assess_accounts(market)  # 7
        rounds, n_rounds = liquidation.run_liquidation_rounds(market)  # 8
        losses = loss_waterfall.allocate_losses(market)  # 9
        self.recorder.record_step(StepRecord(trades, depth_near, rounds, n_rounds, losses))  # 10
        self.running = market.tick < market.steps_planned

    def advance(self, steps: int) -> None:
        """Make several steps by compiled code: the same as as many calls of :meth:`step`.

        With ``NUMBA_DISABLE_JIT=1``, and where both sides of members in hedge mode are one account,
        the steps are plain.

        Args:
            steps: number of steps, up to the end of the run.
        """
        last = min(self.tick + steps, self.steps_planned)
        if not IS_COMPILING or self.state.has_joint_sides():
            while self.tick < last:
                self.step()
            return
        if self._compiled is None:
            self._compiled = compile_run(self.state, self.recorder)
        if last > self.tick:
            self._compiled.advance(last)
        self.steps = self.tick
        self.running = self.tick < self.steps_planned

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle keeps: all but compiled steps, whose arrays are these."""
        return {**self.__dict__, "_compiled": None}

    def _warn_unlearnt(self, bars: Mapping[str, Bars]) -> None:
        """Warn of engines that cannot learn their parameters in so short a run."""
        market, history = self.state, measure_history(self.state.config, bars)
        for venue in market.venues:
            message = venue.config.engine.explain_short_run(
                market.steps_planned * market.config.dt, market.config.dt, history
            )
            if message:
                warnings.warn(
                    f"venues.{venue.number}.engine: {message}", LearningWarning, stacklevel=3
                )

    @property
    def config(self) -> MarketConfig:
        """Rules of the market."""
        return self.state.config

    @property
    def tick(self) -> int:
        """Number of steps made."""
        return self.state.tick

    @property
    def steps_planned(self) -> int:
        """Number of steps of the whole run."""
        return self.state.steps_planned

    @property
    def venues(self) -> tuple[Venue, ...]:
        """Venues in the order of the configuration."""
        return self.state.venues

    @property
    def contracts(self) -> Contracts:
        """Instruments of all venues."""
        return self.state.contracts

    @property
    def populations(self) -> tuple[PopulationProtocol, ...]:
        """Populations in the order of the configuration."""
        return self.state.populations

    @property
    def member_slices(self) -> tuple[slice, ...]:
        """Owners of each population."""
        return self.state.member_slices

    @property
    def ledger(self) -> Ledger:
        """Balances and positions of all owners."""
        return self.state.ledger

    @property
    def order_books(self) -> OrderBooks:
        """Order books of all instruments."""
        return self.state.order_books

    @property
    def exogenous_path(self) -> ExogenousPath:
        """Index paths, asset prices and depth outside the market, for the whole run."""
        return self.state.exogenous_path

    def retire_owner(self, owner: int) -> None:
        """Remove a participant: cancel its resting orders and ignore it in later decisions.

        Its cash stays in its accounts. Draws and decisions of other participants do not change.

        Args:
            owner: a participant without positions.

        Raises:
            DeleverageError: the owner holds a position, or is an insurance fund.
        """
        name = next(
            population.name
            for population, members in zip(self.populations, self.member_slices, strict=True)
            if members.start <= owner < members.stop
        )
        rows = np.flatnonzero(self.state.sides.member == owner)
        held = ", ".join(
            f"{lots} lots of {instrument}"
            for row in rows
            for instrument, lots in zip(
                self.contracts.names, self.position_of(int(row)).tolist(), strict=True
            )
            if lots
        )
        if held:
            raise DeleverageError(
                f"remove: owner {owner} of {name!r} holds {held}; it must hold no position: "
                "close it first"
            )
        if any(owner == venue.system_accounts.insurance_fund for venue in self.venues):
            raise DeleverageError(
                f"remove: owner {owner} of {name!r} is a venue's insurance fund, keep it"
            )
        for instrument in range(len(self.contracts.names)):
            self.order_books.cancel_owner_orders(instrument, rows)
        self.state.is_retired[rows] = True

    def list_opening_values(self) -> list[str]:
        """Return a line for each estimator of an engine that still has its opening value (MAR-5).

        After the last step, these are the estimators that never left it.
        """
        lines = [
            f"venues.{venue.number}.engine: {line}"
            for venue in self.venues
            for pool in venue.pool_states.values()
            for line in list_opening_values(pool.engine.requirement)
        ]
        return list(dict.fromkeys(lines))

    @property
    def minor_units(self) -> int:
        """Minor units in one unit of the numeraire; divide amounts of money by it for display."""
        return int(10 ** self.config.assets[0].decimals)

    def mark_of(self, instrument: str) -> float:
        """Return the mark of an instrument in quote currency.

        Raises:
            DeleverageError: no venue lists an instrument of that name.
        """
        if instrument not in self.contracts.names:
            raise DeleverageError(f"mark_of: {describe_unknown(instrument, self.contracts.names)}")
        k = self.contracts.names.index(instrument)
        venue = self.venues[self.contracts.venue[k]]
        return float(venue.view.mark[k - venue.instrument_slice.start] * self.contracts.tick[k])

    def position_of(self, owner: int) -> I8:
        """Return the lots that an owner holds of each instrument, (K,)."""
        return self.ledger.position[:, owner]

    def equity_of(self, owner: int) -> float:
        """Return an owner's equity over all venues, minor units of the numeraire.

        In hedge mode that of the long side, to which the wallet belongs, includes the short side.
        """
        rows = np.flatnonzero(self.state.sides.member == owner).tolist() or [owner]
        views = (self.state.account_view(slice(row, row + 1)) for row in rows)
        return float(sum(view.equity.sum() for view in views))

    def wallet_of(self, owner: int) -> I8:
        """Return an owner's wallet balances, (V, C) minor units."""
        wallet: I8 = self.state.account_view(slice(owner, owner + 1)).wallet[0]
        return wallet
