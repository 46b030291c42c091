"""Counterfactual gifts that keep accounts out of liquidation (LIQ-9)."""

from pydantic import Field, model_validator

from sim.component import Component


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
