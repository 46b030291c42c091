"""Reader of tables of accounts, CSV or Parquet (ACC-1)."""

import hashlib
import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from experiments.price_files.texts import suggest_remedy
from sim.accounts.positions import MAX_LINES
from sim.accounts.table import AccountTable
from sim.errors import ConfigError, format_value, suggest_name
from sim.reading.packaged import find_data_file
from sim.types import B1, F8, I8, MISSING

REQUIRED = ("owner", "instrument", "quantity", "collateral")
OPTIONAL = ("entry", "leverage", "population")
SUFFIXES = (".csv", ".txt", ".parquet")
NUMBERS = ("quantity", "collateral", "entry", "leverage")


class RawTable(NamedTuple):
    """Cells of a file, and the number of each row in it."""

    source: str
    digest: str
    row_word: str
    cells: dict[str, "pd.Series[Any]"]  # by column, texts or numbers; missing cells are NaN
    line: I8  # (R,)

    def describe(self, row: int) -> str:
        """Return the place of a row."""
        return f"{self.source}: {self.row_word} {self.line[row]}"


def read_accounts(source: str) -> AccountTable:
    """Read a table of accounts.

    Columns are ``owner``, ``instrument``, ``quantity`` and ``collateral``, and if wanted ``entry``,
    ``leverage`` and ``population``, in any order and case; others are refused, because a mistyped
    name would be ignored. An empty instrument is cash without a position. An empty collateral is
    zero, so that an owner's collateral may stand in one of its rows.

    Args:
        source: a ``.csv``, ``.txt`` or ``.parquet`` file, or a packaged one such as
            ``accounts/small_book.csv``. Text has commas, semicolons or tabs.

    Raises:
        ConfigError: it cannot be read, a column is missing, or rows have faults, one line for each.
    """
    raw = _read_raw(source)
    numbers = {name: _parse_numbers(raw, name) for name in NUMBERS}
    _refuse_cells(raw, numbers)
    owner, owners = _number_names(raw, "owner")
    instrument, instruments = _number_names(raw, "instrument")
    population, populations = _number_names(raw, "population")
    table = AccountTable(
        source=source,
        digest=raw.digest,
        row_word=raw.row_word,
        line=raw.line,
        owners=owners,
        owner=owner,
        instruments=instruments,
        instrument=instrument,
        quantity=np.nan_to_num(numbers["quantity"], nan=0.0),
        entry=numbers["entry"],
        collateral=np.nan_to_num(numbers["collateral"], nan=0.0),
        leverage=np.where(np.isnan(numbers["leverage"]), np.inf, numbers["leverage"]),
        populations=populations,
        population=_find_owner_populations(owner, len(owners), population),
    )
    _refuse_faults(raw, table, numbers, population)
    return table


def _read_raw(source: str) -> RawTable:
    """Read the cells of a file and check its columns."""
    is_text = Path(source).suffix.lower() != ".parquet"
    content, frame = _read_file(source, is_text=is_text)
    frame.columns = pd.Index([str(name).strip().casefold() for name in frame.columns])
    _refuse_columns(source, list(frame.columns))
    line = np.arange(len(frame)) + (2 if is_text else 1)
    kept = ~frame.isna().all(axis=1).to_numpy()
    if not kept.any():
        raise ConfigError([f"{source}: has no row below its header, add one for each position"])
    empty = pd.Series(np.nan, index=frame.index)
    cells = {name: frame.get(name, empty)[kept] for name in (*REQUIRED, *OPTIONAL)}
    digest = hashlib.sha256(content).hexdigest()
    return RawTable(source, digest, "line" if is_text else "row", cells, line[kept])


def _read_file(source: str, *, is_text: bool) -> tuple[bytes, pd.DataFrame]:
    """Return the content of a file, and its cells.

    Raises:
        ConfigError: there is no such file, or it cannot be read.
    """
    path = Path(source)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError([f"{source}: not a .csv, .txt or .parquet file, convert or rename it"])
    file = find_data_file(source)
    if file is None:
        raise ConfigError([f"{source}: no such file (looked in {path.parent}), correct the path"])
    try:
        content = file.read_bytes()
        return content, _parse_text(content) if is_text else pd.read_parquet(io.BytesIO(content))
    except pd.errors.EmptyDataError as error:
        raise ConfigError([f"{source}: is empty, give a header and a row"]) from error
    except (UnicodeDecodeError, pa.ArrowException, pd.errors.ParserError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError([f"{source}: cannot be read ({reason}), save it again"]) from error
    except OSError as error:
        raise ConfigError(
            [f"{source}: cannot be read ({error.strerror}), give a file that you may read"]
        ) from error


def _parse_text(content: bytes) -> pd.DataFrame:
    """Return the cells of a text file as texts; blank lines are kept, so that rows count lines."""
    text = content.decode("utf-8-sig")
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)
    frame = pd.read_csv(
        io.StringIO(text),
        sep=mark,
        dtype=str,
        skip_blank_lines=False,
        skipinitialspace=True,
        keep_default_na=False,
        na_values=[""],
    )
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus fields as an index
        raise ValueError("rows have more fields than the header")
    return frame


def _refuse_columns(source: str, names: list[str]) -> None:
    """Refuse missing, unknown and repeated columns."""
    known = (*REQUIRED, *OPTIONAL)
    problems = [
        f"{source}: no column {name!r} among {', '.join(names)}, add it"
        for name in REQUIRED
        if name not in names
    ]
    problems += [
        f"{source}: column {name!r} is not one of {', '.join(known)}"
        f"{suggest_name(name, known) or ', drop or rename it'}"
        for name in dict.fromkeys(names)
        if name not in known
    ]
    problems += [
        f"{source}: {names.count(name)} columns {name!r}, one is needed, drop the others"
        for name in dict.fromkeys(names)
        if name in known and names.count(name) > 1
    ]
    if problems:
        raise ConfigError(problems)


