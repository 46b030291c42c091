"""Build the state of a market from its configuration."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from sim.accounts.margin import post_opening
from sim.accounts.opening import OpeningBook, plan_opening, replace_deposits
from sim.attribution import CauseLog
from sim.checks.opening import find_market_faults, find_population_faults
from sim.config import TOTAL_LIMIT, MarketConfig, VenueConfig
from sim.errors import ConfigError
from sim.exchange.book import OrderBooks
from sim.instruments import Instrument, build_contracts
from sim.ledger import Ledger
from sim.market_path import draw_history, draw_path, refuse_unpriced
from sim.numerics.rng import RandomStreams
from sim.prices.bars import Bars
from sim.prices.impact import ImpactDynamics
from sim.prices.past import PastReturns
from sim.prices.path import ExogenousPath, find_year_lengths
from sim.protocols import LearnsPastPrices, PopulationProtocol
from sim.rescue import find_rescue_faults
from sim.state import MarketState
from sim.step.endowments import post_endowments
from sim.types import (
    B1,
    F8,
    I8,
    MISSING,
    Contracts,
    MarginPool,
    MarketSpec,
    Observation,
    PositionSides,
)
from sim.venue import SystemAccounts, Venue, VenueWorld

N_VENUE_ACCOUNTS = 3
"""System accounts of each venue: fees, rounding, venue equity."""


class Participants(NamedTuple):
    """Populations of a market, and the owners that are their members."""

    populations: tuple[PopulationProtocol, ...]
    members: tuple[slice, ...]  # owners of each population
    n_members: int  # of all populations

    @classmethod
    def number_members(cls, populations: tuple[PopulationProtocol, ...]) -> "Participants":
        """Number the members of all populations, one population after another."""
        members, stop = [], 0
        for population in populations:
            rows = population.count * population.n_sides
            members.append(slice(stop, stop + rows))
            stop += rows
        return cls(populations, tuple(members), stop)

    def find_sides(self, owners: int) -> PositionSides:
        """Return the sides of all owners; members in hedge mode have two accounts (ISO-1)."""
        pairs = [np.empty((0, 2), dtype=np.int64)]
        for population, rows in zip(self.populations, self.members, strict=True):
            if population.n_sides == 2:
                pairs.append(np.arange(rows.start, rows.stop).reshape(2, -1).T)
        return PositionSides.from_pairs(owners, np.concatenate(pairs))


def build_state(
    config: MarketConfig,
    streams: RandomStreams,
    bars: Mapping[str, Bars],
    populate: Callable[[], Sequence[PopulationProtocol]],
) -> MarketState:
    """Build a market's state before its first step, and deposit its participants' wealth."""
    _refuse(find_market_faults(config))
    listed, pools = _list_instruments(config)
    contracts = _make_contracts(config, listed)
    participants = _number_participants(config, populate)
    n_agents = participants.n_members
    n_owners = _count_owners(config, n_agents)
    books, ledger = _create_accounts(contracts, pools, n_owners, len(config.assets))
    path = draw_path(config, streams, bars)
    refuse_unpriced(contracts, path)
    world = _venue_world(config, ledger, path, streams, bars)
    venues, opened = _open_venues(config, world, participants)
    is_margined = np.arange(n_owners) < n_agents
    return MarketState(
        config=config,
        streams=streams,
        exogenous_path=path,
        contracts=contracts,
        venues=venues,
        populations=participants.populations,
        member_slices=participants.members,
        external_owner=n_agents,
        order_books=books,
        ledger=ledger,
        is_margined=is_margined,
        sides=participants.find_sides(n_owners),
        max_lots=_list_max_lots(listed),
        highest_fee=_find_highest_fees(venues, contracts),
        impact_dynamics=_make_impact_dynamics(config),
        log_impact=np.zeros(path.log_price.shape[1]),
        external_spot_lots=ledger.position[:, n_agents].copy(),
        is_retired=np.zeros(n_agents, np.bool_),
        price_bands=np.ones((len(listed), 2), np.int64),
        cause_logs=_make_cause_logs(venues, is_margined),
        opening_book=opened,
    )


def _number_participants(
    config: MarketConfig, populate: Callable[[], Sequence[PopulationProtocol]]
) -> Participants:
    """Return the populations with their members' numbers; refuse rescues of others."""
    participants = Participants.number_members(tuple(populate()))
    names = [population.name for population in participants.populations]
    _refuse(find_rescue_faults(config.rescues, names, participants.n_members))
    return participants


