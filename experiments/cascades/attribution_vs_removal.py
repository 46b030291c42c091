"""How far attribution and twins agree on who mattered in a cascade (LIQ-9), told as text."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.cascades.counterfactual import MIN_SHARE, ROUNDING_DUST, find_decided_rows
from sim.types import B1, F8

NEGLIGIBLE_SHARE = 0.001
"""Shares of a cascade below it are nil."""

MAX_CASES = 5
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

ALL_MEASURES = MEASURES | BY_LOTS


class Agreement(NamedTuple):
    """How attribution and twins agree on one measure, over some rows."""

    n_owners: int
    same_sign_share: (
        float  # share of them whose means have the same sign, nil being one, decided or not
    )
    n_decided: int  # owners of whom twins tell the sign
    decided_same_sign_share: float  # share of these with the same sign; nan where there are none
    correlation: float
    mean_attributed: float  # mean of attribution
    mean_removed: float  # mean of twins


def measure_agreement(table: pd.DataFrame, measure: str) -> Agreement:
    """Of ``MEASURES`` or ``BY_LOTS``, over rows of ``compared``."""
    claimed, found = _get_measure_columns(table, measure)
    same, told = _has_same_sign(table, measure), find_decided_rows(table, ALL_MEASURES[measure][1])
    varied = len(table) > 1 and claimed.std() > 0 and found.std() > 0
    alike = float(np.corrcoef(claimed, found)[0, 1]) if varied else float("nan")
    of_told = float(same[told].mean()) if told.any() else float("nan")
    means = float(claimed.mean()), float(found.mean())
    return Agreement(len(table), float(same.mean()), int(told.sum()), of_told, alike, *means)


def _get_measure_columns(table: pd.DataFrame, measure: str) -> tuple[F8, F8]:
    one, two = (table[name].to_numpy(np.float64) for name in ALL_MEASURES[measure])
    return one, two


def _has_same_sign(table: pd.DataFrame, measure: str) -> B1:
    one, two = (
        np.where(np.abs(each) < NEGLIGIBLE_SHARE, 0.0, np.sign(each))
        for each in _get_measure_columns(table, measure)
    )
    return np.equal(one, two)


def find_disagreements(table: pd.DataFrame, count: int = MAX_CASES) -> pd.DataFrame:
    """Rows farthest from agreement, signs that differ first, with ``why``; none if all are within a factor of two."""
    apart, kept = np.zeros(len(table)), np.zeros(len(table), dtype=bool)
    for measure in MEASURES:
        one, two = _get_measure_columns(table, measure)
        differ, least = ~_has_same_sign(table, measure), np.minimum(np.abs(one), np.abs(two))
        apart += 10.0 * differ + np.abs(one - two)
        kept |= differ | (np.abs(one - two) > np.maximum(least, NEGLIGIBLE_SHARE))
    rows = table.iloc[[row for row in np.argsort(-apart, kind="stable") if kept[row]][:count]]
    return rows.assign(why=[_explain_disagreement(row) for row in rows.to_dict("records")])


def _explain_disagreement(row: Mapping[Hashable, Any]) -> str:
    """In words, from the figures."""
    if row["prevented"] <= -NEGLIGIBLE_SHARE:
        instead = min(-row["prevented"] / row["size"], 1.0)
        return f"others were closed out of {instead:.0%} of its lots instead: bids were short, not sellers"
    if row["pushed"] >= NEGLIGIBLE_SHARE > row["spared"]:
        return f"those it pushed went under all the same, in nearly all of {row['worlds']} worlds"
    if row["pushed"] < NEGLIGIBLE_SHARE <= row["spared"]:
        return "it moved no mark itself, yet later sales missed the bids that it took"
    if row["carried"] >= NEGLIGIBLE_SHARE > row["returned"]:
        return "the mark went as far without it"
    if row["pushed"] < NEGLIGIBLE_SHARE:
        times = row["returned"] / max(row["carried"], NEGLIGIBLE_SHARE)
        return f"of the mark's way twins return {times:.1f} times what it carried"
    return f"twins spare {row['spared'] / row['pushed']:.1f} times what it pushed under"


def format_comparison(table: pd.DataFrame) -> Iterator[str]:
    """The comparison as text: a line for each measure, everybody, the worst with what made them so."""
    some, most = table["worlds"].min(), table["worlds"].max()
    means = f"means of {some if some == most else f'{some} to {most}'} neighbouring worlds, 95% intervals"
    yield f"attribution beside removal: {len(table)} owners of at least {MIN_SHARE:.0%}, {means}"
    if (short := table["unmet"].max()) > ROUNDING_DUST:
        told = "found nobody at its limit: others trade in place of whoever is removed"
        yield f"  up to {short:.1%} of what was to be closed {told}"
    for name in ALL_MEASURES:
        each = measure_agreement(table, name)
        told = (
            f"of {each.n_decided} told from nil {each.decided_same_sign_share:.0%}"
            if each.n_decided
            else "none told from nil"
        )
        sizes = f"correlation {each.correlation:.2f}, means {each.mean_attributed:.1%} and {each.mean_removed:.1%} of the cascade's"
        yield f"  {name:<34} same sign {each.same_sign_share:.0%} ({told}), {sizes}"
    yield f"  {'% of the cascade':<26} {'size':>5} {'worlds':>6} " + " ".join(
        f"{claim:>11} {found:>13}" for claim, found in MEASURES.values()
    )
    for row in table.to_dict("records"):
        shares = {
            name: f"{100 * row[name]:.1f}"
            for pair in MEASURES.values()
            for name in (*pair, f"{pair[1]}_reach")
        }
        pairs = [
            f"{shares[claim]:>11} {shares[found] + ' ± ' + shares[f'{found}_reach']:>13}"
            for claim, found in MEASURES.values()
        ]
        yield f"  {row['name']:<26} {100 * row['size']:>5.1f} {row['worlds']:>6} " + " ".join(pairs)
    apart = find_disagreements(table).to_dict("records")
    yield "farthest apart" if apart else "none is farther apart than a factor of two"
    for row in apart:
        yield f"  {row['name']:<26} {row['why']}"
