"""The cascade condition through the real book and liquidator (targets A5).

R = lots liquidated per tick of fall / lots bid per tick. A shock s grows to s / (1 - R) while
maintenance lets every close-out reach the book, and less where bankruptcy prices bind. Figures are
printed: ``pytest -rP``.
"""

import numpy as np
import pytest
from papers.cascade import PRICE, REACH, Setup, amplification, opened, recursion

RATIOS = (0.25, 0.5, 0.75, 0.9)
AMPLE = 0.05
"""Maintenance of 2.5 shocks."""

THIN = (0.0, 0.005, 0.01, 0.02)
PUBLISHED = (1.0, 2.95, 4.96, 9.73)
"""Drop over shock at R = 0.9 and THIN maintenance (targets A5, which leaves the order open)."""


def test_everybody_holds_a_position_and_nobody_is_liquidatable_before_the_shock() -> None:
    setup = Setup(ratio=0.9, maintenance=AMPLE)
    market = opened(setup)
    grid, risk = market.member_slices[1], market.venues[0].pool_states[0].assessment
    assert (market.ledger.position[0, grid] == setup.lots).all()
    assert market.venues[0].view.mark[0] == PRICE
    assert not risk.liquidatable.any()
    market.ledger.check_conservation()


def check_condition(accounts: int, tolerance: float) -> None:
    print(
        f"{accounts} accounts, shock 2%, maintenance {AMPLE:.0%}\n   R  drop/shock  1/(1-R)   error"
    )
    for ratio in RATIOS:
        theory, measured = 1 / (1 - ratio), amplification(Setup(ratio, AMPLE, accounts))
        print(f"{ratio:4.2f} {measured:11.4f} {theory:8.4f} {measured / theory - 1:+7.2%}")
        assert measured == pytest.approx(theory, rel=tolerance)


def test_a_shock_grows_to_its_multiple() -> None:
    check_condition(2_500, 0.03)


@pytest.mark.slow
def test_a_shock_grows_to_its_multiple_with_many_accounts() -> None:
    check_condition(200_000, 0.001)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_each_round_adds_its_power(rounds: int) -> None:
    measured = amplification(Setup(0.5, AMPLE, max_rounds=rounds))
    assert measured == pytest.approx(sum(0.5**n for n in range(rounds + 1)), rel=0.01)


def test_from_one_on_the_book_is_eaten_to_its_end() -> None:
    setup = Setup(ratio=1.05, maintenance=AMPLE, max_rounds=1_000)
    assert amplification(setup) == REACH / setup.shock


def check_thin_maintenance(accounts: int) -> None:
    setups = [Setup(0.9, maintenance, accounts) for maintenance in THIN]
    measured = [amplification(setup) for setup in setups]
    exact = [recursion(setup) for setup in setups]
    shuffled = [recursion(setup, "any") for setup in setups]
    last = [recursion(setup, "least distressed") for setup in setups]
    print(f"{accounts} accounts, R = .9, shock 2%: drop/shock (formula: 10)")
    print("maintenance  market  rules  any order  least distressed first  published")
    for row in zip(THIN, measured, exact, shuffled, last, PUBLISHED, strict=True):
        print("{:11.1%} {:7.2f} {:6.2f} {:10.2f} {:23.2f} {:10.2f}".format(*row))
    assert measured[0] == 1
    assert (np.diff(measured) > 0).all()
    assert measured == pytest.approx(exact, rel=0.02)
    # The venue serves the most distressed first, which fails least: an upper bound for any order.
    assert measured == pytest.approx(PUBLISHED, rel=0.1)
    assert all(
        low <= known <= high * 1.01
        for low, known, high in zip(shuffled, PUBLISHED, measured, strict=True)
    )


def test_thin_maintenance_breaks_the_formula() -> None:
    check_thin_maintenance(2_500)


@pytest.mark.slow
def test_thin_maintenance_breaks_the_formula_with_many_accounts() -> None:
    check_thin_maintenance(25_000)
