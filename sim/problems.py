"""Wording of validation errors: ``path: value, rule, remedy``, in the user's path and with a suggestion.

Pydantic's own locations name the branch of a union it tried; the paths told here are those of the file.
"""

import math
import re
import types
import typing
from collections.abc import Sequence
from typing import Any

import pydantic
from pydantic_core import ErrorDetails

from sim.component import Component
from sim.errors import did_you_mean, not_one_of, shown
from sim.packaged import packaged
from sim.references import item_number

WORDS = {
    "greater_than": ("greater than {gt}", "raise it"),
    "greater_than_equal": ("at least {ge}", "raise it"),
    "less_than": ("less than {lt}", "lower it"),
    "less_than_equal": ("at most {le}", "lower it"),
    "multiple_of": ("a multiple of {multiple_of}", "round it"),
    "finite_number": ("a finite number", "write a number"),
    "int_type": ("a whole number", "write one without quotes or fraction"),
    "int_from_float": ("a whole number", "round it"),
    "float_type": ("a number", "write one without quotes"),
    "bool_type": ("true or false", "write one of them without quotes"),
    "string_type": ("text", "put it in quotes"),
    "model_type": ("a mapping", "write 'key: value' lines below it"),
    "model_attributes_type": ("a mapping", "write 'key: value' lines below it"),
    "dict_type": ("a mapping", "write 'key: value' lines below it"),
    "list_type": ("a list", "write [a, b]"),
    "tuple_type": ("a list", "write [a, b]"),
    "too_short": ("a list of at least {min_length}", "add items"),
    "too_long": ("a list of at most {max_length}", "remove items"),
    "string_too_short": ("text of at least {min_length} characters", "lengthen it"),
    "string_too_long": ("text of at most {max_length} characters", "shorten it"),
    "date_from_datetime_parsing": ("a date such as 2008-09-15", "rewrite it"),
    "date_parsing": ("a date such as 2008-09-15", "rewrite it"),
    "date_type": ("a date such as 2008-09-15", "rewrite it"),
    "setting": ("a number, a word, true or false, or a mapping of label and set", "rewrite it"),
    "string_pattern_mismatch": ("text of letters, digits, _, . and -", "rewrite it"),
}
"""Pydantic's error type -> (what the value must be, what to do)."""

MAPPINGS = ("model_type", "model_attributes_type", "dict_type")

FIELD = re.compile(r"[a-z_][\w.-]*: ")
"""How a validator's message begins that names a field of its mapping."""


def describe(error: pydantic.ValidationError, data: Any, schema: type[pydantic.BaseModel]) -> list[str]:
    """One line for each problem, in the order of the schema.

    Args:
        error: what validation raised.
        data: what was validated, to find the user's path.
        schema: what it was validated against, to find suggestions and units.
    """
    errors = [each for each in error.errors(include_url=False) if not _echo(each)]
    return list(dict.fromkeys(line for each in errors for line in _lines(each, data, schema)))


