"""Insurance fund that takes over bankrupt accounts and unwinds their positions (AGT-5, LIQ-3)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import BASIS_POINT, Population, Trader, TradingScope, get_lot_values
from agents.compiled.commitment import find_available_cash
from agents.compiled.unwinding import send_slices
from agents.shared.commitment import WalletCommitment
from agents.shared.unwinding import UnwindPace, unwind_positions
from sim.cash_flows import CashFlows
from sim.compiled.arrays import StepArrays
from sim.compiled.kernels.accounts import EQUITY, INITIAL
from sim.compiled.kernels.payments import send_payment
from sim.numerics.account_sums import sum_pairwise
from sim.numerics.bound_kernels import BoundKernel, bind_kernel, chain_kernels
from sim.numerics.jit import kernel
from sim.numerics.rounding import to_exact_int, to_exact_one
from sim.types import (
    B1,
    F8,
    I8,
    MISSING,
    AccountView,
    MarginAssessment,
    MarketSpec,
    Observation,
    Orders,
)


class InsuranceFundMember(Trader):
    """The fund of one venue. The venue posts its income and payouts; the member only unwinds."""


class InsuranceFund(Population):
    """One member that unwinds acquired positions, in slices bounded by depth and slippage.

    With ``share`` the balance is kept at a share of open interest until the first take-over: a
    deficit is paid in from outside, and a surplus from fees is paid out. Afterwards there are no
    such payments. Where wallet and margin accounts are separate, the fund keeps a cushion in
    accounts with positions, and the rest of its balance for further take-overs.
    """

    agent_class: ClassVar[type[Trader]] = InsuranceFundMember

    kind: Literal["insurance_fund"] = "insurance_fund"
    name: str = Field(
        "insurance_fund",
        min_length=1,
        description="name of the population, unique in the market (text)",
    )
    count: int = Field(1, ge=1, le=1, description="number of members, always one (agents)")
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        1_000_000.0, gt=0, description="balance at the start (units of the numeraire)"
    )
    share: float | None = Field(
        None,
        gt=0,
        le=10,
        description="balance kept until the first take-over, none = the start's (of open interest)",
    )
    margin_multiple: float = Field(
        3.0,
        ge=1,
        description="equity kept in isolated accounts with a position (times initial margin)",
    )
    unwind_time: float = Field(
        3600.0, gt=0, description="time constant of unwinding a position (seconds)"
    )
    participation: float = Field(
        0.1,
        gt=0,
        le=1,
        description="largest slice per minute, share of the depth within 1% (share)",
    )
    slippage: float = Field(
        50.0, ge=0, description="worst price accepted, distance from the mark (basis points)"
    )

    _scope: TradingScope = PrivateAttr()
    _pace: UnwindPace = PrivateAttr()
    _has_taken_over: B1 = PrivateAttr()  # (1,)

    @property
    def fund_venue(self) -> str:
        """Name of the venue whose insurance fund this is."""
        return self.venue

    @property
    def n_cash_flow_draws(self) -> int:
        """Number of draws per step: one with ``share``, which enables payments, else zero."""
        return int(self.share is not None)

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Return the initial balance; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(spec, self.venue)
        self._scope = TradingScope(venue, np.flatnonzero(spec.contracts.venue == venue))
        self._commitment = WalletCommitment.from_instruments(spec, venue, self._scope.instruments)
        self._pace, self._has_taken_over = (
            UnwindPace.from_time_constant(spec.dt, self.unwind_time, self.participation),
            np.zeros(1, dtype=np.bool_),
        )
        return self.place_wealth(spec, venue, np.full(1, self.wealth))

    def request_cash_flows(
        self,
        observation: Observation,
        accounts: AccountView,
        assessment: MarginAssessment,
        draws: F8,
    ) -> CashFlows:
        """Return payments that restore the balance before the first take-over, and the cushion."""
        return CashFlows.join(
            [
                self._restore_target_balance(observation, accounts),
                self._fund_margin_accounts(observation, accounts, assessment),
            ]
        )

    def _restore_target_balance(self, observation: Observation, accounts: AccountView) -> CashFlows:
        view, columns = self._scope.view(observation)
        self._has_taken_over |= accounts.position[:, self._scope.instruments].any()
        if self.share is None or self._has_taken_over[0]:
            return CashFlows.join([])
        open_interest = (view.open_interest[columns] * get_lot_values(view, columns)).sum()
        target = np.floor(self.share * open_interest)
        missing = to_exact_int(target) - accounts.wallet[0, self._scope.venue, 0]
        return CashFlows.from_columns(0, self._scope.venue, MISSING, np.full(1, missing))

    def _fund_margin_accounts(
        self, observation: Observation, accounts: AccountView, assessment: MarginAssessment
    ) -> CashFlows:
        """Return payments from the wallet into accounts with equity below the cushion.

        Accounts are served in the order of instruments.
        """
        if self._commitment is None:
            return CashFlows.join([])
        venue, instruments = self._commitment
        initial, equity = assessment.initial[0, instruments], assessment.equity[0, instruments]
        lacking = np.where(
            initial > 0, np.maximum(np.ceil(self.margin_multiple * initial - equity), 0.0), 0.0
        )
        spent = np.minimum(
            np.cumsum(lacking), self._commitment.available_cash(observation, accounts)[0]
        )
        return CashFlows.from_columns(
            0, venue, instruments, np.diff(spent, prepend=0.0).astype(np.int64)
        )

    def bind_cash_flows(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """See :class:`sim.compiled.components.CompiledCashFlows`."""
        owner, scope = members.start, self._scope
        wallet_pool = step.market.venues[scope.venue].wallet_pool
        sent = (step.payments, step.counters, owner, scope.venue)
        restore = bind_kernel(
            restore_balance,
            *sent,
            scope.instruments,
            step.ledger.position,
            step.open_interest,
            step.lot_value,
            step.ledger.balance[0, wallet_pool],
            0.0 if self.share is None else float(self.share),
            self._has_taken_over,
        )
        if self._commitment is None:
            return restore
        cushions = bind_kernel(
            fill_cushions,
            *sent,
            self._commitment.instruments,
            step.market.ledger.pool_numbers,
            step.assessed,
            float(self.margin_multiple),
            step.ledger.balance,
            wallet_pool,
            step.price,
        )
        return chain_kernels(restore, cushions)

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return orders that unwind slices of the positions."""
        held = accounts.position[:, self._scope.instruments]
        return unwind_positions(
            observation, self._scope, held, self._pace, self.slippage * BASIS_POINT
        )

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        return self._scope.instruments.size

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel:
        """Return the kernel of ``decide``; see ``sim.compiled.components``."""
        return bind_kernel(
            send_slices,
            step.orders,
            step.counters,
            self.latency,
            self._scope.instruments,
            step.ledger.position,
            members.start,
            step.mark,
            step.depth,
            step.market.contracts.max_price,
            self._pace.share,
            self._pace.participation,
            np.full(1, self.slippage * BASIS_POINT),
        )


