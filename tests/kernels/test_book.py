"""BOOK-1: each rule on a small book; compiled and plain books agree on millions of events."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.exchange.book import OrderBooks
from sim.exchange.matching import (
    CANCELLED,
    FILLED,
    FILLED_LOTS,
    LAST_AFTER,
    LOTS,
    MAKER,
    MID2_AFTER,
    MID2_BEFORE,
    REFUSED_BAND,
    REFUSED_POST,
    REFUSED_REDUCE,
    RESTED,
    STATUS,
    TICKS,
    UNKNOWN,
)
from sim.exchange.plain_book import PlainOrderBooks
from sim.types import I8, IOC, LIMIT, MARKET, MISSING, POST_ONLY, REDUCE_ONLY

LEVELS = 5000
FREE = (1, LEVELS)

EITHER = OrderBooks | PlainOrderBooks


def order(
    owner: int, quantity: int, limit: int = 0, kind: int = LIMIT, slot: int = 0, reserve: int = 3
) -> list[int]:
    return [owner, 0, quantity, limit, kind, slot, reserve, MISSING]


def send(
    books: EITHER,
    *orders: list[int],
    position: tuple[int, ...] = (0, 0, 0, 0),
    band: tuple[int, int] = FREE,
):
    return books.match(np.array(orders, dtype=np.int64), np.array([position]), np.array([band]))


def statuses(report: I8) -> list[int]:
    return report[:, STATUS].tolist()


@pytest.fixture(params=[OrderBooks, PlainOrderBooks])
def books(request: pytest.FixtureRequest) -> EITHER:
    made: EITHER = request.param(1, 4, LEVELS)
    return made


def test_better_prices_then_older_orders_trade_first(books: EITHER) -> None:
    send(books, order(0, -5, 101), order(1, -5, 100), order(2, -5, 100))
    fills, report = send(books, order(3, 12, 101))
    assert fills[:, [MAKER, LOTS, TICKS]].tolist() == [[1, 5, 100], [2, 5, 100], [0, 2, 101]]
    assert report[0].tolist() == [FILLED, 12, MISSING, MISSING, 101]
    assert books.top_of_book().tolist() == [[MISSING, 101, 101]]


def test_limit_rests_what_it_does_not_trade_and_reports_the_mid(books: EITHER) -> None:
    _, report = send(books, order(0, -5, 110), order(1, 8, 100), order(2, 9, 120))
    assert statuses(report) == [RESTED, RESTED, RESTED]
    assert report[:, FILLED_LOTS].tolist() == [0, 0, 5]
    assert report[:, MID2_BEFORE].tolist() == [MISSING, MISSING, 210]
    assert report[:, MID2_AFTER].tolist() == [MISSING, 210, MISSING]
    assert report[:, LAST_AFTER].tolist() == [MISSING, MISSING, 110]
    assert books.resting_totals[:, 0].tolist() == [[0, 8, 4, 0], [0, 0, 0, 0], [0, 24, 12, 0]]


def test_ioc_and_market_never_rest(books: EITHER) -> None:
    send(books, order(0, -5, 110))
    _, report = send(books, order(1, 7, 110, IOC), order(2, 7, 0, MARKET), order(2, 7, 90, IOC))
    assert statuses(report) == [CANCELLED, CANCELLED, CANCELLED]
    assert report[:, FILLED_LOTS].tolist() == [5, 0, 0]
    assert len(books) == 0


def test_post_only_never_takes(books: EITHER) -> None:
    send(books, order(0, -5, 110))
    fills, report = send(books, order(1, 7, 110, POST_ONLY), order(1, 7, 109, POST_ONLY))
    assert statuses(report) == [REFUSED_POST, RESTED]
    assert len(fills) == 0


def test_consecutive_post_only_orders_withdraw_before_any_is_placed(books: EITHER) -> None:
    """Two makers move up, and a taker between them must meet the old quote."""
    old = [
        order(who, side * 5, 100 + side * -5, POST_ONLY, slot=side + 1)
        for who in (0, 1)
        for side in (1, -1)
    ]
    new = [
        order(who, side * 5, 115 + side * -5, POST_ONLY, slot=side + 1)
        for who in (0, 1)
        for side in (1, -1)
    ]
    assert statuses(send(books, *old)[1]) == [RESTED] * 4
    fills, report = send(books, *new)
    assert (len(fills), statuses(report)) == (0, [RESTED] * 4)
    fills, report = send(books, *old[:2], order(2, -3, 110, IOC), *old[2:])
    assert fills[:, [MAKER, LOTS, TICKS]].tolist() == [[1, -3, 110]]
    assert statuses(report) == [RESTED, REFUSED_POST, FILLED, RESTED, RESTED]


def test_same_slot_replaces_and_loses_priority_even_if_the_new_order_is_refused(
    books: EITHER,
) -> None:
    send(books, order(0, 5, 100), order(1, 5, 100), order(0, 5, 100))
    fills, _ = send(books, order(2, -1, 100))
    assert fills[:, MAKER].tolist() == [1]
    _, report = send(books, order(0, 5, LEVELS + 1))
    assert statuses(report) == [REFUSED_BAND]
    assert len(books.list_owner_orders(0, 0)) == 0


def test_quantity_nil_cancels_one_slot(books: EITHER) -> None:
    _, report = send(
        books,
        order(0, 5, 100, slot=1),
        order(0, 5, 99, slot=2),
        order(0, 0, slot=1),
        order(0, 0, slot=1),
    )
    assert statuses(report) == [RESTED, RESTED, CANCELLED, UNKNOWN]
    assert books.list_owner_orders(0, 0).tolist() == [[2, 5, 99, 3, 0]]


def test_slot_nobody_replaces_nothing_and_goes_with_all_of_its_owner(books: EITHER) -> None:
    _, report = send(
        books, *(order(0, 5, 100 + i, slot=MISSING) for i in range(3)), order(0, 0, slot=MISSING)
    )
    assert statuses(report) == [RESTED, RESTED, RESTED, UNKNOWN]
    assert books.cancel_owner_orders(0, np.array([0, 1])) == 3
    assert not books.resting_totals.any()


def test_own_resting_orders_are_cancelled_not_traded(books: EITHER) -> None:
    send(books, order(0, -5, 100), order(1, -5, 101))
    fills, report = send(books, order(0, 5, 101, slot=1))
    assert fills[:, MAKER].tolist() == [1]
    assert statuses(report) == [FILLED]
    assert len(books) == 0


def late(books: EITHER, *orders: list[int], position: tuple[int, ...] = (0, 0, 0, 0)):
    """A batch decided on the orders that rest as it begins, as the market's are."""
    rows = np.array(orders, dtype=np.int64)
    stood = books.find_replaced_orders(rows)[:, 0].copy()
    kept = stood.copy()
    matched = books.match(rows, np.array([position]), np.array([FREE]), stood)
    assert np.array_equal(stood, kept), "what was handed over is only read"
    return matched