def _parse_numbers(raw: RawTable, name: str) -> F8:
    """Return a column as numbers, NaN for empty cells and for those that are no number."""
    numbers: F8 = pd.to_numeric(raw.cells[name], errors="coerce").to_numpy(dtype=np.float64)
    return numbers


def _refuse_cells(raw: RawTable, numbers: dict[str, F8]) -> None:
    """Refuse cells that are no finite number, and rows without an owner."""
    problems: list[str] = []
    for name, column in numbers.items():
        cells = raw.cells[name]
        wrong = np.flatnonzero(~np.isfinite(column) & cells.notna().to_numpy())
        problems += _list_faults(raw, wrong, partial(_describe_no_number, name, cells))
    owner = raw.cells["owner"]
    unnamed = np.flatnonzero(owner.isna() | (owner.astype(str).str.strip() == ""))
    problems += _list_faults(raw, unnamed, lambda row: "owner is empty: name the owner")
    if problems:
        raise ConfigError(problems)


def _describe_no_number(name: str, cells: "pd.Series[Any]", row: int) -> str:
    cell = cells.iloc[row]
    return f"{name} {format_value(cell)} is not a finite number: {suggest_remedy(cell)}"


def _number_names(raw: RawTable, name: str) -> tuple[I8, tuple[str, ...]]:
    """Return the number of each row's name, MISSING for an empty cell, and the names."""
    cells = raw.cells[name]
    texts = cells.where(cells.isna(), cells.astype(str).str.strip())
    codes, names = pd.factorize(texts.where(texts != ""), use_na_sentinel=True)
    return np.where(codes < 0, MISSING, codes).astype(np.int64), tuple(map(str, names))


def _find_owner_populations(owner: I8, n_owners: int, population: I8) -> I8:
    """Return the first population that each owner's rows name, (O,); MISSING for none."""
    found = np.full(n_owners, MISSING, dtype=np.int64)
    rows = np.flatnonzero((population != MISSING) & (owner != MISSING))[::-1]
    found[owner[rows]] = population[rows]
    return found


def _refuse_faults(
    raw: RawTable, table: AccountTable, numbers: dict[str, F8], population: I8
) -> None:
    """Refuse rows that break a rule by themselves or together with another row."""
    checks = [*_list_row_checks(table, numbers), _check_populations(table, population)]
    checks.append(_check_repeats(table))
    if lines := [
        line
        for is_wrong, describe in checks
        for line in _list_faults(raw, np.flatnonzero(is_wrong), describe)
    ]:
        raise ConfigError(lines)


RowCheck = tuple[B1, Callable[[int], str]]
"""Rows that break a rule, and the function that describes one of them."""


def _list_row_checks(table: AccountTable, numbers: dict[str, F8]) -> list[RowCheck]:
    """Return the checks of each row by itself."""
    has_instrument = table.instrument != MISSING
    quantity, entry, leverage = numbers["quantity"], numbers["entry"], numbers["leverage"]
    return [
        (
            has_instrument & np.isnan(quantity),
            lambda row: "quantity is empty: give the position, + long or - short",
        ),
        (
            ~has_instrument & (table.quantity != 0),
            lambda row: (
                f"quantity {quantity[row]:.15g} without an instrument: name it, or leave the "
                "quantity empty for cash"
            ),
        ),
        (
            entry <= 0,
            lambda row: f"entry {entry[row]:.15g} must be a price above 0: correct it",
        ),
        (
            leverage < 1,
            lambda row: f"leverage {leverage[row]:.15g} must be at least 1: correct it",
        ),
        (
            table.collateral < 0,
            lambda row: (
                f"collateral {table.collateral[row]:.15g} must not be below 0: give deposits less "
                "withdrawals, without the gain or loss of open positions"
            ),
        ),
    ]


def _check_populations(table: AccountTable, population: I8) -> RowCheck:
    """Return the rows that name another population than an earlier row of their owner."""
    own = table.population[table.owner]

    def describe(row: int) -> str:
        return (
            f"population {table.populations[population[row]]!r}, but owner "
            f"{table.owners[table.owner[row]]!r} is in {table.populations[own[row]]!r}: an "
            "owner is in one population, correct one of the rows"
        )

    return (population != MISSING) & (population != own), describe


def _check_repeats(table: AccountTable) -> RowCheck:
    """Return the rows that repeat an owner and an instrument, and their description."""
    has_instrument = table.instrument != MISSING
    key = table.owner * (len(table.instruments) + 1) + table.instrument
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    is_repeat = has_instrument & (first[place] != np.arange(key.size))

    def describe(row: int) -> str:
        name = table.instruments[table.instrument[row]]
        return (
            f"owner {table.owners[table.owner[row]]!r} has {name!r} already in {table.row_word} "
            f"{table.line[first[place[row]]]}: an owner has one position in an instrument, add "
            "the two up or drop one"
        )

    return is_repeat, describe


def _list_faults(raw: RawTable, rows: I8, describe: Callable[[int], str]) -> Iterator[str]:
    """Yield a line for each of the first rows, and one for the number of the others."""
    for row in rows[:MAX_LINES].tolist():
        yield f"{raw.describe(row)}: {describe(row)}"
    if rows.size > MAX_LINES:
        yield (
            f"{raw.source}: {rows.size - MAX_LINES:,} more rows have the fault of the line above, "
            "correct them in the same way"
        )
