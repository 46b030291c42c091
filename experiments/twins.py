"""What would have stopped a cascade: the run again, on the same draws, with something taken away (LIQ-9)."""

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from agents import populate
from experiments.case import Case, called, passed, people
from experiments.config import RunConfig
from experiments.data import read_replays
from experiments.file_kinds import load_as
from experiments.fork import Fork, advanced
from experiments.reference import taken
from sim.errors import ConfigError, DataError, LearningWarning, did_you_mean
from sim.margin.efficiency import at_equal_capital, capital
from sim.margin.engine import EngineConfig
from sim.margin.learning import spelt
from sim.market import Market
from sim.metrics.cascades import Frames
from sim.metrics.venues import venues
from sim.packaged import Wanted, preset
from sim.rescue import Rescue
from sim.types import I8

NOBODY_ELSE: I8 = np.empty(0, dtype=np.int64)


class Without(NamedTuple):
    """The same run with something taken away: what others were closed out of, and how far the mark went."""

    name: str
    attributed: float  # notional of others that attribution lays at its door, minor units; nan = no claim
    prevented: float  # notional of others that was closed out in the window and is not any more
    way: float  # log of the farthest mark in the window over the mark before it
    gift: int  # what rescued accounts were given in the window, minor units
    terms: str = ""  # on what terms another engine is compared; empty of the run's own


def fork(case: Case) -> Fork:
    """The run before the cascade's first step."""
    return Fork(lambda: begun(case.config), case.window[0] - 1)


def begun(config: RunConfig) -> Market:
    """A run before its first step. What it is too short to learn was said when it was made first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LearningWarning)
        return Market(config, populate(config.populations), seed=config.seed, bars=read_replays(config.underlyings))


class Removed(NamedTuple):
    """Somebody who is given what it lacks, and so not closed out."""

    name: str
    rescue: Rescue
    rows: I8  # of its actions that do not happen then


def twins(case: Case, count: int, asked: Sequence[str] = ()) -> Iterator[Without]:
    """Without any close-out, without each population's, without the accounts that did most, and without who is asked.

    Args:
        case: the cascade.
        count: how many accounts.
        asked: see ``named``.

    Raises:
        DataError: there is nobody of that name.
    """
    gone = [named(case, name) for name in asked]
    base = fork(case)
    if count:
        yield without(case, "any close-out", base.frames(case.window[1], suppress_closeouts=True))
        most = people(case)["owner"].head(count).astype(str)
        gone = [*(named(case, name) for name in [*case.actions["population"].unique(), *most]), *gone]
    for each in gone:
        yield removed(case, base, each)


def named(case: Case, who: str) -> Removed:
    """Somebody by name: a population's, an owner's number, or OWNER@STEP, its close-outs of that step.

    Raises:
        DataError: nobody of that name was closed out in the cascade.
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
        return Removed(f"close-outs of {who}", Rescue(populations=(who,), since=first, until=last), rows)
    name = called(actions[here].iloc[0]) + (f" in step {step}" if step else "")
    return Removed(name, Rescue(owners=(int(owner),), since=first, until=last), rows)


def _unknown(case: Case, who: str) -> str:
    """What to say of a name that was not closed out in a cascade."""
    actions, (owner, at, _) = case.actions, who.partition("@")
    own = actions[actions["owner"].astype(str) == owner]
    if at and len(own):
        steps = ", ".join(f"{owner}@{step}" for step in own["step"].unique())
        return f"{who!r} was not closed out then in cascade {case.number}, choose one of {steps}"
    known = [*actions["population"].unique(), *actions["owner"].astype(str).unique()]
    listed = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")
    near = did_you_mean(who, known) or ", choose one of them, or OWNER@STEP"
    return f"{who!r} was not closed out in cascade {case.number}, those that were are {listed}{near}"


SHOWN = 12
"""Names that a message lists."""


def removed(case: Case, base: Fork, gone: Removed) -> Without:
    """The run again without somebody's close-outs."""
    other = base.frames(case.window[1], rescues=(*case.config.rescues, gone.rescue))
    claim = passed(case.links, gone.rows) @ case.links.actions["notional"].to_numpy(np.float64)
    return without(case, gone.name, other, case.links.actions["owner"].to_numpy()[gone.rows], float(claim))


def spared(case: Case, owner: int) -> Rescue:
    """One owner given what it lacks while the cascade lasts."""
    return Rescue(owners=(owner,), since=case.window[0], until=case.window[1])


