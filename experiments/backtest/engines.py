"""Margin engines of backtests by name: ``fhs_97``, ``hs_500_es``, ``ewma_99_buffer``, or a file."""

import itertools
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter, ValidationError

from sim.checks.margin_worlds import make_opening_market, make_opening_world
from sim.checks.opening import find_engine_faults
from sim.errors import ConfigError, suggest_name
from sim.margin.base import AnyRequirement, RequirementComponent
from sim.margin.engine import EngineConfig
from sim.margin.learned.learned import LearnedRequirement
from sim.margin.tail.margin_path import START_MARK, TICK_SIZE, build_perpetuals
from sim.margin.tail.models.ewma import EwmaModel
from sim.margin.tail.tail import TailRisk
from sim.reading.loading import load_config

DAY = 86_400.0
"""Time of one row of a backtest's returns (s)."""

FLAT, LEARNED = "flat", "learned"
PUBLISHED_ENGINES = (
    "ewma_97",
    "ewma_99",
    "hs_500",
    "fhs_97",
    "fhs_floor",
    "fhs_stressed",
    "fhs_buffer",
    FLAT,
)
"""Rows of the published table.

Sources: Murphy, Vasios and Vause 2014; Gurrola-Perez and Murphy 2015.
"""

TOOL_KINDS = {"floor": "floored", "stressed": "stressed", "buffer": "buffered"}
ENGINE_NAME = re.compile(
    r"(ewma|hs|fhs|normal|t|garcht|garch)(?:_(\d+))?((?:_(?:floor|stressed|buffer|es))*)"
)
LEAST_DAYS = 10
"""Smallest window of returns (days)."""

ENGINE_NAME_FORMS = (
    "ewma_NN",
    "hs_DAYS",
    "fhs_NN",
    "normal_DAYS",
    "t_NN",
    "garch_DAYS",
    "garcht_DAYS",
    LEARNED,
    FLAT,
)


class BacktestEngine(NamedTuple):
    """Engine to score."""

    name: str
    rule: RequirementComponent | None  # none = flat, the benchmark
    level: float  # share of days to cover
    horizon: int  # rows of returns (days of a series) over which a loss accrues


class EngineDefaults(NamedTuple):
    """Settings of engines whose names do not give them."""

    window: int = 500  # days
    levels: tuple[float, ...] = (0.99,)
    horizons: tuple[int, ...] = (1,)


def parse_engines(names: Iterable[str], scope: EngineDefaults) -> list[BacktestEngine]:
    """Return an engine for each name, level and horizon.

    If there are several levels or horizons, they are part of the name. A number is the EWMA's
    weight of the past (``97`` = 0.97) or a window of days. ``_floor``, ``_stressed`` and
    ``_buffer`` are EMIR's tools; ``_es`` selects expected shortfall. A name that ends in ``.yaml``,
    or is a packaged ``engines/...``, is a file of an engine; its whole requirement is scored, with
    its scale and kappa. A name that ends in ``.npz`` is a model of ``deleverage train``.

    Raises:
        ConfigError: one line for each name that is not an engine.
    """
    engines, problems = [], []
    for name in names:
        for level, horizon in itertools.product(scope.levels, scope.horizons):
            label = name
            if len(scope.levels) > 1:
                label += f"@{level:g}"
            if len(scope.horizons) > 1:
                label += f"/{horizon}d"
            try:
                rule = _parse_rule(name, scope.window, level, horizon)
                engines.append(BacktestEngine(label, rule, level, horizon))
            except ConfigError as error:
                problems += error.problems
    if problems or not engines:
        raise ConfigError(list(dict.fromkeys(problems)) or ["engines: none given, name some"])
    return engines


def _parse_rule(name: str, window: int, level: float, horizon: int) -> RequirementComponent | None:
    """Return the requirement of a name; None for the flat benchmark."""
    return None if name == FLAT else _parse_requirement(name, window, level, horizon)


