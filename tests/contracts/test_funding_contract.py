"""Contracts of every registered funding rule (FUND-1)."""

import numpy as np
import pytest
from pydantic import ValidationError

from sim.checks.fundings import LAWS, make_funding_world
from sim.checks.law import Law
from sim.config import VenueConfig
from sim.exchange import FUNDINGS
from sim.exchange.funding import EIGHT_HOURS, FundingRule, PremiumFunding
from sim.exchange.funding_interest import InterestGapFunding, compute_time_average

ORACLE = np.array([100.0, 100.0, 100.0])
BID, ASK = np.array([101.0, 98.9, 99.9]), np.array([101.1, 99.0, 100.1])
every = pytest.mark.parametrize("kind", sorted(FUNDINGS))


def rule(kind: str, **settings: object) -> FundingRule:
    made = FUNDINGS[kind].model_validate({"kind": kind, "interval": 120.0, **settings})
    assert isinstance(made, FundingRule)
    return made


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@every
@pytest.mark.parametrize("seed", range(20))
def test_every_rule_keeps_every_law(kind: str, law: Law, seed: int) -> None:
    law.check(rule(kind), make_funding_world(seed))


@every
def test_longs_pay_above_the_oracle_and_are_paid_below(kind: str) -> None:
    made = rule(kind)
    made.add_sample(BID, ASK, ORACLE)
    rate = made.close_interval()
    assert rate is not None
    above, below, even = rate
    assert above > 0 > below
    assert abs(even) <= 0.0001


@every
def test_the_clock_and_the_average(kind: str) -> None:
    """Nothing before the first interval is over; then the mean of what was seen, once, and anew."""
    made, twin = rule(kind), rule(kind)
    assert made.take_due_rate(0.0) is None
    for _ in range(2):
        made.add_sample(BID, ASK, ORACLE)
    made.add_sample(ORACLE, ORACLE, ORACLE)
    assert made.take_due_rate(119.0) is None
    rate = made.take_due_rate(120.0)
    assert rate is not None
    assert made.take_due_rate(180.0) is None
    assert made.take_due_rate(240.0) is None  # nothing was seen
    twin.add_sample(BID, ASK, ORACLE)
    single = twin.close_interval()
    assert single is not None
    assert 0 < rate[0] < single[0]


@every
def test_an_empty_side_is_no_premium(kind: str) -> None:
    made = rule(kind)
    made.add_sample(np.full(3, np.nan), np.full(3, np.nan), ORACLE)
    rate = made.close_interval()
    assert rate is not None
    np.testing.assert_allclose(rate, rate[0])
    assert abs(rate[0]) <= 0.0001


def test_a_period_apart_from_the_interval() -> None:
    """Binance's division by 8 / N: what eight hours make is paid in parts."""
    whole, hourly = PremiumFunding(interval=3600), PremiumFunding(interval=3600, period=EIGHT_HOURS)
    for each in (whole, hourly):
        each.add_sample(BID, ASK, ORACLE)
    first, second = whole.close_interval(), hourly.close_interval()
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(second, first / 8)


def test_prices_weigh_as_long_as_they_hold() -> None:
    assert compute_time_average([0, 1, 4], [976, 980, 989], 7) == pytest.approx(
        (976 + 3 * 980 + 3 * 989) / 7
    )
    paused = compute_time_average([0, 1, 4], [976, 980, 989], 7, pause=(3, 5))
    assert paused == pytest.approx((976 + 2 * 980 + 2 * 989) / 5)


def test_a_venue_takes_any_kind_and_the_commonest_without_one() -> None:
    def venue(funding: object) -> VenueConfig:
        listed = {"name": "X", "underlying": "X", "tick": 1, "lot": 1, "max_price": 100}
        return VenueConfig.model_validate(
            {"name": "V", "instruments": [listed], "engine": {}, "funding": funding}
        )

    assert isinstance(venue({"interval": 60}).funding, PremiumFunding)
    assert isinstance(venue({"kind": "interest_gap"}).funding, InterestGapFunding)
    assert venue(None).funding is None
    with pytest.raises(ValidationError, match="spreads"):
        venue({"kind": "spreads"})


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"rate_lower: 0\.1 exceeds rate_upper"):
        InterestGapFunding(rate_lower=0.1, rate_upper=-0.1)
