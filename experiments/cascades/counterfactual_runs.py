"""Counterfactual runs: the same draws without some close-outs or under another engine (LIQ-9)."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from agents import populate
from experiments.cascades.branching import MarketSnapshot, advance_to
from experiments.cascades.one_cascade import (
    Cascade,
    format_owner,
    measure_passed_harm,
    tabulate_owners,
)
from experiments.config import RunConfig
from experiments.file_kinds import load_kind
from experiments.generated.reference_books import take_snapshot
from experiments.price_files.bars import read_replays
from sim.errors import ConfigError, DataError, LearningWarning, suggest_name
from sim.margin.efficiency import measure_capital, scale_to_equal_capital
from sim.margin.engine import EngineConfig
from sim.margin.learning import format_duration
from sim.market import Market
from sim.metrics.cascades import Frames
from sim.metrics.venues import select_venues
from sim.reading.packaged import Wanted, find_preset
from sim.rescue import Rescue
from sim.types import I8

NO_OWNERS: I8 = np.empty(0, dtype=np.int64)


class CounterfactualRun(NamedTuple):
    """Effect of a change on a cascade: close-outs of other accounts, and the move of the mark."""

    name: str
    attributed: float  # notional of others attributed to the removed, minor units; nan = none
    prevented: float  # notional of others no longer closed out in the window, minor units
    mark_move: float  # log of the farthest mark in the window over the mark before it
    granted: int  # deposits to rescued accounts in the window, minor units
    terms: str = ""  # terms of the comparison with another engine; empty for the run's own


def snapshot_before(case: Cascade) -> MarketSnapshot:
    """Return a snapshot of the run before the first step of a cascade."""
    return MarketSnapshot(lambda: start_run(case.config), case.window[0] - 1)


def start_run(config: RunConfig) -> Market:
    """Return a run before its first step, without the learning warnings given on its first run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LearningWarning)
        return Market(
            config,
            populate(config.populations),
            seed=config.seed,
            bars=read_replays(config.underlyings, config.history),
        )


class Removal(NamedTuple):
    """Rescue of some accounts, which receive the margin they lack and are not closed out."""

    name: str
    rescue: Rescue
    rows: I8  # rows of the actions that are prevented


def run_counterfactuals(
    case: Cascade, count: int, requested: Sequence[str] = ()
) -> Iterator[CounterfactualRun]:
    """Yield runs without some close-outs of a cascade.

    They are without any close-out, without those of each population, without those of the
    accounts that contributed most, and without those requested.

    Args:
        case: the cascade.
        count: number of accounts that contributed most; zero = requested ones only.
        requested: names, see ``find_removal``.

    Raises:
        DataError: no account or population has a requested name.
    """
    removals = [find_removal(case, name) for name in requested]
    base = snapshot_before(case)
    if count:
        yield measure_difference(
            case, "any close-out", base.simulate_frames(case.window[1], suppress_closeouts=True)
        )
        most = tabulate_owners(case)["owner"].head(count).astype(str)
        names = [*case.actions["population"].unique(), *most]
        removals = [*(find_removal(case, name) for name in names), *removals]
    for each in removals:
        yield run_without(case, base, each)


def find_removal(case: Cascade, who: str) -> Removal:
    """Return the removal of a population, an owner, or an owner's close-outs of one step.

    Args:
        case: the cascade.
        who: name of a population, number of an owner, or OWNER@STEP.

    Raises:
        DataError: no such account or population was closed out in the cascade.
    """
    (first, last), actions = case.window, case.actions
    owner, _, step = who.partition("@")
    here = (actions["population"] == who) | (actions["owner"].astype(str) == owner)
    if step:
        here &= actions["step"].astype(str) == step
        first, last = (int(actions.loc[here, "step"].max()),) * 2 if here.any() else (first, last)
    if not here.any():
        raise DataError(f"--without: {_unknown(case, who)}")
    rows = actions.index[here].to_numpy(np.int64)
    if not owner.isdigit():
        return Removal(
            f"close-outs of {who}", Rescue(populations=(who,), since=first, until=last), rows
        )
    name = format_owner(actions[here].iloc[0]) + (f" in step {step}" if step else "")
    return Removal(name, Rescue(owners=(int(owner),), since=first, until=last), rows)


def _unknown(case: Cascade, who: str) -> str:
    """Return the message on a name that was not closed out in a cascade."""
    actions, (owner, at, _) = case.actions, who.partition("@")
    own = actions[actions["owner"].astype(str) == owner]
    if at and len(own):
        steps = ", ".join(f"{owner}@{step}" for step in own["step"].unique())
        return f"{who!r} was not closed out then in cascade {case.number}, choose one of {steps}"
    known = [*actions["population"].unique(), *actions["owner"].astype(str).unique()]
    listed = ", ".join(known[:SHOWN]) + (
        f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    )
    near = suggest_name(who, known) or ", choose one of them, or OWNER@STEP"
    return (
        f"{who!r} was not closed out in cascade {case.number}, those that were are {listed}{near}"
    )


SHOWN = 12
"""Names that a message lists."""


def run_without(case: Cascade, base: MarketSnapshot, removal: Removal) -> CounterfactualRun:
    """Return the effect of the run without the close-outs of a removal."""
    other = base.simulate_frames(case.window[1], rescues=(*case.config.rescues, removal.rescue))
    notional = case.links.actions["notional"].to_numpy(np.float64)
    claim = float(measure_passed_harm(case.links, removal.rows) @ notional)
    owners = case.links.actions["owner"].to_numpy()[removal.rows]
    return measure_difference(case, removal.name, other, owners, claim)


