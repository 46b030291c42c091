"""Shared style of figures: fonts, colours, time axis, tidy tables and reproducible files."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.results import store

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

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
COLOUR_CODES = (
    *("0173b2", "de8f05", "029e73", "d55e00", "cc78bc"),
    *("ca9161", "fbafe4", "949494", "ece133", "56b4e9"),
)
"""seaborn's palette ``colorblind``, written out because seaborn takes a second to import."""
COLOURS: list[Any] = [tuple(part / 255 for part in bytes.fromhex(code)) for code in COLOUR_CODES]
"""Colours of lines and points, shares of red, green and blue."""
BAND_POINTS = 300
"""Largest number of points across a page that can be distinguished."""
MIN_BAND_STEPS = 5
"""Smallest number of steps per point for which a band is drawn."""

LINE_STYLES = ("-", "--", ":", "-.")
CROWDED_DECADES = 1.5
"""Decades from which on a logarithmic axis has a label at each power of ten only."""

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
    import seaborn
    from matplotlib import rc_context

    look: dict[Any, Any] = seaborn.axes_style("ticks") | seaborn.plotting_context("paper") | FONTS
    with rc_context(look), warnings.catch_warnings():
        # seaborn 0.13.2 passes pandas an argument without effect, which pandas 3 deprecates.
        warnings.filterwarnings("ignore", "The copy keyword is deprecated", module="seaborn")
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


def create_figure(width: float, height: float) -> "Figure":
    """Return an empty figure whose panels and labels are laid out without overlaps.

    Args:
        width: of the figure (inches), ``PAGE_WIDTH`` or ``COLUMN_WIDTH``.
        height: of the figure (inches).
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def stack_panels(height: float, ratios: Sequence[float]) -> "tuple[Figure, list[Axes]]":
    """Return a page-wide figure of panels above each other, which share the time axis.

    Args:
        height: of the figure (inches).
        ratios: relative heights of the panels.
    """
    import seaborn

    figure = create_figure(PAGE_WIDTH, height)
    grid = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios, squeeze=False)
    panels = list(grid[:, 0])
    for axes in panels:
        seaborn.despine(ax=axes)
    return figure, panels


def draw_lines(
    axes: "Axes", table: Frame, columns: Mapping[str, str], *, label: str, per: float = 1.0
) -> None:
    """Draw columns over time, distinguished by colour and line style; "none" without values.

    Args:
        axes: axes to draw on.
        table: data with the column ``at``.
        columns: legend of each column, by name; a single column has no legend.
        label: label of the axis, with unit.
        per: divisor of the values.
    """
    import seaborn

    seaborn.despine(ax=axes)
    if not table[list(columns)].notna().any(axis=None):
        axes.set_ylabel(label)
        draw_none_label(axes)
        return
    for number, (name, word) in enumerate(columns.items()):
        look = {"color": COLOURS[number], "linestyle": LINE_STYLES[number % len(LINE_STYLES)]}
        draw_line(axes, table["at"], table[name] / per, label=word, **look)
    axes.set_ylabel(label)
    if len(columns) > 1:
        draw_legend_above(axes, ncols=len(columns), handlelength=2.4)


def draw_line(axes: "Axes", x: Any, y: Any, *, label: str = "", **look: Any) -> None:
    """Draw one line, interrupted where values are missing, and leave the axes' labels alone."""
    import seaborn

    values = pd.DataFrame({"x": np.asarray(x), "y": np.asarray(y, dtype=np.float64)})
    values["stretch"] = values["y"].isna().cumsum()
    kept: dict[str, Any] = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}
    drawn = len(axes.lines)
    look = {"linewidth": 1.0, **look}
    if not values["y"].notna().any():
        add_legend_entry(axes, label, **look)
        return
    raw: dict[str, Any] = {"units": "stretch", "estimator": None, "errorbar": None, "sort": False}
    seaborn.lineplot(values, x="x", y="y", legend=False, ax=axes, **raw, **look)
    for line in axes.lines[drawn : drawn + 1]:
        line.set_label(label)
    axes.set(**kept)


def add_legend_entry(axes: "Axes", label: str, **look: Any) -> "Line2D":
    """Add an entry to the legend of a panel that draws nothing itself."""
    from matplotlib.lines import Line2D

    entry = Line2D([], [], label=label, **look)
    axes.add_line(entry)
    return entry


def draw_intervals(
    axes: "Axes", table: Frame, *, along: str = "x", linewidth: float = 0.8, alpha: float = 1.0
) -> None:
    """Draw the interval of each row, from ``low`` to ``high``, as a thin bar.

    Axes are scaled and labelled afterwards, because seaborn resets both.

    Args:
        axes: where.
        table: columns ``at``, ``low``, ``high`` and ``colour``.
        along: axis of ``at``.
        linewidth: of the bars (points).
        alpha: opacity of the bars.
    """
    from matplotlib.colors import to_hex
    from seaborn import objects

    known = table.dropna(subset=["at", "low", "high"])
    if not len(known):
        return
    across = "y" if along == "x" else "x"
    names = {along: "at", f"{across}min": "low", f"{across}max": "high", "color": "colour"}
    known = known.assign(colour=known["colour"].map(to_hex))
    plot = objects.Plot(known, **names).scale(color=None)
    bars = objects.Range(linewidth=linewidth, alpha=alpha)
    plot.add(bars, orient=along, legend=False).on(axes).plot()
    axes.set(xlabel="", ylabel="")


