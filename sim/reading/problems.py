"""Messages of validation errors: ``path: value, rule, remedy``.

Paths are those of the user's file, with suggestions for misspelt names. Pydantic's own locations
also contain the branch of a union that it tried.
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
from sim.errors import describe_unknown, format_value, suggest_name
from sim.reading.packaged import list_packaged
from sim.reading.references import item_number

ERROR_WORDINGS = {
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
    "string_pattern_mismatch": ("text that matches {pattern}", "rewrite it"),
}
"""Rule and remedy by pydantic's type of error."""

PATTERN_WORDINGS = {
    r"^[A-Za-z0-9_.-]+$": "text of letters, digits, _, . and -",
    r"^[a-z0-9_]+$": "text of lower-case letters, digits and _",
    r"^[a-z][a-z0-9_]*$": "text of lower-case letters, digits and _, a letter first",
}
"""Pattern of a text -> what the text must be, in words."""

MAPPINGS = ("model_type", "model_attributes_type", "dict_type")

FIELD_PREFIX = re.compile(r"[a-z_][\w.-]*: ")
"""Beginning of a validator's message that names a field of its mapping."""


def describe_problems(
    error: pydantic.ValidationError, data: Any, schema: type[pydantic.BaseModel]
) -> list[str]:
    """Return one line for each problem, in the order of the schema.

    Args:
        error: error raised by validation.
        data: validated data, to find the user's path.
        schema: schema of the validation, to find suggestions and units.
    """
    errors = [each for each in error.errors(include_url=False) if not _is_duplicate(each)]
    return list(
        dict.fromkeys(line for each in errors for line in _describe_error(each, data, schema))
    )


def _is_duplicate(error: ErrorDetails) -> bool:
    """Return whether an error repeats another: a list with wrong items is also "too short"."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _describe_error(error: ErrorDetails, data: Any, schema: type[pydantic.BaseModel]) -> list[str]:
    """Return the lines of one error.

    A validator of a whole mapping may report several problems, a line each, of fields that it
    names.
    """
    if error["type"] != "value_error":
        return [_describe_one_problem(error, data, schema)]
    name = ".".join(map(str, _user_path(error, data)))
    lines = error["msg"].removeprefix("Value error, ").splitlines()
    if not name:
        return lines
    value = "" if isinstance(error["input"], dict | list) else f"{format_value(error['input'])}, "
    separators = ["." if FIELD_PREFIX.match(line) else ": " for line in lines]
    return [
        f"{name}{separator}{value}{line}" for separator, line in zip(separators, lines, strict=True)
    ]


def _describe_one_problem(error: ErrorDetails, data: Any, schema: type[pydantic.BaseModel]) -> str:
    """Return the message of an error that pydantic itself found."""
    path, kind = _user_path(error, data), error["type"]
    name = ".".join(map(str, path)) or "configuration"
    if kind == "extra_forbidden":
        return f"{name}: {_describe_unknown_key(path, data, schema)}"
    if kind == "missing":
        return f"{name}: missing, must be given{_field_note(path, data, schema)}, add it"
    if kind == "union_tag_not_found":
        tags = list_kinds(find_type(schema, data, path))
        return f"{name}.kind: missing, must be one of {', '.join(tags)}, add it"
    if kind in ("union_tag_invalid", "literal_error"):
        return _describe_unlisted(name, kind, error)
    value = format_value(error["input"])
    rule, remedy = _find_wording(error)
    if kind in MAPPINGS and isinstance(error["input"], str):
        known = list_kinds(find_type(schema, data, path))
        remedy = _suggest_mapping(error["input"], known) or remedy
    return f"{name}: {value}, must be {rule}{_field_note(path, data, schema)}, {remedy}"


def _find_wording(error: ErrorDetails) -> tuple[str, str]:
    """Return the rule that an error breaks, and the remedy."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    other = f"valid ({' '.join(error['msg'].split())})"
    rule, remedy = ERROR_WORDINGS.get(kind, (other, "correct it"))
    if kind in ("float_type", "int_type") and isinstance(value, str):
        remedy = _suggest_unquoted(value) or remedy
    if kind == "too_short" and isinstance(value, dict):
        rule, remedy = "a mapping of at least {min_length} key", "write 'key: value' lines below it"
    if kind == "string_too_short" and context["min_length"] == 1:
        rule = "text that is not empty"
    if kind == "string_pattern_mismatch":
        rule = PATTERN_WORDINGS.get(context["pattern"], rule)
    bounds = {
        key: f"{bound:.15g}" if isinstance(bound, float) else bound
        for key, bound in context.items()
    }
    return rule.format(**bounds), remedy


