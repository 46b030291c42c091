"""Check of whether a run is long enough for a margin engine that learns first."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sim.component import Component
from sim.margin.base import RequirementComponent


def explain_short_run(rule: RequirementComponent, seconds: float, dt: float) -> str:
    """Return a warning that a run ends before a requirement has learned, with the remedy.

    The text is empty if the run is long enough.

    Args:
        rule: the requirement of an engine.
        seconds: length of the run.
        dt: length of a step (s).
    """
    needed = rule.look_back()
    if needed < seconds:
        return ""
    steps = math.ceil(needed / dt - 1e-9)
    longer = (math.floor(needed / dt + 1e-9) + 1) * dt
    fields = [path for path, shorter in _halve_numbers(rule) if shorter.look_back() < needed]
    shorten = f", or shorten requirement.{' and requirement.'.join(fields)}" if fields else ""
    return (
        f"{describe_kinds(rule)} needs {format_duration(needed)} of past ({steps:,} steps) and the "
        f"run lasts {format_duration(seconds)}, so that some or all of its margin stays at its "
        f"opening value: run longer (duration={longer:.12g}){shorten}"
    )


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
