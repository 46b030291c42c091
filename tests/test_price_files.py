"""Price files as their sources write them: one reading by backtest and replay, or a refusal that names the row."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.cautions import cautions
from experiments.cli import app
from experiments.config import load_run
from experiments.data import read_bars, replay_notes
from experiments.funding_file import read_rates
from experiments.own_data import on_own_data
from experiments.series import read_series
from sim.errors import ConfigError, DataError

RUNNER = CliRunner()
DAYS = 60


def bars(rows: int = DAYS, seed: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.02 * rng.standard_t(5, rows)))
    opened = close * np.exp(0.004 * rng.standard_normal(rows))
    high, low = np.maximum(opened, close) * 1.01, np.minimum(opened, close) * 0.99
    return pd.DataFrame(
        {"open": opened, "high": high, "low": low, "close": close, "volume": rng.uniform(1e3, 1e6, rows)}
    )


TABLE, WHEN = bars(), pd.date_range("2024-12-01", periods=DAYS)
MS = np.array([int(day.timestamp() * 1000) for day in WHEN])
O, H, L, C, V = (TABLE[name] for name in TABLE)  # noqa: E741


def ccxt(path: Path) -> Path:
    return csv(pd.DataFrame({"timestamp": MS, **TABLE}), path / "ccxt.csv")


def ccxt_without_header(path: Path) -> Path:
    return csv(pd.DataFrame({"timestamp": MS, **TABLE}), path / "ccxt.csv", header=False)


def yahoo(path: Path) -> Path:
    columns = {"Date": WHEN.strftime("%Y-%m-%d"), "Open": O, "High": H, "Low": L, "Close": C, "Adj Close": C}
    return csv(pd.DataFrame({**columns, "Volume": V}), path / "yahoo.csv")


def yfinance_with_zones(path: Path) -> Path:
    zoned = pd.date_range("2024-10-20", periods=DAYS, tz="America/New_York")  # over the end of summer time
    columns = {"Date": zoned.astype(str), "Open": O, "High": H, "Low": L, "Close": C, "Volume": V}
    return csv(pd.DataFrame({**columns, "Dividends": 0.0, "Stock Splits": 0.0}), path / "yf.csv")


def tickers(names: tuple[str, ...] = ("SPY",)) -> pd.DataFrame:
    quotes = {"Close": C, "High": H, "Low": L, "Open": O, "Volume": V}
    columns = {(quote, name): values.to_numpy() for quote, values in quotes.items() for name in names}
    table = pd.DataFrame(columns, index=pd.Index(WHEN, name="Date"))
    table.columns.names = ["Price", "Ticker"]
    return table


def yfinance_download(path: Path) -> Path:
    tickers().to_csv(path / "download.csv")
    return path / "download.csv"


def yfinance_parquet(path: Path) -> Path:
    tickers().to_parquet(path / "download.parquet")
    return path / "download.parquet"


def klines() -> pd.DataFrame:
    times = np.where(pd.Timestamp("2025-01-01") > WHEN, MS, MS * 1000)  # Binance changed to microseconds then
    rest = {"quote_volume": V, "count": 5, "taker_buy_volume": V, "taker_buy_quote_volume": V, "ignore": 0}
    return pd.DataFrame({"open_time": times, **TABLE, "close_time": times + 86_399_999, **rest})


def binance(path: Path) -> Path:
    return csv(klines(), path / "klines.csv")


def binance_without_header(path: Path) -> Path:
    return csv(klines(), path / "klines.csv", header=False)


def binance_parquet(path: Path) -> Path:
    klines().to_parquet(path / "klines.parquet")
    return path / "klines.parquet"


def stooq(path: Path) -> Path:
    columns = {"Date": WHEN.strftime("%Y-%m-%d"), "Open": O, "High": H, "Low": L, "Close": C, "Volume": V}
    return csv(pd.DataFrame(columns), path / "s.csv")


def stooq_bulk(path: Path) -> Path:
    columns = {"<TICKER>": "X.US", "<PER>": "D", "<DATE>": WHEN.strftime("%Y%m%d"), "<TIME>": "000000"}
    prices = {"<OPEN>": O, "<HIGH>": H, "<LOW>": L, "<CLOSE>": C, "<VOL>": V, "<OPENINT>": 0}
    return csv(pd.DataFrame({**columns, **prices}), path / "x.us.txt")


def coinmarketcap(path: Path) -> Path:
    clock = {"timeOpen": "00:00:00.000", "timeClose": "23:59:59.999"}
    clock |= {"timeHigh": "11:00:00.000", "timeLow": "12:00:00.000"}
    at = {name: WHEN.strftime(f"%Y-%m-%dT{time}Z") for name, time in clock.items()}
    table = pd.DataFrame({**at, "name": "2781", **TABLE, "marketCap": V, "timestamp": at["timeClose"]})
    return csv(table.iloc[::-1], path / "cmc.csv", sep=";", quoting=1)


def cryptodatadownload(path: Path) -> Path:
    unix = np.where(np.arange(DAYS) < 20, MS // 1000, MS)
    columns = {"unix": unix, "date": WHEN.strftime("%Y-%m-%d 12-AM"), "symbol": "BTC/USDT"}
    prices = {"open": O, "high": H, "low": L, "close": C}
    table = pd.DataFrame({**columns, **prices, "Volume BTC": V, "Volume USDT": V, "tradecount": 3})
    (path / "cdd.csv").write_text("https://www.CryptoDataDownload.com\n" + table.iloc[::-1].to_csv(index=False))
    return path / "cdd.csv"


def kraken(path: Path) -> Path:
    return csv(pd.DataFrame({"t": MS // 1000, **TABLE, "trades": 7}), path / "kraken.csv", header=False)


def alpha_vantage(path: Path) -> Path:
    names = {"open": "1. open", "high": "2. high", "low": "3. low", "close": "4. close", "volume": "5. volume"}
    table = pd.DataFrame({"timestamp": WHEN.strftime("%Y-%m-%d"), **TABLE}).rename(columns=names)
    return csv(table.iloc[::-1], path / "av.csv")


def okx(path: Path) -> Path:
    table = pd.DataFrame({"t": MS, **TABLE, "base": V, "quote": V, "confirm": 1})
    return csv(table.iloc[::-1], path / "okx.csv", header=False)


def polygon(path: Path) -> Path:
    return csv(pd.DataFrame({"v": V, "vw": C, "o": O, "c": C, "h": H, "l": L, "t": MS, "n": 5}), path / "p.csv")


def numbered(path: Path) -> Path:
    """Candles of ccxt that went through pandas without names."""
    pd.DataFrame(np.column_stack([MS, TABLE.to_numpy()])).to_csv(path / "numbered.csv")
    return path / "numbered.csv"


def index_without_name(path: Path) -> Path:
    TABLE.set_axis(WHEN).to_parquet(path / "i.parquet")
    return path / "i.parquet"


def index_of_numbers(path: Path) -> Path:
    TABLE.set_axis(pd.Index(MS, name="timestamp")).to_parquet(path / "i.parquet")
    return path / "i.parquet"


def index_of_texts(path: Path) -> Path:
    TABLE.set_axis(pd.Index(WHEN.strftime("%Y-%m-%d"), name="Date")).to_parquet(path / "i.parquet")
    return path / "i.parquet"


def index_of_symbols(path: Path) -> Path:
    levels = [["BTC"] * DAYS, WHEN]
    TABLE.set_axis(pd.MultiIndex.from_arrays(levels, names=["symbol", "time"])).to_parquet(path / "i.parquet")
    return path / "i.parquet"


def yfinance_by_ticker(path: Path) -> Path:
    tickers().swaplevel(axis=1).to_csv(path / "by.csv")
    return path / "by.csv"


def yfinance_without_names(path: Path) -> Path:
    tickers().rename_axis(columns=[None, None]).to_csv(path / "old.csv")
    return path / "old.csv"


def excel(path: Path) -> Path:
    """A separator named first, a comment, and rows that end in a separator more than the header."""
    lines = yahoo(path).read_text().replace(",", ";").splitlines()
    (path / "excel.csv").write_text("sep=;\n# mine\n" + "\n".join([lines[0], *(f"{line};" for line in lines[1:])]))
    return path / "excel.csv"


def csv(table: pd.DataFrame, path: Path, **how: object) -> Path:
    table.to_csv(path, index=False, **how)
    return path


SOURCES = [
    *(ccxt, ccxt_without_header, yahoo, yfinance_with_zones, yfinance_download, yfinance_parquet, binance),
    *(binance_without_header, binance_parquet, stooq, stooq_bulk, coinmarketcap, cryptodatadownload, kraken),
    *(alpha_vantage, okx, polygon, numbered, index_without_name, index_of_numbers, index_of_texts, index_of_symbols),
    *(yfinance_by_ticker, yfinance_without_names, excel),
]


@pytest.mark.parametrize("write", SOURCES, ids=lambda each: each.__name__)
def test_backtest_and_replay_read_a_source_rightly(tmp_path: Path, write) -> None:  # type: ignore[no-untyped-def]
    source = str(write(tmp_path))
    series, found = read_series(source), read_bars(source)
    np.testing.assert_allclose(series.returns[:, 0], np.diff(np.log(C)), rtol=1e-12)
    for name in ("open", "high", "low", "close"):
        np.testing.assert_allclose(getattr(found, name), TABLE[name], rtol=1e-15)
    first = "2024-10-20" if write is yfinance_with_zones else "2024-12-01"
    np.testing.assert_array_equal(found.day, np.datetime64(first) + np.arange(DAYS))
    np.testing.assert_array_equal(series.dates, found.day[1:])
    assert series.rows_per_year == 365


def test_coingecko_has_prices_only(tmp_path: Path) -> None:
    at = WHEN.strftime("%Y-%m-%d 00:00:00 UTC")
    file = csv(pd.DataFrame({"snapped_at": at, "price": C, "market_cap": V, "total_volume": V}), tmp_path / "gecko.csv")
    np.testing.assert_allclose(read_series(str(file)).returns[:, 0], np.diff(np.log(C)), rtol=1e-12)
    np.testing.assert_allclose(read_bars(str(file)).close, C, rtol=1e-15)


def test_columns_that_hold_no_price_make_no_asset(tmp_path: Path) -> None:
    """The margin of a file with times, opens, volumes and trades is that of its closes."""
    plain = csv(pd.DataFrame({"date": WHEN.strftime("%Y-%m-%d"), "close": C}), tmp_path / "plain.csv")
    rich = csv(pd.DataFrame({"timestamp": MS, **TABLE, "trades": 9}), tmp_path / "rich.csv")
    words = ["--engines", "hs_20", "--window", "20", "--json"]
    told = [RUNNER.invoke(app, ["backtest", "--data", str(file), *words]) for file in (plain, rich)]
    assert [each.exit_code for each in told] == [0, 0]
    assert told[0].stdout == told[1].stdout


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"date": "d", "close": C, "signal": C}, "'signal': not known beside close; drop it, or give --assets close"),
        ({"date": "d", "open": C}, "no column close beside open"),
        ({"date": "d", "stamped": np.arange(DAYS) * 86_400 + 1_600_000_000}, "stamped rises like a time"),
    ],
)
def test_columns_that_are_not_known_are_refused_by_name(tmp_path: Path, columns, told: str) -> None:  # type: ignore[no-untyped-def]
    table = pd.DataFrame({**columns, "date": WHEN.strftime("%Y-%m-%d")})
    with pytest.raises(DataError, match=told):
        read_series(str(csv(table, tmp_path / "a.csv")))


def test_assets_are_named_and_the_remedy_works(tmp_path: Path) -> None:
    table = pd.DataFrame({"date": WHEN.strftime("%Y-%m-%d"), "close": C, "signal": O, "LOW": L})
    file = str(csv(table, tmp_path / "a.csv"))
    assert read_series(file, ["close"]).names == ("close",)
    np.testing.assert_allclose(read_series(file, ["LOW", "signal"]).returns[:, 0], np.diff(np.log(L)), rtol=1e-12)
    with pytest.raises(DataError, match="assets: 'Close' is not one of date, close"):
        read_series(file, ["Close"])


@pytest.mark.parametrize("dates", ["03/01/2024", "1 March 2024", "2024-13-01"])
def test_dates_that_may_be_read_in_two_ways_are_refused_by_row(tmp_path: Path, dates: str) -> None:
    table = pd.DataFrame({"Date": ["2024-02-29", dates, "2024-03-02"], "Close": [1.0, 2.0, 3.0]})
    file = csv(table, tmp_path / "a.csv")
    for read in (read_series, read_bars):
        with pytest.raises(DataError, match=f"row 1: '{dates}' is not a date"):
            read(str(file))


def test_zones_of_several_places_are_refused(tmp_path: Path) -> None:
    """Summer time is one place: yfinance_with_zones is read."""
    for zones in (("Z", "+01:00"), ("-05:00", "+01:00")):
        at = [f"2024-01-0{row + 1} 00:00:00{zone}" for row, zone in enumerate(zones)]
        file = csv(pd.DataFrame({"Date": at, "Close": [1.0, 2.0]}), tmp_path / "zones.csv")
        with pytest.raises(DataError, match="time zones of several places"):
            read_bars(str(file))


def test_several_tickers_are_refused(tmp_path: Path) -> None:
    tickers(("SPY", "QQQ")).to_csv(tmp_path / "two.csv")
    with pytest.raises(DataError, match=r"bars of 2 tickers \(QQQ, SPY\)"):
        read_series(str(tmp_path / "two.csv"))


def text(rows: pd.DataFrame, **how: object) -> str:
    return str(rows.to_csv(index=False, **how))


PLAIN = pd.DataFrame({"Date": WHEN.strftime("%Y-%m-%d"), "Close": C})
MOVED = pd.DataFrame({"t": MS, "open": O, "close": C, "high": H, "low": L, "volume": V})
SEVERAL = pd.concat([PLAIN.assign(Symbol="A"), PLAIN.assign(Symbol="B", Date=PLAIN["Date"].str.replace("20", "30"))])
REFUSED = [
    (text(SEVERAL), "row 60: Symbol 'B' after 'A', 2 in all; a file holds one series"),
    (text(MOVED, header=False), "row 0: no header, so columns are taken for timestamp, open, high, low, close"),
    (text(MOVED[["t", "close", "volume"]], header=False), "no header, and 3 columns .* add a first line of names"),
    (text(PLAIN.assign(Close=[f"{10 * close:,.2f}" for close in C * 10])), "write numbers with a decimal point"),
    (text(PLAIN, sep=";", decimal=","), "row 0: Close is '98,5.*write numbers with a decimal point"),
    (text(PLAIN).replace(".", ","), "row 0: 3 fields, where the header has 2 names"),
    (text(PLAIN.assign(Close=[f"${close:.2f}" for close in C])), "without the sign of a currency"),
    (text(MOVED.rename(columns={"t": "time"})[:5]) + text(MOVED)[:80], "row 5: 't' is not a date"),
    ("Made by me\nNote, of, mine\n" + text(PLAIN.assign(x=1, y=2)), "remove lines that are not of the table"),
]


@pytest.mark.parametrize(("written", "told"), REFUSED)
def test_a_file_that_cannot_be_read_rightly_is_refused(tmp_path: Path, written: str, told: str) -> None:
    (tmp_path / "a.csv").write_text(written)
    with pytest.raises(DataError, match=told):
        read_series(str(tmp_path / "a.csv"))


def test_a_single_column_without_header_loses_no_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text(PLAIN[["Close"]], header=False))
    np.testing.assert_allclose(read_series(str(tmp_path / "a.csv")).returns[:, 0], np.diff(np.log(C)), rtol=1e-12)


def test_bars_of_one_day_are_too_few_for_a_backtest(tmp_path: Path) -> None:
    minutes = pd.date_range("2024-03-01", periods=DAYS, freq="min").astype(str)
    with pytest.raises(DataError, match="1 day is too few"):
        read_series(str(csv(PLAIN.assign(Date=minutes), tmp_path / "a.csv")))


# ── prices at or below zero ──


def spread(tmp_path: Path, name: str, rows: int = 400) -> str:
    level = np.cumsum(np.random.default_rng(2).normal(0, 0.5, rows)) - 2
    days = pd.bdate_range("2020-01-01", periods=rows).strftime("%Y-%m-%d")
    return str(csv(pd.DataFrame({"date": days, name: level}), tmp_path / f"{name}.csv"))


@pytest.mark.parametrize("name", ["spread", "close", "wti_brent"])
def test_a_spread_is_no_series_of_log_returns(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"row 0: {name} is -1\.9\d*, \d+ such in all") as caught:
        read_series(spread(tmp_path, name))
    assert "--returns differences" in str(caught.value)


def test_differences_are_margined_in_quote_currency(tmp_path: Path) -> None:
    """Of normal differences with a deviation of 0.5, 99% is 1.16; ten times the price is ten times the margin."""
    file = spread(tmp_path, "spread", 3000)
    large = pd.read_csv(file)
    large["spread"] *= 10
    means = []
    for path in (file, str(csv(large, tmp_path / "large.csv"))):
        words = ["backtest", "--data", path, "--returns", "differences", "--engines", "hs_500,ewma_97", "--json"]
        done = RUNNER.invoke(app, words)
        assert done.exit_code == 0, done.stderr
        assert "quote currency" in done.stderr
        means.append([each["mean_margin"] for each in json.loads(done.stdout)])
    np.testing.assert_allclose(means[0], 2.326 * 0.5, rtol=0.1)
    np.testing.assert_allclose(means[1], 10 * np.array(means[0]), rtol=1e-6)
    done = RUNNER.invoke(app, ["backtest", "--data", file, "--returns", "differences", "--engines", "engines/scaled"])
    assert (done.exit_code, "in shares of a price" in done.stderr) == (2, True)


# ── gaps and splits ──


def holed(tmp_path: Path, weekdays: bool, days: int) -> str:
    when = pd.bdate_range("2023-01-02", periods=80) if weekdays else pd.date_range("2023-01-02", periods=80)
    table = bars(80).assign(date=when)
    last = pd.Timestamp("2023-02-01")
    table = table[(table["date"] <= last) | (table["date"] >= last + pd.Timedelta(days=days))]
    return str(csv(table.assign(date=table["date"].dt.strftime("%Y-%m-%d")), tmp_path / "holed.csv"))


CASES = [(True, 14, True), (True, 5, False), (False, 14, True), (False, 3, True), (False, 1, False)]


@pytest.mark.parametrize(("weekdays", "days", "told"), CASES)
def test_a_gap_is_named_with_its_dates(tmp_path: Path, weekdays: bool, days: int, told: bool) -> None:
    file = holed(tmp_path, weekdays, days)
    replay = load_run("crash_2008", on_own_data("crash_2008", file)).underlyings
    for notes in (read_series(file).notes, replay_notes(replay)):
        gaps = [line for line in notes if "each passes as one night" in line]
        assert bool(gaps) == told
        assert not told or f"2023-02-01 to 2023-02-{1 + days:02d} ({days} days)" in gaps[0]


def test_a_split_is_adjusted_where_the_file_shows_it(tmp_path: Path) -> None:
    """Five for one on day 30: the plain close falls by about four fifths, and neither run nor backtest sees that."""
    plain = TABLE.assign(close=C, Date=WHEN.strftime("%Y-%m-%d"))
    plain.loc[:29, ["open", "high", "low", "close"]] *= 5
    shown, hidden = csv(plain.assign(**{"Adj Close": C}), tmp_path / "adj.csv"), csv(plain, tmp_path / "raw.csv")
    np.testing.assert_allclose(read_bars(str(shown)).close, C, rtol=1e-12)
    np.testing.assert_allclose(read_bars(str(shown)).open, O, rtol=1e-12)
    np.testing.assert_allclose(read_series(str(shown)).returns[:, 0], np.diff(np.log(C)), rtol=1e-9)
    told = "row 30 (2024-12-31)", "a split: the adjusted move"
    assert any(all(word in line for word in told) for line in read_series(str(shown)).notes)
    assert np.diff(np.log(read_bars(str(hidden)).close)).min() < -1.4
    replay = load_run("crash_2008", on_own_data("crash_2008", str(hidden))).underlyings
    for notes in (read_series(str(hidden)).notes, replay_notes(replay)):
        assert any("looks like a split of 5 for 1" in line for line in notes)


# ── bars shorter than a day ──


def intraday(tmp_path: Path, minutes: int, name: str = "bars.csv") -> tuple[str, pd.DataFrame]:
    """Three days of a market that is open for six and a half hours."""
    dates = ("2024-03-06", "2024-03-07", "2024-03-08")
    days = [pd.date_range(f"{day} 09:30", periods=390 // minutes, freq=f"{minutes}min") for day in dates]
    when = pd.DatetimeIndex(np.concatenate([each.to_numpy() for each in days]))
    table = bars(len(when)).assign(Datetime=when)
    return str(csv(table, tmp_path / name)), table


@pytest.mark.parametrize("minutes", [1, 2, 3, 5, 30])
def test_shorter_bars_are_replayed_at_their_own_times(tmp_path: Path, minutes: int) -> None:
    from sim.prices.path import Outside, exogenous
    from sim.prices.underlying import Underlying
    from sim.rng import Streams

    file, table = intraday(tmp_path, minutes)
    own = Underlying.model_validate({"name": "A", "process": {"kind": "replay", "source": file}})
    found = read_bars(file)
    path = exogenous(Outside([own]), streams=Streams(3), dt=60.0, bars={"A": found})
    by_bar = np.exp(path.x[:, 0]).reshape(-1, minutes)
    np.testing.assert_allclose(by_bar[:, -1], table["close"], rtol=1e-12)
    assert (by_bar.max(axis=1) <= table["high"] * (1 + 1e-12)).all()
    assert (by_bar.min(axis=1) >= table["low"] * (1 - 1e-12)).all()
    if minutes > 1:
        np.testing.assert_allclose(by_bar[:, 0], table["open"], rtol=1e-12)
    if minutes > 3:
        np.testing.assert_allclose(by_bar.max(axis=1), table["high"], rtol=1e-12)
        np.testing.assert_allclose(by_bar.min(axis=1), table["low"], rtol=1e-12)
    stamps = ["2024-03-06T09:30:00", "2024-03-06T15:59:00", "2024-03-07T09:30:00"]
    assert [str(path.stamp[row]) for row in (0, 389, 390)] == stamps
    assert own.process.clock(found) == 252 * 23_400
    told = f"dt: 7 s does not divide the bars of '{file}', which are of {60 * minutes} s"
    with pytest.raises(ConfigError, match=told):
        exogenous(Outside([own]), streams=Streams(3), dt=7.0, bars={"A": found})


@pytest.mark.parametrize(
    ("when", "remedy"),
    [
        (pd.date_range("2024-03-06 09:00", periods=400, freq="s"), "days_per_year=78840"),
        (pd.date_range("2024-03-04", periods=96, freq="h"), "days_per_year=365"),
        (pd.date_range("2024-03-04", periods=120, freq="h"), "days_per_year=365"),
        (pd.date_range("2024-03-04", periods=168, freq="h"), ""),
        (pd.bdate_range("2024-03-04", periods=12), ""),
    ],
)
def test_a_file_too_short_to_show_its_market_open_is_told(tmp_path: Path, when: pd.DatetimeIndex, remedy: str) -> None:
    """The remedy makes a year the 365 days of a market that never closes."""
    file = str(csv(pd.DataFrame({"date": when.astype(str), "close": bars(len(when))["close"]}), tmp_path / "a.csv"))
    words = on_own_data("crash_2008", file)
    replay = load_run("crash_2008", words).underlyings
    told = [line for line in replay_notes(replay) if "for a market that never closes" in line]
    assert bool(told) == bool(remedy)
    if remedy:
        change = told[0].split("set ")[1].split()[0]
        assert change == f"underlyings.0.process.{remedy}"
        assert load_run("crash_2008", [*words, change]).underlyings[0].process.clock(read_bars(file)) == 365 * 86_400


def test_a_backtest_of_shorter_bars_is_by_day(tmp_path: Path) -> None:
    hours = pd.date_range("2024-01-01", periods=24 * DAYS, freq="h")
    prices = np.repeat(C.to_numpy(), 24) * np.tile(np.exp(np.linspace(-0.1, 0, 24)), DAYS)
    file = csv(pd.DataFrame({"timestamp": hours, "close": prices}), tmp_path / "hours.csv")
    series = read_series(str(file))
    np.testing.assert_allclose(series.returns[:, 0], np.diff(np.log(C)), rtol=1e-12)
    assert any("the last price of each date" in line for line in series.notes)


# ── a packaged run on own data, funding from a file ──


def test_a_run_follows_a_users_file(tmp_path: Path) -> None:
    when = pd.bdate_range("2023-02-24", periods=DAYS).strftime("%Y-%m-%d")
    file = str(csv(TABLE.assign(date=when), tmp_path / "oil.csv"))
    config = load_run("crash_2008", on_own_data("crash_2008", file, quick=True))
    (replay,) = config.underlyings
    assert (replay.name, replay.process.source, str(replay.process.end)) == ("oil", file, "2023-03-01")
    assert [i.name for venue in config.venues for i in venue.instruments] == ["OIL-PERP", "OIL-SPOT"]
    perpetual, old = config.venues[0].instruments[0], load_run("crash_2008").venues[0].instruments[0]
    assert perpetual.multiplier(2) == old.multiplier(2)
    assert 0.25 < (perpetual.tick / C[0]) / (old.tick / 1192.7) < 4
    assert perpetual.max_price >= 2 * H.max()
    whole = load_run("crash_2008", [*on_own_data("crash_2008", file, ["seed=4"]), "seed=4"])
    assert (whole.underlyings[0].process.end, whole.seed, whole.name) == (None, 4, "crash_2008-oil")
    over = load_run("baseline", on_own_data("baseline", str(ccxt(tmp_path))))
    assert (over.underlyings[0].process.day, over.underlyings[0].process.days_per_year) == (86_400, 365)


def test_quick_leaves_days_that_a_user_sets() -> None:
    own = ["source=arch:nasdaq", "start=2010-01-04", "end=2010-01-08"]
    own = [f"underlyings.0.process.{each}" for each in own]
    assert str(load_run("crash_2008", own, quick=True).underlyings[0].process.end) == "2010-01-08"


@pytest.mark.parametrize("dated", [False, True])
def test_funding_rates_come_from_a_file(tmp_path: Path, dated: bool) -> None:
    """What is paid and when; longs pay shorts rate x notional at the mark."""
    from experiments.simulation import simulate

    times = ["2008-09-15 09:40", "2008-09-15 09:50", "2008-09-15 09:50:30"] if dated else [600, 1200, 1230]
    file = csv(pd.DataFrame({"time": times, "rate": [0.001, -0.002, 0.0005]}), tmp_path / "rates.csv")
    words = [f"venues.0.funding={{kind: recorded, source: {file}}}", "duration=1800", "populations.0.count=60"]
    config = load_run("crash_2008", words, quick=True)
    assert config.venues[0].funding.since == ("1970" if dated else "start")
    steps = simulate(config)["steps"]
    paid = steps[steps["instrument"] == "SPX-PERP"].set_index("step")["funding"]
    assert paid[paid.diff() != 0].to_dict() == {1: 0.0, 10: 0.001, 20: -0.002, 21: 0.0005}


AT = [1704067200003, 1704096000011, 1704124800000]
ISO = ["2024-01-01T00:00:00Z", "2024-01-01T08:00:00Z", "2024-01-01T16:00:00Z"]
PAID = [0.0001, -0.0002, 0.0003]


@pytest.mark.parametrize(
    "columns",
    [
        {"calc_time": AT, "funding_interval_hours": 8, "last_funding_rate": PAID},
        {"timestamp": AT, "datetime": ISO, "fundingRate": PAID, "symbol": "BTC/USDT:USDT"},
        {"instId": "A", "fundingRate": [9.0] * 3, "realizedRate": PAID, "fundingTime": AT},
        {"Time": ISO, "Symbol": "A", "Funding Rate": ["0.0100%", "-0.0200%", "0.0300%"]},
        {"coin": "BTC", "fundingRate": PAID, "premium": 0.0, "time": AT},
    ],
)
def test_rates_are_read_as_venues_write_them(tmp_path: Path, columns: dict[str, object]) -> None:
    """Binance (some milliseconds late), ccxt with two times, OKX with what was paid, percent; newest first too."""
    table = pd.DataFrame(columns)
    for rows in (table, table[::-1]):
        since, rates = read_rates(str(csv(rows, tmp_path / "r.csv")))
        assert since == "1970"
        np.testing.assert_allclose(rates, list(zip([1704067200 + 28800 * n for n in range(3)], PAID, strict=True)))


def test_missing_rates_are_told_and_dates_are_no_seconds(tmp_path: Path) -> None:
    file = csv(pd.DataFrame({"time": [60, 120, 180, 480], "rate": 0.0001}), tmp_path / "r.csv")
    told, short = cautions(load_run("small_crash", [f"venues.0.funding={{kind: recorded, source: {file}}}"]))
    assert "rates end at 480 s, the run at" in short
    assert "1 gap of more than 90 s, the first after rates.2 (300 s)" in told
    since, ((first, _), *_) = read_rates(str(csv(pd.DataFrame({"date": [20240101], "rate": 0.1}), tmp_path / "d.csv")))
    assert (since, first) == ("1970", 1704067200)


def test_bad_funding_files_are_named(tmp_path: Path) -> None:
    for table, told in (
        ({"time": [60, 60], "rate": [0.1, 0.1]}, "row 1: time '60' does not come after"),
        ({"time": [60, 120], "rate": [0.1, "x"]}, "row 1: rate 'x' is not a number"),
        ({"time": [60, 120], "paid": [0.1, 0.1]}, "no column of rates among time, paid"),
    ):
        with pytest.raises(DataError, match=told):
            read_rates(str(csv(pd.DataFrame(table), tmp_path / "r.csv")))
    csv(pd.DataFrame({"time": [60], "rate": [3.0]}), tmp_path / "r.csv")
    with pytest.raises(ConfigError, match="a rate is a share of notional below 1"):
        load_run("small_crash", [f"venues.0.funding={{kind: recorded, source: {tmp_path / 'r.csv'}}}"])


def test_amounts_within_rounding_are_whole() -> None:
    from sim.instruments import grains

    assert grains(0.1 + 0.2, 0.01) == 30
    assert grains(1.1 * 3, 0.1) == 33
    assert grains(-(0.1 + 0.7), 0.2) == -4
    assert grains(0.305, 0.01).denominator == 2
    assert math.isclose(grains(1e-8, 1e-8), 1)


def test_a_sweep_tells_of_its_data_once(tmp_path: Path) -> None:
    from experiments.sweep.config import load_study
    from experiments.sweep.plan import notices, plan

    file = holed(tmp_path, True, 14)
    words = [f"underlyings.0.process.{each}" for each in (f"source={file}", "start=null", "end=null")]
    study = load_study("real_crash", words)
    units = plan(study)
    assert len(units) > 40
    (told,) = notices(study, units)
    assert "2023-02-01 to 2023-02-15 (14 days); each passes as one night" in str(told)
