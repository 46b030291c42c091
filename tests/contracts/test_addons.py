"""Shapes that requirements claim (convex, sub-additive, continuous), and add-ons by hand."""

from typing import Any

import numpy as np
import pytest
from contracts.margin_worlds import STEEP, TIERED, UNIT, close, exposure, few, seeds, world
from contracts.test_margin_contract import bound
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sim.margin.base import AnyRequirement
from sim.types import PERPETUAL, SPOT, Exposure, Margins

CONVEX: list[dict[str, Any]] = [
    TIERED,
    {"kind": "closing_fee", "inner": TIERED},
    {"kind": "size_weighted"},
    {"kind": "liquidity"},
    {"kind": "concentration", "least": 1000},
    {"kind": "gap"},
    {"kind": "sum", "parts": [TIERED, {"kind": "liquidity"}, {"kind": "concentration"}]},
]
"""Settings in which half of a book requires at most half: size is never cheaper by the lot."""

SUBADDITIVE: list[dict[str, Any]] = [
    {"kind": "gap"},
    {"kind": "lognormal", "factors": (0.1, 0.12)},
    {"kind": "open_interest", "fraction": 0.5},
    {
        "kind": "closing_fee",
        "inner": {"kind": "tiered", "tiers": [{"floor": 0, "max_leverage": 10}]},
    },
]
"""Where two books together ask at most what they ask apart, up to the rounding of each leg."""

LADDERS: list[dict[str, Any]] = [
    {"kind": "tiered", "tiers": STEEP},
    {"kind": "closing_fee", "inner": {"kind": "tiered", "tiers": STEEP}},
    {"kind": "at_entry", "inner": {"kind": "tiered", "tiers": STEEP}},
]


def rule(setting: dict[str, Any]) -> Any:
    return TypeAdapter(AnyRequirement).validate_python(setting)


