"""The insurance fund: takes bankrupt books over when the venue asks, and works them off (AGT-5, LIQ-3)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import BASIS_POINT, Population, Trader, TradingScope, get_lot_values
from agents.shared.commitment import WalletCommitment
from agents.shared.unwinding import UnwindPace, unwind_positions
from sim.cash_flows import CashFlows
from sim.numerics.rounding import to_exact_int
from sim.types import (
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
    """The fund of one venue. Its income and payouts are postings of the venue; its own act is to unwind."""


class InsuranceFund(Population):
    """One member that works off what it took over, in slices bounded by visible depth and slippage.

    With ``share`` its owner keeps it at a share of open interest until it first takes a book over: what it lacks is
    paid in from outside, what fees brought beyond is paid out. From then on it has what it has. Where its wallet lies
    apart from its margin accounts, it keeps a cushion in those that hold positions, the rest for further take-overs.
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
    cushion: float = Field(
        3.0,
        ge=1,
        description="kept in isolated accounts with a position, while the wallet lasts (times initial margin)",
    )
    unwind: float = Field(
        3600.0, gt=0, description="time constant of working a position off (seconds)"
    )
    participation: float = Field(
        0.1, gt=0, le=1, description="most sent in a minute, share of the depth within 1% (share)"
    )
    slippage: float = Field(
        50.0, ge=0, description="worst price accepted, distance from the mark (basis points)"
    )

    _scope: TradingScope = PrivateAttr()
    _pace: UnwindPace = PrivateAttr()
    _has_taken_over: bool = PrivateAttr()

    @property
    def fund_venue(self) -> str:
        """Name of the venue whose insurance fund this is."""
        return self.venue

    @property
    def n_cash_flow_draws(self) -> int:
        """It makes payments while its owner keeps it at a share; nothing of them is drawn."""
        return int(self.share is not None)

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        """Settle at the venue, all instruments of it; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(setting, self.venue)
        self._scope = TradingScope(venue, np.flatnonzero(setting.contracts.venue == venue))
        self._commitment = WalletCommitment.from_instruments(
            setting, venue, self._scope.instruments
        )
        self._pace, self._has_taken_over = (
            UnwindPace.from_time_constant(setting.dt, self.unwind, self.participation),
            False,
        )
        return self.place_wealth(setting, venue, np.full(1, self.wealth))

    def request_cash_flows(
        self, outlook: Observation, accounts: AccountView, standing: MarginAssessment, draws: F8
    ) -> CashFlows:
        """What brings its balance to its share of open interest, until it has taken a book over; then its cushion."""
        return CashFlows.join(
            [
                self._restore_target_balance(outlook, accounts),
                self._fund_margin_accounts(outlook, accounts, standing),
            ]
        )

    def _restore_target_balance(self, outlook: Observation, accounts: AccountView) -> CashFlows:
        view, columns = self._scope.view(outlook)
        self._has_taken_over |= bool(accounts.position[:, self._scope.instruments].any())
        if self.share is None or self._has_taken_over:
            return CashFlows.join([])
        wanted = np.floor(
            self.share * (view.open_interest[columns] * get_lot_values(view, columns)).sum()
        )
        missing = to_exact_int(wanted) - accounts.wallet[0, self._scope.venue, 0]
        return CashFlows.from_columns(0, self._scope.venue, MISSING, np.full(1, missing))

    def _fund_margin_accounts(
        self, outlook: Observation, accounts: AccountView, standing: MarginAssessment
    ) -> CashFlows:
        """From its wallet into accounts whose equity is below the cushion, in the order of instruments."""
        if self._commitment is None:
            return CashFlows.join([])
        venue, instruments = self._commitment
        initial, equity = standing.initial[0, instruments], standing.equity[0, instruments]
        lacking = np.where(
            initial > 0, np.maximum(np.ceil(self.cushion * initial - equity), 0.0), 0.0
        )
        spent = np.minimum(
            np.cumsum(lacking), self._commitment.available_cash(outlook, accounts)[0]
        )
        return CashFlows.from_columns(
            0, venue, instruments, np.diff(spent, prepend=0.0).astype(np.int64)
        )

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Slices of what it holds."""
        held = accounts.position[:, self._scope.instruments]
        return unwind_positions(outlook, self._scope, held, self._pace, self.slippage * BASIS_POINT)
