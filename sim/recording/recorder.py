"""Recorder of a run: preallocated columns while it runs, tidy frames afterwards.

Frames (prices in quote currency, quantities in lots, money in whole minor units of the numeraire;
`sim/recording/README.md` lists all columns):

- ``steps``: one row per step and instrument.
- ``venues``: one row per step and venue, from step 0, the opening.
- ``market``: one row per step.
- ``closeouts``: one row per close-out; ``action`` joins the legs of one account in one round.
- ``causes``: one row per action with fills and event that changed its account's excess (LIQ-6).
- ``losses``: one row per bankrupt account and loss layer; ``bad_debt`` is the loss that no layer
  absorbed (LOSS-3).
- ``accounts``: one row per margin account or separate wallet, at start, peak and end.
- ``profile``: one row per reading, instrument and move: lots at risk and resting lots (LIQ-7).
- ``populations``: one row per reading, venue and population.
"""

from typing import Any

import numpy as np
import pandas as pd

from sim.attribution import CAUSE_KINDS
from sim.prices.impact import compute_index
from sim.recording.account_columns import (
    AccountSnapshot,
    join_account_columns,
    list_account_columns,
)
from sim.recording.event_tables import N_CAUSES, ORDER, ROUND, STEP, VENUE, EventTables
from sim.recording.loss_events import take_loss_events
from sim.recording.profile_recorder import ProfileRecorder
from sim.recording.recorder_tables import (
    ASSESSMENT_COLUMNS,
    COUNT_COLUMNS,
    EVENT_COLUMNS,
    MONEY_COLUMNS,
    PRICE_COLUMNS,
    RATE_COLUMNS,
    STATE_COLUMNS,
    RecorderTables,
)
from sim.recording.units import label_units
from sim.records import LiquidationRound, Losses, LossEvents, NameArray, StepRecord
from sim.state import MarketState
from sim.types import F8, I8, MISSING, SPOT
from sim.venue import Venue

ROUTE_NAMES = ("book", "auction")
"""Names of ROUTE_BOOK and ROUTE_AUCTION."""


