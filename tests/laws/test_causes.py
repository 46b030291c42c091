"""Causes of close-outs (LIQ-6): contributions telescope and kinds are right on built chains."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from markets import BTC, ETH, Watch, build, config, move, script, tiers, venue, worlds
from papers import crash
from pydantic import Field

from sim import margin
from sim.attribution import CAUSE_KINDS
from sim.ledger import Ledger
from sim.margin.base import RequirementComponent
from sim.margin.tiers.tiered import TieredMargin, TieredRequirement
from sim.market import Market
from sim.types import IOC, LIMIT, Contracts, Exposure, Margins, MarketView


def play(market: Market) -> dict[str, pd.DataFrame]:
    for _ in range(market.steps_planned):
        market.step()
    market.ledger.check_conservation()
    return market.recorder.frames()


def pushed(frames: dict[str, pd.DataFrame], owner: int, nth: int = 0) -> pd.DataFrame:
    """Causes of the nth action on an owner."""
    closeouts = frames["closeouts"]
    action = closeouts.loc[closeouts["owner"] == owner, "action"].unique()[nth]
    return frames["causes"].loc[frames["causes"]["action"] == action]


def amounts(causes: pd.DataFrame) -> dict[str, float]:
    return causes.groupby("kind")["amount"].sum().to_dict()


@given(worlds())
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_contributions_sum_to_the_change_since_the_excess_was_last_nil_or_more(world):
    """Holds within a unit, for every close-out of every market, after any event (LIQ-6)."""
    market = build(*world)
    watch = Watch(market)
    frames = play(market)
    causes = frames["causes"]
    total = causes.groupby("action")["amount"].sum()
    for (action, _), (now, solid) in watch.excess.items():
        assert abs(total[action] - (now - solid)) <= 1
    assert causes["action"].isin([action for action, _ in watch.excess]).all()
    assert causes["kind"].isin(CAUSE_KINDS).all()
    check_instruments(market, frames)


SPLIT_KINDS = ["index", "voluntary", "carry", "funding", "own", "close_out"]
"""Kinds whose contributions carry their instrument in a pool of several."""


def check_instruments(market: Market, frames: dict[str, pd.DataFrame]) -> None:
    """Only kinds that are divided carry an instrument, one of the pool; marks always do."""
    causes, names = frames["causes"], market.contracts.names
    pool = causes["action"].map(frames["closeouts"].groupby("action")["pool"].first())
    listed = {each.number: names[each.instruments] for each in market.ledger.pools}
    rows = list(zip(pool, causes["kind"], causes["instrument"], strict=True))
    for number, kind, instrument in rows:
        is_shared = len(listed[number]) > 1
        assert instrument in ("", *listed[number])
        if kind == "close_out" or (is_shared and kind in ("index", "carry")):
            assert instrument
        if kind not in SPLIT_KINDS or (kind != "close_out" and not is_shared):
            assert not instrument


BOOK_MARK = {"kind": "book"}


def fall(rules: dict[str, Any], wealths: list[float], size: float) -> Market:
    """Run member 0 long 200, 1 long 100, 2 short 300 at 1000, and 3 quoting at the falling index.

    After the fall 200 lots are bid a tick below the index, the rest five ticks below.
    """
    after = round(1000 * (1 + size))
    entries = [
        (0, 0, 200, 1000, LIMIT, 0),
        (1, 0, 100, 1000, LIMIT, 0),
        (2, 0, -300, 1000, LIMIT, 0),
    ]
    calm = [(3, 0, 200, 999, LIMIT, 0), (3, 0, -9000, 1001, LIMIT, 9)]
    then = [
        (3, 0, 200, after - 1, LIMIT, 0),
        (3, 0, 9000, after - 5, LIMIT, 1),
        (3, 0, -9000, after + 1, LIMIT, 9),
    ]
    people = [script([*wealths, 5000.0, 500_000.0], {1: [*entries, *calm], 2: then})]
    return build(config(venue(mark=BOOK_MARK), steps=3, stresses=[move(2, size)], **rules), people)


def test_a_close_out_is_the_parent_of_the_next_rounds():
    """The index closes A; the move of the mark by A's sale in round 0 closes B."""
    frames = play(fall({}, [105.0, 55.0], -0.03))
    closeouts = frames["closeouts"]
    assert closeouts[["owner", "round", "filled"]].to_numpy().tolist() == [[0, 0, 200], [1, 1, 100]]
    assert closeouts[["mark_before", "mark_after"]].iloc[0].tolist() == [970, 968]
    assert amounts(pushed(frames, 0)) == {"index": -6000 + 150}
    parent = pushed(frames, 1)
    assert parent[["kind", "step", "round", "instrument"]].to_numpy().tolist() == [
        ["close_out", 2, 0, "BTC-PERP"]
    ]
    assert parent["amount"].tolist() == [-200 + 5]


