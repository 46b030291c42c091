"""The ledger's kernels against a plain twin; what can be seen and what cannot be done (LED-1)."""

from typing import Any

import numpy as np
import pytest
from build import market as view_of
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import ConservationError
from sim.ledger import Ledger
from sim.types import Contracts, Fills, MarginPool, Transfers

OWNERS, ASSETS = 6, 2
POOLS = (
    MarginPool(venue=0, number=0, instruments=slice(0, 2), venue_slice=slice(0, 2), wallet_pool=2),
    MarginPool(venue=0, number=1, instruments=slice(2, 3), venue_slice=slice(2, 3), wallet_pool=2),
    MarginPool(venue=0, number=2, instruments=slice(3, 3), venue_slice=slice(0, 0), wallet_pool=2),
)
CONTRACTS: Contracts = view_of(
    [100, 200, 300], multiplier=[1, 7, 13], settle=[0, 1, 0], price=(1.0, 0.5)
).contracts


class Plain:
    """Balances, positions and what was paid for them, in dictionaries of whole numbers."""

    def __init__(self) -> None:
        self.cash: dict[tuple[int, int, int], int] = {}
        self.lots: dict[tuple[int, int], int] = {}
        self.paid: dict[tuple[int, int], float] = {}

    def trade(self, taker: int, maker: int, k: int, lots: int, price: int) -> None:
        pool, asset = (0, 0, 1)[k], (0, 1, 0)[k]
        each = price * (1, 7, 13)[k]
        for owner, change in ((taker, lots), (maker, -lots)):
            at = (asset, pool, owner)
            self.cash[at] = self.cash.get(at, 0) - change * each
            self._remember((k, owner), change, each)

    def _remember(self, at: tuple[int, int], change: int, each: int) -> None:
        held, paid = self.lots.get(at, 0), self.paid.get(at, 0)
        after = held + change
        if held * change >= 0:
            paid += change * each
        elif after * held > 0:
            paid = round(paid * (after / held))
        else:
            paid = after * each
        self.lots[at], self.paid[at] = after, paid

    def move(
        self, source: int, target: int, source_pool: int, target_pool: int, asset: int, amount: int
    ) -> None:
        for owner, pool, change in ((source, source_pool, -amount), (target, target_pool, amount)):
            at = (asset, pool, owner)
            self.cash[at] = self.cash.get(at, 0) + change


def ledger() -> Ledger:
    return Ledger(CONTRACTS, POOLS, OWNERS, ASSETS, np.zeros((3, 3, OWNERS), dtype=np.int64))


def dense(cells: dict[Any, Any], shape: tuple[int, ...]) -> np.ndarray:
    whole = np.zeros(shape, dtype=np.int64)
    for at, value in cells.items():
        whole[at] = value
    return whole


owner = st.integers(0, OWNERS - 1)
fill = st.tuples(
    owner, owner, st.integers(0, 2), st.integers(-50, 50), st.integers(1, 10**6), st.just(-1)
)
amount = st.integers(-(10**12), 10**12)
transfer = st.tuples(
    owner, owner, st.integers(0, 2), st.integers(0, 2), st.integers(0, ASSETS - 1), amount
)
posting = st.one_of(
    st.tuples(st.just(Fills), st.lists(fill, max_size=20)),
    st.tuples(st.just(Transfers), st.lists(transfer, max_size=9)),
)


@given(st.lists(posting, max_size=12))
@settings(max_examples=150, deadline=None)
def test_kernels_equal_their_plain_twin(postings):
    """LED-1, LED-2: to the unit, the memo of what was paid included; and nothing is left over."""
    book, plain = ledger(), Plain()
    for kind, rows in postings:
        columns = kind(*np.array(rows, dtype=np.int64).reshape(-1, 6).T.copy())
        if kind is Fills:
            book.settle_fills(columns, "voluntary")
            for row in rows:
                plain.trade(*row[:5])
        else:
            book.transfer(columns, "deposit")
            for row in rows:
                plain.move(*row)
        book.check_conservation()
    assert np.array_equal(book.balance, dense(plain.cash, (ASSETS, 3, OWNERS)))
    assert np.array_equal(book.position, dense(plain.lots, (3, OWNERS)))
    assert np.array_equal(book.entry, dense(plain.paid, (3, OWNERS)))


