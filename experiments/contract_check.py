"""Contract suites on a user's own components: which they are, and what holds."""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pydantic
import yaml

from agents import POPULATIONS
from sim.checks import populations
from sim.checks.law import Finding, Suite, run_suite
from sim.checks.suites import SUITES, is_plugin_class
from sim.component import Component
from sim.errors import ConfigError, describe_unknown
from sim.reading.incomplete import list_missing
from sim.reading.problems import describe_problems

ALL_SUITES: tuple[tuple[Suite, Mapping[str, type[Component]]], ...] = (
    *SUITES,
    (populations.SUITE, POPULATIONS),
)
"""Each suite with the registry of the components that it is for."""


class CheckedComponent(NamedTuple):
    """A component and what the suite of its registry found."""

    name: str  # registry and kind
    findings: list[Finding]

    @property
    def failures(self) -> list[Finding]:
        """Return the laws that are broken."""
        return [finding for finding in self.findings if finding.fault]


class Registered(NamedTuple):
    """A class that a configuration can name."""

    suite: Suite
    kind: str
    cls: type[Component]


def find_registered(kind: str | None, plugins: Sequence[str]) -> list[Registered]:
    """Return the classes of plug-ins, or those of one kind, which may be a packaged one.

    Raises:
        ConfigError: there is none.
    """
    every = [
        Registered(suite, name, cls)
        for suite, registry in ALL_SUITES
        for name, cls in registry.items()
    ]
    own = [each for each in every if is_plugin_class(each.cls)]
    if kind is not None:
        found = [each for each in own if each.kind == kind]
        found = found or [each for each in every if each.kind == kind]
        if not found:
            names = dict.fromkeys(each.kind for each in own or every)
            raise ConfigError([f"--kind: {describe_unknown(kind, names)}"])
        return found
    if not plugins:
        raise ConfigError(["--plugin: none given, name a module, or a packaged kind with --kind"])
    if not own:
        message = f"--plugin {', '.join(plugins)}: registers no component that has a contract"
        raise ConfigError([f"{message}, add one to a registry such as sim.margin.REQUIREMENTS"])
    return own


def check_registered(
    found: Sequence[Registered], settings: Sequence[str], worlds: int | None = None
) -> Iterator[CheckedComponent]:
    """Check components one after another.

    Args:
        found: the classes.
        settings: ``field=value`` of fields that are to have other values than the default.
        worlds: worlds of each law at most; none = as many as the law names.

    Raises:
        ConfigError: a component cannot be built from these settings.
    """
    whole = [each for each in found if not inspect.isabstract(each.cls)]
    built = {id(each): build_component(each, settings) for each in whole}
    for each in found:
        if id(each) in built:
            findings = list(run_suite(each.suite, built[id(each)], worlds))
        else:  # of a class that cannot be instantiated, nothing more can be found
            findings = [Finding(each.suite.laws[0], 0, list_missing(each.cls))]
        yield CheckedComponent(f"{each.suite.kind} {each.kind}", findings)


def build_component(registered: Registered, settings: Sequence[str]) -> Component:
    """Return a component with its defaults, stand-ins for fields without one, and settings.

    Raises:
        ConfigError: a setting is missing or invalid.
    """
    suite, kind, cls = registered
    needed = [name for name, field in cls.model_fields.items() if field.is_required()]
    data = {name: suite.settings[name] for name in needed if name in suite.settings}
    data |= {"kind": kind, **dict(map(_parse_setting, settings))}
    try:
        return cls.model_validate_json(json.dumps(data), strict=True)
    except pydantic.ValidationError as error:
        lines = describe_problems(error, data, cls)
        lines = [f"{suite.kind} {kind}: {line}" for line in lines]
        if any(detail["type"] == "missing" for detail in error.errors()):
            lines.append(
                f"--kind {kind}: has fields without a default, write --kind {kind} FIELD=VALUE"
            )
        raise ConfigError(lines) from error


def _parse_setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError([f"{text!r}: is no setting, write FIELD=VALUE"])
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError([f"{name}: {value!r} is not YAML, correct it"]) from error


def format_checks(checked: Sequence[CheckedComponent]) -> str:
    """Return a table of all laws, and the smallest counterexample of each that is broken."""
    rows = [("component", "law", "rule", "worlds", "result")]
    for each in checked:
        for law, worlds, fault in each.findings:
            row = each.name, law.name, law.rule, str(worlds), "fails" if fault else "holds"
            rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    for each in checked:
        for law, _, fault in each.failures:
            lines += ["", f"{each.name}, {law.name}: {law.sentence}", f"  {fault}"]
    failed = sum(len(each.failures) for each in checked)
    total = sum(len(each.findings) for each in checked)
    verdict = "all hold" if not failed else f"{failed} of them {'fails' if failed == 1 else 'fail'}"
    lines += ["", f"{total} laws of {_count(len(checked))}: {verdict}"]
    return "\n".join(lines)


def _count(components: int) -> str:
    return f"{components} component{'' if components == 1 else 's'}"
