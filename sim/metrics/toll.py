"""What a shock took, against what was open before it (LOSS-4)."""

from typing import NamedTuple

import pandas as pd

from sim.metrics.cascades import Frames
from sim.metrics.inputs import require_instrument


class Toll(NamedTuple):
    """Contract space in lots over the open interest before the shock, wealth space over its worth.

    A lot may be taken over by the fund, closed out in its name and deleveraged: shares need not sum to one, nor
    stay below it.
    """

    closed_out: float  # lots that close-outs filled, in the book or at auction
    auctioned: float  # lots of these that were sold at auction
    deleveraged: float  # lots that ADL closed
    taken_over: float  # lots that the fund took over
    take_overs: int  # accounts that it took over
    bad_debt: float  # what no layer absorbed
    system_loss: float  # everything absorbed, bad debt included


COLUMNS = ["step", "venue", "open_interest", "gross", "liquidated", "adl"]
"""Of steps, what is looked at here."""


def toll(frames: Frames, instrument: str, since: int, until: int | None = None) -> Toll:
    """Close-outs, ADL, take-overs and losses from step ``since`` to ``until``.

    Args:
        frames: of one run.
        instrument: the only perpetual of its venue: losses name no instrument, and lots of several do not add up.
        since: first step of the shock.
        until: last step of the window; none = the run's last.

    Raises:
        ValueError: no such instrument or step before ``since``, another perpetual beside it, or nothing open before.
    """
    require_instrument(frames, instrument)
    steps = frames["steps"]
    own = steps.loc[steps["instrument"] == instrument, COLUMNS].set_index("step")
    if since - 1 not in own.index:
        span = f"one of {own.index.min() + 1} to {own.index.max()}"
        raise ValueError(f"since: {since}, {instrument!r} has no step before it: choose {span}")
    before = own.loc[[since - 1]].iloc[0]
    venue = str(before["venue"])
    listed = sorted(set(steps.loc[(steps["venue"] == venue) & (steps["kind"] == "perpetual"), "instrument"]))
    if listed != [instrument]:
        told = f"{venue!r} lists {', '.join(listed)}; take-overs are told of venues with one perpetual only"
        raise ValueError(f"{told}: name the perpetual of such a venue")
    if not before["open_interest"]:
        raise ValueError(f"{instrument!r} has no open interest at step {since - 1}; choose a later shock")
    window, lots, worth = own.loc[since:until], before["open_interest"], before["gross"] / 2
    losses = _between(frames["losses"], venue, int(window.index[0]), int(window.index[-1]))
    closeouts = _between(frames["closeouts"], venue, int(window.index[0]), int(window.index[-1]))
    taken = losses[losses["layer"] == "fund"]
    return Toll(
        closed_out=float(window["liquidated"].sum() / lots),
        auctioned=float(closeouts.loc[closeouts["route"] == "auction", "filled"].sum() / lots),
        deleveraged=float(window["adl"].sum() / lots),
        taken_over=float(taken["lots"].sum() / lots),
        take_overs=len(taken),
        bad_debt=float(losses.loc[losses["layer"] == "bad_debt", "absorbed"].sum() / worth),
        system_loss=float(losses["absorbed"].sum() / worth),
    )


def _between(events: pd.DataFrame, venue: str, first: int, last: int) -> pd.DataFrame:
    here: pd.DataFrame = events[(events["venue"] == venue) & events["step"].between(first, last)]
    return here
