"""The liquidation profile on books worked by hand and in a market it must not change (LIQ-7)."""

import numpy as np
import pandas as pd
import pytest
from build import exposure
from papers import crash

from sim.margin.engine import EngineConfig
from sim.recording.liquidation_profile import (
    FEEDBACK_MOVE,
    MARK_MOVES,
    compute_feedback,
    compute_profile,
)
from sim.types import Exposure

ENGINE = {"requirement": {"kind": "tiered", "tiers": [{"floor": 0, "max_leverage": 10}]}}
"""Maintenance is 5% of notional."""


def assessed(book: Exposure, counted: list[bool]) -> tuple[dict[float, float], int]:
    engine = EngineConfig.model_validate(ENGINE).build_engine(book.market.contracts, 1)
    found = compute_profile(engine, book, np.array(counted))
    return dict(zip(MARK_MOVES, found.at_risk[0].tolist(), strict=True)), int(
        found.fresh[0, FEEDBACK_MOVE]
    )


def test_three_accounts_by_hand() -> None:
    """A long of 1 at 10,000 with equity e is liquidatable if e - 10,000 f < 500 (1 - f)."""
    # 2% takes the first (420 < 490), 1% does not (520 > 495) but takes the second (455 < 495);
    # the third is short 2: a rise of the mark by 1% makes it liquidatable (950 < 1,010), a rise of
    # half of that does not (1,050 > 1,005)
    equity, lots = np.array([620, 555, 1150]), np.array([1, 1, -2])
    at_risk, next_fall = assessed(exposure(lots, 10_000, equity - lots * 10_000), [True] * 3)
    falls = {-0.1: 20_000, -0.05: 20_000, -0.03: 20_000, -0.02: 20_000, -0.01: 10_000, -0.005: 0}
    assert at_risk == falls | {0.005: 0} | dict.fromkeys((0.01, 0.02, 0.03, 0.05, 0.1), 20_000)
    assert next_fall == 1


def test_who_is_under_already_is_at_risk_but_not_next() -> None:
    at_risk, next_fall = assessed(exposure([3], 10_000, [400 - 30_000]), [True])
    assert at_risk[-0.005] == at_risk[-0.01] == 30_000
    assert next_fall == 0


def test_only_those_whom_margin_binds_count() -> None:
    at_risk, next_fall = assessed(exposure([1, -1], 10_000, [555 - 10_000, 0]), [False, False])
    assert set(at_risk.values()) == {0}
    assert next_fall == 0


def test_one_mark_moves_at_a_time() -> None:
    """A hedged account is at risk from each leg's move alone, with that leg's notional only."""
    book = exposure([[10, -5]], [1000, 2000], [[1400]])
    engine = EngineConfig.model_validate(ENGINE).build_engine(book.market.contracts, 1)
    found = compute_profile(engine, book, np.array([True]))
    falls = dict(zip(MARK_MOVES, found.at_risk.T.tolist(), strict=True))
    assert falls[-0.05] == falls[0.05][::-1] == [10_000, 0]  # 1,400 - 500 < 975 and 1,025
    assert falls[-0.02] == [0, 0]


def test_r_is_lots_over_bids() -> None:
    given = compute_feedback(np.array([3, 0, 5]), np.array([4, 7, 0]))
    assert given[:2].tolist() == [0.75, 0.0]
    assert np.isnan(given[2])


@pytest.fixture(scope="module")
def markets() -> dict[float, dict[str, pd.DataFrame]]:
    def frames(every: float) -> dict[str, pd.DataFrame]:
        market = crash.run(crash.market(3, crash.config(steps=100, profile_every=every)))
        market.recorder.record_accounts("end")
        return market.recorder.frames()

    return {every: frames(every) for every in (0.0, 600.0)}


def test_it_keeps_its_clock(markets: dict[float, dict[str, pd.DataFrame]]) -> None:
    assert markets[0.0]["steps"]["feedback"].isna().all()
    assert [len(markets[0.0][name]) for name in ("profile", "populations")] == [0, 0]
    assert markets[600.0]["profile"]["step"].unique().tolist() == list(range(10, 101, 10))
    assert markets[600.0]["populations"]["step"].unique().tolist() == list(range(10, 101, 10))


