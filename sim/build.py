"""From a configuration to the state of a market: axes, rows, order books, ledger, outside world, venues."""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import numpy as np

from sim.attribution import CauseLog
from sim.config import TOTAL_LIMIT, MarketConfig, VenueConfig
from sim.errors import ConfigError, describe_unknown
from sim.exchange.book import OrderBooks
from sim.instruments import Instrument, build_contracts
from sim.ledger import Ledger
from sim.numerics.rng import RandomStreams
from sim.prices.bars import Bars
from sim.prices.impact import ImpactDynamics
from sim.prices.path import (
    ExogenousInputs,
    ExogenousPath,
    Times,
    compute_exchange_times,
    count_path_steps,
    draw_exogenous_path,
    find_year_lengths,
)
from sim.protocols import PopulationProtocol
from sim.state import MarketState
from sim.types import F8, I8, MISSING, Contracts, MarginPool, MarketSpec
from sim.venue import SystemAccounts, Venue, VenueWorld

N_VENUE_ACCOUNTS = 3
"""Rows of each venue itself: fees, dust, house."""


def build_state(
    config: MarketConfig,
    streams: RandomStreams,
    bars: Mapping[str, Bars],
    people: Callable[[], Sequence[PopulationProtocol]],
) -> MarketState:
    """Build a market's state before its first step and give its participants their wealth."""
    listed, pools = _list_instruments(config)
    contracts = _make_contracts(config, listed)
    populations = tuple(people())
    members, agents = _number_members(populations)
    _check_rescues(config, populations, agents)
    owners = agents + 1 + N_VENUE_ACCOUNTS * len(config.venues)
    _check_total_limit(config, owners)
    books = OrderBooks(len(listed), owners, int(contracts.max_price.max()))
    ledger = Ledger(contracts, pools, owners, len(config.assets), books.resting_totals)
    path = _draw_path(config, streams, bars)
    _refuse_unpriced(contracts, path)
    world = _venue_world(config, ledger, path, streams, find_year_lengths(config.underlyings, bars))
    venues = _venues(
        config,
        world,
        [
            _make_system_accounts(v, n, populations, members, agents)
            for n, v in enumerate(config.venues)
        ],
    )
    for rows, wealth in zip(
        members,
        _start_populations(populations, _market_spec(config, world, venues), streams),
        strict=True,
    ):
        for venue in venues:
            venue.deposit_wealth(rows, wealth[:, venue.number])
    watched = np.arange(owners) < agents
    fee = np.array([max(venue.config.fees.taker, venue.config.fees.maker) for venue in venues])
    states = [state for venue in venues for state in venue.pool_states.values()]
    return MarketState(
        config=config,
        streams=streams,
        exogenous_path=path,
        contracts=contracts,
        venues=venues,
        populations=populations,
        member_slices=members,
        external_owner=agents,
        order_books=books,
        ledger=ledger,
        is_margined=watched,
        max_lots=np.array([instrument.max_lots for _, instrument in listed], dtype=np.int64),
        highest_fee=fee[contracts.venue],
        impact_dynamics=ImpactDynamics.from_config(
            [underlying.impact for underlying in config.underlyings], config.dt
        ),
        log_impact=np.zeros(len(config.underlyings)),
        external_spot_lots=ledger.position[:, agents].copy(),
        is_retired=np.zeros(agents, dtype=np.bool_),
        price_bands=np.ones((len(listed), 2), dtype=np.int64),
        cause_logs={
            state.pool.number: CauseLog(state.pool, watched, state.engine) for state in states
        },
    )


def _venue_world(
    config: MarketConfig, ledger: Ledger, path: ExogenousPath, streams: RandomStreams, clock: F8
) -> VenueWorld:
    """What venues may know of the market around them; of the path no more than its start and length."""
    return VenueWorld(
        contracts=ledger.contracts,
        pools=ledger.pools,
        ledger=ledger,
        unit=10 ** config.assets[0].decimals,
        dt=config.dt,
        clock=clock,
        streams=streams,
        steps=len(path.log_price) - 1,
        opening_index=np.exp(path.log_price[0]),
        opening_price=config.asset_scale() * path.asset_price[0],
        stamps=path.exchange_time,
        seconds=float(path.seconds[-1]),
    )


