"""Size of an insurance fund against the probabilities that it is used up or refuses a loss.

A fund's size only matters from the first loss on that it cannot bear. If a fund bore all losses, a
larger one makes the same run. The smallest size is therefore run with every seed. Each next size is
run only with the seeds in which the fund refused a loss.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
from experiments.statistics import Estimate, summarise_measures, tabulate_crossings
from experiments.studies.shared.aftermath import make_score_row, measure_aftermath
from experiments.studies.shared.rules import (
    REFUSAL_NOTE,
    choose_line_style,
    describe_replications,
    format_elasticity,
    name_level,
)
from experiments.sweep.config import StudyConfig
from experiments.sweep.plan import SettingRequest
from sim.metrics.cascades import Frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SETTING_COLUMNS = ("elasticity", "share")
FUND_SHARES = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.08, 0.16)
"""Sizes as shares of open interest before the fall; the first is that of the study's file."""

SAFE_PROBABILITY = 0.01
"""Probability of a refused loss at which the size of the buffer is estimated."""

DEPLETED_SHARE = 0.1
"""Share of its initial money below which a fund is depleted."""

WORDS = {
    "depleted": ("fund depleted", 1),
    "broken": ("loss refused by the fund", 1),
    "any_deleveraged": ("ADL", 1),
    "fund_draw": ("fund draw, % of open interest", 100),
    "deleveraged": ("ADL, % of open interest", 100),
}
CAPTIONS = {
    "solvency_buffer": "Probability that less than a tenth of the fund was left, and that the fund "
    "refused a loss, against its size, with Wilson's intervals. The grey line is one fall in a "
    "hundred: above it the axis is logarithmic, below it linear.",
    "buffer": "Size of the fund at which it refuses a loss with a probability of 1%.",
}
PANELS = ("depleted", "broken")


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return one row: the outcomes of the shock, and a flag for a depleted fund."""
    aftermath = measure_aftermath(config, frames, twin)
    is_depleted = aftermath["fund_lowest"] < DEPLETED_SHARE * aftermath["fund"]
    return make_score_row(aftermath | {"depleted": is_depleted})


def refine(study: StudyConfig, runs: pd.DataFrame) -> Sequence[SettingRequest]:
    """Return the next size for each seed in which every fund so far refused a loss."""
    last = _largest_fund_runs(runs)
    refused = last[last["broken"].astype(bool) & (last["share"] < FUND_SHARES[-1])]
    requests = []
    for (elasticity, share), group in refused.groupby(list(SETTING_COLUMNS)):
        following = FUND_SHARES[FUND_SHARES.index(share) + 1]
        setting = {"elasticity": elasticity, "share": following}
        requests.append(SettingRequest(setting, tuple(map(int, group["seed"]))))
    return requests


def complete_sizes(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for every size and seed.

    Sizes above the first sufficient one repeat its run.
    """
    last = _largest_fund_runs(runs)
    enough = last[~last["broken"].astype(bool)]
    sizes = sorted(runs["share"].unique())
    larger = [_enlarge_fund(enough[enough["share"] < share], share) for share in sizes]
    return pd.concat([runs, *larger], ignore_index=True)


def _largest_fund_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return each seed's run with the largest fund so far."""
    return runs.sort_values("share", kind="stable").drop_duplicates(
        ["elasticity", "seed"], keep="last"
    )


