"""An account after moves of the market: in one market, or in many at once, side by side."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sim.errors import ConfigError
from sim.margin.engine import EngineConfig, MarginEngine
from sim.pricing import instrument_values
from sim.pricing.instrument_values import mark_at_model
from sim.types import F8, Exposure, MarketView

ROUNDING_DUST = 1e-6
"""Minor units that are dust of a sum."""

FLOAT_NOISE = 1e-13
"""Relative noise of a sum of floats."""

MAX_CELLS = 2_048
"""Positions of all copies in one table at most, empty ones included."""

N_COMPARED = 5
"""Copies whose verdicts are compared with those of the account's own engine."""


class MarginAccount(NamedTuple):
    """One margin account: a pool's engine and the account in it."""

    engine: MarginEngine
    book: Exposure

    def equity(self) -> float:
        """Market equity, zero where it is float dust."""
        return float(remove_dust(self.book, self.book.equity())[0])

    def excess(self) -> float:
        """Equity less maintenance, zero where it is float dust; maintenance is not rounded up to whole minor units.

        In a market equity is whole, and rounding decides nothing. After a move it is not: a long that is paid for in
        full would be liquidatable for a fraction of a cent.
        """
        return float(compute_excess(self.engine, self.book)[0])


def compute_excess(engine: MarginEngine, book: Exposure) -> F8:
    """Equity less maintenance of each account, (A,): see :meth:`Part.excess`."""
    cut, kept = engine.valuation.compute_haircuts(book), engine.requirement.compute_margins(book)
    return remove_dust(book, book.equity() - cut.maintenance - kept.maintenance)


def remove_dust(book: Exposure, amounts: F8) -> F8:
    """Amounts of accounts, (A,), zero where they are float dust of what the accounts hold."""
    gross = np.abs(book.position_value()).sum(axis=1) + (
        np.abs(book.balance) * book.market.price
    ).sum(axis=1)
    return np.where(np.abs(amounts) <= ROUNDING_DUST + FLOAT_NOISE * gross, 0.0, amounts)


class MovedMarkets(NamedTuple):
    """What moves of the market change, one row a move."""

    oracle: F8  # (M, U)
    mark: F8  # (M, K)
    forward: F8  # (M, K), or (M, 0) where none are given
    price: F8  # (M, C)


def move_markets(book: Exposure, moves: F8, vol: float = 0.0) -> tuple[MarketView, MovedMarkets]:
    """The market with volatilities moved, and what several relative moves of its underlyings (M, U) change.

    Assets that bear the name of an underlying move with it. An option's mark stays as far from its value as it was.
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
    """The book after relative moves (U,) of the underlyings and of every option's volatility: see :func:`markets`."""
    return next(move_exposures(book, np.asarray(moves)[None], vol))


def move_exposures(book: Exposure, moves: F8, vol: float = 0.0) -> Iterator[Exposure]:
    """The book after each of several moves (M, U)."""
    louder, found = move_markets(book, moves, vol)
    for oracle, mark, forward, price in zip(*found, strict=True):
        market = louder._replace(oracle=oracle, mark=mark, price=price, forward=forward)
        yield book._replace(market=market)


class BatchedAccount:
    """Amounts of one account after many moves: its instruments listed several times over, each copy in its own market.

    One account holds each copy, so that an engine built for all copies judges as many moves in one call. What an
    account does not hold adds nothing to what it is asked, and copies share no underlying, so that none offsets
    another. Engines for which this is not so are told by a comparison and asked move by move.

    Args:
        config: what the engine is built from; None asks move by move.
        part: the account.
        unit: minor units in one unit of the numeraire.
    """

    def __init__(self, config: EngineConfig | None, part: MarginAccount, unit: int) -> None:
        self.config, self.part, self.unit = config, part, unit
        self.n_copies = max(1, int(np.sqrt(MAX_CELLS / max(part.book.position.shape[1], 1))))
        contracts = part.book.market.contracts
        self.has_constant_assets = not set(contracts.underlyings) & set(
            contracts.assets[1:]
        )  # whether assets keep their prices
        self.book = (
            _copy_exposure(part.book, self.n_copies) if self.has_constant_assets else part.book
        )
        self.engine: MarginEngine | None = None
        self._is_compared = False

    def equity(self, moves: F8) -> F8:
        """Market equity after each of several moves (M, U)."""
        if not self.has_constant_assets:
            return np.array([part.equity() for part in self._iterate_moves(moves)])
        return np.concatenate(
            [remove_dust(book, book.equity())[:count] for book, count in self._batches(moves)]
        )

    def excess(self, moves: F8) -> F8:
        """Equity less maintenance after each of several moves (M, U)."""
        if self.has_constant_assets and not self._is_compared:
            self._build_batch_engine(moves)
        if self.engine is None:
            return np.array([part.excess() for part in self._iterate_moves(moves)])
        return np.concatenate(
            [compute_excess(self.engine, book)[:count] for book, count in self._batches(moves)]
        )

    def _build_batch_engine(self, moves: F8) -> None:
        """Build the engine of all copies, and keep it if its verdicts are those of the account's own engine."""
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
        """Books whose accounts are in as many markets, and how many of them count."""
        _, found = move_markets(self.part.book, moves)
        for start in range(0, len(moves), self.n_copies):
            rows = np.minimum(np.arange(start, start + self.n_copies), len(moves) - 1)
            oracle, mark, forward = (each[rows].ravel() for each in found[:3])
            market = self.book.market._replace(oracle=oracle, mark=mark, forward=forward)
            yield self.book._replace(market=market), len(np.unique(rows))


_SHARED_FIELDS = ("tick", "contracts", "price", "trust", "returns", "seconds", "peg", "dt")
"""Fields of a market that are not a column of its instruments or underlyings."""


def _copy_exposure(book: Exposure, copies: int) -> Exposure:
    """As many accounts as copies, each with the book's cash and with the positions in its own copy."""
    market, contracts = book.market, book.market.contracts
    terms = {
        name: each for name, each in contracts._asdict().items() if name not in ("assets", "units")
    }
    listed = _tile_columns(terms, copies)
    listed["underlying"] = listed["underlying"] + np.repeat(
        np.arange(copies) * market.oracle.size, len(contracts.names)
    )
    columns = _tile_columns(
        {name: each for name, each in market._asdict().items() if name not in _SHARED_FIELDS},
        copies,
    )
    returns = np.tile(market.returns, (1, copies))
    several = market._replace(contracts=contracts._replace(**listed), returns=returns, **columns)
    apart = np.eye(copies, dtype=np.int64)
    held = {
        name: np.kron(apart, getattr(book, name))
        for name in ("position", "bids", "asks", "reserved", "entry")
    }
    cash = {name: np.repeat(getattr(book, name), copies, axis=0) for name in ("balance", "pledged")}
    return Exposure(
        **cash, **held, leverage=np.tile(book.leverage, (copies, copies)), market=several
    )


def _tile_columns(columns: dict[str, Any], copies: int) -> dict[str, Any]:
    return {
        name: np.tile(each, copies) if isinstance(each, np.ndarray) else each * copies
        for name, each in columns.items()
    }
