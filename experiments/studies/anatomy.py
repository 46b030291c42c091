"""Parts of each engine's compression: netting, valuation, scaling and model, on frozen books.

An engine's compression is 1 - capital(engine) / capital(isolated tiers) on a reference book
(MAR-2). One book holds a single product, the other two coins whose holders hedge. Compression is
the sum of the Shapley values of four switches. Each switch replaces one choice of isolated tiers
by the engine's own:

- netting: how positions are netted,
- valuation: how collateral is valued,
- scaling: which wrappers follow the market,
- model: the requirement.
"""

import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.config import RunConfig
from experiments.figures.style import (
    COLOURS,
    PAGE_WIDTH,
    add_legend_entry,
    create_figure,
    save_figure,
    use_style,
)
from experiments.generated.reference_books import load_reference_book
from experiments.results.markdown import format_header, format_row
from experiments.statistics import decompose_outcome
from sim.margin.base import RequirementComponent
from sim.margin.efficiency import AccountCapital, measure_account_capital
from sim.margin.engine import EngineConfig
from sim.metrics.cascades import Frames
from sim.reading.loading import load_config
from sim.types import F8, Exposure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWITCHES = ("netting", "valuation", "scaling", "model")
SCALING_KINDS = frozenset(
    {
        *("scaled", "avsl_inspired", "liquidation_buffer", "clocked", "compressed"),
        *("floored", "stressed", "buffered"),
    }
)
"""Wrappers that follow the market or cut the requirement inside; other wrappers are the model's."""

ALL_ACCOUNTS = "all"
NEGLIGIBLE_SHARE = 1e-9
PORTFOLIO_TITLES = {"baseline": "one product", "hedged": "two coins, hedged"}
SETTING_COLUMNS = ("book", "engine", "hours", "account")
LEVERAGE_BINS = (0.0, 3.0, 7.0, np.inf)
LEVERAGE_CLASSES = ("0 to 3 times", "3 to 7 times", "above 7 times")
"""Classes of gross notional over equity, as press reports on Hyperliquid's traders use them."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return a row for each book, snapshot, type of account and coalition of switches.

    The run itself, of one step, is not read.
    """
    return measure_compression(config.venues[0].engine)


def measure_compression(engine: EngineConfig) -> pd.DataFrame:
    """Return the compression under every coalition of an engine's switches, on every book."""
    return pd.DataFrame(
        {"book": name} | row for name in PORTFOLIO_TITLES for row in _compression_rows(engine, name)
    )


def _compression_rows(engine: EngineConfig, name: str) -> Iterator[dict[str, Any]]:
    books, unit = _read_portfolio(name)
    types = [_leverage_class(book) for book in books]
    isolated = measure_account_capital(_isolated_engine(), books, unit)
    base = [_sum_capital(tied, kinds) for tied, kinds in zip(isolated, types, strict=True)]
    for on in itertools.product((False, True), repeat=len(SWITCHES)):
        switches = dict(zip(SWITCHES, on, strict=True))
        switched = measure_account_capital(apply_switches(engine, **switches), books, unit)
        for book, tied, kinds, whole in zip(books, switched, types, base, strict=True):
            hours = round(float(book.market.seconds) / 3600, 6)
            for account, capital in _sum_capital(tied, kinds).items():
                row = {"hours": hours, "account": account, **switches}
                yield {**row, "saved": 1 - capital / whole[account]}


@cache
def _read_portfolio(name: str) -> tuple[list[Exposure], int]:
    return load_reference_book(name)


@cache
def _isolated_engine() -> EngineConfig:
    return load_config("engines/isolated", [], EngineConfig)


def apply_switches(
    engine: EngineConfig, *, netting: bool, valuation: bool, scaling: bool, model: bool
) -> EngineConfig:
    """Return isolated tiers with some of their choices replaced by an engine's."""
    plain = _isolated_engine()
    wrappers, inner = _split_wrappers(engine.requirement)
    requirement = inner if model else plain.requirement
    for wrapper in reversed(wrappers if scaling else []):
        requirement = wrapper.model_copy(update={"inner": requirement})
    return EngineConfig(
        netting=engine.netting if netting else plain.netting,
        valuation=engine.valuation if valuation else plain.valuation,
        requirement=requirement,
        margin_multiplier=engine.margin_multiplier if scaling else 1.0,
        compression=engine.compression if scaling else 0.0,
    )


def _split_wrappers(requirement: RequirementComponent) -> tuple[list[Any], Any]:
    """Return the scaling wrappers, outermost first, and the requirement inside them."""
    wrappers, inside = [], requirement
    while inside.kind in SCALING_KINDS:  # type: ignore[attr-defined]
        wrappers.append(inside)
        inside = inside.inner  # type: ignore[attr-defined]
    return wrappers, inside


