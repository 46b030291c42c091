"""How far attribution and twins agree on who mattered in a cascade (LIQ-9), told as text."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.cascades.counterfactual import DUST, LEAST, decided
from sim.types import B1, F8

FAINT = 0.001
"""Shares of a cascade below it are nil."""

WORST = 5
"""Cases that are told."""

MEASURES = {
    "others pushed under": ("pushed", "spared"),
    "close-outs of others": ("attributed", "prevented"),
    "way of the mark": ("carried", "returned"),
}
"""What attribution claims, and what the twins find, by what is measured; see ``counterfactual.compared``."""

BY_LOTS = {
    "others pushed under, moves by lots": ("pushed_lots", "spared"),
    "way of the mark, moves by lots": ("carried_lots", "returned"),
}
"""The same where a round's move is divided by lots, not by who saw the mark move (``contagion.by_lots``)."""

ALL = MEASURES | BY_LOTS


class Agreement(NamedTuple):
    """How attribution and twins agree on one measure, over some rows."""

    owners: int
    same: float  # share of them whose means have the same sign, nil being one, decided or not
    decided: int  # owners of whom twins tell the sign
    same_decided: float  # share of these with the same sign; nan where there are none
    correlation: float
    claimed: float  # mean of attribution
    found: float  # mean of twins


def agreement(table: pd.DataFrame, measure: str) -> Agreement:
    """Of ``MEASURES`` or ``BY_LOTS``, over rows of ``compared``."""
    claimed, found = _pair(table, measure)
    same, told = _same(table, measure), decided(table, ALL[measure][1])
    varied = len(table) > 1 and claimed.std() > 0 and found.std() > 0
    alike = float(np.corrcoef(claimed, found)[0, 1]) if varied else float("nan")
    of_told = float(same[told].mean()) if told.any() else float("nan")
    means = float(claimed.mean()), float(found.mean())
    return Agreement(len(table), float(same.mean()), int(told.sum()), of_told, alike, *means)


def _pair(table: pd.DataFrame, measure: str) -> tuple[F8, F8]:
    one, two = (table[name].to_numpy(np.float64) for name in ALL[measure])
    return one, two


def _same(table: pd.DataFrame, measure: str) -> B1:
    one, two = (np.where(np.abs(each) < FAINT, 0.0, np.sign(each)) for each in _pair(table, measure))
    return np.equal(one, two)


def worst(table: pd.DataFrame, count: int = WORST) -> pd.DataFrame:
    """Rows farthest from agreement, signs that differ first, with ``why``; none if all are within a factor of two."""
    apart, kept = np.zeros(len(table)), np.zeros(len(table), dtype=bool)
    for measure in MEASURES:
        one, two = _pair(table, measure)
        differ, least = ~_same(table, measure), np.minimum(np.abs(one), np.abs(two))
        apart += 10.0 * differ + np.abs(one - two)
        kept |= differ | (np.abs(one - two) > np.maximum(least, FAINT))
    rows = table.iloc[[row for row in np.argsort(-apart, kind="stable") if kept[row]][:count]]
    return rows.assign(why=[_why(row) for row in rows.to_dict("records")])


def _why(row: Mapping[Hashable, Any]) -> str:
    """In words, from the figures."""
    if row["prevented"] <= -FAINT:
        instead = min(-row["prevented"] / row["size"], 1.0)
        return f"others were closed out of {instead:.0%} of its lots instead: bids were short, not sellers"
    if row["pushed"] >= FAINT > row["spared"]:
        return f"those it pushed went under all the same, in nearly all of {row['worlds']} worlds"
    if row["pushed"] < FAINT <= row["spared"]:
        return "it moved no mark itself, yet later sales missed the bids that it took"
    if row["carried"] >= FAINT > row["returned"]:
        return "the mark went as far without it"
    if row["pushed"] < FAINT:
        times = row["returned"] / max(row["carried"], FAINT)
        return f"of the mark's way twins return {times:.1f} times what it carried"
    return f"twins spare {row['spared'] / row['pushed']:.1f} times what it pushed under"


def lines(table: pd.DataFrame) -> Iterator[str]:
    """The comparison as text: a line for each measure, everybody, the worst with what made them so."""
    some, most = table["worlds"].min(), table["worlds"].max()
    means = f"means of {some if some == most else f'{some} to {most}'} neighbouring worlds, 95% intervals"
    yield f"attribution beside removal: {len(table)} owners of at least {LEAST:.0%}, {means}"
    if (short := table["unmet"].max()) > DUST:
        told = "found nobody at its limit: others trade in place of whoever is removed"
        yield f"  up to {short:.1%} of what was to be closed {told}"
    for name in ALL:
        each = agreement(table, name)
        told = f"of {each.decided} told from nil {each.same_decided:.0%}" if each.decided else "none told from nil"
        sizes = f"correlation {each.correlation:.2f}, means {each.claimed:.1%} and {each.found:.1%} of the cascade's"
        yield f"  {name:<34} same sign {each.same:.0%} ({told}), {sizes}"
    yield f"  {'% of the cascade':<26} {'size':>5} {'worlds':>6} " + " ".join(
        f"{claim:>11} {found:>13}" for claim, found in MEASURES.values()
    )
    for row in table.to_dict("records"):
        shares = {name: f"{100 * row[name]:.1f}" for pair in MEASURES.values() for name in (*pair, f"{pair[1]}_reach")}
        pairs = [
            f"{shares[claim]:>11} {shares[found] + ' ± ' + shares[f'{found}_reach']:>13}"
            for claim, found in MEASURES.values()
        ]
        yield f"  {row['name']:<26} {100 * row['size']:>5.1f} {row['worlds']:>6} " + " ".join(pairs)
    apart = worst(table).to_dict("records")
    yield "farthest apart" if apart else "none is farther apart than a factor of two"
    for row in apart:
        yield f"  {row['name']:<26} {row['why']}"
