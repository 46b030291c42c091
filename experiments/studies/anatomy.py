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
from experiments.figures.style import COLOURS, PAGE_WIDTH, save_figure, use_style
from experiments.generated.reference_books import BOOKS, load_reference_book
from experiments.results.markdown import format_header, format_row
from experiments.statistics import decompose_outcome
from sim.margin.base import RequirementComponent
from sim.margin.efficiency import AccountCapital, measure_account_capital
from sim.margin.engine import EngineConfig
from sim.metrics.cascades import Frames
from sim.reading.loading import load_config
from sim.types import F8, Exposure

SWITCHES = ("netting", "valuation", "scaling", "model")
SCALING_KINDS = frozenset(
    {
        *("scaled", "avsl_inspired", "liquidation_buffer", "clocked", "compressed"),
        *("floored", "stressed", "buffered"),
    }
)
"""Wrappers that follow the market or cut what is inside them; what else wraps a table belongs to the model."""

ALL_ACCOUNTS = "all"
NIL = 1e-9
PORTFOLIO_TITLES = {"baseline": "one product", "hedged": "two coins, hedged"}
SETTING_COLUMNS = ("book", "engine", "hours", "account")
LEVERAGE_BINS = (0.0, 3.0, 7.0, np.inf)
LEVERAGE_CLASSES = ("0 to 3 times", "3 to 7 times", "above 7 times")
"""Accounts by gross notional over equity, as the press tells of open interest (targets of Hyperliquid's traders)."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """A row for each book, snapshot, type of account and coalition of switches; the run, one step, is not read."""
    return measure_compression(config.venues[0].engine)


def measure_compression(engine: EngineConfig) -> pd.DataFrame:
    """Compression under every coalition of an engine's switches, on every book."""
    return pd.DataFrame(
        {"book": name} | row for name in BOOKS for row in _compression_rows(engine, name)
    )


def _compression_rows(engine: EngineConfig, name: str) -> Iterator[dict[str, Any]]:
    books, unit = _read_portfolio(name)
    types = [_leverage_class(book) for book in books]
    base = [
        _sum_capital(each, kinds)
        for each, kinds in zip(
            measure_account_capital(_isolated_engine(), books, unit), types, strict=True
        )
    ]
    for on in itertools.product((False, True), repeat=len(SWITCHES)):
        switches = dict(zip(SWITCHES, on, strict=True))
        found = measure_account_capital(apply_switches(engine, **switches), books, unit)
        for book, each, kinds, whole in zip(books, found, types, base, strict=True):
            for account, capital in _sum_capital(each, kinds).items():
                hours = round(float(book.market.seconds) / 3600, 6)
                yield {
                    "hours": hours,
                    "account": account,
                    **switches,
                    "saved": 1 - capital / whole[account],
                }


@cache
def _read_portfolio(name: str) -> tuple[list[Exposure], int]:
    return load_reference_book(name)


@cache
def _isolated_engine() -> EngineConfig:
    return load_config("engines/isolated", [], EngineConfig)


def apply_switches(
    engine: EngineConfig, *, netting: bool, valuation: bool, scaling: bool, model: bool
) -> EngineConfig:
    """Isolated tiers with some of their choices made as an engine makes them."""
    plain = _isolated_engine()
    wrappers, inner = _split_wrappers(engine.requirement)
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


def _split_wrappers(requirement: RequirementComponent) -> tuple[list[Any], Any]:
    """Scaling wrappers, outermost first, and what they wrap."""
    wrappers, inside = [], requirement
    while inside.kind in SCALING_KINDS:  # type: ignore[attr-defined]
        wrappers.append(inside)
        inside = inside.inner  # type: ignore[attr-defined]
    return wrappers, inside


def _leverage_class(book: Exposure) -> F8:
    """Which of ``BINS`` each account's leverage lies in (A,); accounts without equity are the most levered."""
    equity, gross = book.equity(), np.abs(book.position_value()).sum(axis=1)
    levered = np.divide(gross, equity, out=np.full(gross.size, np.inf), where=equity > 0)
    return np.asarray(np.digitize(levered, LEVERAGE_BINS[1:-1]), dtype=np.float64)


def _sum_capital(tied: AccountCapital, kinds: F8) -> dict[str, float]:
    """Capital of all accounts, and of each type that there is any of."""
    capital = tied.margin + tied.haircut
    parts = {
        name: float(capital[kinds == k].sum())
        for k, name in enumerate(LEVERAGE_CLASSES)
        if capital[kinds == k].any()
    }
    return {ALL_ACCOUNTS: float(capital.sum()), **parts}


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each switch's share of each engine's compression, at every snapshot and for every type of account."""
    whole = runs[runs[list(SWITCHES)].all(axis=1)]
    return {
        "shares": decompose_outcome(runs, SWITCHES, "saved", SETTING_COLUMNS),
        "compression": whole[[*SETTING_COLUMNS, "saved"]],
    }


def report(runs: pd.DataFrame) -> str:
    """Findings and a table for each book: compression of each engine and its four parts, with their spread."""
    made = tables(runs)
    lines = [
        "## Findings",
        "",
        *(f"- {line}" for line in write_findings(made["shares"], made["compression"])),
        "",
    ]
    lines += [
        "Tables: percentages of the capital of isolated tiers, all accounts, mean of snapshots; then the range"
    ]
    lines += ["over snapshots, and over types of account. Nothing is drawn: no interval.", ""]
    for name, compression in made["compression"].groupby("book", sort=False):
        lines += [f"## Compression and its parts: {PORTFOLIO_TITLES[str(name)]}", ""]
        lines += format_header(["engine", "compression", "over time", "by type", *SWITCHES])
        lines += [*_report_lines(made["shares"][made["shares"]["book"] == name], compression), ""]
    return "\n".join(lines)


def _report_lines(shares: pd.DataFrame, compression: pd.DataFrame) -> Iterator[str]:
    whole = compression[compression["account"] == ALL_ACCOUNTS]
    parts = _mean_shares(shares)
    for engine, group in sorted(
        whole.groupby("engine", sort=False), key=lambda each: -float(each[1]["saved"].mean())
    ):
        typed = compression[
            (compression["engine"] == engine) & (compression["account"] != ALL_ACCOUNTS)
        ]
        across = typed.groupby("account")["saved"].mean()
        cells = [
            _format_percent(group["saved"].mean()),
            _format_range(group["saved"]),
            _format_range(across),
        ]
        yield format_row(
            [str(engine), *cells, *(_format_percent(parts[name][str(engine)]) for name in SWITCHES)]
        )


def _mean_shares(shares: pd.DataFrame) -> pd.DataFrame:
    """Switches' shares of all accounts, mean of snapshots: a row for each engine."""
    return (
        shares[shares["account"] == ALL_ACCOUNTS]
        .groupby(["engine", "switch"])["value"]
        .mean()
        .unstack()
    )


