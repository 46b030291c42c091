"""One cascade told in a page: trigger, generations, who, what it cost, and what would have stopped it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd

from experiments.cascades.counterfactual_runs import Without, way
from experiments.cascades.one_cascade import Case, called, people
from experiments.cascades.one_cascade import money as money_of
from experiments.config import RunConfig
from experiments.results import store
from sim.metrics.cascades import Frames
from sim.metrics.contagion import ROOTS, contagion
from sim.metrics.generations import branching, by_generation, cascades, depth, masses, members, origins, reach
from sim.metrics.graphs import graph

SHOWN = 10
"""Rows of a list."""

FAINT = 0.005
"""Close-outs' worth of a generation that is told last."""

HALF = 0.5
"""Share of a cascade from which on it would not have been the same one."""


def listing(config: RunConfig, frames: Frames) -> str:
    """What began close-outs, how they branched, and the largest cascades."""
    links = contagion(frames)
    if not len(links.actions):
        return "nothing was closed out in this run: no cascades"
    money, found = money_of(config), branching(links)
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
    size = f"{row['accounts']} accounts, {money_of(case.config)(row['notional'])}"
    yield f"cascade {case.number}: steps {first} to {last}, {size}"
    yield f"  trigger       {roots}; first closed out: {called(trigger)} in step {trigger['step']}"
    yield f"  contagion     {row['endogenous']:.0%} of it was brought about by close-outs; longest chain {row['depth']}"
    yield f"  margin model  {row['requirement']:.1%} of it was begun by a change of requirement"


def _generations(case: Case) -> Iterator[str]:
    """How many actions each generation of this cascade has, in shares; of the whole run's ratios, the interval."""
    counts, run = masses(case.links)[:, case.rows].sum(axis=1), by_generation(case.links)
    counts = counts[: np.flatnonzero(counts >= FAINT)[-1] + 1]
    yield "generations   close-outs, each in part in several (of the whole run, the next generation's over it)"
    for number, count in enumerate(counts[:SHOWN]):
        ratio = run.iloc[number]
        yield f"  {number:>3}: {count:>7.2f} ({_interval(ratio['ratio'], ratio['low'], ratio['high'])})"
    if counts.size > SHOWN:
        yield f"  and later {counts[SHOWN:].sum():.2f}"


def _who(case: Case) -> Iterator[str]:
    money, table = money_of(case.config), people(case)
    yield "who           closed out, and what of others it brought about"
    for each in table.head(5).itertuples():
        yield f"  {each.name:<28} {money(each.notional):>20} {money(each.attributed):>20}"


def _cost(case: Case) -> Iterator[str]:
    first, last = case.window
    money, losses = money_of(case.config), case.frames["losses"]
    mine = case.links.actions.iloc[case.rows][["pool", "owner"]].drop_duplicates()
    borne = losses[losses["step"].between(first, last)].merge(mine, on=["pool", "owner"])
    layers = borne.groupby("layer")["absorbed"].sum()
    yield "cost          beyond their margin: " + (
        ", ".join(f"{name} {money(amount)}" for name, amount in layers.items()) or "none"
    )


def _stopped(case: Case, twins: Sequence[Without]) -> Iterator[str]:
    if not twins:
        return
    money, gone = money_of(case.config), way(case, case.frames)
    yield f"without       {'attributed':>20} {'prevented':>20} {'mark':>8} {'amplified':>10} {'given':>18}"
    yield f"  {'nothing: the run itself':<50} {'':>4} {np.expm1(gone):>+8.2%}"
    for each in twins:
        claim = "" if np.isnan(each.attributed) else money(each.attributed)
        times = f"{gone / each.way:.2f}" if each.way * gone > 0 else "none"
        what = f"{each.name:<28} {claim:>20} {money(each.prevented):>20}"
        yield f"  {what} {np.expm1(each.way):>+8.2%} {times:>10} {money(each.gift):>18}"
    yield from (f"  {each.terms}" for each in twins if each.terms)
    yield "  attributed, prevented: of others than who is removed. One twin is one draw, --worlds N compares means"
    yield from _most(case, twins)


def _most(case: Case, twins: Sequence[Without]) -> Iterator[str]:
    """Who alone would have made most of a difference, of those that were tried one by one."""
    alone = [each for each in twins if not np.isnan(each.attributed)]
    if alone:
        best = max(alone, key=lambda each: each.prevented)
        share = best.prevented / case.actions["notional"].sum()
        verdict = "would have stopped most of it" if share >= HALF else "none of these would have stopped it alone"
        yield f"  {verdict}: without {best.name} others are closed out of {share:.0%} of the cascade less"


def export(frames: Frames, folder: Path) -> None:
    """``contagion.graphml``, and ``cascades``, ``actions`` and ``links`` as Parquet.

    Raises:
        OutputError: the folder cannot hold results.
        WriteError: a write failed.
    """
    links = contagion(frames)
    told = links.actions.assign(cascade=members(links), depth=depth(links), reach=reach(links))
    tables = {"cascades": cascades(links), "actions": told}
    edges = (
        nx.to_pandas_edgelist(graph(links))
        if len(links.actions)
        else pd.DataFrame(columns=["source", "target", "share"])
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with store.whole(folder / "contagion.graphml"):
            nx.write_graphml(graph(links), folder / "contagion.graphml")
        for name, table in (tables | {"links": edges}).items():
            store.write_frame(table, folder / f"{name}.parquet", {})
    except OSError as error:
        raise store.refused(error, folder, option="--export") from error


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f}" if np.isnan(low) else f"{value:.2f}, {low:.2f} to {high:.2f}"