def _open_venues(
    config: MarketConfig, world: VenueWorld, participants: Participants
) -> tuple[tuple[Venue, ...], OpeningBook | None]:
    """Build all venues, and post the members' starting wealth and the positions of a table."""
    system_accounts = [
        _make_system_accounts(venue, number, participants)
        for number, venue in enumerate(config.venues)
    ]
    venues = _build_venues(config, world, system_accounts)
    spec = _market_spec(config, world, venues)
    observation = _observe_opening(config, world, venues)
    _refuse(find_population_faults(participants.populations, spec, observation))
    endowments = _start_populations(participants.populations, spec, world.streams)
    _teach_populations(participants.populations, world.past, observation)
    book = plan_opening(config, venues, participants.populations, participants.members)
    if book is not None:
        endowments = replace_deposits(book, *participants[:2], endowments)
    for rows, wealth in zip(participants.members, endowments, strict=True):
        for venue in venues:
            # wallets belong to the long sides, which come first
            own = slice(rows.start, rows.start + len(wealth))
            venue.deposit_wealth(own, wealth[:, venue.number])
    _post_holdings(config, participants, venues, book)
    return venues, book


def _post_holdings(
    config: MarketConfig,
    participants: Participants,
    venues: tuple[Venue, ...],
    book: OpeningBook | None,
) -> None:
    """Post the positions of a table of accounts, and then the spot that members own."""
    ledger = venues[0].ledger
    if book is not None and config.accounts is not None:
        by_position = config.accounts.collateral == "position"
        post_opening(book, ledger, venues, by_position=by_position)
    for population, rows in zip(participants.populations, participants.members, strict=True):
        post_endowments(population, rows.start, ledger, venues)


def _list_max_lots(listed: Sequence[tuple[int, Instrument]]) -> I8:
    return np.array([instrument.max_lots for _, instrument in listed], dtype=np.int64)


def _create_accounts(
    contracts: Contracts, pools: tuple[MarginPool, ...], n_owners: int, n_assets: int
) -> tuple[OrderBooks, Ledger]:
    """Return empty order books, and a ledger that includes their resting orders."""
    books = OrderBooks(len(contracts.names), n_owners, int(contracts.max_price.max()))
    return books, Ledger(contracts, pools, n_owners, n_assets, books.resting_totals)


def _find_highest_fees(venues: Sequence[Venue], contracts: Contracts) -> F8:
    """Return the higher of taker's and maker's fee of each instrument, (K,)."""
    fees = np.array([max(venue.config.fees.taker, venue.config.fees.maker) for venue in venues])
    highest: F8 = fees[contracts.venue]
    return highest


def _make_impact_dynamics(config: MarketConfig) -> ImpactDynamics:
    impacts = [underlying.impact for underlying in config.underlyings]
    return ImpactDynamics.from_config(impacts, config.dt)


def _make_cause_logs(venues: Sequence[Venue], is_margined: B1) -> dict[int, CauseLog]:
    """Return an empty log of causes for each pool, by the pool's number."""
    states = [state for venue in venues for state in venue.pool_states.values()]
    return {state.pool.number: CauseLog(state.pool, is_margined, state.engine) for state in states}


def _refuse(problems: list[str]) -> None:
    """Refuse a market with components that break a law.

    Raises:
        ConfigError: there are problems.
    """
    if problems:
        raise ConfigError(problems)


def _observe_opening(
    config: MarketConfig, world: VenueWorld, venues: Sequence[Venue]
) -> Observation:
    """Return what agents see before the first step."""
    return Observation(
        tick=0,
        dt=config.dt,
        spot=world.opening_index,
        depth_share=1.0,
        venues=tuple(venue.view for venue in venues),
        first_instrument=tuple(venue.instrument_slice.start for venue in venues),
        max_leverage=np.concatenate([venue.max_leverage_long for venue in venues]),
    )


def _venue_world(
    config: MarketConfig,
    ledger: Ledger,
    path: ExogenousPath,
    streams: RandomStreams,
    bars: Mapping[str, Bars],
) -> VenueWorld:
    """Return the data of the market that venues receive; of the path only its start and length."""
    return VenueWorld(
        contracts=ledger.contracts,
        pools=ledger.pools,
        ledger=ledger,
        unit=10 ** config.assets[0].decimals,
        dt=config.dt,
        clock=find_year_lengths(config.underlyings, bars),
        streams=streams,
        steps=len(path.log_price) - 1,
        opening_index=np.exp(path.log_price[0]),
        opening_price=config.asset_scale() * path.asset_price[0],
        stamps=path.exchange_time,
        seconds=float(path.seconds[-1]),
        past=draw_history(config, streams, bars),
    )


def _market_spec(config: MarketConfig, world: VenueWorld, venues: Sequence[Venue]) -> MarketSpec:
    """Return the constants of the market that populations receive."""
    return MarketSpec(
        dt=config.dt,
        minor_units=world.unit,
        venues=tuple(venue.name for venue in config.venues),
        underlyings=tuple(underlying.name for underlying in config.underlyings),
        contracts=world.contracts,
        margin_account=world.ledger.pool_numbers,
        seconds_per_year=world.clock,
        has_separate_wallet=np.array(
            [venue.wallet_pool not in venue.pool_states for venue in venues]
        ),
        correlation=np.array(config.correlation or (), dtype=np.float64),
        has_hedge_mode=np.array([venue.position_mode == "hedge" for venue in config.venues]),
    )


