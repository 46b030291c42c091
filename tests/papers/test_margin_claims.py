"""Claims on risk-based margin, measured: coverage on GARCH data, steadying tools, no look-ahead."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from papers import crash
from typer.testing import CliRunner

from experiments.backtest.coverage import find_first_row
from experiments.backtest.engines import DAY, EngineDefaults, parse_engines
from experiments.cli.app import app
from experiments.price_files.return_series import ReturnSeries, read_return_series
from sim.config import MarketConfig
from sim.margin.base import RequirementComponent
from sim.margin.engine import EngineConfig
from sim.margin.learned.learned import LearnedMargin, LearnedRequirement
from sim.margin.probe_portfolio import build_one_lot_accounts
from sim.margin.tail.margin_path import (
    build_perpetuals,
    compute_margin_path,
    compute_rate_path,
    iterate_views,
)
from sim.margin.tail.models.base import SampleForecast, TailSpec
from sim.margin.tail.risk_measures import measure_sample_tail
from sim.margin.tail.tail import TailMargin, TailRisk
from sim.margin.tiers.tiered import TieredRequirement
from sim.metrics import coverage, procyclicality
from sim.reading.loading import load_config
from sim.reading.packaged import list_packaged
from sim.types import F8, Contracts, Exposure, Margins, MarketView

NO_DAYS = np.empty(0, dtype="datetime64[D]")


@cache
def garch(rows: int, seed: int) -> F8:
    """Simulate GARCH(1,1) with t innovations of 5 degrees: 1% a day, persistence 0.98."""
    rng = np.random.default_rng(seed)
    noise, variance = rng.standard_t(5, rows) * np.sqrt(3 / 5), 1e-4
    returns = np.empty(rows)
    for t in range(rows):
        returns[t] = np.sqrt(variance) * noise[t]
        variance = 2e-6 + 0.08 * returns[t] ** 2 + 0.90 * variance
    return returns


def walked(name: str, returns: F8, window: int = 500) -> tuple[F8, int]:
    """Margins of an engine by name before each row, and the row from which it is judged."""
    (engine,) = parse_engines([name], EngineDefaults(window))
    assert engine.rule is not None
    return compute_margin_path(engine.rule, returns, dt=DAY), find_first_row(engine, window)


def test_fhs_covers_garch_data_where_a_normal_ewma_does_not() -> None:
    """4,000 days at 99%: 40 breaches are expected, Kupiec's test accepts 29 to 52 at 5%."""
    returns = garch(4500, seed=3)[:, None]
    found = {}
    for name in ("ewma_97", "fhs_97"):
        margin, first = walked(name, returns)
        found[name] = int((-returns[first:, 0] > margin[first:]).sum())
    low, high = coverage.find_accepted_range(4000, 0.01)
    assert (low, high) == (28, 53)
    assert low < found["fhs_97"] < high, found
    assert coverage.run_proportion_test(4000, found["ewma_97"], 0.01).is_rejected(0.99), found


def simulated() -> ReturnSeries:
    """A crisis after the look-back: a buffer is used only if margin passes its own 90%."""
    return ReturnSeries(("garch",), NO_DAYS, garch(1800, seed=1)[:, None])


SERIES = {
    "sp500": lambda: read_return_series("arch:sp500"),
    "nasdaq": lambda: read_return_series("arch:nasdaq"),
    "garch": simulated,
}


def steadied(base: str, series: ReturnSeries) -> None:
    """Each tool against its base, over the days on which both are judged."""
    plain, _ = walked(base, series.returns)
    for tool in ("floor", "stressed", "buffer"):
        margin, first = walked(f"{base}_{tool}", series.returns)
        own, other = plain[first:], margin[first:]
        assert procyclicality.compute_peak_to_trough(
            other
        ) < 0.95 * procyclicality.compute_peak_to_trough(own), tool
        assert other.mean() > 1.02 * own.mean(), tool


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in list(SERIES)[:2]), "garch"]
)
def test_every_tool_lowers_the_swing_and_costs_margin(name: str) -> None:
    steadied("ewma_97", SERIES[name]())


@pytest.mark.slow
@pytest.mark.parametrize("name", SERIES)
def test_every_tool_steadies_filtered_simulation_too(name: str) -> None:
    steadied("fhs_97", SERIES[name]())


PRESETS = [name for name in list_packaged() if name.startswith("engines/")]


def no_look_ahead(rule: RequirementComponent) -> None:
    """Scrambling and raising rows from t on moves no margin in force up to t."""
    rows = 0.004 * np.random.default_rng(1).standard_t(4, (430, 1))
    later = rows.copy()
    later[400:] = -5 * np.random.default_rng(2).permutation(later[400:])
    one, other = (compute_rate_path(rule, each, dt=900.0) for each in (rows, later))
    np.testing.assert_array_equal(one[:401], other[:401])
    if np.unique(np.round(one[:401], 12)).size > 10:  # it learns
        assert (one[401:] != other[401:]).any()


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_looks_ahead(name: str) -> None:
    no_look_ahead(load_config(name, [], EngineConfig).requirement)


