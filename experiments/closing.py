"""The closing table of a run: what a risk manager would want to know first, as plain aligned text."""

from typing import NamedTuple

from experiments.figures_style import LAYERS, Frame
from sim.metrics import overview
from sim.metrics.overview import OWN_MARGIN, Extreme

Line = tuple[str, str]


class Money(NamedTuple):
    """How amounts are written."""

    unit: int  # minor units in one unit of the numeraire
    currency: str

    def of(self, amount: float) -> str:
        """Whole units, thousands apart."""
        return f"{amount / self.unit:,.0f} {self.currency}"


def table(frames: dict[str, Frame], *, unit: int, currency: str, seconds: float) -> str:
    """Prices, close-outs, who paid, the fund, calls, books; a line each.

    Args:
        frames: of one run with at least one step.
        unit: minor units in one unit of the numeraire.
        currency: name of the numeraire.
        seconds: how long the run took.
    """
    money, steps = Money(unit, currency), frames["steps"]["step"].nunique()
    lines = [*_prices(frames), *_close_outs(frames, money), *_payers(frames, money), *_venue(frames, money)]
    lines.append(("Time", f"{seconds:.1f} s, {steps / max(seconds, 1e-9):,.0f} steps/s"))
    width = max(len(name) for name, _ in lines) + 2
    return "\n".join(f"{name:<{width}}{text}" for name, text in lines)


def _prices(frames: dict[str, Frame]) -> list[Line]:
    falls = [(f"{word} fall, worst", overview.deepest_fall(frames, word.lower())) for word in ("Index", "Mark")]
    return [(word, _at(found)) for word, found in (*falls, ("Basis, largest", overview.largest_basis(frames)))]


def _at(found: Extreme | None) -> str:
    return "none" if found is None else f"{100 * found.value:+.2f}%, {found.instrument}, step {found.step}"


def _close_outs(frames: dict[str, Frame], money: Money) -> list[Line]:
    closed, peak = overview.closed_out(frames), overview.peak_open_interest(frames)
    share = f", {100 * closed['notional'] / peak:.1f}% of peak open interest" if peak else ""
    told = f"{closed['count']:,} of {closed['owners']:,} owners, {money.of(closed['notional'])}{share}"
    return [("Open interest, peak", money.of(peak)), ("Close-outs", told if closed["count"] else "none")]


def _payers(frames: dict[str, Frame], money: Money) -> list[Line]:
    """Every layer that acted, and bad debt even if there was none."""
    paid = overview.who_paid(frames)
    if not len(frames["losses"]):
        return [("Bankruptcies", "none")]
    owners = frames["losses"]["owner"].nunique()
    words = {OWN_MARGIN: "own margin", **LAYERS}
    lines = [(f"  {words.get(name, name)}", money.of(amount)) for name, amount in paid.items()]
    if "bad_debt" not in paid:
        lines.append((f"  {LAYERS['bad_debt']}", money.of(0)))
    return [("Bankruptcies", f"{owners:,} owners, whose losses were borne by"), *lines]


def _venue(frames: dict[str, Frame], money: Money) -> list[Line]:
    (before, after), calls = overview.fund(frames), overview.calls(frames)
    bare, steps = overview.one_sided(frames)
    told = ", ".join(f"{count:,} {name}" for name, count in calls.items()) if any(calls.values()) else "none"
    return [
        ("Insurance fund", f"{money.of(before)} before, {money.of(after)} after"),
        ("Margin calls", told),
        ("Book without a side", f"{bare:,} of {steps:,} steps"),
    ]