def rescue_owner(case: Cascade, owner: int) -> Rescue:
    """Return the rescue of one owner during a cascade."""
    return Rescue(owners=(owner,), since=case.window[0], until=case.window[1])


def run_under_engine(case: Cascade, name: str) -> CounterfactualRun:
    """Return the effect of the whole run under another engine at the cascade's venue.

    The draws are the same, but the history differs. The engine is scaled to the capital of the
    run's own engine, with the accounts and data before the cascade. Both have the same
    compression (MAR-2).

    Raises:
        ConfigError: the engine does not exist, or does not fit the market.
    """
    other = engine_named(name)
    names = [venue.name for venue in case.config.venues]
    number = names.index(str(case.actions["venue"].iloc[0]))
    matched, terms = _match_capital(case, other, number)
    rules = case.config.model_dump(mode="json")
    rules["venues"][number]["engine"] = matched.model_dump(mode="json")
    market = advance_to(start_run(RunConfig.model_validate(rules)), case.window[1])
    return measure_difference(case, f"under {name}", market.recorder.frames())._replace(
        terms=f"under {name}: {terms}"
    )


def engine_named(name: str) -> EngineConfig:
    """Return a packaged engine, or one in a file.

    Raises:
        ConfigError: no engine has that name, or the file is not an engine.
    """
    if not name.strip():
        raise ConfigError(
            ["--engine: '', names no engine, give a packaged one such as span, or a file"]
        )
    return load_kind(
        "engine", find_preset("--engine", name, Wanted(False, ()), Path()), (), EngineConfig
    )


def _match_capital(case: Cascade, other: EngineConfig, number: int) -> tuple[EngineConfig, str]:
    """Return an engine matched to the run's own, and a text on the terms of the comparison.

    It has the capital, compression and maintenance ratio of the run's own engine.
    """
    own, begin = case.config.venues[number].engine, case.window[0] - 1
    book = [take_snapshot(advance_to(start_run(case.config), begin), number)]
    unit = 10 ** case.config.assets[0].decimals
    dials = {
        "compression": own.compression,
        "maintenance_ratio": other.maintenance_ratio
        if own.maintenance_ratio is None
        else own.maintenance_ratio,
    }
    shared = f"compressed by κ = {own.compression:g} as in the run"
    try:
        target = measure_capital(own.model_copy(update={"compression": 0.0}), book, unit).total
        other = scale_to_equal_capital(other, book, unit, target)
        terms = (
            f"scaled by {other.margin_multiplier:.3g}, at which it requires "
            f"as much as the run's own engine "
            f"of the accounts before the cascade, {target:.2%} of notional; {shared}"
        )
    except ConfigError as error:
        terms = f"at another capital, as it cannot be scaled to the run's ({error}); {shared}"
    return other.model_copy(update=dials), terms + _describe_learning(other, begin * case.config.dt)


def _describe_learning(other: EngineConfig, seconds: float) -> str:
    """Return a text if an engine lacked data to learn from before the cascade, else empty."""
    needed = other.requirement.look_back()
    if needed < seconds or not needed:
        return ""
    return (
        f"; it needs {format_duration(needed)} of past and had {format_duration(seconds)} "
        "before the cascade, so that some or all of its margin was its opening value, a constant"
    )


def measure_difference(
    case: Cascade, name: str, other: Frames, owners: I8 = NO_OWNERS, claim: float = np.nan
) -> CounterfactualRun:
    """Return the difference between a counterfactual run and the run of a cascade.

    Args:
        case: the cascade.
        name: name of the change.
        other: frames of the counterfactual run, up to the cascade's last step.
        owners: owners that are not counted, because their close-outs were removed.
        claim: notional of others attributed to them, minor units.
    """
    run, twin = (
        _sum_notional_of_others(frames, case.window, owners) for frames in (case.frames, other)
    )
    gift = _sum_deposits(other, case.window) - _sum_deposits(case.frames, case.window)
    return CounterfactualRun(name, claim, run - twin, measure_mark_move(case, other), gift)


def _sum_notional_of_others(frames: Frames, window: tuple[int, int], owners: I8) -> float:
    """Return the notional closed out in a window of all owners except some."""
    closed = frames["closeouts"]
    here = closed["step"].between(*window) & ~closed["owner"].isin(owners)
    return float(closed.loc[here, "notional"].sum())


def _sum_deposits(frames: Frames, window: tuple[int, int]) -> int:
    once = select_venues(frames)
    return int(once.loc[once["step"].between(*window), "deposits"].sum())


def measure_mark_move(case: Cascade, frames: Frames) -> float:
    """Return the move of the mark in a cascade's window, as ``CounterfactualRun.mark_move``."""
    steps = frames["steps"]
    last = steps[(steps["instrument"] == case.instrument) & (steps["step"] < case.window[0])][
        "mark"
    ]
    before = float(last.iloc[-1]) if len(last) else float(case.closeouts["mark_before"].iloc[0])
    return float(np.log(find_extreme_mark(case, frames) / before))


def find_extreme_mark(case: Cascade, frames: Frames) -> float:
    """Return the lowest mark of the window, or the highest if the cascade moved it up.

    Marks are those after close-outs and at the end of steps.
    """
    steps, closed = (
        table[(table["instrument"] == case.instrument) & table["step"].between(*case.window)]
        for table in (frames["steps"], frames["closeouts"])
    )
    marks = pd.concat([steps["mark"], closed["mark_after"]])
    return float(marks.max() if case.direction > 0 else marks.min())
