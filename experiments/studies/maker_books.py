"""Fall of one coin as the other sees it, by what links the instruments of makers (AGT-2)."""

import pandas as pd

from experiments.config import RunConfig
from experiments.studies.shared.shocks import find_shock_step
from sim.metrics.cascades import Frames

__all__ = ["score"]


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return a row for each perpetual: means from the fall on, less those of the run without it.

    ``depth`` and ``depth_near`` are changes of what is quoted within 1% and 0.1% of the mark (%),
    ``spread`` is that of ask less bid, and ``mark`` that of the mark over the oracle (basis
    points).
    """
    assert twin is not None
    since, rows = find_shock_step(config), []
    here = _average(frames, since)
    there = _average(twin, since)
    for name in here.index:
        now, still = here.loc[name], there.loc[name]
        rows.append(
            {
                "instrument": name,
                "depth": 100 * (now["depth"] / still["depth"] - 1),
                "depth_near": 100 * (now["depth_near"] / still["depth_near"] - 1),
                "spread": now["spread"] - still["spread"],
                "mark": now["distance"] - still["distance"],
            }
        )
    return pd.DataFrame(rows)


def _average(frames: Frames, since: int) -> pd.DataFrame:
    """Return means from a step on, a row for each perpetual."""
    steps = frames["steps"]
    late = steps[(steps["step"] >= since) & (steps["kind"] == "perpetual")]
    columns = late[["instrument", "depth", "depth_near"]].assign(
        spread=1e4 * (late["ask"] - late["bid"]) / late["mid"],
        distance=1e4 * (late["mark"] / late["oracle"] - 1),
    )
    return columns.groupby("instrument", sort=False).mean()