def named(settings: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("setting", settings, ids=lambda each: each["kind"])


def perpetuals(book: Exposure) -> Exposure:
    contracts = book.market.contracts
    contracts = contracts._replace(kind=np.full(len(contracts.names), PERPETUAL))
    return book._replace(market=book.market._replace(contracts=contracts))


@named(CONVEX)
@few
@given(seed=seeds, factor=st.integers(2, 9))
def test_convex_in_size(setting: dict[str, Any], seed: int, factor: int) -> None:
    _, book = world(seed)
    requirement = bound(rule(setting), book)
    one, many = (
        requirement.compute_margins(book),
        requirement.compute_margins(book._replace(position=factor * book.position)),
    )
    for small, large in zip(one, many, strict=True):
        assert (large >= factor * small * (1 - 1e-9)).all()


@named(SUBADDITIVE)
@few
@given(seed=seeds)
def test_books_together_ask_no_more_than_apart(setting: dict[str, Any], seed: int) -> None:
    rng, book = world(seed)
    book = perpetuals(book)._replace(leverage=np.full(book.position.shape, np.inf))
    other = book._replace(position=rng.permuted(book.position, axis=0))
    requirement = bound(rule(setting), book)
    both = requirement.compute_margins(book._replace(position=book.position + other.position))
    for joint, left, right in zip(
        both, requirement.compute_margins(book), requirement.compute_margins(other), strict=True
    ):
        assert (joint <= (left + right) * (1 + 1e-9) + 2 * book.position.shape[1]).all()


@named(LADDERS)
@pytest.mark.parametrize("edge", [tier["floor"] for tier in STEEP[1:]])
def test_where_brackets_meet_only_a_step_jumps(setting: dict[str, Any], edge: float) -> None:
    """A lot more costs at most its value times the steepest rate, at each edge on both sides."""
    lots = round(edge * UNIT / 1_000)
    book = exposure([lots - 1, lots, lots + 1])
    book = book._replace(entry=book.position * 1_000)
    marginal = {"initial_rule": "marginal"}
    smooth = (
        setting | marginal
        if "tiers" in setting
        else setting | {"inner": setting["inner"] | marginal}
    )
    for amount in bound(rule(smooth), book).compute_margins(book):
        step = np.diff(amount)
        assert (step >= 0).all()
        assert (step <= 1_000 * 1.3).all()
    opened, kept = (np.diff(amount) for amount in bound(rule(setting), book).compute_margins(book))
    assert opened[0] <= 1_000 * 1.3, "the floor itself belongs to the bracket below"
    assert opened[1] > 0.005 * edge * UNIT, (
        "by default the bracket's rate applies to the whole position"
    )
    assert (kept <= 1_000 * 1.3).all()


@named(
    [
        {"kind": "liquidity"},
        {"kind": "concentration"},
        {"kind": "liquidation_buffer", "inner": {"kind": "tiered"}},
    ]
)
def test_nothing_is_asked_for_a_book_that_has_never_been_quoted(setting: dict[str, Any]) -> None:
    """Nor for unknown depth, as outside a market; an emptied book costs more than a full one."""
    book = exposure([5_000, -5_000])
    empty, unknown = (
        book.market._replace(depth=np.array([d]), open_interest=np.array([0]))
        for d in (0.0, np.nan)
    )
    base = (
        bound(rule({"kind": "tiered"}), book).compute_margins(book).initial
        if "inner" in setting
        else 0.0
    )
    for market in (empty, unknown):
        requirement = rule(setting).bind(market.contracts, UNIT)
        before = requirement.compute_margins(book._replace(market=market)).initial - base
        requirement.observe(market)
        after = requirement.compute_margins(book._replace(market=market)).initial - base
        np.testing.assert_array_equal([before, after], 0.0)
        asked = []
        for depth in (1e6, 0.0):  # quoted, then emptied
            seen = market._replace(depth=np.array([depth]), open_interest=np.array([round(depth)]))
            requirement.observe(seen)
            asked.append(requirement.compute_margins(book._replace(market=seen)).initial - base)
        assert (asked[0] >= 0).all()
        assert (asked[1] > asked[0]).all()


def test_parts_add_up_and_share_by_what_they_ask() -> None:
    setting = {"kind": "sum", "parts": [TIERED, {"kind": "gap"}]}
    _, book = world(5)
    whole = bound(rule(setting), book)
    parts = [bound(rule(part), book) for part in setting["parts"]]
    asked = [part.compute_margins(book) for part in parts]
    close(
        whole.compute_margins(book),
        Margins(*(left + right for left, right in zip(*asked, strict=True))),
    )
    mixed = sum(
        part.compute_leg_shares(book) * one.maintenance[:, None]
        for part, one in zip(parts, asked, strict=True)
    )
    held = np.asarray(mixed).sum(axis=1) > 0
    expected = np.asarray(mixed)[held] / np.asarray(mixed)[held].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(whole.compute_leg_shares(book)[held], expected)


def one(book: Exposure, setting: dict[str, Any]) -> list[float]:
    found: list[float] = bound(rule(setting), book).compute_margins(book).maintenance.tolist()
    return found


def test_liquidity_by_hand() -> None:
    """400 lots at 1000 against a depth of 100: 1% x sqrt(4) of 400,000; short alike."""
    book = exposure([400, -400, 100])
    book = book._replace(market=book.market._replace(depth=np.array([100.0])))
    assert one(book, {"kind": "liquidity"}) == pytest.approx([8_000, 8_000, 1_000])
    empty = book._replace(market=book.market._replace(depth=np.zeros(1)))
    requirement = bound(rule({"kind": "liquidity"}), book)
    requirement.observe(empty.market)
    assert requirement.compute_margins(empty).maintenance == pytest.approx([8_000, 8_000, 1_000])


def test_concentration_by_hand() -> None:
    """A quarter of 20,000 lots: 50% x (0.5 - 0.1) of 5,000,000; up to a hundredth nothing."""
    book = exposure([5_000, 200, -5_000])
    book = book._replace(market=book.market._replace(open_interest=np.array([20_000])))
    assert one(book, {"kind": "concentration"}) == pytest.approx([1_000_000, 0, 1_000_000])


def hedged(position: list[list[int]]) -> Exposure:
    """Spot i0 and perpetual i1 on one underlying at 100, one minor unit per tick and lot."""
    rng = np.random.default_rng(0)
    _, book = world(1)
    while len(book.market.mark) < 2:
        _, book = world(int(rng.integers(0, 1000)))
    book = book.take(np.zeros(len(position), dtype=np.int64))
    pair = slice(0, 2)
    market = book.market.select_instruments(pair)
    zero = np.zeros(2, dtype=np.int64)
    contracts = market.contracts._replace(
        kind=np.array([SPOT, PERPETUAL]), underlying=zero, settle=zero, multiplier=zero + 1
    )
    market = market._replace(contracts=contracts, mark=np.full(2, 100.0))
    return book._replace(
        balance=0 * book.balance,
        position=np.array(position),
        bids=0 * book.bids[:, pair],
        asks=0 * book.asks[:, pair],
        reserved=0 * book.reserved[:, pair],
        entry=0 * book.entry[:, pair],
        leverage=book.leverage[:, pair],
        market=market,
    )


def test_gaps_by_hand() -> None:
    """Long 10 alone; short 10 hedged by 4 of spot; long both (spot's fall is free); spot alone."""
    book = hedged([[0, 10], [4, -10], [4, 10], [4, 0], [-4, 0]])
    assert one(book, {"kind": "gap", "jump": 0.1}) == pytest.approx([100, 60, 100, 0, 40])


def test_wrong_way_by_hand() -> None:
    """Longs backed by spot of the same underlying: the smaller of the two counts twice."""
    book = hedged([[4, 10], [20, 10], [4, -10], [0, 10]])
    assert one(book, {"kind": "wrong_way", "share": 0.5}) == pytest.approx([200, 500, 0, 0])
