"""Creation of the Mesa agents of configured populations."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import mesa

from agents.base import Population
from sim.deferred_agents import DeferredAgentsModel
from sim.errors import ConfigError
from sim.protocols import PopulationProtocol


def populate(configs: Sequence[Population]) -> Callable[[mesa.Model], list[PopulationProtocol]]:
    """Return the function that creates the populations of a market.

    The returned function copies the configurations, so that one list serves any number of
    markets. It creates ``count`` agents per population on the model, or leaves that to a market
    until its agents are first used. Owners are numbered from 0 without gaps, in the order given.

    Raises:
        ConfigError: two populations share a name, and would share their random streams.
    """
    shared = [
        name for name, times in Counter(config.name for config in configs).items() if times > 1
    ]
    if shared:
        raise ConfigError(
            [f"populations: name {name!r} is used twice, give each its own" for name in shared]
        )

    def settle(model: mesa.Model) -> list[PopulationProtocol]:
        if isinstance(model, DeferredAgentsModel):
            model.defer_agents(partial(_create_agents, configs))
        else:
            _create_agents(configs, model)
        # mypy does not accept a class attribute where the protocol declares a variable
        return [cast(PopulationProtocol, config.model_copy(deep=True)) for config in configs]

    return settle


def _create_agents(configs: Sequence[Population], model: mesa.Model) -> None:
    """Create the members of all populations on a model."""
    owner = 0
    for config in configs:
        for number in range(owner, owner + config.count):
            config.agent_class(model, number, config.name)
        owner += config.count * config.n_sides
