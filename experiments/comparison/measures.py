"""Measures by which engines are compared: capital, leverage, netting, close-outs and losses."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.comparison.capital import list_margined_venues
from sim.market import Market
from sim.metrics import overview
from sim.metrics.cascades import Frames
from sim.metrics.losses import sum_by_layer, sum_system_loss
from sim.metrics.venues import select_venues
from sim.types import B1, F8, Exposure

SUM_DIGITS = 9
"""Decimal places that sums of many margins in different orders share."""


class EngineMeasures(NamedTuple):
    """Measures of one run, in the order of the table. Money is in units of the numeraire."""

    capital: float  # initial margin over gross notional, all steps together (share)
    leverage_median: float  # notional over equity of owners with positions, at the peak (ratio)
    leverage_90: float  # the same, the 90th percentile (ratio)
    offsets: float  # owners with opposite positions among those with positions (share)
    saved: float  # margin saved by netting, at the end (share of the margin without netting)
    closeouts: int  # close-outs with fills (count)
    owners: int  # owners closed out (count)
    closed: float  # notional closed out (units of the numeraire)
    adl: float  # notional closed by ADL (units of the numeraire)
    fund_draw: float  # losses that the insurance fund took over (units of the numeraire)
    system_loss: float  # losses of all layers, with bad debt (units of the numeraire)
    lowest_mark: float  # largest fall of a perpetual's mark from its highest value (share)


def measure_run(market: Market, frames: Frames) -> EngineMeasures:
    """Return the measures of a finished run.

    Args:
        market: the market after its last step.
        frames: its frames; leverage and offsets are those of its peak, else of its end.
    """
    names = [market.config.venues[number].name for number in list_margined_venues(market.config)]
    unit = 10 ** market.config.assets[0].decimals
    accounts = _sum_by_owner(frames["accounts"], names)
    leverage = (accounts["gross"] / accounts["equity"])[accounts["equity"] > 0]
    opposed = accounts["net"].abs() < accounts["gross"] * (1 - 1e-9)
    closed, fall = overview.sum_close_outs(frames), overview.find_deepest_fall(frames, "mark")
    return EngineMeasures(
        capital=_measure_capital(frames, names),
        leverage_median=_quantile(leverage, 0.5),
        leverage_90=_quantile(leverage, 0.9),
        offsets=float(opposed.mean()) if len(opposed) else 0.0,
        saved=measure_saved_margin(market),
        closeouts=closed["count"],
        owners=closed["owners"],
        closed=closed["notional"] / unit,
        adl=overview.sum_adl_notional(frames) / unit,
        fund_draw=sum_by_layer(frames).get("fund", 0) / unit,
        system_loss=sum_system_loss(frames) / unit,
        lowest_mark=fall.value if fall else 0.0,
    )


def _quantile(values: "pd.Series[float]", share: float) -> float:
    return float(values.quantile(share)) if len(values) else float("nan")


def _measure_capital(frames: Frames, names: list[str]) -> float:
    """Return Σ initial margin over Σ gross notional, at these venues over all steps."""
    venues, steps = select_venues(frames), frames["steps"]
    recorded = set(steps["step"])
    mine = venues[venues["venue"].isin(names) & venues["step"].isin(recorded)]
    gross = float(steps.loc[steps["venue"].isin(names), "gross"].sum())
    return float(mine["initial"].sum()) / gross if gross else float("nan")


def _sum_by_owner(accounts: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return equity, gross and net of owners with positions at these venues, at the peak.

    Without a peak, which needs a profile, they are those of the end.
    """
    moments = set(accounts["moment"])
    moment = "peak" if "peak" in moments else "end"
    mine = accounts[(accounts["moment"] == moment) & accounts["venue"].isin(names)]
    total = mine.groupby("owner")[["equity", "gross", "net"]].sum()
    return total[total["gross"] > 0]


def measure_saved_margin(market: Market) -> float:
    """Return the share of initial margin that netting saves at this moment.

    It is 1 less Σ margin of the accounts over Σ margin of every position alone, both by the engine
    as it stands and without open orders. It is zero where every pool has one instrument, and where
    the margins of positions add up.
    """
    joint = apart = 0.0
    rows: B1 = market.state.is_margined
    for number in list_margined_venues(market.config):
        venue = market.venues[number]
        for state in venue.pool_states.values():
            accounts = _without_orders(venue.pool_accounts(state.pool))
            requirement = state.engine.requirement
            joint += _sum_initial(requirement.compute_margins(accounts).initial, rows)
            for column in range(accounts.position.shape[1]):
                alone = np.zeros_like(accounts.position)
                alone[:, column] = accounts.position[:, column]
                single = accounts._replace(position=alone)
                apart += _sum_initial(requirement.compute_margins(single).initial, rows)
    return round(1.0 - joint / apart, SUM_DIGITS) if apart else 0.0


def _without_orders(accounts: Exposure) -> Exposure:
    none = np.zeros_like(accounts.position)
    return accounts._replace(bids=none, asks=none, reserved=none)


def _sum_initial(initial: F8, rows: B1) -> float:
    return float(initial[: rows.size][rows[: initial.size]].sum())
