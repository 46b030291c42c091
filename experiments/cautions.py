"""Cautions about valid settings that have no effect, printed when a configuration is loaded."""

from collections.abc import Iterator

import numpy as np

from agents.liquidators import Liquidators
from experiments.config import RunConfig
from experiments.price_files.bars import read_replays
from sim.config import VenueConfig
from sim.errors import ConfigError, DataError
from sim.exchange.funding_recorded import RecordedFunding
from sim.instruments import build_contracts
from sim.liquidation.fraction import FractionalCloseOut
from sim.liquidation.full import FullCloseOut
from sim.margin.netting import CrossNetting
from sim.margin.valuations.delta_adjusted import DeltaAdjustedValuation
from sim.market_path import times_of
from sim.types import OPTION, SPOT


def find_idle_settings(config: RunConfig) -> list[str]:
    """Return one line for each setting of a configuration that has no effect."""
    return [
        *_idle_liquidators(config),
        *_unhedged_collateral(config),
        *_missing_rates(config),
        *_short_rates(config),
    ]


def _idle_liquidators(config: RunConfig) -> Iterator[str]:
    """Yield a line for each population of liquidators at a venue without auctions."""
    venues = {venue.name: (number, venue) for number, venue in enumerate(config.venues)}
    for place, population in enumerate(config.populations):
        if isinstance(population, Liquidators) and population.venue in venues:
            number, venue = venues[population.venue]
            if type(venue.liquidation) in (FullCloseOut, FractionalCloseOut):
                yield (
                    f"populations.{place}: {population.name!r} bid for lots that an auction has "
                    f"on offer, but {venue.name!r} closes out by {venue.liquidation.kind!r}, "
                    "so they stay idle: set "
                    f"venues.{number}.liquidation.kind to auction, or leave them out"
                )


def _unhedged_collateral(config: RunConfig) -> Iterator[str]:
    """Yield a line for each venue where no account holds both spot and its hedge."""
    for number, venue in enumerate(config.venues):
        if isinstance(venue.engine.valuation, DeltaAdjustedValuation) and not _can_hedge_spot(
            config, number, venue
        ):
            crossed = venue.model_copy(
                update={"engine": venue.engine.model_copy(update={"netting": CrossNetting()})}
            )
            place = f"venues.{number}"
            remedy = (
                f"list spot and a perpetual of one underlying in {place}.instruments, "
                "or choose another valuation"
            )
            if _can_hedge_spot(config, number, crossed):
                remedy = f"set {place}.engine.netting.kind to cross"
            yield (
                f"{place}.engine.valuation: 'delta_adjusted' cuts spot less where derivatives on "
                "its underlying are short in the same account, but no account at "
                f"{venue.name!r} can hold both, so that all spot is cut as not hedged: {remedy}"
            )


def _can_hedge_spot(config: RunConfig, number: int, venue: VenueConfig) -> bool:
    """Return True if an account of a venue margins spot together with its hedge."""
    names = [underlying.name for underlying in config.underlyings]
    contracts = build_contracts(
        [(number, each) for each in venue.instruments], names, config.assets
    )
    for pool in venue.engine.build_pools(contracts):
        kind, underlying = contracts.kind[pool], contracts.underlying[pool]
        linear = underlying[(kind != SPOT) & (kind != OPTION)]
        if np.isin(underlying[kind == SPOT], linear).any():
            return True
    return False


def _missing_rates(config: RunConfig) -> Iterator[str]:
    """Yield a line for each recorded funding whose times have gaps."""
    for number, venue in enumerate(config.venues):
        if not isinstance(venue.funding, RecordedFunding) or len(venue.funding.rates) < 3:
            continue
        steps = np.diff([time for time, _ in venue.funding.rates])
        longest = 1.5 * np.median(steps)
        wide = np.flatnonzero(steps > longest)
        if wide.size:
            first, gaps = int(wide[0]), "1 gap" if wide.size == 1 else f"{wide.size} gaps"
            yield (
                f"venues.{number}.funding: {gaps} of more than {longest:g} s, the first after "
                f"rates.{first} ({steps[first]:g} s): nothing is paid there, add the rates if "
                "some are missing"
            )


def _short_rates(config: RunConfig) -> Iterator[str]:
    """Yield a line for each recorded funding that begins after the run or ends before it."""
    recorded = [
        (n, venue.funding)
        for n, venue in enumerate(config.venues)
        if isinstance(venue.funding, RecordedFunding)
    ]
    if not recorded:
        return
    try:
        bars = read_replays(config.underlyings, config.history)
        stamps, seconds = times_of(config, bars)
    except (ConfigError, DataError):
        return  # the run itself reports this error
    for number, funding in recorded:
        if text := funding.describe_unpaid_time(stamps, seconds):
            yield f"venues.{number}.funding: {text}"
