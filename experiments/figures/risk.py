"""Who paid, how leverage was spread over accounts, and who would have been next."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import (
    COLOURS,
    COLUMN,
    LAYERS,
    LINES,
    PAGE,
    Frame,
    Frames,
    lines,
    most_liquidated,
    nothing,
    placed,
    save,
    scale,
    style,
    tidy,
    time_axis,
)
from sim.metrics.venues import with_venue

BINS = np.geomspace(0.1, 1000, 49)
"""Edges of leverage."""


def losses(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Equity of the insurance fund; what each layer has absorbed so far, at the venue that liquidated most.

    Args:
        frames: ``steps``, ``venues`` and ``losses`` of one run.
        folder: where ``losses.pdf``, ``.png`` and ``.csv`` go.
        unit: minor units in one unit of the numeraire.
        currency: name of the numeraire.

    Returns:
        The PDF.
    """
    table = with_venue(placed(most_liquidated(frames["steps"])), frames, ["fund"])
    table["fund"] = table["fund"] / unit
    absorbed = _absorbed(frames["losses"], table, unit)
    table = table.assign(**absorbed)
    with style():
        figure = Figure(figsize=(PAGE, 3.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True)
        per, prefix = scale(float(table["fund"].abs().max()))
        lines(top, table, {"fund": ""}, label=f"Insurance fund\n({prefix}{currency})", per=per)
        low, high = (float(table["fund"].agg(end)) / per for end in ("min", "max"))
        top.set_ylim(min(0.0, 1.05 * low), max(1.08 * high, 0.0) or None)  # a line along the edge would be cut in half
        largest = max((float(column.max()) for column in absorbed.values()), default=0.0)
        per, prefix = scale(largest)
        if absorbed:
            words = {name: LAYERS.get(name[9:], name[9:]) for name in absorbed}
            names = {name: word[0].upper() + word[1:] for name, word in words.items()}
            lines(bottom, table, names, label=f"Losses absorbed\nso far ({prefix}{currency})", per=per)
            bottom.legend(frameon=False, loc="upper left", handlelength=2.4)
        else:
            bottom.set_ylabel("Losses absorbed")
            nothing(bottom)
            seaborn.despine(ax=bottom)
        time_axis(bottom, table)
        figure.align_ylabels([top, bottom])
        return save(figure, folder / "losses", tidy(table, ["fund", *absorbed]))


def leverage(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Notional by leverage of its account, when most was held and at the end, at the venue that liquidated most.

    Accounts without equity or beyond the last bin count in it. Args and result as of ``losses``.
    """
    venue = most_liquidated(frames["steps"])["venue"].iloc[0]
    accounts = frames["accounts"]
    table = _by_leverage(accounts[accounts["venue"] == venue], unit)
    per, prefix = scale(float(table["notional"].max()) if len(table) else 0.0)
    with style():
        figure = Figure(figsize=(COLUMN, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.set_xlabel("Leverage of the account (gross ÷ equity)")
        axes.set_ylabel(f"Notional ({prefix}{currency})" if len(table) else "Notional")
        seaborn.despine(ax=axes)
        if not len(table):
            nothing(axes)
        for number, (moment, part) in enumerate(table.groupby("moment", sort=False)):
            height = part["notional"] / per
            look: dict[str, Any] = {"color": COLOURS[(0, 3)[number % 2]], "linewidth": 1.1}
            edges = np.append(part["leverage_from"], part["leverage_to"].iloc[-1])
            axes.stairs(height, edges, linestyle=LINES[number], label=_WHEN[str(moment)], **look)
            if number == 0:
                axes.stairs(height, edges, fill=True, alpha=0.2, color=look["color"])
        if len(table):
            _fit(axes, table)
        return save(figure, folder / "leverage", table)


_WHEN = {"start": "At the start", "peak": "When most was held", "end": "At the end"}


def _absorbed(losses: Frame, table: Frame, unit: int) -> dict[str, "np.ndarray[Any, Any]"]:
    """Running sums by layer of one venue, in the order in which they first acted, at every step."""
    here = losses[losses["venue"] == table["venue"].iloc[0]]
    by_step = here.groupby(["layer", "step"], sort=False)["absorbed"].sum() / unit
    layers = list(dict.fromkeys(here["layer"]))
    return {
        f"absorbed_{layer}": by_step[layer].reindex(table["step"], fill_value=0.0).cumsum().to_numpy()
        for layer in layers
    }


def _by_leverage(accounts: Frame, unit: int) -> Frame:
    """Notional in each bin of leverage, by moment; moments at which nothing is held are left out."""
    held = accounts[accounts["gross"] > 0]
    parts = []
    for moment in ("start", "peak", "end"):
        each = held[held["moment"] == moment]
        ratio = (each["gross"] / each["equity"].where(each["equity"] > 0, 1e-9)).clip(BINS[0], BINS[-1])
        notional, _ = np.histogram(ratio, BINS, weights=each["gross"] / unit)
        if notional.any():
            columns = {"leverage_from": BINS[:-1], "leverage_to": BINS[1:], "notional": notional}
            parts.append(pd.DataFrame({"moment": moment, **columns}))
    empty = pd.DataFrame(columns=["moment", "leverage_from", "leverage_to", "notional"])
    return pd.concat(parts, ignore_index=True) if parts else empty


def _fit(axes: Axes, table: Frame) -> None:
    """A logarithmic axis as wide as what there is."""
    used = table[table["notional"] > 0]
    axes.set_xscale("log")
    axes.set_xlim(used["leverage_from"].min() / 1.2, used["leverage_to"].max() * 1.2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handlelength=2.4)
