"""Overview figure of mark, index, close-outs and ADL, and the list of all figures of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.contagion import draw_cascade, draw_profile
from experiments.figures.market import draw_liquidity, draw_positions
from experiments.figures.risk import draw_leverage, draw_losses
from experiments.figures.style import (
    COLOURS,
    PAGE_WIDTH,
    Frame,
    Frames,
    add_axis_positions,
    choose_scale,
    draw_none_label,
    draw_time_axis,
    find_most_liquidated,
    melt_series,
    save_figure,
    use_style,
)

HEIGHT = 5.0
MAX_BARS = 200
MAX_MARKERS = 120  # markers that fit side by side
LARGEST_MARKER, LEGEND_MARKER = 140.0, 28.0  # areas of markers, points squared
MARK_COLOUR, INDEX_COLOUR, CLOSEOUT_COLOUR, ADL_COLOUR = (
    COLOURS[number] for number in (0, 7, 3, 2)
)


def draw_overview(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Draw mark and index with close-outs and ADL, above liquidated and deleveraged notional.

    Prices are those of the perpetual that was liquidated most. Notionals are those of all
    instruments.

    Args:
        frames: ``steps`` and ``closeouts`` of one run.
        folder: folder for ``overview.pdf``, ``.png`` (300 dpi) and ``.csv`` (tidy data).
        unit: minor units in one unit of the numeraire.
        currency: name of the numeraire.

    Returns:
        Path of the PDF.
    """
    prices = add_axis_positions(find_most_liquidated(frames["steps"]))
    closed = _sum_closeouts(frames["closeouts"], prices, unit)
    flows = frames["steps"].groupby("step")[["liquidated_notional", "adl_notional"]].sum() / unit
    with use_style():
        figure = Figure(figsize=(PAGE_WIDTH, HEIGHT), layout="constrained")
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(2.8, 1, 1))
        _draw_prices(top, prices, closed)
        _draw_flow(
            middle, prices, flows["liquidated_notional"], ("Liquidated", CLOSEOUT_COLOUR, currency)
        )
        _draw_flow(bottom, prices, flows["adl_notional"], ("ADL", ADL_COLOUR, currency))
        draw_time_axis(bottom, prices)
        figure.align_ylabels([top, middle, bottom])
        return save_figure(figure, folder / "overview", _tabulate_overview(prices, closed, flows))


def _sum_closeouts(closeouts: Frame, prices: Frame, unit: int) -> Frame:
    """Return the filled notional of the instrument's close-outs by step, with its mark."""
    same = (closeouts["venue"] == prices["venue"].iloc[0]) & (
        closeouts["instrument"] == prices["instrument"].iloc[0]
    )
    filled = closeouts[same & (closeouts["filled"] > 0)].astype(
        {"step": np.int64, "notional": np.float64}
    )
    notional = filled.groupby("step")["notional"].sum() / unit
    return prices.merge(notional.rename("closed").reset_index(), on="step")


