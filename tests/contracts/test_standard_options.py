"""Deribit's standard rule, and options apart from the rest of an engine, by hand (§5b)."""

from typing import Any

import numpy as np
import pytest
from contracts.margin_worlds import close, equal, few, seeds
from contracts.scan_worlds import DAY, account_book, holding, view, world
from hypothesis import given

from sim.errors import ConfigError
from sim.instruments import Asset, Instrument, build_contracts
from sim.margin import leg_values
from sim.margin.breakdown import break_down_margins
from sim.margin.engine import EngineConfig
from sim.margin.options.standard_options import StandardOptions
from sim.types import OPTION, Margins, MarketView

UNIT = 100
SPOT = 10_000.0
MARKS = {"call-11": 250.0, "call-9": 1_400.0, "put-9": 180.0, "put-30": 20_500.0}
"""Strikes in thousands; a dollar is a tick, a lot a tenth of a coin, a tick of a lot ten cents."""


def listed() -> MarketView:
    common = {
        "underlying": "U",
        "kind": "option",
        "expiry": 30 * DAY,
        "tick": 1,
        "lot": 0.1,
        "max_price": 10**6,
    }
    terms = [(name, *name.split("-")) for name in MARKS]
    options = [
        {**common, "name": name, "option": side, "strike": 1_000 * int(k)}
        for name, side, k in terms
    ]
    perpetual = {"name": "perpetual", "underlying": "U", "tick": 1, "lot": 0.1, "max_price": 10**6}
    each = [(0, Instrument.model_validate(one)) for one in (perpetual, *options)]
    contracts, count = build_contracts(each, ["U"], [Asset(name="USD")]), 1 + len(options)
    mark, none = np.array([SPOT, *MARKS.values()]), np.zeros(count, dtype=np.int64)
    return MarketView(
        *(0, contracts, mark, mark - 1, mark + 1, mark, np.ones(count), np.zeros(count), none),
        *(np.array([SPOT]), np.ones(1), np.full(count, 0.6), np.ones(1), np.zeros((0, 1))),
    )


def asked(**lots: int) -> list[float]:
    """Initial and maintenance in dollars per coin, of lots that are a tenth of one."""
    book = holding(listed(), **lots)
    return [
        10 * float(each[0]) / UNIT
        for each in StandardOptions().bind(book.market.contracts, UNIT).compute_margins(book)
    ]


@pytest.mark.parametrize(
    ("name", "initial", "maintenance"),
    [
        ("call-11", 1_000, 750),  # a tenth out of the money: 15% - 10% < 10%
        ("call-9", 1_500, 750),  # in the money
        ("put-9", 1_000, 750),
        (
            "put-30",
            1_537.5,
            1_537.5,
        ),  # worth more than the underlying: 7.5% of its mark, above 15% of 10,000
    ],
)
def test_a_short_is_asked_what_a_venue_asks_beyond_the_mark(
    name: str, initial: float, maintenance: float
) -> None:
    """The venue's figures include the mark not yet paid: 1,250 and 1,000 of the first."""
    assert asked(**{name.replace("-", "_"): -1}) == pytest.approx([initial, maintenance])
    assert asked(**{name.replace("-", "_"): -7}) == pytest.approx([7 * initial, 7 * maintenance])


def test_between_the_shares_each_dollar_out_of_the_money_counts() -> None:
    """A call 2% out of it: 15% - 2%."""
    market = listed()
    market = market._replace(oracle=np.array([11_000 / 1.02]))
    book = holding(market, call_11=-10)
    initial = StandardOptions().bind(market.contracts, UNIT).compute_margins(book).initial[0]
    assert initial / UNIT == pytest.approx(
        (0.15 - (11_000 - 11_000 / 1.02) / (11_000 / 1.02)) * 11_000 / 1.02
    )


def test_a_long_is_paid_in_full_and_others_are_asked_nothing() -> None:
    assert asked(put_9=3) == pytest.approx([540, 540])
    assert asked(perpetual=-50) == [0, 0]


def test_a_spread_does_not_offset() -> None:
    assert asked(call_9=1, call_11=-1) == pytest.approx([1_400 + 1_000, 1_400 + 750])


