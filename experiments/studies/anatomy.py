"""Where each engine's compression comes from: netting, valuation, scaling and model, shared out on one frozen book.

An engine's compression is 1 - capital(engine) / capital(isolated tiers) on the reference book (MAR-2). It is the sum of
four switches' Shapley values. Each turns one choice of isolated tiers into the engine's own: how positions are netted,
what collateral is worth, what wraps the requirement and follows the market (scaling), and the requirement (model).
"""

import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.config import RunConfig
from experiments.figures_style import COLOURS, PAGE, save, style
from experiments.markdown import header, row
from experiments.reference import frozen
from experiments.statistics import decompose
from sim.loading import load
from sim.margin.base import RequirementComponent
from sim.margin.efficiency import TiedUp, tied_up
from sim.margin.engine import EngineConfig
from sim.metrics.cascades import Frames
from sim.types import F8, Exposure

SWITCHES = ("netting", "valuation", "scaling", "model")
SCALING = frozenset(
    {
        *("scaled", "avsl_inspired", "liquidation_buffer", "clocked", "compressed"),
        *("floored", "stressed", "buffered"),
    }
)
"""Wrappers that follow the market or cut what is inside them; what else wraps a table belongs to the model."""

ALL = "all"
BY = ("engine", "hours", "account")
BINS = (0.0, 3.0, 7.0, np.inf)
NAMES = ("0 to 3 times", "3 to 7 times", "above 7 times")
"""Accounts by gross notional over equity, as the press tells of open interest (targets of Hyperliquid's traders)."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """A row for each snapshot, type of account and coalition of switches; the run itself, one step, is not read."""
    return pd.DataFrame(_rows(config.venues[0].engine))


def _rows(engine: EngineConfig) -> Iterator[dict[str, Any]]:
    books, unit = _books()
    types = [_types(book) for book in books]
    base = [_total(each, kinds) for each, kinds in zip(tied_up(_isolated(), books, unit), types, strict=True)]
    for on in itertools.product((False, True), repeat=len(SWITCHES)):
        switches = dict(zip(SWITCHES, on, strict=True))
        found = tied_up(switched(engine, **switches), books, unit)
        for book, each, kinds, whole in zip(books, found, types, base, strict=True):
            for account, capital in _total(each, kinds).items():
                hours = round(float(book.market.seconds) / 3600, 6)
                yield {"hours": hours, "account": account, **switches, "saved": 1 - capital / whole[account]}


@cache
def _books() -> tuple[list[Exposure], int]:
    return frozen()


@cache
def _isolated() -> EngineConfig:
    return load("engines/isolated", [], EngineConfig)


def switched(engine: EngineConfig, *, netting: bool, valuation: bool, scaling: bool, model: bool) -> EngineConfig:
    """Isolated tiers with some of their choices made as an engine makes them."""
    plain = _isolated()
    wrappers, inner = _unwrapped(engine.requirement)
    requirement = inner if model else plain.requirement
    for wrapper in reversed(wrappers if scaling else []):
        requirement = wrapper.model_copy(update={"inner": requirement})
    return EngineConfig(
        netting=engine.netting if netting else plain.netting,
        valuation=engine.valuation if valuation else plain.valuation,
        requirement=requirement,
        scale=engine.scale if scaling else 1.0,
        kappa=engine.kappa if scaling else 0.0,
    )


def _unwrapped(requirement: RequirementComponent) -> tuple[list[Any], Any]:
    """Scaling wrappers, outermost first, and what they wrap."""
    wrappers, inside = [], requirement
    while inside.kind in SCALING:  # type: ignore[attr-defined]
        wrappers.append(inside)
        inside = inside.inner  # type: ignore[attr-defined]
    return wrappers, inside


def _types(book: Exposure) -> F8:
    """Which of ``BINS`` each account's leverage lies in (A,); accounts without equity are the most levered."""
    equity, gross = book.equity(), np.abs(book.value()).sum(axis=1)
    levered = np.divide(gross, equity, out=np.full(gross.size, np.inf), where=equity > 0)
    return np.asarray(np.digitize(levered, BINS[1:-1]), dtype=np.float64)