def test_a_withdrawn_own_order_has_not_traded(books: EITHER) -> None:
    """An order cancelled by its owner's own bid has not traded; its replacement rests whole."""
    send(books, order(0, -5, 100, slot=2))
    fills, report = late(books, order(0, 5, 101, slot=1), order(0, -5, 103, slot=2))
    assert len(fills) == 0
    assert statuses(report) == [RESTED, RESTED]
    assert books.list_owner_orders(0, 0)[:, :3].tolist() == [[1, 5, 101], [2, -5, 103]]


def test_of_a_withdrawn_own_order_only_what_traded_before_is_taken_off(books: EITHER) -> None:
    """From an order of 5, 2 trade and 3 are withdrawn, so the replacement of 5 is cut to 3."""
    send(books, order(0, -5, 100, slot=2))
    fills, report = late(
        books, order(1, 2, 100, IOC), order(0, 4, 101, slot=1), order(0, -5, 103, POST_ONLY, slot=2)
    )
    assert fills[:, LOTS].tolist() == [2]
    assert statuses(report) == [FILLED, RESTED, RESTED]
    assert books.list_owner_orders(0, 0)[:, :3].tolist() == [[1, 4, 101], [2, -3, 103]]
    late(books, order(2, -4, 101, IOC), order(0, 4, 100, slot=1))
    assert books.list_owner_orders(0, 0)[:, :3].tolist() == [[2, -3, 103]], (
        "what traded on the way is still taken off"
    )


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        ([order(0, 0, slot=2), order(0, 10, 101, slot=2)], [10, 101]),
        ([order(0, 7, 101, slot=2), order(0, 10, 102, slot=2)], [10, 102]),
        ([order(0, 7, 101, POST_ONLY, slot=2), order(0, 10, 102, POST_ONLY, slot=2)], [10, 102]),
        ([order(0, -5, 110, slot=2), order(0, 10, 101, slot=2)], [10, 101]),
        ([order(0, 10, 200, slot=2), order(0, 0, slot=2), order(0, 10, 101, slot=2)], [10, 101]),
    ],
)
def test_what_an_owner_cancels_itself_in_a_batch_has_not_traded(
    books: EITHER, rows: list[list[int]], left: list[int]
) -> None:
    """BOOK-1: a bid of 10 is cancelled or replaced, and replaced once more in the same batch."""
    send(books, order(0, 10, 100, slot=2))
    late(books, *rows)
    assert books.list_owner_orders(0, 0)[:, :3].tolist() == [[2, *left]]


