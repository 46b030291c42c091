"""Faults of tables of accounts: each bad row is named by its line, with rule and remedy."""

from pathlib import Path

import pandas as pd
import pytest
from twins import build
from typer.testing import CliRunner

from experiments.accounts.read_table import read_accounts
from experiments.cli import app
from experiments.config import load_run
from sim.accounts.positions import MAX_LINES
from sim.errors import ConfigError

HEAD = "owner,instrument,quantity,entry,collateral,leverage,population"

READING = {
    "owner,instrumnt,quantity\na,BTC-PERP,1": [
        "no column 'instrument' among owner, instrumnt, quantity, add it",
        "no column 'collateral' among owner, instrumnt, quantity, add it",
        "column 'instrumnt' is not one of owner, instrument, quantity, collateral, entry, leverage,"
        " population (did you mean 'instrument'?)",
    ],
    "": ["is empty, give a header and a row"],
    HEAD: ["has no row below its header, add one for each position"],
    f"{HEAD}\na,BTC-PERP,inf,50000,1,,\n\nb,BTC-PERP,1,5O000,1,,\n,BTC-PERP,1,,1,,": [
        "line 2: quantity 'inf' is not a finite number: correct it, or fill or drop the row",
        "line 4: entry '5O000' is not a finite number: correct it, or fill or drop the row",
        "line 5: owner is empty: name the owner",
    ],
    f'{HEAD}\na,BTC-PERP,1,,"1,000",,': [
        "line 2: collateral '1,000' is not a finite number: write numbers with a decimal point and "
        "without separators of thousands, such as 1234.56"
    ],
    f"{HEAD}\na,BTC-PERP,1,000,2,,,\nb,BTC-PERP,1,,2,,": [
        "cannot be read (rows have more fields than the header), save it again"
    ],
    f"{HEAD}\nb,BTC-PERP,1,,2,,\na,BTC-PERP,1,000,2,,,": [
        "cannot be read (Error tokenizing data. C error: Expected 7 fields in line 3, saw 8), save "
        "it again"
    ],
    f"{HEAD}\na,BTC-PERP,,50000,1,,\nb,,2,,1,,": [
        "line 2: quantity is empty: give the position, + long or - short",
        "line 3: quantity 2 without an instrument: name it, or leave the quantity empty for cash",
    ],
    f"{HEAD}\na,BTC-PERP,1,-2,-3,0.5,": [
        "line 2: entry -2 must be a price above 0: correct it",
        "line 2: leverage 0.5 must be at least 1: correct it",
        "line 2: collateral -3 must not be below 0: give deposits less withdrawals, without the "
        "gain or loss of open positions",
    ],
    f"{HEAD}\na,BTC-PERP,1,,1,,noise\na,BTC-PERP,2,,1,,trend": [
        "line 3: population 'trend', but owner 'a' is in 'noise': an owner is in one population, "
        "correct one of the rows",
        "line 3: owner 'a' has 'BTC-PERP' already in line 2: an owner has one position in an "
        "instrument, add the two up or drop one",
    ],
}

BUILDING = {
    "a,BTC-PRP,1,,1,,nois": [
        "line 2: population 'nois' is not one of noise, trend, makers, avellaneda_stoikov, "
        "arbitrageurs, insurance_fund, counterparty (did you mean 'noise'?)",
        "line 2: instrument 'BTC-PRP' is not one of BTC-PERP, BTC-SPOT (did you mean 'BTC-PERP'?)",
    ],
    "a,BTC-PERP,1.001,,1,,\nb,BTC-PERP,200_000.5,,1,,": [
        "line 3: quantity '200_000.5' is not a finite number: correct it, or fill or drop the row"
    ],
    "a,BTC-PERP,1.001,,1,,\nb,BTC-PERP,200000,6e5,1,,\nc,BTC-PERP,1,,2e13,,": [
        "line 2: quantity 1.001 is not a multiple of the lot of 'BTC-PERP', 0.01: round it, or "
        "make the lot smaller",
        "line 3: quantity 200000 is above the largest position in 'BTC-PERP', 100000: correct it, "
        "or raise max_lots",
        "line 3: entry 600000 is above the largest price of 'BTC-PERP', 500000: correct it, or "
        "raise max_price",
        "line 4: collateral 20000000000000 is too large to be exact in minor units: lower it to "
        "below 1.1259e+13",
    ],
}


def write(folder: Path, content: str) -> str:
    path = folder / "mine.csv"
    path.write_text(content)
    return str(path)


