"""Figures of contagion: liquidation prices, feedback R(Δ) and the largest cascade."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.figures.style import (
    COLOURS,
    LINE_STYLES,
    PAGE_WIDTH,
    Frame,
    Frames,
    add_axis_positions,
    choose_scale,
    draw_legend_above,
    draw_none_label,
    draw_time_axis,
    find_most_liquidated,
    save_figure,
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

DRAWN_FALLS = (-0.005, -0.01, -0.02, -0.05)
"""Falls for which R is drawn."""

MAX_READINGS = 240
"""Largest number of readings across a page that can be distinguished."""

DENSITY_RANGE = 1e3
"""Ratio of the largest density to the palest one."""

LOG_AXIS_FROM = 4
"""Largest R above which its axis is logarithmic beyond 1."""

ROUND_WIDTH = 0.75
"""Share of a round's width in which its actions are drawn side by side."""

Point = tuple[float, float]

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
        figure = Figure(figsize=(PAGE_WIDTH, 4.8), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        _draw_density(top, prices, tabulate_density(frames, instrument), (unit, currency))
        _draw_ratios(bottom, prices, ratios)
        draw_time_axis(bottom, prices)
        figure.align_ylabels([top, bottom])
        return save_figure(
            figure, folder / "profile", _tabulate_profile(frames, prices, ratios, unit)
        )


def _draw_density(axes: Axes, prices: Frame, found: Frame, money: tuple[int, str]) -> None:
    """Draw notional per percent of price at the price that liquidates it, with the mark.

    Each reading extends to the next one.
    """
    axes.set_ylabel(f"{prices['instrument'].iloc[0]}\n(quote currency)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    seaborn.despine(ax=axes)
    readings = np.unique(found["step"])
    every = -(-len(readings) // MAX_READINGS) or 1
    shown = found[found["step"].isin(readings[::every]) & (found["at_risk"] > 0)]
    if len(shown):
        _draw_density_cells(axes, prices, shown, money)
    axes.plot(prices["at"], prices["mark"], color="0.05", linewidth=0.9, label="Mark", zorder=3)
    if not len(shown):
        axes.plot([], [], linestyle="none", label="No account at risk within 10%")
    draw_legend_above(axes)


def _draw_density_cells(axes: Axes, prices: Frame, shown: Frame, money: tuple[int, str]) -> None:
    """Draw a coloured cell for each reading and price range, with a colour bar."""
    unit, currency = money
    width = 100 * (shown["high"] - shown["low"]).to_numpy()
    density = shown["at_risk"].to_numpy() / unit / width
    per, prefix = choose_scale(float(density.max()))
    tint: dict[str, Any] = {
        "cmap": "rocket_r",
        "norm": LogNorm(density.max() / per / DENSITY_RANGE, density.max() / per),
    }
    corners = list(_find_cell_corners(prices, shown))
    cells = PolyCollection(
        corners, array=density / per, linewidth=0, rasterized=True, zorder=1, **tint
    )
    axes.add_collection(cells)
    label = f"Liquidated per 1% of price\n({prefix}{currency})"
    axes.figure.colorbar(cells, ax=axes, label=label, pad=0.01, aspect=30)


def _find_cell_corners(prices: Frame, shown: Frame) -> "np.ndarray[Any, Any]":
    """Return the corners of each cell, (n, 4, 2): from a reading to the next, low to high price."""
    at = prices.set_index("step")[["at", "mark"]]
    steps = np.unique(shown["step"])
    ends = np.append(at["at"].reindex(steps).to_numpy()[1:], at["at"].iloc[-1])
    left = at["at"].reindex(shown["step"]).to_numpy()
    right = pd.Series(ends, index=steps).reindex(shown["step"]).to_numpy()
    mark = at["mark"].reindex(shown["step"]).to_numpy()
    low, high = mark * (1 + shown["low"].to_numpy()), mark * (1 + shown["high"].to_numpy())
    corners = np.stack([left, low, left, high, right, high, right, low], axis=1)
    return corners.reshape(-1, 4, 2)


def _draw_ratios(axes: Axes, prices: Frame, ratios: Frame) -> None:
    """Draw R(Δ) of each reading, and the line at 1 above which a fall sustains itself."""
    axes.set_ylabel("R(Δ), lots\nliquidated ÷ bid")
    seaborn.despine(ax=axes)
    drawn = ratios[[move for move in DRAWN_FALLS if move in ratios]].replace(np.inf, np.nan)
    if not drawn.notna().any(axis=None):
        draw_none_label(axes)
        return
    at = prices.set_index("step")["at"].reindex(drawn.index)
    for place, move in enumerate(drawn):
        look: dict[str, Any] = {
            "color": COLOURS[place],
            "linestyle": LINE_STYLES[place],
            "linewidth": 1.0,
        }
        label = f"{move:.1%}".replace(".0%", "%").replace("-", "\N{MINUS SIGN}")
        axes.plot(at, drawn[move], drawstyle="steps-post", label=label, **look)
    axes.axhline(1, color="0.4", linewidth=0.7, linestyle="--", zorder=0)
    largest = float(np.nanmax(drawn.to_numpy()))
    if largest > LOG_AXIS_FROM:
        axes.set_yscale("symlog", linthresh=1, linscale=1)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(-0.04, 1.15 * max(1.2, largest))  # so that a line at zero differs from the axis
    draw_legend_above(axes, ncols=len(drawn.columns))


def _tabulate_profile(frames: Frames, prices: Frame, ratios: Frame, unit: int) -> Frame:
    """Return all readings of notional at risk and of R, by move."""
    own = frames["profile"][frames["profile"]["instrument"] == prices["instrument"].iloc[0]]
    risk = own[["step", "move"]].assign(series="at_risk", value=own["at_risk"] / unit)
    edge = ratios.reset_index().melt(id_vars="step", value_name="value").assign(series="R")
    table = pd.concat([risk, edge], ignore_index=True)
    names = table["series"] + table["move"].map(lambda move: f" {100 * move:+g}%")
    when = prices[[name for name in ("step", "seconds", "stamp") if name in prices]]
    tidy = when.merge(table.assign(series=names).drop(columns="move"), on="step")
    return tidy.sort_values(["series", "step"], ignore_index=True).dropna(subset="value")


def draw_cascade(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Draw the close-outs of the largest cascade by round and generation, above the mark (LIQ-8).

    Rounds are drawn in order, and vertical lines separate steps. Lines meet where a round moved
    the mark, slightly above the actions that moved it. A generation is a mean, because part of
    the harm came from outside and part through chains of close-outs.

    Arguments and result are as in ``draw_profile``, with frames ``closeouts`` and ``causes``.
    """
    links = build_contagion(frames)
    number = assign_cascades(links)
    with use_style():
        figure = Figure(figsize=(PAGE_WIDTH, 4.8), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
        top.set_ylabel("Generation (mean)")
        bottom.set_ylabel("Mark\n(quote currency)")
        bottom.set_xlabel("Round of liquidation")
        for axes in (top, bottom):
            seaborn.despine(ax=axes)
        if not number.size:
            draw_none_label(top)
            draw_none_label(bottom)
            return save_figure(
                figure, folder / "cascade", pd.DataFrame(columns=["step", "round", "owner"])
            )
        table = _place_actions(links, number == 1).assign(
            notional=lambda each: each["notional"] / unit
        )
        _draw_step_lines(top, bottom, table)
        _draw_links(top, links, table)
        _draw_actions(top, table)
        _draw_mark_path(bottom, frames["closeouts"], table)
        figure.suptitle(_cascade_title(links, currency, unit), fontsize="medium", x=0.01, ha="left")
        figure.align_ylabels([top, bottom])
        return save_figure(figure, folder / "cascade", table.drop(columns="row"))


def _cascade_title(links: ContagionLinks, currency: str, unit: int) -> str:
    table = tabulate_cascades(links)
    first = table.iloc[0]
    per, prefix = choose_scale(first["notional"] / unit)
    which = f"The largest of {len(table)} cascades" if len(table) > 1 else "The only cascade"
    notional = f"{first['notional'] / unit / per:.3g} {prefix}{currency}"
    size = f"{first['actions']} close-outs of {first['accounts']} accounts, {notional}"
    causes = f"{first['endogenous']:.0%} caused by close-outs, started by {first['origin']}"
    return f"{which}: {size}; {causes}"


def _place_actions(links: ContagionLinks, chosen: "np.ndarray[Any, Any]") -> Frame:
    """Return the actions of a cascade with their positions on the axis.

    Rounds are numbered, with a gap before each step.
    """
    measures = {
        "row": np.arange(len(links.actions)),
        "generation": compute_generations(links),
        "depth": compute_depths(links),
    }
    table = links.actions.assign(**measures)[chosen]
    slots = table[["step", "round"]].drop_duplicates().sort_values(["step", "round"])
    begins = (slots["step"].diff().fillna(0) != 0).cumsum()
    slots["at"] = np.arange(1, len(slots) + 1) + begins.to_numpy()
    table = table.merge(slots, on=["step", "round"])
    turn = table.groupby(["step", "round"])["row"]
    return table.assign(x=table["at"] + ROUND_WIDTH * turn.cumcount() / turn.transform("size"))


def _draw_step_lines(top: Axes, bottom: Axes, table: Frame) -> None:
    """Draw a line before each step except the first, and label the axis of rounds."""
    first = table.groupby("step")["at"].min()
    for axes in (top, bottom):
        for at in first.iloc[1:]:
            axes.axvline(at - 1, color="0.85", linewidth=0.6, zorder=0)
    shown = first.iloc[:: -(-len(first) // 12)]
    bottom.set_xticks(shown, [f"{step}" for step in shown.index])
    bottom.set_xlabel(
        "Rounds of liquidation, by step"
        if len(first) > 1
        else f"Rounds of liquidation in step {first.index[0]}"
    )
    top.set_xlim(table["at"].min() - 1, table["at"].max() + 1)


def _draw_links(axes: Axes, links: ContagionLinks, table: Frame) -> None:
    """Draw lines from actions to the move they caused, and on to the accounts it affected."""
    at = dict(zip(table["row"], zip(table["x"], table["generation"], strict=True), strict=True))
    ends_at = dict(zip(table["row"], table["at"] + ROUND_WIDTH + 0.1, strict=True))
    pushed, moved = links.harm_by_move.tocsc(), links.move_by_action.tocsr()
    lines: list[tuple[tuple[Point, Point], float]] = []
    for move in np.unique(links.harm_by_move[table["row"].to_numpy()].indices):
        causes = _link_ends(moved, move, at)
        effects = [end for end in _link_ends(pushed, move, at) if end[1] >= MIN_DRAWN_SHARE]
        if causes and effects:
            end_of_round = ends_at[moved.indices[moved.indptr[move]]]
            lines += _connect_through_knot(causes, effects, end_of_round)
    _draw_segments(axes, [line for line in lines if line[1] >= MIN_DRAWN_SHARE])


def _draw_segments(axes: Axes, lines: list[tuple[tuple[Point, Point], float]]) -> None:
    """Draw lines with shares, with their legend; a darker line is a larger share."""
    grey = (0.25, 0.25, 0.3)
    colours = [(*grey, 0.12 + 0.5 * min(share, 1.0)) for _, share in lines]
    segments = [segment for segment, _ in lines]
    axes.add_collection(LineCollection(segments, colors=colours, linewidths=0.6, zorder=1))
    label = "Close-out to mark move to affected account"
    axes.plot([], [], color=(*grey, 0.6), linewidth=0.8, label=label)


def _connect_through_knot(
    causes: list[tuple[Point, float]], effects: list[tuple[Point, float]], x: float
) -> list[tuple[tuple[Point, Point], float]]:
    """Return lines with shares from causes to a point at ``x`` above them, and on to effects."""
    weight = sum(share for _, share in causes)
    middle = sum(place[1] * share for place, share in causes) / weight
    knot = (x, middle + 0.3)
    into = [((place, knot), share) for place, share in causes]
    out_of = [((knot, place), share) for place, share in effects]
    return into + out_of


def _link_ends(matrix: Any, move: int, at: dict[int, Point]) -> list[tuple[Point, float]]:
    """Return points and shares of a cascade's actions in one row or column of a matrix."""
    span = slice(matrix.indptr[move], matrix.indptr[move + 1])
    found = zip(matrix.indices[span].tolist(), matrix.data[span].tolist(), strict=True)
    return [(at[row], share) for row, share in found if row in at]


def _draw_actions(axes: Axes, table: Frame) -> None:
    """Draw a marker for each action, with area by notional and colour by population."""
    area = (LARGEST_MARKER * table["notional"] / table["notional"].max()).clip(lower=3)
    for place, (name, part) in enumerate(table.groupby("population", sort=False)):
        look: dict[str, Any] = {
            "color": COLOURS[(3, 0, 2, 1, 4, 5)[place % 6]],
            "linewidth": 0.4,
            "edgecolor": "white",
        }
        axes.scatter(
            part["x"],
            part["generation"],
            area[part.index],
            label=str(name).replace("_", " "),
            zorder=3,
            **look,
        )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(-0.04 * table["generation"].max() - 0.3, 1.04 * table["generation"].max() + 0.5)
    axes.legend(
        frameon=False,
        loc="upper left",
        title="Close-outs (area: notional)",
        alignment="left",
        markerscale=1.0,
    )


def _draw_mark_path(axes: Axes, closeouts: Frame, table: Frame) -> None:
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
    axes.plot(
        path["at"], path["mark_after"], color=COLOURS[0], linewidth=0.9, marker="o", markersize=2
    )
    axes.set_ylabel(f"{name} mark\n(quote currency)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