def _leverage_class(book: Exposure) -> F8:
    """Return the class of each account's leverage (A,), as an index of ``LEVERAGE_CLASSES``.

    Accounts without equity belong to the highest class.
    """
    equity, gross = book.equity(), np.abs(book.position_value()).sum(axis=1)
    levered = np.divide(gross, equity, out=np.full(gross.size, np.inf), where=equity > 0)
    return np.asarray(np.digitize(levered, LEVERAGE_BINS[1:-1]), dtype=np.float64)


def _sum_capital(tied: AccountCapital, kinds: F8) -> dict[str, float]:
    """Return the capital of all accounts, and of each non-empty class."""
    capital = tied.margin + tied.haircut
    parts = {
        name: float(capital[kinds == k].sum())
        for k, name in enumerate(LEVERAGE_CLASSES)
        if capital[kinds == k].any()
    }
    return {ALL_ACCOUNTS: float(capital.sum()), **parts}


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return each switch's share of each engine's compression, by snapshot and type of account."""
    whole = runs[runs[list(SWITCHES)].all(axis=1)]
    return {
        "shares": decompose_outcome(runs, SWITCHES, "saved", SETTING_COLUMNS),
        "compression": whole[[*SETTING_COLUMNS, "saved"]],
    }


def report(runs: pd.DataFrame) -> str:
    """Return findings, and a table for each book: compression, its range and its four parts."""
    made = tables(runs)
    lines = [
        "## Findings",
        "",
        *(f"- {line}" for line in write_findings(made["shares"], made["compression"])),
        "",
    ]
    lines += [
        "The tables give percentages of the capital of isolated tiers: all accounts, mean of",
        "snapshots, then the range over snapshots and over types of account. The books are fixed,",
        "so there are no intervals.",
        "",
    ]
    for name, compression in made["compression"].groupby("book", sort=False):
        lines += [f"## Compression and its parts: {PORTFOLIO_TITLES[str(name)]}", ""]
        lines += format_header(["engine", "compression", "over time", "by type", *SWITCHES])
        lines += [*_report_lines(made["shares"][made["shares"]["book"] == name], compression), ""]
    return "\n".join(lines)


def _report_lines(shares: pd.DataFrame, compression: pd.DataFrame) -> Iterator[str]:
    whole = compression[compression["account"] == ALL_ACCOUNTS]
    parts = _mean_shares(shares)
    engines = sorted(
        whole.groupby("engine", sort=False), key=lambda item: -float(item[1]["saved"].mean())
    )
    for engine, group in engines:
        is_typed = (compression["engine"] == engine) & (compression["account"] != ALL_ACCOUNTS)
        by_type = compression[is_typed].groupby("account")["saved"].mean()
        saved = group["saved"]
        cells = [_format_percent(saved.mean()), _format_range(saved), _format_range(by_type)]
        shares_of_engine = [_format_percent(parts[name][str(engine)]) for name in SWITCHES]
        yield format_row([str(engine), *cells, *shares_of_engine])


def _mean_shares(shares: pd.DataFrame) -> pd.DataFrame:
    """Return the switches' shares for all accounts, mean of snapshots, with a row for each
    engine.
    """
    return (
        shares[shares["account"] == ALL_ACCOUNTS]
        .groupby(["engine", "switch"])["value"]
        .mean()
        .unstack()
    )


def write_findings(shares: pd.DataFrame, compression: pd.DataFrame) -> list[str]:
    """Return sentences about the parts of compression, book by book."""
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
    lowest, highest = str(whole.idxmax()), str(whole.idxmin())
    less, more = _format_percent(whole.max()), _format_percent(-whole.min())
    yield (
        f"{title}: {lowest} requires the least margin, {less}% less than isolated tiers; "
        f"{highest} requires the most, {more}% more."
    )
    idle = [name for name in SWITCHES if not parts[name].abs().gt(NEGLIGIBLE_SHARE).any()]
    if idle:
        verb = "contribute" if len(idle) > 1 else "contributes"
        yield f"{title}: {' and '.join(idle)} {verb} nothing to any engine."
    for name in ("netting", "scaling"):
        if name not in idle:
            most = str(parts[name].abs().idxmax())
            points = _format_percent(parts[name][most])
            yield f"{title}: {name} matters most to {most}, {points} points of its compression."


def _format_percent(share: float) -> str:
    return f"{100 * share:.1f}".replace("-", "\N{MINUS SIGN}")


def _format_range(shares: "pd.Series[float]") -> str:
    low, high = _format_percent(float(shares.min())), _format_percent(float(shares.max()))
    return low if low == high else f"{low} to {high}"


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``anatomy``: each engine's compression by switch on every book, and by leverage."""
    made = tables(runs)
    shares, whole = made["shares"], made["compression"]
    order = _mean_compression(whole, next(iter(PORTFOLIO_TITLES)), ALL_ACCOUNTS).sort_values().index
    with use_style():
        figure = create_figure(PAGE_WIDTH, 0.9 + 0.19 * len(order))
        *split, by_type = figure.subplots(1, len(PORTFOLIO_TITLES) + 1, sharex=True, sharey=True)
        for axes, book in zip(split, PORTFOLIO_TITLES, strict=True):
            means = _mean_shares(shares[shares["book"] == book]).loc[order]
            _draw_bars(axes, means, _mean_compression(whole, book, ALL_ACCOUNTS)[order])
            _label_axes(axes, PORTFOLIO_TITLES[book])
        _draw_types(by_type, whole, book, order)
        split[0].set_yticks(range(len(order)), list(order))
        for axes in (*split, by_type):
            axes.label_outer()
        figure.supxlabel("Compression against isolated tiers (%)", fontsize="medium")
        _draw_legend(figure, (split[-1], by_type))
        save_figure(figure, folder / "anatomy", shares)


