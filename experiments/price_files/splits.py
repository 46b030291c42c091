"""Splits of shares in price files: adjusted by an adjusted close, else reported."""

import math
from collections.abc import Iterator

import numpy as np

from experiments.price_files.columns import ADJUSTED, CLOSE, OPEN
from experiments.price_files.tables import PriceTable, compute_adjustment
from experiments.price_files.times import Times
from sim.types import F8

DatedNote = tuple[np.datetime64, str]
"""Time of a row (NaT without times), and a line about it."""

SPLIT_RATIOS = (1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100)
"""New shares for one old share, of usual splits; reverse splits have the inverses."""

MIN_LOG_MOVE = 0.35
"""Log move below which nothing looks like a split."""

MIN_ADJUSTMENT_STEP = 0.2
"""Change of log (adjusted / plain) over a night above which it is a split, not a dividend."""


def describe_splits(table: PriceTable) -> Iterator[DatedNote]:
    """Yield a line about each split, with the time of its row; none without times.

    With an adjusted close, a split is a jump of the plain close that the adjusted one does not
    show. Without one, a line names a move from a close to the next open (or close) near a usual
    ratio, and nothing is changed.
    """
    if not table.has_times or CLOSE not in table.quotes:
        return
    close = table.read_numbers(table.quotes[CLOSE], CLOSE)
    if not (np.isfinite(close) & (close > 0)).all():
        return
    if ADJUSTED in table.quotes:
        yield from _describe_adjusted_splits(table, close)
        return
    opened = table.read_numbers(table.quotes[OPEN], OPEN) if OPEN in table.quotes else None
    yield from find_apparent_splits(table, CLOSE, close, opened)


def find_apparent_splits(
    table: PriceTable, name: str, close: F8, opened: F8 | None = None
) -> Iterator[DatedNote]:
    """Yield moves over a night that are near the ratio of a usual split; nothing is changed.

    Args:
        table: rows of the file.
        name: name of the prices in messages.
        close: (T,) last price of each row.
        opened: (T,) first price of each row, if known.
    """
    after = close if opened is None else opened
    if not all((np.isfinite(prices) & (prices > 0)).all() for prices in (close, after)):
        return
    times: Times = table.times if table.has_times else np.full(len(close), np.datetime64("NaT"))
    for row in np.flatnonzero(np.abs(np.log(close[:-1] / after[1:])) > MIN_LOG_MOVE) + 1:
        shares = _match_split_ratio(close[row - 1] / after[row], closely=opened is not None)
        if shares is not None:
            words = f"{shares:g} for 1" if shares > 1 else f"1 for {1 / shares:g}"
            before, here = close[row - 1], after[row]
            move = f"{_format_row(table, int(row))}: {name} {before:g} to {here:g}"
            rule = "adjust earlier rows, or add a column Adj Close"
            line = f"{move} looks like a split of {words}, and is read as a move: {rule}"
            yield times[row], line


def describe_adjustment(table: PriceTable) -> str:
    """Return a line about prices that an adjusted close changes; empty if it changes none."""
    ratio = compute_adjustment(table)
    if (ratio == 1).all():
        return ""
    span = f"{np.nanmin(ratio):.4g} to {np.nanmax(ratio):.4g}"
    rule = f"open, high, low and close times adj close / close ({span})"
    return f"{table.source}: prices are adjusted, {rule}"


def _describe_adjusted_splits(table: PriceTable, close: F8) -> Iterator[DatedNote]:
    ratio = compute_adjustment(table)
    steps = np.diff(np.log(ratio))
    for row in np.flatnonzero(np.abs(steps) > MIN_ADJUSTMENT_STEP) + 1:
        plain = close[row] / close[row - 1] - 1
        true = close[row] * ratio[row] / (close[row - 1] * ratio[row - 1]) - 1
        place = _format_row(table, int(row))
        moves = f"close {plain:+.2%}, adj close {true:+.2%}, a split"
        yield table.times[row], f"{place}: {moves}: the adjusted move is used"


def _format_row(table: PriceTable, row: int) -> str:
    when = f" ({table.times[row]})" if table.has_times else ""
    return f"{table.source}: row {table.row_number(row)}{when}"


def _match_split_ratio(ratio: float, *, closely: bool) -> float | None:
    """Return the usual split that a ratio of prices is near; None if there is none."""
    for shares in SPLIT_RATIOS:
        within = 0.04 if closely and shares >= 2 else 0.13 if shares >= 3 else 0.03
        for candidate in (shares, 1 / shares):
            if abs(math.log(ratio / candidate)) < within:
                return float(candidate)
    return None
