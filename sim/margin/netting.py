"""Netting: partitions of a venue's instruments into margin pools (ISO-1)."""

from collections import Counter
from typing import Literal

from pydantic import Field

from sim.errors import ConfigError
from sim.margin.base import NettingComponent
from sim.types import Contracts


class Cross(NettingComponent):
    """One pool: gains of any position carry the losses of any other."""

    kind: Literal["cross"] = Field(default="cross", description="one pool of all instruments (name)")

    def pools(self, contracts: Contracts) -> list[list[int]]:
        """See :class:`NettingComponent`."""
        everything = list(range(len(contracts.names)))
        return [everything] if everything else []


class Isolated(NettingComponent):
    """One pool per instrument: a position stands on its own cash (ISO-1)."""

    kind: Literal["isolated"] = Field(default="isolated", description="one pool per instrument (name)")

    @property
    def apart(self) -> bool:
        """Always: a position stands on what was set aside for it, where one instrument is listed, too."""
        return True

    def pools(self, contracts: Contracts) -> list[list[int]]:
        """See :class:`NettingComponent`."""
        return [[column] for column in range(len(contracts.names))]


class ByUnderlying(NettingComponent):
    """One pool per underlying, as Derive's portfolio managers."""

    kind: Literal["by_underlying"] = Field(default="by_underlying", description="one pool per underlying (name)")

    def pools(self, contracts: Contracts) -> list[list[int]]:
        """See :class:`NettingComponent`."""
        parts: dict[int, list[int]] = {}
        for column, underlying in enumerate(contracts.underlying.tolist()):
            parts.setdefault(underlying, []).append(column)
        return list(parts.values())


class Groups(NettingComponent):
    """Pools by name; each instrument of the venue belongs to exactly one."""

    kind: Literal["groups"] = Field(default="groups", description="pools listed by instrument (name)")
    groups: tuple[tuple[str, ...], ...] = Field(min_length=1, description="instruments of each pool (names)")

    def pools(self, contracts: Contracts) -> list[list[int]]:
        """See :class:`NettingComponent`."""
        self._refuse_unless_partition(contracts)
        names = contracts.names  # one stands there twice where it is long and short in hedge mode
        listed = [[k for k, name in enumerate(names) if name in group] for group in self.groups]
        return sorted(group for group in listed if group)

    def _refuse_unless_partition(self, contracts: Contracts) -> None:
        listed = Counter(name for group in self.groups for name in group)
        known = ", ".join(contracts.names)
        problems = [
            f"netting.groups: {name!r} is not an instrument of this venue, remove it or use one of {known}"
            for name in listed
            if name not in contracts.names
        ]
        problems += [
            f"netting.groups: {name!r} stands in {listed[name]} groups, list it in exactly one"
            for name in dict.fromkeys(contracts.names)
            if listed[name] != 1
        ]
        if problems:
            raise ConfigError(problems)