def _total(tied: TiedUp, kinds: F8) -> dict[str, float]:
    """Capital of all accounts, and of each type that there is any of."""
    capital = tied.margin + tied.haircut
    parts = {name: float(capital[kinds == k].sum()) for k, name in enumerate(NAMES) if capital[kinds == k].any()}
    return {ALL: float(capital.sum()), **parts}


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each switch's share of each engine's compression, at every snapshot and for every type of account."""
    whole = runs[runs[list(SWITCHES)].all(axis=1)]
    return {"shares": decompose(runs, SWITCHES, "saved", BY), "compression": whole[[*BY, "saved"]]}


def report(runs: pd.DataFrame) -> str:
    """One table: compression of each engine and its four parts, with the spread over snapshots and types."""
    made = tables(runs)
    lines = ["## Findings", "", *(f"- {line}" for line in findings(made["shares"], made["compression"])), ""]
    lines += ["## Compression and its parts", "", "Percentages of the capital of isolated tiers, all accounts, mean of"]
    lines += [
        "snapshots; in brackets the range over snapshots, then over types of account. Nothing is drawn: no interval.",
        "",
    ]
    lines += header(["engine", "compression", "over time", "by type", *SWITCHES])
    return "\n".join([*lines, *_lines(made["shares"], made["compression"])])


def _lines(shares: pd.DataFrame, compression: pd.DataFrame) -> Iterator[str]:
    whole = compression[compression["account"] == ALL]
    for engine, group in sorted(whole.groupby("engine", sort=False), key=lambda each: -float(each[1]["saved"].mean())):
        typed = compression[(compression["engine"] == engine) & (compression["account"] != ALL)]
        across = typed.groupby("account")["saved"].mean()
        mine = shares[(shares["engine"] == engine) & (shares["account"] == ALL)].groupby("switch")["value"].mean()
        cells = [_percent(group["saved"].mean()), _range(group["saved"]), _range(across)]
        yield row([str(engine), *cells, *(_percent(mine[name]) for name in SWITCHES)])


def findings(shares: pd.DataFrame, compression: pd.DataFrame) -> list[str]:
    """What compression is made of on this book."""
    here = shares[shares["account"] == ALL].groupby(["engine", "switch"])["value"].mean().unstack()
    idle = [name for name in SWITCHES if not here[name].abs().gt(1e-9).any()]
    whole = compression[compression["account"] == ALL].groupby("engine")["saved"].mean()
    cheap, dear = str(whole.idxmax()), str(whole.idxmin())
    lines = [
        f"{cheap} asks least on this book, {_percent(whole.max())}% less than isolated tiers; {dear} most, "
        f"{_percent(-whole.min())}% more."
    ]
    if idle:
        lines.append(
            f"{' and '.join(idle)} contribute nothing to any engine: the book holds one product in the numeraire, so "
            "that nothing offsets and no collateral is discounted."
        )
    dynamic = here["scaling"].abs()
    if dynamic.gt(1e-9).any():
        name = str(dynamic.idxmax())
        lines.append(f"scaling matters most to {name}, {_percent(here['scaling'][name])} points of its compression.")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".replace("-", "\N{MINUS SIGN}")


def _range(shares: "pd.Series[float]") -> str:
    low, high = _percent(float(shares.min())), _percent(float(shares.max()))
    return low if low == high else f"{low} to {high}"


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``anatomy``: each engine's compression split among the switches, and by type of account."""
    made = tables(runs)
    with style():
        _split(made["shares"], made["compression"], folder)


def _split(shares: pd.DataFrame, compression: pd.DataFrame, folder: Path) -> None:
    whole = compression[compression["account"] == ALL].groupby("engine")["saved"].mean().sort_values()
    names = list(whole.index)
    figure = Figure(figsize=(PAGE, 0.9 + 0.19 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    mean = shares[shares["account"] == ALL].groupby(["engine", "switch"])["value"].mean().unstack().loc[names]
    _bars(left, mean, whole)
    left.set_yticks(range(len(names)), names)
    left.set_xlabel("Compression on isolated tiers (%)")
    for number, account in enumerate(NAMES):
        typed = compression[compression["account"] == account].groupby("engine")["saved"].mean()
        at = [names.index(str(name)) for name in typed.index]
        right.plot(100 * typed, at, "osD"[number], color=COLOURS[number + 4], markersize=3.5, label=account)
    right.set_xlabel("The same by leverage of the account (%)")
    for axes in (left, right):
        axes.axvline(0, color="0.6", linewidth=0.7, zorder=0)
        axes.set_xscale("symlog", linthresh=50)
        axes.set_xticks([-500, -50, 0, 50], [f"{tick}".replace("-", "\N{MINUS SIGN}") for tick in (-500, -50, 0, 50)])
        axes.minorticks_off()
        seaborn.despine(ax=axes)
        look: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "frameon": False}
        axes.legend(ncols=3, columnspacing=1, handletextpad=0.4, **look)
    save(figure, folder / "anatomy", shares)


def _bars(axes: Axes, mean: pd.DataFrame, whole: "pd.Series[float]") -> None:
    """Parts stacked from nil outwards, those below nil to the left; a dot is the sum. Parts of nothing are not told."""
    shown = [name for name in SWITCHES if mean[name].abs().gt(1e-9).any()]
    ends = {1: np.zeros(len(mean)), -1: np.zeros(len(mean))}
    for name in shown:
        parts = 100 * mean[name].to_numpy()
        for sign, start in ends.items():
            width = np.where(np.sign(parts) == sign, parts, 0.0)
            look: dict[str, Any] = {"color": COLOURS[SWITCHES.index(name)], "height": 0.7}
            axes.barh(range(len(mean)), width, left=start, label=name if sign > 0 else None, **look)
            ends[sign] = start + width
    axes.plot(100 * whole, range(len(mean)), "k.", markersize=5, label="together")
