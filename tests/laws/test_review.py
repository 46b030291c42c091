"""Laws found broken in review, each by the smallest market that broke it."""

import numpy as np
from markets import build, config, move, script, venue

from sim.exchange.book import Books
from sim.types import IOC, LIMIT, NOBODY, REDUCE_ONLY


def test_trades_stay_what_they_were_when_the_books_go_on():
    """LIQ-6: the event log keeps fills; a single one was a view of what the next batch writes over."""
    books, position = Books(1, 4, 100), np.zeros((1, 4), dtype=np.int64)
    bands, stood = np.array([[1, 100]]), np.zeros(2, dtype=np.int64)
    meet = np.array([[0, 0, 5, 50, LIMIT, 0, 0, NOBODY], [1, 0, -5, 50, LIMIT, 0, 0, NOBODY]])
    kept = books.trade(meet, position, bands, stood)
    before = [column.tolist() for column in kept]
    books.trade(meet + np.array([2, 0, 0, 10, 0, 0, 0, 0]), position, bands, stood)
    assert [column.tolist() for column in kept] == before
