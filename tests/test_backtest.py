"""The command ``backtest`` and its parts: engines by name, series, reports, and what it says to bad input."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.backtest import judge
from experiments.backtest_engines import Scope, engines_of, with_measure
from experiments.cli import app
from experiments.series import Series, read_series
from sim.errors import ConfigError, DataError
from sim.margin.walk import walk

RUNNER = CliRunner()
TESTS = ("kupiec_pof", "kupiec_tuff", "christoffersen_independence", "christoffersen_conditional")


def frame(rows: int = 400, columns: int = 1, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(0.01 * rng.standard_t(4, (rows, columns)), axis=0))
    table = pd.DataFrame(prices, columns=[f"asset{number}" for number in range(columns)])
    table.insert(0, "date", pd.bdate_range("2015-01-01", periods=rows).strftime("%Y-%m-%d"))
    return table


def saved(tmp_path: Path, table: pd.DataFrame, name: str = "series.csv") -> str:
    path = tmp_path / name
    table.to_csv(path, index=False) if name.endswith("csv") else table.to_parquet(path)
    return str(path)


def invoke(*words: str) -> tuple[int, str, str]:
    result = RUNNER.invoke(app, ["backtest", *words])
    return result.exit_code, result.stdout, result.stderr


def test_json_has_one_object_per_engine(tmp_path: Path) -> None:
    code, out, _ = invoke(
        "--data", saved(tmp_path, frame()), "--engines", "hs_100,ewma_94,flat", "--window", "100", "--json"
    )
    told = json.loads(out)
    assert code == 0
    assert [each["name"] for each in told] == ["hs_100", "ewma_94", "flat"]
    for each in told:
        assert 0 < each["mean_margin"] < 1 <= each["peak_to_trough"]
        assert each["breach_rate"] == each["breaches"] / each["trials"]
        assert each["max_rise_30d"] >= each["max_rise_30d_stressed"] >= 0
        for test in (*TESTS, "acerbi_szekely_z2", "traffic_light"):
            assert 0 <= each[test]["p_value"] <= 1
            assert np.isfinite(each[test]["statistic"])
    assert [each["benchmark"] for each in told] == [False, False, True]


def test_a_folder_holds_table_latex_json_and_figure(tmp_path: Path) -> None:
    source, out = saved(tmp_path, frame(), "series.parquet"), tmp_path / "result"
    arguments = ("--data", source, "--engines", "hs_100,fhs_94", "--window", "100", "--out", str(out))
    code, printed, _ = invoke(*arguments)
    assert (code, printed.strip().splitlines()[-1]) == (0, str(out))
    assert {path.name for path in out.iterdir()} == {
        "backtest.json",
        "backtest.csv",
        "backtest.tex",
        "figures",
        "manifest.json",
    }
    assert {path.suffix for path in (out / "figures").iterdir()} == {".pdf", ".png", ".csv"}
    table = pd.read_csv(out / "backtest.csv")
    assert table["kupiec_pof_p_value"].between(0, 1).all()
    drawn = pd.read_csv(out / "figures" / "margins.csv")
    assert drawn.groupby("engine")["breach"].sum().to_dict() == dict(zip(table["name"], table["breaches"], strict=True))
    assert (drawn["breach"] == (drawn["loss"] > drawn["margin"])).all()
    assert r"\toprule" in (out / "backtest.tex").read_text()
    code, _, err = invoke(*arguments)
    assert (code, "--overwrite" in err) == (2, True)


def test_columns_are_a_portfolio() -> None:
    """Losses and margins of the weighted sum, as shares of the gross: what offsets asks less, what adds up the same."""
    rng = np.random.default_rng(2)
    one = 0.01 * rng.standard_t(5, 300)
    pair = Series(("a", "b"), np.empty(0, dtype="datetime64[D]"), np.column_stack([one, one]))
    engines = engines_of(["hs_100", "ewma_94", "normal_100", "fhs_94"], Scope(100))
    hedged = judge(engines, pair, window=100, weights=[3, -1])
    alone = judge(engines, pair._replace(names=("a",), returns=one[:, None]), window=100)
    same = judge(engines, pair, window=100, weights=[2, 1])
    for half, single, both in zip(hedged, alone, same, strict=True):
        np.testing.assert_allclose(half.margin, single.margin / 2, rtol=1e-6)
        np.testing.assert_allclose(both.margin, single.margin, rtol=1e-6)
        np.testing.assert_allclose(both.lost, single.lost, rtol=1e-6)
    with pytest.raises(DataError, match="never moves"):
        judge(engines, pair, window=100, weights=[1, -1])


def test_levels_and_horizons_multiply(tmp_path: Path) -> None:
    code, out, _ = invoke(
        *("--data", saved(tmp_path, frame(900)), "--engines", "hs_100", "--window", "100"),
        *("--confidence", "0.95,0.99", "--horizon", "1,4", "--json"),
    )
    told = json.loads(out)
    assert code == 0
    assert [each["name"] for each in told] == ["hs_100@0.95/1d", "hs_100@0.95/4d", "hs_100@0.99/1d", "hs_100@0.99/4d"]
    assert told[1]["trials"] == len(range(100, 896, 4))
    assert told[1]["mean_margin"] == pytest.approx(2 * told[0]["mean_margin"])
    assert told[0]["breach_rate"] > told[2]["breach_rate"]


def test_margins_up_to_a_day_do_not_know_it() -> None:
    """Days after it scrambled: no engine moves, but flat, which is no engine."""
    names = ["ewma_94", "hs_100", "fhs_94_stressed", "fhs_94_es", "t_94", "normal_100", "garch_100", "flat"]
    rng = np.random.default_rng(5)
    returns = 0.01 * rng.standard_t(5, (260, 1))
    later = returns.copy()
    later[220:] = 3 * rng.permutation(later[220:])
    days = np.empty(0, dtype="datetime64[D]")
    engines = engines_of(names, Scope(100))
    pairs = (judge(engines, Series(("a",), days, each), window=100) for each in (returns, later))
    for one, other in zip(*pairs, strict=True):
        known = 220 - one.first + 1
        same = np.array_equal(one.margin[:known], other.margin[:known])
        assert same == (one.engine.rule is not None), one.engine.name


def test_shortfall_of_an_engine_is_no_less_than_its_value_at_risk() -> None:
    series = Series(("a",), np.empty(0, dtype="datetime64[D]"), 0.01 * np.random.default_rng(1).normal(0, 1, (260, 1)))
    var, es = judge(engines_of(["fhs_94", "fhs_94_es"], Scope(100)), series, window=100)
    assert (es.margin >= var.margin).all()
    assert with_measure(es.engine.rule, "var") == var.engine.rule  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.assign(asset0=np.where(t.index == 7, np.nan, t["asset0"])), "row 7: asset0 is 'nan'"),
        (lambda t: t.assign(asset0=100.0), "asset0 never moves"),
        (lambda t: t.iloc[::-1], "does not come after"),
        (lambda t: t.iloc[:50], "too little history for its look-back of 100"),
        (lambda t: t.assign(asset0=t["asset0"].astype(str) + "x"), "is '"),
        (lambda t: t.assign(date="soon"), "'soon' is not a date"),
        (lambda t: t[["date"]], "no column of prices beside date"),
        (lambda t: t.assign(asset0=-t["asset0"]), "must stay above 0"),
        (lambda t: t.assign(asset0=np.where(t.index == 7, 0, t["asset0"] / 100)), "row 7: asset0 is 0, 1 such in all"),
        (lambda t: t.assign(asset0=1 + 1e-15 * t.index), "stand still"),
        (lambda t: t.assign(other=t["asset0"].diff().fillna(0) / 100), "all columns must be prices"),
    ],
)
def test_bad_series_are_told(tmp_path: Path, change, told: str) -> None:  # type: ignore[no-untyped-def]
    source = saved(tmp_path, change(frame()))
    code, out, err = invoke("--data", source, "--engines", "hs_100", "--window", "100")
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--engines", "fsh_97"), "did you mean 'fhs_97'"),
        (("--engines", "hs_0"), "'hs_0' looks back 0 days, must be at least 10: write hs_10"),
        (("--engines", ","), "none given"),
        (("--confidence", "99"), "--confidence: '99'"),
        (("--confidence", ""), "--confidence: ''"),
        (("--horizon", "0"), "--horizon: '0'"),
        (("--weights", "1,2"), "must be one each of asset0"),
        (("--engines", "nowhere.yaml"), "no such file"),
        (("--engines", "nowhere.npz"), "engines: trained: nowhere.npz: cannot be read"),
    ],
)
def test_bad_options_are_told(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    code, _, err = invoke("--data", saved(tmp_path, frame()), "--window", "100", "--engines", "hs_100", *words)
    assert (code, told in err) == (2, True), err


def test_no_data_and_no_such_data_are_told() -> None:
    assert "--data" in invoke()[2]
    assert "did you mean 'sp500'" in invoke("--data", "arch:sp50")[2]


def test_returns_and_prices_are_told_apart(tmp_path: Path) -> None:
    table = frame(columns=2)
    logs = np.log(table[["asset0", "asset1"]]).diff().dropna()
    prices, returns = read_series(saved(tmp_path, table)), read_series(saved(tmp_path, logs, "returns.parquet"))
    np.testing.assert_allclose(prices.returns, returns.returns, rtol=1e-9)
    assert (prices.dates.size, returns.dates.size) == (399, 0)


def test_days_may_have_a_time_zone_or_be_numbers(tmp_path: Path) -> None:
    """Both are the days that they say, without a word on standard error."""
    table = frame()
    days = pd.to_datetime(table["date"])
    plain = read_series(saved(tmp_path, table))
    for other, name in ((days.dt.tz_localize("Asia/Tokyo"), "zone.parquet"), (days.dt.strftime("%Y%m%d"), "days.csv")):
        np.testing.assert_array_equal(read_series(saved(tmp_path, table.assign(date=other), name)).dates, plain.dates)


def test_an_engine_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "engine.yaml"
    path.write_text("requirement: {kind: tail, model: {kind: historical, window: 8640000}}\n")
    ours, named = judge(
        engines_of([str(path), "hs_100"], Scope(100)), read_series(saved(tmp_path, frame())), window=100
    )
    np.testing.assert_array_equal(ours.margin, named.margin)
    path.write_text(path.read_text() + "kappa: 0.2\nscale: 1.5\n")
    (turned,) = judge(engines_of([str(path)], Scope(100)), read_series(saved(tmp_path, frame())), window=100)
    np.testing.assert_allclose(turned.margin, 1.2 * named.margin, rtol=1e-12)


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(ConfigError):
        engines_of([], Scope())
    series = Series(("a",), np.empty(0, dtype="datetime64[D]"), np.ones((20, 1)))
    with pytest.raises(DataError):
        judge(engines_of(["garch_100"], Scope()), series, window=5)


def test_an_engine_short_of_history_is_a_row_beside_the_others(tmp_path: Path) -> None:
    """399 returns: a look-back of 100 is judged, one of 450 lacks 53 (and two to judge)."""
    source, out = saved(tmp_path, frame()), tmp_path / "result"
    words = ("--data", source, "--engines", "hs_450,hs_100", "--window", "100")
    code, printed, err = invoke(*words, "--out", str(out))
    assert code == 0
    assert "hs_450: not judged, history is 53 returns too short for its look-back of 450 and 2 to judge" in printed
    assert pd.read_csv(out / "backtest.csv").set_index("name")["lacking_history"].to_dict()["hs_450"] == 53
    code, printed, err = invoke(*words, "--json")
    short, judged = json.loads(printed)
    assert (code, short["lacking_history"], short["mean_margin"], short["kupiec_pof"]) == (0, 53, None, None)
    (alone,) = json.loads(invoke("--data", source, "--engines", "hs_100", "--window", "100", "--json")[1])
    assert judged == alone
    assert "hs_450" in err
    assert invoke("--data", source, "--engines", "hs_450")[0] == 2


@pytest.mark.parametrize(
    ("engine", "margin"), [("binance", 1 / 125), ("bybit", 1 / 100), ("hyperliquid", 1 / 40), ("deribit", 1.3 * 0.16)]
)
def test_a_ladder_of_sizes_is_judged_by_its_least_bracket(engine: str, margin: float) -> None:
    """The book is worth 10,000, not a trillion: the margin is what a venue asks of a small account."""
    rule = engines_of([f"engines/{engine}"], Scope())[0].rule
    assert rule is not None
    returns = np.random.default_rng(1).normal(0, 0.01, (30, 1))
    path = walk(rule, returns, dt=86_400, lots=np.array([1_000_000]))
    np.testing.assert_allclose(path, margin, rtol=1e-6)
