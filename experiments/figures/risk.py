"""Figures of losses by layer and of the distribution of leverage over accounts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.figures.style import (
    COLOURS,
    COLUMN_WIDTH,
    LAYER_NAMES,
    LINE_STYLES,
    Frame,
    Frames,
    add_axis_positions,
    add_note,
    choose_scale,
    create_figure,
    draw_legend_above,
    draw_lines,
    draw_time_axis,
    find_most_liquidated,
    melt_series,
    save_figure,
    save_nothing,
    stack_panels,
    thin_log_axis,
    use_style,
)
from sim.metrics.venues import join_venue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
        figure, panels = stack_panels(*((3.6, (1, 1)) if absorbed else (2.1, (1,))))
        _draw_fund(panels[0], table, currency)
        if absorbed:
            _draw_absorbed(panels[1], table, list(absorbed), currency)
        else:
            add_note(figure, "Not drawn, because none occurred: losses absorbed.")
        draw_time_axis(panels[-1], table)
        figure.align_ylabels(panels)
        return save_figure(figure, folder / "losses", melt_series(table, ["fund", *absorbed]))


def _draw_fund(axes: "Axes", table: Frame, currency: str) -> None:
    per, prefix = choose_scale(float(table["fund"].abs().max()))
    draw_lines(axes, table, {"fund": ""}, label=f"Insurance fund\n({prefix}{currency})", per=per)
    low, high = float(table["fund"].min()) / per, float(table["fund"].max()) / per
    # A line along the edge would be cut in half.
    axes.set_ylim(min(0.0, 1.05 * low), max(1.08 * high, 0.0) or None)


def _draw_absorbed(axes: "Axes", table: Frame, columns: list[str], currency: str) -> None:
    per, prefix = choose_scale(float(np.nanmax(table[columns].to_numpy(dtype=np.float64))))
    layers = {name: name.removeprefix("absorbed_") for name in columns}
    words = {name: LAYER_NAMES.get(layer, layer) for name, layer in layers.items()}
    names = {name: word[0].upper() + word[1:] for name, word in words.items()}
    label = f"Losses absorbed\nso far ({prefix}{currency})"
    draw_lines(axes, table, names, label=label, per=per)
    draw_legend_above(axes, ncols=len(names), handlelength=2.4)


def draw_leverage(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Draw the notional by leverage of accounts at the start, peak and end of a run.

    The venue is the one that liquidated most. Accounts without equity or beyond the last bin
    count in that bin. Arguments and result are as in ``draw_losses``.
    """
    import seaborn

    venue = find_most_liquidated(frames["steps"])["venue"].iloc[0]
    accounts = frames["accounts"]
    table = _notional_by_leverage(accounts[accounts["venue"] == venue], unit)
    per, prefix = choose_scale(float(table["notional"].max()) if len(table) else 0.0)
    with use_style():
        if not len(table):
            return save_nothing(folder, "leverage", "No account held a position.", table)
        figure = create_figure(COLUMN_WIDTH, 2.6)
        axes = figure.subplots()
        for number, (moment, part) in enumerate(table.groupby("moment", sort=False)):
            _draw_moment(axes, part, number, per, _MOMENT_TITLES[str(moment)])
        axes.set_xlabel("Leverage of the account (gross ÷ equity)")
        axes.set_ylabel(f"Notional ({prefix}{currency})")
        seaborn.despine(ax=axes)
        _fit_leverage_axis(axes, table)
        return save_figure(figure, folder / "leverage", table)


def _draw_moment(axes: "Axes", part: Frame, number: int, per: float, label: str) -> None:
    """Draw notional by leverage at one moment, the first one filled."""
    import seaborn

    is_first = number == 0
    look: dict[str, Any] = {"color": COLOURS[(0, 3, 2)[number]], "linewidth": 1.1}
    look |= {"linestyle": LINE_STYLES[number], "fill": is_first, "alpha": 0.2 if is_first else 1}
    middle = np.sqrt(part["leverage_from"] * part["leverage_to"])
    bins: dict[str, Any] = {"bins": list(LEVERAGE_BINS), "weights": part["notional"] / per}
    seaborn.histplot(x=middle, element="step", label=label, ax=axes, **bins, **look)


_MOMENT_TITLES = {"start": "At the start", "peak": "When most was held", "end": "At the end"}


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


def _fit_leverage_axis(axes: "Axes", table: Frame) -> None:
    """Set a logarithmic axis that covers the occupied bins."""
    used = table[table["notional"] > 0]
    least, most = used["leverage_from"].min() / 1.2, used["leverage_to"].max() * 1.2
    thin_log_axis(axes, least, most, axis="x")
    axes.set_xlim(least, most)
    axes.set_ylim(bottom=0)
    draw_legend_above(axes, ncols=3, handlelength=2.0)
