"""VaR and ES of many portfolios over 1,000 past returns (performance.md).

Accounts of venues hold at most four underlyings; sixteen show the cost of more. The peer is the
same work in numpy: the product of exposures and returns, and a partition of each row. Run with
``pytest -m benchmark -s tests/benchmarks/test_tails.py``.
"""

import numpy as np
import pytest
from benchmarks.timing import ratio, repeat, seconds, spread
from threadpoolctl import threadpool_limits

from sim.margin.tail.margin_path import build_perpetuals, iterate_views
from sim.margin.tail.models.base import SampleForecast, TailSpec
from sim.margin.tail.tail import TailMargin, TailRisk
from sim.types import F8, Exposure

pytestmark = pytest.mark.benchmark

ACCOUNTS, ROWS, BLOCK = 10_000, 1_000, 256
"""Portfolios, returns, and portfolios whose losses numpy is given at a time: they stay in cache."""


def learnt(columns: int, measure: str) -> tuple[TailMargin, Exposure]:
    """A requirement that knows 1,000 returns, and accounts as a pool sees them."""
    rng = np.random.default_rng(1)
    rule = {
        "kind": "tail",
        "measure": measure,
        "every": 60,
        "model": {"kind": "historical", "window": 60 * ROWS},
    }
    requirement = TailRisk.model_validate(rule).bind(build_perpetuals(columns), unit=1)
    view = list(iterate_views(0.01 * rng.standard_t(4, (ROWS + 1, columns)), 60.0))[-1]
    requirement.observe(view)
    lots = rng.integers(-1_000, 1_000, (columns, ACCOUNTS)).T
    none, cash = np.zeros_like(lots), np.zeros((ACCOUNTS, 1), dtype=np.int64)
    return requirement, Exposure(
        cash, cash, lots, none, none, none, none, np.full(lots.shape, np.inf), view
    )


def partitioned(exposure: F8, returns: F8, level: float = 0.99) -> F8:
    """The mean of each portfolio's largest losses by numpy, in blocks that stay in cache."""
    count, scenarios = round(len(returns) * (1 - level)), np.ascontiguousarray(-returns.T)
    found = np.empty(len(exposure))
    for start in range(0, len(exposure), BLOCK):
        losses = exposure[start : start + BLOCK] @ scenarios
        found[start : start + BLOCK] = np.partition(losses, -count, axis=1)[:, -count:].mean(axis=1)
    return found


@pytest.mark.parametrize("measure", ["var", "es"])
@pytest.mark.parametrize("columns", [4, 16])
def test_tails_of_portfolios(measure: str, columns: int) -> None:
    requirement, book = learnt(columns, measure)
    with threadpool_limits(1):
        (taken,) = seconds([repeat(lambda: requirement.compute_margins(book))], [3], 7)
    print(
        f"\n{measure}, {columns} underlyings: "
        f"{spread([ACCOUNTS / each / 1e6 for each in taken])} M portfolios/s",
        end="",
    )
    print(", required: order of 0.4")


def test_the_kernel_beside_numpy() -> None:
    """The kernel gives the same tails and is no slower than a partition of every row."""
    requirement, book = learnt(4, "es")
    assert isinstance(requirement.forecast, SampleForecast)
    value, returns = book.position_value(), requirement.forecast.returns
    sample, tail = SampleForecast(returns), TailSpec("es", 0.99, "linear")
    np.testing.assert_allclose(
        sample.compute_tail_loss(value, tail), partitioned(value, returns), rtol=1e-9
    )
    with threadpool_limits(1):
        ours, theirs = seconds(
            [
                repeat(lambda: sample.compute_tail_loss(value, tail)),
                repeat(lambda: partitioned(value, returns)),
            ],
            [3, 1],
            7,
        )
    found = ratio(theirs, ours)
    print(f"\nnumpy's time over the kernel's: {found:.2f}, gate 1")
    assert found >= 1
