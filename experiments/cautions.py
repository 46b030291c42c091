"""Settings that are valid and do nothing: a line for each, told at load."""

from collections.abc import Iterator

import numpy as np

from agents.liquidators import Liquidators
from experiments.config import RunConfig
from sim.config import VenueConfig
from sim.exchange.funding_recorded import Recorded
from sim.instruments import contracts_of
from sim.liquidation.fraction import Fraction
from sim.liquidation.full import Full
from sim.margin.delta_adjusted import DeltaAdjusted
from sim.margin.netting import Cross
from sim.types import OPTION, SPOT


def cautions(config: RunConfig) -> list[str]:
    """Return what a configuration sets that cannot act in it."""
    return [*_idle_liquidators(config), *_unhedged_collateral(config), *_missing_rates(config)]


def _idle_liquidators(config: RunConfig) -> Iterator[str]:
    """Liquidators at venues that never have lots on offer."""
    venues = {venue.name: (number, venue) for number, venue in enumerate(config.venues)}
    for place, population in enumerate(config.populations):
        if isinstance(population, Liquidators) and population.venue in venues:
            number, venue = venues[population.venue]
            if type(venue.liquidation) in (Full, Fraction):
                yield (
                    f"populations.{place}: {population.name!r} bid for lots that an auction has on offer, but "
                    f"{venue.name!r} closes out by {venue.liquidation.kind!r}, so they stay idle: set "
                    f"venues.{number}.liquidation.kind to auction, or leave them out"
                )


def _unhedged_collateral(config: RunConfig) -> Iterator[str]:
    """Venues where no account has both spot and derivatives that could hedge it."""
    for number, venue in enumerate(config.venues):
        if isinstance(venue.engine.valuation, DeltaAdjusted) and not _hedges(config, number, venue):
            whole = venue.model_copy(update={"engine": venue.engine.model_copy(update={"netting": Cross()})})
            netted = f"set venues.{number}.engine.netting.kind to cross"
            remedy = netted if _hedges(config, number, whole) else "list both on one underlying"
            yield (
                f"venues.{number}.engine.valuation: 'delta_adjusted' cuts spot less where derivatives on its "
                f"underlying are short in the same account, but no account at {venue.name!r} can hold both, so "
                f"that all spot is cut as not hedged: {remedy}, or take another valuation"
            )


def _hedges(config: RunConfig, number: int, venue: VenueConfig) -> bool:
    """Whether some account of a venue margins spot together with a derivative that hedges it."""
    names = [underlying.name for underlying in config.underlyings]
    contracts = contracts_of([(number, each) for each in venue.instruments], names, config.assets)
    for pool in venue.engine.pools(contracts):
        kind, underlying = contracts.kind[pool], contracts.underlying[pool]
        linear = underlying[(kind != SPOT) & (kind != OPTION)]
        if np.isin(underlying[kind == SPOT], linear).any():
            return True
    return False


def _missing_rates(config: RunConfig) -> Iterator[str]:
    """Recorded funding with times that are missing."""
    for number, venue in enumerate(config.venues):
        if not isinstance(venue.funding, Recorded) or len(venue.funding.rates) < 3:
            continue
        steps = np.diff([time for time, _ in venue.funding.rates])
        wide = np.flatnonzero(steps > 1.5 * np.median(steps))
        if wide.size:
            first, gaps = int(wide[0]), "1 gap" if wide.size == 1 else f"{wide.size} gaps"
            yield (
                f"venues.{number}.funding: {gaps} of more than {1.5 * np.median(steps):g} s, the first after rates."
                f"{first} ({steps[first]:g} s): nothing is paid there, add the rates if some are missing"
            )
