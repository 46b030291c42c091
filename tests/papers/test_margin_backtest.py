"""Procyclicality and coverage of margin on the S&P 500, 1999-2018, as published (targets A6)."""

import json

import numpy as np
import pandas as pd
import pytest
from papers.plain_a6 import table as plain_table

from experiments.backtest.coverage import EngineBacktest, backtest_engines
from experiments.backtest.engines import PUBLISHED_ENGINES, EngineDefaults, parse_engines
from experiments.backtest.report import format_json, format_text
from experiments.price_files.return_series import ReturnSeries, read_return_series

PRINTED = {
    "ewma_97": (12.8, 0.060, 0.0242, 0.0203),
    "hs_500": (4.2, 0.022, 0.0302, 0.0161),
    "fhs_97": (13.4, 0.077, 0.0289, 0.0132),
    "fhs_stressed": (5.8, 0.073, 0.0458, 0.0018),
}
"""Peak over trough, largest rise over 30 days, mean margin, share of days with a breach."""


def agrees(judged: EngineBacktest) -> None:
    swing, rise, mean, breach = PRINTED[judged.engine.name]
    figures = judged.figures
    assert figures["peak_to_trough"] == pytest.approx(
        swing, rel=0.012
    )  # printed to three digits, or two
    assert figures["max_rise_30d"] == pytest.approx(rise, abs=0.0006)
    assert figures["mean_margin"] == pytest.approx(mean, rel=0.01)
    assert figures["breach_rate"] == pytest.approx(breach, abs=0.0005)


def test_two_printed_rows() -> None:
    names = ("ewma_97", "fhs_97")
    for judged in backtest_engines(
        parse_engines(names, EngineDefaults()), read_return_series("arch:sp500"), window=500
    ):
        agrees(judged)


@pytest.mark.slow
def test_the_whole_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed rows, and robust orderings: largest swings, coverage, cost of tools."""
    series = read_return_series("arch:sp500")
    table = backtest_engines(parse_engines(PUBLISHED_ENGINES, EngineDefaults()), series, window=500)
    alike(table, series.returns[:, 0])
    with capsys.disabled():
        print(f"\n{format_text(table)}")
    told = {each["name"]: each for each in json.loads(format_json(table))}
    assert tuple(told) == PUBLISHED_ENGINES
    for judged in table:
        if judged.engine.name in PRINTED:
            agrees(judged)
    swing = {name: each["peak_to_trough"] for name, each in told.items()}
    assert (
        swing["fhs_97"] > swing["ewma_97"] > swing["ewma_99"] > swing["hs_500"] > swing["flat"] == 1
    )
    assert (
        min(("ewma_97", "ewma_99", "hs_500", "fhs_97"), key=lambda name: told[name]["breach_rate"])
        == "fhs_97"
    )
    for tool in ("fhs_floor", "fhs_stressed", "fhs_buffer"):
        assert swing[tool] < swing["fhs_97"]
        assert told[tool]["mean_margin"] > told["fhs_97"]["mean_margin"]
    assert (told["fhs_floor"]["trials"], told["fhs_97"]["trials"]) == (4031, 4530)


def alike(
    table: list[EngineBacktest], returns: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> None:
    """Every row as worked out once more, in plain pandas, from the published conventions alone."""
    expected = plain_table(pd.Series(returns))
    assert [each.engine.name for each in table] == list(expected.index)
    for judged in table:
        for key, value in expected.loc[judged.engine.name].items():
            assert judged.figures[key] == pytest.approx(value, rel=1e-9), (judged.engine.name, key)


def test_every_row_is_what_plain_pandas_makes_of_the_conventions() -> None:
    rng = np.random.default_rng(6)
    size = 0.01 * np.exp(0.5 * np.cumsum(0.1 * rng.standard_normal(1300)))
    returns = size * rng.standard_t(4, 1300)
    series = ReturnSeries(("a",), np.empty(0, dtype="datetime64[D]"), returns[:, None])
    alike(
        backtest_engines(parse_engines(PUBLISHED_ENGINES, EngineDefaults()), series, window=500),
        returns,
    )
