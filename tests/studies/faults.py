"""Population that fails, hangs or kills the process of its run, for tests of the runner."""

import os
import signal
import time
from typing import Any, Literal

from pydantic import Field

from agents import POPULATIONS
from agents.traders import NoiseTraders
from sim.types import Observation

INSTRUMENTS = 2
"""Instruments of small_crash; the markets of the checks list more."""


class Faulty(NoiseTraders):
    """Traders until step 2 of a run, in which they cause a fault; no check finds it earlier."""

    kind: Literal["faulty"] = "faulty"  # type: ignore[assignment]
    fault: str = Field(
        default="", description="raise, hang, kill, or a number of seconds to take (word)"
    )

    def decide(self, observation: Observation, *others: Any) -> Any:
        """Cause the configured fault, or trade."""
        if observation.max_leverage.size == INSTRUMENTS and observation.tick > 1:
            self._cause_fault()
        return super().decide(observation, *others)

    def _cause_fault(self) -> None:
        if self.fault == "raise":
            raise ValueError("a fault of their own")
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        while self.fault == "hang":
            time.sleep(0.01)
        if self.fault:
            began = time.monotonic()
            while time.monotonic() - began < float(self.fault):
                pass


POPULATIONS["faulty"] = Faulty
