"""One cascade told in a page: trigger, generations, who, what it cost, and what would have stopped it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import pandas as pd

from agents import populate
from experiments import store
from experiments.config import RunConfig, load_run
from experiments.data import read_replays
from sim.errors import DataError
from sim.market import Market
from sim.metrics.cascades import Frames
from sim.metrics.contagion import ROOTS, Contagion, contagion
from sim.metrics.generations import branching, by_generation, cascades, depth, members, origins, reach, through
from sim.metrics.graphs import graph
from sim.rescue import Rescue

FRAMES = ("steps", "closeouts", "causes", "losses")
SHOWN = 10
"""Rows of a list."""


class Case(NamedTuple):
    """One cascade of one run."""

    config: RunConfig
    frames: Frames
    links: Contagion
    number: int
    rows: "np.ndarray[Any, Any]"  # of its actions

    @property
    def window(self) -> tuple[int, int]:
        """Its first and last step."""
        steps = self.links.actions["step"].to_numpy()[self.rows]
        return int(steps.min()), int(steps.max())


class Without(NamedTuple):
    """The same run, same draws, with something taken away: what others were closed out of, and the mark's lowest."""

    name: str
    attributed: float  # notional of others that attribution lays at its door, minor units; nan = no claim
    prevented: float  # notional of others that was closed out in the window and is not any more
    lowest: float  # mark in the window, over that of the run, less one
    gift: int  # what rescued accounts were given in the window, minor units


def read(folder: Path) -> tuple[RunConfig, Frames]:
    """Configuration and frames of a result.

    Raises:
        DataError: it is no result of a run, or cannot be read.
    """
    config = folder / "config.resolved.yaml"
    paths = {name: folder / f"{name}.parquet" for name in FRAMES}
    lacking = [path.name for path in (config, *paths.values()) if not path.is_file()]
    if lacking:
        told = f"{folder}: is no result of a run ({', '.join(lacking)} missing)"
        raise DataError(f"{told}, name a folder that deleverage run printed")
    try:
        return load_run(config), {name: pd.read_parquet(path) for name, path in paths.items()}
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: frames cannot be read ({str(error).splitlines()[0]}), run again") from error


def chosen(config: RunConfig, frames: Frames, number: int) -> Case:
    """One cascade by its number, 1 the largest.

    Raises:
        DataError: there is no such cascade, or the frames are of an older version.
    """
    links = contagion(frames)
    place = members(links)
    if not (place == number).any():
        told = f"there are {place.max()}, the largest is 1" if place.size else "nothing was closed out in this run"
        raise DataError(f"cascade: {number}, {told}, choose one that `deleverage explain` lists")
    return Case(config, frames, links, number, np.flatnonzero(place == number))


def listing(config: RunConfig, frames: Frames) -> str:
    """What began close-outs, how they branched, and the largest cascades."""
    links = contagion(frames)
    if not len(links.actions):
        return "nothing was closed out in this run: no cascades"
    money, found = _money(config), branching(links)
    shares = origins(links).query("share > 5e-4")
    began = ", ".join(f"{kind} {share:.1%}" for kind, share in zip(shares["kind"], shares["share"], strict=True))
    lines = [f"branching ratio {_interval(*found[:3])} over {found.total:.0f} actions; pushed by: {began}", ""]
    lines.append(
        f"{'cascade':>7} {'steps':>13} {'accounts':>9} {'depth':>6} {'brought about':>14} {'notional':>20}  begun by"
    )
    for each in cascades(links).head(SHOWN).itertuples():
        steps = f"{each.first}-{each.last}"
        size = f"{each.depth:>6} {each.endogenous:>14.0%} {money(each.notional):>20}"
        lines.append(f"{each.cascade:>7} {steps:>13} {each.accounts:>9} {size}  {each.origin}")
    return "\n".join(lines)


def page(case: Case, twins: Sequence[Without]) -> str:
    """The page."""
    return "\n".join(
        [*_story(case), "", *_generations(case), "", *_who(case), "", *_cost(case), "", *_stopped(case, twins)]
    )


