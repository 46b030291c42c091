"""The closing table of a run: what a risk manager would want to know first, as plain aligned text."""

from typing import NamedTuple

from experiments.figures.style import LAYERS, Frame
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
    """Prices, close-outs, who paid, who gained and lost, the fund, calls, books; a line each.

    Args:
        frames: of one run with at least one step.
        unit: minor units in one unit of the numeraire.
        currency: name of the numeraire.
        seconds: how long the run took.
    """
    steps = frames["steps"]["step"].nunique()
    told = lines(frames, unit=unit, currency=currency)
    told.append(("Time", f"{seconds:.1f} s, {steps / max(seconds, 1e-9):,.0f} steps/s"))
    width = max(len(name) for name, _ in told) + 2
    return "\n".join(f"{name:<{width}}{text}" for name, text in told)


def lines(frames: dict[str, Frame], *, unit: int, currency: str) -> list[Line]:
    """What the frames say, a name and a text each; args as of ``table``."""
    money = Money(unit, currency)
    told = [*_prices(frames), *_close_outs(frames, money), *_payers(frames, money)]
    return [*told, *_wealth(frames, money), *_venue(frames, money)]


def _prices(frames: dict[str, Frame]) -> list[Line]:
    """The worst of prices, and how near the market was to feeding its own fall."""
    falls = [(f"{word} fall, worst", overview.deepest_fall(frames, word.lower())) for word in ("Index", "Mark")]
    falls.append(("Basis, largest", overview.largest_basis(frames)))
    lines = [(word, _at(frames, found, f"{100 * found.value:+.2f}%") if found else "none") for word, found in falls]
    found = overview.largest_feedback(frames)
    return [*lines, ("R(1%), largest", _at(frames, found, f"{found.value:.2f}") if found else "not recorded")]


def _at(frames: dict[str, Frame], found: Extreme, told: str) -> str:
    """Of what and when: the step, and the exchange's time where days are replayed."""
    steps = frames["steps"]
    stamp = steps.loc[steps["step"] == found.step, "stamp"].iloc[0] if "stamp" in steps else None
    when = f"step {found.step:,}" if stamp is None else f"{stamp:%Y-%m-%d %H:%M} (step {found.step:,})"
    return ", ".join(filter(None, (told, found.instrument, when)))


def _close_outs(frames: dict[str, Frame], money: Money) -> list[Line]:
    closed, peak = overview.closed_out(frames), overview.peak_open_interest(frames)
    lines = [("Open interest, peak", money.of(peak)), ("Close-outs", "none"), ("ADL", "none")]
    if closed["count"]:
        told = f"{money.of(closed['notional'])}{_share(closed['notional'], peak)}"
        lines[1] = ("Close-outs", f"{told}, {closed['count']:,} at {closed['owners']:,} owners")
    if cut := overview.deleveraged_notional(frames):
        lines[2] = ("ADL", f"{money.of(cut)}{_share(cut, peak)}")
    if worst := overview.worst_step(frames):
        lines.insert(2, ("  worst step", _at(frames, worst, money.of(worst.value))))
    return lines


def _share(amount: int, peak: int) -> str:
    return f", {100 * amount / peak:.1f}% of peak open interest" if peak else ""


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


def _wealth(frames: dict[str, Frame], money: Money) -> list[Line]:
    """What each population gained or lost, all it had at the start against all it has; the largest loss first."""
    found = sorted(overview.wealth(frames).items(), key=lambda item: item[1][1] - item[1][0])
    changes = [(name, end - start, 100 * (end / start - 1) if start else 0.0) for name, (start, end) in found]
    lines = [(f"  {name}", f"{'+' * (change > 0)}{money.of(change)}, {share:+.1f}%") for name, change, share in changes]
    return [("Equity, change", "by population, capital that came or left included"), *lines]


def _venue(frames: dict[str, Frame], money: Money) -> list[Line]:
    (before, after), calls = overview.fund(frames), overview.calls(frames)
    bare, steps = overview.one_sided(frames)
    told = ", ".join(f"{count:,} {name}" for name, count in calls.items()) if any(calls.values()) else "none"
    return [
        ("Insurance fund", f"{money.of(before)} before, {money.of(after)} after" if before or after else "none"),
        ("Margin calls", told),
        ("Book without a side", f"{bare:,} of {steps:,} steps"),
    ]
