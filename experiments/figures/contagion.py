"""Figures of contagion: liquidation prices, feedback R(Δ) and the largest cascade."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.figures.style import (
    COLOURS,
    LINE_STYLES,
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
    save_figure,
    save_nothing,
    stack_panels,
    use_style,
)
from sim.metrics.contagion import ContagionLinks, build_contagion
from sim.metrics.criticality import tabulate_density, tabulate_feedback
from sim.metrics.generations import (
    assign_cascades,
    compute_depths,
    compute_generations,
    tabulate_cascades,
)
from sim.metrics.links.origins import build_origins, tabulate_actions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN_FALLS = (-0.005, -0.01, -0.02, -0.05)
"""Falls for which R is drawn."""

MAX_READINGS = 240
"""Largest number of readings across a page that can be distinguished."""

DENSITY_RANGE = (0.1, 30.0)
"""Ends of the colour scale, the same for every run (% of open interest per 1% of price)."""

LOG_AXIS_FROM = 4
"""Largest R above which its axis is logarithmic beyond 1."""

ROUND_WIDTH = 0.75
"""Share of a round's width in which its actions are drawn side by side."""

INSTRUMENT_MARKERS = "osD^vP*X"
"""Forms of markers by instrument, where several were closed out."""

MOST, FOREIGN_EDGE = 0.5, {"linewidth": 0.9, "edgecolor": "black"}
"""Share from other instruments above which a marker has a dark edge, and the edge."""

LARGEST_MARKER, MIN_DRAWN_SHARE = 110.0, 0.02
"""Area of the largest marker, points squared, and the smallest share of harm that is drawn."""


