"""Pairs of runs without and with a mechanism on the same draws, and the measures that differ."""

from collections.abc import Iterator
from typing import NamedTuple

from experiments.calculator.account_table import compute_account_margins
from experiments.config import load_run
from experiments.mechanisms.catalogue import Mechanism, format_command
from experiments.mechanisms.measures import Measures, measure_config
from sim.reading.loading import resolve_config

TOLERANCE = 1e-9
"""Relative difference below which two measures are equal."""


class MechanismPair(NamedTuple):
    """Measures without and with a mechanism."""

    before: Measures
    after: Measures

    def list_differences(self) -> list[str]:
        """Return the names of the measures that differ, in the order of the measures."""
        names = dict.fromkeys([*self.before, *self.after])
        return [name for name in names if self._differs(name)]

    def _differs(self, name: str) -> bool:
        one, other = self.before.get(name), self.after.get(name)
        if one is None or other is None:
            return bool(one or other)
        return abs(one - other) > TOLERANCE * max(abs(one), abs(other))


def run_pair(entry: Mechanism) -> MechanismPair:
    """Return the measures without and with a mechanism.

    Raises:
        ConfigError: its base or a change is not valid.
    """
    return MechanismPair(_measure(entry, entry.before), _measure(entry, entry.after))


def _measure(entry: Mechanism, changes: tuple[str, ...]) -> Measures:
    if entry.is_account:
        return _measure_account(entry, changes)
    return measure_config(load_run(entry.base, [*entry.shared, *changes], quick=True))


def _measure_account(entry: Mechanism, changes: tuple[str, ...]) -> Measures:
    """Return equity and margins of an account under each of its engines."""
    portfolio = resolve_config(entry.base, [*entry.shared, *changes])
    table = compute_account_margins(portfolio, None, portfolio["engines"], None)
    found = table.reset_index()
    return {
        f"{engine} {name}": float(amount)
        for name in ("equity", "initial", "maintenance")
        for engine, amount in zip(found["engine"], found[name], strict=True)
    }


def format_pair(entry: Mechanism, pair: MechanismPair) -> str:
    """Return the effect, both commands, and the measures that differ with their figures."""
    names = pair.list_differences()
    rows = [(name, *map(_format, _values(pair, name))) for name in names]
    table = [("measure", "without", "with"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    lines = [
        f"{name:<{widths[0]}}  {one:>{widths[1]}}  {other:>{widths[2]}}"
        for name, one, other in table
    ]
    if not names:
        lines = ["no recorded measure differs"]
    head = [f"{entry.name}: {entry.effect}", ""]
    return "\n".join([*head, *_list_commands(entry), "", *lines])


def _list_commands(entry: Mechanism) -> Iterator[str]:
    yield f"without: {format_command(entry, entry.before)}"
    yield f"with:    {format_command(entry, entry.after)}"


def _values(pair: MechanismPair, name: str) -> tuple[float, float]:
    return pair.before.get(name, 0.0), pair.after.get(name, 0.0)


def _format(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.4g}"