def test_the_detector_sees_presets_that_learn() -> None:
    learning = {
        name for name in PRESETS if load_config(name, [], EngineConfig).requirement.look_back() > 0
    }
    assert learning >= {"engines/fhs_var", "engines/fhs_es", "engines/learned"}


class Peeking(TieredRequirement):
    """Requires three times the next move, read from the memory under its input."""

    def bind(self, contracts: Contracts, unit: int) -> "PeekingMargin":  # type: ignore[override]
        return PeekingMargin()


class PeekingMargin:
    asked = 0.0

    def observe(self, market: MarketView) -> None:
        everything, now = market.returns.base, len(market.returns)
        self.asked = (
            3 * abs(float(everything[now, 0]))
            if everything is not None and now < len(everything)
            else 0.0
        )

    def compute_margins(self, book: Exposure) -> Margins:
        kept = self.asked * np.abs(book.position_value()).sum(axis=1)
        return Margins(kept, kept)


def test_the_detector_catches_who_peeks() -> None:
    with pytest.raises(AssertionError):
        no_look_ahead(Peeking())


def rare(market_rows: int = 200) -> F8:
    """Two assets that each lose 10% on three days of 200, never together; else next to nothing."""
    rows = np.full((market_rows, 2), 1e-4)
    rows[[10, 60, 110], 0] = rows[[30, 80, 130], 1] = -0.1
    return rows


def test_value_at_risk_is_not_subadditive() -> None:
    """At 98% each alone loses nearly nothing, both together 10%: ES sees both, VaR only the sum."""
    sample, books = SampleForecast(rare()), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    one, other, both = sample.compute_tail_loss(books, TailSpec("var", 0.98, "linear"))
    assert one + other < 1e-3 < 0.09 < both
    one, other, both = sample.compute_tail_loss(books, TailSpec("es", 0.98, "linear"))
    assert both <= one + other
    assert measure_sample_tail(-rare().sum(axis=1), 0.98) == pytest.approx(0.0999)


def test_learned_margin_is_not_subadditive() -> None:
    """It requires at least a share of its inner requirement, and is no more coherent."""
    inner = TailRisk.model_validate(
        {"level": 0.98, "every": 60, "model": {"kind": "historical", "window": 12_000}, "floor": 0}
    )
    rule = LearnedRequirement(inner=inner, level=0.98, every=60, horizon=60, share=1.0, floor=0.0)
    margin = rule.bind(build_perpetuals(2), unit=1)
    assert isinstance(margin, LearnedMargin)
    assert isinstance(margin.inner, TailMargin)
    *_, view = iterate_views(np.append(rare(), rare()[:1], axis=0), 60.0)
    margin.observe(view)
    margin.rate = np.full((2, 2), 1e-4)  # as if predicted: calm days are all it saw
    alone = build_one_lot_accounts(view)
    both = alone.take(slice(0, 1))._replace(position=np.ones((1, 2), dtype=np.int64))
    apart = margin.compute_margins(alone).initial / alone.position_value().sum(axis=1)
    together = margin.compute_margins(both).initial / alone.position_value().sum(axis=1)[0]
    assert apart.sum() < 1e-3 < 0.09 < together[0]


def test_the_vix_is_refused_by_name_where_it_has_no_days(tmp_path: Path) -> None:
    path = tmp_path / "index.yaml"
    path.write_text(VIX, encoding="utf-8")
    refused = CliRunner().invoke(app, ["run", str(path), "--out", str(tmp_path / "out")])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert (
        "vix: arch:vix has 2014-01-03 to 2018-12-31 only, sp500 runs 2008-09-15 to 2008-09-17"
        in refused.stderr
    )


def test_margin_follows_an_index_of_implied_volatility() -> None:
    """An eighth times the index over its reference, within 0.5 and 3 times, in each step."""
    rule = {"kind": "scaled", "index": "dvol", "reference": 0.4, "low": 0.5, "high": 3}
    rule["inner"] = {"kind": "tiered", "tiers": [{"floor": 0, "max_leverage": 8}]}
    plain = crash.plain(steps=6, stresses=[])
    dvol = {
        "name": "dvol",
        "start": 60,
        "process": {"kind": "variance_index", "volatility": 0.6, "vol_of_vol": 2},
    }
    venues = [{**crash.EXCHANGE, "engine": {"requirement": rule}}, crash.OUTSIDE]
    config = MarketConfig.model_validate(
        plain | {"underlyings": [*plain["underlyings"], dvol], "venues": venues}
    )
    market, told = crash.market(2, config), []
    while market.tick < market.steps_planned:
        market.step()
        told.append(market.venues[0].view.oracle[1])
    asked = market.recorder.frames()["steps"].query("instrument == 'SPX-PERP'")["margin_long"]
    np.testing.assert_allclose(asked, np.clip(np.array(told) / 100 / 0.4, 0.5, 3) / 8, rtol=1e-9)
    assert np.unique(told).size == 6


VIX = """
include: [crash_2008]
underlyings:
  - {name: sp500, process: {kind: replay, source: "arch:sp500", start: 2008-09-15, end: 2008-09-17}}
  - {name: vix, process: {kind: replay, source: "arch:vix", start: 2014-01-02, end: 2018-12-31}}
"""
