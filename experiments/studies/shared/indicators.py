"""Indicators of fragility at each reading of a run, for the study of early warning."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from experiments.config import RunConfig
from sim.metrics.cascades import Frames
from sim.metrics.criticality import estimate_excitation, tabulate_feedback, tabulate_rounds

WARNING_HORIZON, LOOK_BACK = 3600.0, 21_600.0
"""Horizon of a warning, and look-back for past close-outs (s)."""

INDICATORS = {
    "r_half": "R(½%)",
    "r_1": "R(1%)",
    "r_2": "R(2%)",
    "r_5": "R(5%)",
    "at_risk": "notional within 2% ÷ open interest",
    "thin": "open interest ÷ depth within 1%",
    "spread": "spread",
    "volatility": "volatility of the last hour",
    "hawkes": "Hawkes ratio of the last 6 hours",
    "closed_out": "closed out in the last 6 hours",
}
"""Labels of the indicators; a larger value means more danger."""


def compute_indicators(
    config: RunConfig, frames: Frames, steps: pd.DataFrame, instrument: str
) -> pd.DataFrame:
    """Return the indicators at each reading, the worse of falls and rises; larger = more danger."""
    ratios = tabulate_feedback(frames, instrument).replace(np.inf, np.nan)
    readings = ratios.index
    now = steps.loc[readings]
    sizes = {"r_half": 0.005, "r_1": 0.01, "r_2": 0.02, "r_5": 0.05}
    indicators = {name: ratios[[-size, size]].max(axis=1) for name, size in sizes.items()}
    indicators["at_risk"] = _select_risk(frames, instrument) / (now["gross"] / 2)
    indicators |= _measure_liquidity(now)
    indicators["volatility"] = _measure_volatility(steps, config.dt).reindex(readings)
    memory = round(LOOK_BACK / config.dt)
    indicators["closed_out"] = _measure_closed_out(steps, memory).reindex(readings)
    slots = tabulate_rounds(frames, config.venues[0].name)
    excitation = estimate_excitation(slots, readings.to_numpy(np.int64), memory)
    indicators["hawkes"] = pd.Series(excitation, index=readings)
    table = pd.DataFrame({"step": readings, "seconds": now["seconds"]} | _fill_gaps(indicators))
    return table[["step", "seconds", *INDICATORS]]


def _measure_closed_out(steps: pd.DataFrame, memory: int) -> "pd.Series[float]":
    """Return close-outs of the past steps, as a share of open interest."""
    past = steps["liquidated"].rolling(memory, min_periods=1).sum()
    return past / steps["open_interest"]


def _fill_gaps(indicators: Mapping[str, pd.Series]) -> dict[str, pd.Series]:
    """Replace missing values: extreme danger without a quote, none without a history."""
    missing = {name: 0.0 if name in ("hawkes", "volatility") else 1e9 for name in indicators}
    return {name: values.fillna(missing[name]) for name, values in indicators.items()}


def _select_risk(frames: Frames, instrument: str) -> "pd.Series[float]":
    """Return the notional at risk within 2%, the worse of falls and rises."""
    own = frames["profile"][frames["profile"]["instrument"] == instrument]
    risk = own.pivot(index="step", columns="move", values="at_risk")
    return risk[[-0.02, 0.02]].max(axis=1)


def _measure_liquidity(now: pd.DataFrame) -> dict[str, pd.Series]:
    """Return open interest over depth, and the relative spread."""
    depth = now["depth"].where(now["depth"] > 0)
    spread = now["ask"] - now["bid"]
    return {"thin": now["open_interest"] / depth, "spread": spread / now["mid"]}


def _measure_volatility(steps: pd.DataFrame, dt: float) -> "pd.Series[float]":
    """Return the standard deviation of the mark's log returns over the warning horizon."""
    returns = np.log(steps["mark"]).diff()
    return returns.rolling(round(WARNING_HORIZON / dt), min_periods=2).std()
