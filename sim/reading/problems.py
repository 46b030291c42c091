"""Messages of validation errors: ``path: value, rule, remedy``.

Paths are those of the user's file, with suggestions for misspelt names. Pydantic's own locations
also contain the branch of a union that it tried.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import pydantic
from pydantic_core import ErrorDetails

from sim.errors import describe_unknown, format_value, suggest_name
from sim.reading.packaged import list_packaged
from sim.reading.renamed_keys import RENAMED_IN, RENAMED_KEYS
from sim.reading.schema_types import (
    find_field,
    find_type,
    is_model,
    list_field_names,
    list_kinds,
)

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
"""Pydantic's error type -> (what the value must be, what to do)."""

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
    known = list_field_names(model) if is_model(model) else []
    old = str(path[-1])
    new = RENAMED_KEYS.get(old)
    if new in known and RENAMED_IN.get(old, model.__name__) == model.__name__:
        return f"was renamed, write {new}"
    near = suggest_name(path[-1], known)
    return f"unknown key{near}" if near else f"unknown key, known are {', '.join(known)}, remove it"


def _field_note(path: Sequence[Any], data: Any, schema: type[pydantic.BaseModel]) -> str:
    """Return the field's description, which has its meaning and unit."""
    model = find_type(schema, data, path[:-1])
    if not is_model(model) or not path:
        return ""
    field = find_field(model, str(path[-1]))
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
