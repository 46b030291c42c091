"""Checks of a plug-in's components in the market that they are to run in, before its first step."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from sim.checks import (
    fundings,
    liquidation_policies,
    loss_layers,
    margin_worlds,
    marks,
    populations,
    processes,
    return_models,
    smiles,
    stresses,
)
from sim.checks.crowd_worlds import CrowdState, CrowdWorld
from sim.checks.law import RAISED_BY_COMPONENTS, Suite, find_first_fault
from sim.checks.margin_worlds import MarginWorld
from sim.checks.suites import find_suite, is_plugin_class, iterate_components
from sim.component import Component
from sim.config import MarketConfig, VenueConfig
from sim.errors import ConfigError, DataError
from sim.exchange.mark import MarkInputs
from sim.instruments import build_contracts
from sim.margin.engine import EngineConfig
from sim.prices.replay import Replay
from sim.protocols import PopulationProtocol
from sim.types import MarketSpec, MarketView, Observation

MARK = 1_000
"""Ticks at which an instrument stands whose first price is not known yet."""

MAX_MEMBERS = 20
"""Members of a population with which it is checked."""


class OpeningMarket(NamedTuple):
    """Instruments at their opening prices, in which components are checked."""

    view: MarketView  # of the instruments of one venue
    unit: int  # minor units in one unit of the numeraire

    def make_world(self) -> MarginWorld:
        """Return accounts in all instruments."""
        return margin_worlds.make_opening_world(self.view, self.unit)

    def make_pool_worlds(self, engine: EngineConfig) -> Iterator[MarginWorld]:
        """Yield accounts in each pool of an engine; in all instruments where its netting fails."""
        contracts = self.view.contracts
        try:
            pools = engine.netting.build_pools(contracts)
            parts = [margin_worlds.select_columns(contracts, pool) for pool in pools]
        except RAISED_BY_COMPONENTS:
            parts = [contracts]
        for part in parts:
            market = margin_worlds.make_opening_market(
                part, self.view.oracle, self.view.price, self.view.dt
            )
            yield margin_worlds.make_opening_world(market, self.unit)


def find_market_faults(config: MarketConfig) -> list[str]:
    """Return a line for each component of a plug-in that breaks a law; populations apart."""
    if not any(find_suite(component) for _, component in iterate_components(config)):
        return []
    lines = []
    for number, venue in enumerate(config.venues):
        market = _open_venue(config, number, venue)
        lines += _find_venue_faults(venue, market, f"venues.{number}")
    for number, underlying in enumerate(config.underlyings):
        if find_suite(underlying.process) and not isinstance(underlying.process, Replay):
            world = processes.make_opening_path(underlying.name, config.dt)
            path = f"underlyings.{number}.process"
            lines += describe_fault(path, processes.SUITE, underlying.process, [world])
    for number, stress in enumerate(config.stresses):
        if find_suite(stress):
            seconds = np.arange(200, dtype=np.float64) * config.dt
            names = config.underlyings[0].name, config.assets[-1].name
            times = stresses.StressWorld(seconds, *names)
            lines += describe_fault(f"stresses.{number}", stresses.SUITE, stress, [times])
    return lines


def _open_venue(config: MarketConfig, number: int, venue: VenueConfig) -> OpeningMarket:
    names = [underlying.name for underlying in config.underlyings]
    listed = [(number, instrument) for instrument in venue.instruments]
    contracts = build_contracts(listed, names, config.assets)
    usual = MARK * float(contracts.tick.max())  # for a replay, whose prices are not read here
    index = np.array([underlying.start or usual for underlying in config.underlyings])
    view = margin_worlds.make_opening_market(contracts, index, config.asset_scale(), config.dt)
    return OpeningMarket(view, 10 ** config.assets[0].decimals)


def _find_venue_faults(venue: VenueConfig, market: OpeningMarket, path: str) -> list[str]:
    whole, pools = market.make_world(), list(market.make_pool_worlds(venue.engine))
    lines = find_engine_faults(venue.engine, whole, pools, f"{path}.engine")
    for name, part in (("mark", venue.mark), ("funding", venue.funding)):
        if part is not None and (suite := find_suite(part)):
            worlds = _make_quote_worlds(suite, market.view)
            lines += describe_fault(f"{path}.{name}", suite, part, worlds)
    parts = [("liquidation", venue.liquidation)]
    parts += [(f"waterfall.{number}", layer) for number, layer in enumerate(venue.waterfall)]
    for name, part in parts:
        if suite := find_suite(part):
            worlds = [_make_distress(suite, world, market.view.dt) for world in pools]
            lines += describe_fault(f"{path}.{name}", suite, part, worlds)
    return lines


def _make_quote_worlds(suite: Suite, view: MarketView) -> list[Any]:
    if suite is fundings.SUITE:
        return [fundings.make_funding_world(0)]
    nothing, zero = np.full(view.mark.size, np.nan), np.zeros(view.mark.size)
    index = view.oracle[view.contracts.underlying] / view.contracts.tick
    full = MarkInputs(view.mark, view.mark, index, zero, zero > 0)
    return [full, full._replace(mid=nothing, is_book_empty=zero == 0), marks.make_quotes(0)]


def _make_distress(suite: Suite, world: MarginWorld, dt: float) -> Any:
    """Return the accounts of a pool after a loss."""
    if suite is loss_layers.SUITE:
        return loss_layers.make_opening_layer_world(world)
    accounts, rng = world.accounts, np.random.default_rng(0)
    value = accounts.position_value()
    wanted = rng.uniform(-0.05, 0.2, len(value)) * np.abs(value).sum(axis=1)
    balance = np.zeros_like(accounts.balance)
    balance[:, 0] = np.rint(wanted - value.sum(axis=1)).astype(np.int64)
    later = accounts.market._replace(tick=100)
    fallen = world._replace(accounts=accounts._replace(balance=balance, market=later))
    return liquidation_policies.build_policy_world(fallen, rng)._replace(dt=dt)


def find_engine_faults(
    engine: EngineConfig, whole: MarginWorld, pools: Sequence[MarginWorld], path: str = ""
) -> list[str]:
    """Return a line for each part of an engine that a plug-in brings and that breaks a law.

    Args:
        engine: the engine.
        whole: accounts in all instruments of a venue.
        pools: accounts in the instruments of each pool.
        path: of the engine in its configuration.
    """
    lines: list[str] = []
    for name, part in iterate_components(engine):
        suite = find_suite(part)
        if suite is None:
            continue
        if suite is return_models.SUITE:
            columns = whole.accounts.market.oracle.size
            worlds: Sequence[Any] = [return_models.ReturnWorld(0, columns)]
        else:
            worlds = [whole] if name == "netting" else pools
        lines += describe_fault(f"{path}.{name}" if path else name, suite, part, worlds)
    return lines


def find_smile_faults(portfolio: Component) -> list[str]:
    """Return a line for each smile of a portfolio that a plug-in brings and that breaks a law."""
    worlds = [smiles.make_smile_world(seed) for seed in range(3)]
    return [
        line
        for path, part in iterate_components(portfolio)
        if find_suite(part) is smiles.SUITE
        for line in describe_fault(path, smiles.SUITE, part, worlds)
    ]


def find_population_faults(
    members: Sequence[PopulationProtocol], spec: MarketSpec, observation: Observation
) -> list[str]:
    """Return a line for each population of a plug-in that breaks a law in the market that opens."""
    lines: list[str] = []
    for number, population in enumerate(members):
        if not isinstance(population, Component) or not is_plugin_class(type(population)):
            continue
        if not type(population).is_registered():
            continue
        few = population.model_copy(update={"count": min(population.count, MAX_MEMBERS)}, deep=True)
        worlds = [
            CrowdWorld(0, spec, observation, CrowdState(tick=0, is_flat=is_flat))
            for is_flat in (True, False)
        ]
        lines += describe_fault(f"populations.{number}", populations.SUITE, few, worlds)
    return lines


def describe_fault(
    path: str, suite: Suite, component: Component, worlds: Sequence[Any]
) -> list[str]:
    """Return the line on the first law that a component breaks; none if it keeps all.

    A component that refuses a world is passed over: building the market reports the reason.
    """
    for world in worlds:
        try:
            found = find_first_fault(suite, component, world)
        except (ConfigError, DataError):
            continue
        if found is not None:
            law, fault = found
            kind = getattr(component, "kind", type(component).__name__)
            rule = f"{law.rule} ({law.sentence[:1].lower()}{law.sentence[1:].rstrip('.')})"
            command = f"deleverage check --plugin {type(component).__module__}"
            remedy = f"correct it, or run {command} for more"
            return [f"{path}: {kind!r} breaks {rule}: {fault}, {remedy}"]
    return []
