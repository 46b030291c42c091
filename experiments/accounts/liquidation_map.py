"""Liquidation map of a table of accounts: what a move liquidates, and at which price each account.

Accounts are those of a market at its opening, so that the map and a run begin from the same state.
Moves are applied at once and before any trade: close-outs have no effect on prices here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.calculator.market_moves import compute_excess, move_exposure
from sim.accounts.opening import OpeningBook
from sim.errors import ConfigError, describe_unknown
from sim.margin.engine import MarginEngine
from sim.market import Market
from sim.types import B1, F8, I8, Exposure
from sim.venue import PoolState, Venue

MAP_MOVES: F8 = np.arange(1, 31) / 100
"""Sizes of the falls and rises of the map (share)."""

ALL = "all"
"""Name of the move of all underlyings, each by its beta."""

NEAR = np.arange(1, 61) / 200
"""Sizes of moves tried up to the largest of the map, half a per cent apart."""

FALLS = np.append(NEAR, 1 - 0.7 * np.exp(-np.arange(1, 40) * 0.05))
RISES = np.append(NEAR, 1.3 * np.exp(np.arange(1, 17) * 0.05) - 1)
"""Sizes of all moves tried, 5% apart beyond the map: falls to 90%, rises to 189%."""

REFINEMENTS = 4
"""Bisections of an interval of moves in which accounts become liquidatable."""


class LiquidationMap(NamedTuple):
    """Tables of one table of accounts under one engine, in units of the numeraire.

    ``moves``: shock, move, instrument, notional, share, positions, owners, shortfall.
    ``prices``: owner, instrument, quantity, mark, equity, initial, maintenance, status, below,
    above.
    """

    moves: pd.DataFrame
    prices: pd.DataFrame


class _Pool(NamedTuple):
    """Accounts of a table in one margin pool."""

    venue: Venue
    state: PoolState
    book: Exposure  # (A,) accounts with a position
    owner: I8  # (A,) place among the owners of the table
    value: F8  # (A, K) notional at the mark, units of the numeraire

    @property
    def engine(self) -> MarginEngine:
        return self.state.engine


def compute_map(market: Market, betas: Mapping[str, float]) -> LiquidationMap:
    """Return the liquidation map of the accounts of a market before its first step.

    An account that is liquidatable at a smaller move counts at all larger ones. Notional is at the
    opening mark. A shortfall is the negative equity of accounts after the whole move.

    Args:
        market: a market with opening accounts.
        betas: relative move of an underlying as ``all`` moves by one; 1 for those not named.

    Raises:
        ConfigError: an underlying is unknown.
    """
    names = market.contracts.underlyings
    if unknown := [name for name in betas if name not in names]:
        raise ConfigError([f"--beta: {describe_unknown(name, names)}" for name in unknown])
    pools = list(_list_pools(market))
    shocks = {name: np.array([float(name == other) for other in names]) for name in names}
    if len(names) > 1:
        shocks[ALL] = np.array([betas.get(name, 1.0) for name in names])
    n_owners = len(_get_book(market).names)
    sides = [
        _compute_side(market, pools, (shock, exposures, sign), n_owners)
        for shock, exposures in shocks.items()
        for sign in (-1.0, 1.0)
    ]
    return LiquidationMap(pd.concat(sides, ignore_index=True), _list_prices(market, pools, shocks))


def _list_pools(market: Market) -> Iterator[_Pool]:
    """Yield the accounts of the table that hold positions, pool by pool."""
    opened = _get_book(market)
    for venue in market.venues:
        for state in venue.pool_states.values():
            accounts = venue.pool_accounts(state.pool).take(opened.owners)
            rows = np.flatnonzero((accounts.position != 0).any(axis=1))
            if rows.size:
                book = accounts.take(rows)
                value = np.abs(book.position_value()) / market.minor_units
                yield _Pool(venue, state, book, rows, value)


class _SideSums(NamedTuple):
    """Sums over the accounts that a move makes liquidatable."""

    notional: F8  # (K,) units of the numeraire
    positions: I8  # (K,)
    owners: B1  # (O,)


def _compute_side(
    market: Market, pools: Sequence[_Pool], shock: tuple[str, F8, float], n_owners: int
) -> pd.DataFrame:
    """Return the rows of the map for falls or rises of one shock."""
    name, exposures, sign = shock
    names = market.contracts.names
    everyone = [np.ones(len(pool.owner), dtype=np.bool_) for pool in pools]
    gross = _sum_hit(pools, everyone, len(names), n_owners).notional
    hit = [np.zeros(len(pool.owner), dtype=np.bool_) for pool in pools]
    tables = []
    for size in MAP_MOVES:
        lost = 0.0
        for pool, is_hit in zip(pools, hit, strict=True):
            moved = move_exposure(pool.book, sign * size * exposures)
            is_hit |= compute_excess(pool.engine, moved) < 0
            lost += float(np.maximum(-moved.equity(), 0.0).sum())
        sums = _sum_hit(pools, hit, len(names), n_owners)
        rows = {
            "shock": name,
            "move": sign * size,
            "instrument": names,
            "notional": sums.notional,
            "share": np.divide(sums.notional, gross, out=np.zeros_like(gross), where=gross > 0),
            "positions": sums.positions,
            "owners": int(sums.owners.sum()),
            "shortfall": lost / market.minor_units,
        }
        tables.append(pd.DataFrame(rows)[gross > 0])
    return pd.concat(tables, ignore_index=True)


def _sum_hit(
    pools: Sequence[_Pool], hit: Sequence[B1], n_instruments: int, n_owners: int
) -> _SideSums:
    """Return sums over chosen accounts of each pool."""
    notional, positions = np.zeros(n_instruments), np.zeros(n_instruments, dtype=np.int64)
    owners = np.zeros(n_owners, dtype=np.bool_)
    for pool, is_hit in zip(pools, hit, strict=True):
        part = pool.state.pool.instruments
        notional[part] += pool.value[is_hit].sum(axis=0)
        positions[part] += np.count_nonzero(pool.book.position[is_hit], axis=0)
        owners[pool.owner[is_hit]] = True
    return _SideSums(notional, positions, owners)


def _list_prices(market: Market, pools: Sequence[_Pool], shocks: Mapping[str, F8]) -> pd.DataFrame:
    """Return a row for each position, with the prices at which it is liquidatable.

    The underlying of the instrument moves alone.
    """
    tables = [_list_pool_prices(market, pool, shocks) for pool in pools]
    table = pd.concat(tables, ignore_index=True)
    order = np.lexsort((table["instrument"], table.pop("place")))
    return table.iloc[order].reset_index(drop=True)


def _list_pool_prices(market: Market, pool: _Pool, shocks: Mapping[str, F8]) -> pd.DataFrame:
    """Return the rows of one pool."""
    book, contracts = pool.book, pool.book.market.contracts
    accounts = _describe_accounts(market, pool)
    tables = []
    for u in np.unique(contracts.underlying).tolist():
        alone = shocks[contracts.underlyings[u]]
        down = find_first_moves(pool.engine, book, -alone, FALLS)
        up = find_first_moves(pool.engine, book, alone, RISES)
        for k in np.flatnonzero(contracts.underlying == u).tolist():
            rows = np.flatnonzero(book.position[:, k])
            name, mark = contracts.names[k], float(book.market.mark[k] * contracts.tick[k])
            table = accounts.iloc[rows].copy()
            table.insert(2, "instrument", name)
            table.insert(3, "quantity", book.position[rows, k] * _lot_of(market, name))
            table.insert(4, "mark", mark)
            prices = {"below": mark * (1 - down[rows]), "above": mark * (1 + up[rows])}
            tables.append(table.assign(**prices))
    return pd.concat(tables, ignore_index=True)


def _describe_accounts(market: Market, pool: _Pool) -> pd.DataFrame:
    """Return owner, amounts and status of each account of a pool, and its owner's place."""
    assessed, equity = pool.engine.assess(pool.book), pool.book.equity()
    is_below = compute_excess(pool.engine, pool.book) < 0
    names = np.array(_get_book(market).names, dtype=object)
    return pd.DataFrame(
        {
            "place": pool.owner,
            "owner": names[pool.owner],
            "equity": equity / market.minor_units,
            "initial": assessed.initial / market.minor_units,
            "maintenance": assessed.maintenance / market.minor_units,
            "status": np.where(
                equity < 0, "bankrupt", np.where(is_below, "liquidatable", "healthy")
            ),
        }
    )


