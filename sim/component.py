"""A component is its own schema: a frozen record read from configuration, with its state in private attributes."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Component(BaseModel):
    """Base of everything that configuration can name. Unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )

    @classmethod
    def registered_variants(cls) -> "list[type[Component]]":
        """What a field of an abstract class may hold: the registered classes of its family."""
        return []

    @classmethod
    def is_registered(cls) -> bool:
        """Return whether a registry of this class's family holds it."""
        return cls in cls.registered_variants()

    def __eq__(self, other: object) -> bool:
        """Whether both say the same, in whatever state."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        """Of what it says."""
        return hash((type(self), *self.__dict__.values()))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Private state is read in every step, and pydantic's own way to it takes twice as long."""
            private = self.__pydantic_private__
            if private is not None and name in private:
                return private[name]
            return super().__getattr__(name)


def build_union(registry: dict[str, type[Component]]) -> Any:
    """The discriminated union of a registry's classes, told apart by their ``kind``."""
    classes = tuple(registry.values())
    union: Any = classes[0]
    for cls in classes[1:]:
        union = union | cls
    return Annotated[union, Field(discriminator="kind")] if len(classes) > 1 else union