def _draw_prices(axes: Axes, prices: Frame, closed: Frame) -> None:
    """Draw mark and index over time, with markers of close-outs and ADL."""
    # a wide and pale index below the mark keeps both visible where they agree
    axes.plot(
        prices["at"],
        prices["index"],
        color=INDEX_COLOUR,
        alpha=0.55,
        linewidth=2.2,
        label="Index",
        zorder=2,
    )
    axes.plot(
        prices["at"], prices["mark"], color=MARK_COLOUR, linewidth=0.7, label="Mark", zorder=3
    )
    span = float(prices["at"].iloc[-1] - prices["at"].iloc[0])
    if len(closed):
        _draw_closeouts(axes, _merge_near_events(closed, span))
    cut = prices[prices["adl"] > 0]
    if len(cut):
        spots = _merge_near_events(cut.assign(closed=cut["adl"]), span)
        axes.scatter(
            spots["at"],
            spots["mark"],
            LEGEND_MARKER,
            color=ADL_COLOUR,
            marker="v",
            linewidth=0,
            zorder=6,
            label="ADL",
        )
    axes.set_ylabel(f"{prices['instrument'].iloc[0]}\n(quote currency)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.legend(frameon=False, loc="best", handlelength=2.4)
    seaborn.despine(ax=axes)


def _draw_closeouts(axes: Axes, spots: Frame) -> None:
    """Draw a circle for each close-out, whose area is the notional."""
    area = (LARGEST_MARKER * spots["closed"] / spots["closed"].max()).clip(lower=2)
    look: dict[str, Any] = {
        "facecolor": "none",
        "edgecolor": CLOSEOUT_COLOUR,
        "linewidth": 0.9,
        "zorder": 5,
    }
    axes.scatter(spots["at"], spots["mark"], area, **look)
    axes.scatter([], [], LEGEND_MARKER, label="Close-outs (area: notional)", **look)


def _merge_near_events(events: Frame, span: float) -> Frame:
    """Merge events closer than a marker into one, at their mean weighted by size."""
    slot = np.floor(events["at"] / max(span / MAX_MARKERS, 1e-9))
    weighted = events[["at", "mark"]].mul(events["closed"], axis=0).assign(closed=events["closed"])
    total = weighted.groupby(slot).sum()
    return total[["at", "mark"]].div(total["closed"], axis=0).assign(closed=total["closed"])


def _draw_flow(
    axes: Axes, prices: Frame, flow: "pd.Series[float]", what: tuple[str, Any, str]
) -> None:
    """Draw bars of notional over time."""
    word, colour, currency = what
    per, key = _choose_bins(prices)
    grouped = prices.assign(flow=flow.reindex(prices["step"]).to_numpy()).groupby(key)
    height, centre, count = grouped["flow"].sum(), grouped["at"].mean(), grouped["at"].size()
    width = float(prices["at"].diff().median()) if len(prices) > 1 else 1.0
    divisor, prefix = choose_scale(float(height.max()))
    axes.bar(centre, height / divisor, count * width, color=colour, linewidth=0)
    axes.set_ylabel(f"{word}\n({prefix}{currency}/{per})" if height.any() else word)
    axes.set_ylim(bottom=0)
    if not height.any():
        draw_none_label(axes)
    seaborn.despine(ax=axes)


def _choose_bins(prices: Frame) -> tuple[str, "np.ndarray[Any, Any]"]:
    """Return the finest time span with at most ``MAX_BARS`` bars, and each row's bin."""
    since = prices["seconds"] - prices["seconds"].iloc[0]
    keys = {"step": prices["step"]} | {
        name: since // size for name, size in (("10 min", 600), ("hour", 3600))
    }
    keys["day"] = prices["stamp"].dt.floor("D") if "stamp" in prices else since // 86400
    name = next((name for name, key in keys.items() if key.nunique() <= MAX_BARS), "day")
    return name, keys[name].to_numpy()


def _tabulate_overview(prices: Frame, closed: Frame, flows: Frame) -> Frame:
    """Return the data of the figure, one row for each series and step."""
    when = ["step", "seconds", *(["stamp"] if "stamp" in prices else [])]
    wide = prices[[*when, "mark", "index", "adl"]].merge(flows.reset_index(), on="step")
    wide = wide.merge(
        closed[["step", "closed"]].rename(columns={"closed": "closeouts_shown"}),
        on="step",
        how="left",
    )
    return melt_series(wide, [name for name in wide.columns.astype(str) if name not in when])


FIGURES: dict[str, Callable[..., Path]] = {
    "overview": draw_overview,
    "positions": draw_positions,
    "liquidity": draw_liquidity,
    "losses": draw_losses,
    "leverage": draw_leverage,
    "profile": draw_profile,
    "cascade": draw_cascade,
}
"""Functions of all figures of a run by name.

Each takes (frames, folder, unit=, currency=) and returns the path of its PDF.
"""
