"""Real days, from the package and from files, to the replayed path (IDX-4)."""

import datetime

import numpy as np
import pandas as pd
import pytest

from experiments.price_files.bars import read_bars, read_replays
from sim.errors import DataError
from sim.numerics.rng import RandomStreams
from sim.prices.path import ExogenousInputs, draw_exogenous_path
from sim.prices.underlying import Underlying

CRASH = datetime.date(2008, 9, 15), datetime.date(2008, 10, 15)


def spx(**dates):
    return Underlying.model_validate(
        {"name": "SPX", "process": {"kind": "replay", "source": "arch:sp500", **dates}}
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_the_crash_of_2008_meets_every_open_high_low_and_close(seed):
    world = ExogenousInputs([spx(start=CRASH[0], end=CRASH[1])])
    bars = read_replays(world.underlyings)
    found = draw_exogenous_path(world, streams=RandomStreams(seed), dt=60.0, bars=bars)
    real = bars["SPX"]
    assert (len(real.day), str(real.day[0]), str(real.day[-1])) == (23, "2008-09-15", "2008-10-15")
    by_day = np.exp(found.log_price[:, 0]).reshape(23, 390)
    np.testing.assert_allclose(by_day[:, 0], real.open, rtol=1e-12)
    np.testing.assert_allclose(by_day.max(axis=1), real.high, rtol=1e-12)
    np.testing.assert_allclose(by_day.min(axis=1), real.low, rtol=1e-12)
    np.testing.assert_allclose(by_day[:, -1], real.close, rtol=1e-12)
    assert real.close[10] == 1106.420044  # 29 September: -8.8%
    gap = found.log_price[390::390, 0] - found.log_price[389:-1:390, 0]
    np.testing.assert_allclose(gap, np.log(real.open[1:] / real.close[:-1]), atol=1e-12)


def test_oil_has_closes_only_and_its_holidays_are_dropped():
    bars = read_bars("arch:wti", *CRASH)
    assert np.isnan(bars.open).all()
    assert not bars.has_ranges
    assert np.isfinite(bars.close).all()


def test_stocks_and_oil_replay_together_on_common_days():
    oil = Underlying.model_validate(
        {"name": "WTI", "process": {"kind": "replay", "source": "arch:wti"}}
    )
    bars = {"SPX": read_bars("arch:sp500", *CRASH), "WTI": read_bars("arch:wti", *CRASH)}
    world = ExogenousInputs([spx(), oil], [[1, 0.4], [0.4, 1]])
    assert draw_exogenous_path(
        world, streams=RandomStreams(0), dt=60.0, bars=bars
    ).log_price.shape == (23 * 390, 2)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_give_the_bars_they_were_written_from(tmp_path, suffix):
    real = read_bars("arch:sp500", *CRASH)
    columns = {
        "Date": real.day,
        "CLOSE": real.close,
        "Open": real.open,
        "high": real.high,
        "Low": real.low,
        "Volume": 1,
    }
    file = tmp_path / f"bars.{suffix}"
    frame = pd.DataFrame(columns)
    _ = frame.to_csv(file, index=False) if suffix == "csv" else frame.to_parquet(file)
    assert read_bars(str(file)).digest == real.digest
    assert len(read_bars(str(file), datetime.date(2008, 10, 1)).day) == 11


def test_a_parquet_file_may_keep_its_days_in_the_index(tmp_path):
    days = pd.date_range("2020-01-01", periods=3, name="Date")
    pd.DataFrame({"Close": [1.0, 2.0, 3.0]}, index=days).to_parquet(tmp_path / "bars.parquet")
    np.testing.assert_array_equal(read_bars(str(tmp_path / "bars.parquet")).close, [1, 2, 3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "date,close\n2020-01-01,1\n2020-01-02,\n",
            r"row 1 \(2020-01-02\): close nan must be a price above 0",
        ),
        ("date,close\n2020-01-01,1\n2020-01-02,free\n", "row 1: close 'free' is not a number"),
        ("date,close\nyesterday,1\n", "row 0: 'yesterday' is not a date"),
        ("date,close\n", "0 rows"),
        ("", "is empty, a header and rows are needed"),
        ("day,close\n2020-01-01,1\n", "no column of times among day, close; one is needed"),
        ("date,price\n2020-01-01,1\n", "no column 'close' among date, price; one is needed"),
        (
            "date,open,close\n2020-01-01,1,1\n",
            "no column high, low; open, high and low go together",
        ),
        ("date,close\n2020-01-02,1\n2020-01-01,1\n", "days must increase"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    file = tmp_path / "bars.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_bars(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("arch:sp50", r"'sp50' is not one of sp500, nasdaq, wti, vix \(did you mean 'sp500'\?\)"),
        ("arch:gold", "use one of them"),
        ("nowhere.csv", "no such file"),
        ("bars.xlsx", "bars.xlsx: neither a .csv or .parquet file nor arch:NAME"),
    ],
)
def test_unknown_sources_are_named(source, message):
    with pytest.raises(DataError, match=message):
        read_bars(source)


def test_a_span_without_days_is_named():
    with pytest.raises(
        DataError, match="no day from 2030-01-01 to the last; it has 1999-01-04 to 2018-12-31"
    ):
        read_bars("arch:sp500", datetime.date(2030, 1, 1))