def _echo(error: ErrorDetails) -> bool:
    """Pydantic also calls a list too short when its items are wrong."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _lines(error: ErrorDetails, data: Any, schema: type[pydantic.BaseModel]) -> list[str]:
    """A validator of a whole mapping may tell several problems, a line each, of fields that it names."""
    if error["type"] != "value_error":
        return [_line(error, data, schema)]
    name, told = ".".join(map(str, _user_path(error, data))), error["msg"].removeprefix("Value error, ").splitlines()
    value = "" if isinstance(error["input"], dict | list) else f"{shown(error['input'])}, "
    return [f"{name}{'.' if FIELD.match(line) else ': '}{value}{line}" if name else line for line in told]


def _line(error: ErrorDetails, data: Any, schema: type[pydantic.BaseModel]) -> str:
    path = _user_path(error, data)
    kind, context = error["type"], error.get("ctx", {})
    name = ".".join(map(str, path)) or "configuration"
    if kind == "extra_forbidden":
        return f"{name}: {_unknown(path, data, schema)}"
    if kind == "missing":
        return f"{name}: missing, must be given{_note(path, data, schema)}, add it"
    if kind == "union_tag_not_found":
        tags = kinds(type_at(schema, data, path))
        return f"{name}.kind: missing, must be one of {', '.join(tags)}, add it"
    if kind in ("union_tag_invalid", "literal_error"):
        return _unlisted(name, kind, error)
    rule, remedy = WORDS.get(kind, (f"what is asked for ({' '.join(error['msg'].split())})", "correct it"))
    if kind in ("float_type", "int_type") and isinstance(error["input"], str):
        remedy = _unquoted(error["input"]) or remedy
    if kind == "too_short" and isinstance(error["input"], dict):
        rule, remedy = "a mapping of at least {min_length} key", "write 'key: value' lines below it"
    if kind in MAPPINGS and isinstance(error["input"], str):
        remedy = _named(error["input"], kinds(type_at(schema, data, path))) or remedy
    if kind == "string_too_short" and context["min_length"] == 1:
        rule = "text that is not empty"
    bounds = {key: f"{value:.15g}" if isinstance(value, float) else value for key, value in context.items()}
    return f"{name}: {shown(error['input'])}, must be {rule.format(**bounds)}{_note(path, data, schema)}, {remedy}"


def _named(text: str, known: Sequence[str]) -> str:
    """The remedy for a name where a mapping is expected: of a kind, or of a file such as ``span``, ``engines/span``."""
    if text in known:
        return f"write {{kind: {text}}}"
    name = text.removesuffix(".yaml")
    names = [text] if text.endswith(".yaml") else [each for each in packaged() if f"/{each}".endswith(f"/{name}")]
    return f"write {{include: {names[0]}}}" if names else ""


def _unquoted(text: str) -> str:
    """The remedy for a number that was read as text, in quotes or not: YAML reads -.2 and 1_0.5 as words."""
    try:
        value = float(text)
    except ValueError:
        return ""
    return f"write {value:.15g} without quotes" if math.isfinite(value) else ""


def _unlisted(name: str, kind: str, error: ErrorDetails) -> str:
    if kind == "union_tag_invalid":
        value, known, name = error["ctx"]["tag"], error["ctx"]["expected_tags"], f"{name}.kind"
        if isinstance(error["input"], dict):  # the tag is text whatever the value is
            value = error["input"].get("kind")
    else:
        value, known = error["input"], error["ctx"]["expected"]
    names = [each.strip("' ") for each in re.split(", | or ", known)]
    if not isinstance(value, str) and str(value) in names:
        return f"{name}: {shown(value)}, must be text, write '{value}' in quotes"
    return f"{name}: {not_one_of(value, names)}"


def _unknown(path: Sequence[Any], data: Any, schema: type[pydantic.BaseModel]) -> str:
    model = type_at(schema, data, path[:-1])
    known = _names(model) if _is_model(model) else []
    near = did_you_mean(path[-1], known)
    return f"unknown key{near}" if near else f"unknown key, known are {', '.join(known)}, remove it"


def _note(path: Sequence[Any], data: Any, schema: type[pydantic.BaseModel]) -> str:
    """The field's description, which tells its meaning and unit."""
    model = type_at(schema, data, path[:-1])
    if not _is_model(model) or not path:
        return ""
    field = _field(model, str(path[-1]))
    return f" ({field.description})" if field is not None and field.description else ""


def _user_path(error: ErrorDetails, data: Any) -> tuple[Any, ...]:
    """Pydantic's location without the names of union branches and validators."""
    path: list[Any] = []
    node, parts = data, error["loc"]
    branched = False  # whether the branch of this mapping's union has been passed; a key may have the same name
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if not branched and isinstance(node, dict) and part == node.get("kind"):
            branched = True
            continue
        if _holds(node, part):
            node, branched = node[part], False
        elif not (last and error["type"] == "missing"):
            continue
        path.append(part)
    return tuple(path)


def _holds(node: Any, part: Any) -> bool:
    if isinstance(node, dict):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and part < len(node)


def type_at(schema: Any, data: Any, path: Sequence[Any]) -> Any:
    """The type that a schema expects at a path of some data; None where it knows none."""
    expected: Any = _narrow(schema, data)
    for part in path:
        data = _child(data, part)
        expected = _narrow(_type_of_child(expected, part), data)
    return expected


def any_at(schema: Any, data: Any, path: Sequence[Any]) -> Any:
    """The type that a schema expects at a path whatever stands there, with all of its kinds."""
    return _narrow(_type_of_child(type_at(schema, data, path[:-1]), path[-1]), None)


def default_of(schema: type[pydantic.BaseModel] | None, data: Any, path: Sequence[str]) -> Any:
    """What a schema fills in at a path that the data leaves out, as plain data; else an empty mapping."""
    model = type_at(schema, data, path[:-1]) if schema is not None else None
    field = _field(model, path[-1]) if _is_model(model) else None
    if field is None or field.is_required():
        return {}
    value = field.get_default(call_default_factory=True, validated_data={})
    plain = pydantic.RootModel[Any](value).model_dump(mode="json")
    return plain if isinstance(plain, dict | list) else {}


def has_several_kinds(schema: Any, data: Any, path: Sequence[Any]) -> bool:
    """Whether one class serves several kinds at a path of some data, so that another kind keeps what else is there."""
    model = type_at(schema, data, path)
    return _is_model(model) and _field(model, "kind") is not None and len(kinds(model)) > 1


