"""Owners of a table of accounts as members of populations (ACC-1)."""

from collections.abc import Sequence

import numpy as np

from sim.accounts.positions import refuse_rows
from sim.accounts.table import AccountTable, OpeningAccounts
from sim.errors import ConfigError, describe_unknown
from sim.protocols import PopulationProtocol
from sim.types import I8, MISSING


class MemberPlaces:
    """Populations of a market, their owners, and the places that a table takes in them.

    Args:
        settings: settings of the opening accounts.
        populations: populations of the market.
        members: owners of each population.
    """

    def __init__(
        self,
        settings: OpeningAccounts,
        populations: Sequence[PopulationProtocol],
        members: Sequence[slice],
    ) -> None:
        self.settings, self.populations, self.members = settings, populations, members
        self.names = [population.name for population in populations]

    def number_owners(self, table: AccountTable) -> I8:
        """Return the number in the ledger of each owner of a table, (O,).

        The owners of a population take the places of its first members, in the order of the table.

        Raises:
            ConfigError: a population is unknown, too small, an insurance fund or the counterparty.
        """
        names = np.array([*table.populations, self.settings.population])
        place = np.where(table.population == MISSING, len(names) - 1, table.population)
        self._refuse_unknown(table, names, place)
        problems: list[str] = []
        numbers = np.empty(len(table.owners), dtype=np.int64)
        for name in dict.fromkeys(names[np.unique(place)].tolist()):
            rows = np.flatnonzero(names[place] == name)
            problems += self._find_faults(name, rows.size)
            numbers[rows] = self.members[self.names.index(name)].start + np.arange(rows.size)
        if problems:
            raise ConfigError(problems)
        return numbers

    def find_counterparties(self) -> slice:
        """Return the owners that take an imbalance.

        Raises:
            ConfigError: there is no such population, or it is an insurance fund.
        """
        name = self.settings.counterparty
        if name not in self.names:
            raise ConfigError([f"accounts.counterparty: {describe_unknown(name, self.names)}"])
        number = self.names.index(name)
        if self.populations[number].fund_venue:
            raise ConfigError(
                [f"accounts.counterparty: {name!r} is an insurance fund, name other members"]
            )
        return self.members[number]

    def _refuse_unknown(self, table: AccountTable, names: I8, place: I8) -> None:
        """Refuse rows of owners whose population does not exist."""
        if self.settings.population not in self.names and (place == len(names) - 1).any():
            raise ConfigError(
                [f"accounts.population: {describe_unknown(self.settings.population, self.names)}"]
            )
        unknown = ~np.isin(names[place], self.names)
        first = np.zeros(table.line.size, dtype=np.bool_)
        first[np.unique(table.owner, return_index=True)[1]] = True
        refuse_rows(
            table,
            first & unknown[table.owner],
            lambda row: (
                f"population {describe_unknown(str(names[place[table.owner[row]]]), self.names)}"
            ),
        )

    def _find_faults(self, name: str, n_owners: int) -> list[str]:
        """Return lines about a population that cannot hold the owners of a table."""
        number = self.names.index(name)
        population = self.populations[number]
        if population.fund_venue:
            return [
                f"accounts.population: {name!r} is an insurance fund, give its owners another one"
            ]
        if name == self.settings.counterparty:
            return [
                f"accounts.population: {name!r} is the counterparty of the others, "
                "give one of the two another name"
            ]
        if n_owners > population.count:
            return [
                f"populations.{number}.count: {population.count}, but {self.settings.file} has "
                f"{n_owners} owners of {name!r}, raise count to at least {n_owners}"
            ]
        return []
