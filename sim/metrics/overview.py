"""What a risk manager asks of a run, as numbers: falls, close-outs, who paid."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sim.metrics.cascades import Frames
from sim.metrics.venues import select_venues

OWN_MARGIN = "own margin"


class ExtremeValue(NamedTuple):
    """The worst of something and where it was."""

    value: float
    instrument: str
    step: int


def find_deepest_fall(frames: Frames, column: str) -> ExtremeValue | None:
    """The largest fall of a price from its highest value so far, a share below nil, over all perpetuals.

    Args:
        frames: of one run.
        column: ``mark`` or ``index``.
    """
    steps = select_perpetuals(frames)
    return _find_extreme(
        steps, steps[column] / steps.groupby("instrument")[column].cummax() - 1, lowest=True
    )


def find_largest_basis(frames: Frames) -> ExtremeValue | None:
    """The mark farthest from the oracle, as a signed share of it, over all perpetuals."""
    steps = select_perpetuals(frames)
    return _find_extreme(steps, steps["mark"] / steps["oracle"] - 1)


def count_one_sided(frames: Frames) -> tuple[int, int]:
    """Steps in which a perpetual's book lacked a side when it was last marked, and steps there were."""
    steps = select_perpetuals(frames)
    return int(steps.loc[steps["fallback"], "step"].nunique()), int(
        frames["steps"]["step"].nunique()
    )


def find_peak_open_interest(frames: Frames) -> int:
    """Largest long notional of all perpetuals together at the end of a step, minor units of the numeraire."""
    by_step = select_perpetuals(frames).groupby("step")["gross"].sum()
    return int(by_step.max()) // 2 if len(by_step) else 0


def sum_close_outs(frames: Frames) -> dict[str, int]:
    """Close-outs that filled: how many, of how many owners, notional in minor units of the numeraire."""
    filled = frames["closeouts"][frames["closeouts"]["filled"] > 0]
    return {
        "count": len(filled),
        "owners": int(filled["owner"].nunique()),
        "notional": int(filled["notional"].sum()),
    }


def find_worst_step(frames: Frames) -> ExtremeValue | None:
    """The step in which most was closed out, minor units of the numeraire over all instruments; none if nothing was."""
    by_step = (
        frames["steps"]
        .groupby("step", as_index=False)["liquidated_notional"]
        .sum()
        .assign(instrument="")
    )
    found = _find_extreme(by_step, by_step["liquidated_notional"])
    return found if found is not None and found.value else None


def sum_adl_notional(frames: Frames) -> int:
    """What ADL closed, at the mark, minor units of the numeraire; its lots are in ``sim.metrics.losses``."""
    return int(frames["steps"]["adl_notional"].sum())


def find_largest_feedback(frames: Frames) -> ExtremeValue | None:
    """The largest R(1%), over all perpetuals (LIQ-7)."""
    steps = select_perpetuals(frames)
    return _find_extreme(steps, steps["feedback"])


def compare_wealth(frames: Frames) -> dict[str, tuple[int, int]]:
    """Equity of each population at the start and at the end over all venues, wallets included, minor units."""
    accounts = frames["accounts"]
    total = accounts.groupby(["moment", "population"], sort=False)["equity"].sum()
    names = list(dict.fromkeys(accounts["population"]))
    return {
        name: (round(total.get(("start", name), 0)), round(total.get(("end", name), 0)))
        for name in names
    }


def compare_funds(frames: Frames) -> tuple[int, int]:
    """Equity of all venues' funds at the opening and after the last step, minor units of the numeraire."""
    total = select_venues(frames).groupby("step")["fund"].sum()
    return (int(total.iloc[0]), int(total.iloc[-1])) if len(total) else (0, 0)


def count_margin_calls(frames: Frames) -> dict[str, int]:
    """Margin calls opened, met and missed at all venues."""
    once = select_venues(frames)
    return {name: int(once[column].sum()) for name, column in _CALLS.items()}


def sum_losses_by_payer(frames: Frames) -> dict[str, int]:
    """What bankrupt accounts lost, by who bore it, minor units of the numeraire.

    Own margin is the equity that these accounts had when the exchange began to close them out in the step in which they
    went bankrupt. The rest is what each layer absorbed, ``bad_debt`` included (LOSS-3).
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
    """Rows of the perpetuals in ``steps``."""
    steps = frames["steps"]
    return steps[steps["kind"] == "perpetual"]


def _find_extreme(
    steps: pd.DataFrame, values: "pd.Series[float]", *, lowest: bool = False
) -> ExtremeValue | None:
    """The lowest value, or the one farthest from nil."""
    size = -values if lowest else values.abs()
    if not size.notna().any():
        return None
    row = int(np.nanargmax(size.to_numpy()))
    return ExtremeValue(
        float(values.iloc[row]), str(steps["instrument"].iloc[row]), int(steps["step"].iloc[row])
    )


_CALLS = {"made": "calls", "met": "calls_met", "missed": "calls_missed"}