def _draw_types(axes: "Axes", compression: pd.DataFrame, book: str, order: "pd.Index[Any]") -> None:
    """Draw the compression on one book by type of account, a point for each."""
    import seaborn

    for number, account in enumerate(LEVERAGE_CLASSES):
        typed = _mean_compression(compression, book, account)
        rows = order.get_indexer(typed.index)
        look: dict[str, Any] = {"color": COLOURS[(0, 1, 7)[number]], "marker": "osD"[number]}
        look |= {"s": 14, "linewidth": 0, "zorder": 3}
        seaborn.scatterplot(
            x=100 * typed.to_numpy(), y=rows, label=account, legend=False, ax=axes, **look
        )
    _label_axes(axes, f"{PORTFOLIO_TITLES[book]}, by leverage")


def _draw_legend(figure: "Figure", panels: "tuple[Axes, ...]") -> None:
    """Draw one legend of several panels above them."""
    handles: list[Any] = []
    labels: list[str] = []
    for axes in panels:
        more_handles, more_labels = axes.get_legend_handles_labels()
        handles += more_handles
        labels += more_labels
    look: dict[str, Any] = {"loc": "outside upper center", "frameon": False, "ncols": 8}
    figure.legend(handles, labels, handletextpad=0.4, columnspacing=1, **look)


def _mean_compression(compression: pd.DataFrame, book: str, account: str) -> "pd.Series[float]":
    """Return the compression of each engine on a book, mean of snapshots."""
    mine = compression[(compression["book"] == book) & (compression["account"] == account)]
    return mine.groupby("engine")["saved"].mean()


def _label_axes(axes: "Axes", title: str) -> None:
    import seaborn

    axes.set_title(title, fontsize="medium")
    axes.set(xlabel="", ylabel="")
    axes.axvline(0, color="0.6", linewidth=0.7, zorder=0)
    axes.set_xscale("symlog", linthresh=50)
    axes.set_xticks(
        [-500, -50, 0, 50],
        [f"{tick}".replace("-", "\N{MINUS SIGN}") for tick in (-500, -50, 0, 50)],
    )
    axes.minorticks_off()
    seaborn.despine(ax=axes)


def _draw_bars(axes: "Axes", mean: pd.DataFrame, whole: "pd.Series[float]") -> None:
    """Draw the parts stacked from zero, negative ones to the left, and their sum as a dot."""
    from matplotlib.colors import to_hex
    from seaborn import objects

    shown = [name for name in SWITCHES if mean[name].abs().gt(NEGLIGIBLE_SHARE).any()]
    rows = mean.reset_index(drop=True).rename_axis("row")[shown]
    long = (100 * rows).melt(ignore_index=False, var_name="switch", value_name="part").reset_index()
    colours = {name: to_hex(COLOURS[SWITCHES.index(name)]) for name in shown}
    plot = objects.Plot(long, x="part", y="row", color="switch")
    plot = plot.scale(color=objects.Nominal(colours, order=shown))
    bars = objects.Bar(alpha=1, edgewidth=0, width=0.7)
    for is_side in (long["part"] > 0, long["part"] < 0):
        if is_side.any():
            side = long[is_side]
            plot = plot.add(bars, objects.Stack(), data=side, orient="y", legend=False)
    plot.on(axes).plot()
    _draw_totals(axes, whole)
    for name, colour in colours.items():
        add_legend_entry(axes, name, color=colour, linewidth=6, solid_capstyle="butt")


def _draw_totals(axes: "Axes", whole: "pd.Series[float]") -> None:
    import seaborn

    dots = pd.DataFrame({"total": 100 * whole.to_numpy(), "row": range(len(whole))})
    look: dict[str, Any] = {"color": "black", "s": 12, "linewidth": 0, "zorder": 4}
    seaborn.scatterplot(dots, x="total", y="row", label="total", legend=False, ax=axes, **look)
