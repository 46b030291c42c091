"""Accounts after moves of the market, for one move or for many moves at once."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sim.errors import ConfigError
from sim.margin.engine import EngineConfig, MarginEngine
from sim.pricing import instrument_values
from sim.pricing.instrument_values import mark_at_model
from sim.types import F8, Exposure, MarketView

ROUNDING_DUST = 1e-6
"""Minor units below which a sum counts as zero."""

FLOAT_NOISE = 1e-13
"""Relative noise of a sum of floats."""

MAX_CELLS = 2_048
"""Largest number of positions of all copies in one table, empty ones included."""

N_COMPARED = 5
"""Number of copies whose results are compared with those of the account's own engine."""


class MarginAccount(NamedTuple):
    """One margin account: a pool's engine and the account in it."""

    engine: MarginEngine
    book: Exposure

    def equity(self) -> float:
        """Return the market equity, zero if below rounding error."""
        return float(remove_dust(self.book, self.book.equity())[0])

    def excess(self) -> float:
        """Return equity less maintenance, zero if below rounding error.

        Maintenance is not rounded up to whole minor units here. In a market equity is whole, so
        that rounding has no effect. After a move it is not, and a fully paid long position would
        be liquidatable for a fraction of a cent.
        """
        return float(compute_excess(self.engine, self.book)[0])


def compute_excess(engine: MarginEngine, book: Exposure) -> F8:
    """Return equity less maintenance of each account, (A,): see :meth:`MarginAccount.excess`."""
    cut, kept = engine.valuation.compute_haircuts(book), engine.requirement.compute_margins(book)
    return remove_dust(book, book.equity() - cut.maintenance - kept.maintenance)


def remove_dust(book: Exposure, amounts: F8) -> F8:
    """Return amounts of accounts, (A,), with zero for rounding errors of their holdings."""
    gross = np.abs(book.position_value()).sum(axis=1) + (
        np.abs(book.balance) * book.market.price
    ).sum(axis=1)
    return np.where(np.abs(amounts) <= ROUNDING_DUST + FLOAT_NOISE * gross, 0.0, amounts)


class MovedMarkets(NamedTuple):
    """Market data after moves, one row per move."""

    oracle: F8  # (M, U) quote currency
    mark: F8  # (M, K) ticks
    forward: F8  # (M, K), or (M, 0) if none are given
    price: F8  # (M, C) minor units of the numeraire per minor unit of the asset


def move_markets(book: Exposure, moves: F8, vol: float = 0.0) -> tuple[MarketView, MovedMarkets]:
    """Return the market with moved volatilities, and its data after moves of the underlyings.

    Assets with the name of an underlying move with it. The difference between an option's mark
    and its value does not change.

    Args:
        book: the account.
        moves: (M, U) relative moves of the underlyings.
        vol: relative move of every option's volatility (share).
    """
    before, contracts = book.market, book.market.contracts
    option, oracle = contracts.side != 0, before.oracle * (1 + moves)
    louder = before._replace(vol=np.where(option, before.vol * (1 + vol), before.vol))
    apart = np.where(option, before.mark - mark_at_model(before).mark, 0.0)
    values = instrument_values.value_instruments(
        louder, oracle, np.broadcast_to(louder.vol, (len(moves), option.size))
    )
    price = np.repeat(before.price[None], len(moves), axis=0)
    for u, name in enumerate(contracts.underlyings):
        if name in contracts.assets[1:]:
            price[:, contracts.assets.index(name)] *= 1 + moves[:, u]
    carried = (
        1 + moves[:, contracts.underlying] if before.forward.size else np.ones((len(moves), 1))
    )
    return louder, MovedMarkets(
        oracle, np.maximum(values + apart, 0.0), before.forward * carried, price
    )


def move_exposure(book: Exposure, moves: F8, vol: float = 0.0) -> Exposure:
    """Return the account after relative moves (U,) of the underlyings: see :func:`move_markets`."""
    return next(move_exposures(book, np.asarray(moves)[None], vol))


def move_exposures(book: Exposure, moves: F8, vol: float = 0.0) -> Iterator[Exposure]:
    """Yield the account after each of several moves (M, U): see :func:`move_markets`."""
    louder, found = move_markets(book, moves, vol)
    for oracle, mark, forward, price in zip(*found, strict=True):
        market = louder._replace(oracle=oracle, mark=mark, price=price, forward=forward)
        yield book._replace(market=market)


