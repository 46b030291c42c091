"""One cascade told in a page: trigger, generations, who, what it cost, and what would have stopped it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd

from experiments.cascades.counterfactual_runs import CounterfactualRun, measure_mark_move
from experiments.cascades.one_cascade import Cascade, format_owner, tabulate_owners
from experiments.cascades.one_cascade import make_money_formatter as money_of
from experiments.config import RunConfig
from experiments.results import store
from sim.metrics.cascades import Frames
from sim.metrics.contagion import ROOT_KINDS, build_contagion
from sim.metrics.generations import (
    assign_cascades,
    compute_depths,
    compute_masses,
    compute_reach,
    estimate_branching,
    tabulate_cascades,
    tabulate_generations,
    tabulate_origins,
)
from sim.metrics.graphs import build_graph

MAX_ROWS = 10
"""Rows of a list."""

MIN_GENERATION = 0.005
"""Close-outs' worth of a generation that is told last."""

STOPPING_SHARE = 0.5
"""Share of a cascade from which on it would not have been the same one."""


def format_cascade_list(config: RunConfig, frames: Frames) -> str:
    """What began close-outs, how they branched, and the largest cascades."""
    links = build_contagion(frames)
    if not len(links.actions):
        return "nothing was closed out in this run: no cascades"
    money, found = money_of(config), estimate_branching(links)
    shares = tabulate_origins(links).query("share > 5e-4")
    began = ", ".join(
        f"{kind} {share:.1%}" for kind, share in zip(shares["kind"], shares["share"], strict=True)
    )
    lines = [
        f"branching ratio {_format_interval(*found[:3])} over {found.total:.0f} actions; pushed by: {began}",
        "",
    ]
    lines.append(
        f"{'cascade':>7} {'steps':>13} {'accounts':>9} {'depth':>6} {'brought about':>14} {'notional':>20}  begun by"
    )
    for each in tabulate_cascades(links).head(MAX_ROWS).itertuples():
        steps = f"{each.first}-{each.last}"
        size = f"{each.depth:>6} {each.endogenous:>14.0%} {money(each.notional):>20}"
        lines.append(f"{each.cascade:>7} {steps:>13} {each.accounts:>9} {size}  {each.origin}")
    return "\n".join(lines)


def format_cascade(case: Cascade, twins: Sequence[CounterfactualRun]) -> str:
    """The page."""
    return "\n".join(
        [
            *_format_overview(case),
            "",
            *_format_generations(case),
            "",
            *_format_owners(case),
            "",
            *_format_losses(case),
            "",
            *_format_counterfactuals(case, twins),
        ]
    )


def _format_overview(case: Cascade) -> Iterator[str]:
    row = tabulate_cascades(case.links).iloc[case.number - 1]
    first, last = case.window
    kinds = (
        case.links.harm_by_root[case.action_rows].T
        @ case.links.actions["notional"].to_numpy()[case.action_rows]
        / row["notional"]
    )
    roots = ", ".join(
        f"{kind} {share:.0%}"
        for kind, share in zip(ROOT_KINDS, kinds, strict=True)
        if share >= 0.005
    )
    trigger = case.links.actions.iloc[case.action_rows[0]]
    size = f"{row['accounts']} accounts, {money_of(case.config)(row['notional'])}"
    yield f"cascade {case.number}: steps {first} to {last}, {size}"
    yield f"  trigger       {roots}; first closed out: {format_owner(trigger)} in step {trigger['step']}"
    yield f"  contagion     {row['endogenous']:.0%} of it was brought about by close-outs; longest chain {row['depth']}"
    yield f"  margin model  {row['requirement']:.1%} of it was begun by a change of requirement"


def _format_generations(case: Cascade) -> Iterator[str]:
    """How many actions each generation of this cascade has, in shares; of the whole run's ratios, the interval."""
    counts, run = (
        compute_masses(case.links)[:, case.action_rows].sum(axis=1),
        tabulate_generations(case.links),
    )
    counts = counts[: np.flatnonzero(counts >= MIN_GENERATION)[-1] + 1]
    yield "generations   close-outs, each in part in several (of the whole run, the next generation's over it)"
    for number, count in enumerate(counts[:MAX_ROWS]):
        ratio = run.iloc[number]
        yield f"  {number:>3}: {count:>7.2f} ({_format_interval(ratio['ratio'], ratio['low'], ratio['high'])})"
    if counts.size > MAX_ROWS:
        yield f"  and later {counts[MAX_ROWS:].sum():.2f}"