def _story(case: Case) -> Iterator[str]:
    row = cascades(case.links).iloc[case.number - 1]
    first, last = case.window
    kinds = case.links.roots[case.rows].T @ case.links.actions["notional"].to_numpy()[case.rows] / row["notional"]
    roots = ", ".join(f"{kind} {share:.0%}" for kind, share in zip(ROOTS, kinds, strict=True) if share >= 0.005)
    trigger = case.links.actions.iloc[case.rows[0]]
    size = f"{row['accounts']} accounts, {_money(case.config)(row['notional'])}"
    yield f"cascade {case.number}: steps {first} to {last}, {size}"
    yield f"  trigger       {roots}; first closed out: {_name(trigger)} in step {trigger['step']}"
    yield f"  contagion     {row['endogenous']:.0%} of it was brought about by close-outs; longest chain {row['depth']}"
    yield f"  margin model  {row['requirement']:.1%} of it was begun by a change of requirement"


def _generations(case: Case) -> Iterator[str]:
    """How many actions each generation of this cascade has; of the run's ratios, the interval."""
    level, run = depth(case.links)[case.rows], by_generation(case.links)
    counts = np.bincount(level)
    yield "generations   longest chain before it: actions (run's ratio of the next generation to it)"
    for number, count in enumerate(counts[:SHOWN]):
        ratio = run.iloc[number] if number < len(run) else None
        told = f" ({_interval(ratio['ratio'], ratio['low'], ratio['high'])})" if ratio is not None else ""
        yield f"  {number:>3}: {count:>5}{told}"
    if counts.size > SHOWN:
        yield f"  and {counts.size - SHOWN} more, {counts[SHOWN:].sum()} actions"


def _who(case: Case) -> Iterator[str]:
    money, table = _money(case.config), _people(case)
    yield "who           closed out, and what of others it brought about"
    for each in table.head(5).itertuples():
        yield f"  {each.name:<28} {money(each.notional):>20} {money(each.attributed):>20}"


def _cost(case: Case) -> Iterator[str]:
    first, last = case.window
    money, losses = _money(case.config), case.frames["losses"]
    mine = case.links.actions.iloc[case.rows][["pool", "owner"]].drop_duplicates()
    borne = losses[losses["step"].between(first, last)].merge(mine, on=["pool", "owner"])
    layers = borne.groupby("layer")["absorbed"].sum()
    yield "cost          " + (
        ", ".join(f"{name} {money(amount)}" for name, amount in layers.items()) or "no loss beyond margin"
    )


def _stopped(case: Case, twins: Sequence[Without]) -> Iterator[str]:
    if not twins:
        return
    money = _money(case.config)
    yield f"without       {'attributed':>20} {'prevented':>20} {'lowest mark':>12} {'given':>18}"
    for each in twins:
        claim = "" if np.isnan(each.attributed) else money(each.attributed)
        yield f"  {each.name:<28} {claim:>20} {money(each.prevented):>20} {each.lowest:>+12.2%} {money(each.gift):>18}"


def _people(case: Case) -> pd.DataFrame:
    """Owners of a cascade, largest contribution first: notional, and that of others which passed through them."""
    actions = case.links.actions.iloc[case.rows]
    weight = case.links.actions["notional"].to_numpy()
    rows = []
    for owner, part in actions.groupby("owner", sort=False):
        own = part.index.to_numpy(np.int64)
        share = through(case.links, own)
        share[case.links.actions["owner"].to_numpy() == owner] = 0.0
        rows.append((owner, _name(part.iloc[0]), part["notional"].sum(), float(share @ weight)))
    table = pd.DataFrame(rows, columns=["owner", "name", "notional", "attributed"])
    return table.sort_values(["attributed", "notional"], ascending=False, ignore_index=True)


