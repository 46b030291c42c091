"""Messages of wrong price files: each is raised, and the remedy that it names is tried."""

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.data import read_bars
from experiments.series import Returns, read_series
from sim.errors import DataError

DAYS = tuple(f"2024-01-{day:02d}" for day in (2, 3, 4, 5, 8, 9, 10, 11))
CLOSES = (100, 101, 99, 102, 103, 101, 104, 105)


def lines(head: str, *columns: tuple[object, ...], days: tuple[str, ...] = DAYS, mark: str = ",") -> str:
    rows = zip(days, *columns, strict=False)
    return "\n".join([head, *(mark.join(map(str, row)) for row in rows)])


PLAIN = lines("date,close", CLOSES)
BARS = lines("date,open,high,low,close", CLOSES, tuple(c + 1 for c in CLOSES), tuple(c - 1 for c in CLOSES), CLOSES)
SPREAD = (1.0, -0.5, 2.0, 0.3, -1.0, 4.0, 2.0, 0.1)


def with_cell(old: str, new: str, text: str = PLAIN) -> str:
    assert old in text
    return text.replace(old, new, 1)


def with_column(name: str, values: tuple[object, ...], text: str = BARS) -> str:
    head, *rows = text.split("\n")
    return "\n".join([f"{head},{name}", *(f"{row},{value}" for row, value in zip(rows, values, strict=True))])


def answer(read: Callable[[], object]) -> str:
    try:
        read()
    except DataError as error:
        return str(error)
    return ""


def written(folder: Path, text: str, name: str = "mine.csv") -> str:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return str(file)


SWAPPED = "\n".join([BARS.split("\n")[0], *reversed(BARS.split("\n")[1:])])
ADJUSTED = with_column("Adj Close", CLOSES)
EIGHT = tuple(range(8))

BOTH: list[tuple[str, str, str]] = [
    # the file
    (with_cell("103", "1o3"), "row 4: close {is} '1o3'", with_cell("103", "103")),
    (with_cell(",103", ",$103"), "write it without the sign of a currency", PLAIN),
    (
        lines("date;close", tuple(f"1.{each},5" for each in CLOSES), mark=";"),
        "write numbers with a decimal point and without separators of thousands, such as 1234.56",
        lines("date;close", tuple(f"1{each}.5" for each in CLOSES), mark=";"),
    ),
    (
        lines("date,close", tuple(f"{each},5" for each in CLOSES)),
        "row 0: 3 fields, where the header has 2 names: name every column, or write decimals with a point if the "
        "commas are decimal",
        lines("date,close", tuple(f"{each}.5" for each in CLOSES)),
    ),
    (
        with_column("close", CLOSES, PLAIN).replace("close", "Close", 1),
        "2 columns named 'close' among date, Close, close; one is needed: drop the others",
        PLAIN,
    ),
    ("", "is empty, a header and rows are needed: save it again", PLAIN),
    (with_cell("99\n", '99"\n"', PLAIN), "cannot be read (", PLAIN),
    (
        "\n".join(f"{line},1,2,3,4,5" for line in BARS.split("\n")[1:]),
        "no header, and 10 columns (2024-01-02, 100, 101, 99) are not one of 2, 5, 6, 7, 8, 9, 12 that begin with a "
        "time: add a first line of names, such as date,close",
        "\n".join(["date,open,high,low,close,volume,vwap,trades,count,turnover"])
        + "\n"
        + "\n".join(f"{line},1,2,3,4,5" for line in BARS.split("\n")[1:]),
    ),
    (
        lines("", CLOSES, tuple(c - 1 for c in CLOSES), tuple(c + 1 for c in CLOSES), CLOSES)[1:],
        "row 0: no header, so columns are taken for timestamp, open, high, low, close; the high is no high in 8 rows: "
        "add a first line with the names in the file's order",
        lines("date,open,low,high,close", CLOSES, tuple(c - 1 for c in CLOSES), tuple(c + 1 for c in CLOSES), CLOSES),
    ),
    # times
    (with_cell("2024-01-04", "Thursday"), "row 2: 'Thursday' is not a date such as 2008-09-15: correct it", PLAIN),
    (
        lines("date,close", CLOSES, days=tuple(f"{int(day[8:])}.1.2024" for day in DAYS)),
        "row 0: '2.1.2024' is not a date such as 2008-09-15: write year, month, day in this order",
        PLAIN,
    ),
    (
        lines("date,close", CLOSES, days=tuple(f"01/{day[8:]}/2024" for day in DAYS)),
        "row 0: '01/02/2024' is not a date such as 2008-09-15: write year, month, day in this order",
        PLAIN,
    ),
    (
        lines("date,close", CLOSES, days=(DAYS[0] + "T00:00+01:00", DAYS[1] + "T00:00-05:00", *DAYS[2:])),
        "time zones of several places: write all times in UTC, such as 2008-09-15 or 2008-09-15 13:30",
        PLAIN,
    ),
    (
        with_column("symbol", ("A", "A", "B", "B", "A", "A", "A", "A"), PLAIN),
        "row 2: symbol 'B' after 'A', 2 in all; a file holds one series: write a file of each",
        with_column("symbol", ("A",) * 8, PLAIN),
    ),
]
"""Of every command that reads prices; ``{is}`` stands for the verb that only a backtest's message has."""


