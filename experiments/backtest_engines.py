"""Margin engines by name, for backtests: ``fhs_97``, ``hs_500_es``, ``ewma_99_buffer``, or a file of an engine."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from sim.errors import ConfigError, did_you_mean
from sim.loading import load
from sim.margin.base import AnyRequirement, RequirementComponent
from sim.margin.engine import EngineConfig
from sim.margin.learned import Learned
from sim.margin.models.ewma import Ewma
from sim.margin.tail import TailRisk

DAY = 86_400.0
"""One row of a backtest's returns."""

FLAT, LEARNED = "flat", "learned"
ALL = ("ewma_97", "ewma_99", "hs_500", "fhs_97", "fhs_floor", "fhs_stressed", "fhs_buffer", FLAT)
"""The rows of the published table (Murphy, Vasios and Vause 2014; Gurrola-Perez and Murphy 2015)."""

TOOLS = {"floor": "floored", "stressed": "stressed", "buffer": "buffered"}
GRAMMAR = re.compile(r"(ewma|hs|fhs|normal|t|garcht|garch)(?:_(\d+))?((?:_(?:floor|stressed|buffer|es))*)")
LEAST_DAYS = 10
"""Days that a window of returns must have."""

FORMS = ("ewma_NN", "hs_DAYS", "fhs_NN", "normal_DAYS", "t_NN", "garch_DAYS", "garcht_DAYS", LEARNED, FLAT)


class Engine(NamedTuple):
    """What is judged."""

    name: str
    rule: RequirementComponent | None  # none = flat, the benchmark
    level: float  # share of days it should cover
    horizon: int  # rows of returns, days of a series, over which a loss accrues


class Scope(NamedTuple):
    """What engines are asked that do not say so themselves."""

    window: int = 500  # days
    levels: tuple[float, ...] = (0.99,)
    horizons: tuple[int, ...] = (1,)


def engines_of(names: Iterable[str], scope: Scope) -> list[Engine]:
    """Each name at each level and horizon; a name tells them where there are several.

    A number is the EWMA's weight of the past (``97`` = .97) or a window of days. ``_floor``, ``_stressed`` and
    ``_buffer`` are EMIR's tools, ``_es`` asks for expected shortfall. A name that ends in ``.yaml``, or is a packaged
    ``engines/...``, is a file with an engine, whose requirement is judged as it stands there, scale and kappa included;
    one in ``.npz`` is a model that ``deleverage train`` wrote.

    Raises:
        ConfigError: one line for each name that is no engine.
    """
    found, problems = [], []
    for name in names:
        for level in scope.levels:
            for horizon in scope.horizons:
                several = f"@{level:g}" * (len(scope.levels) > 1) + f"/{horizon}d" * (len(scope.horizons) > 1)
                try:
                    rule = None if name == FLAT else _rule(name, scope.window, level, horizon)
                    found.append(Engine(name + several, rule, level, horizon))
                except ConfigError as error:
                    problems += error.problems
    if problems or not found:
        raise ConfigError(list(dict.fromkeys(problems)) or ["engines: none given, name some"])
    return found


def _rule(name: str, window: int, level: float, horizon: int) -> RequirementComponent:
    if name == LEARNED or name.endswith(".npz"):
        file = "" if name == LEARNED else name
        inner = TailRisk(model=Ewma(), level=level, horizon=horizon * DAY)
        try:
            return Learned(inner=inner, trained=file, level=level, horizon=horizon * DAY)
        except ValidationError as error:
            raise ConfigError([f"engines: {each['ctx']['error']}" for each in error.errors()]) from error
    if name.endswith(".yaml") or "/" in name:
        return load(name, [], EngineConfig).dialled()
    matched = GRAMMAR.fullmatch(name)
    model = None if matched is None else _model(matched[1], matched[2], window)
    if matched is not None and model is None:
        raise ConfigError([_out_of_range(name, matched[1], matched[2], window)])
    if matched is None or model is None:
        near = did_you_mean(name, ALL)
        forms = ", ".join(FORMS)
        raise ConfigError(
            [f"engines: '{name}' is no engine{near}, use {forms}, with _floor, _stressed, _buffer or _es"]
        )
    suffixes = matched[3].split("_")[1:]
    rule: dict[str, Any] = {"kind": "tail", "model": model, "level": level, "horizon": horizon * DAY}
    rule["measure"] = "es" if "es" in suffixes else "var"
    for suffix in suffixes:
        if suffix in TOOLS:
            rule = {"kind": TOOLS[suffix], "inner": rule}
    return TypeAdapter(AnyRequirement).validate_python(rule)


def _out_of_range(name: str, word: str, number: str | None, window: int) -> str:
    """The line on a name whose number means nothing."""
    if word not in ("hs", "normal", "garch", "garcht"):
        return f"engines: '{name}' weighs the past by 0.{number}, must be above 0: write {word}_97"
    if number is not None:
        return (
            f"engines: '{name}' looks back {int(number)} days, must be at least {LEAST_DAYS}: write {word}_{LEAST_DAYS}"
        )
    longer = f"write {word}_{LEAST_DAYS}, or give a --window of at least {LEAST_DAYS}"
    return f"engines: '{name}' looks back as far as --window, {window} days, must be at least {LEAST_DAYS}: {longer}"


def _model(word: str, number: str | None, window: int) -> dict[str, Any] | None:
    """What the first two parts of a name stand for; none if the number means nothing."""
    span = DAY * window
    if word in ("hs", "normal", "garch", "garcht"):
        days = DAY * int(number) if number is not None else span if word in ("hs", "normal") else 2 * span
        if days < LEAST_DAYS * DAY:
            return None
        kind = {"hs": "historical", "normal": "covariance"}.get(word, "garch")
        extra = {"distribution": "t"} if word == "garcht" else {}
        return {"kind": kind, "window": days, **extra}
    decay = float(f"0.{number or '97'}")
    if not 0 < decay < 1:
        return None
    kind = {"ewma": "ewma", "fhs": "filtered", "t": "student_t"}[word]
    return {"kind": kind, "decay": decay} | ({} if word == "ewma" else {"window": span})


def with_measure(rule: RequirementComponent, measure: str) -> RequirementComponent | None:
    """The same engine asked for VaR or for ES; none if it is asked for neither."""
    data = rule.model_dump()
    inner = data
    while inner["kind"] != "tail":
        if "inner" not in inner or inner["kind"] == LEARNED:
            return None
        inner = inner["inner"]
    inner["measure"] = measure
    return TypeAdapter(AnyRequirement).validate_python(data)
