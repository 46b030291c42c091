"""Backtest of a finished run: the market's own margins and losses, beside its outcome."""

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
"""Frame that is read if present; earlier results have its columns in ``steps``."""

REQUIRED_COLUMNS = ("mark", "oracle", "exogenous", "margin_long", "margin_short")
HOUR = 3600.0
"""Default horizon of a requirement, and time over which a rise of margin is measured (s)."""

SIDES, SIGNS = ("long", "short"), (-1.0, 1.0)
MARK, ORACLE, UNTOUCHED = "mark", "oracle", "untouched"
"""Prices against which margins are scored.

They are the mark (losses of positions), the oracle (prices seen by the engine), and the untouched
index with the margin that the engine would have required on it.
"""


class CoverageTarget(NamedTuple):
    """Level and horizon to cover, instead of those of the engines; None = those of the engines."""

    level: float | None = None
    horizon: float | None = None  # seconds


class RunBacktest(NamedTuple):
    """Backtests of a run's engines, and its systemic outcome."""

    backtests: list[EngineBacktest]
    outcome: dict[str, Any]  # plain numbers
    # (T,) time of each step: times of a replay, else hours
    step_times: "np.ndarray[Any, np.dtype[Any]]"
    minor_units: int  # minor units in one unit of the numeraire
    currency: str


ENGINE_TARGET = CoverageTarget()


def backtest_run(folder: Path, target: CoverageTarget = ENGINE_TARGET) -> RunBacktest:
    """Backtest the margin of one lot, long and short, of each perpetual, on three prices.

    The prices are ``MARK``, ``ORACLE`` and ``UNTOUCHED``. On the first two, margins are those
    recorded. If only the third is covered, the margins moved the market for which they were set.

    Args:
        folder: result of a run.
        target: level and horizon to cover.

    Raises:
        DataError: not the result of a run, or too short to score.
    """
    config, frames = read_result(folder)
    agents, bars = populate(config.populations), read_replays(config.underlyings, config.history)
    market = Market(config, agents, seed=config.seed, bars=bars)
    steps = frames["steps"]
    last = int(steps["step"].max())
    exogenous = np.exp(market.exogenous_path.log_price[: last + 1])  # (T + 1, U)
    pools = []
    for venue in market.venues:
        own = steps[steps["venue"] == venue.config.name]
        recorded = _RecordedVenue(venue, own, exogenous)
        pools += [_backtest_pool(recorded, pool, target) for pool in venue.pools]
    scored = [pool for pool in pools if pool is not None]
    backtests = [backtest for pool in scored for backtest in pool.backtests]
    if not backtests:
        problem = f"{last} steps are too few for any perpetual to be judged past its engine's"
        rule = "run longer or ask a shorter --horizon"
        raise DataError(f"{folder}: {problem} look-back: {rule}")
    numeraire = config.assets[0]
    gap = max(pool.gap for pool in scored)
    return RunBacktest(
        backtests=backtests,
        outcome=summarise_outcome(frames) | {"gap_to_backtest": gap},
        step_times=_step_times(steps),
        minor_units=10**numeraire.decimals,
        currency=numeraire.name,
    )


def read_result(folder: Path) -> tuple[RunConfig, Frames]:
    """Return configuration and frames of a result.

    Raises:
        DataError: a file is missing, was recorded by a version without margins, or needs a plug-in.
    """
    config = folder / "config.resolved.yaml"
    list_code_notices(folder)
    paths = (config, *(folder / f"{name}.parquet" for name in REQUIRED_FRAMES))
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        problem = f"{folder}: is no result of a run ({', '.join(missing)} missing)"
        raise DataError(f"{problem}, name a folder that deleverage run printed")
    names = (*REQUIRED_FRAMES, *([VENUES] if (folder / f"{VENUES}.parquet").is_file() else []))
    try:
        frames = {name: pd.read_parquet(folder.absolute() / f"{name}.parquet") for name in names}
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{folder}: frames cannot be read ({reason}), run again") from error
    absent = sorted(set(REQUIRED_COLUMNS) - set(frames["steps"].columns))
    if absent:
        problem = f"steps.parquet has no {', '.join(absent)}, was written by another version"
        raise DataError(f"{folder}: {problem}: run again")
    if not len(frames["steps"]):
        raise DataError(f"{folder}: no step was made, there is nothing to judge: run longer")
    return load_run(config), frames