def _format_owners(case: Cascade) -> Iterator[str]:
    money, table = money_of(case.config), tabulate_owners(case)
    yield "who           closed out, and what of others it brought about"
    for each in table.head(5).itertuples():
        yield f"  {each.name:<28} {money(each.notional):>20} {money(each.attributed):>20}"


def _format_losses(case: Cascade) -> Iterator[str]:
    first, last = case.window
    money, losses = money_of(case.config), case.frames["losses"]
    mine = case.links.actions.iloc[case.action_rows][["pool", "owner"]].drop_duplicates()
    borne = losses[losses["step"].between(first, last)].merge(mine, on=["pool", "owner"])
    layers = borne.groupby("layer")["absorbed"].sum()
    yield "cost          beyond their margin: " + (
        ", ".join(f"{name} {money(amount)}" for name, amount in layers.items()) or "none"
    )


def _format_counterfactuals(case: Cascade, twins: Sequence[CounterfactualRun]) -> Iterator[str]:
    if not twins:
        return
    money, gone = money_of(case.config), measure_mark_move(case, case.frames)
    yield f"without       {'attributed':>20} {'prevented':>20} {'mark':>8} {'amplified':>10} {'given':>18}"
    yield f"  {'nothing: the run itself':<50} {'':>4} {np.expm1(gone):>+8.2%}"
    for each in twins:
        claim = "" if np.isnan(each.attributed) else money(each.attributed)
        times = f"{gone / each.mark_move:.2f}" if each.mark_move * gone > 0 else "none"
        what = f"{each.name:<28} {claim:>20} {money(each.prevented):>20}"
        yield f"  {what} {np.expm1(each.mark_move):>+8.2%} {times:>10} {money(each.granted):>18}"
    yield from (f"  {each.terms}" for each in twins if each.terms)
    yield "  attributed, prevented: of others than who is removed. One twin is one draw, --worlds N compares means"
    yield from _format_largest_effect(case, twins)


def _format_largest_effect(case: Cascade, twins: Sequence[CounterfactualRun]) -> Iterator[str]:
    """Who alone would have made most of a difference, of those that were tried one by one."""
    alone = [each for each in twins if not np.isnan(each.attributed)]
    if alone:
        best = max(alone, key=lambda each: each.prevented)
        share = best.prevented / case.actions["notional"].sum()
        verdict = (
            "would have stopped most of it"
            if share >= STOPPING_SHARE
            else "none of these would have stopped it alone"
        )
        yield f"  {verdict}: without {best.name} others are closed out of {share:.0%} of the cascade less"


def export_contagion(frames: Frames, folder: Path) -> None:
    """``contagion.graphml``, and ``cascades``, ``actions`` and ``links`` as Parquet.

    Raises:
        OutputError: the folder cannot hold results.
        WriteError: a write failed.
    """
    links = build_contagion(frames)
    told = links.actions.assign(
        cascade=assign_cascades(links), depth=compute_depths(links), reach=compute_reach(links)
    )
    tables = {"cascades": tabulate_cascades(links), "actions": told}
    edges = (
        nx.to_pandas_edgelist(build_graph(links))
        if len(links.actions)
        else pd.DataFrame(columns=["source", "target", "share"])
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with store.remove_if_failed(folder / "contagion.graphml"):
            nx.write_graphml(build_graph(links), folder / "contagion.graphml")
        for name, table in (tables | {"links": edges}).items():
            store.write_frame(table, folder / f"{name}.parquet", {})
    except OSError as error:
        raise store.translate_os_error(error, folder, option="--export") from error


def _format_interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f}" if np.isnan(low) else f"{value:.2f}, {low:.2f} to {high:.2f}"
