"""Population that fails, hangs or kills the process of its run, for tests of the runner."""

import os
import signal
import time
from typing import Any, Literal

from pydantic import Field

from agents import POPULATIONS
from agents.traders import NoiseTraders


class Faulty(NoiseTraders):
    """Traders until step 2."""

    kind: Literal["faulty"] = "faulty"  # type: ignore[assignment]
    fault: str = Field(
        default="", description="raise, hang, kill, or a number of seconds to take (word)"
    )

    def decide(self, *arguments: Any) -> Any:
        """Cause the configured fault, or trade."""
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
        return super().decide(*arguments)


POPULATIONS["faulty"] = Faulty