class _RecordedVenue:
    """Recorded columns of one venue, step by step."""

    def __init__(self, venue: Venue, steps: pd.DataFrame, exogenous: F8) -> None:
        self.venue, self.exogenous = venue, exogenous
        names = list(venue.contracts.names)
        table = {
            name: steps.pivot(index="step", columns="instrument", values=name)[names]
            for name in REQUIRED_COLUMNS
        }
        # (T, K)
        self.columns: dict[str, F8] = {
            name: values.to_numpy(np.float64) for name, values in table.items()
        }
        self.oracle = exogenous.copy()  # the index for underlyings that are not listed
        for k, underlying in enumerate(venue.contracts.underlying):
            self.oracle[:, underlying] = np.append(
                venue.view.oracle[underlying], self.columns["oracle"][:, k]
            )

    @property
    def n_losses(self) -> int:
        """Number of steps with a loss and a margin before it."""
        return len(self.exogenous) - 2

    def reference_prices(self, k: int, against: str) -> F8:
        """Return the price against which a margin is scored after each step (T,)."""
        column = {MARK: "mark", ORACLE: "oracle", UNTOUCHED: "exogenous"}[against]
        return self.columns[column][:, k]

    def side_losses(self, k: int, side: int, against: str) -> F8:
        """Return the losses of a long or a short in each step, as log returns (T - 1,)."""
        return SIGNS[side] * np.diff(np.log(self.reference_prices(k, against)))

    def recorded_margins(self, k: int) -> F8:
        """Return the recorded initial margin of a long and a short (T, 2)."""
        return np.stack([self.columns[f"margin_{side}"][:, k] for side in SIDES], axis=1)

    def pool_margins(self, pool: MarginPool) -> F8:
        """Return the recorded margins of a pool's instruments (T, 2, K of the pool)."""
        members = range(pool.venue_slice.start, pool.venue_slice.stop)
        return np.stack([self.recorded_margins(k) for k in members], axis=2)

    def compute_margins(self, rule: RequirementComponent, pool: MarginPool, levels: F8) -> F8:
        """Return margins of a requirement after each step on other oracle levels (T, 2, K of the
        pool).
        """
        first: MarketView = self.venue.view.select_instruments(pool.venue_slice)._replace(
            oracle=levels[0]
        )
        moves = np.log(levels[1:] / levels[:-1])
        return compute_rate_path(rule, moves, dt=self.venue.dt, first=first)[1:]


class _PoolBacktests(NamedTuple):
    """Backtests of one pool."""

    backtests: list[EngineBacktest]
    # largest relative difference between recorded margins and those from the oracle's returns
    gap: float


class _EnginePaths(NamedTuple):
    """Margins of an engine on some levels of the oracle."""

    margins: F8  # (T, 2, K of the pool)
    var_and_es: tuple[F8, F8] | None  # its VaR and ES, of the same shape

    def select_sample(self, side: int, local: int, lost: F8, first: int) -> BacktestSample:
        """Return the margins of one side of an instrument of the pool, and its losses."""
        pair = None
        if self.var_and_es is not None:
            var, es = self.var_and_es
            pair = (var[:-1, side, local], es[:-1, side, local])
        return BacktestSample(self.margins[:-1, side, local], lost, first, pair)


class _Scoring(NamedTuple):
    """Rule of a venue, and the losses that its margins have to cover."""

    rule: RequirementComponent
    level: float
    span: int  # steps over which a loss accrues
    first: int  # first step that is scored

    def name_engine(self, name: str) -> BacktestEngine:
        """Return the engine of the rule under a name."""
        return BacktestEngine(name, self.rule, self.level, self.span)


