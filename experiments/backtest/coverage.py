"""The backtest of margin engines on return series: do they cover, how do they swing, what do they cost?"""

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
    """The time over which a rise of margin is counted."""

    name: str  # part of the figures' names
    rows: int


MONTH_RISE = RiseWindow("30d", 30)

LOTS_PER_WEIGHT = 1_000_000
"""Lots of a weight of one."""

MEASURES: tuple[Measure, Measure] = ("var", "es")


class EngineBacktest(NamedTuple):
    """One engine's margins against what was lost."""

    engine: BacktestEngine
    first_row: int  # row of the first margin that is judged
    margin: F8  # (n,) from that row on, share of gross notional
    loss_starts: I8  # rows (m,) at which a loss over the horizon begins, counted from ``first``; they do not overlap
    lost: F8  # (m,) over the horizon, share of gross notional
    breaches: B1  # (m,)
    figures: dict[
        str, Any
    ]  # what the tables tell, plain numbers; none of them where history is too short
    n_missing_returns: int = 0  # returns by which history is too short to judge it


def backtest_engines(
    engines: Sequence[BacktestEngine],
    series: ReturnSeries,
    *,
    window: int,
    weights: Sequence[float] | None = None,
) -> list[EngineBacktest]:
    """Each engine along the series, from the row on at which it has seen enough and ``window`` rows have passed.

    An engine for whose look-back the series is too short is returned without figures, beside the others.

    Args:
        engines: what is judged; their clock is one row a day.
        series: daily log returns.
        window: rows that nobody is judged on.
        weights: of the portfolio (U,), signed; none = the same of each.

    Raises:
        DataError: too little history for the look-back of any engine.
        ConfigError: weights that do not fit the columns; an engine in shares of a price for differences.
    """
    lots = _portfolio_lots(series, weights)
    if np.ptp(series.returns @ lots) < 1e-12 * np.abs(lots).sum():
        raise DataError(
            "weights: the portfolio never moves, columns cancel or stand still; there is no risk to margin: change them"
        )
    if series.unit:
        _refuse_shares(engines)
    short = {
        engine.name: lack
        for engine in engines
        if (lack := _count_missing_returns(engine, series, window))
    }
    if len(short) == len(engines):
        raise DataError(*(describe_short_history(engine, series, window) for engine in engines))
    judged = [
        _blank_backtest(engine, find_first_row(engine, window), short[engine.name])
        if engine.name in short
        else _backtest_engine(engine, series, lots, window)
        for engine in engines
    ]
    return [_in_quote_currency(each, series.unit) for each in judged] if series.unit else judged


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
    """The row from which an engine is judged."""
    needed = 0.0 if engine.rule is None else engine.rule.look_back()
    return max(window, math.ceil(needed / DAY - 1e-9))


def _count_missing_returns(engine: BacktestEngine, series: ReturnSeries, window: int) -> int:
    """Returns by which a series is too short for an engine; 0 = it is long enough."""
    return max(0, find_first_row(engine, window) + 2 * engine.horizon - len(series.returns))


def describe_short_history(engine: BacktestEngine, series: ReturnSeries, window: int) -> str:
    """A line on an engine that cannot be judged."""
    first, rows = find_first_row(engine, window), len(series.returns)
    told = f"{engine.name}: {rows} returns are too little history for its look-back of {first}"
    most = rows - 2 * engine.horizon
    fits = find_first_row(engine, 1) <= most
    remedy = f"a --window of at most {most}" if fits else "an engine that looks back less"
    longer = f"give at least {first + 2 * engine.horizon}"
    return f"{told} and {2 * engine.horizon} to judge: {longer}, or {remedy}"


def _blank_backtest(engine: BacktestEngine, first: int, lacks: int) -> EngineBacktest:
    """An engine without figures: the keys of one that has them."""
    nothing, row = np.zeros(1), np.zeros(1, dtype=np.int64)
    blank = BacktestSample(nothing, nothing, 0, None)
    figures = dict.fromkeys(score_engine(engine._replace(horizon=1), blank, MONTH_RISE).figures) | {
        "name": engine.name,
        "benchmark": engine.rule is None,
        "confidence": engine.level,
        "horizon": engine.horizon,
        "lacking_history": lacks,
    }
    return EngineBacktest(
        engine,
        first,
        nothing[:0],
        row[:0],
        nothing[:0],
        np.zeros(0, dtype=np.bool_),
        figures,
        lacks,
    )


PROPORTIONAL_KINDS = {"tail", "floored", "stressed", "buffered", "learned"}
"""Requirements that double where returns double: the only ones that differences of prices can be given to."""


def _refuse_shares(engines: Sequence[BacktestEngine]) -> None:
    """Refuse engines that have a table or a level of volatility in shares of a price."""
    problems = []
    for engine in engines:
        node = None if engine.rule is None else engine.rule.model_dump()
        while isinstance(node, dict):
            if node["kind"] not in PROPORTIONAL_KINDS or node.get("floor"):
                told = f"engines: '{engine.name}' has {node['kind']!r}, in shares of a price, which differences lack"
                problems.append(
                    f"{told}; leave it out, or give prices above 0 without --returns differences"
                )
                break
            node = node.get("inner")
    if problems:
        raise ConfigError(problems)


