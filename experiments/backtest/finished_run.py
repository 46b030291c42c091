"""The backtest of a finished run: margins and losses that the market itself made, beside what became of it."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agents import populate
from experiments.backtest.coverage import (
    BacktestSample,
    EngineBacktest,
    RiseWindow,
    find_var_and_es,
    score_engine,
)
from experiments.backtest.engines import BacktestEngine
from experiments.config import RunConfig, load_run
from experiments.paper.load_results import list_code_notices
from experiments.price_files.bars import read_replays
from sim.errors import DataError
from sim.margin.base import RequirementComponent
from sim.margin.tail.margin_path import compute_rate_path
from sim.margin.tail.models.history import count_rows
from sim.market import Market
from sim.metrics import losses as system
from sim.metrics import overview
from sim.metrics.cascades import Frames
from sim.types import F8, PERPETUAL, MarginPool, MarketView
from sim.venue import Venue

REQUIRED_FRAMES = ("steps", "closeouts", "losses")
VENUES = "venues"
"""Read where it is there; earlier results have its columns in ``steps``."""

REQUIRED_COLUMNS = ("mark", "oracle", "exogenous", "margin_long", "margin_short")
HOUR = 3600.0
"""Horizon of a requirement that names none, and the time over which a rise of margin is counted, seconds."""

SIDES, SIGNS = ("long", "short"), (-1.0, 1.0)
MARK, ORACLE, UNTOUCHED = "mark", "oracle", "untouched"
"""Against what margins are judged: what positions lost; what the engine was shown; the index as nobody moved it, with
the margin that the engine would have asked for on it."""


class CoverageTarget(NamedTuple):
    """What the user wants covered in place of what engines say; none = as they say."""

    level: float | None = None
    horizon: float | None = None  # seconds


class RunBacktest(NamedTuple):
    """A run's engines, and its systemic outcome."""

    backtests: list[EngineBacktest]
    outcome: dict[str, Any]  # plain numbers
    step_times: (
        "np.ndarray[Any, np.dtype[Any]]"  # (T,) of each step: moments of a replay, else hours
    )
    minor_units: int  # minor units in one unit of the numeraire
    currency: str


ENGINE_TARGET = CoverageTarget()


def backtest_run(folder: Path, asked: CoverageTarget = ENGINE_TARGET) -> RunBacktest:
    """Margin of one lot, long and short, of each perpetual, thrice: see ``MARK``, ``ORACLE``, ``UNTOUCHED``.

    Margins of the first two are those recorded. Where only the last of the three is covered, the margins moved the
    market that they were set for.

    Args:
        folder: result of a run.
        asked: what is to be covered.

    Raises:
        DataError: no result of a run, or one too short to judge.
    """
    config, frames = read_result(folder)
    market = Market(
        config,
        populate(config.populations),
        seed=config.seed,
        bars=read_replays(config.underlyings),
    )
    steps = int(frames["steps"]["step"].max())
    exogenous = np.exp(market.exogenous_path.log_price[: steps + 1])  # (T + 1, U)
    judged: list[EngineBacktest] = []
    gap = 0.0
    for venue in market.venues:
        seen = _RecordedVenue(
            venue, frames["steps"][frames["steps"]["venue"] == venue.config.name], exogenous
        )
        for pool in venue.pools:
            trials = _backtest_pool(seen, pool, asked)
            if trials is not None:
                judged += trials.backtests
                gap = max(gap, trials.gap)
    if not judged:
        told = f"{folder}: {steps} steps are too few for any perpetual to be judged past its engine's look-back"
        raise DataError(f"{told}: run longer or ask a shorter --horizon")
    numeraire = config.assets[0]
    outcome = summarise_outcome(frames) | {"gap_to_backtest": gap}
    return RunBacktest(
        judged, outcome, _step_times(frames["steps"]), 10**numeraire.decimals, numeraire.name
    )


