"""Abstract components of a margin engine, and the field types that hold one.

The fields look up their registry when a configuration is validated, not when this module is
imported. A plugin may therefore register a class at any time before validation, and wrappers may
nest one another freely.
"""

import json
import math
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
    """Partition of a venue's instruments into pools that share margin."""

    @classmethod
    def registered_variants(cls) -> list[type[Component]]:
        """Return the netting classes that are registered now."""
        return list(registry.NETTINGS.values())

    @property
    def has_separate_wallets(self) -> bool:
        """True if wallets are separate from margin accounts even in a single pool (ISO-1)."""
        return False

    @abstractmethod
    def build_pools(self, contracts: Contracts) -> list[list[int]]:
        """Return a partition of one venue's instruments.

        Returns:
            Columns of ``contracts`` in each pool; pools are ordered by their first column.

        Raises:
            ConfigError: the configuration does not fit the venue's instruments.
        """


class ValuationComponent(Component):
    """Collateral valuation: haircuts on market equity.

    It satisfies :class:`sim.protocols.Valuation`.
    """

    @classmethod
    def registered_variants(cls) -> list[type[Component]]:
        """Return the valuation classes that are registered now."""
        return list(registry.VALUATIONS.values())

    def mentioned_names(self) -> frozenset[str]:
        """Return the assets and instruments that the parameters mention."""
        return frozenset()

    def is_additive(self, contracts: Contracts) -> bool:
        """Return True if the haircut of each spot position depends on no other spot position."""
        return False

    def compute_spot_haircuts(self, accounts: Exposure) -> F8:
        """Return the initial haircut of each spot position, if haircuts are additive.

        Returns:
            (A, K) minor units of the numeraire; zero for instruments that are not spot.

        Raises:
            TypeError: this valuation is not additive.
        """
        raise TypeError(f"{type(self).__name__} does not add up over instruments")

    @abstractmethod
    def compute_haircuts(self, accounts: Exposure) -> Margins:
        """Return the haircuts on each account's equity; pure.

        Returns:
            (A,) minor units of the numeraire, >= 0.
        """


class RequirementComponent(Component):
    """Margin requirement: the parameters of a :class:`sim.protocols.Requirement`."""

    @classmethod
    def registered_variants(cls) -> list[type[Component]]:
        """Return the requirement classes that are registered now."""
        return list(registry.REQUIREMENTS.values())

    @abstractmethod
    def bind(self, contracts: Contracts, unit: int) -> Requirement:
        """Build a requirement, with a state of its own, for the instruments of one pool.

        Args:
            contracts: the pool's instruments.
            unit: minor units in one unit of the numeraire.
        """

    def mentioned_names(self) -> frozenset[str]:
        """Return the instruments that the parameters mention."""
        return frozenset()

    def look_back(self) -> float:
        """Return the seconds of past that the margins need.

        It is zero for a requirement that does not learn.
        """
        return 0.0

    def spacing(self) -> float:
        """Return the longest interval of past returns from which all of it can learn (s).

        It is infinite for a requirement that learns from returns over any time, or not at all.
        """
        return math.inf


class RequirementWrapper(RequirementComponent):
    """Requirement that modifies another one, its field ``inner``.

    It mentions the same instruments as the inner requirement, and needs the same past.
    """

    if TYPE_CHECKING:  # each subclass declares the field with its own description
        inner: RequirementComponent

    def mentioned_names(self) -> frozenset[str]:
        """Return the instruments that the inner parameters mention."""
        return self.inner.mentioned_names()

    def look_back(self) -> float:
        """Return the look-back of the inner requirement (s)."""
        return self.inner.look_back()

    def spacing(self) -> float:
        """Return the spacing of the inner requirement (s)."""
        return self.inner.spacing()


def require_initial_covers_maintenance(initial: float, maintenance: float) -> None:
    """Check that initial margin is at least maintenance margin.

    Raises:
        ValueError: maintenance exceeds initial.
    """
    if maintenance > initial:
        raise ValueError(
            f"maintenance: {maintenance:g}, may not exceed initial, {initial:g}: lower it"
        )


def find_underlying(name: str, contracts: Contracts, where: str) -> int:
    """Return the number of the underlying that a parameter names.

    Args:
        name: the underlying.
        contracts: the instruments of the market.
        where: path of the parameter.

    Raises:
        ConfigError: the market has no underlying of that name.
    """
    if name not in contracts.underlyings:
        known = ", ".join(contracts.underlyings) or "none"
        raise ConfigError(
            [f"{where}: {name!r} is not an underlying of this market, use one of {known}"]
        )
    return contracts.underlyings.index(name)


@cache
def _build_adapter(classes: tuple[tuple[str, type[Component]], ...]) -> TypeAdapter[Any]:
    """Build the validator of a registry.

    It is cached for each content of the registry, because building takes longer than use.
    """
    return TypeAdapter(build_union(dict(classes)))


def make_registry_validator(classes: dict[str, type[Component]]) -> BeforeValidator:
    """Return a validator that accepts the classes in a registry when a value is validated."""

    def validate(value: Any, info: ValidationInfo) -> Any:
        adapter = _build_adapter(tuple(classes.items()))
        if info.mode == "json" and not isinstance(value, Component):
            # this call does not know that the surrounding validation is strict
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
