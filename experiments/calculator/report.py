"""Report of the margin calculator, as aligned text or JSON."""

import json
from collections.abc import Sequence
from typing import Any

from experiments.calculator.calculator import (
    MarginedPortfolio,
    classify_portfolio,
    find_index_moves,
    find_worst_scenario,
    list_positions,
)
from experiments.calculator.kinks import MOVE_RANGE
from experiments.calculator.portfolio import PortfolioConfig
from experiments.calculator.stress import Shock, stress_portfolio

Report = dict[str, Any]

MIN_SHOWN_MOVE = 5e-5
"""Smallest move visible with two decimals of a per cent (share)."""


def build_report(
    portfolio: PortfolioConfig, judged: Sequence[MarginedPortfolio], shocks: Sequence[Shock]
) -> Report:
    """Return all results as plain data, amounts in units of the numeraire."""
    unit = 10 ** portfolio.assets[0].decimals
    return {
        "description": portfolio.description,
        "currency": portfolio.assets[0].name,
        "engines": {account.name: _report_engine(account, shocks, unit) for account in judged},
    }


def _report_engine(account: MarginedPortfolio, shocks: Sequence[Shock], unit: int) -> Report:
    equity, initial, maintenance = (amount / unit for amount in account.total_risk())
    shocked, (liquidatable, bankrupt) = find_worst_scenario(account), find_index_moves(account)
    return {
        "equity": equity,
        "initial": initial,
        "maintenance": maintenance,
        "ratio": maintenance / equity if equity > 0 else None,
        "status": classify_portfolio(account),
        "past_lacking": account.look_back,
        "entries": {reading.instrument: reading.how for reading in account.readings},
        "breakdown": {
            name: {"initial": opened / unit, "maintenance": kept / unit}
            for name, (opened, kept) in account.margin_breakdown().items()
        },
        "positions": [row._asdict() for row in list_positions(account)],
        "worst": None if shocked is None else {**shocked._asdict(), "gain": shocked.gain / unit},
        "index_move": {"liquidatable": liquidatable._asdict(), "bankrupt": bankrupt._asdict()},
        "stress": {
            shock.name: {
                "equity": found.equity / unit,
                "maintenance": found.maintenance / unit,
                "status": found.status,
            }
            for shock, found in zip(
                shocks, stress_portfolio(account, shocks) if shocks else (), strict=True
            )
        },
    }


def format_json(found: Report) -> str:
    """Return a report as JSON."""
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)


def format_text(found: Report) -> str:
    """Return a report as aligned text."""
    engines, currency = found["engines"], found["currency"]
    blocks = [[found["description"]]] if found["description"] else []
    blocks.append(
        [
            *_format_comparison(engines, currency),
            *_format_lacking_past(engines),
            *_format_entries(engines),
        ]
    )
    blocks.append(_format_index_moves(engines))
    for name, each in engines.items():
        blocks.append(
            [f"{name}: prices at which the account is liquidated, and each leg's bankruptcy price"]
        )
        blocks[-1] += _format_positions(each["positions"])
        if each["worst"]:
            worst = each["worst"]
            gain = f"{worst['gain']:,.2f} {currency}"
            blocks[-1].append(f"worst shock: {worst['label']}, {gain}{_format_age(worst['stale'])}")
        blocks.append(
            [f"{name}: components of the margins", *_format_breakdown(each["breakdown"], currency)]
        )
    if next(iter(engines.values()))["stress"]:
        blocks.append(_format_stress(engines, currency))
    return "\n\n".join("\n".join(block) for block in blocks)


def _format_age(stale: float) -> str:
    return f", risk arrays {stale:g} s old" if stale else ""


def _format_lacking_past(engines: dict[str, Report]) -> list[str]:
    """Return a line on engines that learn from past returns, which a portfolio lacks."""
    names = [name for name, each in engines.items() if each["past_lacking"]]
    text = (
        "margin by past returns, and a portfolio has none: "
        "shown is the margin before enough returns are known"
    )
    return [f"{', '.join(names)}: {text}"] if names else []


READING_TEXTS = {
    "hedge": "long and short are two positions (hedge mode; mode: one_way takes them as fills)",
    "one_way": (
        "entries are fills in the order of the file: "
        "a reduction keeps the entry price, a flip restarts it"
    ),
    "averaged": "entries of one side are averaged",
}
"""Texts on the treatment of several entries of one instrument."""