def _find_scoring(venue: Venue, target: CoverageTarget) -> _Scoring:
    rule = venue.config.engine.rescaled_requirement()
    level, seconds = find_level_and_horizon(rule)
    return _Scoring(
        rule=rule,
        level=level if target.level is None else target.level,
        span=count_rows(seconds if target.horizon is None else target.horizon, venue.dt),
        first=max(0, round(rule.look_back() / venue.dt) - 1),
    )


def _backtest_pool(
    recorded: _RecordedVenue, pool: MarginPool, target: CoverageTarget
) -> _PoolBacktests | None:
    """Backtest both sides of each perpetual of a pool.

    Returns:
        None if there is no perpetual, or too little history.
    """
    contracts = recorded.venue.contracts
    scoring = _find_scoring(recorded.venue, target)
    listed = np.flatnonzero(contracts.kind[pool.venue_slice] == PERPETUAL)
    if recorded.n_losses - scoring.first < 2 * scoring.span or not listed.size:
        return None
    seen, untouched = (
        _engine_paths(recorded, pool, scoring.rule, levels)
        for levels in (recorded.oracle, recorded.exogenous)
    )
    margins = recorded.pool_margins(pool)
    actual = seen._replace(margins=margins)
    paths = {MARK: actual, ORACLE: actual, UNTOUCHED: untouched}
    rise = RiseWindow("1h", count_rows(HOUR, recorded.venue.dt))
    backtests = []
    for local, side, against in product(listed.tolist(), (0, 1), paths):
        k = pool.venue_slice.start + local
        engine = scoring.name_engine(f"{contracts.names[k]} {SIDES[side]}: {against}")
        lost = recorded.side_losses(k, side, against)
        trial = paths[against].select_sample(side, local, lost, scoring.first)
        backtests.append(score_engine(engine, trial, rise))
    return _PoolBacktests(backtests, _largest_difference(margins, seen.margins))


def _largest_difference(margins: F8, computed: F8) -> float:
    """Return the largest relative difference of margins from computed ones above zero."""
    known = np.isfinite(computed) & (computed > 0)
    return float(np.abs(margins[known] / computed[known] - 1).max(initial=0.0))


def _engine_paths(
    recorded: _RecordedVenue, pool: MarginPool, rule: RequirementComponent, levels: F8
) -> _EnginePaths:
    def path_of(other: RequirementComponent) -> F8:
        return recorded.compute_margins(other, pool, levels)

    path = path_of(rule)
    return _EnginePaths(path, find_var_and_es(rule, path, path_of))


def find_level_and_horizon(rule: RequirementComponent) -> tuple[float, float]:
    """Return level and horizon (s) of a requirement or of its first part; default 99% of an
    hour.
    """
    node: Any = rule.model_dump()
    while isinstance(node, dict):
        if "level" in node and "horizon" in node:
            return max(float(node["level"]), 1 - float(node["level"])), float(node["horizon"])
        node = node.get("inner") or next(iter(node.get("parts", ())), None)
    return 0.99, HOUR


def summarise_outcome(frames: Frames) -> dict[str, Any]:
    """Return the outcome of a run; money in minor units of the numeraire, falls as negative
    shares.
    """
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


def is_price_covered(results: Sequence[EngineBacktest], against: str) -> bool:
    """Return True if no row has too many or clustered breaches, at a significance level of 5%."""
    rows = [result for result in results if result.engine.name.endswith(f": {against}")]
    return all(_is_covered(result) for result in rows)


def _is_covered(result: EngineBacktest) -> bool:
    has_few = result.figures["breach_rate"] <= 1 - result.engine.level
    conditional = result.figures["christoffersen_conditional"]["p_value"]
    return bool(has_few or conditional >= 0.05)


def _step_times(steps: pd.DataFrame) -> "np.ndarray[Any, np.dtype[Any]]":
    once = steps.drop_duplicates("step")
    return (once["stamp"] if "stamp" in once else once["seconds"] / HOUR).to_numpy()