def engine(case: Case, name: str) -> Without:
    """The run from its beginning under another engine at the cascade's venue: another history, same draws.

    The engine is brought to the capital of the run's own, on what accounts hold and on what is known before the
    cascade, and both are compressed alike (MAR-2).

    Raises:
        ConfigError: there is no such engine, or it does not fit the market.
    """
    other = engine_named(name)
    names = [venue.name for venue in case.config.venues]
    number = names.index(str(case.actions["venue"].iloc[0]))
    matched, terms = _matched(case, other, number)
    rules = case.config.model_dump(mode="json")
    rules["venues"][number]["engine"] = matched.model_dump(mode="json")
    market = advanced(begun(RunConfig.model_validate(rules)), case.window[1])
    return without(case, f"under {name}", market.recorder.frames())._replace(terms=f"under {name}: {terms}")


def engine_named(name: str) -> EngineConfig:
    """A packaged engine, or one in a file.

    Raises:
        ConfigError: there is none of that name, or the file holds something else.
    """
    if not name.strip():
        raise ConfigError(["--engine: '', names no engine, give a packaged one such as span, or a file"])
    return load_as("engine", preset("--engine", name, Wanted(False, ())), (), EngineConfig)


def _matched(case: Case, other: EngineConfig, number: int) -> tuple[EngineConfig, str]:
    """An engine at the capital, with the compression and the maintenance dial of the run's; on what terms, in words."""
    own, begin = case.config.venues[number].engine, case.window[0] - 1
    book = [taken(advanced(begun(case.config), begin), number)]
    unit = 10 ** case.config.assets[0].decimals
    dials = {"kappa": own.kappa, "maintenance": other.maintenance if own.maintenance is None else own.maintenance}
    shared = f"compressed by κ = {own.kappa:g} as in the run"
    try:
        target = capital(own.model_copy(update={"kappa": 0.0}), book, unit).total
        other = at_equal_capital(other, book, unit, target)
        terms = (
            f"scaled by {other.scale:.3g}, at which it asks what the run's own engine does of the accounts before the "
            f"cascade, {target:.2%} of notional; {shared}"
        )
    except ConfigError as error:
        terms = f"at another capital, for it cannot be scaled to the run's ({error}); {shared}"
    return other.model_copy(update=dials), terms + _learnt(other, begin * case.config.dt)


def _learnt(other: EngineConfig, seconds: float) -> str:
    """Whether an engine had learnt by the cascade, in words; empty where it had, or learns nothing."""
    needed = other.requirement.look_back()
    if needed < seconds or not needed:
        return ""
    return (
        f"; it needs {spelt(needed)} of past and had {spelt(seconds)} before the cascade, so that some or all of its "
        "margin was its opening value, a constant"
    )


def without(case: Case, name: str, other: Frames, owners: I8 = NOBODY_ELSE, claim: float = np.nan) -> Without:
    """What other frames make of a cascade.

    Args:
        case: the cascade.
        name: what was taken away.
        other: frames of the twin, up to the cascade's last step.
        owners: who is not counted, as their close-outs were what was taken away.
        claim: what attribution says of them.
    """
    run, twin = (_others(frames, case.window, owners) for frames in (case.frames, other))
    gift = _deposits(other, case.window) - _deposits(case.frames, case.window)
    return Without(name, claim, run - twin, way(case, other), gift)


def _others(frames: Frames, window: tuple[int, int], owners: I8) -> float:
    """Notional closed out in a window of those who were left alone."""
    closed = frames["closeouts"]
    here = closed["step"].between(*window) & ~closed["owner"].isin(owners)
    return float(closed.loc[here, "notional"].sum())


def _deposits(frames: Frames, window: tuple[int, int]) -> int:
    once = venues(frames)
    return int(once.loc[once["step"].between(*window), "deposits"].sum())


def way(case: Case, frames: Frames) -> float:
    """How far the mark went in a cascade's window, as ``Without.way``."""
    steps = frames["steps"]
    last = steps[(steps["instrument"] == case.instrument) & (steps["step"] < case.window[0])]["mark"]
    before = float(last.iloc[-1]) if len(last) else float(case.closeouts["mark_before"].iloc[0])
    return float(np.log(farthest(case, frames) / before))


def farthest(case: Case, frames: Frames) -> float:
    """Lowest mark of the window, highest if the cascade went up: after a close-out, or at the end of a step."""
    steps, closed = (
        table[(table["instrument"] == case.instrument) & table["step"].between(*case.window)]
        for table in (frames["steps"], frames["closeouts"])
    )
    marks = pd.concat([steps["mark"], closed["mark_after"]])
    return float(marks.max() if case.direction > 0 else marks.min())
