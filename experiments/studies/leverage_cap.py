"""Leverage caps from 100 times to 2: trade, spreads and losses, beside those of an imposed cap.

In 2010 the American regulator capped retail currency trading at 50 times. Heimer and Simsek (2019,
J. Financial Economics 132) find that volume fell by 23%, losses of highly levered traders fell by
40%, and spreads did not change. This study compares sign and size of the step from 100 times to 50.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.config import RunConfig
from experiments.figures.style import (
    PAGE_WIDTH,
    create_figure,
    draw_estimates,
    save_figure,
    use_style,
)
from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.results.sentences import describe_low_power
from experiments.statistics import (
    Estimate,
    adjust_by_holm,
    compare_with_reference,
    estimate_relative_change,
    summarise_measures,
)
from experiments.studies.shared.aftermath import make_score_row, measure_aftermath
from experiments.studies.shared.caps import CAP_SHIFT, SETTING_COLUMNS, format_grid
from experiments.studies.shared.rules import (
    choose_line_style,
    describe_replications,
    format_elasticity,
    name_level,
)
from experiments.studies.shared.shocks import find_first_perpetual
from sim.metrics.cascades import Frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BASE_CAP, LOWER_CAP = 100, 50
"""Caps of the step that is compared with the published one (times)."""

PUBLISHED_CHANGES = {"volume": -0.23, "heavy_losses": -0.40, "spread": 0.0}
"""Relative changes (Heimer and Simsek 2019): volume, losses of highly levered traders, spreads."""

HEAVY_LOSS_SHARE = 0.5
"""Smallest heavy loss, as a share of a trader's wealth at the start."""

WORDS = {
    "volume": ("volume, million USD", 1),
    "heavy_losses": ("losses of traders who lose half or more, % of all wealth", 100),
    "losses": ("losses of all traders, % of their wealth", 100),
    "spread": ("median spread, bp", 1e4),
    "deleveraged": ("ADL, % of open interest", 100),
    "broken": ("probability that the fund refuses a loss", 1),
}
PANELS = {
    "volume": ("Volume (million USD)", 1),
    "heavy_losses": ("Heavy losses\n(% of traders' wealth)", 100),
    "spread": ("Median spread (bp)", 1e4),
}


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return one row: trade, spread, and traders' losses from start to end."""
    steps = frames["steps"]
    own = steps[steps["instrument"] == find_first_perpetual(config)]
    lost, wealth = _trader_losses(config, frames["accounts"])
    traded = float((own["volume"] * own["mark"]).sum())
    heavy = lost[lost >= HEAVY_LOSS_SHARE * wealth]
    return make_score_row(
        measure_aftermath(config, frames, twin)
        | {
            "volume": traded * config.venues[0].instruments[0].lot / 1e6,
            "spread": float(((own["ask"] - own["bid"]) / own["mid"]).median()),
            "losses": float(lost.clip(min=0).sum() / wealth.sum()),
            "heavy_losses": float(heavy.sum() / wealth.sum()),
        }
    )


def _trader_losses(config: RunConfig, accounts: pd.DataFrame) -> tuple[Any, Any]:
    """Return each trader's loss from start to end, and its wealth at the start (n,).

    Traders are the populations that choose a leverage.
    """
    names = [
        population.name
        for population in config.populations
        if "elasticity" in type(population).model_fields
    ]
    own = accounts[accounts["population"].isin(names)]
    equity = own.pivot_table(index="owner", columns="moment", values="equity", aggfunc="sum")
    start, end = equity["start"].to_numpy(float), equity["end"].to_numpy(float)
    return start - end, start


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return every measure at every cap, differences from 100 times, and the published step."""
    measures = [*WORDS, "system_loss", "closed_out", "leverage"]
    compared = compare_with_reference(runs, "cap", BASE_CAP, SETTING_COLUMNS[:1], list(WORDS))
    return {
        "estimates": summarise_measures(runs, SETTING_COLUMNS, measures),
        "differences": adjust_by_holm(compared, ["measure"]),
        "published": compare_with_published(runs),
    }


def compare_with_published(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the paired relative changes from 100 times to 50, beside the published ones."""
    rows = []
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        here = runs[runs["elasticity"] == elasticity]
        for name, published in PUBLISHED_CHANGES.items():
            by_cap = here.pivot(index="seed", columns="cap", values=name)
            pairs = by_cap[[LOWER_CAP, BASE_CAP]].dropna().astype(np.float64)
            change = estimate_relative_change(
                pairs[LOWER_CAP].to_numpy(), pairs[BASE_CAP].to_numpy()
            )
            rows.append((elasticity, name, published, *change))
    return pd.DataFrame(rows, columns=["elasticity", "measure", "published", *Estimate._fields])


