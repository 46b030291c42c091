"""Messages and notes of replays and of runs on own data: each is raised, and the remedy that it names is tried."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from experiments.config import load_run
from experiments.data import read_replays, replay_notes
from experiments.own_data import on_own_data
from sim.errors import ConfigError, DataError

DAYS = tuple(f"2024-01-{day:02d}" for day in (2, 3, 4, 5, 8, 9, 10, 11))
CLOSES = (100, 101, 99, 102, 103, 101, 104, 105)
PROCESS = "underlyings.0.process"
CUT = "fill it or cut the file if that is wrong"


def csv(folder: Path, days: Sequence[str], closes: Sequence[float], adjusted: Sequence[float] = ()) -> str:
    head, rows = "date,close", [f"{day},{close}" for day, close in zip(days, closes, strict=False)]
    if adjusted:
        head, rows = f"{head},Adj Close", [f"{row},{cell}" for row, cell in zip(rows, adjusted, strict=True)]
    file = folder / "mine.csv"
    file.write_text("\n".join([head, *rows]))
    return str(file)


def notes(file: str, *changes: str) -> list[str]:
    """What a run on a file would be told, its other settings those of a day of trading."""
    words = [f"underlyings.0={{name: btc, process: {{kind: replay, source: {file}}}}}", *changes]
    return replay_notes(load_run("small_crash", words).underlyings)


def remedy(line: str) -> list[str]:
    """The settings that a note says to set."""
    return shlex.split(line.partition(": set ")[2].partition(" for a market")[0])


def test_a_market_that_never_closes_is_set_as_the_note_says(tmp_path: Path) -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 9)]
    file = csv(tmp_path, days, CLOSES)
    (told,) = notes(file)
    assert told == (
        f"{file}: has bars on Saturdays, and {PROCESS}.day is 23400 s: set {PROCESS}.day=86400 {PROCESS}.opens=0 for a "
        "market that never closes"
    )
    assert notes(file, *remedy(told)) == []


@pytest.mark.parametrize(
    ("stamps", "told"),
    [
        ([f"2024-01-02 {hour:02d}:00" for hour in range(4)], "bars of one date, 14400 s of it; a day of trading"),
        ([f"2024-01-02 {hour:02d}:00" for hour in range(24)], "2024-01-02 to 2024-01-02 has no Saturday, so that its"),
    ],
)
def test_a_year_that_a_file_does_not_show_is_set_as_the_note_says(tmp_path: Path, stamps: list[str], told: str) -> None:
    file = csv(tmp_path, stamps, CLOSES * 3)
    (found,) = notes(file)
    assert found.startswith(f"{file}: {told}"), found
    assert notes(file, *remedy(found)) == []


def test_a_split_is_adjusted_as_the_note_says(tmp_path: Path) -> None:
    """By an adjusted close, and by earlier rows that are divided."""
    closes = [500, 505, 495, 102, 103, 101, 104, 105]
    adjusted = [100, 101, 99, 102, 103, 101, 104, 105]
    (told,) = notes(csv(tmp_path, DAYS, closes))
    assert "row 3 (2024-01-05): close 495 to 102 looks like a split of 5 for 1, and is read as a move: adjust" in told
    assert told.endswith("adjust earlier rows, or add a column Adj Close")
    assert notes(csv(tmp_path, DAYS, adjusted)) == []
    found = notes(csv(tmp_path, DAYS, closes, adjusted))
    assert any(line.endswith("a split: the adjusted move is used") for line in found), found


def test_a_gap_is_filled_as_the_note_says(tmp_path: Path) -> None:
    days = [*DAYS[:4], "2024-01-22", "2024-01-23", "2024-01-24", "2024-01-25"]
    (told,) = notes(csv(tmp_path, days, CLOSES))
    assert told.endswith(
        "1 gap, 2024-01-05 to 2024-01-22 (17 days); each passes as one night: fill it or cut the file if that is wrong"
    )
    assert notes(csv(tmp_path, DAYS, CLOSES)) == []
    assert notes(csv(tmp_path, days[4:], CLOSES[4:])) == []


def test_the_vix_has_days_of_its_own() -> None:
    """Other replays run on days that it has."""
    spot = "{name: spx, process: {kind: replay, source: 'arch:sp500', start: %s, end: 2018-12-28}}"
    vix = "{name: btc, process: {kind: replay, source: 'arch:vix'}}"
    late, within = (f"underlyings=[{vix}, {spot % start}]" for start in ("2010-01-04", "2014-01-03"))
    with pytest.raises(DataError) as raised:
        read_replays(load_run("small_crash", [late]).underlyings)
    told = str(raised.value)
    assert told.startswith("btc: arch:vix has 2014-01-03 to "), told
    assert told.endswith("spx runs 2010-01-04 to 2018-12-28: set its start and end within those days"), told
    assert set(read_replays(load_run("small_crash", [within]).underlyings)) == {"spx", "btc"}


@pytest.mark.parametrize(
    ("wrong", "told", "mended"),
    [
        (
            "engines/span",
            "--data: engines/span has no list of underlyings that a file could",
            "baseline",
        ),
        ("baselin", "baselin: no such file or packaged configuration (did you mean 'baseline'?)", "baseline"),
    ],
)
def test_own_prices_need_a_run(tmp_path: Path, wrong: str, told: str, mended: str) -> None:
    file = csv(tmp_path, DAYS, CLOSES)
    with pytest.raises(ConfigError) as raised:
        on_own_data(wrong, file)
    assert str(raised.value).startswith(told), raised.value
    assert load_run(mended, on_own_data(mended, file))


def test_days_outside_a_file_are_named(tmp_path: Path) -> None:
    file = csv(tmp_path, DAYS, CLOSES)
    with pytest.raises(DataError) as raised:
        notes(file, f"{PROCESS}.start=2024-02-01")
    assert str(raised.value) == (
        f"{file}: no day from 2024-02-01 to the last; it has 2024-01-02 to 2024-01-11: change start or end"
    )
    assert notes(file, f"{PROCESS}.start=2024-01-05") == []