def _market_spec(config: MarketConfig, world: VenueWorld, venues: Sequence[Venue]) -> MarketSpec:
    """What populations are built from."""
    names = tuple(venue.name for venue in config.venues), tuple(u.name for u in config.underlyings)
    apart = np.array([venue.wallet_pool not in venue.pool_states for venue in venues])
    return MarketSpec(
        config.dt,
        world.unit,
        *names,
        world.contracts,
        world.ledger.pool_numbers,
        world.clock,
        apart,
    )


def _venues(
    config: MarketConfig, world: VenueWorld, rows: Sequence[SystemAccounts]
) -> tuple[Venue, ...]:
    """Build all venues; problems of all of them are reported at once."""
    venues, problems = [], []
    for number, each in enumerate(config.venues):
        try:
            venues.append(Venue(number, each.model_copy(deep=True), rows[number], world))
        except ConfigError as error:
            problems += [f"venues.{number}.{line}" for line in error.problems]
    if problems:
        raise ConfigError(problems)
    return tuple(venues)


def _refuse_unpriced(contracts: Contracts, path: ExogenousPath) -> None:
    """Refuse instruments whose books could not quote the index of the whole run."""
    with np.errstate(over="ignore"):  # an index without bound is one that no book can quote
        index = np.exp(path.log_price)
    problems = []
    for k, name in enumerate(contracts.names):
        prices, tick = index[:, contracts.underlying[k]], float(contracts.tick[k])
        lowest, highest = np.rint(prices.min() / tick), np.rint(prices.max() / tick)
        if lowest >= 1 and highest <= contracts.max_price[k]:
            continue
        remedies = []
        if lowest < 1 and prices.min() > 0:
            remedies.append(f"set its tick to at most {prices.min():.1g}")
        if highest > contracts.max_price[k] and np.isfinite(highest):
            remedies.append(
                f"set its max_price to at least {math.ceil(1.01 * highest) * tick:.15g}"
            )
        remedies.append("change the process or the start of its underlying")
        problems.append(
            f"venues.{contracts.venue[k]}.instruments: {name!r} sees its index go from {lowest:.6g} to {highest:.6g} "
            f"ticks, outside 1 to {contracts.max_price[k]}; {', or '.join(remedies)}"
        )
    if problems:
        raise ConfigError(problems)


def _start_populations(
    populations: Sequence[PopulationProtocol], setting: MarketSpec, streams: RandomStreams
) -> list[I8]:
    """Each population's wealth, (n, V); problems of all populations are told at once, by their place in the list."""
    endowments, problems = [], []
    for number, population in enumerate(populations):
        draws = streams.draw_uniform(
            f"traits/{population.name}", 0, population.count, population.n_trait_draws
        )
        try:
            endowments.append(population.start(setting, draws))
        except ConfigError as error:
            own = f"{population.name}."
            problems += [
                f"populations.{number}.{line.removeprefix(own)}" for line in error.problems
            ]
    if problems:
        raise ConfigError(problems)
    return endowments


def _make_contracts(config: MarketConfig, listed: Sequence[tuple[int, Instrument]]) -> Contracts:
    return build_contracts(listed, [u.name for u in config.underlyings], config.assets)


def _list_instruments(
    config: MarketConfig,
) -> tuple[list[tuple[int, Instrument]], tuple[MarginPool, ...]]:
    """Instruments in an order that makes pools contiguous, and the pools of all venues, wallets last of each."""
    listed: list[tuple[int, Instrument]] = []
    pools: list[MarginPool] = []
    for v, (venue, parts) in enumerate(
        zip(config.venues, _partition_instruments(config), strict=True)
    ):
        start, first = len(listed), len(pools)
        apart = len(parts) > 1 or venue.engine.netting.has_separate_wallets
        wallet = first + len(parts) if apart else first
        for part in parts:
            begin = len(listed)
            listed.extend((v, venue.instruments[column]) for column in part)
            span = slice(begin, len(listed))
            pools.append(
                MarginPool(v, len(pools), span, slice(begin - start, len(listed) - start), wallet)
            )
        if apart:
            nothing = slice(len(listed), len(listed))
            pools.append(MarginPool(v, len(pools), nothing, slice(0, 0), wallet))
    return listed, tuple(pools)