def draw_band_between(axes: "Axes", table: Frame, colour: Any) -> None:
    """Draw a pale band from ``low`` to ``high`` over ``at``; scale and label the axes afterwards.

    Bands are for values at every moment of a time axis, bars (``draw_intervals``) for few points.
    """
    from matplotlib.colors import to_hex
    from seaborn import objects

    known = table.dropna(subset=["low", "high"])
    band = objects.Band(color=to_hex(colour), alpha=0.2)
    plot = objects.Plot(known, x="at", ymin="low", ymax="high")
    plot.add(band, legend=False).on(axes).plot()
    axes.set(xlabel="", ylabel="")


def draw_estimates(
    axes: "Axes",
    groups: Mapping[str, Frame],
    looks: Sequence[Mapping[str, Any]],
    x: str,
    shift: float,
) -> None:
    """Draw means as points joined by lines, with their intervals as bars.

    Groups stand a little apart, so that their bars do not hide one another; their middle is at the
    value itself, and a single group is not shifted.

    Args:
        axes: where; scaled and labelled afterwards.
        groups: columns ``x``, ``mean``, ``low``, ``high`` of each group, by its label.
        looks: of each group, see ``choose_line_style``.
        x: column of the values along the axis.
        shift: distance between groups; a factor if it is above one, for logarithmic axes.
    """
    from matplotlib.colors import to_hex

    moved = {}
    for place, (label, group) in enumerate(groups.items()):
        steps = place - (len(groups) - 1) / 2
        at = group[x] * shift**steps if shift > 1 else group[x] + shift * steps
        colour = to_hex(looks[place]["color"])
        moved[label] = group.assign(at=at, colour=colour).sort_values("at")
    draw_intervals(axes, pd.concat(moved.values()))
    outline: dict[str, Any] = {"markeredgewidth": 0.5, "markeredgecolor": "white"}
    for look, (label, group) in zip(looks, moved.items(), strict=True):
        draw_line(axes, group["at"], group["mean"], label=label, **outline, **look)


def draw_band(axes: "Axes", table: Frame, column: str, *, label: str, per: float = 1.0) -> bool:
    """Draw one column over time as median and 5 to 95% band of groups of steps.

    A line through thousands of steps would only show the extremes. Short runs are drawn step by
    step.

    Returns:
        True if there is a band, which needs a legend.
    """
    import seaborn

    if len(table) < MIN_BAND_STEPS * BAND_POINTS or not table[column].notna().any():
        draw_lines(axes, table, {column: ""}, label=label, per=per)
        return False
    slot = np.arange(len(table)) * BAND_POINTS // len(table)
    values = pd.DataFrame({"at": table["at"].groupby(slot).transform("mean")})
    values["value"] = table[column] / per
    look: dict[str, Any] = {"color": COLOURS[0], "linewidth": 1.0, "estimator": "median"}
    band = {
        "linewidth": 0,
        "alpha": 0.25,
        "label": f"5 to 95% of {len(table) // BAND_POINTS} steps",
    }
    seaborn.lineplot(
        values,
        x="at",
        y="value",
        errorbar=("pi", 90),
        ax=axes,
        err_kws=band,
        label="Median",
        **look,
    )
    remove_legend(axes)
    axes.set(xlabel="", ylabel=label)
    seaborn.despine(ax=axes)
    return True


def draw_rug(axes: "Axes", at: "pd.Series[float]", label: str) -> None:
    """Draw strokes at the bottom of a panel and their legend above it, if there are any."""
    import seaborn

    if not len(at):
        return
    look: dict[str, Any] = {"color": COLOURS[3], "linewidth": 0.8}
    kept: dict[str, Any] = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}
    seaborn.rugplot(x=at, height=0.09, expand_margins=False, ax=axes, **look)
    axes.set(**kept)
    stroke = {"marker": "|", "markersize": 7, "linestyle": "none", "color": COLOURS[3]}
    draw_legend_above(axes, handles=[add_legend_entry(axes, label, **stroke)])


def thin_log_axis(axes: "Axes", least: float, most: float, *, axis: str = "y") -> None:
    """Make an axis logarithmic, with few labels and plain numbers.

    Args:
        axes: where.
        least: smallest positive value drawn.
        most: largest value drawn.
        axis: "x" or "y".
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    is_wide = np.log10(most / least) > CROWDED_DECADES
    axes.set(**{f"{axis}scale": "log"})
    chosen = axes.yaxis if axis == "y" else axes.xaxis
    chosen.set_major_locator(LogLocator(subs=(1,) if is_wide else (1, 2, 5)))
    chosen.set_major_formatter(lambda value, _: f"{value:,g}")
    chosen.set_minor_formatter(NullFormatter())


def remove_legend(axes: "Axes") -> None:
    """Remove the legend that seaborn adds."""
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()


def draw_legend_above(axes: "Axes", **look: Any) -> None:
    """Draw a legend in one line above the panel, where it hides no data."""
    look = {"handlelength": 1.6, **look}
    axes.legend(
        frameon=False, loc="lower right", bbox_to_anchor=(1.0, 0.98), borderaxespad=0, **look
    )


def draw_none_label(axes: "Axes") -> None:
    """Write "none" into an empty panel."""
    axes.text(0.5, 0.45, "none", transform=axes.transAxes, ha="center", color="0.4")
    axes.set_yticks([])


def save_nothing(folder: Path, name: str, sentence: str, table: Frame) -> Path:
    """Save a figure that only states that there is nothing to draw; return the PDF."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMN_WIDTH, 0.4))
    figure.text(0.02, 0.35, sentence, fontsize="medium")
    return save_figure(figure, folder / name, table)


def add_note(figure: "Figure", sentence: str) -> None:
    """Add a line below the panels, about those that are left out because nothing happened."""
    figure.supxlabel(sentence, fontsize="small", color="0.3", x=0.01, ha="left")


def draw_time_axis(axes: "Axes", prices: Frame) -> None:
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


def save_figure(figure: "Figure", path: Path, table: Frame) -> Path:
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