NOTIONAL_SHARES = ("max_rise", "mean_margin", "excess_over_flat")
"""Figures that are shares of notional, by the beginning of their names; in quote currency of differences."""


def _in_quote_currency(judged: EngineBacktest, unit: float) -> EngineBacktest:
    """Margins, losses and figures of differences, for one unit of what is traded."""
    figures = {
        key: value * unit if key.startswith(NOTIONAL_SHARES) and value is not None else value
        for key, value in judged.figures.items()
    }
    figures["margins_in"] = "quote currency"
    return judged._replace(margin=judged.margin * unit, lost=judged.lost * unit, figures=figures)


def _backtest_engine(
    engine: BacktestEngine, series: ReturnSeries, lots: F8, window: int
) -> EngineBacktest:
    losses = -(series.returns @ lots) / np.abs(lots).sum()
    first = find_first_row(engine, window)
    if engine.rule is None:
        every = _sum_losses(losses, engine.horizon)
        flat, beyond = (measure_sample_tail(every, engine.level, measure) for measure in MEASURES)
        pair = np.full(losses.size, flat), np.full(losses.size, beyond)
        return score_engine(engine, BacktestSample(pair[0], losses, first, pair), MONTH_RISE)

    def path_of(rule: RequirementComponent) -> F8:
        clock = np.full(len(series.names), DAY * series.rows_per_year)
        return compute_margin_path(rule, series.returns, dt=DAY, lots=lots, clock=clock)

    path = path_of(engine.rule)
    return score_engine(
        engine,
        BacktestSample(path, losses, first, find_var_and_es(engine.rule, path, path_of)),
        MONTH_RISE,
    )


class BacktestSample(NamedTuple):
    """Margins and what they had to cover."""

    margins: F8  # (T,) margin before each row, share of notional
    losses: F8  # (T,) of each row, likewise
    first: int  # row from which on is judged
    var_and_es: (
        tuple[F8, F8] | None
    )  # VaR and ES before each row, (T,) each; none of what has no such pair


def score_engine(engine: BacktestEngine, trial: BacktestSample, rise: RiseWindow) -> EngineBacktest:
    """One engine's figures: coverage, procyclicality, cost.

    Args:
        engine: its level is what should be covered, its horizon the rows over which a loss accrues.
        trial: its margins, and losses.
        rise: over how many rows a rise is counted.
    """
    first, every = trial.first, _sum_losses(trial.losses, engine.horizon)
    starts = np.arange(
        first, len(every), engine.horizon
    )  # spans do not overlap, so that tests hold
    margin, lost = trial.margins[first:], every[starts]
    breaches = lost > trial.margins[starts]
    flat = measure_sample_tail(every, engine.level)
    figures = _breach_figures(engine, breaches) | _procyclicality_figures(
        margin, trial.losses[first:], flat, rise
    )
    beyond = every[first:] > trial.margins[first : len(every)]
    figures |= {"breach_rate": float(breaches.mean()), "breach_rate_any_row": float(beyond.mean())}
    tests = _coverage_tests(breaches, 1 - engine.level) | {
        "acerbi_szekely_z2": _test_shortfall(engine, trial, starts, lost)
    }
    figures |= {
        name: {"statistic": each[0], "p_value": each[1]} if each else None
        for name, each in tests.items()
    }
    figures = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in figures.items()
    }
    figures |= {"traffic_light": _traffic_light_figures(breaches, 1 - engine.level)}
    return EngineBacktest(engine, first, margin, starts - first, lost, breaches, figures)


def _sum_losses(losses: F8, rows: int) -> F8:
    """Losses over a span from each row on that has one."""
    return np.convolve(losses, np.ones(rows), "valid")


def _test_shortfall(
    engine: BacktestEngine, trial: BacktestSample, starts: I8, lost: F8
) -> BacktestResult | None:
    """Z2; none without VaR and ES, or where nothing is asked."""
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
    """Basel's, of the latest 250 days, or of all if there are fewer."""
    latest = breaches[-TABLE_DAYS:]
    light, count = classify_breaches(latest.size, int(latest.sum()), p), int(latest.sum())
    reached = 1 - classify_breaches(latest.size, count - 1, p).cumulative if count else 1.0
    told = {"statistic": count, "p_value": reached, "days": int(latest.size), **light._asdict()}
    return told


def find_var_and_es(
    rule: RequirementComponent, path: F8, path_of: Callable[[RequirementComponent], F8]
) -> tuple[F8, F8] | None:
    """VaR and ES of an engine; none of what has no such pair.

    Args:
        rule: the engine's.
        path: its margins, not computed a second time.
        path_of: margins of any rule.
    """
    paths = []
    for measure in MEASURES:
        other = replace_measure(rule, measure)
        if other is None:
            return None
        paths.append(path if other == rule else path_of(other))
    return paths[0], paths[1]
