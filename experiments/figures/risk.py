"""Figures of losses by layer and of the distribution of leverage over accounts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import (
    COLOURS,
    COLUMN_WIDTH,
    LAYER_NAMES,
    LINE_STYLES,
    PAGE_WIDTH,
    Frame,
    Frames,
    add_axis_positions,
    choose_scale,
    draw_lines,
    draw_none_label,
    draw_time_axis,
    find_most_liquidated,
    melt_series,
    save_figure,
    use_style,
)
from sim.metrics.venues import join_venue

LEVERAGE_BINS = np.geomspace(0.1, 1000, 49)
"""Edges of the bins of leverage."""


def draw_losses(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Draw the insurance fund and the cumulative losses absorbed by each layer.

    The venue is the one that liquidated most.

    Args:
        frames: ``steps``, ``venues`` and ``losses`` of one run.
        folder: folder for ``losses.pdf``, ``.png`` and ``.csv``.
        unit: minor units in one unit of the numeraire.
        currency: name of the numeraire.

    Returns:
        Path of the PDF.
    """
    table = join_venue(add_axis_positions(find_most_liquidated(frames["steps"])), frames, ["fund"])
    table["fund"] = table["fund"] / unit
    absorbed = _cumulative_losses(frames["losses"], table, unit)
    table = table.assign(**absorbed)
    with use_style():
        figure = Figure(figsize=(PAGE_WIDTH, 3.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True)
        per, prefix = choose_scale(float(table["fund"].abs().max()))
        draw_lines(top, table, {"fund": ""}, label=f"Insurance fund\n({prefix}{currency})", per=per)
        low, high = (float(table["fund"].agg(end)) / per for end in ("min", "max"))
        # leave room at the edges, where a line would be cut in half
        top.set_ylim(min(0.0, 1.05 * low), max(1.08 * high, 0.0) or None)
        _draw_absorbed(bottom, table, list(absorbed), currency)
        draw_time_axis(bottom, table)
        figure.align_ylabels([top, bottom])
        return save_figure(figure, folder / "losses", melt_series(table, ["fund", *absorbed]))


def _draw_absorbed(axes: Axes, table: Frame, columns: list[str], currency: str) -> None:
    """Draw the cumulative losses absorbed by each layer."""
    if not columns:
        axes.set_ylabel("Losses absorbed")
        draw_none_label(axes)
        seaborn.despine(ax=axes)
        return
    per, prefix = choose_scale(max(float(table[name].max()) for name in columns))
    words = {name: LAYER_NAMES.get(name[9:], name[9:]) for name in columns}
    names = {name: word[0].upper() + word[1:] for name, word in words.items()}
    label = f"Losses absorbed\nso far ({prefix}{currency})"
    draw_lines(axes, table, names, label=label, per=per)
    axes.legend(frameon=False, loc="upper left", handlelength=2.4)


def draw_leverage(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Draw the notional by leverage of accounts at the start, peak and end of a run.

    The venue is the one that liquidated most. Accounts without equity or beyond the last bin
    count in that bin. Arguments and result are as in ``draw_losses``.
    """
    venue = find_most_liquidated(frames["steps"])["venue"].iloc[0]
    accounts = frames["accounts"]
    table = _notional_by_leverage(accounts[accounts["venue"] == venue], unit)
    per, prefix = choose_scale(float(table["notional"].max()) if len(table) else 0.0)
    with use_style():
        figure = Figure(figsize=(COLUMN_WIDTH, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.set_xlabel("Leverage of the account (gross ÷ equity)")
        axes.set_ylabel(f"Notional ({prefix}{currency})" if len(table) else "Notional")
        seaborn.despine(ax=axes)
        if not len(table):
            draw_none_label(axes)
        for number, (moment, part) in enumerate(table.groupby("moment", sort=False)):
            _draw_leverage_steps(axes, part, per, (number, str(moment)))
        if len(table):
            _fit_leverage_axis(axes, table)
        return save_figure(figure, folder / "leverage", table)


_MOMENT_TITLES = {
    "start": "At the start",
    "peak": "At peak open interest",
    "end": "At the end",
}


def _draw_leverage_steps(axes: Axes, part: Frame, per: float, moment: tuple[int, str]) -> None:
    """Draw the distribution at one moment, given by number and name; fill the first one."""
    number, name = moment
    height, colour = part["notional"] / per, COLOURS[(0, 3)[number % 2]]
    edges = np.append(part["leverage_from"], part["leverage_to"].iloc[-1])
    look: dict[str, Any] = {"color": colour, "linewidth": 1.1, "linestyle": LINE_STYLES[number]}
    axes.stairs(height, edges, label=_MOMENT_TITLES[name], **look)
    if number == 0:
        axes.stairs(height, edges, fill=True, alpha=0.2, color=colour)


def _cumulative_losses(losses: Frame, table: Frame, unit: int) -> dict[str, "np.ndarray[Any, Any]"]:
    """Return cumulative losses of each layer of one venue, in the order of first use, by step."""
    here = losses[losses["venue"] == table["venue"].iloc[0]]
    by_step = here.groupby(["layer", "step"], sort=False)["absorbed"].sum() / unit
    layers = list(dict.fromkeys(here["layer"]))
    return {
        f"absorbed_{layer}": by_step[layer]
        .reindex(table["step"], fill_value=0.0)
        .cumsum()
        .to_numpy()
        for layer in layers
    }


def _notional_by_leverage(accounts: Frame, unit: int) -> Frame:
    """Return the notional in each bin of leverage, by moment with positions."""
    held = accounts[accounts["gross"] > 0]
    parts = []
    for moment in ("start", "peak", "end"):
        each = held[held["moment"] == moment]
        ratio = (each["gross"] / each["equity"].where(each["equity"] > 0, 1e-9)).clip(
            LEVERAGE_BINS[0], LEVERAGE_BINS[-1]
        )
        notional, _ = np.histogram(ratio, LEVERAGE_BINS, weights=each["gross"] / unit)
        if notional.any():
            columns = {
                "leverage_from": LEVERAGE_BINS[:-1],
                "leverage_to": LEVERAGE_BINS[1:],
                "notional": notional,
            }
            parts.append(pd.DataFrame({"moment": moment, **columns}))
    empty = pd.DataFrame(columns=["moment", "leverage_from", "leverage_to", "notional"])
    return pd.concat(parts, ignore_index=True) if parts else empty


def _fit_leverage_axis(axes: Axes, table: Frame) -> None:
    """Set a logarithmic axis that covers the occupied bins."""
    used = table[table["notional"] > 0]
    axes.set_xscale("log")
    axes.set_xlim(used["leverage_from"].min() / 1.2, used["leverage_to"].max() * 1.2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(bottom=0)
    axes.legend(
        frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handlelength=2.4
    )
