"""Figures of positions and margin, and of market liquidity."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.figures.style import (
    Frame,
    Frames,
    add_axis_positions,
    choose_scale,
    draw_band,
    draw_legend_above,
    draw_lines,
    draw_rug,
    draw_time_axis,
    find_most_liquidated,
    melt_series,
    save_figure,
    stack_panels,
    thin_log_axis,
    use_style,
)
from sim.metrics.venues import join_venue

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_positions(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Draw open interest, leverage and margin per notional of the venue that liquidated most.

    Args:
        frames: ``steps`` and ``venues`` of one run.
        folder: folder for ``positions.pdf``, ``.png`` and ``.csv``.
        unit: minor units in one unit of the numeraire.
        currency: name of the numeraire.

    Returns:
        Path of the PDF.
    """
    table = _sum_positions(frames, unit)
    per, prefix = choose_scale(float(table["open_interest"].max()))
    with use_style():
        figure, axes = stack_panels(4.6, (1, 1, 1))
        draw_lines(
            axes[0],
            table,
            {"open_interest": ""},
            label=f"Open interest\n({prefix}{currency})",
            per=per,
        )
        draw_lines(axes[1], table, {"leverage": ""}, label="Leverage\n(gross ÷ equity)")
        margins = {"initial": "Initial margin", "maintenance": "Maintenance"}
        draw_lines(axes[2], table, margins, label="Margin per\nnotional (%)", per=0.01)
        for each in axes:
            each.set_ylim(bottom=0)
        draw_time_axis(axes[2], table)
        figure.align_ylabels(axes)
        drawn = melt_series(table, ["open_interest", "leverage", "initial", "maintenance"])
        return save_figure(figure, folder / "positions", drawn)


def draw_liquidity(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Draw depth, spread and basis of the perpetual that was liquidated most.

    Marks show steps in which one side of its order book was empty. Long runs are drawn as the
    median and the 5 to 95% band of groups of steps. The CSV has all steps. Arguments and result
    are as in ``draw_positions``; prices need neither unit nor currency.
    """
    table = add_axis_positions(find_most_liquidated(frames["steps"]))
    table["spread"] = (table["ask"] - table["bid"]) / table["mid"]
    table["basis"] = table["mark"] / table["oracle"] - 1
    table["one_sided"] = table["fallback"].astype(np.float64)
    with use_style():
        figure, axes = stack_panels(4.6, (1, 1, 1))
        per, prefix = choose_scale(float(table["depth"].max()))
        if draw_band(axes[0], table, "depth", label=f"Depth within 1%\n({prefix}lots)", per=per):
            draw_legend_above(axes[0], ncols=2)
        axes[0].set_ylim(bottom=0)
        _draw_spread(axes[1], table)
        draw_band(axes[2], table, "basis", label="Basis, mark over\noracle (%)", per=0.01)
        axes[2].axhline(0, color="0.6", linewidth=0.6, zorder=0)
        draw_time_axis(axes[2], table)
        figure.align_ylabels(axes)
        return save_figure(
            figure,
            folder / "liquidity",
            melt_series(table, ["depth", "spread", "basis", "one_sided"]),
        )


def _draw_spread(axes: "Axes", table: Frame) -> None:
    draw_band(axes, table, "spread", label="Spread\n(bp of mid)", per=0.0001)
    quoted = table.loc[table["spread"] > 0, "spread"] / 0.0001
    if len(quoted):
        thin_log_axis(axes, quoted.min(), quoted.max())
        axes.set_ylim(quoted.min() / 1.6, None)
    draw_rug(axes, table.loc[table["one_sided"] > 0, "at"], "Book without a side")


def _sum_positions(frames: Frames, unit: int) -> Frame:
    """Return a venue's open interest, leverage and margins by step, missing without positions."""
    steps = frames["steps"]
    table = join_venue(
        add_axis_positions(find_most_liquidated(steps)),
        frames,
        ["equity", "initial", "maintenance"],
    )
    here = steps[steps["venue"] == table["venue"].iloc[0]]
    perpetual = here[here["kind"] == "perpetual"] if (here["kind"] == "perpetual").any() else here
    traded = (
        perpetual.groupby("step")["gross"].sum().reindex(table["step"]).to_numpy(dtype=np.float64)
    )
    gross = here.groupby("step")["gross"].sum().reindex(table["step"]).to_numpy(dtype=np.float64)
    held, equity = np.where(gross > 0, gross, np.nan), table["equity"].where(table["equity"] > 0)
    table["open_interest"] = traded / 2 / unit
    table["leverage"] = held / equity
    return table.assign(initial=table["initial"] / held, maintenance=table["maintenance"] / held)