def read_result(folder: Path) -> tuple[RunConfig, Frames]:
    """Configuration and frames of a result.

    Raises:
        DataError: something is missing, was recorded by a version that did not keep margins, or needs a plug-in.
    """
    config = folder / "config.resolved.yaml"
    list_code_notices(folder)
    lacking = [
        path.name
        for path in (config, *(folder / f"{name}.parquet" for name in REQUIRED_FRAMES))
        if not path.is_file()
    ]
    if lacking:
        told = f"{folder}: is no result of a run ({', '.join(lacking)} missing)"
        raise DataError(f"{told}, name a folder that deleverage run printed")
    wanted = (*REQUIRED_FRAMES, *([VENUES] if (folder / f"{VENUES}.parquet").is_file() else []))
    try:
        frames = {name: pd.read_parquet(folder.absolute() / f"{name}.parquet") for name in wanted}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder}: frames cannot be read ({str(error).splitlines()[0]}), run again"
        ) from error
    absent = sorted(set(REQUIRED_COLUMNS) - set(frames["steps"].columns))
    if absent:
        raise DataError(
            f"{folder}: steps.parquet has no {', '.join(absent)}, was written by another version: run again"
        )
    if not len(frames["steps"]):
        raise DataError(f"{folder}: no step was made, there is nothing to judge: run longer")
    return load_run(config), frames


class _RecordedVenue:
    """One venue's recorded columns, step by step."""

    def __init__(self, venue: Venue, steps: pd.DataFrame, exogenous: F8) -> None:
        self.venue, self.exogenous = venue, exogenous
        names = list(venue.contracts.names)
        table = {
            name: steps.pivot(index="step", columns="instrument", values=name)[names]
            for name in REQUIRED_COLUMNS
        }
        self.columns: dict[str, F8] = {
            name: values.to_numpy(np.float64) for name, values in table.items()
        }  # (T, K)
        self.oracle = exogenous.copy()  # of an underlying that is not listed, the index
        for k, underlying in enumerate(venue.contracts.underlying):
            self.oracle[:, underlying] = np.append(
                venue.view.oracle[underlying], self.columns["oracle"][:, k]
            )

    def reference_prices(self, k: int, against: str) -> F8:
        """What a margin is judged against after each step, (T,)."""
        column = {MARK: "mark", ORACLE: "oracle", UNTOUCHED: "exogenous"}[against]
        return self.columns[column][:, k]

    def recorded_margins(self, k: int) -> F8:
        """Recorded initial margin of a long and a short, (T, 2)."""
        return np.stack([self.columns[f"margin_{side}"][:, k] for side in SIDES], axis=1)

    def compute_margins(self, rule: RequirementComponent, pool: MarginPool, levels: F8) -> F8:
        """What a requirement would have asked after each step on other levels of the oracle, (T, 2, K of the pool)."""
        first: MarketView = self.venue.view.select_instruments(pool.venue_slice)._replace(
            oracle=levels[0]
        )
        moves = np.log(levels[1:] / levels[:-1])
        return compute_rate_path(rule, moves, dt=self.venue.dt, first=first)[1:]


class _PoolBacktests(NamedTuple):
    """What became of one pool's margins."""

    backtests: list[EngineBacktest]
    gap: float  # largest relative difference of recorded margins from the backtest of the oracle's returns


class _EnginePaths(NamedTuple):
    """An engine's margins on some levels of the oracle."""

    margins: F8  # (T, 2, K of the pool)
    var_and_es: tuple[F8, F8] | None  # its VaR and ES, likewise


