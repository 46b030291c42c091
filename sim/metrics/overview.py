"""Overview of a run: falls, close-outs, losses and their payers, liquidity, returns on margin."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd

from sim.metrics.cascades import Frames
from sim.metrics.venues import select_venues

OWN_MARGIN = "own margin"
_DAY = 86_400.0


class ExtremeValue(NamedTuple):
    """Extreme of a quantity, with its instrument and step."""

    value: float
    instrument: str
    step: int


class Liquidity(NamedTuple):
    """Liquidity and trade of one instrument over a run, per side of the book; nan without steps."""

    near: float  # lots quoted within 0.1% of the mark, mean over steps
    wide: float  # lots quoted within 1% of it
    open_interest: float  # lots, mean over steps
    turnover: float  # volume over that open interest, per day


class MarginReturn(NamedTuple):
    """Gain of some populations and the margin with which they made it."""

    gain: float  # change in equity less net payments from outside, minor units of the numeraire
    margin: float  # initial margin, mean over readings, minor units of the numeraire
    share: float  # gain over margin; nan without margin


def find_deepest_fall(frames: Frames, column: str) -> ExtremeValue | None:
    """Return the largest fall of a price from its highest value so far, over all perpetuals.

    The value is a negative share.

    Args:
        frames: frames of one run.
        column: ``mark`` or ``index``.
    """
    steps = select_perpetuals(frames)
    fall = steps[column] / steps.groupby("instrument")[column].cummax() - 1
    return _find_extreme(steps, fall, lowest=True)


def find_largest_basis(frames: Frames) -> ExtremeValue | None:
    """Return the largest distance of a mark from the oracle, as a signed share of it."""
    steps = select_perpetuals(frames)
    return _find_extreme(steps, steps["mark"] / steps["oracle"] - 1)


def count_one_sided(frames: Frames) -> tuple[int, int]:
    """Return the number of steps in which a perpetual had no bid or no ask, and of all steps."""
    steps = select_perpetuals(frames)
    one_sided = steps.loc[steps["fallback"], "step"].nunique()
    return int(one_sided), int(frames["steps"]["step"].nunique())


def find_peak_open_interest(frames: Frames) -> int:
    """Return the largest long notional of all perpetuals at the end of a step, minor units."""
    by_step = select_perpetuals(frames).groupby("step")["gross"].sum()
    return int(by_step.max()) // 2 if len(by_step) else 0


def sum_close_outs(frames: Frames) -> dict[str, int]:
    """Return count, owners and notional (minor units) of close-outs with fills."""
    filled = frames["closeouts"][frames["closeouts"]["filled"] > 0]
    return {
        "count": len(filled),
        "owners": int(filled["owner"].nunique()),
        "notional": int(filled["notional"].sum()),
    }


def find_worst_step(frames: Frames) -> ExtremeValue | None:
    """Return the step with the largest notional of close-outs, minor units; None without any."""
    by_step = frames["steps"].groupby("step", as_index=False)["liquidated_notional"].sum()
    by_step = by_step.assign(instrument="")
    worst = _find_extreme(by_step, by_step["liquidated_notional"])
    return worst if worst is not None and worst.value else None


def sum_adl_notional(frames: Frames) -> int:
    """Return the notional that ADL closed, at the mark, minor units of the numeraire.

    Its lots are in ``sim.metrics.losses``.
    """
    return int(frames["steps"]["adl_notional"].sum())


def find_largest_feedback(frames: Frames) -> ExtremeValue | None:
    """Return the largest R(1%), over all perpetuals (LIQ-7)."""
    steps = select_perpetuals(frames)
    return _find_extreme(steps, steps["feedback"])


def compare_wealth(frames: Frames) -> dict[str, tuple[int, int]]:
    """Return equity of each population at start and end, with wallets, minor units."""
    accounts = frames["accounts"]
    total = accounts.groupby(["moment", "population"], sort=False)["equity"].sum()
    names = list(dict.fromkeys(accounts["population"]))
    return {
        name: (round(total.get(("start", name), 0)), round(total.get(("end", name), 0)))
        for name in names
    }


def compare_funds(frames: Frames) -> tuple[int, int]:
    """Return the equity of all funds at the opening and after the last step, minor units."""
    total = select_venues(frames).groupby("step")["fund"].sum()
    return (int(total.iloc[0]), int(total.iloc[-1])) if len(total) else (0, 0)


def measure_liquidity(frames: Frames) -> dict[str, Liquidity]:
    """Return quoted depth and turnover of each perpetual, over all steps."""
    found = {}
    for name, own in select_perpetuals(frames).groupby("instrument", sort=False):
        held, days = float(own["open_interest"].mean()), float(own["seconds"].iloc[-1]) / _DAY
        traded = float(own["volume"].sum())
        found[str(name)] = Liquidity(
            near=float(own["depth_near"].mean()),
            wide=float(own["depth"].mean()),
            open_interest=held,
            turnover=traded / held / days if held > 0 and days > 0 else np.nan,
        )
    return found


def measure_margin_return(frames: Frames, names: Collection[str]) -> MarginReturn:
    """Return the gain of populations from the start to the last reading, over mean initial margin.

    Margin is the mean over readings of what engines required of their accounts at all venues. It
    is not annualised. Capital that came or left is not part of the gain.

    Args:
        frames: frames of one run.
        names: populations. Without readings (``profile_every: 0``) the result is nan, and so it
            is for runs of versions that did not record net payments.
    """
    rows, accounts = frames.get("populations"), frames["accounts"]
    if rows is None or "net_paid_in" not in rows or not rows["population"].isin(names).any():
        return MarginReturn(np.nan, np.nan, np.nan)
    rows = rows[rows["population"].isin(names)]
    readings = rows.groupby("step")[["equity", "initial", "net_paid_in"]].sum()
    is_start = (accounts["moment"] == "start") & accounts["population"].isin(names)
    last, margin = readings.iloc[-1], float(readings["initial"].mean())
    gain = float(last["equity"] - last["net_paid_in"] - accounts.loc[is_start, "equity"].sum())
    return MarginReturn(gain, margin, gain / margin if margin > 0 else np.nan)


def count_margin_calls(frames: Frames) -> dict[str, int]:
    """Return the number of margin calls opened, met and missed at all venues."""
    once = select_venues(frames)
    return {name: int(once[column].sum()) for name, column in _CALLS.items()}


def sum_losses_by_payer(frames: Frames) -> dict[str, int]:
    """Return the losses of bankrupt accounts by payer, minor units of the numeraire.

    Own margin is the accounts' equity at the start of their close-outs, in the step of their
    bankruptcy. The rest is the losses that each layer absorbed, ``bad_debt`` included (LOSS-3).
    """
    closeouts, losses = frames["closeouts"], frames["losses"]
    if not len(losses):
        return {OWN_MARGIN: 0}
    bankrupt = losses[["step", "venue", "pool", "owner"]].drop_duplicates()
    first = closeouts.drop_duplicates(["step", "venue", "pool", "owner"])
    own = first.merge(bankrupt, on=["step", "venue", "pool", "owner"])["equity"].clip(lower=0).sum()
    layers = losses.groupby("layer", sort=False)["absorbed"].sum()
    return {
        OWN_MARGIN: round(float(own)),
        **{str(name): int(total) for name, total in layers.items()},
    }


def select_perpetuals(frames: Frames) -> pd.DataFrame:
    """Return the rows of perpetuals in ``steps``."""
    steps = frames["steps"]
    return steps[steps["kind"] == "perpetual"]


def _find_extreme(
    steps: pd.DataFrame, values: "pd.Series[float]", *, lowest: bool = False
) -> ExtremeValue | None:
    """Return the lowest value, or the value farthest from zero."""
    size = -values if lowest else values.abs()
    if not size.notna().any():
        return None
    row = int(np.nanargmax(size.to_numpy()))
    return ExtremeValue(
        float(values.iloc[row]), str(steps["instrument"].iloc[row]), int(steps["step"].iloc[row])
    )


_CALLS = {"made": "calls", "met": "calls_met", "missed": "calls_missed"}
