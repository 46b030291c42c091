"""The size of an insurance fund against the probability that it is used up, and that it refuses a loss.

A fund's size matters from the first book on that it cannot afford. Where it could afford all of them, nobody paid
beyond it, and a larger one makes the same run: the least size is run with every seed, the next one only with those
seeds in which somebody paid, and so on.
"""

from collections.abc import Sequence
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
from experiments.statistics import Estimate, summarise_measures, tabulate_crossings
from experiments.studies.shared.aftermath import make_score_row, measure_aftermath
from experiments.studies.shared.rules import (
    REFUSAL_NOTE,
    choose_line_style,
    describe_replications,
    format_elasticity,
)
from experiments.sweep.config import StudyConfig
from experiments.sweep.plan import SettingRequest
from sim.metrics.cascades import Frames

SETTING_COLUMNS = ("elasticity", "share")
FUND_SHARES = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.08, 0.16)
"""Sizes, of open interest before the fall; the first is the study's file's."""

SAFE_PROBABILITY = 0.01
"""Probability of a loss refused by the fund that a buffer is asked to leave."""

DEPLETED_SHARE = 0.1
"""Share of itself below which a fund is depleted."""

WORDS = {
    "depleted": ("fund depleted", 1),
    "broken": ("a loss that the fund refuses", 1),
    "any_deleveraged": ("ADL", 1),
    "fund_draw": ("fund draw, % of open interest", 100),
    "deleveraged": ("ADL, % of open interest", 100),
}
CAPTIONS = {
    "solvency_buffer": "Probability that less than a tenth of the fund was left, and that somebody paid beyond it, "
    "against its size, with Wilson's intervals. The grey line is one fall in a hundred: above it the axis is even in "
    "logs, below it linear.",
    "buffer": "Size of the fund at which a loss beyond it has a probability of 1%.",
}
PANELS = ("depleted", "broken")


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """One row: what the shock took, and whether the fund came down to a tenth of itself."""
    found = measure_aftermath(config, frames, twin)
    return make_score_row(
        found | {"depleted": found["fund_lowest"] < DEPLETED_SHARE * found["fund"]}
    )


def refine(study: StudyConfig, runs: pd.DataFrame) -> Sequence[SettingRequest]:
    """The next size, for seeds in which nobody has yet been spared."""
    last = _largest_fund_runs(runs)
    unspared = last[last["broken"].astype(bool) & (last["share"] < FUND_SHARES[-1])]
    return [
        SettingRequest(
            {"elasticity": elasticity, "share": FUND_SHARES[FUND_SHARES.index(share) + 1]},
            tuple(map(int, group["seed"])),
        )
        for (elasticity, share), group in unspared.groupby(list(SETTING_COLUMNS))
    ]


def complete_sizes(runs: pd.DataFrame) -> pd.DataFrame:
    """A row for every size and seed: runs, and for sizes above the first that was enough the same run once more."""
    last = _largest_fund_runs(runs)
    spared = last[~last["broken"].astype(bool)]
    sizes = sorted(runs["share"].unique())
    return pd.concat(
        [runs, *(_enlarge_fund(spared[spared["share"] < share], share) for share in sizes)],
        ignore_index=True,
    )


def _largest_fund_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Each seed's run beside the largest fund so far."""
    return runs.sort_values("share", kind="stable").drop_duplicates(
        ["elasticity", "seed"], keep="last"
    )


