"""Flash crash under leverage caps, for three responses of traders: compression breaks the
market.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from experiments.config import RunConfig
from experiments.figures.style import (
    PAGE_WIDTH,
    create_figure,
    draw_estimates,
    save_figure,
    use_style,
)
from experiments.statistics import compare_neighbours, summarise_measures
from experiments.studies.shared.caps import CAP_SHIFT, SETTING_COLUMNS, format_grid
from experiments.studies.shared.rules import choose_line_style
from experiments.studies.shared.shocks import find_first_perpetual, find_shock_step
from sim.metrics.cascades import Frames, measure_amplification
from sim.metrics.shock_losses import measure_shock_losses
from sim.metrics.venues import join_venue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADLINES = {
    "deleveraged": ("ADL, % of open interest", 100),
    "any_deleveraged": ("probability of ADL", 1),
    "taken_over": ("fund take-overs, % of open interest", 100),
    "take_overs": ("fund take-overs, accounts", 1),
    "amplification": ("amplification", 1),
}
"""Measures of the report: label, and the factor of its figures."""

WORDS = HEADLINES | {
    "closed_out": ("closed out, % of open interest", 100),
    "auctioned": ("auctioned, % of open interest", 100),
    "bad_debt": ("bad debt, % of open interest", 100),
    "system_loss": ("system loss (LOSS-4), % of open interest", 100),
    "open_interest": ("open interest before the shock, lots", 1),
    "leverage": ("open interest ÷ equity before the shock", 1),
}
"""Measures of the tables."""

CAPTIONS = {
    "leverage_caps": "ADL, fund take-overs and amplification against the leverage cap, for three "
    "elasticities of leverage to it; means with 95% confidence intervals.",
    "estimates": "Every measure at every cap and elasticity.",
    "differences": "Paired change from the next lower cap, on the same draws.",
}

PANELS = {
    "deleveraged": ("ADL (% of open interest)", 100),
    "taken_over": ("Fund take-overs\n(% of open interest)", 100),
    "amplification": ("Amplification", 1),
}


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return one row: the losses of the shock, and how far close-outs carried the mark."""
    if twin is None:
        rule = "write roles: {twin: {suppress_closeouts: true}} in the study"
        raise ValueError(f"amplification needs a twin; {rule}")
    instrument, since = find_first_perpetual(config), find_shock_step(config)
    shock = measure_shock_losses(frames, instrument, since)
    steps = frames["steps"]
    own = join_venue(steps[steps["instrument"] == instrument], frames, ["equity"])
    before = own[own["step"] == since - 1].iloc[0]
    row = {
        **shock._asdict(),
        "any_deleveraged": shock.deleveraged > 0,
        "amplification": measure_amplification(frames, twin, instrument, since),
        "open_interest": int(before["open_interest"]),
        "leverage": float(before["gross"] / 2 / before["equity"]),
    }
    return pd.DataFrame({name: [value] for name, value in row.items()})


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return every measure at every setting, and its paired change from each cap to the next."""
    return {
        "estimates": summarise_measures(runs, SETTING_COLUMNS, list(WORDS)),
        "differences": compare_neighbours(runs, "cap", SETTING_COLUMNS[:1], list(WORDS)),
    }


def report(runs: pd.DataFrame) -> str:
    """Return two tables with a column for each cap: estimates, and changes from cap to cap."""
    made = tables(runs)
    lines = [
        f"{runs['seed'].nunique()} seeds; means with 95% confidence intervals.",
        "",
        *format_grid(made["estimates"], HEADLINES),
    ]
    lines += ["", "Change from the next lower cap, on the same draws:", ""]
    return "\n".join([*lines, *format_grid(made["differences"], HEADLINES, signed=True)])


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``leverage_caps``: ADL, take-overs and amplification against the cap, by elasticity."""
    table = summarise_measures(runs, SETTING_COLUMNS, list(PANELS))
    with use_style():
        figure = create_figure(PAGE_WIDTH, 2.6)
        panels = figure.subplots(1, 3)
        for axes, (name, (label, factor)) in zip(panels, PANELS.items(), strict=True):
            _draw_panel(axes, table[table["measure"] == name], label, factor)
        panels[2].axhline(1, color="0.4", linewidth=0.7, linestyle="--", zorder=0)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=3, frameon=False, handlelength=2.8
        )
        save_figure(figure, folder / "leverage_caps", table)


def _draw_panel(axes: "Axes", table: pd.DataFrame, label: str, factor: float) -> None:
    """Draw means with intervals; lines are shifted a little, so that intervals do not overlap."""
    import seaborn

    scaled = table.assign(**factor * table[["mean", "low", "high"]])
    groups = {
        f"$\\epsilon$ = {elasticity:g}": group for elasticity, group in scaled.groupby("elasticity")
    }
    looks = [choose_line_style(number) for number in range(len(groups))]
    draw_estimates(axes, groups, looks, "cap", CAP_SHIFT)
    caps = sorted(table["cap"].unique())
    axes.set_xscale("log")
    axes.set_xticks(caps, [f"{cap:g}" for cap in caps])
    axes.minorticks_off()
    axes.set_xlabel("Leverage cap (times)")
    axes.set_ylabel(label)
    seaborn.despine(ax=axes)
