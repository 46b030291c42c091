"""How large cascades get in markets of several sizes: a power law against its rivals, a cutoff against the market."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from experiments.cascades.tails import RIVALS, fit_tail
from experiments.config import RunConfig
from experiments.figures.style import COLOURS, LINE_STYLES, PAGE_WIDTH, save_figure, use_style
from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.statistics import Estimate
from sim.errors import DataError
from sim.metrics.cascades import Frames
from sim.metrics.contagion import build_contagion
from sim.metrics.generations import estimate_ratio, tabulate_cascades
from sim.metrics.returns import NORMAL_95

TAIL_COLUMNS = ["exponent", "start", "values", "ratio", "p"]
"""What is known of a tail, for each rival; see ``tails.tail``."""

CAPTIONS = {
    "sizes": "Accounts in cascades; cutoff = sum of squares over sum, 95% intervals over runs.",
    "tails": "Power law against each rival, by likelihood ratio: above nil the power law is likelier.",
    "growth": "How the cutoff grows with the market: exponent, least squares on logarithms; 1 = it keeps its share.",
}


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """A row for each cascade: its accounts, and how many traders there are."""
    sizes = tabulate_cascades(build_contagion(frames))["accounts"].to_numpy(np.int64)
    return pd.DataFrame({"traders": config.populations[0].count, "accounts": sizes})


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Sizes and cutoff in each market, its tail against each rival, and how the cutoff grows."""
    return {
        "sizes": tabulate_sizes(runs),
        "tails": _tabulate_tails(runs),
        "growth": fit_growth(tabulate_sizes(runs)),
    }


def tabulate_sizes(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of traders, runs, cascades, mean, largest, and the cutoff with its interval: a ratio of sums over runs."""
    squared = runs.assign(squared=runs["accounts"] ** 2)
    rows = []
    for traders, group in squared.groupby("traders"):
        sums = group.groupby("seed")[["squared", "accounts"]].sum().astype(np.float64)
        cutoff = estimate_ratio(sums["squared"].to_numpy(), sums["accounts"].to_numpy())
        each = group["accounts"]
        rows.append((traders, len(sums), len(each), each.mean(), each.max(), *cutoff[:3]))
    return pd.DataFrame(
        rows, columns=["traders", "runs", "cascades", "mean", "largest", "cutoff", "low", "high"]
    )


def fit_growth(table: pd.DataFrame) -> pd.DataFrame:
    """One row: exponent b of cutoff ~ traders^b and its interval, each market weighing by its own interval.

    Args:
        table: of ``sizes``. Markets whose cutoff has no interval are left out; of fewer than two nothing is known.
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
    """Rows of traders and rival; a market with too few cascades has no figures."""
    parts = []
    for traders, group in runs.groupby("traders"):
        try:
            found = fit_tail(group["accounts"].to_numpy(np.float64), discrete=True)
        except DataError:
            found = pd.DataFrame({"rival": RIVALS} | {name: np.nan for name in TAIL_COLUMNS})
        parts.append(found.assign(traders=traders))
    return pd.concat(parts, ignore_index=True)[["traders", "rival", *TAIL_COLUMNS]]


def report(runs: pd.DataFrame) -> str:
    """Sizes and tails by market, and whether the cutoff grows with it."""
    made = tables(runs)
    found, fits = made["sizes"], made["tails"].set_index(["traders", "rival"])
    lines = [
        f"{runs['seed'].nunique()} seeds; accounts in cascades; cutoff = Σ s² ÷ Σ s, 95% intervals over runs.",
        "",
    ]
    told = [f"against {rival.replace('_', ' ')}" for rival in RIVALS]
    lines += format_header(
        ["traders", "cascades", "mean", "largest", "cutoff", "exponent, from", *told]
    )
    for each in found.to_dict("records"):
        lines.append(_format_line(each, fits.loc[each["traders"]].to_dict("index")))
    return "\n".join([*lines, "", describe_growth(made["growth"])])


def _format_line(each: Mapping[Hashable, Any], fits: Mapping[Hashable, Any]) -> str:
    cutoff = format_estimate(Estimate(each["runs"], each["cutoff"], each["low"], each["high"]))
    sizes = [
        f"{each['traders']:,}",
        f"{each['cascades']:,}",
        f"{each['mean']:.1f}",
        f"{each['largest']}",
        cutoff,
    ]
    rivals = [f"{fits[rival]['ratio']:+.1f}, p = {fits[rival]['p']:.2g}" for rival in RIVALS]
    return format_row(
        [*sizes, f"{fits[RIVALS[0]]['exponent']:.2f}, {fits[RIVALS[0]]['start']:g}", *rivals]
    )


def describe_growth(table: pd.DataFrame) -> str:
    """Whether the cutoff grows with the market, of ``growth``."""
    b = Estimate(
        int(table["markets"].iloc[0]),
        *(float(table[name].iloc[0]) for name in ("exponent", "low", "high")),
    )
    if np.isnan(b.mean):
        return "- Too few markets with cascades to tell whether the cutoff grows."
    apart = "faster" if b.mean > 1 else "more slowly"
    grows = (
        "it keeps its share of the market"
        if b.low <= 1 <= b.high
        else f"it grows {apart} than the market"
    )
    verdict = "no growth is shown" if b.low <= 0 <= b.high else grows
    return f"- The cutoff goes with the number of traders to the power of {format_estimate(b)}: {verdict}."


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``cascade_sizes``: how many cascades have at least so many accounts, a line for each market."""
    parts = []
    with use_style():
        figure = Figure(figsize=(PAGE_WIDTH * 0.6, 3.0), layout="constrained")
        axes = figure.subplots()
        for place, (traders, group) in enumerate(runs.groupby("traders")):
            reached, count = np.unique(group["accounts"], return_counts=True)
            share = count[::-1].cumsum()[::-1] / len(group)
            look: dict[str, Any] = {
                "color": COLOURS[place],
                "linestyle": LINE_STYLES[place % len(LINE_STYLES)],
                "linewidth": 1.1,
            }
            axes.step(reached, share, where="pre", label=f"{traders:,} traders", **look)
            parts.append(pd.DataFrame({"traders": traders, "accounts": reached, "share": share}))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("Accounts in a cascade")
        axes.set_ylabel("Share with at least as many")
        axes.legend(frameon=False)
        seaborn.despine(ax=axes)
        save_figure(figure, folder / "cascade_sizes", pd.concat(parts, ignore_index=True))
