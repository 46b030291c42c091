"""Table of accounts, and the settings with which it opens a run (ACC-1)."""

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from sim.component import Component
from sim.errors import ConfigError
from sim.types import F8, I8

BalanceRule = Literal["counterparty", "scale", "refuse"]


class AccountTable(NamedTuple):
    """Rows of a table of accounts: one position each, or cash without a position.

    Names are numbered in the order of their first row. R rows, O owners.
    """

    source: str  # path
    digest: str  # SHA-256 of the file
    row_word: str  # "line" of a text file, "row" of another
    line: I8  # (R,) number in the file, for messages
    owners: tuple[str, ...]  # (O,)
    owner: I8  # (R,)
    instruments: tuple[str, ...]
    instrument: I8  # (R,) MISSING = cash only
    quantity: F8  # (R,) units of the underlying, + long
    entry: F8  # (R,) mean entry price, quote currency; NaN = the opening mark
    collateral: F8  # (R,) units of the numeraire
    leverage: F8  # (R,) chosen leverage; inf = the highest of the venue
    populations: tuple[str, ...]
    population: I8  # (O,) MISSING = the population of the settings

    def describe_row(self, row: int) -> str:
        """Return the place of a row in the file, for messages."""
        return f"{self.source}: {self.row_word} {self.line[row]}"


TableReader = Callable[[str], AccountTable]
"""Function that reads a file; raises ConfigError with a line for each fault."""


class OpeningAccounts(Component):
    """Accounts with which a run begins, and how they are balanced and margined (ACC-1)."""

    table_reader: ClassVar[TableReader | None] = None
    """Reader of files; set by the code that loads runs, because this package reads no files."""

    file: str = Field(min_length=1, description="CSV or Parquet table of accounts (path)")
    digest: str = Field(
        default="", description="SHA-256 of the file, filled in when it is loaded (text)"
    )
    balance: BalanceRule = Field(
        default="counterparty",
        description="rule for positions that do not sum to zero (name)",
    )
    population: str = Field(
        default="holders",
        min_length=1,
        description="population of owners for whom the table names none (name)",
    )
    counterparty: str = Field(
        default="counterparty",
        min_length=1,
        description="population that takes the imbalance (name)",
    )
    counterparty_capital: float = Field(
        default=2.0,
        gt=0,
        description="least equity of a counterparty (times the value of its positions)",
    )
    collateral: Literal["owner", "position"] = Field(
        default="owner",
        description="whether isolated accounts share an owner's collateral or keep their row's",
    )

    def read_table(self) -> AccountTable:
        """Read the file.

        Raises:
            ConfigError: it cannot be read, has faults, or is not the file that was loaded.
        """
        reader = type(self).table_reader
        if reader is None:
            raise ConfigError(
                ["accounts.file: no reader of tables is set, import experiments.config"]
            )
        table = reader(self.file)
        if self.digest and table.digest != self.digest:
            raise ConfigError(
                [
                    f"accounts.digest: {self.digest[:12]}, but {self.file} now has "
                    f"{table.digest[:12]}; a run keeps its table: restore the file, or remove "
                    "digest to start from the present one"
                ]
            )
        return table
