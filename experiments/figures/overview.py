"""Overview figure of mark, index, close-outs and ADL, and the list of all figures of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.figures.contagion import draw_cascade, draw_profile
from experiments.figures.market import draw_liquidity, draw_positions
from experiments.figures.risk import draw_leverage, draw_losses
from experiments.figures.style import (
    COLOURS,
    Frame,
    Frames,
    add_axis_positions,
    add_legend_entry,
    add_note,
    choose_scale,
    draw_legend_above,
    draw_line,
    draw_time_axis,
    find_most_liquidated,
    melt_series,
    save_figure,
    stack_panels,
    use_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT, PANEL_HEIGHT = 2.7, 1.15  # of the prices, and of each panel of notional (inches)
MAX_BARS = 200
MAX_MARKERS = 120  # markers that fit side by side
LARGEST_MARKER, LEGEND_MARKER = 140.0, 28.0  # areas of markers, points squared
MARK_COLOUR, INDEX_COLOUR, CLOSEOUT_COLOUR, ADL_COLOUR = (
    COLOURS[number] for number in (0, 7, 3, 2)
)

FLOWS = {
    "liquidated_notional": ("Liquidation", CLOSEOUT_COLOUR),
    "adl_notional": ("ADL", ADL_COLOUR),
}
"""Panels of notional: columns, words and colours; one without any notional is left out."""


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
        shown = {name: look for name, look in FLOWS.items() if flows[name].any()}
        ratios = (HEIGHT, *[PANEL_HEIGHT] * len(shown))
        figure, panels = stack_panels(sum(ratios), ratios)
        _draw_prices(panels[0], prices, closed)
        for axes, (name, (word, colour)) in zip(panels[1:], shown.items(), strict=True):
            _draw_flow(axes, prices, flows[name], (word, colour, currency))
        draw_time_axis(panels[-1], prices)
        figure.align_ylabels(panels)
        missing = [word for name, (word, _) in FLOWS.items() if name not in shown]
        if missing:
            add_note(figure, f"Not drawn, because none occurred: {' and '.join(missing)}.")
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


def _draw_prices(axes: "Axes", prices: Frame, closed: Frame) -> None:
    # the index lies wide and pale below the mark, so that both are seen where they agree
    index: dict[str, Any] = {"color": INDEX_COLOUR, "alpha": 0.55, "linewidth": 2.2}
    draw_line(axes, prices["at"], prices["index"], label="Index", zorder=2, **index)
    mark: dict[str, Any] = {"color": MARK_COLOUR, "linewidth": 0.7}
    draw_line(axes, prices["at"], prices["mark"], label="Mark", zorder=3, **mark)
    _draw_events(axes, prices, closed)
    axes.set_xlabel("")
    axes.set_ylabel(f"{prices['instrument'].iloc[0]}\n(quote currency)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    draw_legend_above(axes, ncols=4, handlelength=2.0)


def _draw_events(axes: "Axes", prices: Frame, closed: Frame) -> None:
    """Draw close-outs and ADL as markers on the mark."""
    span = float(prices["at"].iloc[-1] - prices["at"].iloc[0])
    if len(closed):
        spots = _merge_near_events(closed, span)
        area = (spots["closed"] / spots["closed"].max()).clip(lower=0.015)
        ring: dict[str, Any] = {"facecolor": "none", "edgecolor": CLOSEOUT_COLOUR}
        _draw_markers(axes, spots.assign(area=area), {**ring, "linewidth": 0.9, "zorder": 5})
        ring = {"markerfacecolor": "none", "markeredgecolor": CLOSEOUT_COLOUR, "marker": "o"}
        _add_marker_entry(axes, "Close-outs (area: notional)", ring)
    cut = prices[prices["adl"] > 0]
    if len(cut):
        spots = _merge_near_events(cut.assign(closed=cut["adl"]), span)
        look: dict[str, Any] = {"color": ADL_COLOUR, "marker": "v"}
        area = LEGEND_MARKER / LARGEST_MARKER
        _draw_markers(axes, spots.assign(area=area), {**look, "linewidth": 0, "zorder": 6})
        _add_marker_entry(axes, "ADL", look)


def _draw_markers(axes: "Axes", spots: Frame, look: dict[str, Any]) -> None:
    """Draw a marker at each spot, its area a share of the largest."""
    import seaborn

    sizes: dict[str, Any] = {"sizes": (0, LARGEST_MARKER), "size_norm": (0, 1)}
    seaborn.scatterplot(
        spots, x="at", y="mark", size="area", ax=axes, legend=False, **sizes, **look
    )


def _add_marker_entry(axes: "Axes", label: str, look: dict[str, Any]) -> None:
    add_legend_entry(axes, label, linestyle="none", markersize=LEGEND_MARKER**0.5, **look)


def _merge_near_events(events: Frame, span: float) -> Frame:
    """Merge events closer than a marker into one, at their mean weighted by size."""
    slot = np.floor(events["at"] / max(span / MAX_MARKERS, 1e-9))
    weighted = events[["at", "mark"]].mul(events["closed"], axis=0).assign(closed=events["closed"])
    total = weighted.groupby(slot).sum()
    return total[["at", "mark"]].div(total["closed"], axis=0).assign(closed=total["closed"])


def _draw_flow(
    axes: "Axes", prices: Frame, flow: "pd.Series[float]", what: tuple[str, Any, str]
) -> None:
    """Draw bars of notional over time."""
    import seaborn

    word, colour, currency = what
    per, key = _choose_bins(prices)
    table = prices.assign(flow=flow.reindex(prices["step"]).to_numpy())
    grouped = table.groupby(key)
    divisor, prefix = choose_scale(float(grouped["flow"].sum().max()))
    width = float(prices["at"].diff().median()) if len(prices) > 1 else 1.0
    edges = np.append(grouped["at"].first(), prices["at"].iloc[-1] + width) - width / 2
    look: dict[str, Any] = {"color": colour, "alpha": 1, "linewidth": 0}
    seaborn.histplot(
        table.assign(flow=table["flow"] / divisor),
        x="at",
        weights="flow",
        bins=list(edges),
        ax=axes,
        **look,
    )
    axes.set(xlabel="", ylabel=f"{word}\n({prefix}{currency}/{per})")
    axes.set_ylim(bottom=0)


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
