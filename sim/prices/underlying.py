"""What configuration says of one underlying."""

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from sim.component import Component, choice
from sim.prices import PROCESSES, STRESSES
from sim.prices.impact import Impact
from sim.prices.process import Process
from sim.prices.replay import Replay
from sim.prices.stress import Stress

if TYPE_CHECKING:
    AnyProcess = Process
    AnyStress = Stress
else:
    AnyProcess = choice(PROCESSES)
    AnyStress = choice(STRESSES)


class Underlying(Component):
    """One underlying: where its index starts, how it moves, and how far this market moves it."""

    name: str = Field(min_length=1, description="unique in the market, names its draws (name)")
    start: float | None = Field(default=None, gt=0, description="first price (quote); none for a replay: its data's")
    process: AnyProcess = Field(description="process of the log price (component)")
    impact: Impact = Field(default=Impact(), description="how spot trading moves the index (component)")

    @property
    def replayed(self) -> bool:
        """Whether data say where the price starts and how long it lasts."""
        return isinstance(self.process, Replay)

    @model_validator(mode="after")
    def _started(self) -> Self:
        if self.replayed and self.start is not None:
            raise ValueError(f"start: {self.start:.15g}, a replay starts at its data's first price: remove it")
        if not self.replayed and self.start is None:
            raise ValueError("start: missing; every process but replay needs a first price: give one")
        return self
