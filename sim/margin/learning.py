"""Check of whether a run is long enough for a margin engine that learns first."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sim.component import Component
from sim.margin.base import RequirementComponent
from sim.prices.past import History, PastLengths

DAY = 86_400.0
"""Seconds of a day of a market that never closes."""

RECENT = float(History.model_fields["recent"].default)
"""Length of the past that has a return a step, if a history does not set it (s)."""


def explain_short_run(
    rule: RequirementComponent, seconds: float, dt: float, history: PastLengths | None = None
) -> str:
    """Return a warning that a run ends before a requirement has learned, with the remedy.

    The text is empty if the run is long enough.

    Args:
        rule: the requirement of an engine.
        seconds: length of the run.
        dt: length of a step (s).
        history: lengths of the past before the run; none = it has none.
    """
    needed = rule.look_back()
    had = 0.0 if history is None else history.count_seconds(rule.spacing())
    if needed < seconds + had:
        return ""
    steps = math.ceil(needed / dt - 1e-9)
    longer = (math.floor((needed - had) / dt + 1e-9) + 1) * dt
    fields = [path for path, shorter in _halve_numbers(rule) if shorter.look_back() < needed]
    remedies = [
        f"run longer (duration={longer:.12g})",
        f"begin with more past ({_propose_history(rule, needed, history)})",
    ]
    if fields:
        remedies.append(f"shorten requirement.{' and requirement.'.join(fields)}")
    return (
        f"{describe_kinds(rule)} needs {format_duration(needed)} of past ({steps:,} steps) and the "
        f"run lasts {format_duration(seconds)}{_describe_past(rule, had, history)}, so that some "
        f"or all of its margin stays at its opening value: {_join_remedies(remedies)}"
    )


def _join_remedies(remedies: list[str]) -> str:
    """Return alternatives as one text."""
    *first, last = remedies
    return f"{', '.join(first)}{',' if len(first) > 1 else ''} or {last}"


def _describe_past(rule: RequirementComponent, had: float, history: PastLengths | None) -> str:
    """Return the part of a history from which a requirement can learn, in words."""
    if history is None:
        return ""
    if not had:
        return f" after a past with no returns over {format_duration(rule.spacing())}"
    return f" after {format_duration(had)} of past at its spacing"


def _propose_history(rule: RequirementComponent, needed: float, history: PastLengths | None) -> str:
    """Return a history that is long enough, as overrides."""
    days = math.ceil(needed / DAY)
    interval = DAY if history is None else history.far_steps * history.dt
    is_coarse = PastLengths(0, 1, 1, interval).count_seconds(rule.spacing()) > 0
    recent = "" if is_coarse or needed <= RECENT else f", recent: {days * DAY:.12g}"
    return f"history={{days: {days}{recent}}}"


def describe_kinds(component: Component) -> str:
    """Return the kinds of a component and its parts, such as ``floored(tail(filtered))``."""
    inner = [
        describe_kinds(part)
        for _, part, _ in _iterate_parts(component)
        if "kind" in type(part).model_fields
    ]
    kind: str = getattr(component, "kind", "")
    return f"{kind}({', '.join(inner)})" if inner else kind


def format_duration(seconds: float) -> str:
    """Return a duration in its largest fitting unit.

    >>> format_duration(43_200.0)
    '12 h'
    """
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size or (seconds >= size and unit != "days"):
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds:.4g} s"


def _halve_numbers(component: Component) -> Iterator[tuple[str, Any]]:
    """Yield copies of a component in which one number is halved, with the path of the number."""
    for name in type(component).model_fields:
        value = getattr(component, name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, component.model_copy(update={name: type(value)(value / 2)})
    for path, part, put in _iterate_parts(component):
        yield from ((f"{path}.{inner}", put(copy)) for inner, copy in _halve_numbers(part))


def _iterate_parts(component: Component) -> Iterator[tuple[str, Component, Callable[[Any], Any]]]:
    """Yield the components within a component: path, part, and a function that replaces it."""

    def changed(name: str, number: int | None, part: Any) -> Any:
        old = getattr(component, name)
        whole = part if number is None else (*old[:number], part, *old[number + 1 :])
        return component.model_copy(update={name: whole})

    for name in type(component).model_fields:
        value = getattr(component, name)
        if isinstance(value, Component):
            yield name, value, partial(changed, name, None)
        elif isinstance(value, tuple):
            for number, each in enumerate(value):
                if isinstance(each, Component):
                    yield f"{name}.{number}", each, partial(changed, name, number)
