"""Report on one cascade: trigger, generations, owners, losses and counterfactual runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

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
from sim.metrics.links.origins import (
    InstrumentOrigins,
    build_origins,
    sum_foreign_notional,
    tabulate_actions,
    tabulate_instruments,
)

MAX_ROWS = 10
"""Largest number of rows in a list."""

MIN_GENERATION = 0.005
"""Smallest number of close-outs in a generation that is listed."""

STOPPING_SHARE = 0.5
"""Smallest prevented share of a cascade that counts as stopping most of it."""


def format_cascade_list(config: RunConfig, frames: Frames) -> str:
    """Return a text on the origins of close-outs, their branching and the largest cascades."""
    links = build_contagion(frames)
    if not len(links.actions):
        return "nothing was closed out in this run: no cascades"
    money, found = money_of(config), estimate_branching(links)
    shares = tabulate_origins(links).query("share > 5e-4")
    origins = ", ".join(
        f"{kind} {share:.1%}" for kind, share in zip(shares["kind"], shares["share"], strict=True)
    )
    ratio = f"branching ratio {_format_interval(*found[:3])} over {found.total:.0f} actions"
    lines = [f"{ratio}; origins: {origins}", ""]
    sizes = f"{'depth':>6} {'by close-outs':>14} {'notional':>20}"
    lines.append(f"{'cascade':>7} {'steps':>13} {'accounts':>9} {sizes}  origin")
    for each in tabulate_cascades(links).head(MAX_ROWS).itertuples():
        steps = f"{each.first}-{each.last}"
        size = f"{each.depth:>6} {each.endogenous:>14.0%} {money(each.notional):>20}"
        lines.append(f"{each.cascade:>7} {steps:>13} {each.accounts:>9} {size}  {each.origin}")
    return "\n".join([*lines, *_format_instruments(config, build_origins(frames, links))])


def _format_instruments(config: RunConfig, origins: InstrumentOrigins) -> Iterator[str]:
    """Yield the close-outs of each instrument by instrument of origin, where there are several."""
    if len(origins.instruments) < 2:
        return
    money, table = money_of(config), tabulate_instruments(origins)
    yield ""
    yield "close-outs by the instrument where the loss arose, followed back through close-outs"
    sizes = f"{'notional':>20} {'share':>7} {'lost there itself':>20}"
    yield f"{'closed out':<14} {'origin':<14} {sizes}"
    for each in table.to_dict("records"):
        name, amount = each["origin"] or "no instrument", money(each["notional"])
        size = f"{amount:>20} {each['share']:>7.1%} {money(each['lost']):>20}"
        yield f"{each['closed']:<14} {name:<14} {size}"
    for name, (total, foreign) in sum_foreign_notional(origins).items():
        yield f"{name}: {foreign / total:.1%} of {money(total)} came from other instruments"


def format_cascade(case: Cascade, twins: Sequence[CounterfactualRun]) -> str:
    """Return the report on a cascade and its counterfactual runs."""
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
    first_owner = f"{format_owner(trigger)} in step {trigger['step']}"
    yield f"  trigger       {roots}; first closed out: {first_owner}"
    chain = f"longest chain {row['depth']}"
    yield f"  contagion     {row['endogenous']:.0%} of it was caused by close-outs; {chain}"
    yield f"  margin model  {row['requirement']:.1%} of it was caused by a change of requirement"


def _format_generations(case: Cascade) -> Iterator[str]:
    """Yield the close-outs in each generation of a cascade, and the ratios of the whole run."""
    counts = compute_masses(case.links)[:, case.action_rows].sum(axis=1)
    run = tabulate_generations(case.links)
    counts = counts[: np.flatnonzero(counts >= MIN_GENERATION)[-1] + 1]
    ratios = "ratio of the next generation to it in the whole run"
    yield f"generations   close-outs, divided among several generations ({ratios})"
    for number, count in enumerate(counts[:MAX_ROWS]):
        ratio = run.iloc[number]
        interval = _format_interval(ratio["ratio"], ratio["low"], ratio["high"])
        yield f"  {number:>3}: {count:>7.2f} ({interval})"
    if counts.size > MAX_ROWS:
        yield f"  and later {counts[MAX_ROWS:].sum():.2f}"


def _format_owners(case: Cascade) -> Iterator[str]:
    money, table = money_of(case.config), tabulate_owners(case)
    yield "owners        closed out, and notional of others attributed to it"
    for each in table.head(5).itertuples():
        yield f"  {each.name:<28} {money(each.notional):>20} {money(each.attributed):>20}"


def _format_losses(case: Cascade) -> Iterator[str]:
    first, last = case.window
    money, losses = money_of(case.config), case.frames["losses"]
    accounts = case.links.actions.iloc[case.action_rows][["pool", "owner"]].drop_duplicates()
    absorbed = losses[losses["step"].between(first, last)].merge(accounts, on=["pool", "owner"])
    layers = absorbed.groupby("layer")["absorbed"].sum()
    yield "losses        beyond their margin: " + (
        ", ".join(f"{name} {money(amount)}" for name, amount in layers.items()) or "none"
    )


def _format_counterfactuals(case: Cascade, twins: Sequence[CounterfactualRun]) -> Iterator[str]:
    if not twins:
        return
    money, move = money_of(case.config), measure_mark_move(case, case.frames)
    header = f"{'attributed':>20} {'prevented':>20} {'mark':>8} {'amplified':>10} {'given':>18}"
    yield f"without       {header}"
    yield f"  {'nothing: the run itself':<50} {'':>4} {np.expm1(move):>+8.2%}"
    for each in twins:
        claim = "" if np.isnan(each.attributed) else money(each.attributed)
        times = f"{move / each.mark_move:.2f}" if each.mark_move * move > 0 else "none"
        effect = f"{each.name:<28} {claim:>20} {money(each.prevented):>20}"
        yield f"  {effect} {np.expm1(each.mark_move):>+8.2%} {times:>10} {money(each.granted):>18}"
    yield from (f"  {each.terms}" for each in twins if each.terms)
    yield "  attributed, prevented: close-outs of accounts other than the removed ones"
    yield "  each line is one counterfactual run; --worlds N compares means of several"
    yield from _format_largest_effect(case, twins)


def _format_largest_effect(case: Cascade, twins: Sequence[CounterfactualRun]) -> Iterator[str]:
    """Yield the single removal with the largest effect."""
    alone = [each for each in twins if not np.isnan(each.attributed)]
    if alone:
        best = max(alone, key=lambda each: each.prevented)
        share = best.prevented / case.actions["notional"].sum()
        stops = share >= STOPPING_SHARE
        which = "one removal stops" if stops else "no single removal stops"
        effect = f"close-outs of others fall by {share:.0%} of the cascade"
        yield f"  {which} most of it: without {best.name} {effect}"


def export_contagion(frames: Frames, folder: Path) -> None:
    """Write ``contagion.graphml``, and as Parquet cascades, actions, instruments and links.

    Raises:
        OutputError: the folder cannot hold results.
        WriteError: a write failed.
    """
    import networkx as nx

    links = build_contagion(frames)
    origins = build_origins(frames, links)
    actions = links.actions.assign(
        cascade=assign_cascades(links),
        depth=compute_depths(links),
        reach=compute_reach(links),
        **tabulate_actions(origins),
    )
    tables = {
        "cascades": tabulate_cascades(links),
        "actions": actions,
        "instruments": tabulate_instruments(origins),
    }
    graph = build_graph(links, origins=origins)
    edges = (
        nx.to_pandas_edgelist(graph)
        if len(links.actions)
        else pd.DataFrame(columns=["source", "target", "share"])
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with store.remove_if_failed(folder / "contagion.graphml"):
            nx.write_graphml(graph, folder / "contagion.graphml")
        for name, table in (tables | {"links": edges}).items():
            store.write_frame(table, folder / f"{name}.parquet", {})
    except OSError as error:
        raise store.translate_os_error(error, folder, option="--export") from error


def _format_interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f}" if np.isnan(low) else f"{value:.2f}, {low:.2f} to {high:.2f}"