@pytest.mark.parametrize(("wrong", "told", "mended"), BOTH)
@pytest.mark.parametrize("read", [read_bars, read_series])
def test_the_remedy_of_a_wrong_file_works(
    tmp_path: Path, read: Callable[[str], object], wrong: str, told: str, mended: str
) -> None:
    found = answer(lambda: read(written(tmp_path, wrong)))
    assert found.startswith(f"{tmp_path / 'mine.csv'}: "), found
    assert told.replace("{is} ", "is " if read is read_series else "") in found, found
    assert not answer(lambda: read(written(tmp_path, mended)))


REPLAYS: list[tuple[str, str, str]] = [
    # adjusted closes
    (
        with_cell("99,99", "99,-99", with_column("Adj Close", CLOSES)),
        "row 2: adj close -99 must be a price above 0: correct it or drop the column",
        BARS,
    ),
    (
        with_cell("99,99", "99,0", with_column("Adj Close", CLOSES)),
        "row 2: adj close 0 must be a price above 0: correct it or drop the column",
        ADJUSTED,
    ),
    (
        lines("day,close", CLOSES),
        "no column of times among day, close; one is needed: name it 'date', or add it",
        PLAIN,
    ),
    (
        with_column("date", DAYS, PLAIN).replace("date", "Date", 1),
        "2 columns named 'date' among Date, close, date; one is needed: drop the others",
        PLAIN,
    ),
    (
        lines("date,open,high,close", CLOSES, CLOSES, CLOSES),
        "no column low; open, high and low go together: add it or drop the others",
        PLAIN,
    ),
    (
        lines("date,open,close", CLOSES, CLOSES),
        "no column high, low; open, high and low go together: add them or drop the others",
        BARS,
    ),
    (
        lines("date,oil", CLOSES),
        "no column 'close' among date, oil; one is needed: rename the column of prices",
        PLAIN,
    ),
    (with_cell("103", "-103"), "row 4 (2024-01-08): close -103.0 must be a price above 0: fill or drop the row", PLAIN),
    (with_cell("103", ""), "row 4 (2024-01-08): close nan must be a price above 0: fill or drop the row", PLAIN),
    (
        with_cell("103,104,102,103", "103,99,102,103", BARS),
        "row 4 (2024-01-08): high 99.0 must be at least open and close: correct it",
        BARS,
    ),
    (
        with_cell("103,104,102,103", "103,104,103.5,103", BARS),
        "row 4 (2024-01-08): low 103.5 must be at most open and close: correct it",
        BARS,
    ),
    (
        SWAPPED.replace("2024-01-03", "2024-02-03"),
        "row 1: 2024-01-10 stands after 2024-01-11; days must increase: sort the rows",
        BARS.replace("2024-01-03", "2024-01-03"),
    ),
    (
        with_cell("2024-01-04", "2024-01-03"),
        "row 2: 2024-01-03 repeats the row before; days must increase: drop the repeat, or write times of day with "
        "the dates if bars are shorter than a day",
        with_cell("2024-01-04,99\n", ""),
    ),
    (
        with_cell("2024-01-04", "2024-01-03"),
        "or write times of day with the dates if bars are shorter than a day",
        lines("date,close", CLOSES, days=tuple(f"2024-01-03 {hour}:00" for hour in range(9, 17))),
    ),
]


@pytest.mark.parametrize(("wrong", "told", "mended"), REPLAYS)
def test_the_remedy_of_wrong_bars_works(tmp_path: Path, wrong: str, told: str, mended: str) -> None:
    found = answer(lambda: read_bars(written(tmp_path, wrong)))
    assert found.startswith(f"{tmp_path / 'mine.csv'}: {told}") or found.endswith(told), found
    assert not answer(lambda: read_bars(written(tmp_path, mended)))