def _suggest_mapping(text: str, known: Sequence[str]) -> str:
    """Return the remedy for a name in place of a mapping.

    The name may be that of a kind, or of a file such as ``span`` or ``engines/span``.
    """
    if text in known:
        return f"write {{kind: {text}}}"
    name = text.removesuffix(".yaml")
    names = (
        [text]
        if text.endswith(".yaml")
        else [each for each in list_packaged() if f"/{each}".endswith(f"/{name}")]
    )
    return f"write {{include: {names[0]}}}" if names else ""


def _suggest_unquoted(text: str) -> str:
    """Return the remedy for a number that was read as text, in quotes or not.

    YAML reads -.2 and 1_0.5 as words.
    """
    try:
        value = float(text)
    except ValueError:
        return ""
    return f"write {value:.15g} without quotes" if math.isfinite(value) else ""


def _describe_unlisted(name: str, kind: str, error: ErrorDetails) -> str:
    if kind == "union_tag_invalid":
        value, known, name = error["ctx"]["tag"], error["ctx"]["expected_tags"], f"{name}.kind"
        if isinstance(error["input"], dict):  # the tag is text whatever the value is
            value = error["input"].get("kind")
    else:
        value, known = error["input"], error["ctx"]["expected"]
    names = [each.strip("' ") for each in re.split(", | or ", known)]
    if not isinstance(value, str) and str(value) in names:
        return f"{name}: {format_value(value)}, must be text, write '{value}' in quotes"
    return f"{name}: {describe_unknown(value, names)}"


def _describe_unknown_key(path: Sequence[Any], data: Any, schema: type[pydantic.BaseModel]) -> str:
    model = find_type(schema, data, path[:-1])
    known = _field_names(model) if _is_model(model) else []
    near = suggest_name(path[-1], known)
    return f"unknown key{near}" if near else f"unknown key, known are {', '.join(known)}, remove it"


def _field_note(path: Sequence[Any], data: Any, schema: type[pydantic.BaseModel]) -> str:
    """Return the field's description, which has its meaning and unit."""
    model = find_type(schema, data, path[:-1])
    if not _is_model(model) or not path:
        return ""
    field = _find_field(model, str(path[-1]))
    return f" ({field.description})" if field is not None and field.description else ""


def _user_path(error: ErrorDetails, data: Any) -> tuple[Any, ...]:
    """Return pydantic's location without the names of union branches and validators."""
    path: list[Any] = []
    node, parts = data, error["loc"]
    branched = False  # the branch of this mapping's union has been passed; a key may have its name
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if not branched and isinstance(node, dict) and part == node.get("kind"):
            branched = True
            continue
        if _has_part(node, part):
            node, branched = node[part], False
        elif not (last and error["type"] == "missing"):
            continue
        path.append(part)
    return tuple(path)


def _has_part(node: Any, part: Any) -> bool:
    if isinstance(node, dict):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and part < len(node)


def find_type(schema: Any, data: Any, path: Sequence[Any]) -> Any:
    """Return the type that a schema expects at a path of some data; None if it knows none."""
    expected: Any = _narrow_type(schema, data)
    for part in path:
        data = _get_child(data, part)
        expected = _narrow_type(_type_of_child(expected, part), data)
    return expected


def find_declared_type(schema: Any, data: Any, path: Sequence[Any]) -> Any:
    """Return the type that a schema expects at a path whatever the data, with all of its kinds."""
    return _narrow_type(_type_of_child(find_type(schema, data, path[:-1]), path[-1]), None)


def find_default(schema: type[pydantic.BaseModel] | None, data: Any, path: Sequence[str]) -> Any:
    """Return the default of a schema at a path that the data omit, as plain data, or {}.

    It is an empty mapping if the default is no mapping or list.
    """
    model = find_type(schema, data, path[:-1]) if schema is not None else None
    field = _find_field(model, path[-1]) if _is_model(model) else None
    if field is None or field.is_required():
        return {}
    value = field.get_default(call_default_factory=True, validated_data={})
    plain = pydantic.RootModel[Any](value).model_dump(mode="json")
    return plain if isinstance(plain, dict | list) else {}


def has_several_kinds(schema: Any, data: Any, path: Sequence[Any]) -> bool:
    """Return whether one class has several kinds at a path of some data.

    Another kind then keeps the other fields.
    """
    model = find_type(schema, data, path)
    return (
        _is_model(model) and _find_field(model, "kind") is not None and len(list_kinds(model)) > 1
    )


def is_plain(schema: Any, data: Any, path: Sequence[Any]) -> bool:
    """Return whether a schema expects a value without parts, such as a number, at a path."""
    expected = strip_annotation(find_type(schema, data, path)) if schema is not None else None
    branches = (
        [strip_annotation(each) for each in typing.get_args(expected)]
        if _is_union(expected)
        else [expected]
    )
    plain = (int, float, str, bool, types.NoneType)
    return expected is not None and all(
        each in plain or typing.get_origin(each) is typing.Literal for each in branches
    )


