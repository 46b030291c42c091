"""A leverage cap from 100 times to 2: trade, spreads and losses, beside those of a cap that was imposed.

In 2010 the American regulator capped retail currency trading at 50 times. Heimer and Simsek (2019, J. Financial
Economics 132) find volume down by 23%, losses of highly levered traders down by 40%, and spreads unchanged. What is
compared here is sign and size of the step from 100 times to 50.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.config import RunConfig
from experiments.figures.style import PAGE_WIDTH, save_figure, use_style
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
from experiments.studies.shared.caps import SETTING_COLUMNS, format_grid
from experiments.studies.shared.rules import (
    choose_line_style,
    describe_replications,
    format_elasticity,
)
from experiments.studies.shared.shocks import find_first_perpetual
from sim.metrics.cascades import Frames

BASE_CAP, LOWER_CAP = 100, 50
"""Caps between which the published one is compared, times."""

PUBLISHED_CHANGES = {"volume": -0.23, "heavy_losses": -0.40, "spread": 0.0}
"""Relative changes (Heimer and Simsek 2019): volume, losses of highly levered traders, spreads."""

HEAVY_LOSS_SHARE = 0.5
"""Share of its wealth at the start from which on a trader's loss is heavy."""

WORDS = {
    "volume": ("volume, million USD", 1),
    "heavy_losses": ("losses of those who lose half or more, % of all wealth", 100),
    "losses": ("losses of all traders, % of their wealth", 100),
    "spread": ("median spread, bp", 1e4),
    "deleveraged": ("ADL, % of open interest", 100),
    "broken": ("probability of a loss that the fund refuses", 1),
}
PANELS = {
    "volume": ("Volume (million USD)", 1),
    "heavy_losses": ("Heavy losses\n(% of traders' wealth)", 100),
    "spread": ("Median spread (bp)", 1e4),
}


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """One row: trade, spread, and what traders lost from start to end."""
    steps = frames["steps"]
    own = steps[steps["instrument"] == find_first_perpetual(config)]
    lost, wealth = _trader_losses(config, frames["accounts"])
    return make_score_row(
        measure_aftermath(config, frames, twin)
        | {
            "volume": float((own["volume"] * own["mark"]).sum())
            * config.venues[0].instruments[0].lot
            / 1e6,
            "spread": float(((own["ask"] - own["bid"]) / own["mid"]).median()),
            "losses": float(lost.clip(min=0).sum() / wealth.sum()),
            "heavy_losses": float(lost[lost >= HEAVY_LOSS_SHARE * wealth].sum() / wealth.sum()),
        }
    )


