"""Equal capital efficiency: the compression at which an engine ties up as much capital as another (MAR-2)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sim.errors import ConfigError
from sim.margin.engine import EngineConfig
from sim.types import F8, Exposure


class Capital(NamedTuple):
    """What an engine ties up on a reference book, shares of its gross notional."""

    margin: float  # m: the requirement's initial
    haircut: float  # h: collateral disallowed for initial

    @property
    def total(self) -> float:
        """m + h."""
        return self.margin + self.haircut


class TiedUp(NamedTuple):
    """What an engine ties up of each account of a snapshot, minor units of the numeraire."""

    margin: F8  # (A,) the requirement's initial, all pools together
    haircut: F8  # (A,) collateral disallowed for initial


def tied_up(engine: EngineConfig, books: Sequence[Exposure], unit: int) -> Iterator[TiedUp]:
    """What an engine ties up of every account, snapshot by snapshot; requirements see each one's market first.

    Args:
        engine: netting, valuation, requirement.
        books: snapshots of one venue's accounts over all of its instruments.
        unit: minor units in one unit of the numeraire.

    Raises:
        ConfigError: a pool's instruments do not stand next to one another.
    """
    contracts = books[0].market.contracts
    parts = [_span(pool) for pool in engine.pools(contracts)]
    bound = [engine.bind(contracts.slice(part), unit) for part in parts]
    for book in books:
        initial = np.zeros(len(book.position))
        for part, requirement in zip(parts, bound, strict=True):
            mine = _part(book, part)
            requirement.observe(mine.market)
            initial += requirement.margins(mine).initial
        yield TiedUp(initial, engine.valuation.haircuts(book).initial)


def capital(engine: EngineConfig, books: Sequence[Exposure], unit: int) -> Capital:
    """Capital of an engine on a reference book: sums over all accounts of all its snapshots.

    m = Σ initial of the requirement, pool by pool of the engine's netting, ÷ Σ gross notional; h = Σ collateral that
    the valuation disallows ÷ the same.

    Raises:
        ConfigError: a pool's instruments do not stand next to one another, or nothing is held.
    """
    gross = sum(float(np.abs(book.value()).sum()) for book in books)
    if gross == 0:
        raise ConfigError(["reference book: no account holds a position, take one of a market in which agents trade"])
    sums = [(float(each.margin.sum()), float(each.haircut.sum())) for each in tied_up(engine, books, unit)]
    initial, disallowed = map(sum, zip(*sums, strict=True))
    return Capital(initial / gross, disallowed / gross)


def compression(measured: Capital, target: float) -> float:
    """κ at which an engine's capital becomes the target: 1 - (target - h) / m, negative to ask for more.

    Raises:
        ConfigError: haircuts alone reach the target, which no compression changes, or nothing is required.
    """
    if target <= measured.haircut:
        raise ConfigError(
            [f"target: {target:g} of gross notional is not above the {measured.haircut:g} that haircuts take, raise it"]
        )
    if measured.margin <= 0:
        told = "requirement: requires nothing for the reference book, so that no compression reaches a target"
        raise ConfigError([f"{told}: choose another"])
    return 1.0 - (target - measured.haircut) / measured.margin


def at_equal_capital(engine: EngineConfig, books: Sequence[Exposure], unit: int, target: float) -> EngineConfig:
    """The engine scaled so that on this book it ties up the target: closed form, no search."""
    factor = 1.0 - compression(capital(engine, books, unit), target)
    return engine.model_copy(update={"scale": factor * engine.scale})


def _span(pool: list[int]) -> slice:
    if pool != list(range(pool[0], pool[-1] + 1)):
        raise ConfigError(["reference book: instruments of one pool must stand next to one another, list them so"])
    return slice(pool[0], pool[-1] + 1)


def _part(book: Exposure, part: slice) -> Exposure:
    """A pool's columns of a venue's book."""
    columns = {name: getattr(book, name)[:, part] for name in _BY_INSTRUMENT}
    return book._replace(market=book.market.slice(part), **columns)


_BY_INSTRUMENT = ("position", "bids", "asks", "reserved", "entry", "leverage")