def _build_venues(
    config: MarketConfig, world: VenueWorld, rows: Sequence[SystemAccounts]
) -> tuple[Venue, ...]:
    """Build all venues; their problems are reported together."""
    venues, problems = [], []
    for number, venue in enumerate(config.venues):
        try:
            venues.append(Venue(number, venue.model_copy(deep=True), rows[number], world))
        except ConfigError as error:
            problems += [f"venues.{number}.{line}" for line in error.problems]
    if problems:
        raise ConfigError(problems)
    return tuple(venues)


def _start_populations(
    populations: Sequence[PopulationProtocol], spec: MarketSpec, streams: RandomStreams
) -> list[I8]:
    """Return each population's wealth, (n, V).

    Problems of all populations are reported together, each by its place in the list.
    """
    endowments, problems = [], []
    for number, population in enumerate(populations):
        draws = streams.draw_uniform(
            f"traits/{population.name}", 0, population.count, population.n_trait_draws
        )
        try:
            endowments.append(population.start(spec, draws))
        except ConfigError as error:
            own = f"{population.name}."
            problems += [
                f"populations.{number}.{line.removeprefix(own)}" for line in error.problems
            ]
    if problems:
        raise ConfigError(problems)
    return endowments


def _teach_populations(
    populations: Sequence[PopulationProtocol], past: PastReturns | None, opening: Observation
) -> None:
    """Let the averages of populations begin with the prices before the start."""
    if past is None:
        return
    for population in populations:
        if isinstance(population, LearnsPastPrices):
            population.learn_past(past, opening)


def _make_contracts(config: MarketConfig, listed: Sequence[tuple[int, Instrument]]) -> Contracts:
    return build_contracts(listed, [u.name for u in config.underlyings], config.assets)


def _list_instruments(
    config: MarketConfig,
) -> tuple[list[tuple[int, Instrument]], tuple[MarginPool, ...]]:
    """Return instruments in an order with contiguous pools, and the pools of all venues.

    The wallet of a venue follows its other pools if it is separate.
    """
    listed: list[tuple[int, Instrument]] = []
    pools: list[MarginPool] = []
    for v, (venue, parts) in enumerate(
        zip(config.venues, _partition_instruments(config), strict=True)
    ):
        start, first = len(listed), len(pools)
        is_separate = len(parts) > 1 or venue.engine.netting.has_separate_wallets
        wallet = first + len(parts) if is_separate else first
        for part in parts:
            begin = len(listed)
            listed.extend((v, venue.instruments[column]) for column in part)
            span = slice(begin, len(listed))
            pools.append(
                MarginPool(v, len(pools), span, slice(begin - start, len(listed) - start), wallet)
            )
        if is_separate:
            nothing = slice(len(listed), len(listed))
            pools.append(MarginPool(v, len(pools), nothing, slice(0, 0), wallet))
    return listed, tuple(pools)


def _partition_instruments(config: MarketConfig) -> list[list[list[int]]]:
    """Return each venue's instruments by pool, in the order of its list.

    Problems of all venues are reported together.
    """
    partitions, problems = [], []
    for v, venue in enumerate(config.venues):
        contracts = _make_contracts(config, [(v, listed) for listed in venue.instruments])
        try:
            partitions.append(venue.engine.build_pools(contracts))
        except ConfigError as error:
            problems += [f"venues.{v}.engine.{line}" for line in error.problems]
    if problems:
        raise ConfigError(problems)
    return partitions


def _make_system_accounts(
    venue: VenueConfig, number: int, participants: Participants
) -> SystemAccounts:
    funds = [
        rows.start
        for population, rows in zip(participants.populations, participants.members, strict=True)
        if population.fund_venue == venue.name
    ]
    if len(funds) > 1:
        message = f"populations: {len(funds)} insurance funds for venue {venue.name!r}"
        raise ConfigError([f"{message}; keep one of them"])
    first = participants.n_members + 1 + N_VENUE_ACCOUNTS * number
    return SystemAccounts(
        insurance_fund=funds[0] if funds else MISSING,
        fees=first,
        rounding=first + 1,
        venue_equity=first + 2,
        external=participants.n_members,
    )


def _count_owners(config: MarketConfig, n_agents: int) -> int:
    """Return the number of owners; check that the sum of their accounts fits an int64 (LED-2)."""
    owners = n_agents + 1 + N_VENUE_ACCOUNTS * len(config.venues)
    total = config.largest_account_value() * owners
    if total >= TOTAL_LIMIT:
        message = (
            f"venues: the largest position times {owners} accounts is {Decimal(total):.3g} minor "
            f"units; it must stay below 2^62: divide every max_lots by {total // TOTAL_LIMIT + 1}, "
            "rounded down, or lower counts of populations"
        )
        raise ConfigError([message])
    return owners
