"""Where each engine's compression comes from: netting, valuation, scaling and model, shared out on frozen books.

An engine's compression is 1 - capital(engine) / capital(isolated tiers) on a reference book (MAR-2): one of a single
product, and one of two coins whose holders hedge. It is the sum of four switches' Shapley values. Each turns one choice
of isolated tiers into the engine's own: how positions are netted, what collateral is worth, what wraps the requirement
and follows the market (scaling), and the requirement (model).
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
from experiments.figures.style import COLOURS, PAGE, save, style
from experiments.generated.reference_books import BOOKS, frozen
from experiments.results.markdown import header, row
from experiments.statistics import decompose
from sim.margin.base import RequirementComponent
from sim.margin.efficiency import TiedUp, tied_up
from sim.margin.engine import EngineConfig
from sim.metrics.cascades import Frames
from sim.reading.loading import load
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
NIL = 1e-9
TITLES = {"baseline": "one product", "hedged": "two coins, hedged"}
BY = ("book", "engine", "hours", "account")
BINS = (0.0, 3.0, 7.0, np.inf)
NAMES = ("0 to 3 times", "3 to 7 times", "above 7 times")
"""Accounts by gross notional over equity, as the press tells of open interest (targets of Hyperliquid's traders)."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """A row for each book, snapshot, type of account and coalition of switches; the run, one step, is not read."""
    return anatomy(config.venues[0].engine)


def anatomy(engine: EngineConfig) -> pd.DataFrame:
    """Compression under every coalition of an engine's switches, on every book."""
    return pd.DataFrame({"book": name} | row for name in BOOKS for row in _rows(engine, name))


def _rows(engine: EngineConfig, name: str) -> Iterator[dict[str, Any]]:
    books, unit = _books(name)
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
def _books(name: str) -> tuple[list[Exposure], int]:
    return frozen(name)


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
    """Findings and a table for each book: compression of each engine and its four parts, with their spread."""
    made = tables(runs)
    lines = ["## Findings", "", *(f"- {line}" for line in findings(made["shares"], made["compression"])), ""]
    lines += ["Tables: percentages of the capital of isolated tiers, all accounts, mean of snapshots; then the range"]
    lines += ["over snapshots, and over types of account. Nothing is drawn: no interval.", ""]
    for name, compression in made["compression"].groupby("book", sort=False):
        lines += [f"## Compression and its parts: {TITLES[str(name)]}", ""]
        lines += header(["engine", "compression", "over time", "by type", *SWITCHES])
        lines += [*_lines(made["shares"][made["shares"]["book"] == name], compression), ""]
    return "\n".join(lines)


def _lines(shares: pd.DataFrame, compression: pd.DataFrame) -> Iterator[str]:
    whole = compression[compression["account"] == ALL]
    parts = _parts(shares)
    for engine, group in sorted(whole.groupby("engine", sort=False), key=lambda each: -float(each[1]["saved"].mean())):
        typed = compression[(compression["engine"] == engine) & (compression["account"] != ALL)]
        across = typed.groupby("account")["saved"].mean()
        cells = [_percent(group["saved"].mean()), _range(group["saved"]), _range(across)]
        yield row([str(engine), *cells, *(_percent(parts[name][str(engine)]) for name in SWITCHES)])


def _parts(shares: pd.DataFrame) -> pd.DataFrame:
    """Switches' shares of all accounts, mean of snapshots: a row for each engine."""
    return shares[shares["account"] == ALL].groupby(["engine", "switch"])["value"].mean().unstack()


def findings(shares: pd.DataFrame, compression: pd.DataFrame) -> list[str]:
    """What compression is made of, book by book."""
    return [
        line
        for name, mine in shares.groupby("book", sort=False)
        for line in _findings(_parts(mine), compression[compression["book"] == name], TITLES[str(name)])
    ]


def _findings(parts: pd.DataFrame, compression: pd.DataFrame, title: str) -> Iterator[str]:
    whole = compression[compression["account"] == ALL].groupby("engine")["saved"].mean()
    cheap, dear = str(whole.idxmax()), str(whole.idxmin())
    yield (
        f"{title}: {cheap} asks least, {_percent(whole.max())}% less than isolated tiers; {dear} most, "
        f"{_percent(-whole.min())}% more."
    )
    idle = [name for name in SWITCHES if not parts[name].abs().gt(NIL).any()]
    if idle:
        yield f"{title}: {' and '.join(idle)} contribute{'' if len(idle) > 1 else 's'} nothing to any engine."
    for name in ("netting", "scaling"):
        if name not in idle:
            most = str(parts[name].abs().idxmax())
            yield f"{title}: {name} matters most to {most}, {_percent(parts[name][most])} points of its compression."


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".replace("-", "\N{MINUS SIGN}")


def _range(shares: "pd.Series[float]") -> str:
    low, high = _percent(float(shares.min())), _percent(float(shares.max()))
    return low if low == high else f"{low} to {high}"


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``anatomy``: each engine's compression split among the switches on every book, and by type of account."""
    made = tables(runs)
    shares, whole = made["shares"], made["compression"]
    order = _mean(whole, next(iter(BOOKS)), ALL).sort_values().index
    with style():
        figure = Figure(figsize=(PAGE, 0.9 + 0.19 * len(order)), layout="constrained")
        *split, by_type = figure.subplots(1, len(BOOKS) + 1, sharex=True, sharey=True)
        for axes, book in zip(split, BOOKS, strict=True):
            _bars(axes, _parts(shares[shares["book"] == book]).loc[order], _mean(whole, book, ALL)[order])
            _dressed(axes, TITLES[book])
        for number, account in enumerate(NAMES):
            typed = _mean(whole, book, account)
            at = [order.get_loc(name) for name in typed.index]
            by_type.plot(100 * typed, at, "osD"[number], color=COLOURS[number + 4], markersize=3.5, label=account)
        _dressed(by_type, f"{TITLES[book]}, by leverage")
        split[0].set_yticks(range(len(order)), list(order))
        look: dict[str, Any] = {"loc": "outside lower center", "frameon": False, "ncols": 8, "columnspacing": 1}
        told = [axes.get_legend_handles_labels() for axes in (split[-1], by_type)]
        handles, labels = (list(itertools.chain(*each)) for each in zip(*told, strict=True))
        figure.legend(handles, labels, handletextpad=0.4, **look)
        save(figure, folder / "anatomy", shares)


def _mean(compression: pd.DataFrame, book: str, account: str) -> "pd.Series[float]":
    """Compression of each engine on a book, mean of snapshots."""
    mine = compression[(compression["book"] == book) & (compression["account"] == account)]
    return mine.groupby("engine")["saved"].mean()


def _dressed(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_xlabel("Compression on isolated tiers (%)")
    axes.axvline(0, color="0.6", linewidth=0.7, zorder=0)
    axes.set_xscale("symlog", linthresh=50)
    axes.set_xticks([-500, -50, 0, 50], [f"{tick}".replace("-", "\N{MINUS SIGN}") for tick in (-500, -50, 0, 50)])
    axes.minorticks_off()
    seaborn.despine(ax=axes)


def _bars(axes: Axes, mean: pd.DataFrame, whole: "pd.Series[float]") -> None:
    """Parts stacked from nil outwards, those below nil to the left; a dot is the sum. Parts of nothing are not told."""
    shown = [name for name in SWITCHES if mean[name].abs().gt(NIL).any()]
    ends = {1: np.zeros(len(mean)), -1: np.zeros(len(mean))}
    for name in shown:
        parts = 100 * mean[name].to_numpy()
        for sign, start in ends.items():
            width = np.where(np.sign(parts) == sign, parts, 0.0)
            look: dict[str, Any] = {"color": COLOURS[SWITCHES.index(name)], "height": 0.7}
            axes.barh(range(len(mean)), width, left=start, label=name if sign > 0 else None, **look)
            ends[sign] = start + width
    axes.plot(100 * whole, range(len(mean)), "k.", markersize=5, label="together")
