"""Shared style of figures: fonts, colours, time axis, tidy tables and reproducible files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.results import store

PAGE_WIDTH, COLUMN_WIDTH = 7.0, 3.4
"""Widths of a full page and of a column, inches."""
DPI = 300
"""Resolution of PNG files, dots per inch."""

FONTS: dict[str, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
}
COLOURS: list[Any] = seaborn.color_palette("colorblind")
BAND_POINTS = 300
"""Largest number of points across a page that can be distinguished."""
MIN_BAND_STEPS = 5
"""Smallest number of steps per point for which a band is drawn."""

LINE_STYLES = ("-", "--", ":", "-.")

LAYER_NAMES = {
    "fund": "insurance fund",
    "adl_queue": "ADL (queue)",
    "adl_pro_rata": "ADL (pro rata)",
    "socialised": "socialised",
    "bad_debt": "bad debt",
}
"""Names of layers in figures; other layers have their own name."""

Frame = pd.DataFrame
Frames = Mapping[str, Frame]


@contextmanager
def use_style() -> Iterator[None]:
    """Apply seaborn's paper style within a block."""
    look: dict[Any, Any] = seaborn.axes_style("ticks") | seaborn.plotting_context("paper") | FONTS
    with rc_context(look):
        yield


def find_most_liquidated(steps: Frame) -> Frame:
    """Return the rows of the instrument liquidated most, by default of the first perpetual."""
    perpetual = steps["kind"] == "perpetual"
    traded = steps[perpetual] if perpetual.any() else steps
    total = traded.groupby(["venue", "instrument"], sort=False)["liquidated_notional"].sum()
    venue, instrument = total.index[int(total.to_numpy().argmax())]
    chosen: Frame = traded[(traded["venue"] == venue) & (traded["instrument"] == instrument)]
    return chosen.reset_index(drop=True)


def add_axis_positions(prices: Frame) -> Frame:
    """Add ``at``, the position on the time axis.

    It is in hours. For a replay it is in steps of trading, so that nights take no space.
    """
    if "stamp" in prices:
        return prices.assign(at=np.arange(len(prices), dtype=np.float64))
    return prices.assign(at=prices["seconds"] / 3600)


def choose_scale(largest: float) -> tuple[float, str]:
    """Return a divisor that leaves few digits, and its abbreviation before a currency."""
    return next(
        ((s, word) for s, word in ((1e9, "bn "), (1e6, "m "), (1e3, "k ")) if largest >= s),
        (1.0, ""),
    )


def draw_lines(
    axes: Axes, table: Frame, columns: Mapping[str, str], *, label: str, per: float = 1.0
) -> None:
    """Draw columns over time, distinguished by colour and line style; "none" without values.

    Args:
        axes: axes to draw on.
        table: data with the column ``at``.
        columns: legend of each column, by name; a single column has no legend.
        label: label of the axis, with unit.
        per: divisor of the values.
    """
    axes.set_ylabel(label)
    seaborn.despine(ax=axes)
    if not table[list(columns)].notna().any(axis=None):
        draw_none_label(axes)
        return
    for number, (name, word) in enumerate(columns.items()):
        look: dict[str, Any] = {
            "color": COLOURS[number],
            "linestyle": LINE_STYLES[number % len(LINE_STYLES)],
            "linewidth": 1.0,
        }
        axes.plot(table["at"], table[name] / per, label=word, **look)
    if len(columns) > 1:
        axes.legend(frameon=False, loc="best", handlelength=2.4)


def draw_band(axes: Axes, table: Frame, column: str, *, label: str, per: float = 1.0) -> bool:
    """Draw one column over time as median and 5 to 95% band of groups of steps.

    A line through thousands of steps would only show the extremes. Short runs are drawn step by
    step.

    Returns:
        True if there is a band, which needs a legend.
    """
    if len(table) < MIN_BAND_STEPS * BAND_POINTS or not table[column].notna().any():
        draw_lines(axes, table, {column: ""}, label=label, per=per)
        return False
    slot = np.arange(len(table)) * BAND_POINTS // len(table)
    grouped = (table[column] / per).groupby(slot)
    at = table["at"].groupby(slot).mean()
    look: dict[str, Any] = {
        "color": COLOURS[0],
        "linewidth": 0,
        "label": f"5 to 95% of {len(table) // BAND_POINTS} steps",
    }
    axes.fill_between(at, grouped.quantile(0.05), grouped.quantile(0.95), alpha=0.25, **look)
    middle = pd.DataFrame({"at": at, column: grouped.median()})
    draw_lines(axes, middle, {column: "Median"}, label=label)
    return True


def draw_rug(axes: Axes, at: "pd.Series[float]", label: str) -> None:
    """Draw marks at the top of a panel, with a legend above it, if there are any."""
    if not len(at):
        return
    look: dict[str, Any] = {
        "color": COLOURS[3],
        "markersize": 7,
        "markeredgewidth": 0.8,
        "clip_on": False,
    }
    height, where = np.full(len(at), 1.0), axes.get_xaxis_transform()
    handles = axes.plot(at, height, "|", label=label, transform=where, **look)
    draw_legend_above(axes, handles=handles)


def draw_legend_above(axes: Axes, **look: Any) -> None:
    """Draw a legend in one line above the panel, where it hides no data."""
    axes.legend(
        frameon=False,
        loc="lower right",
        bbox_to_anchor=(1.0, 0.98),
        borderaxespad=0,
        handlelength=1.6,
        **look,
    )


def draw_none_label(axes: Axes) -> None:
    """Write "none" into an empty panel."""
    axes.text(0.5, 0.45, "none", transform=axes.transAxes, ha="center", color="0.4")
    axes.set_yticks([])


def draw_time_axis(axes: Axes, prices: Frame) -> None:
    """Label the time axis in hours, or with about eight dates for a replay."""
    axes.set_xlim(prices["at"].iloc[0], max(prices["at"].iloc[-1], prices["at"].iloc[0] + 1e-9))
    if "stamp" not in prices:
        axes.set_xlabel("Time (hours)")
        return
    day = prices["stamp"].dt.normalize()
    begins = np.flatnonzero((day != day.shift()).to_numpy())
    shown = begins[:: -(-len(begins) // 8)]
    first, last = day.iloc[0], day.iloc[-1]
    same = first.year == last.year
    axes.set_xticks(
        shown,
        [f"{day[row].day} {day[row]:%b}" + ("" if same else f" {day[row]:%Y}") for row in shown],
    )
    axes.set_xlabel(f"Trading time ({first.year})" if same else "Trading time")


def save_figure(figure: Figure, path: Path, table: Frame) -> Path:
    """Write PDF and PNG without time stamps and the CSV of the data; return the path of the PDF."""
    pdf, png = path.with_suffix(".pdf"), path.with_suffix(".png")
    with store.remove_if_failed(pdf, png):
        figure.savefig(pdf, metadata={"CreationDate": None})
        figure.savefig(png, dpi=DPI, metadata={"Software": None})
    store.write_csv(table, path.with_suffix(".csv"))
    return pdf


def melt_series(table: Frame, columns: Sequence[str]) -> Frame:
    """Return one row for each series and step with a value."""
    when = [name for name in ("step", "seconds", "stamp") if name in table]
    return table[[*when, *columns]].melt(id_vars=when, var_name="series").dropna(subset="value")
