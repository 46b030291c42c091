"""Whether a run is long enough for what a margin engine must learn first."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sim.component import Component
from sim.margin.base import RequirementComponent


def explain_short_run(rule: RequirementComponent, seconds: float, dt: float) -> str:
    """Say that a run ends before a requirement has learnt, and what helps; empty where it lasts longer.

    Args:
        rule: the requirement of an engine.
        seconds: length of the run.
        dt: length of a step (s).
    """
    needed = rule.look_back()
    if needed < seconds:
        return ""
    longer = (math.floor(needed / dt + 1e-9) + 1) * dt
    fields = [path for path, shorter in _halve_numbers(rule) if shorter.look_back() < needed]
    shorten = f", or shorten requirement.{' and requirement.'.join(fields)}" if fields else ""
    return (
        f"{describe_kinds(rule)} needs {format_duration(needed)} of past ({math.ceil(needed / dt - 1e-9):,} steps) and the run lasts "
        f"{format_duration(seconds)}, so that some or all of its margin stays at its opening value: run longer "
        f"(duration={longer:.12g}){shorten}"
    )


def describe_kinds(component: Component) -> str:
    """The kinds that a component is made of, such as ``floored(tail(filtered))``."""
    inner = [
        describe_kinds(part)
        for _, part, _ in _iterate_parts(component)
        if "kind" in type(part).model_fields
    ]
    return f"{getattr(component, 'kind', '')}{'(' + ', '.join(inner) + ')' if inner else ''}"


def format_duration(seconds: float) -> str:
    """A length of time in its largest fitting unit.

    >>> format_duration(43_200.0)
    '12 h'
    """
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size or (seconds >= size and unit != "days"):
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds:.4g} s"


def _halve_numbers(component: Component) -> Iterator[tuple[str, Any]]:
    """Copies of a component in which one number is half as large, by path of the number."""
    for name in type(component).model_fields:
        value = getattr(component, name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, component.model_copy(update={name: type(value)(value / 2)})
    for path, part, put in _iterate_parts(component):
        yield from ((f"{path}.{inner}", put(copy)) for inner, copy in _halve_numbers(part))


def _iterate_parts(component: Component) -> Iterator[tuple[str, Component, Callable[[Any], Any]]]:
    """Components within a component: path, part, and how a copy with another part is made."""

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
