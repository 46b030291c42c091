"""Summary of a run as an aligned text table: the figures that matter most to a risk manager."""

import math
from typing import NamedTuple

from experiments.figures.style import LAYER_NAMES, Frame
from sim.metrics import overview
from sim.metrics.accounts.holdings import tabulate_holdings
from sim.metrics.contagion import build_contagion
from sim.metrics.links.origins import build_origins, sum_foreign_notional
from sim.metrics.overview import OWN_MARGIN, ExtremeValue

SummaryLine = tuple[str, str]


class MoneyFormat(NamedTuple):
    """Format of amounts of money."""

    unit: int  # minor units in one unit of the numeraire
    currency: str

    def format_amount(self, amount: float) -> str:
        """Return an amount in whole units, with separators of thousands."""
        return f"{amount / self.unit:,.0f} {self.currency}"


def format_summary_table(
    frames: dict[str, Frame], *, unit: int, currency: str, seconds: float
) -> str:
    """Return the table of prices, close-outs, losses, wealth, fund, margin calls and order books.

    Args:
        frames: frames of one run with at least one step.
        unit: minor units in one unit of the numeraire.
        currency: name of the numeraire.
        seconds: elapsed time of the run.
    """
    steps = frames["steps"]["step"].nunique()
    lines = list_summary_lines(frames, unit=unit, currency=currency)
    lines.append(("Time", f"{seconds:.1f} s, {steps / max(seconds, 1e-9):,.0f} steps/s"))
    width = max(len(name) for name, _ in lines) + 2
    return "\n".join(f"{name:<{width}}{text}" for name, text in lines)


def list_summary_lines(frames: dict[str, Frame], *, unit: int, currency: str) -> list[SummaryLine]:
    """Return the name and the text of each line; arguments as in ``format_summary_table``."""
    money = MoneyFormat(unit, currency)
    return [
        *_list_price_lines(frames),
        *_list_liquidity_lines(frames),
        *_list_closeout_lines(frames, money),
        *_list_payer_lines(frames, money),
        *_list_wealth_lines(frames, money),
        *_list_holding_lines(frames),
        *_list_venue_lines(frames, money),
    ]


def _list_price_lines(frames: dict[str, Frame]) -> list[SummaryLine]:
    """Return lines on the worst prices and on the largest feedback of liquidations."""
    falls = [
        (f"{word} fall, worst", overview.find_deepest_fall(frames, word.lower()))
        for word in ("Index", "Mark")
    ]
    falls.append(("Basis, largest", overview.find_largest_basis(frames)))
    lines = [
        (word, _format_when(frames, found, f"{100 * found.value:+.2f}%") if found else "none")
        for word, found in falls
    ]
    found = overview.find_largest_feedback(frames)
    return [
        *lines,
        (
            "R(1%), largest",
            _format_when(frames, found, f"{found.value:.2f}") if found else "not recorded",
        ),
    ]


def _format_when(frames: dict[str, Frame], found: ExtremeValue, text: str) -> str:
    """Return a text with instrument and step, and with the time of a replayed day."""
    steps = frames["steps"]
    stamp = steps.loc[steps["step"] == found.step, "stamp"].iloc[0] if "stamp" in steps else None
    when = (
        f"step {found.step:,}" if stamp is None else f"{stamp:%Y-%m-%d %H:%M} (step {found.step:,})"
    )
    return ", ".join(filter(None, (text, found.instrument, when)))


def _list_liquidity_lines(frames: dict[str, Frame]) -> list[SummaryLine]:
    """Return lines on mean quoted depth of a side and on turnover, for each perpetual."""
    lines = []
    for name, found in overview.measure_liquidity(frames).items():
        held = found.open_interest
        shares = f" ({found.near / held:.1%}, {found.wide / held:.1%})" if held > 0 else ""
        depth = f"{found.near:,.0f} and {found.wide:,.0f} lots of a side{shares}"
        lines.append(("Depth 0.1%, 1%", f"{depth}, mean, {name}"))
        if held > 0:
            lines.append(("Turnover", f"{found.turnover:,.1f} times open interest a day, {name}"))
    return lines


