"""What would have stopped a cascade: the run again, on the same draws, with something taken away (LIQ-9)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from agents import populate
from experiments.case import Case, called, people
from experiments.config import RunConfig
from experiments.data import read_replays
from experiments.fork import Fork, advanced
from sim.loading import resolve
from sim.market import Market
from sim.metrics.cascades import Frames
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


def fork(case: Case) -> Fork:
    """The run before the cascade's first step."""
    return Fork(lambda: begun(case.config), case.window[0] - 1)


def begun(config: RunConfig) -> Market:
    """A run before its first step."""
    return Market(config, populate(config.populations), seed=config.seed, bars=read_replays(config.underlyings))


def twins(case: Case, count: int) -> Iterator[Without]:
    """Without any close-out of the cascade's steps, without each population's, without the accounts that did most."""
    base, (first, last) = fork(case), case.window
    yield without(case, "any close-out", base.frames(last, suppress_closeouts=True))
    for name in dict.fromkeys(case.actions["population"]):
        actions = case.links.actions
        theirs = actions.loc[actions["population"] == name, "owner"].unique()
        saved = (*case.config.rescues, Rescue(populations=(name,), since=first, until=last))
        yield without(case, f"close-outs of {name}", base.frames(last, rescues=saved), theirs)
    for each in people(case).head(count).itertuples():
        yield removed(case, base, int(str(each.owner)), float(str(each.attributed)))


def removed(case: Case, base: Fork, owner: int, attributed: float) -> Without:
    """The run again with one owner kept out of liquidation while the cascade lasts."""
    other = base.frames(case.window[1], rescues=(*case.config.rescues, spared(case, owner)))
    name = called(case.links.actions[case.links.actions["owner"] == owner].iloc[0])
    return without(case, name, other, np.array([owner]), attributed)


def spared(case: Case, owner: int) -> Rescue:
    """One owner given what it lacks while the cascade lasts."""
    return Rescue(owners=(owner,), since=case.window[0], until=case.window[1])


def engine(case: Case, preset: str) -> Without:
    """The run from its beginning under another packaged engine at its first venue: another history, same draws."""
    rules = case.config.model_dump(mode="json")
    for venue in rules["venues"]:
        if venue["name"] == case.actions["venue"].iloc[0]:
            venue["engine"] = resolve(f"engines/{preset}")
    market = advanced(begun(RunConfig.model_validate(rules)), case.window[1])
    return without(case, f"under {preset}", market.recorder.frames())


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
    once = frames["steps"].drop_duplicates(["step", "venue"])
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