@pytest.mark.parametrize("content", READING)
def test_a_table_with_faults_is_refused(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        read_accounts(path)
    assert caught.value.problems == [f"{path}: {line}" for line in READING[content]]


@pytest.mark.parametrize("rows", BUILDING)
def test_rows_that_do_not_fit_the_market_are_refused(tmp_path: Path, rows: str) -> None:
    path = write(tmp_path, f"{HEAD}\n{rows}")
    with pytest.raises(ConfigError) as caught:
        build(load_run("small_crash", [f"accounts.file={path}"]), 1)
    assert caught.value.problems == [f"{path}: {line}" for line in BUILDING[rows]]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "accounts.balance=refuse",
            "accounts.balance: positions in 'BTC-PERP' sum to +2; they must sum to zero: complete "
            "the table, or set balance to counterparty or scale",
        ),
        (
            "accounts.population=insurance_fund",
            "accounts.population: 'insurance_fund' is an insurance fund, give its owners another "
            "one",
        ),
        (
            "accounts={population: trend, counterparty: trend}",
            "accounts.population: 'trend' is the counterparty of the others, give one of the two "
            "another name",
        ),
        (
            "accounts.population=makers",
            "populations.2.count: 3, but FILE has 4 owners of 'makers', raise count to at least 4",
        ),
    ],
)
def test_settings_that_do_not_fit_the_table_are_refused(
    tmp_path: Path, override: str, line: str
) -> None:
    rows = "\n".join(f"{name},BTC-PERP,.5,,1,," for name in "abcd")
    path = write(tmp_path, f"{HEAD}\n{rows}")
    with pytest.raises(ConfigError) as caught:
        build(load_run("small_crash", [override, f"accounts.file={path}"]), 1)
    assert caught.value.problems == [line.replace("FILE", path)]


def test_many_faults_are_counted(tmp_path: Path) -> None:
    rows = "\n".join(f"o{n},BTC-PERP,1,-1,1,," for n in range(MAX_LINES + 5))
    with pytest.raises(ConfigError) as caught:
        read_accounts(write(tmp_path, f"{HEAD}\n{rows}"))
    assert len(caught.value.problems) == MAX_LINES + 1
    assert "5 more rows have the fault" in caught.value.problems[-1]


@pytest.mark.parametrize("command", [["run"], ["margin"]])
def test_commands_end_with_bad_input(tmp_path: Path, command: list[str]) -> None:
    path = write(tmp_path, f"{HEAD}\na,BTC-PERP,x,,1,,")
    done = CliRunner().invoke(app.app, [*command, "small_crash", "--accounts", path])
    assert done.exit_code == 2
    assert done.output == (
        f"{path}: line 2: quantity 'x' is not a finite number: correct it, or fill or drop the "
        "row\n"
    )


def test_a_parquet_table_is_read_as_the_text(tmp_path: Path) -> None:
    """Its rows are numbered from one; separators of text may be semicolons."""
    text = f"{HEAD}\na,BTC-PERP,1,50000,9,,noise\na,,,,5,,\n".replace(",", ";")
    path = write(tmp_path, text)
    plain = read_accounts(path)
    columns = pd.read_csv(path, sep=";")
    columns.to_parquet(tmp_path / "mine.parquet")
    stored = read_accounts(str(tmp_path / "mine.parquet"))
    assert (plain.row_word, plain.line.tolist()) == ("line", [2, 3])
    assert (stored.row_word, stored.line.tolist()) == ("row", [1, 2])
    for name in ("owners", "instruments", "populations"):
        assert getattr(plain, name) == getattr(stored, name)
    for name in ("quantity", "collateral", "entry", "leverage"):
        assert getattr(plain, name).tolist()[:1] == getattr(stored, name).tolist()[:1]
    assert stored.collateral.sum() == 14


def test_a_packaged_table_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any folder; a file of that name there takes precedence."""
    monkeypatch.chdir(tmp_path)
    packaged = read_accounts("accounts/small_book.csv")
    assert len(packaged.owners) == 20
    config = load_run("small_crash", ["accounts.file=accounts/small_book.csv"], quick=True)
    assert config.accounts is not None
    assert config.accounts.digest == packaged.digest
    own = tmp_path / "accounts" / "small_book.csv"
    own.parent.mkdir()
    own.write_text(f"{HEAD}\na,BTC-PERP,1,50000,9000,,")
    assert read_accounts("accounts/small_book.csv").owners == ("a",)
