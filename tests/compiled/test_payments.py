"""Payments that exceed limits are refused by the compiled posting as by the plain one."""

import json
from typing import Literal

import numpy as np
import pytest
from pydantic import PrivateAttr
from twins import assert_same, build

from agents.traders import NoiseTraders
from experiments.config import load_run
from sim.cash_flows import CashFlows
from sim.compiled.arrays import StepArrays
from sim.compiled.kernels.payments import send_payment
from sim.market import Market
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import F8, I8, MISSING, AccountView, MarginAssessment, MarketSpec, Observation

STEPS, ROWS = 40, 30
MEMBERS = 12
AMOUNTS = (1, 1_000, 300_000, 3_000_000, 2**40, 2**53 - 1, 2**53, 2**60)


class Payers(NoiseTraders):
    """Members who request the payments of a table, whatever they own."""

    kind: Literal["traders"] = "traders"

    _table: I8 = (
        PrivateAttr()
    )  # (steps + 1, rows, 5) member, venue, instrument, amount, new capital

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw the table."""
        random, shape = np.random.default_rng(self.count), (STEPS + 1, ROWS)
        member, venue = random.integers(0, self.count, shape), random.integers(0, 2, shape)
        amount = random.choice(AMOUNTS, shape) * random.choice([1, -1], shape)
        instrument = random.choice([MISSING, 0, 1], shape, p=[0.7, 0.15, 0.15])
        isolated = instrument != MISSING
        venue[isolated] = 0
        is_new = (random.random(shape) < 0.2) & (amount > 0) & ~isolated
        self._table = np.stack([member, venue, instrument, amount, is_new], axis=2).astype(np.int64)
        return super().start(spec, draws)

    @property
    def n_cash_flow_draws(self) -> int:
        """One, so that payments are requested."""
        return 1

    def request_cash_flows(
        self,
        observation: Observation,
        accounts: AccountView,
        assessment: MarginAssessment,
        draws: F8,
    ) -> CashFlows:
        """Return the payments of the table."""
        member, venue, instrument, amount, is_new = self._table[observation.tick].T
        return CashFlows.from_columns(member, venue, instrument, amount, is_new)

    def bind_cash_flows(self, step: StepArrays, members: slice) -> BoundKernel:
        """Return the kernel that sends the same payments."""
        return bind_kernel(send_table, step.payments, step.counters, members.start, self._table)

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """Trade as noise traders do."""
        return super().bind_decision(step, members)


@kernel
def send_table(tick: int, payments: I8, counters: I8, owner: int, table: I8) -> int:
    """Send the payments of one step."""
    for row in table[tick]:
        send_payment(payments, counters, owner + row[0], row[1], row[2], row[3], row[4])
    return 0


def run_market(given: list[str]) -> tuple[Market, Market]:
    """Make the steps by both, and check that neither has a payment of the other."""
    traders = {"kind": "traders", "venue": "exchange", "count": MEMBERS, "entries_per_day": 200}
    traders |= {"initial_entry_share": 1, "warm_up": 300, "leverage": 10}
    makers = {"kind": "makers", "count": 4, "venue": "exchange", "wealth": 400_000}
    config = load_run("two_coins", [f"populations={json.dumps([makers, traders])}", *given])
    payers = Payers.model_validate(config.populations[1].model_dump())
    config = config.model_copy(update={"populations": (config.populations[0], payers)})
    plain, compiled = build(config, 2), build(config, 2)
    plain.state.is_retired[6] = compiled.state.is_retired[6] = True
    for _ in range(STEPS):
        plain.step()
    with pytest.MonkeyPatch.context() as patched:
        patched.delattr("sim.step.cash_flows.post_cash_flows")
        compiled.advance(STEPS)
    assert_same(plain, compiled)
    return plain, compiled


@pytest.mark.parametrize("netting", ["cross", "isolated"])
@pytest.mark.parametrize("calls", ["none", "{outside_multiple: 0.5, call_threshold: 1}"])
def test_limits_are_those_of_the_plain_phase(netting: str, calls: str) -> None:
    given = [f"venues.0.engine.netting.kind={netting}"]
    given += [f"venues.0.calls={calls}"] if calls != "none" else []
    plain, compiled = run_market(given)
    for plain_venue, venue in zip(plain.state.venues, compiled.state.venues, strict=True):
        np.testing.assert_array_equal(plain_venue.outside_wealth, venue.outside_wealth)
        np.testing.assert_array_equal(plain_venue.has_been_called, venue.has_been_called)
    amount, money = compiled.state.populations[1]._table[1:, :, 3], compiled.recorder.frames()
    paid_in, paid_out = money["venues"]["deposits"].sum(), money["venues"]["withdrawals"].sum()
    assert 0 < paid_in < amount[amount > 0].sum(dtype=float) / 100
    assert 0 < paid_out < -amount[amount < 0].sum(dtype=float) / 100
    added, removed = (int(money["venues"][f"margin_{way}"].sum()) for way in ("added", "removed"))
    if netting == "isolated":
        assert added > removed > 0, "some of what was added is taken back"
    else:
        assert added == removed == 0
