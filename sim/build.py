"""From a configuration to the parts of a market: axes, rows, books, ledger, outside world."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from sim.config import TOTAL_LIMIT, MarketConfig, VenueConfig
from sim.errors import ConfigError, not_one_of
from sim.exchange.book import Books
from sim.instruments import Instrument, contracts_of
from sim.ledger import Ledger
from sim.prices.bars import Bars
from sim.prices.path import Outside, Path, Stamps, clocks, exogenous, planned, stamped
from sim.protocols import Population
from sim.rng import Streams
from sim.types import B1, F8, I8, NOBODY, Contracts, Pool, Setting
from sim.venue import Rows, Venue

HOUSE_ROWS = 3
"""Rows of each venue itself: fees, dust, house."""


class Parts(NamedTuple):
    """Everything a market is built from."""

    path: Path
    contracts: Contracts
    venues: tuple[Venue, ...]
    populations: tuple[Population, ...]
    members: tuple[slice, ...]  # owners of each population
    outside: int  # owner: the rest of the world
    books: Books
    ledger: Ledger
    watched: B1  # (N,) owners whom margin rules bind
    max_lots: I8  # (K,)


def assemble(
    config: MarketConfig, streams: Streams, bars: Mapping[str, Bars], people: Callable[[], Sequence[Population]]
) -> Parts:
    """Build a market's parts and endow its participants."""
    listed, pools = _listing(config)
    contracts = _contracts(config, listed)
    populations = tuple(people())
    members, agents = _members(populations)
    _refuse_strangers(config, populations, agents)
    owners = agents + 1 + HOUSE_ROWS * len(config.venues)
    _refuse_overflow(config, owners)
    books = Books(len(listed), owners, int(contracts.max_price.max()))
    ledger = Ledger(contracts, pools, owners, len(config.assets), books.resting)
    unit = 10 ** config.assets[0].decimals
    venues = tuple(
        Venue(v, venue.model_copy(deep=True), contracts, pools, _rows(venue, v, populations, members, agents))
        for v, venue in enumerate(config.venues)
    )
    clock = clocks(config.underlyings, bars)
    _engage(venues, ledger, unit, (config.dt, clock))
    names = tuple(venue.name for venue in config.venues), tuple(u.name for u in config.underlyings)
    apart = np.array([venue.wallet not in venue.states for venue in venues])
    setting = Setting(config.dt, unit, *names, contracts, ledger.pool_of, clock, apart)
    watched = np.arange(owners) < agents
    for rows, wealth in zip(members, _started(populations, setting, streams), strict=True):
        for venue in venues:
            venue.endow(agents, rows, wealth[:, venue.number])
    max_lots = np.array([instrument.max_lots for _, instrument in listed], dtype=np.int64)
    path = _outside(config, streams, bars)
    return Parts(path, contracts, venues, populations, members, agents, books, ledger, watched, max_lots)


def _engage(venues: Sequence[Venue], ledger: Ledger, unit: int, time: tuple[float, F8]) -> None:
    """Give venues their engines, the step and a year's seconds (U,); problems of all venues are told at once."""
    problems = []
    for venue in venues:
        try:
            venue.engage(ledger, unit, *time)
        except ConfigError as error:
            problems += [f"venues.{venue.number}.engine.{line}" for line in error.problems]
    if problems:
        raise ConfigError(problems)


def _started(populations: Sequence[Population], setting: Setting, streams: Streams) -> list[I8]:
    """Each population's wealth, (n, V); problems of all populations are told at once, by their place in the list."""
    endowments, problems = [], []
    for number, population in enumerate(populations):
        draws = streams.uniform(f"traits/{population.name}", 0, population.count, population.traits)
        try:
            endowments.append(population.start(setting, draws))
        except ConfigError as error:
            own = f"{population.name}."
            problems += [f"populations.{number}.{line.removeprefix(own)}" for line in error.problems]
    if problems:
        raise ConfigError(problems)
    return endowments


def _contracts(config: MarketConfig, listed: Sequence[tuple[int, Instrument]]) -> Contracts:
    return contracts_of(listed, [u.name for u in config.underlyings], config.assets)


