"""Compression of margin where traders come, and makers quote, in answer to it (AGT-1, AGT-2)."""

import pandas as pd

from experiments.config import RunConfig
from experiments.studies.shared.aftermath import make_score_row, measure_aftermath
from sim.metrics.cascades import Frames

__all__ = ["score"]

BENEFITS = ("holders", "open_interest", "depth_near", "depth", "turnover")
RETURNS = ("traders_return", "makers_return")
HARMS = ("closed_out", "deleveraged", "system_loss", "fund_draw")


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return one row: traders, depth, trade and returns on margin beside harm.

    Open interest is in units of the quote currency; the others are those of ``measure_aftermath``.
    """
    found = measure_aftermath(config, frames, twin)
    found["open_interest"] /= 10 ** config.assets[0].decimals
    return make_score_row({name: found[name] for name in (*BENEFITS, *RETURNS, *HARMS)})
