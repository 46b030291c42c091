"""Base class of components: frozen records read from configuration, with private state."""

from types import FunctionType
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class Component(BaseModel):
    """Base class of all configured components; unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )

    @classmethod
    def registered_variants(cls) -> "list[type[Component]]":
        """Return the classes that a field of an abstract class accepts: those of its registry."""
        return []

    @classmethod
    def complete_data(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return plain data with values that files named in them determine, before validation.

        Raises:
            ConfigError: such a file has faults.
        """
        return data

    @classmethod
    def expand_override(cls, data: dict[str, Any], key: str, value: Any) -> list[tuple[str, Any]]:
        """Return the changes that an override of a configuration of this class stands for.

        Args:
            data: content of the configuration's files.
            key: dotted path of the override.
            value: its value.
        """
        return [(key, value)]

    @classmethod
    def is_registered(cls) -> bool:
        """Return whether a registry of this class's family holds it."""
        return cls in cls.registered_variants()

    def __eq__(self, other: object) -> bool:
        """Compare the class and the configured values; private state is ignored."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        """Hash the class and the configured values."""
        return hash((type(self), *self.__dict__.values()))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return a private attribute directly, in half the time that pydantic needs."""
            private = self.__pydantic_private__
            if private is not None and name in private:
                return private[name]
            return super().__getattr__(name)


def build_union(registry: dict[str, type[Component]]) -> Any:
    """Return the discriminated union of a registry's classes; ``kind`` is the discriminator."""

    classes = tuple(registry.values())
    union: Any = classes[0]
    for cls in classes[1:]:
        union = union | cls
    return Annotated[union, Field(discriminator="kind")] if len(classes) > 1 else union


def has_own_rules(component: object, *binders: str) -> bool:
    """Return True if kernels that a component binds do not stand for its class.

    A kernel stands for the rules of the class that defines a binder. A subclass, such as a plug-in,
    which defines methods and no binder, may have changed those rules.

    Args:
        component: a population, a requirement or another component.
        binders: names of the methods that bind kernels.
    """
    for cls in type(component).__mro__:
        if any(binder in vars(cls) for binder in binders):
            return False
        for name, value in vars(cls).items():
            if isinstance(value, FunctionType | property) and name not in _COMMON_NAMES:
                return True
    return True


_COMMON_NAMES = frozenset((*dir(Component), "__init__"))
"""Methods that a subclass may define without rules of its own."""