def _is_union(expected: Any) -> bool:
    return typing.get_origin(expected) in (typing.Union, types.UnionType)


def has_field(model: Any, name: str) -> bool:
    """Return whether a type is a model with that field."""
    return _is_model(model) and _find_field(model, name) is not None


def is_list(expected: Any) -> bool:
    """Return whether a type is that of a list."""
    return typing.get_origin(strip_annotation(expected)) in (tuple, list)


def expects_components(schema: Any, data: Any, path: Sequence[Any]) -> bool:
    """Return whether a schema expects a component, or a list of them, at a path of some data."""
    expected = strip_annotation(find_type(schema, data, path))
    if typing.get_origin(expected) in (tuple, list):
        expected = _narrow_type(typing.get_args(expected)[0], None)
    branches = [strip_annotation(each) for each in typing.get_args(expected)] or [expected]
    return all(_is_model(each) for each in branches if each is not type(None)) and branches != [
        None
    ]


def _get_child(data: Any, part: Any) -> Any:
    if isinstance(data, dict):
        return data.get(str(part))
    number = item_number(str(part), data)
    return None if number is None else data[number]


def _type_of_child(expected: Any, part: Any) -> Any:
    if _is_model(expected):
        field = _find_field(expected, str(part))
        return field.annotation if field is not None else None
    origin = typing.get_origin(expected)
    if origin not in (dict, tuple, list):
        return None
    arguments = [each for each in typing.get_args(expected) if each is not Ellipsis]
    if origin is dict:
        return arguments[1]
    if (
        origin is tuple
        and len(arguments) > 1
        and str(part).isdecimal()
        and int(part) < len(arguments)
    ):
        return arguments[int(part)]
    return arguments[0] if arguments else None


def _narrow_type(expected: Any, data: Any) -> Any:
    """Remove annotations, and choose the branch of a union that the data's ``kind`` names."""
    expected = getattr(expected, "__value__", expected)
    if typing.get_origin(expected) is typing.Annotated:
        return _narrow_type(typing.get_args(expected)[0], data)
    if not _is_union(expected):
        return _choose_variant(expected, data)
    branches = [
        branch
        for branch in map(strip_annotation, typing.get_args(expected))
        if branch is not type(None)
    ]
    kind = data.get("kind") if isinstance(data, dict) else None
    named = [branch for branch in branches if kind is not None and kind in list_kinds(branch)]
    models = [branch for branch in branches if _is_model(branch)]
    if not named and isinstance(data, dict) and len(models) == 1:
        named = models  # no other branch can hold a mapping
    if named or len(branches) == 1:
        return _narrow_type((named or branches)[0], data)
    return expected


def _choose_variant(expected: Any, data: Any) -> Any:
    """Return the kind of an abstract model that the data name, if a registry is searched late."""
    if (
        not _is_model(expected)
        or _find_field(expected, "kind") is not None
        or not isinstance(data, dict)
    ):
        return expected
    return next(
        (each for each in _registered_variants(expected) if data.get("kind") in list_kinds(each)),
        expected,
    )


def _registered_variants(model: type[pydantic.BaseModel]) -> list[type[Component]]:
    return model.registered_variants() if issubclass(model, Component) else []


def strip_annotation(annotation: Any) -> Any:
    """Return a type without ``Annotated``."""
    return (
        typing.get_args(annotation)[0]
        if typing.get_origin(annotation) is typing.Annotated
        else annotation
    )


def list_kinds(expected: Any) -> list[str]:
    """Return the values of ``kind`` that a model or a union of models accepts."""
    expected = strip_annotation(expected)
    if _is_model(expected):
        field = _find_field(expected, "kind")
        if field is None:
            return [
                kind for variant in _registered_variants(expected) for kind in list_kinds(variant)
            ]
        return [str(each) for each in _literal_values(field.annotation)]
    return [kind for branch in typing.get_args(expected) for kind in list_kinds(branch)]


def _literal_values(expected: Any) -> list[Any]:
    if typing.get_origin(expected) is typing.Literal:
        return list(typing.get_args(expected))
    return [value for part in typing.get_args(expected) for value in _literal_values(part)]


def _is_model(expected: Any) -> typing.TypeGuard[type[pydantic.BaseModel]]:
    return isinstance(expected, type) and issubclass(expected, pydantic.BaseModel)


def _field_names(model: type[pydantic.BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _find_field(model: type[pydantic.BaseModel], name: str) -> Any:
    for own, field in model.model_fields.items():
        if name in (own, field.alias):
            return field
    return None