def _enlarge_fund(runs: pd.DataFrame, share: float) -> pd.DataFrame:
    """The same runs beside a larger fund: what it has more, a quarter of it or more, is never touched."""
    return runs.assign(share=share, depleted=False, fund=np.nan, fund_lowest=np.nan)


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every measure at every size; the buffer that leaves a probability of 1%."""
    runs = complete_sizes(runs)
    return {
        "estimates": summarise_measures(
            runs, SETTING_COLUMNS, [*WORDS, "system_loss", "beyond", "taken_over"]
        ),
        "buffer": estimate_buffer(runs),
    }


def estimate_buffer(runs: pd.DataFrame) -> pd.DataFrame:
    """Size of the fund at which a loss beyond it has a probability of 1%, by elasticity, with its interval.

    Args:
        runs: of ``whole``.
    """
    return tabulate_crossings(runs, SETTING_COLUMNS[:1], "share", "broken", SAFE_PROBABILITY)


def report(runs: pd.DataFrame) -> str:
    """The buffer for 1%; then probabilities and draws by size."""
    made, runs = len(runs), complete_sizes(runs)
    told = f"{describe_replications(runs)} {made:,} runs stand for {len(runs):,}: where a fund bore everything, a larger one would too."
    lines = [
        "## Findings",
        "",
        *(f"- {line}" for line in write_findings(runs)),
        "",
        f"{told} {REFUSAL_NOTE}",
    ]
    lines += ["", "## By size", ""]
    table, sizes = (
        summarise_measures(runs, SETTING_COLUMNS, list(WORDS)),
        sorted(runs["share"].unique()),
    )
    lines += format_header(["", "ε", *(f"{100 * size:g}% of open interest" for size in sizes)])
    for name, (told, factor) in WORDS.items():
        for elasticity in sorted(runs["elasticity"].unique()):
            here = table[
                (table["measure"] == name) & (table["elasticity"] == elasticity)
            ].sort_values("share")
            found = [
                Estimate(*each) for each in here[list(Estimate._fields)].itertuples(index=False)
            ]
            lines.append(
                format_row(
                    [
                        told,
                        f"{elasticity:g}",
                        *(format_estimate(each.rescale(factor)) for each in found),
                    ]
                )
            )
    return "\n".join(lines)


def write_findings(runs: pd.DataFrame) -> list[str]:
    """A sentence for each elasticity, and what the number of replications leaves open."""
    lines = [
        f"{format_elasticity(line['elasticity'])}: share of open interest with which the fund refuses a loss in 1% of falls: "
        f"{line['told']}."
        for line in estimate_buffer(runs).sort_values("elasticity").to_dict("records")
    ]
    count = int(runs["seed"].nunique())
    if count * SAFE_PROBABILITY < 1:
        lines.append(
            f"One in {count} replications is {100 / count:.1f}%: where none breaks, 1% is neither shown nor excluded."
        )
    return lines


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``solvency_buffer``: probabilities of depletion and of a refused loss against its size."""
    table = summarise_measures(complete_sizes(runs), SETTING_COLUMNS, list(PANELS))
    with use_style():
        figure = Figure(figsize=(PAGE_WIDTH, 2.6), layout="constrained")
        grid = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
        for axes, name in zip(grid, PANELS, strict=True):
            _draw_panel(axes, table[table["measure"] == name])
            axes.set_title(WORDS[name][0].capitalize(), fontsize="medium")
        grid[0].set_ylabel("Probability")
        figure.supxlabel("Fund (% of open interest)", fontsize="medium")
        handles, told = grid[0].get_legend_handles_labels()
        figure.legend(
            handles, told, loc="outside upper center", ncols=3, frameon=False, handlelength=2.8
        )
        save_figure(figure, folder / "solvency_buffer", table)


def _draw_panel(axes: Axes, table: pd.DataFrame) -> None:
    for number, elasticity in enumerate(sorted(table["elasticity"].unique())):
        here = table[table["elasticity"] == elasticity].sort_values("share")
        centre, ends = here["mean"].to_numpy(), here[["low", "high"]].to_numpy().T
        style_of: dict[str, Any] = {"elinewidth": 0.7, **choose_line_style(number)}
        at = 100 * here["share"].to_numpy() * 1.04 ** (number - 1)
        axes.errorbar(
            at, centre, np.abs(ends - centre), label=f"$\\epsilon$ = {elasticity:g}", **style_of
        )
    sizes = 100 * np.sort(table["share"].unique())
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.axhline(SAFE_PROBABILITY, color="0.7", linewidth=0.7, zorder=0)
    axes.set_yscale("symlog", linthresh=SAFE_PROBABILITY)
    axes.set_yticks([0, SAFE_PROBABILITY, 0.1, 1], ["0", f"{SAFE_PROBABILITY:g}", "0.1", "1"])
    axes.set_ylim(-0.001, 1.2)
    seaborn.despine(ax=axes)
