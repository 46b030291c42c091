"""Sizes of cascades in markets of several sizes: a power law against rivals, and the cutoff."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.cascades.tails import RIVALS, fit_tail
from experiments.config import RunConfig
from experiments.figures.style import (
    COLOURS,
    COLUMN_WIDTH,
    LINE_STYLES,
    create_figure,
    save_figure,
    thin_log_axis,
    use_style,
)
from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.statistics import Estimate
from experiments.studies.shared.rules import name_level
from sim.errors import DataError
from sim.metrics.cascades import Frames
from sim.metrics.contagion import build_contagion
from sim.metrics.generations import estimate_ratio, tabulate_cascades
from sim.metrics.returns import NORMAL_95

TAIL_COLUMNS = ["exponent", "start", "values", "ratio", "p"]
"""Fields of a tail for each rival; see ``cascades.tails.fit_tail``."""

CAPTIONS = {
    "sizes": "Accounts in cascades. The cutoff is the sum of squares over the sum; 95% confidence "
    "intervals over runs.",
    "tails": "Power law against each rival, by likelihood ratio; above zero the power law is "
    "likelier.",
    "growth": "Growth of the cutoff with the market: exponent by least squares on logarithms. At 1 "
    "the cutoff keeps its share of the market.",
}


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return a row for each cascade: its accounts, and the number of traders."""
    sizes = tabulate_cascades(build_contagion(frames))["accounts"].to_numpy(np.int64)
    return pd.DataFrame({"traders": config.populations[0].count, "accounts": sizes})


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return sizes and cutoff of each market, its tail against each rival, and the cutoff's
    growth.
    """
    return {
        "sizes": tabulate_sizes(runs),
        "tails": _tabulate_tails(runs),
        "growth": fit_growth(tabulate_sizes(runs)),
    }


def tabulate_sizes(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each number of traders: runs, cascades, sizes, and the cutoff with interval.

    The cutoff is a ratio of sums over runs.
    """
    squared = runs.assign(squared=runs["accounts"] ** 2)
    rows = []
    for traders, group in squared.groupby("traders"):
        sums = group.groupby("seed")[["squared", "accounts"]].sum().astype(np.float64)
        cutoff = estimate_ratio(sums["squared"].to_numpy(), sums["accounts"].to_numpy())
        sizes = group["accounts"]
        rows.append((traders, len(sums), len(sizes), sizes.mean(), sizes.max(), *cutoff[:3]))
    return pd.DataFrame(
        rows, columns=["traders", "runs", "cascades", "mean", "largest", "cutoff", "low", "high"]
    )


def fit_growth(table: pd.DataFrame) -> pd.DataFrame:
    """Fit the exponent b of cutoff ~ traders^b, each market weighted by its interval.

    Args:
        table: result of ``tabulate_sizes``. Markets whose cutoff has no interval are left out.

    Returns:
        One row: exponent, its interval and the number of markets; nan for fewer than two markets.
    """
    known = table[(table["high"] > table["low"]) & (table["low"] > 0)]
    if len(known) < 2:
        return pd.DataFrame(
            {"exponent": [np.nan], "low": [np.nan], "high": [np.nan], "markets": [len(known)]}
        )
    error = (known["high"] - known["low"]) / (2 * NORMAL_95 * known["cutoff"])
    fit, spread = np.polyfit(
        np.log(known["traders"]), np.log(known["cutoff"]), 1, w=1 / error, cov="unscaled"
    )
    reach = NORMAL_95 * float(np.sqrt(spread[0, 0]))
    return pd.DataFrame(
        {
            "exponent": [fit[0]],
            "low": [fit[0] - reach],
            "high": [fit[0] + reach],
            "markets": [len(known)],
        }
    )


