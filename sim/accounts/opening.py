"""Opening of a market with a table of accounts: deposits, positions, margin accounts (ACC-1)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sim.accounts.balance import (
    Imbalance,
    divide_imbalances,
    find_imbalances,
    refuse_imbalances,
    scale_larger_sides,
)
from sim.accounts.members import MemberPlaces
from sim.accounts.positions import (
    OpeningPositions,
    PositionScope,
    convert_money,
    convert_positions,
    number_instruments,
)
from sim.accounts.table import AccountTable, OpeningAccounts
from sim.config import MarketConfig
from sim.errors import ConfigError
from sim.protocols import PopulationProtocol
from sim.types import I8, MISSING, SPOT, Contracts
from sim.venue import Venue


class AccountCounts(NamedTuple):
    """Numbers of the table's accounts in a state at the opening marks."""

    liquidatable: int  # owners below maintenance, in any margin account
    bankrupt: int  # owners with negative equity, in any margin account


class OpeningBook(NamedTuple):
    """Accounts of a table at the start of a run."""

    source: str
    digest: str
    names: tuple[str, ...]  # (O,) owners of the table
    owners: I8  # (O,) their numbers in the ledger
    deposits: I8  # (O, V) minor units of the numeraire
    positions: OpeningPositions  # those of counterparties included
    imbalances: tuple[Imbalance, ...]
    counterparties: I8  # (Q,) owners that took an imbalance
    counterparty_deposits: I8  # (Q, V) least deposits
    counts: AccountCounts = AccountCounts(0, 0)


def plan_opening(
    config: MarketConfig,
    venues: Sequence[Venue],
    populations: Sequence[PopulationProtocol],
    members: Sequence[slice],
) -> OpeningBook | None:
    """Return the accounts with which a run begins, or None without a table.

    Args:
        config: configuration of the market.
        venues: its venues, at their opening prices.
        populations: its populations.
        members: owners of each.

    Raises:
        ConfigError: the table or its rows break a rule, one line for each.
    """
    settings = config.accounts
    if settings is None:
        return None
    table = settings.read_table()
    scope = _build_scope(config, venues)
    places = MemberPlaces(settings, populations, members)
    owners, numbers = _number_rows(table, places, scope.contracts.names)
    positions, rows = convert_positions(table, scope, owners, numbers)
    _refuse_foreign_spot(table, rows, positions, scope.contracts)
    balanced = _balance_positions(positions, scope, places)
    return OpeningBook(
        source=table.source,
        digest=table.digest,
        names=table.owners,
        owners=owners,
        deposits=_sum_deposits(table, scope, balanced.positions, owners, len(venues)),
        positions=OpeningPositions.join([balanced.positions, balanced.taken]),
        imbalances=balanced.imbalances,
        counterparties=np.unique(balanced.taken.owner),
        counterparty_deposits=_find_least_capital(
            balanced.taken, scope, settings.counterparty_capital, len(venues)
        ),
    )


class _BalancedPositions(NamedTuple):
    """Positions of a table after balancing, and those of the counterparties."""

    positions: OpeningPositions
    taken: OpeningPositions
    imbalances: tuple[Imbalance, ...]


def _balance_positions(
    positions: OpeningPositions, scope: PositionScope, places: MemberPlaces
) -> _BalancedPositions:
    """Balance the positions of each instrument by the rule of the settings."""
    contracts, rule = scope.contracts, places.settings.balance
    imbalances = find_imbalances(positions, contracts, scope.mark, rule)
    refuse_imbalances(imbalances, dict(zip(contracts.names, scope.lots.tolist(), strict=True)))
    if rule == "scale":
        positions = scale_larger_sides(positions, imbalances, contracts.names)
    takes = rule == "counterparty" and bool(imbalances)
    others = places.find_counterparties() if takes else slice(0, 0)
    taken = divide_imbalances(imbalances if takes else [], contracts, scope.mark, others)
    _refuse_large_imbalances(taken, scope, places.settings)
    return _BalancedPositions(positions, taken, tuple(imbalances))


