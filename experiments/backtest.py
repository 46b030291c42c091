"""The backtest of margin engines on return series: do they cover, how do they swing, what do they cost?"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.backtest_engines import DAY, Engine, with_measure
from experiments.series import Series
from sim.errors import ConfigError, DataError
from sim.margin.measures import sample_tail
from sim.margin.walk import walk
from sim.metrics import coverage, procyclicality
from sim.metrics.coverage import Verdict
from sim.metrics.shortfall import z2_test
from sim.metrics.traffic_light import TABLE_DAYS, traffic_light
from sim.types import B1, F8, I8

RISE = 30
"""Days over which a rise of margin is counted."""

SCALE = 1_000_000
"""Lots of a weight of one."""


class Judged(NamedTuple):
    """One engine's margins against what was lost."""

    engine: Engine
    first: int  # row of the first margin that is judged
    margin: F8  # (n,) from that row on, share of gross notional
    losses: F8  # (n,) of the next day, likewise
    at: I8  # rows (m,) at which a loss over the horizon begins, counted from ``first``
    breaches: B1  # (m,)
    figures: dict[str, Any]  # what the tables tell, plain numbers


def judge(
    engines: Sequence[Engine], series: Series, *, window: int, weights: Sequence[float] | None = None
) -> list[Judged]:
    """Each engine along the series, from the row on at which it has seen enough and ``window`` rows have passed.

    Args:
        engines: what is judged; their clock is one row a day.
        series: daily log returns.
        window: rows that nobody is judged on.
        weights: of the portfolio (U,), signed; none = the same of each.

    Raises:
        DataError: too little history for an engine's look-back.
        ConfigError: weights that do not fit the columns.
    """
    lots = _lots(series, weights)
    if np.ptp(series.returns @ lots) < 1e-12 * np.abs(lots).sum():
        raise DataError(
            "weights: the portfolio never moves, its columns cancel; there is no risk to margin: change them"
        )
    problems = [line for engine in engines if (line := _too_short(engine, series, window))]
    if problems:
        raise DataError("\n".join(problems))
    return [_judged(engine, series, lots, window) for engine in engines]


def _lots(series: Series, weights: Sequence[float] | None) -> F8:
    lots = np.rint(SCALE * np.array(weights if weights is not None else [1.0] * len(series.names)))
    if lots.size != len(series.names) or not lots.any():
        known = ", ".join(series.names)
        raise ConfigError([f"weights: {lots.size} given, must be one each of {known}, not all 0: correct them"])
    return lots


def first_row(engine: Engine, window: int) -> int:
    """The row from which an engine is judged."""
    needed = 0.0 if engine.rule is None else engine.rule.look_back()
    return max(window, math.ceil(needed / DAY - 1e-9))


def _too_short(engine: Engine, series: Series, window: int) -> str:
    first, rows = first_row(engine, window), len(series.returns)
    if rows - first >= 2 * engine.horizon:
        return ""
    told = f"{engine.name}: {rows} returns are too little history for its look-back of {first}"
    return f"{told} and {2 * engine.horizon} to judge: give a longer series or a shorter --window"


def _judged(engine: Engine, series: Series, lots: F8, window: int) -> Judged:
    losses = -(series.returns @ lots) / np.abs(lots).sum()
    first, days = first_row(engine, window), engine.horizon
    every = np.convolve(losses, np.ones(days), "valid")
    spans = Spans(every, np.arange(first, len(every), days))
    lost, flat = every[spans.starts], sample_tail(every, engine.level)
    path = np.full(len(losses), flat) if engine.rule is None else walk(engine.rule, series.returns, dt=DAY, lots=lots)
    margin, at = path[first:], spans.starts - first
    breaches = lost > margin[at]
    pair = _pair(engine, series, lots, path, spans)
    shortfall = None if pair is None else z2_test(-lost, *pair, 1 - engine.level)
    figures = _figures(engine, margin, losses[first:], breaches, flat)
    tests = _tests(breaches, 1 - engine.level) | {"acerbi_szekely_z2": shortfall}
    figures |= {name: {"statistic": each[0], "p_value": each[1]} if each else None for name, each in tests.items()}
    figures = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in figures.items()
    }
    figures |= {"traffic_light": _light(breaches, 1 - engine.level)}
    return Judged(engine, first, margin, losses[first:], at, breaches, figures)


def _figures(engine: Engine, margin: F8, losses: F8, breaches: B1, flat: float) -> dict[str, Any]:
    return {
        "name": engine.name,
        "benchmark": engine.rule is None,
        "confidence": engine.level,
        "horizon": engine.horizon,
        "days": int(breaches.size),
        "breaches": int(breaches.sum()),
        "peak_to_trough": procyclicality.peak_to_trough(margin),
        f"max_rise_{RISE}d": procyclicality.largest_rise(margin, RISE),
        f"max_rise_{RISE}d_stressed": procyclicality.stressed_rise(margin, procyclicality.stress(losses), RISE),
        "mean_margin": procyclicality.cost(margin),
        "excess_over_flat": procyclicality.excess(margin, flat),
        "breach_rate": float(breaches.mean()),
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


class Spans(NamedTuple):
    """Losses over the horizon."""

    every: F8  # (n,) from each row on
    starts: I8  # (m,) rows that are judged: their spans do not overlap, so that tests hold


def _pair(engine: Engine, series: Series, lots: F8, path: F8, spans: Spans) -> tuple[F8, F8] | None:
    """VaR and ES of an engine at the rows that are judged; none of what has no such pair, or asks nothing."""
    if engine.rule is None:
        return path[spans.starts], np.full(spans.starts.size, sample_tail(spans.every, engine.level, "es"))
    paths = []
    for measure in ("var", "es"):
        rule = with_measure(engine.rule, measure)
        if rule is None:
            return None
        whole = path if rule == engine.rule else walk(rule, series.returns, dt=DAY, lots=lots)
        paths.append(whole[spans.starts])
    return (paths[0], paths[1]) if (paths[1] > 0).all() else None