def test_in_a_single_pass_nobody_is_pushed_by_a_close_out():
    """With one round B survives, and is closed out a step later by an earlier move (LIQ-4)."""
    frames = play(fall({"max_rounds": 1}, [105.0, 55.0], -0.03))
    assert frames["closeouts"][["owner", "step", "round"]].to_numpy().tolist() == [
        [0, 2, 0],
        [1, 3, 0],
    ]
    assert pushed(frames, 1)[["kind", "step", "round"]].to_numpy().tolist() == [["close_out", 2, 0]]


def test_a_loss_in_one_instrument_is_named_where_it_closes_another():
    """One account is long both coins; bitcoin alone falls, and its ether is sold too (LIQ-6)."""
    perps = [BTC, ETH]
    entries = [(0, 0, 200, 1000, LIMIT, 0), (0, 1, 100, 1000, LIMIT, 0)]
    others = [(1, 0, -200, 1000, LIMIT, 0), (1, 1, -100, 1000, LIMIT, 0)]
    calm = [(2, k, 900, 999, LIMIT, k) for k in (0, 1)]
    offers = [(2, k, -900, 1001, LIMIT, 2 + k) for k in (0, 1)]
    then = [(2, 0, 900, 939, LIMIT, 0), (2, 0, -900, 941, LIMIT, 2)]
    people = [
        script(
            [160.0, 5000.0, 50_000.0],
            {1: [*entries, *others, *calm, *offers], 2: then},
        )
    ]
    fallen = move(2, -0.06, underlyings=["btc"])
    rules = config(venue(instruments=perps, mark=BOOK_MARK), steps=3, stresses=[fallen])
    frames = play(build(rules, people))
    closed = frames["closeouts"]
    assert closed["instrument"].tolist() == ["BTC-PERP", "ETH-PERP"]
    assert (closed["filled"] > 0).all()
    causes = pushed(frames, 0)
    assert causes[["kind", "instrument", "amount"]].to_numpy().tolist() == [
        ["index", "BTC-PERP", -12_000 + 300]
    ]


def test_the_index_alone_puts_two_accounts_under_at_once():
    """Both are roots: neither is the other's parent, though both are sold."""
    frames = play(fall({}, [105.0, 53.0], -0.03))
    assert frames["closeouts"]["round"].tolist() == [0, 0]
    assert amounts(pushed(frames, 0)) == {"index": -5850}
    assert amounts(pushed(frames, 1)) == {"index": -2925}


class Raised(RequirementComponent):
    """Tiers of 20x, three times as dear from a tick on."""

    kind: Literal["raised"] = "raised"
    at: int = Field(default=2, description="when (ticks)")

    def bind(self, contracts: Contracts, unit: int) -> "RaisedMargin":
        return RaisedMargin(TieredRequirement(**tiers(20.0)).bind(contracts, unit), self.at)