def is_plain(schema: Any, data: Any, path: Sequence[Any]) -> bool:
    """Whether a schema expects a value without parts at a path of some data, such as a number or text."""
    expected = bare(type_at(schema, data, path)) if schema is not None else None
    branches = [bare(each) for each in typing.get_args(expected)] if _is_union(expected) else [expected]
    plain = (int, float, str, bool, types.NoneType)
    return expected is not None and all(each in plain or typing.get_origin(each) is typing.Literal for each in branches)


def _is_union(expected: Any) -> bool:
    return typing.get_origin(expected) in (typing.Union, types.UnionType)


def has_field(model: Any, name: str) -> bool:
    """Whether a type is a model with that field."""
    return _is_model(model) and _field(model, name) is not None


def is_list(expected: Any) -> bool:
    """Whether a type is that of a list."""
    return typing.get_origin(bare(expected)) in (tuple, list)


def expects_components(schema: Any, data: Any, path: Sequence[Any]) -> bool:
    """Whether a schema expects a component at a path of some data, or a list of components."""
    expected = bare(type_at(schema, data, path))
    if typing.get_origin(expected) in (tuple, list):
        expected = _narrow(typing.get_args(expected)[0], None)
    branches = [bare(each) for each in typing.get_args(expected)] or [expected]
    return all(_is_model(each) for each in branches if each is not type(None)) and branches != [None]


def _child(data: Any, part: Any) -> Any:
    if isinstance(data, dict):
        return data.get(str(part))
    number = item_number(str(part), data)
    return None if number is None else data[number]


def _type_of_child(expected: Any, part: Any) -> Any:
    if _is_model(expected):
        field = _field(expected, str(part))
        return field.annotation if field is not None else None
    origin = typing.get_origin(expected)
    if origin not in (dict, tuple, list):
        return None
    arguments = [each for each in typing.get_args(expected) if each is not Ellipsis]
    if origin is dict:
        return arguments[1]
    if origin is tuple and len(arguments) > 1 and str(part).isdecimal() and int(part) < len(arguments):
        return arguments[int(part)]
    return arguments[0] if arguments else None


def _narrow(expected: Any, data: Any) -> Any:
    """Strip annotations, and choose the branch of a union that the data's ``kind`` names."""
    expected = getattr(expected, "__value__", expected)
    if typing.get_origin(expected) is typing.Annotated:
        return _narrow(typing.get_args(expected)[0], data)
    if not _is_union(expected):
        return _concrete(expected, data)
    branches = [branch for branch in map(bare, typing.get_args(expected)) if branch is not type(None)]
    kind = data.get("kind") if isinstance(data, dict) else None
    named = [branch for branch in branches if kind is not None and kind in kinds(branch)]
    models = [branch for branch in branches if _is_model(branch)]
    if not named and isinstance(data, dict) and len(models) == 1:
        named = models  # no other branch can hold a mapping
    if named or len(branches) == 1:
        return _narrow((named or branches)[0], data)
    return expected


def _concrete(expected: Any, data: Any) -> Any:
    """The kind of an abstract model that the data names, where a registry is looked up late."""
    if not _is_model(expected) or _field(expected, "kind") is not None or not isinstance(data, dict):
        return expected
    return next((each for each in _variants(expected) if data.get("kind") in kinds(each)), expected)


def _variants(model: type[pydantic.BaseModel]) -> list[type[Component]]:
    return model.variants() if issubclass(model, Component) else []


def bare(annotation: Any) -> Any:
    """An annotation without what ``Annotated`` adds to it."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


def kinds(expected: Any) -> list[str]:
    """Values of ``kind`` that a model or a union of models accepts."""
    expected = bare(expected)
    if _is_model(expected):
        field = _field(expected, "kind")
        if field is None:
            return [kind for variant in _variants(expected) for kind in kinds(variant)]
        return [str(each) for each in _literals(field.annotation)]
    return [kind for branch in typing.get_args(expected) for kind in kinds(branch)]


def _literals(expected: Any) -> list[Any]:
    if typing.get_origin(expected) is typing.Literal:
        return list(typing.get_args(expected))
    return [value for part in typing.get_args(expected) for value in _literals(part)]


def _is_model(expected: Any) -> typing.TypeGuard[type[pydantic.BaseModel]]:
    return isinstance(expected, type) and issubclass(expected, pydantic.BaseModel)


def _names(model: type[pydantic.BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _field(model: type[pydantic.BaseModel], name: str) -> Any:
    for own, field in model.model_fields.items():
        if name in (own, field.alias):
            return field
    return None