def twins(case: Case, count: int) -> Iterator[Without]:
    """The run again without any close-outs, without each population, and without the accounts that did most."""
    yield _without(case, "any close-out", {"suppress_closeouts": True}, np.empty(0, dtype=np.int64), np.nan)
    first, last = case.window
    people, actions = _people(case), case.links.actions
    for name in dict.fromkeys(actions.iloc[case.rows]["population"]):
        theirs = actions.loc[actions["population"] == name, "owner"].unique()
        rescue = Rescue(populations=(name,), since=first, until=last)
        yield _without(case, f"close-outs of {name}", {"rescues": (*case.config.rescues, rescue)}, theirs, np.nan)
    for each in people.head(count).itertuples():
        yield removed(case, int(str(each.owner)), float(str(each.attributed)))


def removed(case: Case, owner: int, attributed: float) -> Without:
    """The run again with one owner kept out of liquidation while the cascade lasts."""
    first, last = case.window
    rescue = Rescue(owners=(owner,), since=first, until=last)
    name = _name(case.links.actions[case.links.actions["owner"] == owner].iloc[0])
    changes = {"rescues": (*case.config.rescues, rescue)}
    return _without(case, name, changes, np.array([owner]), attributed)


def _without(case: Case, name: str, changes: dict[str, Any], owners: "np.ndarray[Any, Any]", claim: float) -> Without:
    config = case.config.model_copy(update=changes)
    market: Any = Market(config, populate(config.populations), seed=config.seed, bars=read_replays(config.underlyings))
    while market.tick < case.window[1]:
        market.step()
    other = market.recorder.frames()
    run, twin = (_others(frames, case.window, owners) for frames in (case.frames, other))
    gift = _deposits(other, case.window) - _deposits(case.frames, case.window)
    return Without(name, claim, run - twin, _lowest(case, other) / _lowest(case, case.frames) - 1, gift)


def _others(frames: Frames, window: tuple[int, int], owners: "np.ndarray[Any, Any]") -> float:
    """Notional closed out in a window of those who were left alone."""
    closed = frames["closeouts"]
    here = closed["step"].between(*window) & ~closed["owner"].isin(owners)
    return float(closed.loc[here, "notional"].sum())


def _deposits(frames: Frames, window: tuple[int, int]) -> int:
    once = frames["steps"].drop_duplicates(["step", "venue"])
    return int(once.loc[once["step"].between(*window), "deposits"].sum())


def _lowest(case: Case, frames: Frames) -> float:
    """Lowest mark at the end of a step of the window, of the instrument that the cascade traded most."""
    first, last = case.window
    closed = case.frames["closeouts"]
    own = closed[closed["action"].isin(case.links.actions["action"].iloc[case.rows])]
    name = own.groupby("instrument")["notional"].sum().idxmax()
    steps = frames["steps"]
    return float(steps.loc[(steps["instrument"] == name) & steps["step"].between(first, last), "mark"].min())


def export(frames: Frames, folder: Path) -> None:
    """``contagion.graphml``, and ``cascades``, ``actions`` and ``links`` as Parquet."""
    links = contagion(frames)
    folder.mkdir(parents=True, exist_ok=True)
    nx.write_graphml(graph(links), folder / "contagion.graphml")
    told = links.actions.assign(cascade=members(links), depth=depth(links), reach=reach(links))
    tables = {"cascades": cascades(links), "actions": told}
    edges = (
        nx.to_pandas_edgelist(graph(links))
        if len(links.actions)
        else pd.DataFrame(columns=["source", "target", "share"])
    )
    for name, table in (tables | {"links": edges}).items():
        store.write_frame(table, folder / f"{name}.parquet", {})


def _name(action: "pd.Series[Any]") -> str:
    return f"{action['population']} {action['owner']}"


def _money(config: RunConfig) -> Any:
    numeraire = config.assets[0]
    return lambda amount: f"{amount / 10**numeraire.decimals:,.0f} {numeraire.name}"


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f}" if np.isnan(low) else f"{value:.2f}, {low:.2f} to {high:.2f}"