def test_lots_that_traded_are_taken_off_each_later_row_of_the_slot(books: EITHER) -> None:
    """A bid of 10 trades 4 before its cancellation; with its replacement it trades at most 10."""
    send(books, order(0, 10, 100, slot=2), order(3, -3, 105))
    rows = [
        order(1, -4, 100, IOC),
        order(0, 0, slot=2),
        order(0, 8, 105, slot=2),
        order(0, 10, 101, slot=2),
    ]
    fills, report = late(books, *rows)
    assert fills[:, LOTS].tolist() == [-4, 3]
    assert statuses(report) == [FILLED, CANCELLED, RESTED, RESTED]
    assert books.list_owner_orders(0, 0)[:, :3].tolist() == [[2, 3, 101]]


def test_a_reduce_only_order_withdrawn_as_it_is_met_has_not_traded(books: EITHER) -> None:
    """Two reduce-only orders of 6: the first trades, the second goes, its replacement is whole."""
    asks = [order(1, -6, 100 + slot, REDUCE_ONLY, slot=slot) for slot in range(2)]
    send(books, *asks, position=(0, 6, 0, 0))
    _, report = late(
        books, order(0, 12, 101, IOC), order(1, -6, 110, slot=1), position=(0, 6, 0, 0)
    )
    assert statuses(report) == [CANCELLED, RESTED]
    assert books.list_owner_orders(0, 1)[:, :3].tolist() == [[1, -6, 110]]


def test_reduce_only_taker_is_cut_to_the_position(books: EITHER) -> None:
    send(books, order(0, -50, 100))
    rows = (
        order(1, 9, 100, LIMIT + REDUCE_ONLY),
        order(1, 9, 100, IOC + REDUCE_ONLY),
        order(2, 1, 100, 6),
    )
    _, report = send(books, *rows, position=(0, -4, 3, 0))
    assert statuses(report) == [FILLED, REFUSED_REDUCE, REFUSED_REDUCE]
    assert report[:, FILLED_LOTS].tolist() == [4, 0, 0]


def test_reduce_only_maker_trades_what_still_reduces_then_goes(books: EITHER) -> None:
    send(
        books,
        order(1, -6, 100, REDUCE_ONLY),
        order(1, -6, 101, REDUCE_ONLY, slot=1),
        position=(0, 9, 0, 0),
    )
    fills, report = send(books, order(0, 20, 101), position=(0, 9, 0, 0))
    assert fills[:, LOTS].tolist() == [6, 3]
    assert statuses(report) == [RESTED]
    assert len(books) == 1


def test_reduce_only_maker_counts_trades_of_the_same_batch(books: EITHER) -> None:
    send(books, order(1, -6, 100, REDUCE_ONLY), order(2, 6, 90), position=(0, 6, 0, 0))
    fills, _ = send(books, order(1, -4, 90, slot=1), order(0, 6, 100), position=(0, 6, 0, 0))
    assert fills[:, LOTS].tolist() == [-4, 2]