def report(runs: pd.DataFrame) -> str:
    """Return the step from 100 times to 50 beside the published one, and tables by cap."""
    lines = [
        "## Findings",
        "",
        *(f"- {line}" for line in write_findings(runs)),
        "",
        describe_replications(runs),
        "",
        "## From 100 times to 50",
        "",
    ]
    lines += format_header(["relative change, %", "ε", "here", "Heimer and Simsek"])
    for row in compare_with_published(runs).to_dict("records"):
        change = Estimate(*(row[name] for name in Estimate._fields)).rescale(100)
        published = f"{100 * row['published']:+.0f}" if row["published"] else "unchanged"
        cells = [
            WORDS[row["measure"]][0].split(",")[0],
            f"{row['elasticity']:g}",
            format_estimate(change, signed=True),
            published.replace("-", "\N{MINUS SIGN}"),
        ]
        lines.append(format_row(cells))
    grid = format_grid(summarise_measures(runs, SETTING_COLUMNS, list(WORDS)), WORDS)
    return "\n".join([*lines, "", "## By cap", "", *grid])


def write_findings(runs: pd.DataFrame) -> list[str]:
    """Return a sentence for each elasticity: do the signs agree with the published ones?"""
    lines = []
    table = compare_with_published(runs)
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        parts = []
        for row in table[table["elasticity"] == elasticity].to_dict("records"):
            change = Estimate(*(row[name] for name in Estimate._fields))
            label = WORDS[row["measure"]][0].split(",")[0]
            size = _format_percent_change(change)
            few = describe_low_power(change.n)
            agreement = _describe_agreement(change, float(row["published"]))
            parts.append(f"{label} {size}, {'undecided' if few else agreement}")
        reason = f" Undecided: {few}." if few else ""
        lines.append(
            f"{format_elasticity(elasticity)}, from 100 times to 50: {'; '.join(parts)}.{reason}"
        )
    return lines


def _format_percent_change(change: Estimate) -> str:
    """Format a relative change in percent, with its interval: ``-10% (95% CI -14 to -6)``."""
    mean, _, interval = name_level(format_estimate(change.rescale(100), signed=True)).partition(" ")
    return f"{mean}% {interval}".rstrip()


def _describe_agreement(change: Estimate, published: float) -> str:
    """Compare a change with the published one; an interval with zero and that one is open."""
    if np.isnan(change.low):
        return "nothing to compare"
    covers_published = change.low <= published <= change.high
    if not change.sign and not published:
        return "no statistically significant change, and none was published"
    if not change.sign:
        against = "nor a significant difference from the published one"
        return (
            "no statistically significant change, "
            f"{against if covers_published else 'but one was published'}"
        )
    if covers_published:
        return "as published"
    if not published:
        return "a change where none was published"
    return (
        "the published sign, another size"
        if change.sign == np.sign(published)
        else "against the published sign"
    )


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``leverage_cap``: volume, heavy losses and spread against the cap."""
    table = summarise_measures(runs, SETTING_COLUMNS, list(PANELS))
    with use_style():
        figure = create_figure(PAGE_WIDTH, 2.5)
        panels = figure.subplots(1, len(PANELS), sharex=True)
        for axes, (name, (label, factor)) in zip(panels, PANELS.items(), strict=True):
            _draw_panel(axes, table[table["measure"] == name], factor)
            axes.set_ylabel(label)
        figure.supxlabel("Leverage cap (times)", fontsize="medium")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=3, frameon=False, handlelength=2.8
        )
        save_figure(figure, folder / "leverage_cap", table)


def _draw_panel(axes: "Axes", table: pd.DataFrame, factor: float) -> None:
    import seaborn

    scaled = table.assign(**factor * table[["mean", "low", "high"]])
    groups = {
        f"$\\epsilon$ = {elasticity:g}": group for elasticity, group in scaled.groupby("elasticity")
    }
    looks = [choose_line_style(number) for number in range(len(groups))]
    draw_estimates(axes, groups, looks, "cap", CAP_SHIFT)
    caps = np.sort(table["cap"].unique())
    axes.set_xscale("log")
    axes.set_xticks(caps, [f"{cap:g}" for cap in caps])
    axes.minorticks_off()
    axes.set_ylim(bottom=-0.03 * axes.get_ylim()[1])  # markers at zero are seen whole
    seaborn.despine(ax=axes)