class RaisedMargin:
    def __init__(self, inner: TieredMargin, at: int) -> None:
        self.inner, self.at, self.factor = inner, at, 1.0

    def observe(self, market: MarketView) -> None:
        self.factor = 3.0 if market.tick >= self.at else 1.0

    def compute_margins(self, book: Exposure) -> Margins:
        return Margins(*(self.factor * amount for amount in self.inner.compute_margins(book)))

    def compute_leg_shares(self, book: Exposure) -> np.ndarray:
        return self.inner.compute_leg_shares(book)


def test_a_requirement_that_rises_is_the_root(monkeypatch):
    """LIQ-6: nothing moved but the rule."""
    monkeypatch.setitem(margin.REQUIREMENTS, "raised", Raised)
    entries = [(0, 0, 100, 1000, LIMIT, 0), (1, 0, -100, 1000, LIMIT, 0)]
    rules = config(venue(requirement={"kind": "raised"}), steps=2)
    bid = [
        (1, 0, 100, 999, LIMIT, 0)
    ]  # so that the close-out fills: causes are kept of those that do
    frames = play(build(rules, [script([60.0, 1000.0], {1: entries, 2: bid})]))
    causes = pushed(frames, 0)
    assert causes[["kind", "step", "round", "amount"]].to_numpy().tolist() == [
        ["requirement", 2, -1, -5000]
    ]


def test_funding_is_the_root_of_who_cannot_pay_it():
    """A long at a premium pays every other step, and cannot afford the second payment (FUND-1)."""
    entries = [(0, 0, 100, 1030, LIMIT, 0), (1, 0, -100, 1030, LIMIT, 0)]
    quotes = [(2, 0, 1, 1029, LIMIT, 0), (2, 0, -1, 1031, LIMIT, 1)]
    rules = config(
        venue(
            mark=BOOK_MARK,
            requirement=tiers(20.0, 0.9),
            funding={"interval": 120.0},
            instruments=(BTC,),
        ),
        steps=5,
    )
    frames = play(build(rules, [script([80.5, 1000.0, 1000.0], {1: entries, 2: quotes})]))
    closeouts = frames["closeouts"].query("owner == 0")
    assert closeouts["step"].tolist()[:1] == [5]
    assert amounts(pushed(frames, 0)) == {"funding": -2060}


def test_what_an_account_does_to_itself_is_voluntary():
    """A buyer far above the mark loses what it overpaid; no index or close-out caused it."""
    quotes = [(1, 0, 50, 960, LIMIT, 0), (1, 0, -50, 1010, LIMIT, 1), (1, 0, -100, 1040, LIMIT, 2)]
    sweep = [(0, 0, 100, 1040, IOC, 0)]
    refill = [(1, 0, -1000, 962, LIMIT, 3)]
    rules = config(venue(mark=BOOK_MARK, requirement=tiers(20.0, 0.9)), steps=4)
    frames = play(build(rules, [script([105.0, 10_000.0], {1: quotes, 2: sweep, 3: refill})]))
    causes = pushed(frames, 0)
    assert set(causes.loc[causes["amount"] < 0, "kind"]) == {"voluntary"}


def test_a_condensed_log_tells_the_same_causes(monkeypatch):
    """LIQ-6: what is kept of a log that has grown too long is all that causes are read from."""
    exchange = {**crash.EXCHANGE, "waterfall": [{"kind": "socialised", "base": "equity"}]}
    rules = crash.config(steps=120, venues=[exchange, crash.OUTSIDE])
    plain, condensed = crash.market(7, rules), crash.market(7, rules)
    transfer = Ledger.transfer

    def posted(ledger: Ledger, *args: Any) -> None:
        transfer(ledger, *args)
        if ledger is condensed.ledger:
            ledger._condense()

    monkeypatch.setattr(Ledger, "transfer", posted)
    expected, found = play(plain), play(condensed)
    assert "loss" in set(expected["causes"]["kind"])
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(found[name], frame)
