"""Attribution beside the counterfactual, for everybody who mattered in a cascade (LIQ-8, LIQ-9).

Attribution says how much of what followed passed through somebody; the twin without him says how much does not follow
then. Of one twin that is a whole number of accounts, which a tick decides. Both are therefore averaged over
neighbouring worlds: the same market before the cascade, every account's equity a little different.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.case import Case, called, passed
from experiments.fork import Fork
from experiments.twins import farthest, spared
from sim.metrics.cascades import Frames
from sim.metrics.contagion import Contagion, contagion
from sim.metrics.generations import through
from sim.types import F8

LEAST = 0.01
"""Share of a cascade's notional from which on somebody is compared."""

NUDGE = 0.002
"""Largest difference of an account's equity between neighbouring worlds, over its notional, unless another is asked."""

FAINT = 0.001
"""Shares of a cascade below it are nil."""

WORST = 5
"""Cases that are told."""

MEASURES = {"close-outs of others": ("attributed", "prevented"), "way of the mark": ("carried", "returned")}
"""What attribution claims, and what the twins find, by what is measured."""


class Scale(NamedTuple):
    """What a cascade's figures are shares of."""

    prices: (
        "pd.Series[float]"  # notional of a lot of each instrument, mean of the run: to sell dearer is not to sell more
    )
    notional: float  # of the cascade
    way: float  # of the mark, from before the cascade to its farthest


def compared(case: Case, base: Fork, worlds: int, width: float = NUDGE) -> pd.DataFrame:
    """A row for each owner with at least a hundredth of a cascade, the largest first.

    Columns: owner, name; ``size``, its share of the cascade's notional; ``attributed``, notional of others that
    passed through it, and ``prevented``, what of it is not closed out without it, shares of the cascade's; ``carried``,
    how far it and those whom it pushed took the mark, and ``returned``, how much less far it goes without it, shares
    of the cascade's way. Means over worlds; then standard errors of ``prevented`` and ``returned``.

    Args:
        case: the cascade.
        base: the run before it.
        worlds: how many; the first is the run itself.
        width: largest difference of an account's equity between them, over its notional.
    """
    owned = case.actions.groupby("owner")["notional"].sum() / case.actions["notional"].sum()
    owned = owned[owned >= LEAST].sort_values(ascending=False, kind="stable").rename("size")
    scale = _scale(case)
    rows: list[dict[str, float]] = []
    for number in range(worlds):
        draws = np.random.default_rng(number).uniform(-width, width, base.market().owners)
        rows += _in_world(case, base, draws if number else np.zeros_like(draws), scale, owned.index.tolist())
    table = pd.DataFrame(rows).groupby("owner")
    names = case.actions.drop_duplicates("owner").set_index("owner", drop=False).apply(called, axis=1).rename("name")
    errors = table[["prevented", "returned"]].sem().add_suffix("_error")
    return pd.concat([owned, table.mean(), errors], axis=1).join(names).reset_index(names="owner")


def _scale(case: Case) -> Scale:
    closed, own = case.frames["closeouts"], case.closeouts.sort_values("id")
    sums = closed[closed["filled"] > 0].groupby("instrument")[["notional", "filled"]].sum().astype(np.float64)
    first = own.loc[own["instrument"] == case.instrument, "mark_before"].iloc[0]
    way = abs(farthest(case, case.frames) - first)
    return Scale(sums["notional"] / sums["filled"], case.actions["notional"].sum(), way or 1.0)


def _in_world(case: Case, base: Fork, nudge: F8, scale: Scale, owners: list[int]) -> Iterator[dict[str, float]]:
    """What attribution and removal say of each owner in one world."""
    until = case.window[1]
    world = base.frames(until, nudge)
    run, links = _closed(case, world, scale), contagion(world)
    for owner in owners:
        twin = world  # who is not closed out is not missed
        if owner in run:
            twin = base.frames(until, nudge, rescues=(*case.config.rescues, spared(case, owner)))
        other = _closed(case, twin, scale)
        fewer = (run.drop(owner, errors="ignore").sum() - other.sum()) / scale.notional
        gone = case.direction * (farthest(case, world) - farthest(case, twin)) / scale.way
        yield {"owner": owner, "prevented": fewer, "returned": gone} | _claims(case, world, links, scale, owner)


def _closed(case: Case, frames: Frames, scale: Scale) -> "pd.Series[float]":
    """Lots closed out of each owner in a cascade's window, at the run's prices."""
    return _filled(case, frames, scale).groupby("owner")["amount"].sum()


def _filled(case: Case, frames: Frames, scale: Scale) -> pd.DataFrame:
    closed = frames["closeouts"]
    here = closed[closed["step"].between(*case.window) & (closed["filled"] > 0)]
    price = scale.prices.reindex(here["instrument"].astype(str)).fillna(0.0).to_numpy()
    return here.assign(amount=here["filled"].to_numpy(np.float64) * price)


