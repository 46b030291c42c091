"""Laws that every component of a kind keeps, and how a breach of one is found."""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from sim.component import Component
from sim.errors import DeleverageError, describe_exception

RAISED_BY_COMPONENTS = (Exception,)
"""What the code of a component can raise."""

FLOAT, INTEGER, BOOLEAN = np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.bool_)


class BrokenLawError(Exception):
    """A component breaks a law; the text describes the breach."""


class Law(NamedTuple):
    """A property that every component of a kind has."""

    name: str
    rule: str  # number of the rule in the model's description
    sentence: str  # what must hold
    check: Callable[[Any, Any], None]  # component, world; raises BrokenLawError
    is_cheap: bool = True  # whether it is checked whenever a market is built
    n_worlds: int = 300  # worlds tried by the full suite


class Suite(NamedTuple):
    """The laws of one kind of component."""

    kind: str  # such as "requirement"
    laws: tuple[Law, ...]
    make_world: Callable[[int], Any]  # from a seed
    make_smaller_worlds: Callable[[Any], Iterable[Any]]  # worlds with less in them, for shrinking
    settings: Mapping[str, Any] = {}  # of fields without a default, to build a component by itself


class Finding(NamedTuple):
    """Result of the full suite for one law."""

    law: Law
    n_worlds: int  # tried
    fault: str  # the smallest counterexample; empty where the law holds


def find_fault(law: Law, component: Component, world: Any) -> str:
    """Return how a component breaks a law in one world; empty where it keeps it.

    Raises:
        DeleverageError: the component refuses its parameters or this world.
    """
    try:
        with np.errstate(all="ignore"):
            law.check(component, world)
    except BrokenLawError as error:
        return str(error)
    except DeleverageError:
        raise
    except RAISED_BY_COMPONENTS as error:
        return f"it raises {describe_exception(error, find_source_file(type(component)))}"
    return ""


def find_first_fault(suite: Suite, component: Component, world: Any) -> tuple[Law, str] | None:
    """Return the first of the cheap laws that a component breaks in one world, and how."""
    for law in suite.laws:
        if law.is_cheap and (fault := find_fault(law, component, world)):
            return law, fault
    return None


def run_suite(suite: Suite, component: Component, worlds: int | None = None) -> Iterator[Finding]:
    """Check all laws of a suite, each over worlds of fixed seeds.

    Args:
        suite: the laws.
        component: what is checked.
        worlds: worlds of each law at most; none = as many as the law names.
    """
    for law in suite.laws:
        yield _check_law(suite, law, component, min(law.n_worlds, worlds or law.n_worlds))


def _check_law(suite: Suite, law: Law, component: Component, worlds: int) -> Finding:
    """Check one law; worlds whose instruments the component refuses are passed over."""
    tried, refusal = 0, ""
    for seed in range(worlds):
        world = suite.make_world(seed)
        try:
            fault = find_fault(law, component, world)
        except DeleverageError as error:
            refusal = f"it refuses every world: {error}"
            continue
        tried += 1
        if fault:
            return Finding(law, tried, _shrink(suite, law, component, world) or fault)
    return Finding(law, tried, "" if tried else refusal)


MAX_SHRINKS = 300
"""Smaller worlds that are tried at most in search of the smallest counterexample."""


def _shrink(suite: Suite, law: Law, component: Component, world: Any) -> str:
    """Return the fault in the smallest world that breaks the law; empty if none is smaller."""
    smallest, tried = "", 0
    while True:
        for smaller in suite.make_smaller_worlds(world):
            tried += 1
            if tried > MAX_SHRINKS:
                return smallest
            try:
                fault = find_fault(law, component, smaller)
            except DeleverageError:
                continue
            if fault:
                world, smallest = smaller, fault
                break
        else:
            return smallest


def find_source_file(cls: type) -> str:
    """Return the file of a class; empty where it has none."""
    module = sys.modules.get(cls.__module__)
    return "" if module is None else str(module.__file__ or "")


def require(holds: Any, fault: str) -> None:
    """Raise a breach unless something holds.

    Raises:
        BrokenLawError: it does not hold.
    """
    if not holds:
        raise BrokenLawError(fault)


def require_methods(holder: object, methods: Mapping[str, str], name: str) -> None:
    """Raise a breach unless an object has methods that take the arguments they are given.

    Args:
        holder: the object.
        methods: the arguments of each method, with commas between.
        name: of the object, for messages.

    Raises:
        BrokenLawError: a method is missing, or takes other arguments.
    """
    for method, arguments in methods.items():
        found = getattr(holder, method, None)
        require(callable(found), f"{name} has no method {method}({arguments})")
        given = [word for word in arguments.split(", ") if word]
        try:
            inspect.signature(found).bind(*given)  # type: ignore[arg-type]
        except TypeError as error:
            told = f"{name}.{method} takes other arguments than ({arguments})"
            raise BrokenLawError(f"{told}: {error}") from error


def require_array(value: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise a breach unless a value is an array of a shape and type, without NaN or infinity.

    Raises:
        BrokenLawError: it is not.
    """
    wanted = f"must be an array of shape {shape} and type {dtype}"
    require(isinstance(value, np.ndarray), f"{name} is {describe_value(value)}, {wanted}")
    require(value.shape == shape, f"{name} is {describe_value(value)}, {wanted}")
    require(value.dtype == dtype, f"{name} is {describe_value(value)}, {wanted}")
    if dtype == FLOAT:
        wrong = np.argwhere(~np.isfinite(value))
        if wrong.size:
            place = ", ".join(map(str, wrong[0]))
            raise BrokenLawError(f"{name} is {value[tuple(wrong[0])]} at [{place}], must be finite")


def require_columns(
    value: Any, record: type[Any], name: str, dtype: np.dtype[Any] = INTEGER
) -> None:
    """Raise a breach unless a value is a record of columns of one length and type.

    Raises:
        BrokenLawError: it is not.
    """
    require(
        isinstance(value, record), f"{name} is {describe_value(value)}, must be {record.__name__}"
    )
    columns = {field: getattr(value, field) for field in record._fields}
    length = len(next(iter(columns.values())))
    for field, column in columns.items():
        require_array(column, f"{name}: {field}", (length,), dtype)


def require_equal(one: Any, other: Any, fault: str) -> None:
    """Raise a breach unless two records of arrays are equal, NaN included.

    Raises:
        BrokenLawError: they differ.
    """
    for left, right in zip(one, other, strict=True):
        require(np.array_equal(left, right, equal_nan=np.asarray(left).dtype.kind == "f"), fault)


def describe_value(value: Any) -> str:
    """Return a value in words: an array by shape and type, else by its type."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    if value is None:
        return "None"
    return f"a value of type {type(value).__name__}"
