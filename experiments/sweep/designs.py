"""Axes of a study and designs that turn them into settings."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StrictBool, StrictFloat, StrictStr, Tag, model_validator

from sim.component import Component

AxisValue = (
    Annotated[StrictBool, Tag("truth")]
    | Annotated[StrictFloat, Tag("number")]
    | Annotated[StrictStr, Tag("word")]
)
"""Value of one axis, as it stands in a column of the results."""


def _form(value: object) -> str | None:
    """Return the form of a value of an axis; None if the value has none of the forms."""
    forms = (
        (bool, "truth"),
        (int | float, "number"),
        (str, "word"),
        (dict | LabelledValue, "labelled"),
    )
    return next((form for kind, form in forms if isinstance(value, kind)), None)


FORMS = Discriminator(
    _form,
    custom_error_type="setting",
    custom_error_message="a number, a word, true or false, or label and set",
)


class LabelledValue(Component):
    """Value of an axis that is a name for several changes together."""

    label: str = Field(min_length=1, description="name in results (name)")
    set: dict[str, Any] = Field(
        min_length=1, description="dotted path -> new value, such as an included preset"
    )
    seeds: int | None = Field(
        default=None,
        ge=1,
        description="largest number of replications, for a check beside other values; "
        "none = the study's (count)",
    )


class AxisRange(Component):
    """Range from which a design draws its points."""

    low: float = Field(description="lowest value")
    high: float = Field(description="highest value")
    scale: Literal["linear", "log"] = Field(
        default="linear", description="scale on which points are spread evenly"
    )
    is_integer: bool = Field(default=False, description="round points to whole numbers")

    @model_validator(mode="after")
    def _check_order(self) -> "AxisRange":
        if self.low >= self.high:
            raise ValueError(
                f"high: {self.high:g}, must be above low = {self.low:g}, exchange or correct them"
            )
        if self.scale == "log" and self.low <= 0:
            raise ValueError(
                f"low: {self.low:g}, must be above 0 on a log scale, raise it or use scale: linear"
            )
        return self


class StudyAxis(Component):
    """Axis of a study: one quantity that varies."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="column of its values in results (name)"
    )
    values: tuple[Annotated[AxisValue | Annotated[LabelledValue, Tag("labelled")], FORMS], ...] = (
        Field(default=(), description="settings: numbers, words, or labels of changes")
    )
    span: AxisRange | None = Field(
        default=None, description="range sampled by the design, instead of values"
    )
    paths: dict[str, float] = Field(
        default={},
        description="dotted path -> factor of the value; populations.*.key = every population "
        "that has the key",
    )

    @model_validator(mode="after")
    def _check_variation(self) -> "StudyAxis":
        if bool(self.values) == (self.span is not None):
            rule = (
                "and this one has both, remove one of them"
                if self.values
                else "give one of them, such as [1, 2]"
            )
            raise ValueError(f"values: an axis has either values or a span, {rule}")
        if any(not isinstance(value, LabelledValue) for value in self.values) and not self.paths:
            raise ValueError(
                "paths: none, a value must go somewhere, name a path and a factor such as {dt: 1}"
            )
        words = [value for value in self.values if isinstance(value, str | bool)]
        if words and set(self.paths.values()) != {1}:
            factor = next(factor for factor in self.paths.values() if factor != 1)
            rule = "words have no multiples, write 1 for each path"
            raise ValueError(f"paths: {factor:g} times {words[0]!r}, {rule}")
        labels = self.labels
        if len(set(labels)) < len(labels):
            text = ", ".join(
                f"{value:g}" if isinstance(value, float) else str(value) for value in labels
            )
            raise ValueError(f"values: {text}, must differ, remove the one that stands twice")
        return self

    @property
    def labels(self) -> tuple[AxisValue, ...]:
        """Values as they stand in results."""
        return tuple(
            value.label if isinstance(value, LabelledValue) else value for value in self.values
        )


class GridDesign(Component):
    """Design of all combinations of the values of all axes."""

    kind: Literal["grid"] = "grid"


class ListDesign(Component):
    """Design of the first values of all axes together, then the second ones, and so on."""

    kind: Literal["list"] = "list"


class SampledDesign(Component):
    """Design of points drawn from ranges, each with all combinations of the other axes' values."""

    points: int = Field(ge=1, description="number of points (count)")
    seed: int = Field(default=1, ge=0, description="seed of the points (1)")


class LatinHypercubeDesign(SampledDesign):
    """Design of one point in each of as many slices of every axis.

    Source: McKay, Beckman and Conover 1979, Technometrics 21.
    """

    kind: Literal["latin_hypercube"] = "latin_hypercube"


class SobolDesign(SampledDesign):
    """Design of a scrambled Sobol sequence; balanced if the number of points is a power of two.

    Source: Owen 1998, ACM TOMACS 8.
    """

    kind: Literal["sobol"] = "sobol"


DESIGNS: dict[str, type[Component]] = {
    "grid": GridDesign,
    "list": ListDesign,
    "latin_hypercube": LatinHypercubeDesign,
    "sobol": SobolDesign,
}
