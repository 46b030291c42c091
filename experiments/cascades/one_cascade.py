"""One cascade of one run, read from a result folder."""

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
from sim.metrics.contagion import ContagionLinks, build_contagion
from sim.metrics.generations import assign_cascades, compute_passed_share
from sim.types import F8, I8

FRAMES = ("steps", "closeouts", "causes", "losses")


@dataclass(frozen=True)
class Cascade:
    """One cascade of one run."""

    config: RunConfig
    frames: Frames
    links: ContagionLinks
    number: int
    action_rows: I8  # rows of its actions in those of the run

    @cached_property
    def actions(self) -> pd.DataFrame:
        """Actions of the cascade, in order; indices are their rows in those of the run."""
        return self.links.actions.iloc[self.action_rows]

    @cached_property
    def window(self) -> tuple[int, int]:
        """First and last step of the cascade."""
        steps = self.actions["step"].to_numpy()
        return int(steps.min()), int(steps.max())

    @cached_property
    def closeouts(self) -> pd.DataFrame:
        """Close-outs of the cascade, from the frame ``closeouts``."""
        closed = self.frames["closeouts"]
        return closed[closed["action"].isin(self.actions["action"])]

    @cached_property
    def instrument(self) -> str:
        """Instrument with the largest notional closed out."""
        return str(self.closeouts.groupby("instrument")["notional"].sum().idxmax())

    @cached_property
    def direction(self) -> int:
        """Direction in which the cascade moved that instrument's mark: -1 down, 1 up."""
        own = self.closeouts[self.closeouts["instrument"] == self.instrument]
        return 1 if (own["mark_after"] - own["mark_before"]).sum() > 0 else -1


def read_run(folder: Path) -> tuple[RunConfig, Frames]:
    """Return the configuration and frames of a run.

    Args:
        folder: result of ``deleverage run``, or of one run of a sweep.

    Raises:
        DataError: the folder is not a result of a run, is of another version, or cannot be read.
    """
    from experiments.paper.load_results import RunResult, open_result

    result = open_result(folder, measured=False)
    if not isinstance(result, RunResult):
        runs = sorted(
            path for path in (folder / "runs").glob("*") if (path / "summary.json").is_file()
        )
        rule = (
            f"name one such as {runs[0]}"
            if runs
            else "but none is there, start deleverage sweep with it again"
        )
        raise DataError(f"{folder}: is a study, explain describes one of its runs, {rule}")
    if lacking := [name for name in FRAMES if name not in result.frames]:
        damaged = [
            each for each in result.problems if any(f"{name}.parquet" in each for name in lacking)
        ]
        files = ", ".join(f"{name}.parquet" for name in lacking)
        message = f"{folder}: no {files}, make the run again with this version"
        raise DataError(*(damaged or [message]))
    return result.config, dict(result.frames)


def select_cascade(config: RunConfig, frames: Frames, number: int) -> Cascade:
    """Return a cascade by its number; number 1 is the largest.

    Raises:
        DataError: the cascade does not exist, or the frames are of an older version.
    """
    links = build_contagion(frames)
    place = assign_cascades(links)
    if not (place == number).any():
        rule = "nothing was closed out in this run, hence there is none, leave it out"
        if place.size:
            rule = (
                f"is not one of 1 to {place.max()}, of which 1 is the largest, choose one of them"
            )
        raise DataError(f"--cascade: {number}, {rule}")
    return Cascade(config, frames, links, number, np.flatnonzero(place == number))


def tabulate_owners(case: Cascade) -> pd.DataFrame:
    """Return the owners of a cascade, largest contribution first.

    Columns are the owner's notional, and the notional of others attributed to it.
    """
    weight = case.links.actions["notional"].to_numpy(np.float64)
    rows = []
    for owner, part in case.actions.groupby("owner", sort=False):
        share = measure_passed_harm(case.links, part.index.to_numpy(np.int64))
        rows.append(
            (owner, format_owner(part.iloc[0]), part["notional"].sum(), float(share @ weight))
        )
    table = pd.DataFrame(rows, columns=["owner", "name", "notional", "attributed"])
    return table.sort_values(["attributed", "notional"], ascending=False, ignore_index=True)


def measure_passed_harm(links: ContagionLinks, rows: I8) -> F8:
    """Return the share of each action's harm that passed through an owner, (A,).

    The share is zero for the owner's own actions.

    Args:
        links: contagion links of a run.
        rows: rows of the owner's actions.
    """
    share, owners = compute_passed_share(links, rows), links.actions["owner"].to_numpy()
    share[np.isin(owners, owners[rows])] = 0.0
    return share


def format_owner(action: "pd.Series[Any]") -> str:
    """Return the name of an action's owner: population and number."""
    return f"{action['population']} {action['owner']}"


def make_money_formatter(config: RunConfig) -> Callable[[Any], str]:
    """Return a function that formats amounts in minor units."""
    numeraire = config.assets[0]
    return lambda amount: f"{amount / 10**numeraire.decimals:,.0f} {numeraire.name}"
