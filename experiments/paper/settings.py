"""Parameters of one configuration, each with its value, default and meaning."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pydantic
from pydantic.fields import FieldInfo

from experiments.config import RunConfig
from experiments.generated.parameters import format_default

SKIPPED_FIELDS = ("kind", "name", "description", "quick")
"""Fields without effect, or shown elsewhere."""


def tabulate_parameters(config: RunConfig) -> pd.DataFrame:
    """Return rows of path, value, default and meaning (unit).

    The default is empty if there is none or it equals the value.

    Args:
        config: resolved configuration.
    """
    return pd.DataFrame(
        _component_rows(config, ""), columns=["parameter", "value", "default", "meaning (unit)"]
    )


def _component_rows(
    component: pydantic.BaseModel, above: str
) -> Iterator[tuple[str, str, str, str]]:
    kind = getattr(component, "kind", None)
    if kind is not None and above:
        # A user's own component may have no docstring.
        lines = (type(component).__doc__ or "").strip().splitlines()
        yield above.rstrip("."), str(kind), "", lines[0] if lines else ""
    for name, field in type(component).model_fields.items():
        if name not in SKIPPED_FIELDS:
            yield from _field_rows(above + name, getattr(component, name), field)


def _field_rows(path: str, value: Any, field: FieldInfo) -> Iterator[tuple[str, str, str, str]]:
    """Yield the row of a field, or the rows of its components."""
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
        meaning = " ".join((field.description or "").split())
        yield path, format_default(value), _format_default(value, field), meaning


def _format_default(value: Any, field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=True, validated_data={})
    return "" if default == value else format_default(default)