def _parse_requirement(name: str, window: int, level: float, horizon: int) -> RequirementComponent:
    if name == LEARNED or name.endswith(".npz"):
        return _learned_requirement("" if name == LEARNED else name, level, horizon)
    if name.endswith(".yaml") or "/" in name:
        return _load_requirement(name)
    matched = ENGINE_NAME.fullmatch(name)
    if matched is None:
        near = suggest_name(name, PUBLISHED_ENGINES)
        forms = ", ".join(ENGINE_NAME_FORMS)
        rule = f"use {forms}, with _floor, _stressed, _buffer or _es"
        raise ConfigError([f"engines: '{name}' is no engine{near}, {rule}"])
    model = _parse_model(matched[1], matched[2], window)
    if model is None:
        raise ConfigError([_out_of_range(name, matched[1], matched[2], window)])
    suffixes = matched[3].split("_")[1:]
    requirement: dict[str, Any] = {
        "kind": "tail",
        "model": model,
        "level": level,
        "horizon": horizon * DAY,
        "measure": "es" if "es" in suffixes else "var",
    }
    for suffix in suffixes:
        if suffix in TOOL_KINDS:
            requirement = {"kind": TOOL_KINDS[suffix], "inner": requirement}
    return TypeAdapter(AnyRequirement).validate_python(requirement)


def _load_requirement(name: str) -> RequirementComponent:
    """Return the requirement of an engine in a file, checked if a plug-in brings a part of it."""
    engine = load_config(name, [], EngineConfig)
    start = START_MARK * TICK_SIZE
    market = make_opening_market(build_perpetuals(1), np.array([start]), np.ones(1))
    world = make_opening_world(market, unit=1)
    if faults := find_engine_faults(engine, world, [world]):
        raise ConfigError([f"engines: {name}: {line}" for line in faults])
    return engine.rescaled_requirement()


def _learned_requirement(file: str, level: float, horizon: int) -> LearnedRequirement:
    """Return the requirement of a trained model; without a file it is trained along the way."""
    inner = TailRisk(model=EwmaModel(), level=level, horizon=horizon * DAY)
    try:
        return LearnedRequirement(inner=inner, model_file=file, level=level, horizon=horizon * DAY)
    except ValidationError as error:
        lines = [f"engines: {problem['ctx']['error']}" for problem in error.errors()]
        raise ConfigError(lines) from error


def _out_of_range(name: str, word: str, number: str | None, window: int) -> str:
    """Return a line about a name whose number is out of range."""
    if word not in ("hs", "normal", "garch", "garcht"):
        return f"engines: '{name}' weighs the past by 0.{number}, must be above 0: write {word}_97"
    if number is not None:
        rule = f"must be at least {LEAST_DAYS}: write {word}_{LEAST_DAYS}"
        return f"engines: '{name}' looks back {int(number)} days, {rule}"
    longer = f"write {word}_{LEAST_DAYS}, or give a --window of at least {LEAST_DAYS}"
    return (
        f"engines: '{name}' looks back as far as --window, {window} days, "
        f"must be at least {LEAST_DAYS}: {longer}"
    )


def _parse_model(word: str, number: str | None, window: int) -> dict[str, Any] | None:
    """Return the model of the first two parts of a name; None if the number is out of range."""
    span = DAY * window
    if word in ("hs", "normal", "garch", "garcht"):
        default = span if word in ("hs", "normal") else 2 * span
        length = default if number is None else DAY * int(number)
        if length < LEAST_DAYS * DAY:
            return None
        kind = {"hs": "historical", "normal": "covariance"}.get(word, "garch")
        extra = {"distribution": "t"} if word == "garcht" else {}
        return {"kind": kind, "window": length, **extra}
    decay = float(f"0.{number or '97'}")
    if not 0 < decay < 1:
        return None
    kind = {"ewma": "ewma", "fhs": "filtered", "t": "student_t"}[word]
    return {"kind": kind, "decay": decay} | ({} if word == "ewma" else {"window": span})


def replace_measure(rule: RequirementComponent, measure: str) -> RequirementComponent | None:
    """Return the same requirement with VaR or ES as measure; None if it has neither."""
    data = rule.model_dump()
    inner = data
    while inner["kind"] != "tail":
        if "inner" not in inner or inner["kind"] == LEARNED:
            return None
        inner = inner["inner"]
    inner["measure"] = measure
    return TypeAdapter(AnyRequirement).validate_python(data)
