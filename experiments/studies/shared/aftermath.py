"""Outcomes of a shock in one run: losses against the fund, feedback, capital before and after."""

import numpy as np
import pandas as pd

from agents.ladders import LadderMakers
from agents.leveraged import LeveragedPopulation
from experiments.config import RunConfig
from experiments.studies.shared.shocks import find_first_perpetual, find_shock_step
from sim.metrics.cascades import Frames, measure_amplification, measure_fall
from sim.metrics.contagion import build_contagion
from sim.metrics.generations import compute_root_share
from sim.metrics.links.origins import build_origins, compute_foreign_share
from sim.metrics.overview import measure_margin_return
from sim.metrics.shock_losses import measure_shock_losses
from sim.metrics.venues import join_venue
from sim.prices.stress import PriceMove

VENUE_COLUMNS = ["initial", "equity", "fund"]
STEP_COLUMNS = ["step", "gross", *VENUE_COLUMNS, "feedback"]
"""Columns of an instrument and of its venue."""


def measure_aftermath(
    config: RunConfig, frames: Frames, twin: Frames | None = None
) -> dict[str, float]:
    """Return the outcomes of one run, as shares of open interest before the shock unless noted.

    ``broken``: the fund refused a loss, which then fell on ADL, all accounts or the venue.
    The fund refuses a loss that its money does not cover, or that leaves its own account below
    initial margin (LIQ-3).
    ``feedback``: the largest R(1%) recorded while the index fell (LIQ-7).
    ``calm_margin``, ``stress_margin``: initial margin of all accounts over their gross notional,
    in the later half of the calm and from the shock on (MAR-2).
    ``requirement``: share of the harm to closed-out accounts that the margin model itself caused
    (LIQ-8); nan without close-outs.
    ``from_others``: share of the notional closed out that came from losses in another instrument
    (LIQ-10); nan without close-outs.
    ``amplification``: nan without a twin, and if the twin's mark does not fall.
    ``depth_near``, ``depth``: mean over all steps of what is quoted on a side within 0.1% and 1%
    of the mark, units of the quote currency.
    ``turnover``: lots traded over lots of open interest, over the whole run.
    ``holders``: share of leveraged traders with a position when gross notional was largest.
    ``traders_return``, ``makers_return``: gain over mean initial margin, from the start to the
    last reading (``sim.metrics.overview.measure_margin_return``).
    """
    instrument, since = find_first_perpetual(config), find_shock_step(config)
    shock = measure_shock_losses(frames, instrument, since)
    own = _select_instrument(frames, instrument)
    before = own.loc[[since - 1]].iloc[0]
    open_interest = float(before["gross"]) / 2
    fund_draw, beyond = _sum_absorbed(frames["losses"], since)
    amplification = np.nan
    if twin is not None:
        amplification = _amplification(frames, twin, instrument, since)
    calm_margin, stress_margin = _average_margins(own, since)
    links = build_contagion(frames)
    return {
        **shock._asdict(),
        "broken": beyond / open_interest > 0,
        "any_deleveraged": shock.deleveraged > 0,
        "called_upon": shock.take_overs > 0,
        "beyond": beyond / open_interest,
        "fund_draw": fund_draw / open_interest,
        "fund": float(before["fund"]) / open_interest,
        "fund_lowest": float(own.loc[own.index >= since, "fund"].min()) / open_interest,
        "feedback": _largest_feedback(config, own, since),
        "amplification": amplification,
        "calm_margin": calm_margin,
        "stress_margin": stress_margin,
        "open_interest": open_interest,
        "leverage": open_interest / float(before["equity"]),
        **_measure_participation(config, frames, instrument),
        "requirement": compute_root_share(links, "requirement"),
        "from_others": compute_foreign_share(build_origins(frames, links)),
    }


def _measure_participation(config: RunConfig, frames: Frames, instrument: str) -> dict[str, float]:
    """Return depth, turnover, holders of positions and returns on margin of a run."""
    steps = frames["steps"]
    own = steps[steps["instrument"] == instrument]
    value = own["mark"] * _find_lot(config, instrument)
    groups = {
        word: [each.name for each in config.populations if isinstance(each, base)]
        for word, base in (("traders", LeveragedPopulation), ("makers", LadderMakers))
    }
    accounts, held = frames["accounts"], float(own["open_interest"].mean())
    peak = accounts[(accounts["moment"] == "peak") & accounts["population"].isin(groups["traders"])]
    return {
        "depth_near": float((own["depth_near"] * value).mean()),
        "depth": float((own["depth"] * value).mean()),
        "turnover": float(own["volume"].sum()) / held if held > 0 else np.nan,
        "holders": float((peak.groupby("owner")["gross"].sum() > 0).mean()),
        **{
            f"{word}_return": measure_margin_return(frames, names).share
            for word, names in groups.items()
        },
    }


def _find_lot(config: RunConfig, instrument: str) -> float:
    """Return the units of the underlying in one lot."""
    listed = (contract for venue in config.venues for contract in venue.instruments)
    return next(contract.lot for contract in listed if contract.name == instrument)


def _sum_absorbed(losses: pd.DataFrame, since: int) -> tuple[float, float]:
    """Return the losses from a step on that the fund bore, and those that it did not."""
    counts = losses["step"].to_numpy() >= since
    is_fund, absorbed = (losses["layer"] == "fund").to_numpy(), losses["absorbed"].to_numpy()
    return float(absorbed[counts & is_fund].sum()), float(absorbed[counts & ~is_fund].sum())


def _select_instrument(frames: Frames, instrument: str) -> pd.DataFrame:
    """Return the columns of one instrument and its venue, by step."""
    steps = frames["steps"]
    here = np.flatnonzero((steps["instrument"] == instrument).to_numpy())
    names = [name for name in (*STEP_COLUMNS, "venue") if name in steps]
    joined = join_venue(steps[names].take(here), frames, VENUE_COLUMNS)
    return joined[STEP_COLUMNS].set_index("step")


def _average_margins(own: pd.DataFrame, since: int) -> tuple[float, float]:
    """Return the mean margin over gross notional in the later calm, and from the shock on."""
    margin = own["initial"] / own["gross"].where(own["gross"] > 0)
    calm = float(margin[margin.index < since].tail(since // 2).mean())
    return calm, float(margin[margin.index >= since].mean())


def _amplification(frames: Frames, twin: Frames, instrument: str, since: int) -> float:
    """Return how many times deeper the mark fell than in the twin; nan if the twin's did not
    fall.
    """
    return (
        measure_amplification(frames, twin, instrument, since)
        if measure_fall(twin, instrument, since) < 0
        else np.nan
    )


def _largest_feedback(config: RunConfig, own: pd.DataFrame, since: int) -> float:
    """Return the largest R(1%) during the first move; zero if no profile had bids to compare
    with.
    """
    move = next(stress for stress in config.stresses if isinstance(stress, PriceMove))
    last = since + round(move.duration / config.dt)
    feedback = own.loc[(own.index >= since) & (own.index <= last), "feedback"]
    return float(feedback.max()) if feedback.notna().any() else 0.0


def make_score_row(figures: dict[str, float]) -> pd.DataFrame:
    """Return the figures of a run as the one row of its scores."""
    return pd.DataFrame({name: [value] for name, value in figures.items()})
