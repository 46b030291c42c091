"""Old names of configuration keys are refused with the new ones, and no packaged text uses them."""

import ast
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from experiments.calculator.portfolio import PortfolioConfig
from experiments.config import RunConfig
from experiments.file_kinds import load_kind
from experiments.sweep.config import StudyConfig
from sim.component import Component
from sim.errors import ConfigError
from sim.reading.packaged import PACKAGED, list_packaged
from sim.reading.renamed_keys import RENAMED_IN, RENAMED_KEYS
from sim.reading.schema_types import strip_annotation

ROOT = Path(__file__).resolve().parents[2]
"""Root of the sources."""

SCHEMAS: dict[str, type[Component]] = {
    "run": RunConfig,
    "portfolio": PortfolioConfig,
    "study": StudyConfig,
}
"""Model by kind of file."""


class Place(NamedTuple):
    """Place of a component in a configuration: the keys on the way, each with the kind above it."""

    file: str
    model: type[Component]
    steps: tuple[tuple[str, str | None], ...] = ()

    @property
    def path(self) -> str:
        return ".".join(key for key, _ in self.steps)

    def wrap(self, key: str, value: Any = 1) -> Any:
        """Return a configuration in which the component has a key, and no more than it must."""
        data: Any = {key: value} | _give_kind(_find_kind(self.model))
        for part, kind in reversed(self.steps):
            data = [data] if part == "0" else {part: data} | _give_kind(kind)
        return data


def _give_kind(kind: str | None) -> dict[str, str]:
    return {} if kind is None else {"kind": kind}


def _find_kind(model: type[Component]) -> str | None:
    field = model.model_fields.get("kind")
    return None if field is None or field.is_required() else str(field.default)


def _list_children(annotation: Any) -> Iterator[tuple[tuple[str, ...], type[Component]]]:
    """Yield each component that a type accepts, below numbers of lists and names of mappings."""
    annotation = strip_annotation(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Component):
        yield from (((), each) for each in annotation.registered_variants() or [annotation])
        return
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    below = ("0",) if origin in (list, tuple) else ("X",) if origin is dict else ()
    for argument in arguments:
        for parts, model in _list_children(argument):
            yield (*below, *parts), model


def _list_places(file: str) -> list[Place]:
    """Return the shortest place of each component that a kind of file can hold."""
    found = {SCHEMAS[file]: Place(file, SCHEMAS[file])}
    waiting = list(found)
    while waiting:
        above = found[waiting.pop(0)]
        for name, field in above.model.model_fields.items():
            for parts, model in _list_children(field.annotation):
                if model not in found:
                    steps = ((name, _find_kind(above.model)), *((part, None) for part in parts))
                    found[model] = Place(file, model, (*above.steps, *steps))
                    waiting.append(model)
    return list(found.values())


PLACES = list(
    {place.model: place for file in reversed(SCHEMAS) for place in _list_places(file)}.values()
)
"""A place of each component of runs, portfolios and studies."""

RENAMED = [
    (place, old)
    for old, new in sorted(RENAMED_KEYS.items())
    for place in PLACES
    if new in place.model.model_fields
    and place.model.__name__ == RENAMED_IN.get(old, place.model.__name__)
]
"""Each component that has a renamed key, with the old name."""

GONE = set(RENAMED_KEYS) - {name for place in PLACES for name in place.model.model_fields}
"""Old names that no component has as a key today."""

VALUED = re.compile(
    rf"(?<![\w-])(?:{'|'.join(GONE)})(?=\s?[:=](?:\s?[^\s=]|\s?$))"
    rf"|\.(?:{'|'.join(GONE)})(?![\w(])"
    rf"|(?<=engine\.)(?:{'|'.join(set(RENAMED_KEYS) - GONE)})(?![\w(])"
)
"""Old name with its value, or at the end of a dotted path."""

PAGES = [
    page.relative_to(ROOT).as_posix()
    for folder in ("sim", "agents", "experiments", "configs")
    for page in sorted((ROOT / folder).rglob("*.md"))
] + ["README.md"]
"""Pages of the project."""

CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
"""Code on a page."""


def _list_problems(place: Place, key: str, folder: Path) -> list[str]:
    """Return the problems of a file in which a component has a key."""
    file = folder / f"{place.file}.yaml"
    file.write_text(yaml.safe_dump(place.wrap(key)))
    try:
        load_kind(place.file, file, [], SCHEMAS[place.file])
    except ConfigError as error:
        return error.problems
    return []


def test_each_renamed_key_has_a_component_with_the_new_one() -> None:
    assert {old for _, old in RENAMED} == set(RENAMED_KEYS)


@pytest.mark.parametrize(
    ("place", "old"),
    [pytest.param(*each, id=f"{each[0].model.__name__}.{each[1]}") for each in RENAMED],
)
def test_an_old_key_is_refused_with_the_new_one_which_is_read(
    place: Place, old: str, tmp_path: Path
) -> None:
    new = RENAMED_KEYS[old]
    assert old not in place.model.model_fields
    where = f"{place.path}.{old}" if place.path else old
    expected = [
        line for line in _list_problems(place, old, tmp_path) if line.startswith(f"{where}:")
    ]
    assert expected == [f"{where}: was renamed, write {new}"]
    again = _list_problems(place, new, tmp_path)
    assert not [line for line in again if "unknown key" in line or "was renamed" in line]


def test_a_key_that_a_component_never_had_was_not_renamed(tmp_path: Path) -> None:
    """`maintenance` is an old name of an engine's key; `tiered` always had `maintenance_ratio`."""
    (place,) = (each for each in PLACES if each.model.__name__ == "TieredRequirement")
    (line,) = (
        each for each in _list_problems(place, "maintenance", tmp_path) if ".maintenance:" in each
    )
    assert "unknown key (did you mean 'maintenance_rule' or 'maintenance_ratio'?)" in line


@pytest.mark.parametrize("name", list_packaged())
def test_no_packaged_configuration_uses_an_old_key(name: str) -> None:
    """Scale and maintenance are keys of other components: that the file loads checks those."""
    assert VALUED.findall((PACKAGED / f"{name}.yaml").read_text(encoding="utf-8")) == []


def _list_renamed(folder: Path) -> set[str]:
    """Return the old keys of components that are defined in a folder or below it."""
    return {
        old
        for place, old in RENAMED
        if folder in Path(inspect.getfile(place.model)).parents and old in GONE
    }


def _find_old_keys(text: str, alone: set[str]) -> list[str]:
    """Return the old names in some code, with a value or, if they are given, alone."""
    return VALUED.findall(text) + [word for word in alone if text.strip("`") == word]


@pytest.mark.parametrize("page", PAGES)
def test_no_page_uses_an_old_key(page: str) -> None:
    path = ROOT / page
    code = CODE.findall(path.read_text(encoding="utf-8"))
    alone = _list_renamed(path.parent)
    assert [(part, found) for part in code if (found := _find_old_keys(part, alone))] == []


def _list_messages(source: Path) -> list[str]:
    """Return the strings of a module that are not documentation."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes
    ]


SOURCE_FOLDERS = sorted(
    {Path(inspect.getfile(place.model)).parent.relative_to(ROOT).as_posix() for place, _ in RENAMED}
)
"""Folders of the components that have a renamed key."""


@pytest.mark.parametrize("folder", SOURCE_FOLDERS)
def test_no_message_of_a_component_uses_an_old_key(folder: str) -> None:
    old = _list_renamed(ROOT / folder)
    coined = {each for each in old if "_" in each or each in ("kappa", "vols")}
    texts = [
        (source.name, text)
        for source in (ROOT / folder).glob("*.py")
        for text in _list_messages(source)
    ]
    assert [
        each for each in texts if set(VALUED.findall(each[1])) & {*old, *(f".{x}" for x in old)}
    ] == []
    assert [each for each in texts if coined & set(re.findall(r"\w+", each[1]))] == []
