"""Positions of a table of accounts in lots and minor units, and the checks of each row (ACC-1)."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from sim.accounts.table import AccountTable
from sim.errors import ConfigError, describe_unknown
from sim.numerics.whole_units import MAX_ACCOUNT_VALUE
from sim.types import B1, F8, I8, MISSING, Contracts

MAX_LINES = 20
"""Most faults of one kind that are listed; the number of others follows."""

LOT_NOISE = 1e-9
"""Relative distance from a whole number of lots that counts as rounding of a decimal number."""


class OpeningPositions(NamedTuple):
    """Positions at the start of a run, (P,) each; an owner has at most one in an instrument."""

    owner: I8  # number in the ledger
    instrument: I8  # global number
    lots: I8  # + long, never zero
    entry: I8  # value paid, minor units of the settle asset
    collateral: I8  # of the row, minor units of the numeraire
    leverage: F8  # chosen, inf = the venue's highest

    @classmethod
    def join(cls, parts: "list[OpeningPositions]") -> "OpeningPositions":
        """Return several batches, one after another."""
        return cls._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


class PositionScope(NamedTuple):
    """Market in which the rows of a table are checked."""

    contracts: Contracts
    lots: F8  # (K,) units of the underlying in a lot
    max_lots: I8  # (K,)
    mark: F8  # (K,) opening mark, ticks
    unit: int  # minor units in one unit of the numeraire


def number_instruments(table: AccountTable, names: tuple[str, ...]) -> I8:
    """Return the global number of each row's instrument, (R,); MISSING for cash.

    Raises:
        ConfigError: rows name instruments that the market does not list.
    """
    known = {name: number for number, name in enumerate(names)}
    numbers = np.array([known.get(name, MISSING) for name in (*table.instruments, "")])
    found: I8 = np.where(table.instrument == MISSING, MISSING, numbers[table.instrument])
    unknown = (table.instrument != MISSING) & (found == MISSING)
    refuse_rows(
        table,
        unknown,
        lambda row: (
            f"instrument {describe_unknown(table.instruments[table.instrument[row]], names)}"
        ),
    )
    return found


def convert_positions(
    table: AccountTable, scope: PositionScope, owners: I8, numbers: I8
) -> tuple[OpeningPositions, I8]:
    """Return the positions of a table, and the row of each.

    Args:
        table: the table.
        scope: the market.
        owners: (O,) number in the ledger of each owner.
        numbers: (R,) see :func:`number_instruments`.

    Raises:
        ConfigError: rows break a rule, one line for each.
    """
    rows = np.flatnonzero((numbers != MISSING) & (table.quantity != 0))
    k, quantity = numbers[rows], table.quantity[rows]
    lots = quantity / scope.lots[k]
    whole = np.rint(lots)
    _refuse_positions(table, scope, (rows, k, lots, whole))
    price = table.entry[rows] / scope.contracts.tick[k]
    price = np.where(np.isnan(price), scope.mark[k], price)
    entry = np.rint(whole * price * scope.contracts.multiplier[k]).astype(np.int64)
    positions = OpeningPositions(
        owner=owners[table.owner[rows]],
        instrument=k,
        lots=whole.astype(np.int64),
        entry=entry,
        collateral=convert_money(table.collateral[rows], scope.unit),
        leverage=np.rint(table.leverage[rows] * 100) / 100,
    )
    return positions, rows


def convert_money(amount: F8, unit: int) -> I8:
    """Return amounts of the numeraire in minor units."""
    return np.rint(amount * unit).astype(np.int64)


def _refuse_positions(
    table: AccountTable, scope: PositionScope, found: tuple[I8, I8, F8, F8]
) -> None:
    """Refuse quantities, entries and collateral that the market does not admit."""
    rows, k, lots, whole = found
    names, largest = scope.contracts.names, scope.contracts.max_price * scope.contracts.tick
    problems = [
        *_list_faults(
            table,
            rows[np.abs(lots - whole) > LOT_NOISE * np.maximum(np.abs(lots), 1)],
            lambda row: _describe_part_lot(table, scope, row),
        ),
        *_list_faults(
            table,
            rows[np.abs(whole) > scope.max_lots[k]],
            lambda row: _describe_large_position(table, scope, row),
        ),
        *_list_faults(
            table,
            rows[table.entry[rows] > largest[k]],
            lambda row: (
                f"entry {table.entry[row]:.15g} is above the largest price of "
                f"{_instrument_of(table, row)!r}, "
                f"{largest[names.index(_instrument_of(table, row))]:.15g}: correct it, or raise "
                "max_price"
            ),
        ),
        *_list_faults(
            table,
            np.flatnonzero(table.collateral * scope.unit >= MAX_ACCOUNT_VALUE),
            lambda row: (
                f"collateral {table.collateral[row]:.15g} is too large to be exact in minor "
                f"units: lower it to below {MAX_ACCOUNT_VALUE / scope.unit:.6g}"
            ),
        ),
    ]
    if problems:
        raise ConfigError(problems)


def _instrument_of(table: AccountTable, row: int) -> str:
    return table.instruments[table.instrument[row]]


def _describe_part_lot(table: AccountTable, scope: PositionScope, row: int) -> str:
    name = _instrument_of(table, row)
    lot = scope.lots[scope.contracts.names.index(name)]
    return (
        f"quantity {table.quantity[row]:.15g} is not a multiple of the lot of {name!r}, "
        f"{lot:.15g}: round it, or make the lot smaller"
    )


def _describe_large_position(table: AccountTable, scope: PositionScope, row: int) -> str:
    name = _instrument_of(table, row)
    k = scope.contracts.names.index(name)
    largest = float(scope.max_lots[k] * scope.lots[k])
    return (
        f"quantity {table.quantity[row]:.15g} is above the largest position in {name!r}, "
        f"{largest:.15g}: correct it, or raise max_lots"
    )


def refuse_rows(table: AccountTable, is_wrong: B1, describe: Callable[[int], str]) -> None:
    """Refuse some rows of a table, one line each.

    Args:
        table: the table.
        is_wrong: (R,) rows to refuse.
        describe: function that returns value, rule and remedy of a row.

    Raises:
        ConfigError: there are such rows.
    """
    if lines := list(_list_faults(table, np.flatnonzero(is_wrong), describe)):
        raise ConfigError(lines)


def _list_faults(table: AccountTable, rows: I8, describe: Callable[[int], str]) -> Iterator[str]:
    """Yield a line for each of the first rows, and one for the number of the others."""
    for row in rows[:MAX_LINES].tolist():
        yield f"{table.describe_row(row)}: {describe(row)}"
    if rows.size > MAX_LINES:
        yield (
            f"{table.source}: {rows.size - MAX_LINES:,} more rows have the fault of the line "
            "above, correct them in the same way"
        )
