"""The backtest of margin engines on return series: do they cover, how do they swing, what do they cost?"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.backtest_engines import DAY, Engine, with_measure
from experiments.series import Series
from sim.errors import ConfigError, DataError
from sim.margin.base import RequirementComponent
from sim.margin.measures import Measure, sample_tail
from sim.margin.walk import walk
from sim.metrics import coverage, procyclicality
from sim.metrics.coverage import Verdict
from sim.metrics.shortfall import z2_test
from sim.metrics.traffic_light import TABLE_DAYS, traffic_light
from sim.types import B1, F8, I8


class Rise(NamedTuple):
    """The time over which a rise of margin is counted."""

    name: str  # part of the figures' names
    rows: int


DAYS = Rise("30d", 30)

SCALE = 1_000_000
"""Lots of a weight of one."""

MEASURES: tuple[Measure, Measure] = ("var", "es")


class Judged(NamedTuple):
    """One engine's margins against what was lost."""

    engine: Engine
    first: int  # row of the first margin that is judged
    margin: F8  # (n,) from that row on, share of gross notional
    at: I8  # rows (m,) at which a loss over the horizon begins, counted from ``first``; they do not overlap
    lost: F8  # (m,) over the horizon, share of gross notional
    breaches: B1  # (m,)
    figures: dict[str, Any]  # what the tables tell, plain numbers; none of them where history is too short
    lacks: int = 0  # returns by which history is too short to judge it


def judge(
    engines: Sequence[Engine], series: Series, *, window: int, weights: Sequence[float] | None = None
) -> list[Judged]:
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
    lots = _lots(series, weights)
    if np.ptp(series.returns @ lots) < 1e-12 * np.abs(lots).sum():
        raise DataError(
            "weights: the portfolio never moves, columns cancel or stand still; there is no risk to margin: change them"
        )
    if series.unit:
        _refuse_shares(engines)
    short = {engine.name: lack for engine in engines if (lack := _lacking(engine, series, window))}
    if len(short) == len(engines):
        raise DataError(*(too_short(engine, series, window) for engine in engines))
    judged = [
        _unjudged(engine, first_row(engine, window), short[engine.name])
        if engine.name in short
        else _judged(engine, series, lots, window)
        for engine in engines
    ]
    return [_in_quote_currency(each, series.unit) for each in judged] if series.unit else judged


def _lots(series: Series, weights: Sequence[float] | None) -> F8:
    lots = np.rint(SCALE * np.array(weights if weights is not None else [1.0] * len(series.names)))
    if lots.size != len(series.names):
        known = ", ".join(series.names)
        raise ConfigError([f"weights: {lots.size} given, must be one each of {known}: give {len(series.names)}"])
    if not lots.any():
        raise ConfigError([f"weights: {', '.join(map('{:g}'.format, weights or ()))}: all are 0, raise one"])
    return lots


def first_row(engine: Engine, window: int) -> int:
    """The row from which an engine is judged."""
    needed = 0.0 if engine.rule is None else engine.rule.look_back()
    return max(window, math.ceil(needed / DAY - 1e-9))


def _lacking(engine: Engine, series: Series, window: int) -> int:
    """Returns by which a series is too short for an engine; 0 = it is long enough."""
    return max(0, first_row(engine, window) + 2 * engine.horizon - len(series.returns))


def too_short(engine: Engine, series: Series, window: int) -> str:
    """A line on an engine that cannot be judged."""
    first, rows = first_row(engine, window), len(series.returns)
    told = f"{engine.name}: {rows} returns are too little history for its look-back of {first}"
    most = rows - 2 * engine.horizon
    fits = first_row(engine, 1) <= most
    remedy = f"a --window of at most {most}" if fits else "an engine that looks back less"
    longer = f"give at least {first + 2 * engine.horizon}"
    return f"{told} and {2 * engine.horizon} to judge: {longer}, or {remedy}"


def _unjudged(engine: Engine, first: int, lacks: int) -> Judged:
    """An engine without figures: the keys of one that has them."""
    nothing, row = np.zeros(1), np.zeros(1, dtype=np.int64)
    blank = Trial(nothing, nothing, 0, None)
    figures = dict.fromkeys(score(engine._replace(horizon=1), blank, DAYS).figures) | {
        "name": engine.name,
        "benchmark": engine.rule is None,
        "confidence": engine.level,
        "horizon": engine.horizon,
        "lacking_history": lacks,
    }
    return Judged(engine, first, nothing[:0], row[:0], nothing[:0], np.zeros(0, dtype=np.bool_), figures, lacks)


PROPORTIONAL = {"tail", "floored", "stressed", "buffered", "learned"}
"""Requirements that double where returns double: the only ones that differences of prices can be given to."""


def _refuse_shares(engines: Sequence[Engine]) -> None:
    """Refuse engines that have a table or a level of volatility in shares of a price."""
    problems = []
    for engine in engines:
        node = None if engine.rule is None else engine.rule.model_dump()
        while isinstance(node, dict):
            if node["kind"] not in PROPORTIONAL or node.get("floor"):
                told = f"engines: '{engine.name}' has {node['kind']!r}, in shares of a price, which differences lack"
                problems.append(f"{told}; leave it out, or give prices above 0 without --returns differences")
                break
            node = node.get("inner")
    if problems:
        raise ConfigError(problems)


PRICED = ("max_rise", "mean_margin", "excess_over_flat")
"""Figures that are shares of notional, by the beginning of their names; in quote currency of differences."""