class BatchedAccount:
    """Evaluation of one account after many moves, by copies of its instruments.

    Each copy of the instruments has its own market, and one account holds each copy. So an engine
    built for all copies evaluates as many moves in one call. Instruments without a position add
    no margin. Copies share no underlying, so that they do not offset each other. A comparison
    finds engines for which this does not hold, and these are evaluated move by move.

    Args:
        config: configuration of the engine; None = move by move.
        part: the account.
        unit: minor units in one unit of the numeraire.
    """

    def __init__(self, config: EngineConfig | None, part: MarginAccount, unit: int) -> None:
        self.config, self.part, self.unit = config, part, unit
        self.n_copies = max(1, int(np.sqrt(MAX_CELLS / max(part.book.position.shape[1], 1))))
        contracts = part.book.market.contracts
        # True if no asset moves with an underlying
        self.has_constant_assets = not set(contracts.underlyings) & set(contracts.assets[1:])
        self.book = (
            _copy_exposure(part.book, self.n_copies) if self.has_constant_assets else part.book
        )
        self.engine: MarginEngine | None = None
        self._is_compared = False

    def equity(self, moves: F8) -> F8:
        """Return market equity after each of several moves (M, U)."""
        if not self.has_constant_assets:
            return np.array([part.equity() for part in self._iterate_moves(moves)])
        return np.concatenate(
            [remove_dust(book, book.equity())[:count] for book, count in self._batches(moves)]
        )

    def excess(self, moves: F8) -> F8:
        """Return equity less maintenance after each of several moves (M, U)."""
        if self.has_constant_assets and not self._is_compared:
            self._build_batch_engine(moves)
        if self.engine is None:
            return np.array([part.excess() for part in self._iterate_moves(moves)])
        return np.concatenate(
            [compute_excess(self.engine, book)[:count] for book, count in self._batches(moves)]
        )

    def _build_batch_engine(self, moves: F8) -> None:
        """Build the engine of all copies, and keep it if it agrees with the account's own."""
        self._is_compared = True
        if self.config is None:
            return
        try:
            self.engine = self.config.build_engine(self.book.market.contracts, self.unit)
            self.engine.observe(self.book.market)
        except ConfigError:
            self.engine = None
            return
        tried = moves[np.linspace(0, len(moves) - 1, self.n_copies).astype(int)]
        some = np.unique(np.linspace(0, len(tried) - 1, N_COMPARED).astype(int))
        alone = np.array([part.excess() for part in self._iterate_moves(tried[some])])
        if not np.allclose(self.excess(tried)[some], alone, rtol=1e-12, atol=ROUNDING_DUST):
            self.engine = None

    def _iterate_moves(self, moves: F8) -> Iterator[MarginAccount]:
        return (self.part._replace(book=book) for book in move_exposures(self.part.book, moves))

    def _batches(self, moves: F8) -> Iterator[tuple[Exposure, int]]:
        """Yield accounts in as many markets, and the number of them that count."""
        _, found = move_markets(self.part.book, moves)
        for start in range(0, len(moves), self.n_copies):
            rows = np.minimum(np.arange(start, start + self.n_copies), len(moves) - 1)
            oracle, mark, forward = (each[rows].ravel() for each in found[:3])
            market = self.book.market._replace(oracle=oracle, mark=mark, forward=forward)
            yield self.book._replace(market=market), len(np.unique(rows))


_SHARED_FIELDS = ("tick", "contracts", "price", "trust", "returns", "seconds", "peg", "dt")
"""Fields of a market that are not columns of its instruments or underlyings."""


def _copy_exposure(book: Exposure, copies: int) -> Exposure:
    """Return one account per copy, each with all cash and with the positions in its own copy."""
    apart = np.eye(copies, dtype=np.int64)
    return Exposure(
        balance=np.repeat(book.balance, copies, axis=0),
        pledged=np.repeat(book.pledged, copies, axis=0),
        position=np.kron(apart, book.position),
        bids=np.kron(apart, book.bids),
        asks=np.kron(apart, book.asks),
        reserved=np.kron(apart, book.reserved),
        entry=np.kron(apart, book.entry),
        leverage=np.tile(book.leverage, (copies, copies)),
        market=_copy_market(book.market, copies),
    )


def _copy_market(market: MarketView, copies: int) -> MarketView:
    """Return a market that lists the instruments once per copy, each with its own underlyings."""
    contracts = market.contracts
    terms = {
        name: each for name, each in contracts._asdict().items() if name not in ("assets", "units")
    }
    listed = _tile_columns(terms, copies)
    first_underlying = np.arange(copies) * market.oracle.size
    listed["underlying"] = listed["underlying"] + np.repeat(first_underlying, len(contracts.names))
    fields = {name: each for name, each in market._asdict().items() if name not in _SHARED_FIELDS}
    return market._replace(
        contracts=contracts._replace(**listed),
        returns=np.tile(market.returns, (1, copies)),
        **_tile_columns(fields, copies),
    )


def _tile_columns(columns: dict[str, Any], copies: int) -> dict[str, Any]:
    return {
        name: np.tile(each, copies) if isinstance(each, np.ndarray) else each * copies
        for name, each in columns.items()
    }