def _enlarge_fund(runs: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return the same runs with a larger fund, whose additional money is never used."""
    return runs.assign(share=share, depleted=False, fund=np.nan, fund_lowest=np.nan)


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return every measure at every size, and the buffer for a probability of 1%."""
    runs = complete_sizes(runs)
    measures = [*WORDS, "system_loss", "beyond", "taken_over"]
    return {
        "estimates": summarise_measures(runs, SETTING_COLUMNS, measures),
        "buffer": estimate_buffer(runs),
    }


def estimate_buffer(runs: pd.DataFrame) -> pd.DataFrame:
    """Estimate the fund's size at which it refuses a loss with a probability of 1%, by elasticity.

    Args:
        runs: result of ``complete_sizes``.
    """
    return tabulate_crossings(runs, SETTING_COLUMNS[:1], "share", "broken", SAFE_PROBABILITY)


def report(runs: pd.DataFrame) -> str:
    """Return the buffer for 1%, and probabilities and draws by size."""
    made, runs = len(runs), complete_sizes(runs)
    lines = [
        "## Findings",
        "",
        *(f"- {line}" for line in write_findings(runs)),
        "",
        f"{describe_replications(runs)} {made:,} runs stand for {len(runs):,}: if a fund bore all "
        f"losses, a larger one would too. {REFUSAL_NOTE}",
        "",
        "## By size",
        "",
    ]
    table = summarise_measures(runs, SETTING_COLUMNS, list(WORDS))
    sizes = sorted(runs["share"].unique())
    lines += format_header(["", "ε", *(f"{100 * size:g}% of open interest" for size in sizes)])
    for name, (label, factor) in WORDS.items():
        for elasticity in sorted(runs["elasticity"].unique()):
            is_here = (table["measure"] == name) & (table["elasticity"] == elasticity)
            here = table[is_here].sort_values("share")
            cells = [
                format_estimate(Estimate(*row).rescale(factor))
                for row in here[list(Estimate._fields)].itertuples(index=False)
            ]
            lines.append(format_row([label, f"{elasticity:g}", *cells]))
    return "\n".join(lines)


def write_findings(runs: pd.DataFrame) -> list[str]:
    """Return a sentence for each elasticity, and a caution if there are few replications."""
    rows = estimate_buffer(runs).sort_values("elasticity").to_dict("records")
    lines = [
        f"{format_elasticity(row['elasticity'])}: fund, as a share of open interest, that refuses "
        f"a loss in 1% of falls: {name_level(row['cell'])}."
        for row in rows
    ]
    count = int(runs["seed"].nunique())
    if count * SAFE_PROBABILITY < 1:
        lines.append(
            f"One in {count} replications is {100 / count:.1f}%: where none breaks, a probability "
            "of 1% is neither supported nor excluded."
        )
    return lines


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``solvency_buffer``: probabilities of depletion and of a refused loss against its
    size.
    """
    table = summarise_measures(complete_sizes(runs), SETTING_COLUMNS, list(PANELS))
    with use_style():
        figure = create_figure(PAGE_WIDTH, 2.6)
        grid = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
        for axes, name in zip(grid, PANELS, strict=True):
            _draw_panel(axes, table[table["measure"] == name])
            axes.set_title(WORDS[name][0].capitalize(), fontsize="medium")
        grid[0].set_ylabel("Probability")
        figure.supxlabel("Fund (% of open interest)", fontsize="medium")
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=3, frameon=False, handlelength=2.8
        )
        save_figure(figure, folder / "solvency_buffer", table)


def _draw_panel(axes: "Axes", table: pd.DataFrame) -> None:
    import seaborn

    percent = table.assign(share=100 * table["share"])
    groups = {
        f"$\\epsilon$ = {elasticity:g}": group
        for elasticity, group in percent.groupby("elasticity")
    }
    looks = [choose_line_style(number) for number in range(len(groups))]
    draw_estimates(axes, groups, looks, "share", 1.06)
    sizes = 100 * np.sort(table["share"].unique())
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.axhline(SAFE_PROBABILITY, color="0.7", linewidth=0.7, zorder=0)
    axes.set_yscale("symlog", linthresh=SAFE_PROBABILITY)
    axes.set_yticks([0, SAFE_PROBABILITY, 0.1, 1], ["0", f"{SAFE_PROBABILITY:g}", "0.1", "1"])
    axes.set_ylim(-0.001, 1.2)
    seaborn.despine(ax=axes)