def _in_quote_currency(judged: Judged, unit: float) -> Judged:
    """Margins, losses and figures of differences, for one unit of what is traded."""
    figures = {
        key: value * unit if key.startswith(PRICED) and value is not None else value
        for key, value in judged.figures.items()
    }
    figures["margins_in"] = "quote currency"
    return judged._replace(margin=judged.margin * unit, lost=judged.lost * unit, figures=figures)


def _judged(engine: Engine, series: Series, lots: F8, window: int) -> Judged:
    losses = -(series.returns @ lots) / np.abs(lots).sum()
    first = first_row(engine, window)
    if engine.rule is None:
        every = _over(losses, engine.horizon)
        flat, beyond = (sample_tail(every, engine.level, measure) for measure in MEASURES)
        pair = np.full(losses.size, flat), np.full(losses.size, beyond)
        return score(engine, Trial(pair[0], losses, first, pair), DAYS)

    def path_of(rule: RequirementComponent) -> F8:
        clock = np.full(len(series.names), DAY * series.rows_per_year)
        return walk(rule, series.returns, dt=DAY, lots=lots, clock=clock)

    path = path_of(engine.rule)
    return score(engine, Trial(path, losses, first, pair_of(engine.rule, path, path_of)), DAYS)


class Trial(NamedTuple):
    """Margins and what they had to cover."""

    path: F8  # (T,) margin before each row, share of notional
    losses: F8  # (T,) of each row, likewise
    first: int  # row from which on is judged
    pair: tuple[F8, F8] | None  # VaR and ES before each row, (T,) each; none of what has no such pair


def score(engine: Engine, trial: Trial, rise: Rise) -> Judged:
    """One engine's figures: coverage, procyclicality, cost.

    Args:
        engine: its level is what should be covered, its horizon the rows over which a loss accrues.
        trial: its margins, and losses.
        rise: over how many rows a rise is counted.
    """
    first, every = trial.first, _over(trial.losses, engine.horizon)
    starts = np.arange(first, len(every), engine.horizon)  # spans do not overlap, so that tests hold
    margin, lost = trial.path[first:], every[starts]
    breaches = lost > trial.path[starts]
    flat = sample_tail(every, engine.level)
    figures = _figures(engine, breaches) | _swing(margin, trial.losses[first:], flat, rise)
    beyond = every[first:] > trial.path[first : len(every)]
    figures |= {"breach_rate": float(breaches.mean()), "breach_rate_any_row": float(beyond.mean())}
    tests = _tests(breaches, 1 - engine.level) | {"acerbi_szekely_z2": _shortfall(engine, trial, starts, lost)}
    figures |= {name: {"statistic": each[0], "p_value": each[1]} if each else None for name, each in tests.items()}
    figures = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in figures.items()
    }
    figures |= {"traffic_light": _light(breaches, 1 - engine.level)}
    return Judged(engine, first, margin, starts - first, lost, breaches, figures)


def _over(losses: F8, rows: int) -> F8:
    """Losses over a span from each row on that has one."""
    return np.convolve(losses, np.ones(rows), "valid")


def _shortfall(engine: Engine, trial: Trial, starts: I8, lost: F8) -> Verdict | None:
    """Z2; none without VaR and ES, or where nothing is asked."""
    if trial.pair is None:
        return None
    var, es = (path[starts] for path in trial.pair)
    return z2_test(-lost, var, es, 1 - engine.level) if (es > 0).all() else None


def _figures(engine: Engine, breaches: B1) -> dict[str, Any]:
    return {
        "name": engine.name,
        "benchmark": engine.rule is None,
        "confidence": engine.level,
        "horizon": engine.horizon,
        "trials": int(breaches.size),
        "breaches": int(breaches.sum()),
    }


def _swing(margin: F8, losses: F8, flat: float, rise: Rise) -> dict[str, float]:
    stressed = procyclicality.stress(losses)
    return {
        "peak_to_trough": procyclicality.peak_to_trough(margin),
        f"max_rise_{rise.name}": procyclicality.largest_rise(margin, rise.rows),
        f"max_rise_{rise.name}_stressed": procyclicality.stressed_rise(margin, stressed, rise.rows),
        "mean_margin": procyclicality.cost(margin),
        "excess_over_flat": procyclicality.excess(margin, flat),
    }


def _tests(breaches: B1, p: float) -> dict[str, Verdict | None]:
    days, count, counts = breaches.size, int(breaches.sum()), coverage.transitions(breaches)
    return {
        "kupiec_pof": coverage.proportion(days, count, p),
        "kupiec_tuff": coverage.first_failure(coverage.first_breach(breaches), p, days),
        "christoffersen_independence": coverage.independence(counts),
        "christoffersen_conditional": coverage.conditional(days, count, p, counts),
    }


def _light(breaches: B1, p: float) -> dict[str, Any]:
    """Basel's, of the latest 250 days, or of all if there are fewer."""
    latest = breaches[-TABLE_DAYS:]
    light, count = traffic_light(latest.size, int(latest.sum()), p), int(latest.sum())
    reached = 1 - traffic_light(latest.size, count - 1, p).cumulative if count else 1.0
    told = {"statistic": count, "p_value": reached, "days": int(latest.size), **light._asdict()}
    return told


def pair_of(
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
        other = with_measure(rule, measure)
        if other is None:
            return None
        paths.append(path if other == rule else path_of(other))
    return paths[0], paths[1]
