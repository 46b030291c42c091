"""The overview: mark against index, close-outs, ADL; and all figures of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.contagion import cascade, profile
from experiments.figures.market import liquidity, positions
from experiments.figures.risk import leverage, losses
from experiments.figures.style import (
    COLOURS,
    PAGE,
    Frame,
    Frames,
    most_liquidated,
    nothing,
    placed,
    save,
    scale,
    style,
    tidy,
    time_axis,
)

HEIGHT = 5.0
MOST_BARS = 200
SPOTS = 120  # markers that fit side by side
LARGEST, LEGEND = 140.0, 28.0  # areas of markers, points squared
MARK, INDEX, CLOSED, ADL = (COLOURS[number] for number in (0, 7, 3, 2))


def overview(frames: Frames, folder: Path, *, unit: int, currency: str) -> Path:
    """Mark against index with close-outs and ADL; liquidated and deleveraged notional below.

    Prices are those of the perpetual that was liquidated most, notionals those of all instruments.

    Args:
        frames: ``steps`` and ``closeouts`` of one run.
        folder: where ``overview.pdf``, ``.png`` (300 dpi) and ``.csv`` (what is drawn, tidy) go.
        unit: minor units in one unit of the numeraire.
        currency: name of the numeraire.

    Returns:
        The PDF.
    """
    prices = placed(most_liquidated(frames["steps"]))
    closed = _closed(frames["closeouts"], prices, unit)
    flows = frames["steps"].groupby("step")[["liquidated_notional", "adl_notional"]].sum() / unit
    with style():
        figure = Figure(figsize=(PAGE, HEIGHT), layout="constrained")
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(2.8, 1, 1))
        _prices(top, prices, closed)
        _flow(middle, prices, flows["liquidated_notional"], ("Liquidated", CLOSED, currency))
        _flow(bottom, prices, flows["adl_notional"], ("ADL", ADL, currency))
        time_axis(bottom, prices)
        figure.align_ylabels([top, middle, bottom])
        return save(figure, folder / "overview", _tidy(prices, closed, flows))


def _closed(closeouts: Frame, prices: Frame, unit: int) -> Frame:
    """Filled notional of the instrument's close-outs by step, with its mark."""
    same = (closeouts["venue"] == prices["venue"].iloc[0]) & (closeouts["instrument"] == prices["instrument"].iloc[0])
    filled = closeouts[same & (closeouts["filled"] > 0)].astype({"step": np.int64, "notional": np.float64})
    notional = filled.groupby("step")["notional"].sum() / unit
    return prices.merge(notional.rename("closed").reset_index(), on="step")


def _prices(axes: Axes, prices: Frame, closed: Frame) -> None:
    # the index lies wide and pale below the mark, so that both are seen where they agree
    axes.plot(prices["at"], prices["index"], color=INDEX, alpha=0.55, linewidth=2.2, label="Index", zorder=2)
    axes.plot(prices["at"], prices["mark"], color=MARK, linewidth=0.7, label="Mark", zorder=3)
    if len(closed):
        spots = _gathered(closed, float(prices["at"].iloc[-1] - prices["at"].iloc[0]))
        area = (LARGEST * spots["closed"] / spots["closed"].max()).clip(lower=2)
        look: dict[str, Any] = {"facecolor": "none", "edgecolor": CLOSED, "linewidth": 0.9, "zorder": 5}
        axes.scatter(spots["at"], spots["mark"], area, **look)
        axes.scatter([], [], LEGEND, label="Close-outs (area: notional)", **look)
    cut = prices[prices["adl"] > 0]
    if len(cut):
        spots = _gathered(cut.assign(closed=cut["adl"]), float(prices["at"].iloc[-1] - prices["at"].iloc[0]))
        axes.scatter(spots["at"], spots["mark"], LEGEND, color=ADL, marker="v", linewidth=0, zorder=6, label="ADL")
    axes.set_ylabel(f"{prices['instrument'].iloc[0]}\n(quote currency)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.legend(frameon=False, loc="best", handlelength=2.4)
    seaborn.despine(ax=axes)


def _gathered(events: Frame, span: float) -> Frame:
    """Events closer than a marker as one, at their mean weighted by size."""
    slot = np.floor(events["at"] / max(span / SPOTS, 1e-9))
    weighted = events[["at", "mark"]].mul(events["closed"], axis=0).assign(closed=events["closed"])
    total = weighted.groupby(slot).sum()
    return total[["at", "mark"]].div(total["closed"], axis=0).assign(closed=total["closed"])


def _flow(axes: Axes, prices: Frame, flow: "pd.Series[float]", what: tuple[str, Any, str]) -> None:
    """Bars of notional over time."""
    word, colour, currency = what
    per, key = _bins(prices)
    grouped = prices.assign(flow=flow.reindex(prices["step"]).to_numpy()).groupby(key)
    height, centre, count = grouped["flow"].sum(), grouped["at"].mean(), grouped["at"].size()
    width = float(prices["at"].diff().median()) if len(prices) > 1 else 1.0
    divisor, prefix = scale(float(height.max()))
    axes.bar(centre, height / divisor, count * width, color=colour, linewidth=0)
    axes.set_ylabel(f"{word}\n({prefix}{currency}/{per})" if height.any() else word)
    axes.set_ylim(bottom=0)
    if not height.any():
        nothing(axes)
    seaborn.despine(ax=axes)


def _bins(prices: Frame) -> tuple[str, "np.ndarray[Any, Any]"]:
    """The finest span of trading time with few enough bars to be told apart, and each row's bin."""
    since = prices["seconds"] - prices["seconds"].iloc[0]
    keys = {"step": prices["step"]} | {name: since // size for name, size in (("10 min", 600), ("hour", 3600))}
    keys["day"] = prices["stamp"].dt.floor("D") if "stamp" in prices else since // 86400
    name = next((name for name, key in keys.items() if key.nunique() <= MOST_BARS), "day")
    return name, keys[name].to_numpy()


def _tidy(prices: Frame, closed: Frame, flows: Frame) -> Frame:
    """What is drawn, one row for each series and step."""
    when = ["step", "seconds", *(["stamp"] if "stamp" in prices else [])]
    wide = prices[[*when, "mark", "index", "adl"]].merge(flows.reset_index(), on="step")
    wide = wide.merge(closed[["step", "closed"]].rename(columns={"closed": "closeouts_shown"}), on="step", how="left")
    return tidy(wide, [name for name in wide.columns.astype(str) if name not in when])


FIGURES: dict[str, Callable[..., Path]] = {
    "overview": overview,
    "positions": positions,
    "liquidity": liquidity,
    "losses": losses,
    "leverage": leverage,
    "profile": profile,
    "cascade": cascade,
}
"""All figures of a run by name; each takes (frames, folder, unit=, currency=) and returns its PDF."""