def _number_rows(
    table: AccountTable, places: MemberPlaces, names: tuple[str, ...]
) -> tuple[I8, I8]:
    """Return the number of each owner in the ledger, (O,), and of each row's instrument, (R,).

    Raises:
        ConfigError: names are unknown or populations too small; problems are reported together.
    """
    problems: list[str] = []
    owners = numbers = np.empty(0, dtype=np.int64)
    try:
        owners = places.number_owners(table)
    except ConfigError as error:
        problems += error.problems
    try:
        numbers = number_instruments(table, names)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)
    return owners, numbers


def _build_scope(config: MarketConfig, venues: Sequence[Venue]) -> PositionScope:
    contracts = venues[0].ledger.contracts
    listed = {each.name: each for venue in config.venues for each in venue.instruments}
    own = [listed[name] for name in contracts.names]
    return PositionScope(
        contracts=contracts,
        lots=np.array([each.lot for each in own]),
        max_lots=np.array([each.max_lots for each in own], dtype=np.int64),
        mark=np.concatenate([venue.view.mark for venue in venues]),
        unit=10 ** config.assets[0].decimals,
    )


def _refuse_foreign_spot(
    table: AccountTable, rows: I8, positions: OpeningPositions, contracts: Contracts
) -> None:
    """Refuse spot that is paid in another asset than the numeraire, in which deposits are made."""
    k = positions.instrument
    wrong = rows[(contracts.kind[k] == SPOT) & (contracts.settle[k] != 0)]
    if wrong.size:
        row = int(wrong[0])
        name = table.instruments[table.instrument[row]]
        raise ConfigError(
            [
                f"{table.describe_row(row)}: instrument {name!r} is spot that settles in "
                f"{contracts.assets[contracts.settle[contracts.names.index(name)]]!r}; spot of a "
                f"table is paid in {contracts.assets[0]!r}: leave it out, or settle it so"
            ]
        )


def _refuse_large_imbalances(
    taken: OpeningPositions, scope: PositionScope, settings: OpeningAccounts
) -> None:
    """Refuse positions of counterparties beyond the largest one."""
    problems = []
    for k in np.unique(taken.instrument).tolist():
        largest = int(np.abs(taken.lots[taken.instrument == k]).max())
        if largest <= scope.max_lots[k]:
            continue
        n_members = np.count_nonzero(taken.instrument == k)
        needed = int(np.ceil(n_members * largest / scope.max_lots[k]))
        problems.append(
            f"accounts.counterparty: {settings.counterparty!r} would hold "
            f"{largest * scope.lots[k]:.6g} of {scope.contracts.names[k]!r} in each of "
            f"{n_members} accounts, above the largest position, "
            f"{float(scope.max_lots[k] * scope.lots[k]):.6g}: give it {needed} members, or raise "
            "max_lots"
        )
    if problems:
        raise ConfigError(problems)


def _sum_deposits(
    table: AccountTable,
    scope: PositionScope,
    positions: OpeningPositions,
    owners: I8,
    n_venues: int,
) -> I8:
    """Return the deposits of each owner by venue, (O, V).

    A deposit is the collateral, and the cost of spot that is held. Collateral of a row is deposited
    at the venue of its instrument, and without one at that of the owner's first position, else at
    the first venue.
    """
    contracts = scope.contracts
    venue = _find_row_venues(table, contracts)
    deposits = np.zeros((len(table.owners), n_venues), dtype=np.int64)
    np.add.at(deposits, (table.owner, venue), convert_money(table.collateral, scope.unit))
    is_spot = (contracts.kind[positions.instrument] == SPOT) & (positions.lots > 0)
    spot = OpeningPositions._make(column[is_spot] for column in positions)
    order = np.argsort(owners)
    place = order[np.searchsorted(owners, spot.owner, sorter=order)]
    np.add.at(deposits, (place, contracts.venue[spot.instrument]), spot.entry)
    return deposits