def write_findings(shares: pd.DataFrame, compression: pd.DataFrame) -> list[str]:
    """What compression is made of, book by book."""
    return [
        line
        for name, mine in shares.groupby("book", sort=False)
        for line in _portfolio_findings(
            _mean_shares(mine),
            compression[compression["book"] == name],
            PORTFOLIO_TITLES[str(name)],
        )
    ]


def _portfolio_findings(
    parts: pd.DataFrame, compression: pd.DataFrame, title: str
) -> Iterator[str]:
    whole = compression[compression["account"] == ALL_ACCOUNTS].groupby("engine")["saved"].mean()
    cheap, dear = str(whole.idxmax()), str(whole.idxmin())
    yield (
        f"{title}: {cheap} asks least, {_format_percent(whole.max())}% less than isolated tiers; {dear} most, "
        f"{_format_percent(-whole.min())}% more."
    )
    idle = [name for name in SWITCHES if not parts[name].abs().gt(NIL).any()]
    if idle:
        yield f"{title}: {' and '.join(idle)} contribute{'' if len(idle) > 1 else 's'} nothing to any engine."
    for name in ("netting", "scaling"):
        if name not in idle:
            most = str(parts[name].abs().idxmax())
            yield f"{title}: {name} matters most to {most}, {_format_percent(parts[name][most])} points of its compression."


def _format_percent(share: float) -> str:
    return f"{100 * share:.1f}".replace("-", "\N{MINUS SIGN}")


def _format_range(shares: "pd.Series[float]") -> str:
    low, high = _format_percent(float(shares.min())), _format_percent(float(shares.max()))
    return low if low == high else f"{low} to {high}"


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``anatomy``: each engine's compression split among the switches on every book, and by type of account."""
    made = tables(runs)
    shares, whole = made["shares"], made["compression"]
    order = _mean_compression(whole, next(iter(BOOKS)), ALL_ACCOUNTS).sort_values().index
    with use_style():
        figure = Figure(figsize=(PAGE_WIDTH, 0.9 + 0.19 * len(order)), layout="constrained")
        *split, by_type = figure.subplots(1, len(BOOKS) + 1, sharex=True, sharey=True)
        for axes, book in zip(split, BOOKS, strict=True):
            _draw_bars(
                axes,
                _mean_shares(shares[shares["book"] == book]).loc[order],
                _mean_compression(whole, book, ALL_ACCOUNTS)[order],
            )
            _label_axes(axes, PORTFOLIO_TITLES[book])
        for number, account in enumerate(LEVERAGE_CLASSES):
            typed = _mean_compression(whole, book, account)
            at = [order.get_loc(name) for name in typed.index]
            by_type.plot(
                100 * typed,
                at,
                "osD"[number],
                color=COLOURS[number + 4],
                markersize=3.5,
                label=account,
            )
        _label_axes(by_type, f"{PORTFOLIO_TITLES[book]}, by leverage")
        split[0].set_yticks(range(len(order)), list(order))
        look: dict[str, Any] = {
            "loc": "outside lower center",
            "frameon": False,
            "ncols": 8,
            "columnspacing": 1,
        }
        told = [axes.get_legend_handles_labels() for axes in (split[-1], by_type)]
        handles, labels = (list(itertools.chain(*each)) for each in zip(*told, strict=True))
        figure.legend(handles, labels, handletextpad=0.4, **look)
        save_figure(figure, folder / "anatomy", shares)


def _mean_compression(compression: pd.DataFrame, book: str, account: str) -> "pd.Series[float]":
    """Compression of each engine on a book, mean of snapshots."""
    mine = compression[(compression["book"] == book) & (compression["account"] == account)]
    return mine.groupby("engine")["saved"].mean()


def _label_axes(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_xlabel("Compression on isolated tiers (%)")
    axes.axvline(0, color="0.6", linewidth=0.7, zorder=0)
    axes.set_xscale("symlog", linthresh=50)
    axes.set_xticks(
        [-500, -50, 0, 50],
        [f"{tick}".replace("-", "\N{MINUS SIGN}") for tick in (-500, -50, 0, 50)],
    )
    axes.minorticks_off()
    seaborn.despine(ax=axes)


def _draw_bars(axes: Axes, mean: pd.DataFrame, whole: "pd.Series[float]") -> None:
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