def test_band_clamps_aggressive_limits_and_refuses_passive_ones(books: EITHER) -> None:
    send(books, order(0, -5, 100), order(0, -5, 120, slot=1), order(0, 5, 50, slot=2))
    rows = (order(1, 9, 150), order(2, 9, 89), order(2, -9, 111), order(2, -9, 70))
    fills, report = send(books, *rows, band=(90, 110))
    assert statuses(report) == [RESTED, REFUSED_BAND, REFUSED_BAND, RESTED]
    assert fills[:, TICKS].tolist() == [100, 110]
    assert books.top_of_book().tolist() == [[50, 90, 110]]


def test_limits_off_the_ladder_and_empty_bands_are_refused(books: EITHER) -> None:
    _, report = send(
        books, order(0, 5, 0), order(0, -5, -3), order(0, 5, LEVELS + 1), order(0, -5, LEVELS)
    )
    assert statuses(report) == [REFUSED_BAND, REFUSED_BAND, REFUSED_BAND, RESTED]
    _, report = send(books, order(0, 5, 100), order(0, 5, 0, MARKET), band=(101, 99))
    assert statuses(report) == [REFUSED_BAND, REFUSED_BAND]


def test_depth_counts_lots_within_a_range(books: EITHER) -> None:
    send(books, order(0, 5, 100), order(1, 7, 90), order(2, -3, 110), order(3, -4, 1 + 64 * 64))
    assert books.sum_depth(np.array([95]), np.array([200])).tolist() == [[5, 3]]
    assert books.sum_depth(np.array([1]), np.array([LEVELS])).tolist() == [[12, 7]]


def test_last_price_can_be_published(books: EITHER) -> None:
    books.set_last_price(0, 77)
    assert books.top_of_book().tolist() == [[MISSING, MISSING, 77]]


def test_replaced_shows_what_a_batch_would_replace(books: EITHER) -> None:
    send(books, order(0, -5, 100, slot=4, reserve=9))
    rows = np.array([order(0, 1, 1, slot=4), order(0, 1, 1, slot=5), order(1, 0, slot=MISSING)])
    assert books.find_replaced_orders(rows).tolist() == [[-5, 9], [0, 0], [0, 0]]


def test_rows_that_name_nothing_are_refused_before_anything_happens() -> None:
    books = OrderBooks(1, 4, LEVELS)
    for wrong in (
        [4, 0, 1, 1, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 1, 1, 8, 0, 0, 0],
        [0, 0, 1, 1, 0, -2, 0, 0],
    ):
        with pytest.raises(ValueError, match="order 1"):
            send(books, order(0, 1, 1), wrong)
    assert len(books) == 0


@settings(deadline=None, max_examples=60)
@given(levels=st.integers(1, 300_000), data=st.data())
def test_next_price_is_found_on_any_ladder(levels: int, data: st.DataObject) -> None:
    books = OrderBooks(1, 4, levels)
    prices = data.draw(st.lists(st.integers(1, levels), min_size=1, max_size=8, unique=True))
    rows = [[0, 0, 1, price, LIMIT, i, 0, MISSING] for i, price in enumerate(prices)]
    books.match(np.array(rows), np.zeros((1, 4), dtype=np.int64), np.array([(1, levels)]))
    sold = np.array([[1, 0, -len(prices), 1, LIMIT, 0, 0, MISSING]])
    fills, _ = books.match(sold, np.zeros((1, 4), dtype=np.int64), np.array([(1, levels)]))
    assert fills[:, TICKS].tolist() == sorted(prices, reverse=True)


