"""Losses of a shock relative to open interest before it (LOSS-4)."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sim.metrics.cascades import Frames
from sim.metrics.inputs import require_instrument
from sim.types import B1, I8


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
    own = _InstrumentSteps.select(steps, instrument)
    before = own.find_step_before(since)
    venue = str(steps["venue"].iloc[before])
    _check_only_perpetual(steps, venue, instrument)
    lots, value = _find_open_interest(steps, before, instrument)
    window = own.find_window(since, until)
    closed_out, deleveraged = (steps[name].to_numpy()[window.row] for name in ("liquidated", "adl"))
    auctioned = _sum_auctioned(frames["closeouts"], venue, window)
    losses = frames["losses"]
    here = _select_events(losses, venue, window)
    taken = here & (losses["layer"] == "fund").to_numpy()
    return ShockLosses(
        closed_out=float(closed_out.sum() / lots),
        auctioned=float(auctioned / lots),
        deleveraged=float(deleveraged.sum() / lots),
        taken_over=float(losses["lots"].to_numpy()[taken].sum() / lots),
        take_overs=int(taken.sum()),
        bad_debt=_sum_absorbed(losses, here & (losses["layer"] == "bad_debt").to_numpy()) / value,
        system_loss=_sum_absorbed(losses, here) / value,
    )


def _find_open_interest(steps: pd.DataFrame, row: int, instrument: str) -> tuple[float, float]:
    """Return the open interest of a row, in lots and minor units; refuse none."""
    lots, gross = steps["open_interest"].iloc[row], steps["gross"].iloc[row]
    if not lots:
        step = steps["step"].iloc[row]
        raise ValueError(
            f"{instrument!r} has no open interest at step {step}; choose a later shock"
        )
    return float(lots), float(gross) / 2


def _sum_absorbed(losses: pd.DataFrame, chosen: B1) -> float:
    """Return what the chosen events of losses absorbed, minor units."""
    return float(losses["absorbed"].to_numpy()[chosen].sum())


class _InstrumentSteps(NamedTuple):
    """Rows of one instrument in ``steps``, in their order."""

    instrument: str
    row: I8
    step: I8

    @classmethod
    def select(cls, steps: pd.DataFrame, instrument: str) -> "_InstrumentSteps":
        """Return the rows of an instrument."""
        row = np.flatnonzero((steps["instrument"] == instrument).to_numpy())
        return cls(instrument, row, steps["step"].to_numpy()[row])

    def find_step_before(self, since: int) -> int:
        """Return the row at the step before ``since``."""
        here = np.flatnonzero(self.step == since - 1)
        if not here.size:
            span = f"one of {self.step.min() + 1} to {self.step.max()}"
            message = f"since: {since}, {self.instrument!r} has no step before it: choose {span}"
            raise ValueError(message)
        return int(self.row[here[0]])

    def find_window(self, since: int, until: int | None) -> "_InstrumentSteps":
        """Return the rows from step ``since`` to ``until``, or to the last."""
        here = (self.step >= since) & (self.step <= (self.step.max() if until is None else until))
        return self._replace(row=self.row[here], step=self.step[here])


def _check_only_perpetual(steps: pd.DataFrame, venue: str, instrument: str) -> None:
    """Refuse a venue that lists other perpetuals."""
    is_perpetual = (steps["venue"] == venue) & (steps["kind"] == "perpetual")
    listed = sorted(set(steps.loc[is_perpetual, "instrument"]))
    if listed != [instrument]:
        rule = "take-overs can be measured at venues with one perpetual only"
        raise ValueError(
            f"{venue!r} lists {', '.join(listed)}; {rule}: name the perpetual of such a venue"
        )


def _sum_auctioned(closeouts: pd.DataFrame, venue: str, window: _InstrumentSteps) -> Any:
    """Return the lots that were sold at auction."""
    auctioned = _select_events(closeouts, venue, window) & (closeouts["route"] == "auction")
    return closeouts["filled"].to_numpy()[auctioned].sum()


def _select_events(events: pd.DataFrame, venue: str, window: _InstrumentSteps) -> B1:
    """Return which events are of a venue, during the steps of a window."""
    step = events["step"].to_numpy()
    during = (step >= window.step[0]) & (step <= window.step[-1])
    here: B1 = (events["venue"] == venue).to_numpy() & during
    return here
