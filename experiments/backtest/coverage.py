"""Backtest of margin engines on return series: coverage, procyclicality and cost."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.backtest.engines import DAY, BacktestEngine, replace_measure
from experiments.price_files.return_series import ReturnSeries
from sim.errors import ConfigError, DataError
from sim.margin.base import RequirementComponent
from sim.margin.tail.margin_path import compute_margin_path
from sim.margin.tail.risk_measures import Measure, measure_sample_tail
from sim.metrics import coverage, procyclicality
from sim.metrics.coverage import BacktestResult
from sim.metrics.shortfall import run_z2_test
from sim.metrics.traffic_light import TABLE_DAYS, classify_breaches
from sim.types import B1, F8, I8


class RiseWindow(NamedTuple):
    """Time over which a rise of margin is measured."""

    name: str  # part of the figures' names
    rows: int


MONTH_RISE = RiseWindow("30d", 30)

LOTS_PER_WEIGHT = 1_000_000
"""Lots of a weight of one."""

MEASURES: tuple[Measure, Measure] = ("var", "es")


class EngineBacktest(NamedTuple):
    """Margins of one engine against losses."""

    engine: BacktestEngine
    first_row: int  # row of the first margin that is scored
    margin: F8  # (n,) from that row on, share of gross notional
    # rows (m,) at which loss spans begin, counted from ``first_row``; spans do not overlap
    loss_starts: I8
    lost: F8  # (m,) over the horizon, share of gross notional
    breaches: B1  # (m,)
    figures: dict[str, Any]  # plain numbers for tables; all None if history is too short
    n_missing_returns: int = 0  # returns that are missing for a backtest


def backtest_engines(
    engines: Sequence[BacktestEngine],
    series: ReturnSeries,
    *,
    window: int,
    weights: Sequence[float] | None = None,
) -> list[EngineBacktest]:
    """Backtest each engine along the series.

    Scoring starts once the engine has enough history and ``window`` rows have passed. An engine
    whose look-back is too long for the series is returned without figures.

    Args:
        engines: engines to score; their clock is one row a day.
        series: daily log returns.
        window: rows that are not scored.
        weights: weights of the portfolio (U,), signed; None = equal weights.

    Raises:
        DataError: too little history for the look-back of any engine.
        ConfigError: weights do not fit the columns, or an engine in shares of a price is given
            differences.
    """
    lots = _portfolio_lots(series, weights)
    if np.ptp(series.returns @ lots) < 1e-12 * np.abs(lots).sum():
        rule = "columns cancel or stand still; there is no risk to margin: change them"
        raise DataError(f"weights: the portfolio never moves, {rule}")
    if series.unit:
        _refuse_shares(engines)
    missing = {engine.name: _count_missing_returns(engine, series, window) for engine in engines}
    if all(missing[engine.name] for engine in engines):
        raise DataError(*(describe_short_history(engine, series, window) for engine in engines))
    results = [
        _blank_backtest(engine, find_first_row(engine, window), missing[engine.name])
        if missing[engine.name]
        else _backtest_engine(engine, series, lots, window)
        for engine in engines
    ]
    if not series.unit:
        return results
    return [_in_quote_currency(result, series.unit) for result in results]


def _portfolio_lots(series: ReturnSeries, weights: Sequence[float] | None) -> F8:
    lots = np.rint(
        LOTS_PER_WEIGHT * np.array(weights if weights is not None else [1.0] * len(series.names))
    )
    if lots.size != len(series.names):
        known = ", ".join(series.names)
        raise ConfigError(
            [f"weights: {lots.size} given, must be one each of {known}: give {len(series.names)}"]
        )
    if not lots.any():
        raise ConfigError(
            [f"weights: {', '.join(map('{:g}'.format, weights or ()))}: all are 0, raise one"]
        )
    return lots


def find_first_row(engine: BacktestEngine, window: int) -> int:
    """Return the row from which an engine is scored."""
    needed = 0.0 if engine.rule is None else engine.rule.look_back()
    return max(window, math.ceil(needed / DAY - 1e-9))


def _count_missing_returns(engine: BacktestEngine, series: ReturnSeries, window: int) -> int:
    """Return the number of returns that a series lacks for an engine; 0 if it is long enough."""
    return max(0, find_first_row(engine, window) + 2 * engine.horizon - len(series.returns))


def describe_short_history(engine: BacktestEngine, series: ReturnSeries, window: int) -> str:
    """Return a line about an engine that cannot be scored."""
    first, rows = find_first_row(engine, window), len(series.returns)
    problem = f"{engine.name}: {rows} returns are too little history for its look-back of {first}"
    most = rows - 2 * engine.horizon
    fits = find_first_row(engine, 1) <= most
    remedy = f"a --window of at most {most}" if fits else "an engine that looks back less"
    longer = f"give at least {first + 2 * engine.horizon}"
    return f"{problem} and {2 * engine.horizon} to judge: {longer}, or {remedy}"


def _blank_backtest(engine: BacktestEngine, first: int, lacks: int) -> EngineBacktest:
    """Return an engine without figures, with the same keys as one that has them."""
    nothing, row = np.zeros(1), np.zeros(1, dtype=np.int64)
    blank = BacktestSample(nothing, nothing, 0, None)
    scored = score_engine(engine._replace(horizon=1), blank, MONTH_RISE)
    figures = dict.fromkeys(scored.figures) | {
        "name": engine.name,
        "benchmark": engine.rule is None,
        "confidence": engine.level,
        "horizon": engine.horizon,
        "lacking_history": lacks,
    }
    return EngineBacktest(
        engine=engine,
        first_row=first,
        margin=nothing[:0],
        loss_starts=row[:0],
        lost=nothing[:0],
        breaches=np.zeros(0, dtype=np.bool_),
        figures=figures,
        n_missing_returns=lacks,
    )


PROPORTIONAL_KINDS = {"tail", "floored", "stressed", "buffered", "learned"}
"""Requirements that double if returns double; only these accept differences of prices."""


def _refuse_shares(engines: Sequence[BacktestEngine]) -> None:
    """Refuse engines with a table or a level of volatility in shares of a price."""
    problems = []
    for engine in engines:
        node = None if engine.rule is None else engine.rule.model_dump()
        while isinstance(node, dict):
            if node["kind"] not in PROPORTIONAL_KINDS or node.get("floor"):
                problem = f"engines: '{engine.name}' has {node['kind']!r}, in shares of a price"
                rule = "leave it out, or give prices above 0 without --returns differences"
                problems.append(f"{problem}, which differences lack; {rule}")
                break
            node = node.get("inner")
    if problems:
        raise ConfigError(problems)


NOTIONAL_SHARES = ("max_rise", "mean_margin", "excess_over_flat")
"""Beginnings of names of figures in shares of notional; for differences, in quote currency."""


def _in_quote_currency(result: EngineBacktest, unit: float) -> EngineBacktest:
    """Convert margins, losses and figures of differences to quote currency, per unit traded."""
    figures = {
        key: value * unit if key.startswith(NOTIONAL_SHARES) and value is not None else value
        for key, value in result.figures.items()
    }
    figures["margins_in"] = "quote currency"
    return result._replace(margin=result.margin * unit, lost=result.lost * unit, figures=figures)


def _backtest_engine(
    engine: BacktestEngine, series: ReturnSeries, lots: F8, window: int
) -> EngineBacktest:
    losses = -(series.returns @ lots) / np.abs(lots).sum()
    first = find_first_row(engine, window)
    if engine.rule is None:
        sums = _sum_losses(losses, engine.horizon)
        flat, beyond = (measure_sample_tail(sums, engine.level, measure) for measure in MEASURES)
        pair = np.full(losses.size, flat), np.full(losses.size, beyond)
        return score_engine(engine, BacktestSample(pair[0], losses, first, pair), MONTH_RISE)

    def path_of(rule: RequirementComponent) -> F8:
        clock = np.full(len(series.names), DAY * series.rows_per_year)
        return compute_margin_path(rule, series.returns, dt=DAY, lots=lots, clock=clock)

    path = path_of(engine.rule)
    pairs = find_var_and_es(engine.rule, path, path_of)
    return score_engine(engine, BacktestSample(path, losses, first, pairs), MONTH_RISE)


class BacktestSample(NamedTuple):
    """Margins of an engine and the losses that they had to cover."""

    margins: F8  # (T,) margin before each row, share of notional
    losses: F8  # (T,) loss of each row, share of notional
    first: int  # first row that is scored
    # VaR and ES before each row, (T,) each; none for engines without them
    var_and_es: tuple[F8, F8] | None


def score_engine(engine: BacktestEngine, trial: BacktestSample, rise: RiseWindow) -> EngineBacktest:
    """Return the figures of one engine: coverage, procyclicality, cost.

    Args:
        engine: engine, with the level to cover and the rows over which a loss accrues.
        trial: its margins, and losses.
        rise: time over which a rise of margin is measured.
    """
    first, sums = trial.first, _sum_losses(trial.losses, engine.horizon)
    # Spans do not overlap, so that the tests hold.
    starts = np.arange(first, len(sums), engine.horizon)
    margin, lost = trial.margins[first:], sums[starts]
    breaches = lost > trial.margins[starts]
    flat = measure_sample_tail(sums, engine.level)
    beyond = sums[first:] > trial.margins[first : len(sums)]
    figures = _breach_figures(engine, breaches)
    figures |= _procyclicality_figures(margin, trial.losses[first:], flat, rise)
    figures |= {"breach_rate": float(breaches.mean()), "breach_rate_any_row": float(beyond.mean())}
    tests = _coverage_tests(breaches, 1 - engine.level)
    tests["acerbi_szekely_z2"] = _test_shortfall(engine, trial, starts, lost)
    figures |= {name: _test_figures(test) for name, test in tests.items()}
    finite = {name: _finite_or_none(value) for name, value in figures.items()}
    finite["traffic_light"] = _traffic_light_figures(breaches, 1 - engine.level)
    return EngineBacktest(engine, first, margin, starts - first, lost, breaches, finite)


def _test_figures(test: BacktestResult | None) -> dict[str, Any] | None:
    return {"statistic": test[0], "p_value": test[1]} if test else None


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sum_losses(losses: F8, rows: int) -> F8:
    """Return the sum of losses over a span from each row that has a whole span."""
    return np.convolve(losses, np.ones(rows), "valid")


def _test_shortfall(
    engine: BacktestEngine, trial: BacktestSample, starts: I8, lost: F8
) -> BacktestResult | None:
    """Return the test Z2; None without VaR and ES, or if an ES is not positive."""
    if trial.var_and_es is None:
        return None
    var, es = (path[starts] for path in trial.var_and_es)
    return run_z2_test(-lost, var, es, 1 - engine.level) if (es > 0).all() else None


def _breach_figures(engine: BacktestEngine, breaches: B1) -> dict[str, Any]:
    return {
        "name": engine.name,
        "benchmark": engine.rule is None,
        "confidence": engine.level,
        "horizon": engine.horizon,
        "trials": int(breaches.size),
        "breaches": int(breaches.sum()),
    }


def _procyclicality_figures(
    margin: F8, losses: F8, flat: float, rise: RiseWindow
) -> dict[str, float]:
    stressed = procyclicality.select_stressed_days(losses)
    return {
        "peak_to_trough": procyclicality.compute_peak_to_trough(margin),
        f"max_rise_{rise.name}": procyclicality.find_largest_rise(margin, rise.rows),
        f"max_rise_{rise.name}_stressed": procyclicality.find_stressed_rise(
            margin, stressed, rise.rows
        ),
        "mean_margin": procyclicality.average_margin(margin),
        "excess_over_flat": procyclicality.average_excess(margin, flat),
    }


def _coverage_tests(breaches: B1, p: float) -> dict[str, BacktestResult | None]:
    days, count, counts = breaches.size, int(breaches.sum()), coverage.count_transitions(breaches)
    return {
        "kupiec_pof": coverage.run_proportion_test(days, count, p),
        "kupiec_tuff": coverage.run_first_failure_test(
            coverage.find_first_breach(breaches), p, days
        ),
        "christoffersen_independence": coverage.run_independence_test(counts),
        "christoffersen_conditional": coverage.run_conditional_test(days, count, p, counts),
    }


def _traffic_light_figures(breaches: B1, p: float) -> dict[str, Any]:
    """Return Basel's traffic light for the latest 250 days, or for all if there are fewer."""
    latest = breaches[-TABLE_DAYS:]
    count = int(latest.sum())
    light = classify_breaches(latest.size, count, p)
    reached = 1 - classify_breaches(latest.size, count - 1, p).cumulative if count else 1.0
    return {"statistic": count, "p_value": reached, "days": int(latest.size), **light._asdict()}


def find_var_and_es(
    rule: RequirementComponent, path: F8, path_of: Callable[[RequirementComponent], F8]
) -> tuple[F8, F8] | None:
    """Return VaR and ES of an engine; None if it has no such pair.

    Args:
        rule: requirement of the engine.
        path: its margins, which are not computed again.
        path_of: function that returns the margins of any requirement.
    """
    paths = []
    for measure in MEASURES:
        other = replace_measure(rule, measure)
        if other is None:
            return None
        paths.append(path if other == rule else path_of(other))
    return paths[0], paths[1]
