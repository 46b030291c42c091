"""Types that a schema expects at the paths of a configuration."""

import types
import typing
from collections.abc import Sequence
from typing import Any

import pydantic

from sim.component import Component
from sim.reading.references import item_number


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
    field = find_field(model, path[-1]) if is_model(model) else None
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
    return is_model(model) and find_field(model, "kind") is not None and len(list_kinds(model)) > 1


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
    return is_model(model) and find_field(model, name) is not None


def is_list(expected: Any) -> bool:
    """Return whether a type is that of a list."""
    return typing.get_origin(strip_annotation(expected)) in (tuple, list)


def expects_components(schema: Any, data: Any, path: Sequence[Any]) -> bool:
    """Return whether a schema expects a component, or a list of them, at a path of some data."""
    return is_of_components(find_type(schema, data, path))


def is_of_components(expected: Any) -> bool:
    """Return whether a type is that of a component, or of a list of them."""
    expected = strip_annotation(expected)
    if typing.get_origin(expected) in (tuple, list):
        expected = _narrow_type(typing.get_args(expected)[0], None)
    branches = [strip_annotation(each) for each in typing.get_args(expected)] or [expected]
    return all(is_model(each) for each in branches if each is not type(None)) and branches != [None]


def find_part_type(expected: Any, node: Any, part: Any) -> Any:
    """Return the type of a part of a node by the node's type and ``kind``; None if unknown."""
    return _narrow_type(_type_of_child(_narrow_type(expected, node), part), None)


def _get_child(data: Any, part: Any) -> Any:
    if isinstance(data, dict):
        return data.get(str(part))
    number = item_number(str(part), data)
    return None if number is None else data[number]


def _type_of_child(expected: Any, part: Any) -> Any:
    if is_model(expected):
        field = find_field(expected, str(part))
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
    models = [branch for branch in branches if is_model(branch)]
    if not named and isinstance(data, dict) and len(models) == 1:
        named = models  # no other branch can hold a mapping
    if named or len(branches) == 1:
        return _narrow_type((named or branches)[0], data)
    return expected


def _choose_variant(expected: Any, data: Any) -> Any:
    """Return the kind of an abstract model that the data name, if a registry is searched late."""
    if (
        not is_model(expected)
        or find_field(expected, "kind") is not None
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
    if is_model(expected):
        field = find_field(expected, "kind")
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


def is_model(expected: Any) -> typing.TypeGuard[type[pydantic.BaseModel]]:
    """Return whether a type is a pydantic model."""
    return isinstance(expected, type) and issubclass(expected, pydantic.BaseModel)


def list_field_names(model: type[pydantic.BaseModel]) -> list[str]:
    """Return the names of a model's fields as configuration gives them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def find_field(model: type[pydantic.BaseModel], name: str) -> Any:
    """Return a model's field by its name or alias, None if there is none."""
    for own, field in model.model_fields.items():
        if name in (own, field.alias):
            return field
    return None
