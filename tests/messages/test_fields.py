"""Every field of every component, given what its type or bound refuses: one line at its path, and a remedy that works.

The types and bounds are read off the components themselves, so that a new field is covered without a row of its own.
"""

import json
import math
import re
import typing
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest

from agents import POPULATIONS
from experiments.config import RunConfig
from sim.component import Component
from sim.exchange import FUNDINGS, MARKS, RECORDED
from sim.exchange.fees import Fees
from sim.exchange.oracle import Manipulation, Oracle, Window
from sim.instruments import Asset, Instrument
from sim.liquidation import LIQUIDATIONS
from sim.prices import PROCESSES, STRESSES
from sim.prices.impact import Impact
from sim.problems import WORDS, bare, describe
from sim.rescue import Rescue
from sim.waterfall import LAYERS

REGISTRIES = (POPULATIONS, FUNDINGS, RECORDED, MARKS, LIQUIDATIONS, PROCESSES, STRESSES, LAYERS)
ALONE = (RunConfig, Fees, Oracle, Window, Manipulation, Asset, Instrument, Impact, Rescue)
CLASSES: list[type[Component]] = list(
    dict.fromkeys([*(each for registry in REGISTRIES for each in registry.values()), *ALONE])
)

WRONG: tuple[Any, ...] = (None, True, "words", 1.5, 3, [], [[]], {}, {"a": 1}, -1, 10**30, math.inf)
"""Values of every type that a file can hold, in and out of range."""

BOUND = re.compile(r"must be (greater than|at least|less than|at most) (\S+?)(?: \(.*)?, (raise|lower) it$")


def about(model: type[Component], name: str, value: Any) -> list[str]:
    """What is told of a field of a component in which nothing else stands; the field's name begins each line."""
    data = {name: value}
    try:
        model.model_validate_json(json.dumps(data), strict=True)
    except pydantic.ValidationError as error:
        return [line for line in describe(error, data, model) if re.match(rf"{re.escape(name)}\b", line)]
    return []


def fields() -> Iterator[tuple[type[Component], str]]:
    for model in CLASSES:
        for name in model.model_fields:
            yield model, name


@pytest.mark.parametrize("model", CLASSES, ids=lambda model: model.__name__)
def test_a_value_of_another_type_gets_one_plain_line(model: type[Component]) -> None:
    """No words of the validator's own, no class names, and a remedy at the end."""
    for name in model.model_fields:
        for value in WRONG:
            for line in about(model, name, value):
                assert "what is asked for" not in line, (name, value, line)
                assert not re.search(r"input_value|_type\b|Input should|\bNone\b", line), (name, value, line)
                assert len(line.splitlines()) == 1


@pytest.mark.parametrize("model", CLASSES, ids=lambda model: model.__name__)
def test_the_bound_that_a_line_names_is_the_one_that_holds(model: type[Component]) -> None:
    """The bound itself is taken after ``at least`` and ``at most``, and refused after the other two words."""
    for name in model.model_fields:
        for value in (-1, -1.5, -(10.0**30), 10**30, 1e30, 0):
            for line in about(model, name, value):
                found = BOUND.search(line)
                if found is None:
                    continue
                words, text = found[1], found[2]
                bound = float(text) if "." in text or "e" in text else int(text)
                still = [each for each in about(model, name, bound) if BOUND.search(each)]
                assert bool(still) == (words in ("greater than", "less than")), (name, line, still)
                beyond = beside(
                    bound,
                    up=words == "greater than",
                    whole=any("whole number" in each for each in about(model, name, 0.5)),
                )
                assert words in ("at least", "at most") or not about(model, name, beyond), (name, line)


def beside(bound: float, *, up: bool, whole: bool) -> float:
    """The next value on one side of a bound."""
    if whole:
        return int(bound) + (1 if up else -1)
    return math.nextafter(bound, math.inf if up else -math.inf)


@pytest.mark.parametrize("model", CLASSES, ids=lambda model: model.__name__)
def test_a_name_beside_the_listed_ones_is_told_with_those_that_hold(model: type[Component]) -> None:
    for name, field in model.model_fields.items():
        listed = [str(each) for each in choices(field.annotation)]
        for line in about(model, name, "wrong") if listed else []:
            assert line.startswith(f"{name}: 'wrong' is not one of {', '.join(listed)}"), line
            assert not any(about(model, name, each) for each in listed)


def choices(annotation: Any) -> list[Any]:
    if typing.get_origin(bare(annotation)) is typing.Literal:
        return list(typing.get_args(bare(annotation)))
    return [each for part in typing.get_args(annotation) if part is not ... for each in choices(part)]


def test_each_rule_is_told_in_words_and_with_a_remedy() -> None:
    assert all(rule and remedy for rule, remedy in WORDS.values())
    assert sum(1 for _ in fields()) > 250