def test_it_says_more_of_larger_moves_and_less_after_the_crash(
    markets: dict[float, dict[str, pd.DataFrame]],
) -> None:
    reported = markets[600.0]["profile"].query("instrument == 'SPX-PERP'")
    wide = reported.pivot(index="step", columns="move", values="at_risk")
    falls = wide[[move for move in MARK_MOVES if move < 0]]
    assert (falls.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)
    fresh = reported.pivot(index="step", columns="move", values="fresh")
    assert (fresh[[move for move in MARK_MOVES if move > 0]].diff(axis=1).iloc[:, 1:] >= 0).all(
        axis=None
    )
    steps = markets[600.0]["steps"].query("instrument == 'SPX-PERP'").set_index("step")
    assert falls[-0.1].max() > 0
    assert (falls[-0.1] <= steps["gross"].reindex(wide.index)).all()
    assert steps["feedback"].max() > 0


def test_r_is_that_of_the_next_percent_and_rests_where_the_book_does(
    markets: dict[float, dict[str, pd.DataFrame]],
) -> None:
    reported = markets[600.0]["profile"]
    near = reported[reported["move"] == -0.01].set_index(["step", "instrument"])
    steps = markets[600.0]["steps"].dropna(subset="feedback").set_index(["step", "instrument"])
    assert (near["fresh"] / near["resting"]).reindex(steps.index).tolist() == steps[
        "feedback"
    ].tolist()
    lots = reported.pivot(index=["step", "instrument"], columns="move", values="resting")
    assert (lots[[move for move in MARK_MOVES if move < 0]].diff(axis=1).iloc[:, 1:] <= 0).all(
        axis=None
    )


def test_wealth_of_populations_is_that_of_their_accounts(
    markets: dict[float, dict[str, pd.DataFrame]],
) -> None:
    frames = markets[600.0]
    end = (
        frames["accounts"]
        .query("moment == 'end'")
        .groupby(["venue", "population"])[["equity", "initial", "gross"]]
        .sum()
    )
    last = (
        frames["populations"]
        .query("step == 100")
        .set_index(["venue", "population"])[["equity", "initial", "gross"]]
    )
    assert (last.reindex(end.index) - end).abs().max(axis=None) <= 600, (
        "sums are rounded, accounts one by one"
    )


def test_the_market_does_not_notice(markets: dict[float, dict[str, pd.DataFrame]]) -> None:
    without, every = markets[0.0], markets[600.0]
    for name, frame in without.items():
        if name in ("profile", "populations"):
            continue
        kept = [column for column in frame if column != "feedback"]
        other = (
            every[name].query("moment != 'peak'").reset_index(drop=True)
            if name == "accounts"
            else every[name]
        )
        pd.testing.assert_frame_equal(frame[kept], other[kept])


@pytest.mark.parametrize(("every", "steps"), [(0.001, 1), (60.0, 1), (90.0, 2)])
def test_the_clock_is_rounded_to_steps(every: float, steps: int) -> None:
    frame = crash.run(
        crash.market(3, crash.config(steps=4, profile_every=every))
    ).recorder.frames()["profile"]
    assert frame["step"].drop_duplicates().tolist() == list(range(steps, 5, steps))


def test_accounts_are_kept_when_most_was_held(
    markets: dict[float, dict[str, pd.DataFrame]],
) -> None:
    assert set(markets[0.0]["accounts"]["moment"]) == {"start", "end"}
    frames = markets[600.0]
    gross = frames["steps"].groupby("step")["gross"].sum()
    peak = frames["accounts"].query("moment == 'peak'")
    assert peak["step"].unique().tolist() == [gross[gross.index % 10 == 0].idxmax()]
    assert peak["gross"].sum() == pytest.approx(gross[peak["step"].iloc[0]], abs=len(peak))
