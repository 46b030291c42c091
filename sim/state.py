"""State of one market: the data of the phases of a step, and methods that read it."""

from dataclasses import dataclass, field

import numpy as np

from sim.accounts.opening import OpeningBook
from sim.attribution import CauseLog
from sim.config import MarketConfig
from sim.exchange.book import OrderBooks
from sim.ledger import Ledger
from sim.numerics.rng import RandomStreams
from sim.prices.impact import ImpactDynamics, compute_index
from sim.prices.path import ExogenousPath
from sim.protocols import PopulationProtocol
from sim.records import StepFlows
from sim.types import (
    B1,
    F8,
    I8,
    AccountView,
    Contracts,
    MarginAssessment,
    Observation,
    PositionSides,
)
from sim.venue import Venue


@dataclass
class MarketState:
    """All parts of a market, and its position in the run.

    Axes: N owners, K instruments of all venues, U underlyings, V venues.
    """

    config: MarketConfig
    streams: RandomStreams
    exogenous_path: ExogenousPath
    contracts: Contracts
    venues: tuple[Venue, ...]
    populations: tuple[PopulationProtocol, ...]
    member_slices: tuple[slice, ...]  # owners of each population
    external_owner: int  # owner that stands for the rest of the world
    order_books: OrderBooks
    ledger: Ledger
    is_margined: B1  # (N,) owners whom margin rules bind
    sides: PositionSides  # of members in hedge mode
    max_lots: I8  # (K,)
    highest_fee: F8  # (K,) the higher of taker's and maker's fee
    impact_dynamics: ImpactDynamics
    log_impact: F8  # (U,) cumulated effect of trading on each log index
    external_spot_lots: I8  # (K,) lots of the external owner at the last impact update (IDX-2)
    is_retired: B1  # participants removed from the market
    price_bands: I8  # (K, 2) lowest and highest price that may trade
    tick: int = 0  # steps made
    next_close_out: int = 0  # id of the next close-out
    cause_logs: dict[int, CauseLog] = field(default_factory=dict)  # by number of the pool
    opening_book: OpeningBook | None = None  # accounts of a table with which the run began

    @property
    def n_owners(self) -> int:
        """Rows of the ledger: participants, the external owner, and the venues' system accounts."""
        return int(self.is_margined.size)

    @property
    def steps_planned(self) -> int:
        """Steps of the whole run."""
        return len(self.exogenous_path.log_price) - 1

    def has_joint_sides(self) -> bool:
        """Return whether both sides of members in hedge mode are one account (ISO-1)."""
        return bool(self.sides.pairs.size) and any(
            venue.config.position_mode == "hedge" and venue.wallet_pool in venue.pool_states
            for venue in self.venues
        )

    def begin_step(self) -> None:
        """Advance the clock by one step, and reset the venues' counts."""
        self.tick += 1
        for venue in self.venues:
            venue.flows = StepFlows()

    def tick_value(self) -> F8:
        """Return minor units of the numeraire per tick and lot of each instrument, (K,), now."""
        price = self.venues[0].view.price
        return self.contracts.multiplier * price[self.contracts.settle]

    def spot_index(self) -> F8:
        """Return the index with impact, (U,) quote currency (IDX-1, IDX-2)."""
        return compute_index(self.exogenous_path.log_price[self.tick], self.log_impact)

    def asset_prices(self) -> F8:
        """Return minor units of the numeraire per minor unit of each asset, (C,), now."""
        price: F8 = self.config.asset_scale() * self.exogenous_path.asset_price[self.tick]
        return price

    def mark_prices(self) -> F8:
        """Return the marks of all instruments, (K,) ticks."""
        return np.concatenate([venue.view.mark for venue in self.venues])

    def build_observation(self) -> Observation:
        """Return the market data that every agent sees."""
        return Observation(
            tick=self.tick,
            dt=self.config.dt,
            spot=self.spot_index(),
            depth_share=float(self.exogenous_path.depth_share[self.tick]),
            venues=tuple(venue.view for venue in self.venues),
            first_instrument=tuple(venue.instrument_slice.start for venue in self.venues),
            max_leverage=np.concatenate([venue.max_leverage_long for venue in self.venues]),
            preview_margin=self.preview_margin,
        )

    def preview_margin(self, venue: int, lots: I8) -> F8:
        """Return the initial margin of hypothetical portfolios at a venue; see ``Observation``."""
        return self.venues[venue].preview_margin(lots)

    def account_view(self, members: slice) -> AccountView:
        """Return the accounts of some owners as they see them."""
        shape = (len(self.venues), members.stop - members.start)
        equity, free = np.empty(shape), np.empty(shape)
        for venue in self.venues:
            equity[venue.number] = venue.equity(members)
            free[venue.number] = venue.free_margin(members)
        wallets = [venue.wallet_pool for venue in self.venues]
        wallet = self.ledger.balance[:, wallets, members].transpose(2, 1, 0)
        position, entry = self.ledger.position[:, members].T, self.ledger.entry[:, members].T
        return AccountView(
            position=position,
            entry=entry,
            free_margin=free.T,
            equity=equity.T,
            wallet=wallet,
            leverage=self.ledger.leverage[:, members].T,
        )

    def account_assessments(self, members: slice) -> MarginAssessment:
        """Return the last assessment of the account that margins each instrument, (n, K)."""
        columns = np.empty((3, len(self.contracts.names), members.stop - members.start))
        for venue in self.venues:
            for state in venue.pool_states.values():
                for column, amounts in zip(columns, state.assessment, strict=True):
                    column[state.pool.instruments] = amounts[members]
        return MarginAssessment(*columns.transpose(0, 2, 1))

    def open_interest(self, venue: Venue) -> I8:
        """Return the open interest of a venue's instruments, (K,) lots."""
        return np.abs(self.ledger.position[venue.instrument_slice]).sum(axis=1) // 2

    def prices_within(self, share: float) -> tuple[I8, I8]:
        """Return the lowest and highest price within a share of the marks, (K,) ticks each."""
        mark = self.mark_prices()
        low, high = np.ceil(mark * (1 - share)), np.floor(mark * (1 + share))
        return low.astype(np.int64), high.astype(np.int64)