Options = dict[str, object]
SERIES: list[tuple[str, Options, str, str, Options]] = [
    (PLAIN[:36], {}, "2 rows are too few to judge by: give more", PLAIN, {}),
    (
        lines("date,close", CLOSES, days=tuple(f"2024-01-0{2 + (hour > 12)} {hour}:00" for hour in range(9, 17))),
        {},
        "2 days are too few to judge by: give more",
        lines("date,close", CLOSES, days=tuple(f"{day} 12:00" for day in DAYS)),
        {},
    ),
    (
        SWAPPED.replace("2024-01-03", "2024-02-03"),
        {},
        "row 1: 2024-01-10 does not come after 2024-01-11; times must ascend: sort the rows",
        BARS,
        {},
    ),
    (
        with_cell("2024-01-04", "2024-01-03"),
        {},
        "row 2: 2024-01-03 does not come after 2024-01-03; times must ascend: drop the repeat, or write times of day "
        "with the dates if bars are shorter than a day",
        with_cell("2024-01-04,99\n", ""),
        {},
    ),
    (PLAIN, {"assets": ["Close"]}, "assets: 'Close' is not one of date, close (did", PLAIN, {"assets": ["close"]}),
    (
        PLAIN,
        {"assets": ["close", "close"]},
        "assets: a column is named twice, name each once",
        PLAIN,
        {"assets": ["close"]},
    ),
    (
        with_column("mood", CLOSES),
        {},
        "'mood': not known beside open, high, low, close; drop it, or give --assets close to use the close alone",
        with_column("mood", CLOSES),
        {"assets": ["close"]},
    ),
    (
        with_column("mood", CLOSES),
        {},
        "'mood': not known beside open, high, low, close; drop it, or give --assets close to use the close alone",
        BARS,
        {},
    ),
    (
        with_column("mood", CLOSES, lines("date,high", CLOSES)),
        {},
        "'mood': not known beside high; drop it, or give --assets with the columns of prices",
        with_column("mood", CLOSES, lines("date,high", CLOSES)),
        {"assets": ["mood"]},
    ),
    (
        with_column("mood", CLOSES, lines("date,high", CLOSES)),
        {},
        "'mood': not known beside high; drop it, or give --assets with the columns of prices",
        lines("date,high", CLOSES),
        {"assets": ["high"]},
    ),
    (
        lines("date,high", CLOSES),
        {},
        "no column close beside high: add it, or give --assets with the columns of prices",
        lines("date,high", CLOSES),
        {"assets": ["high"]},
    ),
    (
        lines("date,volume", CLOSES),
        {},
        "no column of prices beside date, volume: add one, or give --assets with its name",
        lines("date,volume", CLOSES),
        {"assets": ["volume"]},
    ),
    (
        lines("oil,when", tuple(1_700_000_000 + 86_400 * n for n in EIGHT), days=tuple(map(str, CLOSES))),
        {},
        "when rises like a time, 1700000000 on: name it timestamp, or drop it",
        lines("oil,timestamp", tuple(1_700_000_000 + 86_400 * n for n in EIGHT), days=tuple(map(str, CLOSES))),
        {},
    ),
    (
        lines("date,spread", SPREAD),
        {},
        "row 1: spread is -0.5, 2 such in all; log returns need prices, which must stay above 0: correct them, or give "
        "--returns differences (a spread) or --returns given (log returns)",
        lines("date,spread", SPREAD),
        {"returns": "differences"},
    ),
    (
        lines("date,spread", SPREAD),
        {},
        "--returns given (log returns)",
        lines("date,spread", SPREAD),
        {"returns": "given"},
    ),
    (
        lines("date,a,b", CLOSES, (0.01, -0.02, 0.03, -0.01, 0.02, -0.03, 0.01, -0.02)),
        {},
        "a prices, b returns; all columns must be prices (above 0) or all log returns: convert some, or give "
        "--assets a",
        lines("date,a,b", CLOSES, (0.01, -0.02, 0.03, -0.01, 0.02, -0.03, 0.01, -0.02)),
        {"assets": ["a"]},
    ),
    (
        lines("date,a,b", CLOSES, (5,) * 8),
        {},
        "b never moves; a constant series has no risk to margin: drop the column",
        lines("date,a", CLOSES),
        {},
    ),
    (
        lines("date,close", (5,) * 8),
        {},
        "close never moves; a constant series has no risk to margin: give one that moves",
        PLAIN,
        {},
    ),
    (
        lines("date,a", (1, -2, 30, -40, 20, 10, -10, -3)),
        {"returns": "given"},
        "a: a log return of 30 at return 2; returns must be logs, not percent, and prices free of slips: divide "
        "percent by 100",
        lines("date,a", (0.01, -0.02, 0.30, -0.40, 0.20, 0.10, -0.10, -0.03)),
        {"returns": "given"},
    ),
]


@pytest.mark.parametrize(("wrong", "options", "told", "mended", "then"), SERIES)
def test_the_remedy_of_a_wrong_series_works(
    tmp_path: Path, wrong: str, options: dict[str, Returns], told: str, mended: str, then: dict[str, Returns]
) -> None:
    found = answer(lambda: read_series(written(tmp_path, wrong), **options))
    assert found.startswith(f"{tmp_path / 'mine.csv'}: "), found
    assert told in found, found
    assert not answer(lambda: read_series(written(tmp_path, mended), **then))


def test_a_column_is_named_as_a_shell_takes_it(tmp_path: Path) -> None:
    """MetaTrader's names stand in brackets, and its spread beside bars is no price."""
    names = ("<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<SPREAD>")
    bars = with_column("spread", (3,) * 8)
    for old, new in zip(("open", "high", "low", "close", "spread"), names, strict=True):
        bars = bars.replace(old, new, 1)
    assert read_series(written(tmp_path, bars)).names == ("<CLOSE>",)
    told = answer(lambda: read_series(written(tmp_path, with_column("mood", CLOSES, bars))))
    assert told.endswith("drop it, or give --assets '<CLOSE>' to use the close alone"), told
