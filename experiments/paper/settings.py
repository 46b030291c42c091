"""Every parameter of one configuration, with its value, its default and what it means."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pydantic
from pydantic.fields import FieldInfo

from experiments.config import RunConfig
from experiments.generated.parameters import format_default

SKIPPED_FIELDS = ("kind", "name", "description", "quick")
"""Fields that decide nothing, or are told otherwise."""


def tabulate_parameters(config: RunConfig) -> pd.DataFrame:
    """Rows of path, value, default and meaning (unit); default is empty where there is none or the value is it.

    Args:
        config: resolved.
    """
    return pd.DataFrame(
        _component_rows(config, ""), columns=["parameter", "value", "default", "meaning (unit)"]
    )


def _component_rows(
    component: pydantic.BaseModel, above: str
) -> Iterator[tuple[str, str, str, str]]:
    kind = getattr(component, "kind", None)
    if kind is not None and above:
        lines = (
            (type(component).__doc__ or "").strip().splitlines()
        )  # a user's own kind may have none
        yield above.rstrip("."), str(kind), "", lines[0] if lines else ""
    for name, field in type(component).model_fields.items():
        if name not in SKIPPED_FIELDS:
            yield from _field_rows(above + name, getattr(component, name), field)


def _field_rows(path: str, value: Any, field: FieldInfo) -> Iterator[tuple[str, str, str, str]]:
    """A row, or those of what lies below."""
    if isinstance(value, pydantic.BaseModel):
        yield from _component_rows(value, f"{path}.")
        return
    items = value if isinstance(value, tuple | list) else ()
    parts: dict[Any, Any] = dict(enumerate(items)) | dict(
        value if isinstance(value, Mapping) else {}
    )
    below = {key: part for key, part in parts.items() if isinstance(part, pydantic.BaseModel)}
    for key, part in below.items():
        yield from _component_rows(part, f"{path}.{key}.")
    if not below:
        yield (
            path,
            format_default(value),
            _format_default(value, field),
            " ".join((field.description or "").split()),
        )


def _format_default(value: Any, field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=True, validated_data={})
    return "" if default == value else format_default(default)
