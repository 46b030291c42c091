"""Netting: partitions of a venue's instruments into margin pools (ISO-1)."""

from collections import Counter
from typing import Literal

from pydantic import Field

from sim.errors import ConfigError
from sim.margin.base import NettingComponent
from sim.types import Contracts


class CrossNetting(NettingComponent):
    """One pool: gains on any position cover the losses on any other."""

    kind: Literal["cross"] = Field(
        default="cross", description="one pool of all instruments (name)"
    )

    def build_pools(self, contracts: Contracts) -> list[list[int]]:
        """See :class:`NettingComponent`."""
        everything = list(range(len(contracts.names)))
        return [everything] if everything else []


class IsolatedNetting(NettingComponent):
    """One pool per instrument: each position has its own cash (ISO-1)."""

    kind: Literal["isolated"] = Field(
        default="isolated", description="one pool per instrument (name)"
    )

    @property
    def has_separate_wallets(self) -> bool:
        """Always True: a single instrument also has a margin account of its own."""
        return True

    def build_pools(self, contracts: Contracts) -> list[list[int]]:
        """See :class:`NettingComponent`."""
        return [[column] for column in range(len(contracts.names))]


class UnderlyingNetting(NettingComponent):
    """One pool per underlying, as in Derive's portfolio managers."""

    kind: Literal["by_underlying"] = Field(
        default="by_underlying", description="one pool per underlying (name)"
    )

    def build_pools(self, contracts: Contracts) -> list[list[int]]:
        """See :class:`NettingComponent`."""
        parts: dict[int, list[int]] = {}
        for column, underlying in enumerate(contracts.underlying.tolist()):
            parts.setdefault(underlying, []).append(column)
        return list(parts.values())


class GroupNetting(NettingComponent):
    """Pools listed by name; each instrument of the venue belongs to exactly one."""

    kind: Literal["groups"] = Field(
        default="groups", description="pools listed by instrument (name)"
    )
    groups: tuple[tuple[str, ...], ...] = Field(
        min_length=1, description="instruments of each pool (names)"
    )

    def build_pools(self, contracts: Contracts) -> list[list[int]]:
        """See :class:`NettingComponent`."""
        self._check_partition(contracts)
        # in hedge mode, an instrument that is long and short is listed twice
        names = contracts.names
        listed = [[k for k, name in enumerate(names) if name in group] for group in self.groups]
        return sorted(group for group in listed if group)

    def _check_partition(self, contracts: Contracts) -> None:
        listed = Counter(name for group in self.groups for name in group)
        known = ", ".join(contracts.names)
        problems = [
            f"netting.groups: {name!r} is not an instrument of this venue, "
            f"remove it or use one of {known}"
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