@kernel
def restore_balance(
    tick: int,
    payments: I8,
    counters: I8,
    owner: int,
    venue: int,
    instruments: I8,
    position: I8,
    open_interest: I8,
    lot_value: F8,
    wallet: I8,
    share: float,
    has_taken_over: B1,
) -> int:
    """Keep the fund's balance at a share of open interest until its first take-over.

    Args:
        tick: present tick.
        payments, counters: payments of the step.
        owner: the fund.
        venue: its venue.
        instruments: (m,) instruments of the venue.
        position: (K, N) lots.
        open_interest: (K,) lots.
        lot_value: (K,) minor units of the numeraire.
        wallet: (N,) numeraire in wallets at the venue.
        share: share of open interest; zero = the balance is left as it is.
        has_taken_over: (1,) whether it has taken over a position.
    """
    values = np.empty(instruments.size)
    for place in range(instruments.size):
        k = instruments[place]
        has_taken_over[0] |= position[k, owner] != 0
        values[place] = open_interest[k] * lot_value[k]
    if share > 0 and not has_taken_over[0]:
        target = to_exact_one(np.floor(share * sum_pairwise(values)))
        send_payment(payments, counters, owner, venue, MISSING, target - wallet[owner], 0)
    return 0


@kernel
def fill_cushions(
    tick: int,
    payments: I8,
    counters: I8,
    owner: int,
    venue: int,
    instruments: I8,
    pools: I8,
    assessed: F8,
    multiple: float,
    balance: I8,
    wallet_pool: int,
    price: F8,
) -> int:
    """Pay from the fund's wallet into accounts with equity below the cushion, in order.

    Args:
        tick: present tick.
        payments, counters: payments of the step.
        owner: the fund.
        venue: its venue.
        instruments: (g,) one of each account.
        pools: (K,) pool of each instrument.
        assessed: (P, 3, N) last assessment.
        multiple: equity kept, times initial margin.
        balance: (C, P, N) minor units.
        wallet_pool: pool of the venue's wallets.
        price: (C,) minor units of the numeraire per minor unit.
    """
    cash = find_available_cash(balance[:, wallet_pool, owner], price)
    wanted, spent = 0.0, 0.0
    for k in instruments:
        initial, equity = assessed[pools[k], INITIAL, owner], assessed[pools[k], EQUITY, owner]
        if initial > 0:
            wanted += max(np.ceil(multiple * initial - equity), 0.0)
        moved = int(min(wanted, float(cash)) - spent)
        spent = min(wanted, float(cash))
        send_payment(payments, counters, owner, venue, k, moved, 0)
    return 0
