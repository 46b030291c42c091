"""Configuration of one underlying."""

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from sim.component import Component, build_union
from sim.prices import PROCESSES, STRESSES
from sim.prices.impact import SpotImpact
from sim.prices.process import PriceProcess
from sim.prices.replay import Replay
from sim.prices.stress import Stress

if TYPE_CHECKING:
    AnyProcess = PriceProcess
    AnyStress = Stress
else:
    AnyProcess = build_union(PROCESSES)
    AnyStress = build_union(STRESSES)


class Underlying(Component):
    """Underlying: start of its index, process of its price, and impact of this market on it."""

    name: str = Field(
        min_length=1, description="unique in the market; addresses its random draws (name)"
    )
    start: float | None = Field(
        default=None, gt=0, description="first price (quote); none for a replay: that of its data"
    )
    process: AnyProcess = Field(description="process of the log price (component)")
    impact: SpotImpact = Field(
        default=SpotImpact(), description="impact of spot trading on the index (component)"
    )

    @property
    def is_replayed(self) -> bool:
        """Return whether data determine the first price and the length of the path."""
        return isinstance(self.process, Replay)

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.is_replayed and self.start is not None:
            raise ValueError(
                f"start: {self.start:.15g}, a replay starts at its data's first price: remove it"
            )
        if not self.is_replayed and self.start is None:
            raise ValueError(
                "start: missing; every process but replay needs a first price: give one"
            )
        return self
