"""Losses of a shock relative to open interest before it (LOSS-4)."""

from typing import Any, NamedTuple

import pandas as pd

from sim.metrics.cascades import Frames
from sim.metrics.inputs import require_instrument


class ShockLosses(NamedTuple):
    """Lots over the open interest before a shock, and losses over its value.

    The same lot may be taken over by the fund, closed out in the fund's name and auto-deleveraged.
    So the sum of the shares may differ from one and exceed one.
    """

    closed_out: float  # lots that close-outs filled, in the book or at auction
    auctioned: float  # lots of these that were sold at auction
    deleveraged: float  # lots that ADL closed
    taken_over: float  # lots that the fund took over
    take_overs: int  # accounts that the fund took over
    bad_debt: float  # loss that no layer absorbed
    system_loss: float  # all losses, bad debt included


STEP_COLUMNS = ["step", "venue", "open_interest", "gross", "liquidated", "adl"]
"""Required columns of ``steps``."""


def measure_shock_losses(
    frames: Frames, instrument: str, since: int, until: int | None = None
) -> ShockLosses:
    """Return close-outs, ADL, take-overs and losses from step ``since`` to ``until``.

    Args:
        frames: frames of one run.
        instrument: the only perpetual of its venue, because losses name no instrument and lots of
            several instruments cannot be added.
        since: first step of the shock.
        until: last step of the window; None = the run's last.

    Raises:
        ValueError: the instrument or a step before ``since`` does not exist, the venue lists
            another perpetual, or there was no open interest.
    """
    require_instrument(frames, instrument)
    steps = frames["steps"]
    own = steps.loc[steps["instrument"] == instrument, STEP_COLUMNS].set_index("step")
    before = _select_step_before(own, instrument, since)
    venue = str(before["venue"])
    _check_only_perpetual(steps, venue, instrument)
    _check_open_interest(before, instrument, since)
    window, lots, value = own.loc[since:until], before["open_interest"], before["gross"] / 2
    losses = _select_events(frames["losses"], venue, window)
    closeouts = _select_events(frames["closeouts"], venue, window)
    auctioned = closeouts.loc[closeouts["route"] == "auction", "filled"]
    taken = losses[losses["layer"] == "fund"]
    bad_debt = losses.loc[losses["layer"] == "bad_debt", "absorbed"]
    return ShockLosses(
        closed_out=_sum_share(window["liquidated"], lots),
        auctioned=_sum_share(auctioned, lots),
        deleveraged=_sum_share(window["adl"], lots),
        taken_over=_sum_share(taken["lots"], lots),
        take_overs=len(taken),
        bad_debt=_sum_share(bad_debt, value),
        system_loss=_sum_share(losses["absorbed"], value),
    )


def _check_open_interest(before: "pd.Series[Any]", instrument: str, since: int) -> None:
    """Refuse a shock without open interest at the step before."""
    if not before["open_interest"]:
        raise ValueError(
            f"{instrument!r} has no open interest at step {since - 1}; choose a later shock"
        )


def _sum_share(values: "pd.Series[Any]", whole: Any) -> float:
    return float(values.sum() / whole)


def _select_step_before(own: pd.DataFrame, instrument: str, since: int) -> "pd.Series[Any]":
    """Return the instrument's row at the step before ``since``."""
    if since - 1 not in own.index:
        span = f"one of {own.index.min() + 1} to {own.index.max()}"
        raise ValueError(f"since: {since}, {instrument!r} has no step before it: choose {span}")
    return own.loc[[since - 1]].iloc[0]


def _check_only_perpetual(steps: pd.DataFrame, venue: str, instrument: str) -> None:
    """Refuse a venue that lists other perpetuals."""
    is_perpetual = (steps["venue"] == venue) & (steps["kind"] == "perpetual")
    listed = sorted(set(steps.loc[is_perpetual, "instrument"]))
    if listed != [instrument]:
        rule = "take-overs can be measured at venues with one perpetual only"
        raise ValueError(
            f"{venue!r} lists {', '.join(listed)}; {rule}: name the perpetual of such a venue"
        )


def _select_events(events: pd.DataFrame, venue: str, window: pd.DataFrame) -> pd.DataFrame:
    """Return the events of a venue during the steps of a window."""
    first, last = int(window.index[0]), int(window.index[-1])
    here: pd.DataFrame = events[(events["venue"] == venue) & events["step"].between(first, last)]
    return here
