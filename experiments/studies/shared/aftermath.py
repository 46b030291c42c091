"""What studies of a shock ask of each run: losses against the fund, feedback, capital before and after."""

import numpy as np
import pandas as pd

from experiments.config import RunConfig
from experiments.studies.shared.shocks import find_first_perpetual, find_shock_step
from sim.metrics.cascades import Frames, measure_amplification, measure_fall
from sim.metrics.contagion import build_contagion
from sim.metrics.generations import compute_root_share
from sim.metrics.shock_losses import measure_shock_losses
from sim.metrics.venues import join_venue
from sim.prices.stress import PriceMove

VENUE_COLUMNS = ["initial", "equity", "fund"]
STEP_COLUMNS = ["step", "gross", *VENUE_COLUMNS, "feedback"]
"""What is looked at here, of an instrument and of its venue."""


def measure_aftermath(
    config: RunConfig, frames: Frames, twin: Frames | None = None
) -> dict[str, float]:
    """Figures of one run, shares of the worth of what was open before the shock where nothing else is said.

    ``broken``: the fund refused a loss, which then fell on ADL, all accounts or the venue. It refuses what its money
    does not cover, and what leaves its own account below initial margin (LIQ-3). ``feedback``: the largest R(1%)
    recorded while the index fell (LIQ-7). ``calm_margin``, ``stress_margin``: what all accounts' initial margin came to
    over their gross notional, in the later half of the calm and from the shock on (MAR-2).
    ``requirement``: share of the harm to those closed out that the margin model itself did (LIQ-8), nan if nobody was.
    ``amplification`` is nan without a twin, and where the twin's mark does not fall.
    """
    instrument, since = find_first_perpetual(config), find_shock_step(config)
    found = measure_shock_losses(frames, instrument, since)
    steps = frames["steps"]
    own = join_venue(steps[steps["instrument"] == instrument], frames, VENUE_COLUMNS)[
        STEP_COLUMNS
    ].set_index("step")
    before = own.loc[[since - 1]].iloc[0]
    worth = float(before["gross"]) / 2
    losses = frames["losses"]
    borne = losses[losses["step"] >= since]
    fund_draw = float(borne.loc[borne["layer"] == "fund", "absorbed"].sum()) / worth
    beyond = float(borne.loc[borne["layer"] != "fund", "absorbed"].sum()) / worth
    asked = own["initial"] / own["gross"].where(own["gross"] > 0)
    return {
        **found._asdict(),
        "broken": beyond > 0,
        "any_deleveraged": found.deleveraged > 0,
        "called_upon": found.take_overs > 0,
        "beyond": beyond,
        "fund_draw": fund_draw,
        "fund": float(before["fund"]) / worth,
        "fund_lowest": float(own.loc[own.index >= since, "fund"].min()) / worth,
        "feedback": _largest_feedback(config, own, since),
        "amplification": np.nan
        if twin is None
        else _amplification(frames, twin, instrument, since),
        "calm_margin": float(asked[asked.index < since].tail(since // 2).mean()),
        "stress_margin": float(asked[asked.index >= since].mean()),
        "open_interest": worth,
        "leverage": worth / float(before["equity"]),
        "requirement": compute_root_share(build_contagion(frames), "requirement"),
    }


def _amplification(frames: Frames, twin: Frames, instrument: str, since: int) -> float:
    """How many times deeper the mark fell than in the twin; nan where there is nothing to compare with."""
    return (
        measure_amplification(frames, twin, instrument, since)
        if measure_fall(twin, instrument, since) < 0
        else np.nan
    )


def _largest_feedback(config: RunConfig, own: pd.DataFrame, since: int) -> float:
    """Largest R(1%) while the first move lasts; nil where no profile had bids to compare with."""
    move = next(stress for stress in config.stresses if isinstance(stress, PriceMove))
    last = since + round(move.duration / config.dt)
    found = own.loc[(own.index >= since) & (own.index <= last), "feedback"]
    return float(found.max()) if found.notna().any() else 0.0


def make_score_row(figures: dict[str, float]) -> pd.DataFrame:
    """A run's figures as the one row of its scores."""
    return pd.DataFrame({name: [value] for name, value in figures.items()})