def _listing(config: MarketConfig) -> tuple[list[tuple[int, Instrument]], tuple[Pool, ...]]:
    """Instruments in an order that makes pools contiguous, and the pools of all venues, wallets last of each."""
    listed: list[tuple[int, Instrument]] = []
    pools: list[Pool] = []
    for v, (venue, parts) in enumerate(zip(config.venues, _partitions(config), strict=True)):
        start, first = len(listed), len(pools)
        apart = len(parts) > 1 or venue.engine.netting.apart
        wallet = first + len(parts) if apart else first
        for part in parts:
            begin = len(listed)
            listed.extend((v, venue.instruments[column]) for column in part)
            span = slice(begin, len(listed))
            pools.append(Pool(v, len(pools), span, slice(begin - start, len(listed) - start), wallet))
        if apart:
            nothing = slice(len(listed), len(listed))
            pools.append(Pool(v, len(pools), nothing, slice(0, 0), wallet))
    return listed, tuple(pools)


def _partitions(config: MarketConfig) -> list[list[list[int]]]:
    """Each venue's instruments by pool, in its own order; problems of all venues are told at once."""
    partitions, problems = [], []
    for v, venue in enumerate(config.venues):
        try:
            partitions.append(venue.engine.pools(_contracts(config, [(v, listed) for listed in venue.instruments])))
        except ConfigError as error:
            problems += [f"venues.{v}.engine.{line}" for line in error.problems]
    if problems:
        raise ConfigError(problems)
    return partitions


def _members(populations: Sequence[Population]) -> tuple[tuple[slice, ...], int]:
    ends = np.cumsum([population.count for population in populations], dtype=np.int64)
    members = tuple(slice(int(end) - p.count, int(end)) for p, end in zip(populations, ends, strict=True))
    return members, int(ends[-1]) if len(ends) else 0


def _rows(
    venue: VenueConfig, number: int, populations: Sequence[Population], members: Sequence[slice], agents: int
) -> Rows:
    funds = [rows.start for p, rows in zip(populations, members, strict=True) if p.fund_of == venue.name]
    if len(funds) > 1:
        raise ConfigError([f"populations: {len(funds)} insurance funds for venue {venue.name!r}; keep one of them"])
    first = agents + 1 + HOUSE_ROWS * number
    return Rows(funds[0] if funds else NOBODY, first, first + 1, first + 2, agents)


def _refuse_strangers(config: MarketConfig, populations: Sequence[Population], agents: int) -> None:
    """Check that every owner and population named in ``rescues`` exists."""
    names, problems = [population.name for population in populations], []
    for number, each in enumerate(config.rescues):
        problems += [
            f"rescues.{number}.owners: {owner}, must be from 0 to {agents - 1}, take them from `owner` in closeouts"
            for owner in each.owners
            if not 0 <= owner < agents
        ]
        wrong = [name for name in each.populations if name not in names]
        problems += [f"rescues.{number}.populations: {not_one_of(name, names)}" for name in wrong]
    if problems:
        raise ConfigError(problems)


def _refuse_overflow(config: MarketConfig, owners: int) -> None:
    """LED-2: the sum of all accounts must fit an int64."""
    total = config.largest_account() * owners
    if total >= TOTAL_LIMIT:
        raise ConfigError(
            [
                f"venues: the largest position times {owners} accounts is {Decimal(total):.3g} minor units; it must "
                f"stay below 2^62: divide every max_lots by {total // TOTAL_LIMIT + 1}, rounded down, "
                "or lower counts of populations"
            ]
        )


def steps_of(config: MarketConfig, bars: Mapping[str, Bars]) -> int:
    """Steps that a run will make.

    Raises:
        ConfigError, DataError: see :func:`sim.prices.path.exogenous`.
    """
    return planned(_world(config), dt=config.dt, steps=_asked(config), bars=bars)


def times_of(config: MarketConfig, bars: Mapping[str, Bars]) -> tuple[Stamps, float]:
    """Exchange time of each step of a run, (0,) without a replay, and its length (s).

    Raises:
        ConfigError, DataError: see :func:`sim.prices.path.exogenous`.
    """
    stamps = stamped(_world(config), dt=config.dt, steps=_asked(config), bars=bars)
    return stamps, steps_of(config, bars) * config.dt


def _outside(config: MarketConfig, streams: Streams, bars: Mapping[str, Bars]) -> Path:
    return exogenous(_world(config), streams=streams, dt=config.dt, steps=_asked(config), bars=bars)


def _world(config: MarketConfig) -> Outside:
    return Outside(config.underlyings, config.correlation, config.stresses, [asset.name for asset in config.assets])


def _asked(config: MarketConfig) -> int | None:
    return None if config.duration is None else max(1, round(config.duration / config.dt))