class Crowd:
    """Random batches of every kind of order around a wandering price, within wandering bands."""

    def __init__(self, seed: int, instruments: int = 3, owners: int = 40, rows: int = 500) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape, self.rows = (instruments, owners), rows
        self.centre = self.rng.integers(100, LEVELS - 100, instruments)

    def orders(self) -> I8:
        rng, n = self.rng, self.rows
        instrument = rng.integers(0, self.shape[0], n)
        quantity = rng.integers(1, 30, n) * rng.choice([-1, 1], n) * (rng.random(n) < 0.75)
        distance = np.where(
            rng.random(n) < 0.97, rng.normal(4, 8, n), rng.normal(0, 3000, n)
        ).astype(np.int64)
        limit = self.centre[instrument] - np.sign(quantity) * distance
        kind = rng.choice([0, 0, 0, 0, 0, 1, 2, 3, 4, 4, 5, 6, 7], n)
        owner, slot = rng.integers(0, self.shape[1], n), rng.integers(-1, 6, n)
        columns = (
            owner,
            instrument,
            quantity,
            limit,
            kind,
            slot,
            rng.integers(0, 50, n),
            rng.integers(-1, 9, n),
        )
        return np.stack(columns, axis=1)

    def bands(self) -> I8:
        self.centre = np.clip(
            self.centre + self.rng.integers(-6, 7, len(self.centre)), 50, LEVELS - 50
        )
        width = self.rng.choice([5, 20, 100, LEVELS], (len(self.centre), 2))
        return np.stack([self.centre - width[:, 0], self.centre + width[:, 1]], axis=1)


def race(seed: int, events: int) -> I8:
    """Run both books side by side, compare them after every batch, and count each status."""
    crowd, seen = Crowd(seed), np.zeros(7, dtype=np.int64)
    fast, plain = OrderBooks(*crowd.shape, LEVELS), PlainOrderBooks(*crowd.shape, LEVELS)
    position = np.zeros(crowd.shape, dtype=np.int64)
    for batch in range(events // crowd.rows):
        orders, bands = crowd.orders(), crowd.bands()
        np.testing.assert_array_equal(
            fast.find_replaced_orders(orders), plain.find_replaced_orders(orders)
        )
        stood = (
            fast.find_replaced_orders(orders)[:, 0].copy() if batch % 2 else None
        )  # what in-flight mitigation goes by
        (fills, report), (their_fills, their_report) = (
            b.match(orders, position, bands, stood) for b in (fast, plain)
        )
        np.testing.assert_array_equal(fills, their_fills)
        np.testing.assert_array_equal(report, their_report)
        np.add.at(position, (fills[:, 2], fills[:, 0]), fills[:, LOTS])
        np.add.at(position, (fills[:, 2], fills[:, 1]), -fills[:, LOTS])
        np.testing.assert_array_equal(fast.top_of_book(), plain.top_of_book())
        np.testing.assert_array_equal(fast.resting_totals, plain.resting_totals)
        if batch % 5 == 0:
            k, gone = batch % crowd.shape[0], crowd.rng.integers(0, crowd.shape[1], 3)
            np.testing.assert_array_equal(
                fast.sum_depth(*bands.T.copy()), plain.sum_depth(*bands.T.copy())
            )
            np.testing.assert_array_equal(
                fast.list_owner_orders(k, gone[0])[:, 0], plain.list_owner_orders(k, gone[0])[:, 0]
            )
            assert fast.cancel_owner_orders(k, gone) == plain.cancel_owner_orders(k, gone)
        assert len(fast) == len(plain)
        seen += np.bincount(report[:, STATUS], minlength=7)
    return seen


@pytest.mark.parametrize("seed", range(4))
def test_kernel_equals_twin(seed: int) -> None:
    assert race(seed, 100_000).min() > 1000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 104))
def test_kernel_equals_twin_on_two_million_events(seed: int) -> None:
    assert race(seed, 500_000).min() > 5000


def test_growing_books_keep_every_word() -> None:
    """Rungs that are not in use are not copied, because they are zero."""
    crowd = Crowd(7)
    books, position = OrderBooks(*crowd.shape, LEVELS), np.zeros(crowd.shape, dtype=np.int64)
    for _ in range(20):
        books.match(crowd.orders(), position, crowd.bands())
    before = books._data.copy()
    books.reserve_capacity(100_000)
    assert len(books._data) > len(before)
    np.testing.assert_array_equal(books._data[: len(before)], before)
    assert not books._data[len(before) :].any()
