"""From configured populations to Mesa agents in a model."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

import mesa

from agents.base import Population
from sim.errors import ConfigError
from sim.protocols import PopulationProtocol


def populate(configs: Sequence[Population]) -> Callable[[mesa.Model], list[PopulationProtocol]]:
    """What a market calls to be given its people.

    The returned function works on copies, so that one list of configurations makes any number of markets. It
    creates ``count`` agents per population on the model; owners are numbered from 0, contiguous, in the order given.

    Raises:
        ConfigError: two populations share a name, hence their random streams.
    """
    shared = [
        name for name, times in Counter(config.name for config in configs).items() if times > 1
    ]
    if shared:
        raise ConfigError(
            [f"populations: name {name!r} is used twice, give each its own" for name in shared]
        )

    def settle(model: mesa.Model) -> list[PopulationProtocol]:
        owner = 0
        for config in configs:
            for number in range(owner, owner + config.count):
                config.agent_class(model, number, config.name)
            owner += config.count
        # a class attribute is not a variable to mypy, though both are read the same way
        return [cast(PopulationProtocol, config.model_copy(deep=True)) for config in configs]

    return settle
