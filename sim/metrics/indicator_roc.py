"""Evaluation of early-warning indicators: ROC curves, false alarms and lead times."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from sim.types import B1, F8


def compute_roc_area(score: F8, event: B1) -> float:
    """Return the area under the ROC curve.

    It is the probability that a reading before an event scores higher than another reading; ties
    count half. It is nan without events, or without other readings.
    """
    from scipy.stats import rankdata

    hits, rest = int(event.sum()), int((~event).sum())
    if not hits or not rest:
        return math.nan
    return float((rankdata(score)[event].sum() - hits * (hits + 1) / 2) / (hits * rest))


def compute_roc(score: F8, event: B1) -> pd.DataFrame:
    """Return the ROC curve: rows of threshold, false (positive rate) and true (positive rate).

    An alarm is a score at or above the threshold; from (0, 0) to (1, 1).
    """
    order = np.argsort(-score, kind="stable")
    ranked, events = score[order], event[order]
    last = (
        np.r_[np.flatnonzero(np.diff(ranked)), ranked.size - 1]
        if ranked.size
        else np.empty(0, dtype=int)
    )
    true, false = np.cumsum(events)[last], np.cumsum(~events)[last]
    shares = {"false": false / max(int((~event).sum()), 1), "true": true / max(int(event.sum()), 1)}
    start = pd.DataFrame({"threshold": [math.inf], "false": [0.0], "true": [0.0]})
    return pd.concat(
        [start, pd.DataFrame({"threshold": ranked[last], **shares})], ignore_index=True
    )


def find_threshold(score: F8, event: B1, false: float = 0.1) -> float:
    """Return the lowest threshold with at most this false-alarm rate; infinite if none has it."""
    curve = compute_roc(score, event)
    return float(curve.loc[curve["false"] <= false, "threshold"].iloc[-1])


class WarningLead(NamedTuple):
    """Warning before an event."""

    warned: bool  # True if an alarm was on at the last reading before the event
    seconds: float  # time since that alarm began, without a break; zero without an alarm


def measure_leads(times: F8, alarm: B1, begins: F8) -> list[WarningLead]:
    """Return for each event the lead time of an alarm that was on until it.

    Args:
        times: (n,) times of readings, ascending, s.
        alarm: (n,) readings with an alarm.
        begins: (m,) times of events, s.
    """
    leads = []
    for begin in begins:
        before = int(np.searchsorted(times, begin, side="left")) - 1
        if before < 0 or not alarm[before]:
            leads.append(WarningLead(False, 0.0))
            continue
        quiet = np.flatnonzero(~alarm[: before + 1])
        first = int(quiet[-1]) + 1 if quiet.size else 0
        leads.append(WarningLead(True, float(begin - times[first])))
    return leads
