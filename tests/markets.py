"""Small markets to break: configurations by hand or drawn, scripted members, a watch on laws."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple
from unittest.mock import patch
from weakref import WeakValueDictionary

import numpy as np
from hypothesis import strategies as st
from pydantic import Field, PrivateAttr

from agents import POPULATIONS
from agents.base import Population
from agents.population import populate
from sim.attribution import (
    CLOSE_OUT,
    DEPOSIT,
    FUNDING,
    LOSS,
    VOLUNTARY,
)
from sim.cash_flows import CashFlows
from sim.config import MarketConfig
from sim.exchange.matching import CAUSE, INSTRUMENT, KIND, OWNER, PRICE, QUANTITY
from sim.market import Market
from sim.records import LiquidationRound
from sim.state import MarketState
from sim.step import liquidation, marking
from sim.types import (
    F8,
    I8,
    LIMIT,
    MISSING,
    REDUCE_ONLY,
    AccountView,
    Fills,
    MarginAssessment,
    MarketSpec,
    Observation,
    Orders,
    Transfers,
)
from sim.venue import Venue

Order = tuple[int, int, int, int, int, int] | tuple[int, int, int, int, int, int, int]
"""Member, instrument, signed lots, limit, kind, slot, and optionally leverage in hundredths."""


class Script(Population):
    """Members with given wealth who send given orders at given ticks."""

    kind: Literal["script"] = "script"
    name: str = "script"
    latency: int = 8
    wealth: float = 1.0
    wealths: tuple[tuple[float, ...], ...] = Field(
        description="wealth of each member at each venue (units)"
    )
    orders: dict[int, tuple[Order, ...]] = Field(default={}, description="orders by tick")
    payments: dict[int, tuple[tuple[int, int, int], ...]] = Field(
        default={},
        description="member, instrument or MISSING, minor units by tick, at the first venue",
    )

    @property
    def n_cash_flow_draws(self) -> int:
        return int(bool(self.payments))

    def request_cash_flows(
        self, outlook: Observation, accounts: AccountView, standing: MarginAssessment, draws: F8
    ) -> CashFlows:
        rows = np.array(self.payments.get(outlook.tick, ()), dtype=np.int64).reshape(-1, 3)
        member, instrument, amount = rows.T
        return CashFlows.from_columns(member, 0, instrument, amount)

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        return np.rint(np.array(self.wealths) * setting.minor_units).astype(np.int64)

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        told = [(*order, 0)[:7] for order in self.orders.get(outlook.tick, ())]
        rows = np.array(told, dtype=np.int64).reshape(-1, 7)
        return Orders(*np.ascontiguousarray(rows.T))


def script(
    wealths: Sequence[float | tuple[float, ...]], orders: Mapping[int, Sequence[Order]], **more: Any
) -> Script:
    """Members by their wealth (at each venue, or at the only one) and their orders by tick."""
    rows = tuple(w if isinstance(w, tuple) else (w,) for w in wealths)
    return Script(
        count=len(rows),
        wealths=rows,
        orders={t: tuple(o) for t, o in orders.items()},
        venue="x",
        **more,
    )


class Hostile(Population):
    """Members who send orders of all kinds, sizes and prices into few slots, again and again."""

    n_trait_draws: ClassVar[int] = 0
    n_decision_draws: ClassVar[int] = 24

    kind: Literal["hostile"] = "hostile"
    name: str = "hostile"
    latency: int = 8
    reach: float = Field(default=0.03, description="farthest limit from the mark (share)")
    largest: float = Field(default=3000.0, description="largest order (lots)")

    _venues: int = PrivateAttr()

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        self._venues = len(setting.venues)
        share = self.wealth * setting.minor_units / self._venues * (1 + np.arange(self.count) % 7)
        return np.repeat(np.rint(share).astype(np.int64)[:, None], self._venues, axis=1)

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        mark = np.concatenate([view.mark for view in outlook.venues])
        draw = draws.reshape(self.count * 4, 6)
        instrument = (draw[:, 0] * mark.size).astype(np.int64)
        lots = np.ceil(np.exp(draw[:, 1] * np.log(self.largest))).astype(np.int64) - (
            draw[:, 1] < 0.05
        )
        away = (2 * draw[:, 3] - 1) ** 3 * self.reach
        limit = np.maximum(np.rint(mark[instrument] * (1 + away)), 1).astype(np.int64)
        kind = np.array([0, 0, 0, 0, 1, 2, 3, 4, 5, 7])[(draw[:, 4] * 10).astype(np.int64)]
        slot = (draw[:, 5] * 4).astype(np.int64) - 1
        owner = np.repeat(np.arange(self.count), 4)
        leverage = np.where(
            draw[:, 4] * 10 % 1 < 0.5,
            0,
            np.exp(draw[:, 4] * 10 % 1 * np.log(20_000)).astype(np.int64),
        )
        lots = np.where(draw[:, 2] < 0.5, lots, -lots)
        return Orders(owner, instrument, lots, limit, kind, slot, leverage)


class Payer(Population):
    """Members who request payments of all kinds, affordable or not, and keep what they get."""

    n_decision_draws: ClassVar[int] = 2

    kind: Literal["payer"] = "payer"
    name: str = "payer"
    latency: int = 9

    _setting: MarketSpec = PrivateAttr()

    @property
    def n_cash_flow_draws(self) -> int:
        return 20

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        self._setting = setting
        return np.full((self.count, len(setting.venues)), round(self.wealth * setting.minor_units))

    def request_cash_flows(
        self, outlook: Observation, accounts: AccountView, standing: MarginAssessment, draws: F8
    ) -> CashFlows:
        draw, contracts = draws.reshape(self.count * 5, 4), self._setting.contracts
        instrument = (draw[:, 0] * 2 * len(contracts.names)).astype(np.int64)
        known = instrument < len(contracts.names)
        venue = contracts.venue[instrument % len(contracts.names)]
        amount = np.rint(np.exp(draw[:, 1] * 40) * np.where(draw[:, 2] < 0.5, 1, -1)).astype(
            np.int64
        )
        owner = np.repeat(np.arange(self.count), 5)
        return CashFlows.from_columns(
            owner,
            venue,
            np.where(known, instrument, MISSING),
            amount,
            (draw[:, 3] < 0.1).astype(int),
        )

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        mark = np.concatenate([view.mark for view in outlook.venues])
        instrument = (draws[:, 0] * mark.size).astype(np.int64)
        lots, limit = (
            np.where(draws[:, 1] < 0.5, 20, -20),
            np.rint(mark[instrument]).astype(np.int64),
        )
        return Orders.from_columns(np.arange(self.count), instrument, lots, limit, LIMIT)


BTC = {"name": "BTC-PERP", "underlying": "btc", "tick": 1, "lot": 0.01, "max_price": 6000}
ETH = {"name": "ETH-PERP", "underlying": "eth", "tick": 0.1, "lot": 0.1, "max_price": 600}
BTC_B = {"name": "BTC-B", "underlying": "btc", "tick": 1, "lot": 0.02, "max_price": 6000}
BTC_SPOT = {
    "name": "BTC-SPOT",
    "underlying": "btc",
    "kind": "spot",
    "tick": 1,
    "lot": 0.01,
    "max_price": 6000,
}
STILL = {"kind": "gbm", "volatility": 0.0}


def tiers(leverage: float = 20.0, maintenance: float = 0.5) -> dict[str, Any]:
    """A requirement of one tier."""
    return {
        "kind": "tiered",
        "maintenance_ratio": maintenance,
        "tiers": [{"floor": 0, "max_leverage": leverage}],
    }


def venue(
    name: str = "x", instruments: Sequence[dict[str, Any]] = (BTC,), **rules: Any
) -> dict[str, Any]:
    """A venue with 20x leverage, cross, no fees, no band."""
    netting = rules.pop("netting", {"kind": "cross"})
    engine = {"netting": netting, "requirement": rules.pop("requirement", tiers())}
    return {"name": name, "instruments": list(instruments), "engine": engine, "band": 1.0} | rules


def config(
    *venues: dict[str, Any], steps: int = 10, process: dict[str, Any] | None = None, **rules: Any
) -> MarketConfig:
    """A market on bitcoin at 1000 and ether at 100 that stand still unless stressed."""
    process = process or STILL
    underlyings = [
        {"name": n, "start": s, "process": process} for n, s in (("btc", 1000.0), ("eth", 100.0))
    ]
    whole = {
        "duration": 60.0 * steps,
        "underlyings": underlyings,
        "venues": list(venues or (venue(),)),
    } | rules
    return MarketConfig.model_validate(whole)


def move(step: int, size: float, **more: Any) -> dict[str, Any]:
    """A jump of the index at a step."""
    return {"kind": "move", "at": 60.0 * step, "size": size} | more


def build(
    rules: MarketConfig, people: Sequence[Population | dict[str, Any]], seed: int = 1
) -> Market:
    """Build a market with populations, given whole or as their configuration."""
    whole = [p if isinstance(p, Population) else POPULATIONS[p["kind"]](**p) for p in people]
    return Market(rules, populate(whole), seed=seed)


# --- drawn markets ---

NETTINGS = (
    {"kind": "cross"},
    {"kind": "isolated"},
    {"kind": "by_underlying"},
    {"kind": "groups", "groups": [["ETH-PERP", "BTC-B"], ["BTC-PERP"]]},
)
ALONE = {"kind": "isolated", "listed": 1}
"""Isolated margin where one perpetual is listed."""

POLICIES = (
    {"kind": "full"},
    {"kind": "full", "capacity": 2, "delay": 60.0, "cooldown": 120.0},
    {"kind": "fraction", "share": 0.3, "cooldown": 60.0, "full_below_coverage": 0.3},
    {"kind": "auction", "duration": 240.0},
    {"kind": "auction", "duration": 60.0, "max_discount": 0.3, "delay": 60.0, "capacity": 5},
)
LAYERS = (
    {"kind": "fund"},
    {"kind": "adl_queue", "score": "bitmex"},
    {"kind": "adl_queue", "score": "hyperliquid"},
    {"kind": "adl_pro_rata"},
    {"kind": "socialised", "base": "profit"},
    {"kind": "socialised", "base": "equity"},
)


MANAGED = {
    "margin_buffer": 1.0,
    "reaction": 60.0,
    "top_up_probability": 0.4,
    "bankruptcy_threshold": 0.9,
    "replacement_time": 120.0,
    "withdrawal_threshold": 1.05,
    "withdrawal_time": 90,
    "take_back_buffer": 1.5,
    "take_back_time": 120.0,
}
"""Capital that is busy within half an hour."""


@st.composite
def worlds(draw: Any) -> tuple[MarketConfig, list[Population | dict[str, Any]], int]:
    """Draw rules, populations and a seed: violent moves, thin books, all layers in any order."""
    settle = draw(st.sampled_from(["", "ALT"]))
    fees = draw(st.sampled_from([(0.0, 0.0), (0.0001, 0.0005), (-0.0001, 0.0005), (0.002, 0.0)]))
    perps, netting = (
        [BTC, ETH | {"settle": settle}, BTC_B],
        draw(st.sampled_from((*NETTINGS, ALONE))),
    )
    if netting is ALONE:
        perps, netting = perps[:1], {"kind": "isolated"}
    first = venue(
        instruments=perps,
        netting=netting,
        requirement=tiers(
            draw(st.sampled_from([5.0, 25.0, 100.0])), draw(st.sampled_from([0.3, 0.8]))
        ),
        liquidation=draw(st.sampled_from(POLICIES)),
        waterfall=draw(st.permutations(LAYERS))[: draw(st.integers(0, len(LAYERS)))],
        fees={
            "maker": fees[0],
            "taker": fees[1],
            "liquidation": draw(st.sampled_from([0.0, 0.01])),
        },
        funding=draw(st.sampled_from([None, {"interval": 300.0}])),
        calls=draw(st.sampled_from([None, {"response_probability": 0.7, "delay": 120.0}])),
        band=draw(st.sampled_from([0.05, 1.0])),
    )
    second = venue("outside", [BTC_SPOT], requirement=tiers(5.0))
    jump = st.tuples(
        st.integers(8, 28),
        st.sampled_from([-0.6, -0.3, -0.1, 0.1, 0.4, 1.0]),
        st.sampled_from([0.0, 300.0]),
    )
    stresses: list[dict[str, Any]] = [
        move(at, size, duration=long) for at, size, long in draw(st.lists(jump, max_size=2))
    ]
    if settle:
        stresses.append(
            {"kind": "depeg", "asset": settle, "at": 1200.0, "duration": 300.0, "floor": 0.7}
        )
    rules = config(
        first,
        second,
        steps=30,
        process={"kind": "gbm", "volatility": 1.5},
        stresses=stresses,
        assets=[{"name": "USD"}, {"name": "ALT", "price": 0.9}],
        max_rounds=draw(st.sampled_from([1, 3, 50])),
        shuffle_closeouts=draw(st.booleans()),
    )
    people: list[Population | dict[str, Any]] = [
        Hostile(count=draw(st.integers(4, 20)), venue="x", wealth=500.0),
        {
            "kind": "makers",
            "count": 2,
            "venue": "x",
            "wealth": draw(st.sampled_from([2_000.0, 50_000.0])),
        },
        {
            "kind": "traders",
            "count": 20,
            "venue": "x",
            "wealth": 1000.0,
            "initial_entry_share": 0.8,
            "warm_up": 300.0,
            "leverage": 15.0,
            "elasticity": 1.0,
        },
        {
            "kind": "arbitrageurs",
            "count": 2,
            "venue": "x",
            "spot_venue": "outside",
            "wealth": 20_000.0,
            "instruments": ("BTC-PERP",),
        },
        {"kind": "zero_intelligence", "count": 10, "venue": "x", "wealth": 2_000.0},
        {
            "kind": "liquidators",
            "count": 3,
            "venue": "x",
            "wealth": draw(st.sampled_from([100.0, 20_000.0])),
        },
        Payer(count=6, venue="x", wealth=2_000.0),
        {
            "kind": "trend",
            "count": 10,
            "venue": "x",
            "wealth": 1000.0,
            "initial_entry_share": 0.9,
            "warm_up": 120.0,
            "threshold": 0.0,
            "leverage": 15.0,
            "elasticity": 1.0,
            "capital": MANAGED,
        },
        {
            "kind": "insurance_fund",
            "venue": "x",
            "wealth": draw(st.sampled_from([10.0, 1_000.0, 100_000.0])),
        },
    ]
    return rules, people, draw(st.integers(0, 2**32 - 1))


# --- what happened ---


class Posted(NamedTuple):
    """One posting, with all positions before it."""

    tick: int
    event: str
    posting: Fills | Transfers
    before: I8  # (K, N)


WATCHES: "WeakValueDictionary[int, Watch]" = WeakValueDictionary()
"""Watches by the state that they watch."""

_close_out_round = liquidation.run_close_out_round


def _watched_round(state: MarketState, venue: Venue, number: int) -> LiquidationRound | None:
    """A liquidation round, shown to the watch of its market before anything is assessed anew."""
    done = _close_out_round(state, venue, number)
    if done is not None and id(state) in WATCHES:
        WATCHES[id(state)]._closed_out(done)
    return done


liquidation.run_close_out_round = _watched_round


class Watch:
    """Records postings, close-outs, verdicts and orders of a market, and checks laws on each."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.postings: list[Posted] = []
        self.solid: dict[tuple[int, int], float] = {}  # last excess >= 0 by (pool, owner)
        self.excess: dict[
            tuple[int, int], list[float]
        ] = {}  # of close-outs by (action, owner): now, last >= 0
        self.opened: I8 = np.empty(
            (0, 8), dtype=np.int64
        )  # orders of this step that may open, as admitted
        self.held = market.ledger.position.copy()
        self._assessed()
        self._wrap(market.ledger, "settle_fills", self._posted)
        self._wrap(market.ledger, "transfer", self._posted, self._paid_out)
        self._wrap(market.ledger, "log_posted", self._logged)
        self._wrap(market.order_books, "match", self._matched)
        self._wrap(market.order_books, "trade", self._matched)
        for log in market.state.cause_logs.values():
            self._wrap(log, "record_assessment", None, self._assessed)
        WATCHES[id(market.state)] = self

    @staticmethod
    def _wrap(owner: Any, name: str, before: Any, after: Any = None) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **more: Any) -> Any:
            if before is not None:
                before(*args, **more)
            result = original(*args, **more)
            if after is not None:
                after()
            return result

        owner.__dict__[name] = wrapped

    def _posted(
        self, posting: Fills | Transfers, event: str, instrument: int | I8 = MISSING
    ) -> None:
        before = self.market.ledger.position.copy() if event == LOSS else self.held
        self.postings.append(Posted(self.market.tick, event, posting, before))

    def _logged(self, fills: Fills, moves: Transfers, event: str) -> None:
        """Record what a kernel has posted already."""
        before = self.market.ledger.position.copy()
        np.subtract.at(before, (fills.instrument, fills.taker), fills.quantity)
        np.add.at(before, (fills.instrument, fills.maker), fills.quantity)
        self.postings.append(Posted(self.market.tick, event, fills, before))
        self.postings.append(Posted(self.market.tick, event, moves, before))

    def _paid_out(self) -> None:
        """Withdrawals leave initial margin in an account, and no debt in a wallet (AGT-7)."""
        posted = self.postings[-1]
        if posted.event != DEPOSIT or not isinstance(posted.posting, Transfers):
            return
        source, owners, _, pools, _, amount = posted.posting
        for owner, pool in zip(owners[amount < 0], pools[amount < 0], strict=True):
            for venue in self.market.venues:
                if (
                    pool == venue.wallet_pool and source[0] == self.market.state.external_owner
                ):  # not idle cash of two assets, netted
                    assert self.market.ledger.balance[0, pool, owner] >= 0
                if pool in venue.pool_states:
                    state = venue.pool_states[int(pool)]
                    verdict = state.engine.assess_admission(
                        venue.pool_accounts(state.pool).take(np.array([owner]))
                    )
                    assert verdict.equity[0] >= verdict.initial[0], (
                        "a payment left less than initial margin"
                    )

    def _matched(self, orders: I8, position: I8, *rest: Any) -> None:
        closing = orders[orders[:, CAUSE] != MISSING]
        held = position[closing[:, INSTRUMENT], closing[:, OWNER]]
        assert (np.sign(closing[:, QUANTITY]) == -np.sign(held)).all(), "a close-out enlarges"
        assert (np.abs(closing[:, QUANTITY]) <= np.abs(held)).all(), (
            "a close-out is larger than the position"
        )
        if not closing.size:
            self.fresh = set(map(tuple, orders[:, [OWNER, INSTRUMENT, PRICE]].tolist()))
            self.opened = orders[(orders[:, QUANTITY] != 0) & (orders[:, KIND] < REDUCE_ONLY)]
            self.held = position.copy()
        self.limits = dict(zip(closing[:, CAUSE].tolist(), closing[:, PRICE].tolist(), strict=True))

    def _closed_out(self, done: LiquidationRound) -> None:
        """A solvent account closed whole at its limits keeps at least zero (LIQ-2)."""
        where, executed = self.market.venues[done.venue], done.executed
        fills = [
            p.posting
            for p in self.postings
            if p.event == CLOSE_OUT and isinstance(p.posting, Fills)
        ]
        for price, cause, lots in (
            zip(fills[-1].price, fills[-1].close_out_id, fills[-1].quantity, strict=True)
            if fills
            else ()
        ):
            if int(cause) in self.limits:
                assert (price - self.limits[int(cause)]) * np.sign(lots) <= 0, (
                    "worse than its limit"
                )
        for action in np.unique(executed.action):
            rows = np.flatnonzero(executed.action == action)
            pool, owner = int(executed.pool[rows[0]]), int(executed.account[rows[0]])
            now = float(executed.equity[rows[0]] - executed.maintenance[rows[0]])
            if executed.filled[rows].any():
                self.excess[int(action), owner] = [now, self.solid[pool, owner]]
            book = where.pool_accounts(where.pool_states[pool].pool).take(np.array([owner]))
            whole = (
                executed.filled[rows] == np.abs(executed.planned[rows])
            ).all() and not book.position.any()
            if whole and executed.equity[rows[0]] >= 0:
                assert book.equity()[0] >= -1, "closed at its limits, and yet bankrupt"

    def _late(self, owners: I8) -> F8:
        """Return losses of orders from earlier steps against today's mark, a stale reserve."""
        market, lost = self.market, np.zeros(self.market.state.n_owners)
        for fills in [
            p.posting for p in self.postings if p.tick == self.market.tick and p.event == VOLUNTARY
        ]:
            mark = np.concatenate([venue.view.mark for venue in market.venues])[fills.instrument]
            worth = market.contracts.multiplier[fills.instrument] * np.abs(fills.quantity)
            sold = np.stack([fills.maker, fills.instrument, fills.price], axis=1).tolist()
            old = np.array([tuple(row) not in self.fresh for row in sold], dtype=bool)
            np.add.at(
                lost,
                fills.maker,
                np.maximum(np.sign(fills.quantity) * (mark - fills.price), 0) * worth * old,
            )
        return lost[owners]

    def _assessed(self) -> None:
        for venue in self.market.venues:
            for state in venue.pool_states.values():
                for owner in np.flatnonzero(state.assessment.excess >= 0).tolist():
                    self.solid[state.pool.number, owner] = float(state.assessment.excess[owner])

    def _admitted(self, market: Market) -> None:
        """Owners with orders that may open cover initial margin at the mark they saw (MAR-1)."""
        for venue in market.venues:
            for state in venue.pool_states.values():
                part = state.pool.instruments
                here = (self.opened[:, INSTRUMENT] >= part.start) & (
                    self.opened[:, INSTRUMENT] < part.stop
                )
                owners = np.unique(self.opened[here, OWNER])
                owners = owners[market.state.is_margined[owners]]
                grew = (np.abs(market.ledger.position[part]) > np.abs(self.held[part])).any(axis=0)
                owners = owners[grew[owners]]
                risk = state.engine.assess(venue.pool_accounts(state.pool).take(owners))
                short = risk.initial - risk.equity - self._late(owners)
                unit = (
                    1 if market.contracts.settle.any() else 0
                )  # haircuts of other assets are rounded up, too
                assert (short <= unit).all(), f"opened below initial by {short.max():g} minor units"

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within, admission is judged after every step's trades and fees."""
        original = marking.update_marks

        def judged(state: MarketState) -> F8:
            if state is self.market.state:
                self._admitted(self.market)
            return original(state)

        with patch.object(marking, "update_marks", judged):
            yield

    def wallets_are_out_of_reach(self) -> None:
        """Liquidation, losses and funding spare all wallets but the fund's (ISO-1, LIQ-3)."""
        market = self.market
        taken = [p.posting for p in self.postings if p.event in (CLOSE_OUT, LOSS, FUNDING)]
        for where in (
            venue for venue in market.venues if venue.wallet_pool not in venue.pool_states
        ):
            for moves in (posting for posting in taken if isinstance(posting, Transfers)):
                for pool, owner, sign in (
                    (moves.source_pool, moves.source, 1),
                    (moves.target_pool, moves.target, -1),
                ):
                    paying = (
                        (pool == where.wallet_pool)
                        & (sign * moves.amount > 0)
                        & market.state.is_margined[owner]
                    )
                    assert set(owner[paying].tolist()) <= {where.system_accounts.insurance_fund}

    def losses(self) -> list[Posted]:
        """Trades of the waterfall."""
        return [p for p in self.postings if p.event == LOSS and isinstance(p.posting, Fills)]