def _trader_losses(config: RunConfig, accounts: pd.DataFrame) -> tuple[Any, Any]:
    """What each trader lost from start to end, and its wealth at the start (n,); all who choose a leverage count."""
    names = [each.name for each in config.populations if "elasticity" in type(each).model_fields]
    own = accounts[accounts["population"].isin(names)]
    equity = own.pivot_table(index="owner", columns="moment", values="equity", aggfunc="sum")
    start, end = equity["start"].to_numpy(float), equity["end"].to_numpy(float)
    return start - end, start


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every measure at every cap; differences from 100 times; the step to 50 beside the published one."""
    made = {
        "estimates": summarise_measures(
            runs, SETTING_COLUMNS, [*WORDS, "system_loss", "closed_out", "leverage"]
        )
    }
    made["differences"] = adjust_by_holm(
        compare_with_reference(runs, "cap", BASE_CAP, SETTING_COLUMNS[:1], list(WORDS)), ["measure"]
    )
    made["published"] = compare_with_published(runs)
    return made


def compare_with_published(runs: pd.DataFrame) -> pd.DataFrame:
    """Relative change of volume, heavy losses and spread from 100 times to 50, paired, beside the published figure."""
    rows = []
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        here = runs[runs["elasticity"] == elasticity]
        for name, told in PUBLISHED_CHANGES.items():
            table = (
                here.pivot(index="seed", columns="cap", values=name)[[LOWER_CAP, BASE_CAP]]
                .dropna()
                .astype(np.float64)
            )
            rows.append(
                (
                    elasticity,
                    name,
                    told,
                    *estimate_relative_change(
                        table[LOWER_CAP].to_numpy(), table[BASE_CAP].to_numpy()
                    ),
                )
            )
    return pd.DataFrame(rows, columns=["elasticity", "measure", "published", *Estimate._fields])


def report(runs: pd.DataFrame) -> str:
    """The step from 100 times to 50 beside the published one; then every measure, caps across."""
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
    for found in compare_with_published(runs).to_dict("records"):
        figure = Estimate(*(found[name] for name in Estimate._fields)).rescale(100)
        told = f"{100 * found['published']:+.0f}" if found["published"] else "unchanged"
        cells = [
            WORDS[found["measure"]][0].split(",")[0],
            f"{found['elasticity']:g}",
            format_estimate(figure, signed=True),
            told,
        ]
        lines.append(
            format_row(
                [each.replace("-", "\N{MINUS SIGN}") if each == told else each for each in cells]
            )
        )
    return "\n".join(
        [
            *lines,
            "",
            "## By cap",
            "",
            *format_grid(summarise_measures(runs, SETTING_COLUMNS, list(WORDS)), WORDS),
        ]
    )


def write_findings(runs: pd.DataFrame) -> list[str]:
    """For each elasticity whether signs agree with the published ones."""
    lines = []
    table = compare_with_published(runs)
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        parts = []
        for found in table[table["elasticity"] == elasticity].to_dict("records"):
            figure = Estimate(*(found[name] for name in Estimate._fields))
            told = WORDS[found["measure"]][0].split(",")[0]
            shown = f"{format_estimate(figure.rescale(100), signed=True)}%"
            few = describe_low_power(figure.n)
            parts.append(
                f"{told} {shown}, {'undecided' if few else _describe_agreement(figure, float(found['published']))}"
            )
        why = f" Undecided: {few}." if few else ""
        lines.append(
            f"{format_elasticity(elasticity)}, from 100 times to 50: {'; '.join(parts)}.{why}"
        )
    return lines


def _describe_agreement(found: Estimate, told: float) -> str:
    """A change held against the published one, in words; an interval that holds both nil and it decides nothing."""
    if np.isnan(found.low):
        return "nothing to compare"
    if not found.sign:
        if not told:
            return "no change shown, and none was published"
        held = found.low <= told <= found.high
        return f"no change shown, {'nor that it is not the published one' if held else 'where one was published'}"
    if found.low <= told <= found.high:
        return "as published"
    if not told:
        return "a change where none was published"
    return (
        "the published sign, another size"
        if found.sign == np.sign(told)
        else "against the published sign"
    )


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``leverage_cap``: volume, heavy losses and spread against the cap."""
    table = summarise_measures(runs, SETTING_COLUMNS, list(PANELS))
    with use_style():
        figure = Figure(figsize=(PAGE_WIDTH, 2.5), layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharex=True)
        for axes, (name, (label, factor)) in zip(panels, PANELS.items(), strict=True):
            _draw_panel(axes, table[table["measure"] == name], factor)
            axes.set_ylabel(label)
        figure.supxlabel("Leverage cap (times)", fontsize="medium")
        handles, told = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, told, loc="outside upper center", ncols=3, frameon=False, handlelength=2.8
        )
        save_figure(figure, folder / "leverage_cap", table)


def _draw_panel(axes: Axes, table: pd.DataFrame, factor: float) -> None:
    for number, elasticity in enumerate(sorted(table["elasticity"].unique())):
        here = table[table["elasticity"] == elasticity].sort_values("cap")
        centre, ends = factor * here["mean"].to_numpy(), factor * here[["low", "high"]].to_numpy().T
        at = here["cap"].to_numpy() * 1.03 ** (number - 1)
        told: dict[str, Any] = {
            "label": f"$\\epsilon$ = {elasticity:g}",
            "elinewidth": 0.7,
            **choose_line_style(number),
        }
        axes.errorbar(at, centre, np.abs(ends - centre), **told)
    caps = np.sort(table["cap"].unique())
    axes.set_xscale("log")
    axes.set_xticks(caps, [f"{cap:g}" for cap in caps])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    seaborn.despine(ax=axes)
