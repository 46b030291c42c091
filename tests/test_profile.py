"""The liquidation profile, on books worked by hand and in a market that it must leave alone (LIQ-7)."""

import numpy as np
import pandas as pd
import pytest
from build import exposure
from papers import crash

from sim.margin.engine import EngineConfig
from sim.profile import MOVES, feedback, profile
from sim.types import Exposure

ENGINE = {"requirement": {"kind": "tiered", "tiers": [{"floor": 0, "max_leverage": 10}]}}
"""Maintenance is 5% of notional."""


def assessed(book: Exposure, counted: list[bool]) -> tuple[dict[str, float], int]:
    engine = EngineConfig.model_validate(ENGINE).build(book.market.contracts, 1)
    found = profile(engine, book, np.array(counted))
    return dict(zip(MOVES, found.at_risk[0].tolist(), strict=True)), int(found.next_fall[0])


def test_three_accounts_by_hand() -> None:
    """At 10,000 a long of 1 with equity e goes under at a fall of f where e - 10,000 f < 500 (1 - f)."""
    # 2% takes the first (420 < 490), 1% does not (520 > 495) but takes the second (455 < 495);
    # the third is short 2 and goes under if the mark rises by 1% (950 < 1,010), not by half of it (1,050 > 1,005)
    equity, lots = np.array([620, 555, 1150]), np.array([1, 1, -2])
    at_risk, next_fall = assessed(exposure(lots, 10_000, equity - lots * 10_000), [True] * 3)
    falls = {"fall_5": 20_000, "fall_2": 20_000, "fall_1": 10_000, "fall_half": 0}
    assert at_risk == falls | {"rise_half": 0, "rise_1": 20_000, "rise_2": 20_000, "rise_5": 20_000}
    assert next_fall == 1


def test_who_is_under_already_is_at_risk_but_not_next() -> None:
    at_risk, next_fall = assessed(exposure([3], 10_000, [400 - 30_000]), [True])
    assert at_risk["fall_half"] == at_risk["fall_1"] == 30_000
    assert next_fall == 0


def test_only_those_whom_margin_binds_count() -> None:
    at_risk, next_fall = assessed(exposure([1, -1], 10_000, [555 - 10_000, 0]), [False, False])
    assert set(at_risk.values()) == {0}
    assert next_fall == 0


def test_one_mark_moves_at_a_time() -> None:
    """A hedged account is at risk from each leg's move alone, with that leg's notional only."""
    book = exposure([[10, -5]], [1000, 2000], [[1400]])
    engine = EngineConfig.model_validate(ENGINE).build(book.market.contracts, 1)
    found = profile(engine, book, np.array([True]))
    falls = dict(zip(MOVES, found.at_risk.T.tolist(), strict=True))
    assert falls["fall_5"] == falls["rise_5"][::-1] == [10_000, 0]  # 1,400 - 500 < 975 and 1,025
    assert falls["fall_2"] == [0, 0]


def test_r_is_lots_over_bids() -> None:
    given = feedback(np.array([3, 0, 5]), np.array([4, 7, 0]))
    assert given[:2].tolist() == [0.75, 0.0]
    assert np.isnan(given[2])


@pytest.fixture(scope="module")
def markets() -> dict[float, dict[str, pd.DataFrame]]:
    def frames(every: float) -> dict[str, pd.DataFrame]:
        market = crash.run(crash.market(3, crash.config(steps=100, profile_every=every)))
        market.recorder.accounts("end")
        return market.recorder.frames()

    return {every: frames(every) for every in (0.0, 600.0)}


PROFILE = [*(f"at_risk_{name}" for name in MOVES), "feedback"]


def test_it_keeps_its_clock(markets: dict[float, dict[str, pd.DataFrame]]) -> None:
    assert markets[0.0]["steps"][PROFILE].isna().all(axis=None)
    steps = markets[600.0]["steps"]
    known = steps["at_risk_fall_1"].notna()
    assert known.equals(steps["step"] % 10 == 0)


def test_it_says_more_of_larger_moves_and_less_after_the_crash(markets: dict[float, dict[str, pd.DataFrame]]) -> None:
    steps = markets[600.0]["steps"]
    known = steps[(steps["instrument"] == "SPX-PERP") & steps["at_risk_fall_1"].notna()]
    falls = known[[f"at_risk_{name}" for name in ("fall_half", "fall_1", "fall_2", "fall_5")]]
    assert (falls.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert falls["at_risk_fall_5"].max() > 0
    assert (falls["at_risk_fall_5"] <= known["gross"]).all()
    assert known["feedback"].max() > 0


def test_the_market_does_not_notice(markets: dict[float, dict[str, pd.DataFrame]]) -> None:
    without, every = markets[0.0], markets[600.0]
    for name, frame in without.items():
        kept = [column for column in frame if column not in PROFILE]
        other = every[name].query("moment != 'peak'").reset_index(drop=True) if name == "accounts" else every[name]
        pd.testing.assert_frame_equal(frame[kept], other[kept])


@pytest.mark.parametrize(("every", "steps"), [(0.001, 1), (60.0, 1), (90.0, 2)])
def test_the_clock_is_rounded_to_steps(every: float, steps: int) -> None:
    frame = crash.run(crash.market(3, crash.config(steps=4, profile_every=every))).recorder.frames()["steps"]
    assert frame.loc[frame["at_risk_fall_1"].notna(), "step"].drop_duplicates().tolist() == list(range(steps, 5, steps))


def test_accounts_are_kept_when_most_was_held(markets: dict[float, dict[str, pd.DataFrame]]) -> None:
    assert set(markets[0.0]["accounts"]["moment"]) == {"start", "end"}
    frames = markets[600.0]
    gross = frames["steps"].groupby("step")["gross"].sum()
    peak = frames["accounts"].query("moment == 'peak'")
    assert peak["step"].unique().tolist() == [gross[gross.index % 10 == 0].idxmax()]
    assert peak["gross"].sum() == pytest.approx(gross[peak["step"].iloc[0]], abs=len(peak))