def _get_book(market: Market) -> OpeningBook:
    """Return the opening accounts of a market.

    Raises:
        ConfigError: it began without a table.
    """
    book = market.state.opening_book
    if book is None:
        raise ConfigError(["accounts: none, a liquidation map needs a table of accounts, name one"])
    return book


def _lot_of(market: Market, name: str) -> float:
    return next(
        each.lot
        for venue in market.config.venues
        for each in venue.instruments
        if each.name == name
    )


def find_first_moves(engine: MarginEngine, book: Exposure, direction: F8, sizes: F8) -> F8:
    """Return the size of the smallest move at which each account is liquidatable, (A,).

    NaN where there is none, or where the account is liquidatable without a move. Sizes are tried in
    turn. The interval in which excess turns negative is bisected for all its accounts together, and
    the root is interpolated, which is exact where excess is linear between the last two moves.

    Args:
        engine: margin engine.
        book: (A,) accounts.
        direction: (U,) relative move of each underlying at size one.
        sizes: ascending sizes to try.
    """
    found = np.full(len(book.position), np.nan)
    before = compute_excess(engine, book)
    rows, last = np.flatnonzero(before >= 0), 0.0
    before = before[rows]
    for size in sizes.tolist():
        if not rows.size:
            break
        held = book.take(rows)
        after = compute_excess(engine, move_exposure(held, size * direction))
        is_hit = after < 0
        if is_hit.any():
            ends = (last, size, before[is_hit], after[is_hit])
            found[rows[is_hit]] = _refine(
                engine, held.take(np.flatnonzero(is_hit)), direction, ends
            )
        rows, before, last = rows[~is_hit], after[~is_hit], size
    return found


def _refine(
    engine: MarginEngine,
    book: Exposure,
    direction: F8,
    ends: tuple[float, float, F8, F8],
    depth: int = REFINEMENTS,
) -> F8:
    """Return the move in an interval at which excess turns negative, of accounts that do there.

    Args:
        engine: margin engine.
        book: (A,) accounts.
        direction: (U,) relative move of each underlying at size one.
        ends: sizes of the two ends, and excess of each account there: >= 0, < 0.
        depth: bisections left.
    """
    low, high, above, below = ends
    if depth == 0:
        return low + (high - low) * above / (above - below)
    middle = (low + high) / 2
    between = compute_excess(engine, move_exposure(book, middle * direction))
    found = np.empty(len(between))
    is_low: B1 = between < 0
    for chosen, part in (
        (is_low, (low, middle, above, between)),
        (~is_low, (middle, high, between, below)),
    ):
        rows = np.flatnonzero(chosen)
        if rows.size:
            left, right, first, second = part
            narrowed = (left, right, first[rows], second[rows])
            found[rows] = _refine(engine, book.take(rows), direction, narrowed, depth - 1)
    return found