def _claims(case: Case, world: Frames, links: Contagion, scale: Scale, owner: int) -> dict[str, float]:
    """Others' notional that passed through an owner, and the mark's way through it, its own sale included."""
    here = links.actions["step"].between(*case.window).to_numpy()
    rows = np.flatnonzero(here & (links.actions["owner"] == owner).to_numpy())
    amounts = _filled(case, world, scale).groupby("action")["amount"].sum()
    weight: F8 = amounts.reindex(links.actions["action"]).fillna(0.0).to_numpy()
    of_it = (links.moves["instrument"] == case.instrument) & links.moves["step"].between(*case.window)
    way = case.direction * links.moves["move"].where(of_it, 0.0).to_numpy() @ (links.moved @ through(links, rows))
    return {"attributed": passed(links, rows) @ weight / scale.notional, "carried": way / scale.way}


class Agreement(NamedTuple):
    """How attribution and twins agree on one measure, over some rows."""

    owners: int
    same: float  # share with the same sign, nil being one
    nil: int  # of them, those in which both are
    correlation: float
    claimed: float  # mean of attribution
    found: float  # mean of twins


def agreement(table: pd.DataFrame, measure: str) -> Agreement:
    """Of ``MEASURES``, over rows of ``compared``."""
    claimed, found = (table[name].to_numpy(np.float64) for name in MEASURES[measure])
    one, two = (_sign(values) for values in (claimed, found))
    varied = len(table) > 1 and claimed.std() > 0 and found.std() > 0
    alike = float(np.corrcoef(claimed, found)[0, 1]) if varied else float("nan")
    nil = int(((one == 0) & (two == 0)).sum())
    return Agreement(len(table), float((one == two).mean()), nil, alike, float(claimed.mean()), float(found.mean()))


def _sign(values: F8) -> F8:
    return np.where(np.abs(values) < FAINT, 0.0, np.sign(values))


def worst(table: pd.DataFrame, count: int = WORST) -> pd.DataFrame:
    """Rows farthest from agreement, signs that differ first, with ``why``; none if all are within a factor of two."""
    apart, kept = np.zeros(len(table)), np.zeros(len(table), dtype=bool)
    for names in MEASURES.values():
        one, two = (table[name].to_numpy(np.float64) for name in names)
        differ, least = _sign(one) != _sign(two), np.minimum(np.abs(one), np.abs(two))
        apart += 10.0 * differ + np.abs(one - two)
        kept |= differ | (np.abs(one - two) > np.maximum(least, FAINT))
    rows = table.iloc[[row for row in np.argsort(-apart, kind="stable") if kept[row]][:count]]
    return rows.assign(why=[_why(row) for row in rows.to_dict("records")])


def _why(row: Mapping[Hashable, Any]) -> str:
    """In words, from the figures."""
    if row["prevented"] <= -FAINT:
        instead = min(-row["prevented"] / row["size"], 1.0)
        return f"others were closed out of {instead:.0%} of its lots instead: bids were short, not sellers"
    if row["attributed"] >= FAINT > row["prevented"]:
        return "those it pushed went under all the same"
    if row["attributed"] < FAINT <= row["prevented"]:
        return "it moved no mark itself, yet later sales missed the bids that it took"
    if row["carried"] >= FAINT > row["returned"]:
        return "the mark went as far without it"
    if row["attributed"] < FAINT:
        return (
            f"of the mark's way twins return {row['returned'] / max(row['carried'], FAINT):.1f} times what it carried"
        )
    return f"twins prevent {row['prevented'] / row['attributed']:.1f} times what is attributed"


def lines(table: pd.DataFrame, worlds: int) -> Iterator[str]:
    """The comparison as text: a line for each measure, everybody, the worst with what made them so."""
    means = f"means of {worlds} neighbouring worlds, standard errors"
    yield f"attribution beside removal: {len(table)} owners of at least {LEAST:.0%}, {means}"
    for name in MEASURES:
        each = agreement(table, name)
        told = f"same sign {each.same:.0%} (nil both {each.nil}), correlation {each.correlation:.2f}"
        yield f"  {name:<20} {told}, means {each.claimed:.1%} and {each.found:.1%} of the cascade's"
    yield f"  {'% of the cascade':<28} {'size':>5} {'attributed':>11} {'prevented':>14} {'carried':>9} {'returned':>14}"
    for row in table.to_dict("records"):
        pairs = [f"{100 * row[name]:.1f} ± {100 * row[f'{name}_error']:.1f}" for name in ("prevented", "returned")]
        size, claim, carried = (f"{100 * row[name]:.1f}" for name in ("size", "attributed", "carried"))
        yield f"  {row['name']:<28} {size:>5} {claim:>11} {pairs[0]:>14} {carried:>9} {pairs[1]:>14}"
    apart = worst(table).to_dict("records")
    yield "farthest apart" if apart else "none is farther apart than a factor of two"
    for row in apart:
        yield f"  {row['name']:<28} {row['why']}"