def _list_closeout_lines(frames: dict[str, Frame], money: MoneyFormat) -> list[SummaryLine]:
    closed, peak = overview.sum_close_outs(frames), overview.find_peak_open_interest(frames)
    lines = [
        ("Open interest, peak", money.format_amount(peak)),
        ("Close-outs", "none"),
        ("ADL", "none"),
    ]
    if closed["count"]:
        notional = closed["notional"]
        text = f"{money.format_amount(notional)}{_format_share(notional, peak)}"
        lines[1] = ("Close-outs", f"{text}, {closed['count']:,} at {closed['owners']:,} owners")
    if cut := overview.sum_adl_notional(frames):
        lines[2] = ("ADL", f"{money.format_amount(cut)}{_format_share(cut, peak)}")
    if worst := overview.find_worst_step(frames):
        lines.insert(
            2, ("  worst step", _format_when(frames, worst, money.format_amount(worst.value)))
        )
    if closed["count"] and "causes" in frames:
        lines[2:2] = _list_instrument_lines(frames, money)
    return lines


def _list_instrument_lines(frames: dict[str, Frame], money: MoneyFormat) -> list[SummaryLine]:
    """Return a line for each instrument closed out, where losses arose in several (LIQ-10)."""
    origins = build_origins(frames, build_contagion(frames))
    if len(origins.instruments) < 2:
        return []
    found = sum_foreign_notional(origins).items()
    return [
        (
            f"  {name}",
            f"{money.format_amount(closed)}, {100 * foreign / closed:.1f}% from losses in others",
        )
        for name, (closed, foreign) in found
    ]


def _format_share(amount: int, peak: int) -> str:
    return f", {100 * amount / peak:.1f}% of peak open interest" if peak else ""


def _list_payer_lines(frames: dict[str, Frame], money: MoneyFormat) -> list[SummaryLine]:
    """Return a line for each layer that paid, and one for bad debt in any case."""
    paid = overview.sum_losses_by_payer(frames)
    if not len(frames["losses"]):
        return [("Bankruptcies", "none")]
    owners = frames["losses"]["owner"].nunique()
    words = {OWN_MARGIN: "own margin", **LAYER_NAMES}
    lines = [
        (f"  {words.get(name, name)}", money.format_amount(amount)) for name, amount in paid.items()
    ]
    if "bad_debt" not in paid:
        lines.append((f"  {LAYER_NAMES['bad_debt']}", money.format_amount(0)))
    return [("Bankruptcies", f"{owners:,} owners, whose losses were borne by"), *lines]


def _list_wealth_lines(frames: dict[str, Frame], money: MoneyFormat) -> list[SummaryLine]:
    """Return the change in equity of each population from start to end, largest loss first."""
    found = sorted(
        overview.compare_wealth(frames).items(), key=lambda item: item[1][1] - item[1][0]
    )
    lines = []
    for name, (start, end) in found:
        change, share = end - start, 100 * (end / start - 1) if start else 0.0
        text = f"{'+' * (change > 0)}{money.format_amount(change)}, {share:+.1f}%"
        earned = overview.measure_margin_return(frames, [name])
        if earned.margin > 0:
            text = f"{text}, {earned.share:+.0%} on {money.format_amount(earned.margin)} of margin"
        lines.append((f"  {name}", text))
    return [("Equity, change", "by population, capital that came or left included"), *lines]


def _list_holding_lines(frames: dict[str, Frame]) -> list[SummaryLine]:
    """Return the portfolios of each population with a position, none if no one holds two.

    Results of earlier versions do not have the columns.
    """
    accounts = frames["accounts"]
    if not len(accounts) or "alone" not in accounts:
        return []
    table = tabulate_holdings(frames)
    held = table[table["holders"] > 0]
    if not (held["several"] > 0).any():
        return []
    lines = [
        (
            f"  {name}",
            f"{_round_percent(row['several'])}% of {row['holders']:,.0f} holders, "
            f"{_round_percent(row['offset'])}% offset, "
            f"{_round_percent(row['saved'])}% of margin saved",
        )
        for name, row in held.iterrows()
    ]
    return [("Portfolios, at the end", "holders of two instruments or more, by population"), *lines]


def _round_percent(share: float) -> str:
    """Return a share in whole percent, without a sign of zero."""
    return f"{round(100 * share)}" if math.isfinite(share) else "-"


def _list_venue_lines(frames: dict[str, Frame], money: MoneyFormat) -> list[SummaryLine]:
    (before, after), calls = overview.compare_funds(frames), overview.count_margin_calls(frames)
    one_sided, steps = overview.count_one_sided(frames)
    counts = "none"
    if any(calls.values()):
        counts = ", ".join(f"{count:,} {name}" for name, count in calls.items())
    return [
        (
            "Insurance fund",
            f"{money.format_amount(before)} before, {money.format_amount(after)} after"
            if before or after
            else "none",
        ),
        ("Margin calls", counts),
        ("Book without a side", f"{one_sided:,} of {steps:,} steps"),
    ]
