"""What a configuration may name in a margin engine: abstract kinds of component and the fields that hold one.

The fields look their registry up when a configuration is validated, not when this module is imported: a plugin may
register a class at any time before that, and wrappers may nest one another freely.
"""

import json
from abc import abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, TypeAdapter, ValidationInfo

from sim.component import Component, build_union
from sim.errors import ConfigError
from sim.margin import registry
from sim.protocols import Requirement
from sim.types import F8, Contracts, Exposure, Margins


class NettingComponent(Component):
    """Which instruments of a venue share margin."""

    @classmethod
    def registered_variants(cls) -> list[type[Component]]:
        """The family as registered by now."""
        return list(registry.NETTINGS.values())

    @property
    def has_separate_wallets(self) -> bool:
        """Whether wallets lie apart from margin accounts even where there is one pool (ISO-1)."""
        return False

    @abstractmethod
    def build_pools(self, contracts: Contracts) -> list[list[int]]:
        """A partition of one venue's instruments: columns of ``contracts``, pools ordered by their first column.

        Raises:
            ConfigError: if the configuration does not fit the venue's instruments.
        """


class ValuationComponent(Component):
    """What market equity does not count; satisfies :class:`sim.protocols.Valuation`."""

    @classmethod
    def registered_variants(cls) -> list[type[Component]]:
        """The family as registered by now."""
        return list(registry.VALUATIONS.values())

    def mentioned_names(self) -> frozenset[str]:
        """Assets and instruments that the parameters mention."""
        return frozenset()

    def is_additive(self, contracts: Contracts) -> bool:
        """Return whether what is disallowed of each spot position depends on no other spot position."""
        return False

    def compute_spot_haircuts(self, accounts: Exposure) -> F8:
        """Return what is disallowed of each spot position to open, (A, K), zero elsewhere, where this adds up.

        Raises:
            TypeError: this valuation does not add up.
        """
        raise TypeError(f"{type(self).__name__} does not add up over instruments")

    @abstractmethod
    def compute_haircuts(self, accounts: Exposure) -> Margins:
        """Amounts disallowed, (A,), minor units of the numeraire, at least nil; pure."""


class RequirementComponent(Component):
    """What must be covered: the parameters of a :class:`sim.protocols.Requirement`."""

    @classmethod
    def registered_variants(cls) -> list[type[Component]]:
        """The family as registered by now."""
        return list(registry.REQUIREMENTS.values())

    @abstractmethod
    def bind(self, contracts: Contracts, unit: int) -> Requirement:
        """A fresh requirement, with a state of its own, for the instruments of one pool.

        Args:
            contracts: the pool's instruments.
            unit: minor units in one unit of the numeraire.
        """

    def mentioned_names(self) -> frozenset[str]:
        """Instruments that the parameters mention."""
        return frozenset()

    def look_back(self) -> float:
        """Seconds of past from which on its margins are what it claims; nil for what learns nothing."""
        return 0.0


class RequirementWrapper(RequirementComponent):
    """A requirement about another, its field ``inner``: it mentions what that mentions, and looks back as far."""

    if TYPE_CHECKING:  # a field of each subclass, in its own place and with its own words
        inner: RequirementComponent

    def mentioned_names(self) -> frozenset[str]:
        """Instruments that the inner parameters mention."""
        return self.inner.mentioned_names()

    def look_back(self) -> float:
        """That of the inner requirement."""
        return self.inner.look_back()


def require_initial_covers_maintenance(initial: float, maintenance: float) -> None:
    """Check that what opens a position keeps it.

    Raises:
        ValueError: maintenance is more.
    """
    if maintenance > initial:
        raise ValueError(
            f"maintenance: {maintenance:g}, may not exceed initial, {initial:g}: lower it"
        )


def find_underlying(name: str, contracts: Contracts, where: str) -> int:
    """Number of the underlying that a parameter names; ``where`` is the parameter's path.

    Raises:
        ConfigError: the market has none of that name.
    """
    if name not in contracts.underlyings:
        known = ", ".join(contracts.underlyings) or "none"
        raise ConfigError(
            [f"{where}: {name!r} is not an underlying of this market, use one of {known}"]
        )
    return contracts.underlyings.index(name)


@cache
def _build_adapter(classes: tuple[tuple[str, type[Component]], ...]) -> TypeAdapter[Any]:
    """Made once for each content of a registry: making it takes longer than its use."""
    return TypeAdapter(build_union(dict(classes)))


def make_registry_validator(classes: dict[str, type[Component]]) -> BeforeValidator:
    """Return a validator by a registry, as it is when a value is validated."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        adapter = _build_adapter(tuple(classes.items()))
        if info.mode == "json" and not isinstance(value, Component):
            # as strict as what stands around it, which this call would not know
            return adapter.validate_json(json.dumps(value), strict=True)
        return adapter.validate_python(value)

    return BeforeValidator(validate)


AnyNetting = Annotated[SerializeAsAny[NettingComponent], make_registry_validator(registry.NETTINGS)]
AnyValuation = Annotated[
    SerializeAsAny[ValuationComponent], make_registry_validator(registry.VALUATIONS)
]
AnyRequirement = Annotated[
    SerializeAsAny[RequirementComponent], make_registry_validator(registry.REQUIREMENTS)
]
