"""Populations that a table of accounts needs, added to a run's configuration (ACC-1)."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from experiments.accounts.read_table import read_accounts
from sim.accounts.table import AccountTable, OpeningAccounts
from sim.types import MISSING

OpeningAccounts.table_reader = staticmethod(read_accounts)

N_COUNTERPARTIES = 10
"""Members of a counterparty population that is added; an imbalance is divided among them."""


def complete_run(data: dict[str, Any]) -> dict[str, Any]:
    """Return the plain data of a run with the digest of its table and the populations it needs.

    Owners for whom the table names no population become members of ``accounts.population``, and an
    imbalance is taken by ``accounts.counterparty``. Where no population has that name, one of
    holders is added, so that a table can be opened in any market.

    Raises:
        ConfigError: the table has faults, one line for each.
    """
    settings = data.get("accounts")
    if not isinstance(settings, dict) or not isinstance(settings.get("file"), str):
        return data
    table = read_accounts(settings["file"])
    added = list(_list_missing(data, settings, table))
    listed = data.get("populations")
    populations = [*(listed if isinstance(listed, list | tuple) else ()), *added]
    known = settings | ({} if settings.get("digest") else {"digest": table.digest})
    return {**data, "accounts": known, "populations": populations}


def _list_missing(
    data: dict[str, Any], settings: dict[str, Any], table: AccountTable
) -> Iterator[dict[str, Any]]:
    """Yield the populations of holders that the run does not list."""
    listed = {
        each.get("name", each.get("kind")) if isinstance(each, dict) else each.name
        for each in data.get("populations") or ()
    }
    venue = _find_venue(data, table)
    if venue is None:
        return
    default = settings.get("population", OpeningAccounts.model_fields["population"].default)
    owners = Counter(
        default if number == MISSING else table.populations[number]
        for number in table.population.tolist()
    )
    if owners[default] and default not in listed:
        yield {"kind": "holders", "name": default, "venue": venue, "count": owners[default]}
    taker = settings.get("counterparty", OpeningAccounts.model_fields["counterparty"].default)
    if settings.get("balance", "counterparty") == "counterparty" and taker not in listed:
        yield {"kind": "holders", "name": taker, "venue": venue, "count": N_COUNTERPARTIES}


def _find_venue(data: dict[str, Any], table: AccountTable) -> str | None:
    """Return the venue that lists the first instrument of the table, else the first venue."""
    venues = [each for each in data.get("venues") or () if isinstance(each, dict)]
    for venue in venues:
        names = [each.get("name") for each in venue.get("instruments") or () if _is_dict(each)]
        if table.instruments and table.instruments[0] in names:
            return str(venue.get("name"))
    return str(venues[0].get("name")) if venues else None


def _is_dict(node: Any) -> bool:
    return isinstance(node, dict)