def _format_entries(engines: dict[str, Report]) -> list[str]:
    """Return lines on the treatment of several entries of one instrument, with the engines."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, each in engines.items():
        for instrument, how in each["entries"].items():
            found.setdefault((instrument, how), []).append(name)
    return [
        f"{instrument} under {', '.join(names)}: {READING_TEXTS[how]}"
        for (instrument, how), names in found.items()
    ]


def _format_comparison(engines: dict[str, Report], currency: str) -> list[str]:
    first = next(iter(engines.values()))["initial"]
    lines = [
        [currency, "equity", "initial", "of it haircuts", "maintenance", "ratio", "saves", "status"]
    ]
    for name, each in engines.items():
        ratio = "-" if each["ratio"] is None else f"{each['ratio']:.1%}"
        saves = f"{1 - each['initial'] / first:.1%}" if first else "-"
        cut = each["breakdown"].get("haircuts", {"initial": 0.0})["initial"]
        amounts = [
            f"{each['equity']:,.2f}",
            f"{each['initial']:,.2f}",
            f"{cut:,.2f}",
            f"{each['maintenance']:,.2f}",
        ]
        lines.append([name, *amounts, ratio, saves, each["status"]])
    return align_columns(lines)


def _format_index_moves(engines: dict[str, Report]) -> list[str]:
    lines = [["smallest move of all", "liquidatable", "", "bankrupt", ""]]
    for name, each in engines.items():
        pairs = [
            _format_sides(each["index_move"][what]["windows"])
            for what in ("liquidatable", "bankrupt")
        ]
        lines.append([name, *(side for pair in pairs for side in pair)])
    return align_columns(lines)


def _format_sides(found: Sequence[tuple[float, float]]) -> tuple[str, str]:
    """Return texts on windows of moves, nearest first: below the current price and above it."""
    down = [(high, low) for low, high in reversed(found) if low <= 0]
    up = [(low, high) for low, high in found if high >= 0]
    return _format_side(down, MOVE_RANGE[0]), _format_side(up, MOVE_RANGE[1])


def _format_side(found: Sequence[tuple[float, float]], end: float) -> str:
    """Return a text on the windows of one side.

    It has the start of each window, and the end unless it is the end of the examined range.
    """
    words = []
    for near, far in found:
        begins = (
            f"{near:+.2%}" if abs(near) >= MIN_SHOWN_MOVE else "any rise" if end > 0 else "any fall"
        )
        begins = "already" if near * end <= 0 else begins
        words.append(begins if abs(far - end) < MIN_SHOWN_MOVE else f"{begins} to {far:+.2%}")
    return ", ".join(words) or "none"


def _format_positions(positions: list[Report]) -> list[str]:
    if not positions:
        return ["no position is left"]
    lines = [["", "quantity", "mark", "below", "above", "bankruptcy"]]
    for each in positions:
        prices = [
            "none" if each[n] is None else f"{each[n]:,.6g}"
            for n in ("below", "above", "bankruptcy")
        ]
        lines.append(
            [each["instrument"], f"{each['quantity']:+g}", f"{each['mark']:,.6g}", *prices]
        )
    return [*align_columns(lines), *_format_reasons(positions)]


def _format_reasons(positions: list[Report]) -> list[str]:
    """Return one line for each reason why positions have no liquidation price where they lose."""
    found: dict[str, list[str]] = {}
    for each in positions:
        if each["reason"]:
            found.setdefault(each["reason"], []).append(each["instrument"])
    return [f"none of {', '.join(names)}: {reason}" for reason, names in found.items()]


def _format_breakdown(parts: Report, currency: str) -> list[str]:
    lines = [[currency, "initial", "maintenance"]]
    lines += [
        [name, f"{each['initial']:,.2f}", f"{each['maintenance']:,.2f}"]
        for name, each in parts.items()
    ]
    return align_columns(lines)


def _format_stress(engines: dict[str, Report], currency: str) -> list[str]:
    lines = [["shock", f"equity, {currency}", *engines]]
    for shock, found in next(iter(engines.values()))["stress"].items():
        lines.append(
            [
                shock,
                f"{found['equity']:,.2f}",
                *(each["stress"][shock]["status"] for each in engines.values()),
            ]
        )
    return align_columns(lines)


def align_columns(lines: list[list[str]]) -> list[str]:
    """Return lines with aligned columns, the first to the left."""
    first, *widths = (max(len(line[i]) for line in lines) for i in range(len(lines[0])))
    cells = [
        [line[0].ljust(first), *(cell.rjust(w) for cell, w in zip(line[1:], widths, strict=True))]
        for line in lines
    ]
    return ["  ".join(line).rstrip() for line in cells]
