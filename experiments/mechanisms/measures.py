"""Recorded measures of one run, by which markets without and with a mechanism are compared."""

import numpy as np
import pandas as pd

from experiments.config import RunConfig
from experiments.simulation import simulate_run
from sim.metrics import overview
from sim.metrics.cascades import Frames
from sim.metrics.losses import sum_by_layer, sum_system_loss
from sim.metrics.venues import select_venues

Measures = dict[str, float]


def measure_config(config: RunConfig) -> Measures:
    """Return the measures of a run, see ``measure_frames``."""
    return measure_frames(simulate_run(config), 10 ** config.assets[0].decimals)


def measure_frames(frames: Frames, unit: int) -> Measures:
    """Return measures of prices, books, margin, close-outs, losses and wealth.

    Money is in units of the numeraire, prices and rates are shares of one.

    Args:
        frames: frames of one run.
        unit: minor units in one unit of the numeraire.
    """
    closed, (fund_before, fund_after) = (
        overview.sum_close_outs(frames),
        overview.compare_funds(frames),
    )
    losses = {f"loss borne by {name}": total for name, total in sum_by_layer(frames).items()}
    calls = {f"margin calls {name}": n for name, n in overview.count_margin_calls(frames).items()}
    wealth = {
        f"equity change of {name}": end - start
        for name, (start, end) in overview.compare_wealth(frames).items()
    }
    money = {
        "closed out": closed["notional"],
        "ADL": overview.sum_adl_notional(frames),
        "system loss": sum_system_loss(frames),
        **losses,
        "fund, change": fund_after - fund_before,
        "deposits": int(select_venues(frames)["deposits"].sum()),
        "withdrawals": int(select_venues(frames)["withdrawals"].sum()),
        **wealth,
    }
    return {
        **_measure_prices(frames),
        **_measure_books(frames, unit),
        "owners closed out": closed["owners"],
        "close-outs": closed["count"],
        **{name: amount / unit for name, amount in money.items()},
        **calls,
        "rounds": float(frames["market"]["rounds"].sum()),
    }


def _measure_prices(frames: Frames) -> Measures:
    steps = overview.select_perpetuals(frames)
    falls = {
        f"{name} fall, worst": found.value if found else 0.0
        for name in ("index", "mark")
        for found in [overview.find_deepest_fall(frames, name)]
    }
    basis = overview.find_largest_basis(frames)
    returns = np.log(steps["mark"]).groupby(steps["instrument"]).diff()
    return {
        **falls,
        "basis, largest": basis.value if basis else 0.0,
        "mark return, deviation": float(returns.std()),
        "index, last": float(steps.groupby("instrument")["index"].last().sum()),
        "mark, last": float(steps.groupby("instrument")["mark"].last().sum()),
        "funding rate, mean size": _mean(steps["funding"].abs()),
    }


def _measure_books(frames: Frames, unit: int) -> Measures:
    steps, venues = overview.select_perpetuals(frames), select_venues(frames)
    names, feedback = set(steps["venue"]), overview.find_largest_feedback(frames)
    venues = venues[venues["venue"].isin(names)]
    gross = float(frames["steps"].loc[frames["steps"]["venue"].isin(names), "gross"].sum())
    return {
        "spread, mean": _mean((steps["ask"] - steps["bid"]) / steps["mark"]),
        "depth, mean": _mean(steps["depth"]),
        "volume": float(frames["steps"]["volume"].sum()),
        "open interest, mean": _mean(steps["gross"]) / 2 / unit,
        "initial margin of a lot, mean": _mean(steps["margin_long"]),
        "initial margin of accounts": float(venues["initial"].sum()) / gross if gross else 0.0,
        "maintenance margin of accounts": (
            float(venues["maintenance"].sum()) / gross if gross else 0.0
        ),
        "feedback, largest": feedback.value if feedback else 0.0,
    }


def _mean(values: "pd.Series[float]") -> float:
    mean = float(values.mean())
    return mean if np.isfinite(mean) else 0.0