def _backtest_pool(
    seen: _RecordedVenue, pool: MarginPool, asked: CoverageTarget
) -> _PoolBacktests | None:
    """Both sides of each perpetual of a pool; none if there is none, or too little past."""
    contracts, rule, dt = (
        seen.venue.contracts,
        seen.venue.config.engine.rescaled_requirement(),
        seen.venue.dt,
    )
    level, seconds = find_level_and_horizon(rule)
    level = level if asked.level is None else asked.level
    span = count_rows(seconds if asked.horizon is None else asked.horizon, dt)
    first = max(0, round(rule.look_back() / dt) - 1)
    listed = np.flatnonzero(contracts.kind[pool.venue_slice] == PERPETUAL)
    if len(seen.exogenous) - 2 - first < 2 * span or not listed.size:
        return None
    shown, untouched = (
        _engine_paths(seen, pool, rule, levels) for levels in (seen.oracle, seen.exogenous)
    )
    judged, recorded = (
        [],
        np.stack(
            [
                seen.recorded_margins(k)
                for k in range(pool.venue_slice.start, pool.venue_slice.stop)
            ],
            axis=2,
        ),
    )
    for local in listed:
        for side, against in product((0, 1), (MARK, ORACLE, UNTOUCHED)):
            k, paths = (
                pool.venue_slice.start + int(local),
                untouched if against == UNTOUCHED else shown,
            )
            path = paths.margins if against == UNTOUCHED else recorded
            pair = (
                None
                if paths.var_and_es is None
                else (paths.var_and_es[0][:-1, side, local], paths.var_and_es[1][:-1, side, local])
            )
            lost = SIGNS[side] * np.diff(np.log(seen.reference_prices(k, against)))
            engine = BacktestEngine(
                f"{contracts.names[k]} {SIDES[side]}: {against}", rule, level, span
            )
            trial = BacktestSample(path[:-1, side, local], lost, first, pair)
            judged.append(score_engine(engine, trial, RiseWindow("1h", count_rows(HOUR, dt))))
    known = np.isfinite(shown.margins) & (shown.margins > 0)
    return _PoolBacktests(
        judged, float(np.abs(recorded[known] / shown.margins[known] - 1).max(initial=0.0))
    )


def _engine_paths(
    seen: _RecordedVenue, pool: MarginPool, rule: RequirementComponent, levels: F8
) -> _EnginePaths:
    path = seen.compute_margins(rule, pool, levels)
    return _EnginePaths(
        path, find_var_and_es(rule, path, lambda other: seen.compute_margins(other, pool, levels))
    )


def find_level_and_horizon(rule: RequirementComponent) -> tuple[float, float]:
    """Level and horizon (s) that a requirement names, or the first within it; else 99% of an hour."""
    node: Any = rule.model_dump()
    while isinstance(node, dict):
        if "level" in node and "horizon" in node:
            return max(float(node["level"]), 1 - float(node["level"])), float(node["horizon"])
        node = node.get("inner") or next(iter(node.get("parts", ())), None)
    return 0.99, HOUR


def summarise_outcome(frames: Frames) -> dict[str, Any]:
    """What a supervisor asks of the same run; money in minor units of the numeraire, falls as shares below nil."""
    falls = {name: overview.find_deepest_fall(frames, name) for name in ("mark", "exogenous")}
    closed, (before, after) = overview.sum_close_outs(frames), overview.compare_funds(frames)
    layers = system.sum_by_layer(frames)
    return {
        **{f"{name}_fall": None if fall is None else fall.value for name, fall in falls.items()},
        "closed_out_owners": closed["owners"],
        "closed_out_notional": closed["notional"],
        "peak_open_interest": overview.find_peak_open_interest(frames),
        "adl_notional": overview.sum_adl_notional(frames),
        "fund_draw": layers.get("fund", 0),
        "fund_before": before,
        "fund_after": after,
        "bad_debt": layers.get("bad_debt", 0),
        "system_loss": system.sum_system_loss(frames),
        "losses_by_layer": layers,
    }


def is_price_covered(judged: Sequence[EngineBacktest], against: str) -> bool:
    """Whether neither too many breaches nor any that follow one another were found, at 5%, of any row."""
    rows = [each for each in judged if each.engine.name.endswith(f": {against}")]
    return all(_is_covered(each) for each in rows)


def _is_covered(judged: EngineBacktest) -> bool:
    few = judged.figures["breach_rate"] <= 1 - judged.engine.level
    conditional = judged.figures["christoffersen_conditional"]["p_value"]
    return bool(few or conditional >= 0.05)


def _step_times(steps: pd.DataFrame) -> "np.ndarray[Any, np.dtype[Any]]":
    once = steps.drop_duplicates("step")
    return (once["stamp"] if "stamp" in once else once["seconds"] / HOUR).to_numpy()
