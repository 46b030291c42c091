"""Counterfactual gifts that keep accounts out of liquidation (LIQ-9)."""

from collections.abc import Sequence

from pydantic import Field, model_validator

from sim.component import Component
from sim.errors import describe_unknown


class Rescue(Component):
    """Accounts that are not closed out in a window of steps, because gifts cover their deficits."""

    owners: tuple[int, ...] = Field(
        default=(), description="owners to rescue, as `owner` in frames (numbers)"
    )
    populations: tuple[str, ...] = Field(
        default=(), description="populations to rescue, with all members (names)"
    )
    since: int = Field(default=1, ge=1, description="first step of the window (count)")
    until: int | None = Field(
        default=None, ge=1, description="last step of the window; none = to the end (count)"
    )

    @model_validator(mode="after")
    def _check_rescue(self) -> "Rescue":
        if not self.owners and not self.populations:
            raise ValueError(
                "owners: none, and no populations; at least one account is rescued, "
                "name owners or populations"
            )
        if self.until is not None and self.until < self.since:
            raise ValueError(
                f"until: {self.until}, must not lie before since = {self.since}, "
                "exchange or correct them"
            )

        return self


def find_rescue_faults(rescues: Sequence[Rescue], names: Sequence[str], members: int) -> list[str]:
    """Return a line for each owner and population named in ``rescues`` that does not exist.

    Args:
        rescues: the rescues of a configuration.
        names: names of its populations.
        members: members of all populations.
    """
    problems = []
    for number, rescue in enumerate(rescues):
        problems += [
            f"rescues.{number}.owners: {owner}, must be from 0 to {members - 1}, "
            "take them from `owner` in closeouts"
            for owner in rescue.owners
            if not 0 <= owner < members
        ]
        unknown = [name for name in rescue.populations if name not in names]
        problems += [
            f"rescues.{number}.populations: {describe_unknown(name, names)}" for name in unknown
        ]
    return problems
