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
from experiments.figures.style import PAGE, save, style
from experiments.results.markdown import cell, header, row
from experiments.results.sentences import too_few
from experiments.statistics import Estimate, against, holm, relative, summarise
from experiments.studies.shared.aftermath import aftermath, one_row
from experiments.studies.shared.caps import BY, grid
from experiments.studies.shared.rules import look, seeds, words
from experiments.studies.shared.shocks import perpetual
from sim.metrics.cascades import Frames

FREE, CAPPED = 100, 50
"""Caps between which the published one is compared, times."""

PUBLISHED = {"volume": -0.23, "heavy_losses": -0.40, "spread": 0.0}
"""Relative changes (Heimer and Simsek 2019): volume, losses of highly levered traders, spreads."""

HEAVY = 0.5
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
    own = steps[steps["instrument"] == perpetual(config)]
    lost, wealth = _lost(config, frames["accounts"])
    return one_row(
        aftermath(config, frames, twin)
        | {
            "volume": float((own["volume"] * own["mark"]).sum()) * config.venues[0].instruments[0].lot / 1e6,
            "spread": float(((own["ask"] - own["bid"]) / own["mid"]).median()),
            "losses": float(lost.clip(min=0).sum() / wealth.sum()),
            "heavy_losses": float(lost[lost >= HEAVY * wealth].sum() / wealth.sum()),
        }
    )


def _lost(config: RunConfig, accounts: pd.DataFrame) -> tuple[Any, Any]:
    """What each trader lost from start to end, and its wealth at the start (n,); all who choose a leverage count."""
    names = [each.name for each in config.populations if "elasticity" in type(each).model_fields]
    own = accounts[accounts["population"].isin(names)]
    equity = own.pivot_table(index="owner", columns="moment", values="equity", aggfunc="sum")
    start, end = equity["start"].to_numpy(float), equity["end"].to_numpy(float)
    return start - end, start


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every measure at every cap; differences from 100 times; the step to 50 beside the published one."""
    made = {"estimates": summarise(runs, BY, [*WORDS, "system_loss", "closed_out", "leverage"])}
    made["differences"] = holm(against(runs, "cap", FREE, BY[:1], list(WORDS)), ["measure"])
    made["published"] = published(runs)
    return made


def published(runs: pd.DataFrame) -> pd.DataFrame:
    """Relative change of volume, heavy losses and spread from 100 times to 50, paired, beside the published figure."""
    rows = []
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        here = runs[runs["elasticity"] == elasticity]
        for name, told in PUBLISHED.items():
            table = here.pivot(index="seed", columns="cap", values=name)[[CAPPED, FREE]].dropna().astype(np.float64)
            rows.append((elasticity, name, told, *relative(table[CAPPED].to_numpy(), table[FREE].to_numpy())))
    return pd.DataFrame(rows, columns=["elasticity", "measure", "published", *Estimate._fields])


def report(runs: pd.DataFrame) -> str:
    """The step from 100 times to 50 beside the published one; then every measure, caps across."""
    lines = [
        "## Findings",
        "",
        *(f"- {line}" for line in findings(runs)),
        "",
        seeds(runs),
        "",
        "## From 100 times to 50",
        "",
    ]
    lines += header(["relative change, %", "ε", "here", "Heimer and Simsek"])
    for found in published(runs).to_dict("records"):
        figure = Estimate(*(found[name] for name in Estimate._fields)).times(100)
        told = f"{100 * found['published']:+.0f}" if found["published"] else "unchanged"
        cells = [WORDS[found["measure"]][0].split(",")[0], f"{found['elasticity']:g}", cell(figure, signed=True), told]
        lines.append(row([each.replace("-", "\N{MINUS SIGN}") if each == told else each for each in cells]))
    return "\n".join([*lines, "", "## By cap", "", *grid(summarise(runs, BY, list(WORDS)), WORDS)])


def findings(runs: pd.DataFrame) -> list[str]:
    """For each elasticity whether signs agree with the published ones."""
    lines = []
    table = published(runs)
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        parts = []
        for found in table[table["elasticity"] == elasticity].to_dict("records"):
            figure = Estimate(*(found[name] for name in Estimate._fields))
            told = WORDS[found["measure"]][0].split(",")[0]
            shown = f"{cell(figure.times(100), signed=True)}%"
            few = too_few(figure.n)
            parts.append(f"{told} {shown}, {'undecided' if few else _agrees(figure, float(found['published']))}")
        why = f" Undecided: {few}." if few else ""
        lines.append(f"{words(elasticity)}, from 100 times to 50: {'; '.join(parts)}.{why}")
    return lines


def _agrees(found: Estimate, told: float) -> str:
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
    return "the published sign, another size" if found.sign == np.sign(told) else "against the published sign"


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``leverage_cap``: volume, heavy losses and spread against the cap."""
    table = summarise(runs, BY, list(PANELS))
    with style():
        figure = Figure(figsize=(PAGE, 2.5), layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharex=True)
        for axes, (name, (label, factor)) in zip(panels, PANELS.items(), strict=True):
            _panel(axes, table[table["measure"] == name], factor)
            axes.set_ylabel(label)
        figure.supxlabel("Leverage cap (times)", fontsize="medium")
        handles, told = panels[0].get_legend_handles_labels()
        figure.legend(handles, told, loc="outside upper center", ncols=3, frameon=False, handlelength=2.8)
        save(figure, folder / "leverage_cap", table)


def _panel(axes: Axes, table: pd.DataFrame, factor: float) -> None:
    for number, elasticity in enumerate(sorted(table["elasticity"].unique())):
        here = table[table["elasticity"] == elasticity].sort_values("cap")
        centre, ends = factor * here["mean"].to_numpy(), factor * here[["low", "high"]].to_numpy().T
        at = here["cap"].to_numpy() * 1.03 ** (number - 1)
        told: dict[str, Any] = {"label": f"$\\epsilon$ = {elasticity:g}", "elinewidth": 0.7, **look(number)}
        axes.errorbar(at, centre, np.abs(ends - centre), **told)
    caps = np.sort(table["cap"].unique())
    axes.set_xscale("log")
    axes.set_xticks(caps, [f"{cap:g}" for cap in caps])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    seaborn.despine(ax=axes)