def _tabulate_tails(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each number of traders and rival; nan for markets with too few cascades."""
    parts = []
    for traders, group in runs.groupby("traders"):
        try:
            tail = fit_tail(group["accounts"].to_numpy(np.float64), discrete=True)
        except DataError:
            tail = pd.DataFrame({"rival": RIVALS} | {name: np.nan for name in TAIL_COLUMNS})
        parts.append(tail.assign(traders=traders))
    return pd.concat(parts, ignore_index=True)[["traders", "rival", *TAIL_COLUMNS]]


def report(runs: pd.DataFrame) -> str:
    """Return sizes and tails by market, and a sentence about the growth of the cutoff."""
    made = tables(runs)
    sizes, fits = made["sizes"], made["tails"].set_index(["traders", "rival"])
    lines = [
        f"{runs['seed'].nunique()} seeds. Sizes are accounts in cascades. The cutoff is "
        "Σ s² ÷ Σ s, with 95% confidence intervals over runs.",
        "",
    ]
    rivals = [f"against {rival.replace('_', ' ')}" for rival in RIVALS]
    lines += format_header(
        ["traders", "cascades", "mean", "largest", "cutoff", "exponent, from", *rivals]
    )
    for row in sizes.to_dict("records"):
        lines.append(_format_line(row, fits.loc[row["traders"]].to_dict("index")))
    return "\n".join([*lines, "", describe_growth(made["growth"])])


def _format_line(row: Mapping[Hashable, Any], fits: Mapping[Hashable, Any]) -> str:
    cutoff = format_estimate(Estimate(row["runs"], row["cutoff"], row["low"], row["high"]))
    sizes = [
        f"{row['traders']:,}",
        f"{row['cascades']:,}",
        f"{row['mean']:.1f}",
        f"{row['largest']}",
        cutoff,
    ]
    rivals = [f"{fits[rival]['ratio']:+.1f}, p = {fits[rival]['p']:.2g}" for rival in RIVALS]
    fit = fits[RIVALS[0]]
    return format_row([*sizes, f"{fit['exponent']:.2f}, {fit['start']:g}", *rivals])


def describe_growth(table: pd.DataFrame) -> str:
    """Return a sentence about the growth of the cutoff with the market."""
    b = Estimate(
        int(table["markets"].iloc[0]),
        *(float(table[name].iloc[0]) for name in ("exponent", "low", "high")),
    )
    if np.isnan(b.mean):
        return "- Too few markets with cascades to decide whether the cutoff grows."
    pace = "faster" if b.mean > 1 else "more slowly"
    growth = (
        "it keeps its share of the market"
        if b.low <= 1 <= b.high
        else f"it grows {pace} than the market"
    )
    if b.low <= 0 <= b.high:
        growth = "its growth is not statistically significant"
    exponent = name_level(format_estimate(b))
    return f"- The cutoff scales with the number of traders to the power of {exponent}: {growth}."


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``cascade_sizes``: the share of cascades of at least each size, a line per market."""
    import seaborn

    parts = []
    with use_style():
        figure = create_figure(COLUMN_WIDTH, 3.0)
        axes = figure.subplots()
        for place, (traders, group) in enumerate(runs.groupby("traders")):
            sizes, count = np.unique(group["accounts"], return_counts=True)
            share = count[::-1].cumsum()[::-1] / len(group)
            look: dict[str, Any] = {
                "color": COLOURS[place],
                "linestyle": LINE_STYLES[place % len(LINE_STYLES)],
                "linewidth": 1.1,
            }
            label = f"{traders:,} traders"
            seaborn.ecdfplot(group, x="accounts", complementary=True, label=label, ax=axes, **look)
            parts.append(pd.DataFrame({"traders": traders, "accounts": sizes, "share": share}))
        table = pd.concat(parts, ignore_index=True)
        least = float(table["share"].min()) / 1.5
        thin_log_axis(axes, 1, float(table["accounts"].max()), axis="x")
        thin_log_axis(axes, least, 1)
        axes.set_ylim(least, 1.1)
        axes.set_xlabel("Accounts in a cascade")
        axes.set_ylabel("Share of cascades\nwith at least as many")
        axes.legend(frameon=False)
        seaborn.despine(ax=axes)
        save_figure(figure, folder / "cascade_sizes", table)
