"""Does an indicator warn of cascades? ROC, false alarms and lead times, on readings labelled by what followed."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from sim.types import B1, F8


def compute_roc_area(score: F8, event: B1) -> float:
    """Area under the ROC curve: how often a reading before an event scores higher than one that is not, ties half.

    nan where there are no events, or nothing else.
    """
    hits, rest = int(event.sum()), int((~event).sum())
    if not hits or not rest:
        return math.nan
    return float((rankdata(score)[event].sum() - hits * (hits + 1) / 2) / (hits * rest))


def compute_roc(score: F8, event: B1) -> pd.DataFrame:
    """The curve: rows of threshold, false (share of quiet readings that alarm), true (of those before an event).

    An alarm is a score at or above the threshold; from (0, 0) to (1, 1).
    """
    order = np.argsort(-score, kind="stable")
    ranked, found = score[order], event[order]
    last = (
        np.r_[np.flatnonzero(np.diff(ranked)), ranked.size - 1]
        if ranked.size
        else np.empty(0, dtype=int)
    )
    true, false = np.cumsum(found)[last], np.cumsum(~found)[last]
    shares = {"false": false / max(int((~event).sum()), 1), "true": true / max(int(event.sum()), 1)}
    start = pd.DataFrame({"threshold": [math.inf], "false": [0.0], "true": [0.0]})
    return pd.concat(
        [start, pd.DataFrame({"threshold": ranked[last], **shares})], ignore_index=True
    )


def find_threshold(score: F8, event: B1, false: float = 0.1) -> float:
    """The lowest score at which no more than this share of quiet readings alarm; infinite if each would."""
    curve = compute_roc(score, event)
    return float(curve.loc[curve["false"] <= false, "threshold"].iloc[-1])


class WarningLead(NamedTuple):
    """How an event was announced."""

    warned: bool  # an alarm stood at the last reading before it
    seconds: float  # since when that alarm stood without a break; nil if none did


def measure_leads(times: F8, alarm: B1, begins: F8) -> list[WarningLead]:
    """How long before each event an alarm began that then stood until it.

    Args:
        times: of readings, ascending, (n,) s.
        alarm: which of them alarm, (n,).
        begins: of events, (m,) s.
    """
    found = []
    for begin in begins:
        before = int(np.searchsorted(times, begin, side="left")) - 1
        if before < 0 or not alarm[before]:
            found.append(WarningLead(False, 0.0))
            continue
        quiet = np.flatnonzero(~alarm[: before + 1])
        first = int(quiet[-1]) + 1 if quiet.size else 0
        found.append(WarningLead(True, float(begin - times[first])))
    return found
