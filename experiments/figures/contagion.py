"""Contagion in pictures: who would be next and how near the edge; the largest cascade by generation and round."""

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
    LINES,
    PAGE,
    Frame,
    Frames,
    above,
    most_liquidated,
    nothing,
    placed,
    save,
    scale,
    style,
    time_axis,
)
from sim.metrics.contagion import Contagion, contagion
from sim.metrics.criticality import density, feedback
from sim.metrics.generations import cascades, depth, generation, members

FALLS = (-0.005, -0.01, -0.02, -0.05)
"""Moves whose R is drawn."""

READINGS = 240
"""More would not be told apart across a page."""

SHADES = 1e3
"""Densities that far below the largest are as pale as nothing."""

STEEP = 4
"""R from which on its axis is logarithmic beyond 1."""

WIDE = 0.75
"""Part of a round's room in which its actions stand side by side."""

SPOT, FAINTEST = 110.0, 0.02
"""Area of the largest marker, points squared; shares of harm below it are not drawn."""


def profile(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Where liquidation prices lie as the mark goes through them; R(Δ) of several falls below (LIQ-7).

    Of the perpetual that was liquidated most. Long runs show some of their readings; the CSV has all.

    Args:
        frames: ``steps`` and ``profile`` of one run.
        folder: where ``profile.pdf``, ``.png`` and ``.csv`` go.
        unit: minor units in one unit of the numeraire.
        currency: name of the numeraire.

    Returns:
        The PDF.
    """
    prices = placed(most_liquidated(frames["steps"]))
    instrument = str(prices["instrument"].iloc[0])
    ratios = feedback(frames, instrument)
    with style():
        figure = Figure(figsize=(PAGE, 4.8), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        _heat(top, prices, density(frames, instrument), (unit, currency))
        _edge(bottom, prices, ratios)
        time_axis(bottom, prices)
        figure.align_ylabels([top, bottom])
        return save(figure, folder / "profile", _told(frames, prices, ratios, unit))


def _heat(axes: Axes, prices: Frame, found: Frame, money: tuple[int, str]) -> None:
    """Notional per percent of price, at the price that would liquidate it, until the next reading."""
    unit, currency = money
    axes.set_ylabel(f"{prices['instrument'].iloc[0]}\n(quote currency)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    seaborn.despine(ax=axes)
    readings = np.unique(found["step"])
    shown = found[found["step"].isin(readings[:: -(-len(readings) // READINGS) or 1]) & (found["at_risk"] > 0)]
    if len(shown):
        at = prices.set_index("step")[["at", "mark"]]
        kept = np.unique(shown["step"])
        until = pd.Series(np.append(at["at"].reindex(kept).to_numpy()[1:], at["at"].iloc[-1]), index=kept)
        left, right = at["at"].reindex(shown["step"]).to_numpy(), until.reindex(shown["step"]).to_numpy()
        mark = at["mark"].reindex(shown["step"]).to_numpy()
        low, high = mark * (1 + shown["low"].to_numpy()), mark * (1 + shown["high"].to_numpy())
        corners = np.stack([left, low, left, high, right, high, right, low], axis=1).reshape(-1, 4, 2)
        thick = shown["at_risk"].to_numpy() / unit / (100 * (shown["high"] - shown["low"]).to_numpy())
        per, prefix = scale(float(thick.max()))
        tint: dict[str, Any] = {"cmap": "rocket_r", "norm": LogNorm(thick.max() / per / SHADES, thick.max() / per)}
        cells = PolyCollection(list(corners), array=thick / per, linewidth=0, rasterized=True, zorder=1, **tint)
        axes.add_collection(cells)
        label = f"Liquidated per 1% of price\n({prefix}{currency})"
        axes.figure.colorbar(cells, ax=axes, label=label, pad=0.01, aspect=30)
    axes.plot(prices["at"], prices["mark"], color="0.05", linewidth=0.9, label="Mark", zorder=3)
    if not len(shown):
        axes.plot([], [], linestyle="none", label="nobody at risk within 10%")
    above(axes)


def _edge(axes: Axes, prices: Frame, ratios: Frame) -> None:
    """R(Δ) as readings stand, and the line from which a fall feeds itself."""
    axes.set_ylabel("R(Δ), lots\nliquidated ÷ bid")
    seaborn.despine(ax=axes)
    drawn = ratios[[move for move in FALLS if move in ratios]].replace(np.inf, np.nan)
    if not drawn.notna().any(axis=None):
        nothing(axes)
        return
    at = prices.set_index("step")["at"].reindex(drawn.index)
    for place, move in enumerate(drawn):
        look: dict[str, Any] = {"color": COLOURS[place], "linestyle": LINES[place], "linewidth": 1.0}
        told = f"{move:.1%}".replace(".0%", "%").replace("-", "\N{MINUS SIGN}")
        axes.plot(at, drawn[move], drawstyle="steps-post", label=told, **look)
    axes.axhline(1, color="0.4", linewidth=0.7, linestyle="--", zorder=0)
    largest = float(np.nanmax(drawn.to_numpy()))
    if largest > STEEP:
        axes.set_yscale("symlog", linthresh=1, linscale=1)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(-0.04, 1.15 * max(1.2, largest))  # a line at nil is a reading, not an axis
    above(axes, ncols=len(drawn.columns))


def _told(frames: Frames, prices: Frame, ratios: Frame, unit: int) -> Frame:
    """Every reading of notional at risk and of R, by move."""
    own = frames["profile"][frames["profile"]["instrument"] == prices["instrument"].iloc[0]]
    risk = own[["step", "move"]].assign(series="at_risk", value=own["at_risk"] / unit)
    edge = ratios.reset_index().melt(id_vars="step", value_name="value").assign(series="R")
    table = pd.concat([risk, edge], ignore_index=True)
    names = table["series"] + table["move"].map(lambda move: f" {100 * move:+g}%")
    when = prices[[name for name in ("step", "seconds", "stamp") if name in prices]]
    told = when.merge(table.assign(series=names).drop(columns="move"), on="step")
    return told.sort_values(["series", "step"], ignore_index=True).dropna(subset="value")


def cascade(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """The largest cascade: who was closed out when, and how far from the first push; the mark below (LIQ-8).

    Round follows round; strokes set steps apart, between which time passes. Lines meet where a round moved the mark, a
    little above those who moved it. A generation is a mean: part of the harm came from outside, part through chains.

    Args and result as of ``profile``, for ``closeouts`` and ``causes``.
    """
    links = contagion(frames)
    number = members(links)
    with style():
        figure = Figure(figsize=(PAGE, 4.8), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
        top.set_ylabel("Generation (mean)")
        bottom.set_ylabel("Mark\n(quote currency)")
        bottom.set_xlabel("Round of liquidation")
        for axes in (top, bottom):
            seaborn.despine(ax=axes)
        if not number.size:
            nothing(top)
            nothing(bottom)
            return save(figure, folder / "cascade", pd.DataFrame(columns=["step", "round", "owner"]))
        table = _placed(links, number == 1).assign(notional=lambda each: each["notional"] / unit)
        _strokes(top, bottom, table)
        _links(top, links, table)
        _people(top, table)
        _marks(bottom, frames["closeouts"], table)
        figure.suptitle(_title(links, currency, unit), fontsize="medium", x=0.01, ha="left")
        figure.align_ylabels([top, bottom])
        return save(figure, folder / "cascade", table.drop(columns="row"))


def _title(links: Contagion, currency: str, unit: int) -> str:
    table = cascades(links)
    first = table.iloc[0]
    per, prefix = scale(first["notional"] / unit)
    told = f"The largest of {len(table)} cascades" if len(table) > 1 else "The only cascade"
    worth = f"{first['notional'] / unit / per:.3g} {prefix}{currency}"
    size = f"{first['actions']} close-outs of {first['accounts']} accounts, {worth}"
    return f"{told}: {size}; {first['endogenous']:.0%} of it brought about by close-outs, begun by {first['origin']}"


def _placed(links: Contagion, chosen: "np.ndarray[Any, Any]") -> Frame:
    """Actions of a cascade with their place: its rounds are numbered, with a pause before each step."""
    told = {"row": np.arange(len(links.actions)), "generation": generation(links), "depth": depth(links)}
    table = links.actions.assign(**told)[chosen]
    slots = table[["step", "round"]].drop_duplicates().sort_values(["step", "round"])
    begins = (slots["step"].diff().fillna(0) != 0).cumsum()
    slots["at"] = np.arange(1, len(slots) + 1) + begins.to_numpy()
    table = table.merge(slots, on=["step", "round"])
    turn = table.groupby(["step", "round"])["row"]
    return table.assign(x=table["at"] + WIDE * turn.cumcount() / turn.transform("size"))


def _strokes(top: Axes, bottom: Axes, table: Frame) -> None:
    """A line before each step but the first, and rounds counted along the axis."""
    first = table.groupby("step")["at"].min()
    for axes in (top, bottom):
        for at in first.iloc[1:]:
            axes.axvline(at - 1, color="0.85", linewidth=0.6, zorder=0)
    shown = first.iloc[:: -(-len(first) // 12)]
    bottom.set_xticks(shown, [f"{step}" for step in shown.index])
    bottom.set_xlabel(
        "Rounds of liquidation, by step" if len(first) > 1 else f"Rounds of liquidation in step {first.index[0]}"
    )
    top.set_xlim(table["at"].min() - 1, table["at"].max() + 1)


def _links(axes: Axes, links: Contagion, table: Frame) -> None:
    """From actions to the move they made, and on to those whom it pushed; darker is more."""
    at = dict(zip(table["row"], zip(table["x"], table["generation"], strict=True), strict=True))
    ends_at = dict(zip(table["row"], table["at"] + WIDE + 0.1, strict=True))
    pushed, moved = links.pushed.tocsc(), links.moved.tocsr()
    segments, shares = [], []
    for move in np.unique(links.pushed[table["row"].to_numpy()].indices):
        makers, heirs = _ends(moved, move, at), [end for end in _ends(pushed, move, at) if end[1] >= FAINTEST]
        if not makers or not heirs:
            continue
        middle = sum(place[1] * share for place, share in makers) / sum(share for _, share in makers)
        knot = (ends_at[moved.indices[moved.indptr[move]]], middle + 0.3)
        ends = [((place, knot), share) for place, share in makers] + [((knot, place), share) for place, share in heirs]
        segments += [segment for segment, share in ends if share >= FAINTEST]
        shares += [share for _, share in ends if share >= FAINTEST]
    colours = [(0.25, 0.25, 0.3, 0.12 + 0.5 * min(share, 1.0)) for share in shares]
    axes.add_collection(LineCollection(segments, colors=colours, linewidths=0.6, zorder=1))
    axes.plot([], [], color=(0.25, 0.25, 0.3, 0.6), linewidth=0.8, label="to the mark's move, and to whom it pushed")


def _ends(matrix: Any, move: int, at: dict[int, tuple[float, float]]) -> list[tuple[tuple[float, float], float]]:
    """Places of a cascade's actions in one row, or column, of a matrix of shares, with these."""
    span = slice(matrix.indptr[move], matrix.indptr[move + 1])
    found = zip(matrix.indices[span].tolist(), matrix.data[span].tolist(), strict=True)
    return [(at[row], share) for row, share in found if row in at]


def _people(axes: Axes, table: Frame) -> None:
    """A marker for each action, its area the notional, its colour the population."""
    area = (SPOT * table["notional"] / table["notional"].max()).clip(lower=3)
    for place, (name, part) in enumerate(table.groupby("population", sort=False)):
        look: dict[str, Any] = {"color": COLOURS[(3, 0, 2, 1, 4, 5)[place % 6]], "linewidth": 0.4, "edgecolor": "white"}
        axes.scatter(
            part["x"], part["generation"], area[part.index], label=str(name).replace("_", " "), zorder=3, **look
        )
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(-0.04 * table["generation"].max() - 0.3, 1.04 * table["generation"].max() + 0.5)
    axes.legend(frameon=False, loc="upper left", title="Close-outs, area: notional", alignment="left", markerscale=1.0)


def _marks(axes: Axes, closeouts: Frame, table: Frame) -> None:
    """Where each round left the mark of the instrument that the cascade traded most."""
    own = closeouts[closeouts["action"].isin(table["action"]) & (closeouts["filled"] > 0)]
    name = own.groupby("instrument")["notional"].sum().idxmax()
    ends = own[own["instrument"] == name].sort_values("id").groupby(["step", "round"])["mark_after"].last()
    path = (
        table[["step", "round", "at"]]
        .drop_duplicates()
        .merge(ends.reset_index(), on=["step", "round"])
        .sort_values("at")
    )
    axes.plot(path["at"], path["mark_after"], color=COLOURS[0], linewidth=0.9, marker="o", markersize=2)
    axes.set_ylabel(f"{name} mark\n(quote currency)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
