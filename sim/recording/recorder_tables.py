"""Tables of a recorder that have a fixed size, and the names of their columns."""

from typing import NamedTuple

import numpy as np

from sim.types import B1, F8, I8

PRICE_COLUMNS = (
    "index",
    "exogenous",
    "oracle",
    "mark",
    "mid",
    "bid",
    "ask",
    "last",
    "depth",
    "depth_near",
    "funding",
    "feedback",
)
RATE_COLUMNS = ("margin_long", "margin_short")
STATE_COLUMNS = ("open_interest", "gross", "to_sell", "to_buy")
COUNT_COLUMNS = (
    *STATE_COLUMNS,
    "volume",
    "trades",
    "markout",
    "closeouts",
    "liquidated",
    "liquidated_notional",
    "adl",
    "adl_notional",
)
ASSESSMENT_COLUMNS = ("equity", "initial", "maintenance")
FLOW_COLUMNS = ("deposits", "withdrawals", "margin_added", "margin_removed")
CALL_COLUMNS = ("calls", "calls_met", "calls_missed")
EVENT_COLUMNS = ("shortfall", *CALL_COLUMNS)
MONEY_COLUMNS = ("fund", *ASSESSMENT_COLUMNS, *FLOW_COLUMNS, *EVENT_COLUMNS)
"""Columns of a venue; a run's summary adds up the events."""


class RecorderTables(NamedTuple):
    """Tables of a recorder with a fixed size, which the kernels of a compiled step write, too."""

    prices: F8  # (columns, steps, K) quote currency, lots and rates
    counts: I8  # (columns, steps, K)
    money: I8  # (columns, steps + 1, V) minor units; row 0 is the opening
    has_missing_side: B1  # (steps, K)

    @classmethod
    def allocate(cls, steps: int, instruments: int, venues: int) -> "RecorderTables":
        """Return the tables of a run before its opening."""
        return cls(
            prices=np.full((len(PRICE_COLUMNS + RATE_COLUMNS), steps, instruments), np.nan),
            counts=np.zeros((len(COUNT_COLUMNS), steps, instruments), dtype=np.int64),
            money=np.zeros((len(MONEY_COLUMNS), steps + 1, venues), dtype=np.int64),
            has_missing_side=np.zeros((steps, instruments), dtype=bool),
        )