@pytest.mark.parametrize(
    ("lots", "prices", "paid"),
    [
        ((10, 5), (100, 130), 1650),  # added to: what was paid adds up
        ((10, -4), (100, 130), 600),  # reduced: the rest keeps its average price
        ((10, -10), (100, 130), 0),  # closed: nothing
        ((10, -15), (100, 130), -650),  # flipped: the new side at its own price
        ((3, -1), (101, 7), 202),
    ],
)
def test_entry_remembers_the_average_price_of_what_is_left(lots, prices, paid):
    book = ledger()
    for change, price in zip(lots, prices, strict=True):
        book.settle_fills(Fills(*np.array([[0], [1], [0], [change], [price], [-1]])), "voluntary")
    assert book.entry[0].tolist()[:2] == [paid, -paid]


def test_a_fill_with_oneself_changes_nothing():
    book = ledger()
    book.settle_fills(Fills(*np.array([[0], [1], [0], [10], [100], [-1]])), "voluntary")
    before = book.balance.copy(), book.position.copy()
    book.settle_fills(Fills(*np.array([[2], [2], [0], [10], [100], [-1]])), "voluntary")
    assert np.array_equal(book.balance, before[0])
    assert np.array_equal(book.position, before[1])


def test_views_share_memory_and_cannot_be_written():
    """A pool's accounts are live views of the ledger's arrays, and only the ledger writes them."""
    book = ledger()
    market = view_of([100, 200, 300], multiplier=[1, 7, 13], settle=[0, 1, 0], price=(1.0, 0.5))
    for pool in POOLS[:2]:
        view = book.view_accounts(pool, market.select_instruments(pool.venue_slice))
        columns = {"balance": book.balance, "position": book.position, "entry": book.entry}
        for name, whole in columns.items():
            assert np.shares_memory(getattr(view, name), whole)
        for column in view[:-1]:
            assert not column.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                column[...] = 1
    view = book.view_accounts(POOLS[0], market.select_instruments(POOLS[0].venue_slice))
    book.settle_fills(Fills(*np.array([[0], [1], [1], [3], [10], [-1]])), "voluntary")
    assert view.position[0].tolist() == [0, 3]
    assert view.balance[0].tolist() == [0, -210]
    for public in (book.balance, book.position, book.entry):
        with pytest.raises(ValueError, match="read-only"):
            public[...] = 1


def test_every_posting_that_can_be_said_is_balanced():
    """Trades and transfers carry both signs, and deposits have a source as well (LED-1)."""
    book = ledger()
    book.deposit_wealth(5, np.arange(5), 2, np.arange(5) * 100)
    assert book.balance[0, 2].tolist() == [0, 100, 200, 300, 400, -1000]
    book.post_pledges(Transfers.from_columns(0, 1, 0, 0, 1, 77))
    book.open_positions(
        np.array([1, 2]), np.array([0, 0]), np.array([3, -1]), np.array([30, -9]), 5
    )
    book.check_conservation()
    public = {name for name in vars(Ledger) if not name.startswith("_")}
    assert public == {
        *("view_accounts", "settle_fills", "transfer", "post_pledges"),
        *("deposit_wealth", "cap_leverage", "check_conservation"),
        *("writable", "log_posted", "open_positions"),
    }


@pytest.mark.parametrize("array", ["_balance", "_position", "_pledged"])
def test_a_lost_unit_is_noticed(array):
    book = ledger()
    getattr(book, array).flat[0] += 1
    with pytest.raises(ConservationError, match="no longer sum to zero"):
        book.check_conservation()
