"""Portfolio margin of many accounts (performance.md, "27-shock requirement alone").

``grid`` is the requirement on 27 scenarios and 16 perpetuals of one underlying, with
revaluation of the instruments. ``pmrm2`` on 16 options of two expiries adds discounts by expiry
and tilts. Run with
``pytest -m benchmark -s tests/benchmarks/test_scenarios.py``.
"""

import numpy as np
import pytest
from benchmarks.timing import ratio, repeat, seconds, spread

from sim.instruments import Asset, Instrument, build_contracts
from sim.margin.base import RequirementComponent
from sim.margin.scenarios.derive_pmrm2 import DerivePmrm2
from sim.margin.scenarios.grid import ScenarioGrid
from sim.margin.scenarios.scenarios import sum_leg_gains
from sim.pricing.instrument_values import mark_at_model
from sim.types import F8, Exposure, MarketView

pytestmark = pytest.mark.benchmark

ACCOUNTS, INSTRUMENTS, DAY = 10_000, 16, 86_400.0
NINE = [
    {"move": move / 100, "vol": vol} for move in range(-16, 17, 4) for vol in ("up", "none", "down")
]


def listed(options: bool) -> MarketView:
    """16 instruments on one underlying: perpetuals, or calls and puts of two expiries."""
    common = {"underlying": "U", "tick": 1, "lot": 0.01, "max_price": 10**6}
    terms = [
        {
            "kind": "option",
            "strike": 8_000 + 500 * (k % 8),
            "expiry": DAY * (7 + 30 * (k // 8)),
            "option": "put",
        }
        for k in range(INSTRUMENTS)
    ]
    each = [
        {"name": f"I{k}", **common, **(term if options else {})} for k, term in enumerate(terms)
    ]
    contracts = build_contracts(
        [(0, Instrument.model_validate(one)) for one in each], ["U"], [Asset(name="USD")]
    )
    flat, none = np.full(INSTRUMENTS, 10_000.0), np.zeros(INSTRUMENTS, dtype=np.int64)
    view = MarketView(
        *(0, contracts, flat, flat, flat, flat, flat, flat, none, np.array([10_000.0]), np.ones(1)),
        *(np.full(INSTRUMENTS, 0.6), np.ones(1), np.zeros((0, 1))),
    )
    return mark_at_model(view)


def accounts(market: MarketView) -> Exposure:
    """Positions as a pool sees them: instrument-major."""
    lots = np.random.default_rng(1).integers(-1_000, 1_000, (INSTRUMENTS, ACCOUNTS)).T
    none, cash = np.zeros_like(lots), np.zeros((ACCOUNTS, 1), dtype=np.int64)
    return Exposure(cash, cash, lots, none, none, none, none, np.full(lots.shape, np.inf), market)


def rate(
    rule: RequirementComponent, options: bool, blocks: int = 15, calls: int = 20
) -> list[float]:
    """Million accounts a second, by block."""
    book = accounts(listed(options))
    requirement = rule.bind(book.market.contracts, 100)
    (taken,) = seconds([repeat(lambda: requirement.compute_margins(book))], [calls], blocks)
    return [ACCOUNTS / each / 1e6 for each in taken]


def test_margins_by_scenarios() -> None:
    grid = ScenarioGrid.model_validate(
        {"scenarios": NINE, "tails": {}, "net_delta": 0, "hedged_delta": 0}
    )
    print(
        f"\ngrid, 27 scenarios: {spread(rate(grid, options=False))} M accounts/s, "
        "required: order of 25"
    )
    print(f"the same with its charge on delta: {spread(rate(ScenarioGrid(), options=False))}")
    print(
        "pmrm2, 31 scenarios, 16 options: "
        f"{spread(rate(DerivePmrm2(), options=True, blocks=7, calls=3))}"
    )


def test_the_kernel_beside_a_matrix_product() -> None:
    """The kernel's sums are in a fixed order, which BLAS does not promise."""
    book, table = (
        accounts(listed(options=False)),
        np.random.default_rng(2).normal(0, 1, (27, INSTRUMENTS)),
    )
    legs = np.arange(INSTRUMENTS)

    def product() -> F8:
        return table @ book.position.T.astype(np.float64)

    ours, blas = seconds(
        [repeat(lambda: sum_leg_gains(book.position, table, legs)), repeat(product)], [20, 20], 15
    )
    np.testing.assert_allclose(
        sum_leg_gains(book.position, table, legs), product(), rtol=1e-9, atol=1e-9
    )
    print(
        f"\nkernel {ACCOUNTS / np.median(ours) / 1e6:.1f} M accounts/s, "
        f"product's time ÷ ours {ratio(blas, ours):.2f}"
    )
