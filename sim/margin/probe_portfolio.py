"""Margins of hypothetical accounts without cash: of one lot, and of whole portfolios.

Those of one lot are reference margins for factors and anti-procyclicality tools. Those of
portfolios are what a venue's calculator shows to a trader before an order (AGT-1).
"""

import numpy as np

from sim.margin.compiled import LearningArrays, LearningStep, is_compiled
from sim.numerics.bound_kernels import bind_kernel
from sim.numerics.jit import kernel
from sim.protocols import Requirement, Valuation
from sim.types import F8, I8, Exposure, MarketView


def build_one_lot_accounts(market: MarketView, *, sides: tuple[int, ...] = (1,)) -> Exposure:
    """Return accounts without cash, entered at the mark, that hold lots of a single instrument.

    Args:
        market: the market.
        sides: signed lots; for each of them there are K accounts, one per instrument.
    """
    count = len(market.mark)
    position = np.concatenate([number * np.eye(count, dtype=np.int64) for number in sides])
    return build_cashless_accounts(market, position)


def build_cashless_accounts(market: MarketView, position: I8) -> Exposure:
    """Return accounts without cash, entered at the mark, that hold some lots (A, K)."""
    none = np.zeros_like(position)
    cash = np.zeros((len(position), len(market.price)), dtype=np.int64)
    entry = position * (market.mark * market.contracts.multiplier).astype(np.int64)
    return Exposure(
        cash, cash, position, none, none, none, entry, np.full(position.shape, np.inf), market
    )


def preview_initial_margins(
    valuation: Valuation, requirement: Requirement, position: I8, market: MarketView
) -> F8:
    """Return the initial margin of portfolios, (A,) minor units of the numeraire, not rounded.

    Args:
        valuation: the engine's haircuts.
        requirement: the engine's requirement.
        position: (A, K) lots of a pool's instruments.
        market: the pool's view.
    """
    accounts = build_cashless_accounts(market, position)
    haircuts = valuation.compute_haircuts(accounts).initial
    total: F8 = haircuts + requirement.compute_margins(accounts).initial
    return total


def compute_margin_rates(requirement: Requirement, market: MarketView) -> F8:
    """Return initial margins of a long and of a short of one lot, (2, K), shares of its value."""
    accounts = build_one_lot_accounts(market, sides=(1, -1))
    value = np.abs(accounts.position_value()).sum(axis=1)
    required = requirement.compute_margins(accounts).initial
    return np.divide(required, value, out=np.zeros_like(required), where=value != 0).reshape(2, -1)


def bind_margin_rates(
    requirement: Requirement, arrays: LearningArrays, rate: F8
) -> tuple[LearningStep, ...] | None:
    """Return the steps that write what :func:`compute_margin_rates` returns into ``rate``.

    There are none, and the result is None, if the requirement has no kernels.
    """
    if not is_compiled(requirement):
        return None
    probe, market = arrays.probe, arrays.market
    margins = requirement.bind_margins(probe)
    if margins is None:
        return None
    terms = (probe.n_accounts, market.mark, market.contracts.multiplier, probe.entry)
    kernels = (
        bind_kernel(enter_probe, *terms),
        *margins,
        bind_kernel(read_margin_rates, probe.initial, probe.lot_value, rate),
    )
    return tuple(map(LearningStep, kernels))


@kernel
def enter_probe(tick: int, count: I8, mark: F8, multiplier: I8, entry: I8) -> int:
    """Enter the accounts of one lot at the mark, all longs and then all shorts."""
    instruments = mark.size
    count[0] = 2 * instruments
    for k in range(instruments):
        value = np.int64(mark[k] * multiplier[k])
        entry[k, k], entry[k, instruments + k] = value, -value
    return 0


@kernel
def read_margin_rates(tick: int, initial: F8, lot_value: F8, rate: F8) -> int:
    """Read initial margins of a long and of a short of one lot, (2, K), shares of its value."""
    for k in range(lot_value.size):
        value = abs(lot_value[k])
        for side in range(2):
            rate[side, k] = initial[side * lot_value.size + k] / value if value != 0 else 0.0
    return 0