def draw_profile(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Draw liquidation prices with the mark, above R(Δ) of several falls (LIQ-7).

    They are those of the perpetual that was liquidated most. Long runs show some of their
    readings; the CSV has all.

    Args:
        frames: ``steps`` and ``profile`` of one run.
        folder: folder for ``profile.pdf``, ``.png`` and ``.csv``.
        unit: minor units in one unit of the numeraire.
        currency: name of the numeraire.

    Returns:
        Path of the PDF.
    """
    prices = add_axis_positions(find_most_liquidated(frames["steps"]))
    instrument = str(prices["instrument"].iloc[0])
    ratios = tabulate_feedback(frames, instrument)
    with use_style():
        drawn = ratios[[move for move in DRAWN_FALLS if move in ratios]].replace(np.inf, np.nan)
        has_ratios = drawn.notna().any(axis=None)
        figure, panels = stack_panels(*((4.8, (2.2, 1)) if has_ratios else (3.3, (1,))))
        _draw_density(panels[0], prices, tabulate_density(frames, instrument))
        if has_ratios:
            _draw_ratios(panels[1], prices, drawn)
        else:
            add_note(figure, "No panel, because there was no reading: R(Δ).")
        draw_time_axis(panels[-1], prices)
        figure.align_ylabels(panels)
        return save_figure(
            figure, folder / "profile", _tabulate_profile(frames, prices, ratios, unit)
        )


def _draw_density(axes: "Axes", prices: Frame, found: Frame) -> None:
    """Draw notional per percent of price at the price that liquidates it, with the mark.

    Each reading extends to the next one.
    """
    import seaborn
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import LogNorm

    axes.set_ylabel(f"{prices['instrument'].iloc[0]}\n(quote currency)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    shown = _select_readings(found)
    if len(shown):
        corners, density = _place_cells(prices, shown)
        cells = PolyCollection(
            list(corners),
            array=density,
            cmap=seaborn.color_palette("YlOrBr", as_cmap=True),
            norm=LogNorm(*DENSITY_RANGE, clip=True),
            linewidth=0,
            rasterized=True,
            zorder=1,
        )
        axes.add_collection(cells)
        label = "Liquidated per 1% of price\n(% of open interest)"
        look: dict[str, Any] = {"pad": 0.01, "aspect": 30, "extend": "both", "extendfrac": 0.03}
        bar = axes.figure.colorbar(cells, ax=axes, label=label, **look)
        ticks = (0.1, 1, 10)
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        bar.ax.minorticks_off()
    for colour, linewidth in (("white", 2.4), ("0.05", 0.9)):
        draw_line(axes, prices["at"], prices["mark"], color=colour, linewidth=linewidth, zorder=3)
    axes.lines[-1].set_label("Mark" if len(shown) else "Mark (no account at risk within 10%)")
    draw_legend_above(axes)


def _select_readings(found: Frame) -> Frame:
    """Return the cells at risk of some readings, at most as many as can be distinguished."""
    readings = np.unique(found["step"])
    stride = max(1, -(-len(readings) // MAX_READINGS))
    is_shown = found["step"].isin(readings[::stride])
    return found[is_shown & (found["at_risk"] > 0)]


def _place_cells(prices: Frame, shown: Frame) -> tuple["np.ndarray[Any, Any]", Any]:
    """Return the corners of each cell, and its density (% of open interest per 1% of price).

    A cell lasts from its reading until the next one. Its prices are relative to the mark then.
    """
    at = prices.set_index("step")
    steps = np.unique(shown["step"])
    ends = np.append(at["at"].reindex(steps).to_numpy()[1:], at["at"].iloc[-1])
    right = pd.Series(ends, index=steps).reindex(shown["step"]).to_numpy()
    reading = at.reindex(shown["step"])
    left, mark = reading["at"].to_numpy(), reading["mark"].to_numpy()
    low = mark * (1 + shown["low"].to_numpy())
    high = mark * (1 + shown["high"].to_numpy())
    corners = np.stack([left, low, left, high, right, high, right, low], axis=1)
    open_interest = reading["gross"].to_numpy(dtype=np.float64) / 2
    held = np.where(open_interest > 0, open_interest, np.nan)
    percent = 100 * shown["at_risk"].to_numpy() / held
    width = 100 * (shown["high"] - shown["low"]).to_numpy()
    return corners.reshape(-1, 4, 2), percent / width


def _draw_ratios(axes: "Axes", prices: Frame, drawn: Frame) -> None:
    """Draw R(Δ) of each reading, and the line at 1 above which a fall sustains itself."""
    axes.set_ylabel("R(Δ), lots\nliquidated ÷ bid")
    at = prices.set_index("step")["at"].reindex(drawn.index)
    for place, move in enumerate(drawn):
        look: dict[str, Any] = {
            "color": COLOURS[place],
            "linestyle": LINE_STYLES[place],
        }
        label = f"{move:.1%}".replace(".0%", "%").replace("-", "\N{MINUS SIGN}")
        # Each reading is drawn until the next one, also where that one is missing.
        begins, values = np.repeat(at, 2)[1:], np.repeat(drawn[move], 2)[:-1]
        draw_line(axes, begins, values, label=label, **look)
    axes.axhline(1, color="0.4", linewidth=0.7, linestyle="--", zorder=0)
    largest = float(np.nanmax(drawn.to_numpy()))
    if largest > LOG_AXIS_FROM:
        axes.set_yscale("symlog", linthresh=1, linscale=1)
        decades = 10.0 ** np.arange(1 + np.ceil(np.log10(largest)))
        axes.set_yticks([0, *decades], ["0", *(f"{decade:g}" for decade in decades)])
    axes.set_ylim(-0.04, 1.15 * max(1.2, largest))  # a line at zero differs from the axis
    draw_legend_above(axes, ncols=len(drawn.columns))


def _tabulate_profile(frames: Frames, prices: Frame, ratios: Frame, unit: int) -> Frame:
    """Return all readings of notional at risk and of R, by move."""
    own = frames["profile"][frames["profile"]["instrument"] == prices["instrument"].iloc[0]]
    risk = own[["step", "move"]].assign(series="at_risk", value=own["at_risk"] / unit)
    edge = ratios.reset_index().melt(id_vars="step", value_name="value").assign(series="R")
    table = pd.concat([risk, edge], ignore_index=True)
    names = table["series"] + table["move"].map(lambda move: f" {100 * move:+g}%")
    when = prices[[name for name in ("step", "seconds", "stamp") if name in prices]]
    told = when.merge(table.assign(series=names).drop(columns="move"), on="step")
    return told.sort_values(["series", "step"], ignore_index=True).dropna(subset="value")


def draw_cascade(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Draw the close-outs of the largest cascade by round and generation, above the mark (LIQ-8).

    Rounds are drawn in order, and vertical lines separate steps. Lines meet where a round moved
    the mark, slightly above the actions that moved it. A generation is a mean, because part of
    the harm came from outside and part through chains of close-outs. Where several instruments
    were closed out, markers have a form for each, and a dark edge if most of the loss arose in
    another instrument (LIQ-10).

    Arguments and result are as in ``draw_profile``, with frames ``closeouts`` and ``causes``.
    """
    links = build_contagion(frames)
    number = assign_cascades(links)
    with use_style():
        if not number.size:
            empty = pd.DataFrame(columns=["step", "round", "owner"])
            return save_nothing(folder, "cascade", "No account was closed out.", empty)
        figure, (top, bottom) = stack_panels(5.0, (2.6, 1))
        origins = tabulate_actions(build_origins(frames, links))
        table = _place_actions(links, number == 1, origins).assign(
            notional=lambda each: each["notional"] / unit
        )
        _draw_step_lines(top, bottom, table)
        _draw_links(top, links, table)
        _draw_actions(top, table)
        top.set_ylabel("Generation (mean)")
        _draw_mark_path(bottom, frames["closeouts"], table)
        figure.suptitle(_cascade_title(links, currency, unit), fontsize="medium", x=0.01, ha="left")
        figure.align_ylabels([top, bottom])
        return save_figure(figure, folder / "cascade", table.drop(columns="row"))


def _cascade_title(links: ContagionLinks, currency: str, unit: int) -> str:
    table = tabulate_cascades(links)
    first = table.iloc[0]
    per, prefix = choose_scale(first["notional"] / unit)
    told = f"The largest of {len(table)} cascades" if len(table) > 1 else "The only cascade"
    worth = f"{first['notional'] / unit / per:.3g} {prefix}{currency}"
    size = f"{first['actions']} close-outs of {first['accounts']} accounts, {worth}"
    share = f"{first['endogenous']:.0%} of it caused by close-outs"
    return f"{told}: {size}; {share}, begun by {first['origin']}"


def _place_actions(
    links: ContagionLinks, chosen: "np.ndarray[Any, Any]", origins: dict[str, Any]
) -> Frame:
    """Return the actions of a cascade with their positions on the axis.

    Rounds are numbered, with a gap before each step. Columns of origins are kept if actions closed
    several instruments.
    """
    told = {
        **(origins if len(set(origins["instrument"])) > 1 else {}),
        "row": np.arange(len(links.actions)),
        "generation": compute_generations(links),
        "depth": compute_depths(links),
    }
    table = links.actions.assign(**told)[chosen]
    slots = table[["step", "round"]].drop_duplicates().sort_values(["step", "round"])
    begins = (slots["step"].diff().fillna(0) != 0).cumsum()
    slots["at"] = np.arange(1, len(slots) + 1) + begins.to_numpy()
    table = table.merge(slots, on=["step", "round"])
    turn = table.groupby(["step", "round"])["row"]
    return table.assign(x=table["at"] + ROUND_WIDTH * turn.cumcount() / turn.transform("size"))


def _draw_step_lines(top: "Axes", bottom: "Axes", table: Frame) -> None:
    """Draw a line before each step except the first, and label the axis of rounds."""
    first = table.groupby("step")["at"].min()
    for axes in (top, bottom):
        for at in first.iloc[1:]:
            axes.axvline(at - 1, color="0.85", linewidth=0.6, zorder=0)
    shown = first.iloc[:: -(-len(first) // 12)]
    bottom.set_xticks(shown, [f"{step}" for step in shown.index])
    label = "Rounds of liquidation, by step"
    if len(first) == 1:
        label = f"Round of liquidation in step {first.index[0]}"
        rounds = table.groupby("round")["at"].min()
        rounds = rounds.iloc[:: -(-len(rounds) // 12)]
        bottom.set_xticks(rounds, [f"{number + 1}" for number in range(len(rounds))])
    bottom.set_xlabel(label)
    top.set_xlim(table["at"].min() - 1, table["at"].max() + 1)


def _draw_links(axes: "Axes", links: ContagionLinks, table: Frame) -> None:
    """Draw lines from actions to the move they caused, and on to the accounts it affected."""
    from matplotlib.collections import LineCollection

    ends = _collect_links(links, table)
    segments = [segment for segment, _ in ends]
    shares = [share for _, share in ends]
    colours = [(0.25, 0.25, 0.3, 0.12 + 0.5 * min(share, 1.0)) for share in shares]
    axes.add_collection(LineCollection(segments, colors=colours, linewidths=0.6, zorder=1))
    label = "through the mark's move to the next close-outs"
    add_legend_entry(axes, label, color=(0.25, 0.25, 0.3, 0.6), linewidth=0.8)


def _collect_links(links: ContagionLinks, table: Frame) -> list[tuple[Any, float]]:
    """Return the segments from actions to moves and on to actions, each with its share of harm."""
    at = dict(zip(table["row"], zip(table["x"], table["generation"], strict=True), strict=True))
    ends_at = dict(zip(table["row"], table["at"] + ROUND_WIDTH + 0.1, strict=True))
    pushed, moved = links.harm_by_move.tocsc(), links.move_by_action.tocsr()
    found = []
    for move in np.unique(links.harm_by_move[table["row"].to_numpy()].indices):
        makers, heirs = _link_ends(moved, move, at), _link_ends(pushed, move, at)
        heirs = [end for end in heirs if end[1] >= MIN_DRAWN_SHARE]
        if not makers or not heirs:
            continue
        last = moved.indices[moved.indptr[move]]
        knot = (ends_at[last], _mean_height(makers) + 0.3)
        ends = [((place, knot), share) for place, share in makers]
        ends += [((knot, place), share) for place, share in heirs]
        found += [end for end in ends if end[1] >= MIN_DRAWN_SHARE]
    return found


def _mean_height(makers: list[tuple[tuple[float, float], float]]) -> float:
    height = sum(place[1] * share for place, share in makers)
    return height / sum(share for _, share in makers)


def _link_ends(
    matrix: Any, move: int, at: dict[int, tuple[float, float]]
) -> list[tuple[tuple[float, float], float]]:
    """Return points and shares of a cascade's actions in one row or column of a matrix."""
    span = slice(matrix.indptr[move], matrix.indptr[move + 1])
    found = zip(matrix.indices[span].tolist(), matrix.data[span].tolist(), strict=True)
    return [(at[row], share) for row, share in found if row in at]


def _draw_actions(axes: "Axes", table: Frame) -> None:
    """Draw a marker for each action, with area by notional and colour by population."""
    import seaborn
    from matplotlib.ticker import MaxNLocator

    area = (table["notional"] / table["notional"].max()).clip(lower=0.06)
    words = table["population"].astype(str).str.replace("_", " ")
    shown = table.assign(area=area, population=words)
    names = list(shown["population"].unique())
    palette = [COLOURS[(3, 0, 2, 1, 4, 5)[place % 6]] for place in range(len(names))]
    look: dict[str, Any] = {"hue": "population", "hue_order": names, "palette": palette}
    look |= {"zorder": 3, "legend": False, "sizes": (0, LARGEST_MARKER), "size_norm": (0, 1)}
    dot: dict[str, Any] = {"marker": "o", "markersize": 5, "linestyle": "none"}
    for name, colour in zip(names, palette, strict=True):
        add_legend_entry(axes, name, color=colour, **dot)
    for part, edge in _divide_by_instrument(axes, shown):
        seaborn.scatterplot(part, x="x", y="generation", size="area", ax=axes, **edge, **look)
    highest = table["generation"].max()
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(-0.04 * highest - 0.3, 1.04 * highest + 0.5)
    _draw_legend_below(axes)


def _divide_by_instrument(axes: "Axes", shown: Frame) -> Iterator[tuple[Frame, dict[str, Any]]]:
    """Yield the actions of each instrument and origin with the form and edge of their markers."""
    plain: dict[str, Any] = {"linewidth": 0.4, "edgecolor": "white"}
    if "instrument" not in shown:
        yield shown, plain
        return
    line: dict[str, Any] = {"markersize": 5, "linestyle": "none", "color": "0.6"}
    is_foreign = shown["foreign"] > MOST
    for place, (name, part) in enumerate(shown.groupby("instrument")):
        form = INSTRUMENT_MARKERS[place % len(INSTRUMENT_MARKERS)]
        add_legend_entry(axes, str(name), marker=form, **line)
        for edge, here in ((plain, ~is_foreign), (FOREIGN_EDGE, is_foreign)):
            own = part[here.loc[part.index]]
            if len(own):
                yield own, {"marker": form, **edge}
    if is_foreign.any():
        edge = {"markeredgecolor": "black", "markeredgewidth": 0.9}
        add_legend_entry(axes, "most of the loss in another", marker="o", **line, **edge)


def _draw_legend_below(axes: "Axes") -> None:
    handles, labels = axes.get_legend_handles_labels()
    look: dict[str, Any] = {"loc": "outside lower left", "alignment": "left", "frameon": False}
    title = "Close-outs by population (area: notional), and their effects"
    axes.figure.legend(handles, labels, ncols=min(4, len(labels)), title=title, **look)


def _draw_mark_path(axes: "Axes", closeouts: Frame, table: Frame) -> None:
    """Draw the mark after each round, of the instrument that the cascade traded most."""
    own = closeouts[closeouts["action"].isin(table["action"]) & (closeouts["filled"] > 0)]
    name = own.groupby("instrument")["notional"].sum().idxmax()
    ends = (
        own[own["instrument"] == name]
        .sort_values("id")
        .groupby(["step", "round"])["mark_after"]
        .last()
    )
    path = (
        table[["step", "round", "at"]]
        .drop_duplicates()
        .merge(ends.reset_index(), on=["step", "round"])
        .sort_values("at")
    )
    look: dict[str, Any] = {"linewidth": 0.9, "marker": "o", "markersize": 3, "markeredgewidth": 0}
    draw_line(axes, path["at"], path["mark_after"], color=COLOURS[0], **look)
    axes.set_ylabel(f"{name} mark\n(quote currency)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
