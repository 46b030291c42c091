"""Admission of orders: guessed verdicts beside the plain rule (MAR-1, ISO-1)."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from contracts import plain_admission
from contracts.margin_worlds import TIERED, UNIT, book_of, contracts_of, few, market_of, seeds
from hypothesis import given

from sim.exchange.admission import OrderBatch, ShortageFunction, admit_batch
from sim.exchange.matching import KIND
from sim.margin.engine import EngineConfig, MarginEngine
from sim.step.admission import list_choices
from sim.types import (
    B1,
    F8,
    I8,
    MISSING,
    NOT_GIVEN,
    PERPETUAL,
    SPOT,
    VENUE_MAX_LEVERAGE,
    Contracts,
    Exposure,
)

FIRST, NUMBER = 2, 1
"""Number of the pool's first instrument, and of the pool, where it is one of several."""

TIERS: list[dict[str, Any]] = [
    {"requirement": TIERED},
    {"requirement": TIERED, "margin_multiplier": 1.3},
    {"requirement": {"kind": "compressed", "inner": TIERED, "compression": 0.4}},
    {"requirement": TIERED, "compression": 0.2, "maintenance_ratio": 0.7},
]
OTHERS: list[dict[str, Any]] = [
    {"requirement": {"kind": "span"}},
    {"requirement": {"kind": "size_weighted"}},
    {"requirement": TIERED, "valuation": {"kind": "haircut", "other": 0.4}},
]


class Case(NamedTuple):
    """One pool, and orders that wait for admission."""

    accounts: Exposure
    orders: I8
    replaced: I8
    chosen: I8
    bound: B1
    wallet: F8  # empty if the pool is the wallet
    max_lots: I8


def contracts_for(rng: np.random.Generator) -> tuple[Contracts, int]:
    """Draw some instruments, in a third of cases many spots that settle in the numeraire."""
    assets = int(rng.integers(1, 3))
    if rng.random() < 0.67:
        contracts = contracts_of(rng, int(rng.integers(1, 5)), assets)
        return contracts, assets
    contracts = contracts_of(rng, 6, assets)
    kind = np.array([SPOT, SPOT, PERPETUAL, SPOT, SPOT, PERPETUAL])
    return contracts._replace(kind=kind, settle=np.where(kind == SPOT, 0, contracts.settle)), assets


def draw_case(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    contracts, assets = contracts_for(rng)
    market = market_of(rng, contracts, assets)
    count, owners = len(contracts.names), int(rng.integers(1, 12))
    accounts = book_of(rng, market, owners)
    n = int(rng.integers(0, 60))
    leverage = rng.integers(100, 10_000, n) * rng.choice([0, 0, 1], n)
    leverage[rng.random(n) < 0.1] = VENUE_MAX_LEVERAGE
    wallet = rng.integers(0, 10**8, owners).astype(float)
    return Case(
        accounts=accounts._replace(balance=accounts.balance * rng.choice([1, 10, 100])),
        orders=draw_orders(rng, n, owners, count),
        replaced=draw_replaced(rng, n),
        chosen=leverage if rng.random() < 0.7 else np.empty(0, dtype=np.int64),
        bound=rng.random(owners) < 0.9,
        wallet=wallet if rng.random() < 0.4 else NOT_GIVEN,
        max_lots=rng.integers(500, 5_000, count),
    )


def draw_orders(rng: np.random.Generator, n: int, owners: int, count: int) -> I8:
    quantity = rng.integers(-600, 600, n) * rng.choice([0, 1, 1, 1, 5], n)
    columns = (
        *(rng.integers(0, owners, n), rng.integers(0, count, n) + FIRST, quantity),
        *(np.ones(n), rng.integers(0, 8, n), rng.integers(0, 5, n)),
        *(rng.integers(0, 2_000, n), np.full(n, MISSING)),
    )
    return np.stack(columns, axis=1).astype(np.int64)


def draw_replaced(rng: np.random.Generator, n: int) -> I8:
    replaced = np.stack([rng.integers(-400, 400, n), rng.integers(0, 2_000, n)], axis=1)
    return np.ascontiguousarray(replaced * (rng.random(n) < 0.3)[:, None])


def batch_of(case: Case) -> OrderBatch:
    chosen = case.chosen if case.chosen.size else np.zeros(len(case.orders), dtype=np.int64)
    batch = OrderBatch(case.orders, case.replaced, case.accounts, case.max_lots, FIRST)
    batch.chosen = list_choices(case.orders, chosen, case.bound)
    return batch


def shortage_of(case: Case, engine: MarginEngine) -> ShortageFunction:
    def shortage(rows: I8, accounts: Exposure) -> F8:
        assessment = engine.assess_admission(accounts)
        lacking = assessment.initial - assessment.equity
        return lacking - case.wallet[rows] if case.wallet.size else lacking

    return shortage


def engine_of(case: Case, choices: dict[str, Any]) -> MarginEngine:
    contracts = case.accounts.market.contracts
    made = EngineConfig.model_validate(choices).build_engine(contracts, UNIT)
    made.prepare_admission(contracts)
    made.observe(case.accounts.market)
    return made


@pytest.mark.parametrize("choices", [*TIERS, *OTHERS], ids=str)
@few
@given(seed=seeds)
def test_guessed_verdicts_are_those_of_one_trial_after_another(
    choices: dict[str, Any], seed: int
) -> None:
    case = draw_case(seed)
    engine = engine_of(case, choices)
    batch = batch_of(case)
    passes, reduces = plain_admission.admit(batch, case.bound, shortage_of(case, engine), FIRST)
    batch = batch_of(case)
    got = admit_batch(batch, case.bound, shortage_of(case, engine))
    np.testing.assert_array_equal(got, passes)
    np.testing.assert_array_equal(batch.is_reduce_only, reduces)


def test_drawn_cases_have_orders_of_every_fate() -> None:
    """Otherwise the comparisons above would show little."""
    fates = dict.fromkeys(("together", "refused", "reduce-only", "one by one"), 0)
    for seed in range(200):
        case = draw_case(seed)
        batch = batch_of(case)
        shortage = shortage_of(case, engine_of(case, TIERS[0]))
        passes, reduces = plain_admission.admit(batch, case.bound, shortage, FIRST)
        is_short = np.isin(batch.owner, batch.owner[~passes | reduces])
        opens = case.bound[batch.owner] & (batch.quantity != 0) & (batch.orders[:, KIND] < 4)
        fates["together"] += int((opens & ~is_short).sum())
        fates["refused"] += int((~passes).sum())
        fates["reduce-only"] += int(reduces.sum())
        fates["one by one"] += int((opens & is_short & passes & ~reduces).sum())
    assert min(fates.values()) > 50, fates
