"""Mesa model whose agents are created when they are first used."""

from collections.abc import Callable
from typing import Any

import mesa


class DeferredAgentsModel(mesa.Model):  # type: ignore[misc]  # mesa ships no types
    """Mesa model that creates its agents on first access; a run that reads none has none.

    Every public way to the agents (``agents``, ``agents_by_type``, ``agent_types``, ``mesa``'s
    collectors, agents of a user's own, ``remove_all_agents``) creates them first.
    """

    _create_deferred: Callable[[mesa.Model], None] | None = None

    def defer_agents(self, create: Callable[[mesa.Model], None]) -> None:
        """Postpone the creation of agents.

        Args:
            create: function that creates all agents on a model; called at most once.
        """
        self._create_deferred = create

    def _create_agents(self) -> None:
        create, self._create_deferred = self._create_deferred, None
        if create is not None:
            create(self)

    @property
    def agents(self) -> Any:
        """AgentSet of all agents."""
        self._create_agents()
        return super().agents

    @property
    def agent_types(self) -> list[type]:
        """Types of the agents."""
        self._create_agents()
        types: list[type] = super().agent_types
        return types

    @property
    def agents_by_type(self) -> dict[type, Any]:
        """AgentSet of each type."""
        self._create_agents()
        sets: dict[type, Any] = super().agents_by_type
        return sets

    def register_agent(self, agent: mesa.Agent) -> None:
        """Add an agent; called by its constructor."""
        self._create_agents()
        super().register_agent(agent)

    def remove_all_agents(self) -> None:
        """Remove all agents."""
        self._create_agents()
        super().remove_all_agents()