def _find_row_venues(table: AccountTable, contracts: Contracts) -> I8:
    """Return the venue of each row's collateral, (R,)."""
    listed = [contracts.venue[contracts.names.index(name)] for name in table.instruments]
    known = np.array([*listed, 0], dtype=np.int64)
    has_instrument = table.instrument != MISSING
    home = np.zeros(len(table.owners), dtype=np.int64)
    held = np.flatnonzero(has_instrument)[::-1]
    home[table.owner[held]] = known[table.instrument[held]]
    venue: I8 = np.where(has_instrument, known[table.instrument], home[table.owner])
    return venue


def _find_least_capital(
    taken: OpeningPositions, scope: PositionScope, multiple: float, n_venues: int
) -> I8:
    """Return the least deposits of counterparties, (Q, V): a multiple of their positions' value."""
    owners = np.unique(taken.owner)
    least = np.zeros((owners.size, n_venues))
    np.add.at(
        least,
        (np.searchsorted(owners, taken.owner), scope.contracts.venue[taken.instrument]),
        multiple * np.abs(taken.entry),
    )
    return np.ceil(least).astype(np.int64)


def replace_deposits(
    book: OpeningBook,
    populations: Sequence[PopulationProtocol],
    members: Sequence[slice],
    wealth: Sequence[I8],
) -> list[I8]:
    """Return the wealth of each population, (n, V), with the deposits of the table in it.

    Populations adopt the wealth of their members in the table.
    """
    replaced = []
    for population, rows, drawn in zip(populations, members, wealth, strict=True):
        own = drawn.copy()
        mine = (book.owners >= rows.start) & (book.owners < rows.stop)
        own[book.owners[mine] - rows.start] = book.deposits[mine]
        takers = (book.counterparties >= rows.start) & (book.counterparties < rows.stop)
        places = book.counterparties[takers] - rows.start
        own[places] = np.maximum(own[places], book.counterparty_deposits[takers])
        population.adopt_wealth(np.isin(np.arange(rows.start, rows.stop), book.owners), own)
        replaced.append(own)
    return replaced


def count_accounts(book: OpeningBook, venues: Sequence[Venue]) -> AccountCounts:
    """Return the numbers of liquidatable and bankrupt owners at the last assessment."""
    is_liquidatable = np.zeros(book.owners.size, dtype=np.bool_)
    is_bankrupt = np.zeros_like(is_liquidatable)
    for venue in venues:
        for state in venue.pool_states.values():
            assessed = state.assessment
            is_liquidatable |= assessed.excess[book.owners] < 0
            is_bankrupt |= assessed.equity[book.owners] < 0
    return AccountCounts(int(is_liquidatable.sum()), int(is_bankrupt.sum()))


def list_notices(book: OpeningBook, units: dict[str, float], money: float) -> list[str]:
    """Return what was done to balance a table, and how many accounts are below maintenance.

    Args:
        book: the opening accounts.
        units: units of the underlying in a lot, by instrument.
        money: minor units in one unit of the numeraire.
    """
    n_positions = book.positions.owner.size - int(
        np.isin(book.positions.owner, book.counterparties).sum()
    )
    lines = [f"{book.source}: {len(book.names):,} owners, {n_positions:,} positions"]
    for each in book.imbalances:
        net = (each.long - each.short) * units[each.instrument]
        text = f"{each.instrument}: positions sum to {net:+,.6g} ({each.value / money:+,.0f})"
        lines.append(
            f"{text}; the larger side is scaled by {each.share:.4f}"
            if each.rule == "scale"
            else f"{text}; {book.counterparties.size} counterparties take the other side"
        )
    lines.append(
        f"{book.counts.liquidatable:,} of the owners are below maintenance at the opening mark, "
        f"{book.counts.bankrupt:,} with negative equity; they are closed out in the first step"
    )
    return lines
