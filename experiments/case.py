"""One cascade of one run, as it is read from a result folder."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.config import RunConfig
from sim.errors import DataError
from sim.metrics.cascades import Frames
from sim.metrics.contagion import Contagion, contagion
from sim.metrics.generations import members, through
from sim.types import F8, I8

FRAMES = ("steps", "closeouts", "causes", "losses")


@dataclass(frozen=True)
class Case:
    """One cascade of one run."""

    config: RunConfig
    frames: Frames
    links: Contagion
    number: int
    rows: I8  # of its actions

    @cached_property
    def actions(self) -> pd.DataFrame:
        """Its actions, in order; indices are their rows in the run's."""
        return self.links.actions.iloc[self.rows]

    @cached_property
    def window(self) -> tuple[int, int]:
        """Its first and last step."""
        steps = self.actions["step"].to_numpy()
        return int(steps.min()), int(steps.max())

    @cached_property
    def closeouts(self) -> pd.DataFrame:
        """Its part of the frame of that name."""
        closed = self.frames["closeouts"]
        return closed[closed["action"].isin(self.actions["action"])]

    @cached_property
    def instrument(self) -> str:
        """What it traded most."""
        return str(self.closeouts.groupby("instrument")["notional"].sum().idxmax())

    @cached_property
    def direction(self) -> int:
        """Which way it carried that mark: -1 down, 1 up."""
        own = self.closeouts[self.closeouts["instrument"] == self.instrument]
        return 1 if (own["mark_after"] - own["mark_before"]).sum() > 0 else -1


def read(folder: Path) -> tuple[RunConfig, Frames]:
    """Configuration and frames of a run.

    Args:
        folder: of ``deleverage run``, or of one run of a sweep.

    Raises:
        DataError: it is no result of a run, is of another version, or cannot be read.
    """
    from experiments.paper.opened import RunResult, opened

    result = opened(folder, measured=False)
    if not isinstance(result, RunResult):
        runs = sorted(path for path in (folder / "runs").glob("*") if (path / "summary.json").is_file())
        rule = f"name one such as {runs[0]}" if runs else "but none is there, start deleverage sweep with it again"
        raise DataError(f"{folder}: is a study, explain tells of one of its runs, {rule}")
    if lacking := [name for name in FRAMES if name not in result.frames]:
        damaged = [each for each in result.problems if any(f"{name}.parquet" in each for name in lacking)]
        told = f"{folder}: no {', '.join(f'{name}.parquet' for name in lacking)}, make the run again with this version"
        raise DataError(*(damaged or [told]))
    return result.config, dict(result.frames)


def chosen(config: RunConfig, frames: Frames, number: int) -> Case:
    """One cascade by its number, 1 the largest.

    Raises:
        DataError: there is no such cascade, or the frames are of an older version.
    """
    links = contagion(frames)
    place = members(links)
    if not (place == number).any():
        rule = "nothing was closed out in this run, hence there is none, leave it out"
        if place.size:
            rule = f"is not one of 1 to {place.max()}, of which 1 is the largest, choose one of them"
        raise DataError(f"--cascade: {number}, {rule}")
    return Case(config, frames, links, number, np.flatnonzero(place == number))


def people(case: Case) -> pd.DataFrame:
    """Owners of a cascade, largest contribution first: notional, and that of others which passed through them."""
    weight = case.links.actions["notional"].to_numpy(np.float64)
    rows = []
    for owner, part in case.actions.groupby("owner", sort=False):
        share = passed(case.links, part.index.to_numpy(np.int64))
        rows.append((owner, called(part.iloc[0]), part["notional"].sum(), float(share @ weight)))
    table = pd.DataFrame(rows, columns=["owner", "name", "notional", "attributed"])
    return table.sort_values(["attributed", "notional"], ascending=False, ignore_index=True)


def passed(links: Contagion, rows: I8) -> F8:
    """Share of everybody else's harm that passed through an owner, (A,); nil for its own actions.

    Args:
        links: of a run.
        rows: of the owner's actions.
    """
    share, owners = through(links, rows), links.actions["owner"].to_numpy()
    share[np.isin(owners, owners[rows])] = 0.0
    return share


def called(action: "pd.Series[Any]") -> str:
    """What an action's owner goes by."""
    return f"{action['population']} {action['owner']}"


def money(config: RunConfig) -> Callable[[Any], str]:
    """How amounts in minor units are written."""
    numeraire = config.assets[0]
    return lambda amount: f"{amount / 10**numeraire.decimals:,.0f} {numeraire.name}"
