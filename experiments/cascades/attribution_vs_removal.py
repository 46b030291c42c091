"""Agreement of attribution and removal on the contributions to a cascade (LIQ-9)."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.cascades.counterfactual import MIN_SHARE, ROUNDING_DUST, find_decided_rows
from sim.types import B1, F8

NEGLIGIBLE_SHARE = 0.001
"""Shares of a cascade below this value count as zero."""

MAX_CASES = 5
"""Largest number of disagreements that are listed."""

MEASURES = {
    "due close-outs of others": ("pushed", "spared"),
    "filled close-outs of others": ("attributed", "prevented"),
    "move of the mark": ("carried", "returned"),
}
"""Columns of attribution and of removal by measure, see ``counterfactual.compare_with_removal``."""

BY_LOTS = {
    "due close-outs of others, moves by lots": ("pushed_lots", "spared"),
    "move of the mark, moves by lots": ("carried_lots", "returned"),
}
"""The same with moves of a round divided by lots (``contagion.divide_by_lots``)."""

ALL_MEASURES = MEASURES | BY_LOTS


class Agreement(NamedTuple):
    """Agreement of attribution and removal on one measure, over some rows."""

    n_owners: int
    same_sign_share: float  # share of owners whose means have the same sign; zero is a sign
    n_decided: int  # owners with a statistically significant effect of removal
    decided_same_sign_share: float  # share of these with the same sign; nan if there are none
    correlation: float
    mean_attributed: float  # mean of attribution
    mean_removed: float  # mean effect of removal


def measure_agreement(table: pd.DataFrame, measure: str) -> Agreement:
    """Return the agreement on a measure, over rows of ``counterfactual.compare_with_removal``.

    The measure is one of ``MEASURES`` or ``BY_LOTS``.
    """
    attributed, removed = _get_measure_columns(table, measure)
    same_sign = _has_same_sign(table, measure)
    decided = find_decided_rows(table, ALL_MEASURES[measure][1])
    varies = len(table) > 1 and attributed.std() > 0 and removed.std() > 0
    correlation = np.corrcoef(attributed, removed)[0, 1] if varies else np.nan
    return Agreement(
        n_owners=len(table),
        same_sign_share=float(same_sign.mean()),
        n_decided=int(decided.sum()),
        decided_same_sign_share=float(same_sign[decided].mean() if decided.any() else np.nan),
        correlation=float(correlation),
        mean_attributed=float(attributed.mean()),
        mean_removed=float(removed.mean()),
    )


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
    """Return the rows with the largest disagreement and the column ``why``.

    Rows with different signs come first. Rows that agree within a factor of two are omitted.
    """
    apart, kept = np.zeros(len(table)), np.zeros(len(table), dtype=bool)
    for measure in MEASURES:
        one, two = _get_measure_columns(table, measure)
        differ, least = ~_has_same_sign(table, measure), np.minimum(np.abs(one), np.abs(two))
        apart += 10.0 * differ + np.abs(one - two)
        kept |= differ | (np.abs(one - two) > np.maximum(least, NEGLIGIBLE_SHARE))
    rows = table.iloc[[row for row in np.argsort(-apart, kind="stable") if kept[row]][:count]]
    return rows.assign(why=[_explain_disagreement(row) for row in rows.to_dict("records")])


def _explain_disagreement(row: Mapping[Hashable, Any]) -> str:
    """Return a text that explains a disagreement from its figures."""
    if row["prevented"] <= -NEGLIGIBLE_SHARE:
        instead = min(-row["prevented"] / row["size"], 1.0)
        return f"others were closed out of {instead:.0%} of its lots instead, as bids ran short"
    if row["pushed"] >= NEGLIGIBLE_SHARE > row["spared"]:
        return f"the accounts it affected fell short anyway in nearly all of {row['worlds']} worlds"
    if row["pushed"] < NEGLIGIBLE_SHARE <= row["spared"]:
        return "it did not move the mark itself, but it took bids that later sales lacked"
    if row["carried"] >= NEGLIGIBLE_SHARE > row["returned"]:
        return "the mark moved as far without it"
    if row["pushed"] < NEGLIGIBLE_SHARE:
        times = row["returned"] / max(row["carried"], NEGLIGIBLE_SHARE)
        return f"removal returns {times:.1f} times the mark move attributed to it"
    return f"removal spares {row['spared'] / row['pushed']:.1f} times what is attributed to it"


def format_comparison(table: pd.DataFrame) -> Iterator[str]:
    """Yield the comparison as text: each measure, all owners, and the largest disagreements."""
    least, most = table["worlds"].min(), table["worlds"].max()
    worlds = f"{least}" if least == most else f"{least} to {most}"
    means = f"means of {worlds} neighbouring worlds, 95% intervals"
    owners = f"{len(table)} owners of at least {MIN_SHARE:.0%}"
    yield f"attribution compared with removal: {owners}, {means}"
    if (unmet := table["unmet"].max()) > ROUNDING_DUST:
        effect = "other accounts trade instead of the removed one"
        yield f"  up to {unmet:.1%} of the required close-outs found no counterparty: {effect}"
    yield from (_format_agreement(name, measure_agreement(table, name)) for name in ALL_MEASURES)
    header = " ".join(f"{claim:>11} {found:>13}" for claim, found in MEASURES.values())
    yield f"  {'% of the cascade':<26} {'size':>5} {'worlds':>6} {header}"
    yield from (_format_row(row) for row in table.to_dict("records"))
    disagreements = find_disagreements(table).to_dict("records")
    yield "largest disagreements" if disagreements else "all owners agree within a factor of two"
    for row in disagreements:
        yield f"  {row['name']:<26} {row['why']}"


def _format_agreement(name: str, agreement: Agreement) -> str:
    """Return the line of one measure."""
    significant = "none significant"
    if agreement.n_decided:
        share = agreement.decided_same_sign_share
        significant = f"of {agreement.n_decided} significant {share:.0%}"
    means = f"{agreement.mean_attributed:.1%} and {agreement.mean_removed:.1%}"
    return (
        f"  {name:<39} same sign {agreement.same_sign_share:.0%} ({significant}), "
        f"correlation {agreement.correlation:.2f}, means {means} of the cascade"
    )


def _format_row(row: Mapping[Hashable, Any]) -> str:
    """Return the line of one owner: attribution and removal of each measure, in per cent."""
    cells = []
    for claim, found in MEASURES.values():
        mean, reach = 100 * row[found], 100 * row[f"{found}_reach"]
        interval = f"{mean:.1f} ± {reach:.1f}"
        cells.append(f"{100 * row[claim]:>11.1f} {interval:>13}")
    size = f"{100 * row['size']:>5.1f}"
    return f"  {row['name']:<26} {size} {row['worlds']:>6} {' '.join(cells)}"