class Recorder:
    """Recorder of one market's frames, with fixed memory except for close-outs and losses."""

    def __init__(self, market: MarketState) -> None:
        self.market = market
        steps = market.steps_planned
        self.tables = RecorderTables.allocate(
            steps, len(market.contracts.names), len(market.venues)
        )
        names = PRICE_COLUMNS + RATE_COLUMNS
        self._prices = dict(zip(names, self.tables.prices, strict=True))
        self._counts = dict(zip(COUNT_COLUMNS, self.tables.counts, strict=True))
        self._money = dict(zip(MONEY_COLUMNS, self.tables.money, strict=True))
        self._has_missing_side = self.tables.has_missing_side
        steps_per_profile = round(market.config.profile_every / market.config.dt)
        self.profile_steps = max(1, steps_per_profile)
        readings = steps // self.profile_steps if market.config.profile_every else 0
        self.profile_recorder = ProfileRecorder(market, readings)
        self.rounds = np.zeros(steps, dtype=np.int64)  # of each step
        instruments = max(len(venue.contracts.names) for venue in market.venues)
        self.events = EventTables(instruments, market.n_owners)
        self._losses: list[tuple[int, LossEvents]] = []  # in order; see `losses`
        self.snapshots: dict[str, AccountSnapshot] = {}  # by moment, in order
        self.peak_gross = np.zeros(1, dtype=np.int64)

    def _record_markout(self, row: int, trades: I8) -> None:
        """Record the gain of resting orders at the mark after the step's trades (BOOK-2)."""
        lots, value = trades[2:]
        self._counts["markout"][row] = np.rint(
            (value - lots * self.market.mark_prices()) * self.market.tick_value()
        )

    def _record_round(self, row: int, done: LiquidationRound) -> None:
        """Add one round at one venue to the counts, and keep it."""
        executed = done.executed
        for name, values in (
            ("closeouts", np.ones(executed.instrument.size, dtype=np.int64)),
            ("liquidated", executed.filled),
            ("liquidated_notional", executed.notional),
            ("volume", executed.filled),
        ):
            np.add.at(self._counts[name][row], executed.instrument, values)
        self.events.append_round(self.market.tick, done)

    def _record_losses(self, row: int, events: LossEvents) -> None:
        """Keep the parts of accounts' shortfalls that layers absorbed."""
        part = events.pool.instruments
        is_adl = np.array([kind.startswith("adl") for kind in events.kinds])[events.layer]
        self._counts["adl"][row, part] += events.lots[is_adl].sum(axis=0)
        self._counts["adl_notional"][row, part] += events.notional[is_adl].sum(axis=0)
        self.losses.append((self.market.tick, events))

    @property
    def losses(self) -> list[tuple[int, LossEvents]]:
        """Step and events of every allocation of losses, in order."""
        self._losses += take_loss_events(self.events, self.market)
        return self._losses

    def record_opening(self) -> None:
        """Record the state before the first step: first row of ``venues``, and all accounts."""
        for venue in self.market.venues:
            self._record_venue_money(venue.number)
        self.record_accounts("start")

    def record_step(self, step: StepRecord) -> None:
        """Record a step at its end."""
        market, row = self.market, self.market.tick - 1
        self._record_events(row, step)
        index = market.spot_index()
        exogenous = compute_index(
            market.exogenous_path.log_price[market.tick], np.zeros_like(market.log_impact)
        )
        for venue in market.venues:
            self._record_venue(row, venue, index, exogenous)
        if self.is_profile_due(market.tick):
            self.record_profile()

    def is_profile_due(self, tick: int) -> bool:
        """Return whether a step ends with a reading of the profile."""
        return bool(self.market.config.profile_every) and tick % self.profile_steps == 0

    def record_profile(self) -> None:
        """Take a reading, and keep all accounts if gross notional is at its peak."""
        row = self.market.tick - 1
        self._prices["feedback"][row] = self.profile_recorder.take_reading()
        gross = int(self._counts["gross"][row].sum())
        if gross > self.peak_gross[0]:
            self.peak_gross[0] = gross
            self.record_accounts("peak")

    def _record_events(self, row: int, step: StepRecord) -> None:
        """Record trades, liquidation rounds and losses of a step."""
        self._counts["trades"][row] += step.trades[0]
        self._counts["volume"][row] += step.trades[1]
        self._prices["depth_near"][row] = step.depth_near
        self.rounds[row] = step.n_rounds
        for done in step.rounds:
            self._record_round(row, done)
        self.record_losses(step.losses)
        self._record_markout(row, step.trades)

    def record_losses(self, losses: Losses) -> None:
        """Record the shortfalls of a step, and the layers that absorbed them."""
        for events in losses.events:
            self._record_losses(self.market.tick - 1, events)
        self._money["shortfall"][self.market.tick] += losses.shortfalls

    def _record_venue(self, row: int, venue: Venue, index: F8, exogenous: F8) -> None:
        """Record the state of a venue at the end of a step."""
        market, part, view = self.market, venue.instrument_slice, venue.view
        self._has_missing_side[row, part] = venue.has_missing_side
        self._record_venue_prices(row, venue, index, exogenous)
        for name in ("open_interest", "to_sell", "to_buy"):
            self._counts[name][row, part] = getattr(view, name)
        lots = np.abs(market.ledger.position[part, : market.external_owner]).sum(axis=1)
        self._counts["gross"][row, part] = np.rint(lots * view.mark * market.tick_value()[part])
        self._record_venue_money(venue.number)

    def _record_venue_prices(self, row: int, venue: Venue, index: F8, exogenous: F8) -> None:
        """Record prices in quote currency and margin rates; both indices are (U,)."""
        view, tick, underlying = venue.view, venue.contracts.tick, venue.contracts.underlying
        for name, values in (
            ("index", index[underlying]),
            ("exogenous", exogenous[underlying]),
            ("oracle", view.oracle[underlying]),
            ("mark", view.mark * tick),
            ("mid", venue.quotes.mid * tick),
            ("bid", view.bid * tick),
            ("ask", view.ask * tick),
            ("last", view.last * tick),
            ("depth", view.depth),
            ("funding", view.funding),
            ("margin_long", 1 / venue.max_leverage_long),
            ("margin_short", 1 / venue.max_leverage_short),
        ):
            self._prices[name][row, venue.instrument_slice] = values

    def _record_venue_money(self, number: int) -> None:
        venue, row = self.market.venues[number], self.market.tick
        sums = {name: 0.0 for name in ASSESSMENT_COLUMNS}
        for state in venue.pool_states.values():
            for name in ASSESSMENT_COLUMNS:
                sums[name] += float(getattr(state.assessment, name).sum())
        sums["equity"] += venue.separate_wallet_value()
        fund = venue.system_accounts.insurance_fund
        if fund != MISSING:
            sums["fund"] = float(venue.equity(slice(fund, fund + 1))[0])
        flows = venue.flows
        sums |= {
            "calls": flows.calls_opened,
            "calls_met": flows.calls_met,
            "calls_missed": flows.calls_missed,
        }
        sums |= {"deposits": flows.paid_in, "withdrawals": flows.paid_out}
        for name, value in sums.items():
            self._money[name][row, number] = round(value)

    def record_accounts(self, moment: str) -> None:
        """Record a snapshot of every participant's margin accounts and separate wallets."""
        self.reserve_snapshot(moment).take(self.market)

    def reserve_snapshot(self, moment: str) -> AccountSnapshot:
        """Return the snapshot of a moment, without a step until it is taken."""
        if moment not in self.snapshots:
            self.snapshots[moment] = AccountSnapshot.allocate(self.market)
        return self.snapshots[moment]

    @staticmethod
    def price_row(name: str) -> int:
        """Return the row of a column of prices or rates in ``tables.prices``."""
        return (PRICE_COLUMNS + RATE_COLUMNS).index(name)

    @staticmethod
    def count_row(name: str) -> int:
        """Return the row of a column of counts in ``tables.counts``."""
        return COUNT_COLUMNS.index(name)

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return all frames of the steps so far; ``attrs`` hold units (``sim.recording.units``)."""
        frames = {
            "steps": self._steps_frame(),
            "venues": self._venues_frame(),
            "market": self._market_frame(),
            "closeouts": self._closeouts_frame(),
            "causes": self._causes_frame(),
            "losses": self._losses_frame(),
            "accounts": self._accounts_frame(),
            "profile": self.profile_recorder.profile_frame(),
            "populations": self.profile_recorder.populations_frame(),
        }
        return label_units(frames, self.market.config.assets[0])

    @property
    def _margin_rates(self) -> tuple[F8, F8]:
        return self._prices["margin_long"], self._prices["margin_short"]

    def _accounts_frame(self) -> pd.DataFrame:
        market = self.market
        agents = np.flatnonzero(market.is_margined)
        names = self._population_names(agents)
        parts = []
        for moment, snapshot in self.snapshots.items():
            step = int(snapshot.step[0])
            if step == MISSING:
                continue
            shared = {"moment": moment, "step": step, "owner": agents, "population": names}
            parts += list_account_columns(market, snapshot, agents, shared, self._margin_rates)
        return pd.DataFrame(join_account_columns(parts, agents.size))

    def _steps_frame(self) -> pd.DataFrame:
        market, done = self.market, self.market.tick
        contracts, instruments = market.contracts, len(market.contracts.names)
        columns = {
            name: np.repeat(values, instruments) for name, values in self._clock_columns(1).items()
        }
        venues = np.array([venue.config.name for venue in market.venues], dtype=object)
        columns["venue"] = np.tile(venues[contracts.venue], done)
        columns["instrument"] = np.tile(np.array(contracts.names, dtype=object), done)
        columns["kind"] = np.tile(
            np.where(contracts.kind == SPOT, "spot", "perpetual").astype(object), done
        )
        columns |= {
            name: values[:done].ravel() for name, values in (self._prices | self._counts).items()
        }
        columns["fallback"] = self._has_missing_side[:done].ravel()
        return pd.DataFrame(columns)

    def _clock_columns(self, first: int) -> dict[str, Any]:
        """Return step, seconds and, for replayed days, exchange time, from step ``first`` on."""
        market, made = self.market, slice(first, self.market.tick + 1)
        columns: dict[str, Any] = {
            "step": np.arange(first, market.tick + 1),
            "seconds": market.exogenous_path.seconds[made],
        }
        if market.exogenous_path.exchange_time.size:
            columns["stamp"] = market.exogenous_path.exchange_time[made]
        return columns

    def _venues_frame(self) -> pd.DataFrame:
        market, rows = self.market, self.market.tick + 1
        columns = {
            name: np.repeat(values, len(market.venues))
            for name, values in self._clock_columns(0).items()
        }
        columns["venue"] = np.tile(
            np.array([venue.config.name for venue in market.venues], dtype=object), rows
        )
        return pd.DataFrame(
            columns | {name: values[:rows].ravel() for name, values in self._money.items()}
        )

    def _market_frame(self) -> pd.DataFrame:
        return pd.DataFrame(self._clock_columns(1) | {"rounds": self.rounds[: self.market.tick]})

    def _closeouts_frame(self) -> pd.DataFrame:
        columns = self._join_executed()
        names = np.array([venue.config.name for venue in self.market.venues], dtype=object)
        owners, events = columns.pop("account"), self.events
        leading = {
            "id": columns.pop("number"),
            "step": events.place_column(STEP),
            "round": events.place_column(ROUND),
            "order": events.place_column(ORDER),
            "venue": names[events.place_column(VENUE)],
            "owner": owners,
            "population": self._population_names(owners),
        }
        return pd.DataFrame(leading | columns)

    def _join_executed(self) -> dict[str, Any]:
        """Return columns of all close-outs, with prices in quote currency and names."""
        columns: dict[str, Any] = dict(self.events.executed_columns())
        contracts = self.market.contracts
        tick = contracts.tick[columns["instrument"]]
        columns |= {name: columns[name] * tick for name in _TICK_COLUMNS}
        columns["instrument"] = np.array(contracts.names, dtype=object)[columns["instrument"]]
        columns["route"] = np.array(ROUTE_NAMES, dtype=object)[columns["route"]]
        return columns

    def _causes_frame(self) -> pd.DataFrame:
        events = self.events
        count = events.counts[N_CAUSES]
        action, kind, step, number, instrument = events.causes[:count].T.copy()
        # MISSING = -1 selects the last name
        names = np.array([*self.market.contracts.names, ""], dtype=object)
        kinds = np.array(CAUSE_KINDS, dtype=object)[kind]
        columns = {"action": action, "kind": kinds, "step": step, "round": number}
        return pd.DataFrame(
            columns | {"instrument": names[instrument], "amount": events.amounts[:count].copy()}
        )

    def _losses_frame(self) -> pd.DataFrame:
        losses = self.losses
        batches = [events for _, events in losses]
        sizes = [events.account.size for events in batches]
        steps = np.array([step for step, _ in losses], dtype=np.int64)
        venues = [self.market.venues[events.pool.venue].config.name for events in batches]
        pools = np.array([events.pool.number for events in batches], dtype=np.int64)
        columns: dict[str, Any] = {
            "step": np.repeat(steps, sizes),
            "venue": np.repeat(np.array(venues, dtype=object), sizes),
            "pool": np.repeat(pools, sizes),
            "owner": _join_columns([events.account for events in batches]),
            "layer": _join_columns([events.layer_names for events in batches], object),
            "shortfall": _join_columns([events.shortfall for events in batches]),
            "absorbed": _join_columns([events.absorbed for events in batches]),
            "notional": _join_columns([events.notional.sum(axis=1) for events in batches]),
            "lots": _join_columns([events.lots.sum(axis=1) for events in batches]),
        }
        return pd.DataFrame(columns)

    def _population_names(self, owners: I8) -> NameArray:
        ends = np.array([members.stop for members in self.market.member_slices])
        names = np.array([population.name for population in self.market.populations], dtype=object)
        return names[np.searchsorted(ends, owners, side="right")]

    def summary(self) -> dict[str, float | int]:
        """Return totals of the run, money in minor units."""
        counts, money, done = self._counts, self._money, self.market.tick
        layers: dict[str, int] = {}
        for _, events in self.losses:
            for number in np.unique(events.layer):
                name = f"absorbed_{events.kinds[number]}"
                absorbed = int(events.absorbed[events.layer == number].sum())
                layers[name] = layers.get(name, 0) + absorbed
        totals = {
            name: int(counts[name][:done].sum()) for name in COUNT_COLUMNS[len(STATE_COLUMNS) :]
        }
        totals |= {name: int(money[name][: done + 1].sum()) for name in EVENT_COLUMNS}
        return {
            "steps": done,
            "rounds": int(self.rounds[:done].sum()),
            **totals,
            **dict(sorted(layers.items())),
        }


def _join_columns(parts: list[Any], kind: type = np.int64) -> Any:
    """Return columns one after another; an empty one of this type without any."""
    return np.concatenate([np.empty(0, dtype=kind), *parts])


_TICK_COLUMNS = ("limit", "mark_before", "mark_after", "mid_before", "mid_after")
"""Columns of close-outs that are in ticks until they are recorded."""