def _partition_instruments(config: MarketConfig) -> list[list[list[int]]]:
    """Each venue's instruments by pool, in its own order; problems of all venues are told at once."""
    partitions, problems = [], []
    for v, venue in enumerate(config.venues):
        try:
            partitions.append(
                venue.engine.build_pools(
                    _make_contracts(config, [(v, listed) for listed in venue.instruments])
                )
            )
        except ConfigError as error:
            problems += [f"venues.{v}.engine.{line}" for line in error.problems]
    if problems:
        raise ConfigError(problems)
    return partitions


def _number_members(populations: Sequence[PopulationProtocol]) -> tuple[tuple[slice, ...], int]:
    ends = np.cumsum([population.count for population in populations], dtype=np.int64)
    members = tuple(
        slice(int(end) - p.count, int(end)) for p, end in zip(populations, ends, strict=True)
    )
    return members, int(ends[-1]) if len(ends) else 0


def _make_system_accounts(
    venue: VenueConfig,
    number: int,
    populations: Sequence[PopulationProtocol],
    members: Sequence[slice],
    agents: int,
) -> SystemAccounts:
    funds = [
        rows.start
        for p, rows in zip(populations, members, strict=True)
        if p.fund_venue == venue.name
    ]
    if len(funds) > 1:
        raise ConfigError(
            [
                f"populations: {len(funds)} insurance funds for venue {venue.name!r}; keep one of them"
            ]
        )
    first = agents + 1 + N_VENUE_ACCOUNTS * number
    return SystemAccounts(funds[0] if funds else MISSING, first, first + 1, first + 2, agents)


def _check_rescues(
    config: MarketConfig, populations: Sequence[PopulationProtocol], agents: int
) -> None:
    """Check that every owner and population named in ``rescues`` exists."""
    names, problems = [population.name for population in populations], []
    for number, each in enumerate(config.rescues):
        problems += [
            f"rescues.{number}.owners: {owner}, must be from 0 to {agents - 1}, take them from `owner` in closeouts"
            for owner in each.owners
            if not 0 <= owner < agents
        ]
        wrong = [name for name in each.populations if name not in names]
        problems += [
            f"rescues.{number}.populations: {describe_unknown(name, names)}" for name in wrong
        ]
    if problems:
        raise ConfigError(problems)


def _check_total_limit(config: MarketConfig, owners: int) -> None:
    """LED-2: the sum of all accounts must fit an int64."""
    total = config.largest_account_value() * owners
    if total >= TOTAL_LIMIT:
        raise ConfigError(
            [
                f"venues: the largest position times {owners} accounts is {Decimal(total):.3g} minor units; it must "
                f"stay below 2^62: divide every max_lots by {total // TOTAL_LIMIT + 1}, rounded down, "
                "or lower counts of populations"
            ]
        )


def count_steps(config: MarketConfig, bars: Mapping[str, Bars]) -> int:
    """Steps that a run will make.

    Raises:
        ConfigError, DataError: see :func:`sim.prices.path.draw_exogenous_path`.
    """
    return count_path_steps(
        _make_exogenous_inputs(config), dt=config.dt, steps=_configured_steps(config), bars=bars
    )


def times_of(config: MarketConfig, bars: Mapping[str, Bars]) -> tuple[Times, float]:
    """Exchange time of each step of a run, (0,) without a replay, and its length (s).

    Raises:
        ConfigError, DataError: see :func:`sim.prices.path.draw_exogenous_path`.
    """
    stamps = compute_exchange_times(
        _make_exogenous_inputs(config), dt=config.dt, steps=_configured_steps(config), bars=bars
    )
    return stamps, count_steps(config, bars) * config.dt


def _draw_path(
    config: MarketConfig, streams: RandomStreams, bars: Mapping[str, Bars]
) -> ExogenousPath:
    return draw_exogenous_path(
        _make_exogenous_inputs(config),
        streams=streams,
        dt=config.dt,
        steps=_configured_steps(config),
        bars=bars,
    )


def _make_exogenous_inputs(config: MarketConfig) -> ExogenousInputs:
    return ExogenousInputs(
        config.underlyings,
        config.correlation,
        config.stresses,
        [asset.name for asset in config.assets],
    )


def _configured_steps(config: MarketConfig) -> int | None:
    return None if config.duration is None else max(1, round(config.duration / config.dt))