def test_the_premium_is_no_margin_but_all_of_it_is_owed() -> None:
    """Sold at the mark with 1,000 dollars: the venue holds 1,250 against 1,250."""
    book = holding(listed(), call_11=-10)
    cash = np.array([[(1_000 + 250) * UNIT]])
    engine = EngineConfig(options=StandardOptions()).build_engine(book.market.contracts, UNIT)
    risk = engine.assess(book._replace(balance=cash))
    assert risk.equity[0] == risk.initial[0] == 1_000 * UNIT
    assert engine.assess(book._replace(balance=cash - 1)).equity[0] < risk.initial[0]


@few
@given(seed=seeds)
def test_two_books_together_ask_no_more_than_apart(seed: int) -> None:
    """Longs and shorts of one option cancel; nothing else does."""
    rng, book = world(seed)
    other = account_book(rng, book.market, len(book.position))
    requirement = StandardOptions(maintenance_share=0.12).bind(book.market.contracts, UNIT)
    whole = requirement.compute_margins(book._replace(position=book.position + other.position))
    for joint, one, two in zip(
        whole, requirement.compute_margins(book), requirement.compute_margins(other), strict=True
    ):
        assert (joint <= (one + two) * (1 + 1e-12)).all()


# Apart from the rest


def engine(**others: Any) -> EngineConfig:
    return EngineConfig.model_validate({"options": {"kind": "standard_options"}, **others})


@few
@given(seed=seeds)
def test_options_and_the_rest_add_up(seed: int) -> None:
    _, book = world(seed)
    contracts = book.market.contracts
    option = contracts.kind == OPTION
    whole = engine().bind(contracts, UNIT)
    parts = [
        (EngineConfig().bind(contracts, UNIT), ~option),
        (StandardOptions().bind(contracts, UNIT), option),
    ]
    each = [part.compute_margins(leg_values.keep_legs(book, seen)) for part, seen in parts]
    close(whole.compute_margins(book), Margins(*(each[0][i] + each[1][i] for i in range(2))))
    rows, kept = break_down_margins(whole, book).values(), whole.compute_margins(book)
    for i in range(2):
        np.testing.assert_allclose(sum(row[i] for row in rows), kept[i], rtol=1e-12, atol=1e-6)
    shares = whole.compute_leg_shares(book)
    np.testing.assert_allclose(shares.sum(axis=1), (book.position != 0).any(axis=1), rtol=1e-12)
    assert (shares[book.position == 0] == 0).all()


def test_where_none_is_listed_nothing_is_between() -> None:
    """A market without options is margined by the very object that it was before."""
    market = view(np.random.default_rng(0))
    linear = market.select_instruments(slice(0, 1))._replace(
        contracts=listed().contracts.select_instruments(slice(0, 1))
    )
    assert type(engine().bind(linear.contracts, UNIT)) is type(
        EngineConfig().bind(linear.contracts, UNIT)
    )


def test_dials_turn_both() -> None:
    book = holding(listed(), call_11=-10, perpetual=10)
    plain, cut = (
        engine(compression=kappa).bind(book.market.contracts, UNIT).compute_margins(book)
        for kappa in (0.0, 0.25)
    )
    equal(cut, Margins(*(0.75 * column for column in plain)))
    assert plain.initial[0] / UNIT == pytest.approx(1_000 + SPOT / 40)


def test_shares_are_of_what_each_leg_asks_to_keep() -> None:
    """A call short 750, a perpetual an eightieth of 10,000."""
    book = holding(listed(), call_11=-10, perpetual=10)
    shares = engine().bind(book.market.contracts, UNIT).compute_leg_shares(book)
    np.testing.assert_allclose(shares[0], [125 / 875, 750 / 875, 0, 0, 0])


def test_instruments_named_for_options_must_be_listed() -> None:
    named = {"kind": "tiered", "instruments": {"call-99": [{"floor": 0, "max_leverage": 2}]}}
    with pytest.raises(ConfigError, match="call-99"):
        engine(options=named).build_pools(listed().contracts)
