"""What the swappable parts of a market promise, in terms of the records of ``sim.types``."""

from typing import Protocol

from sim.cash_flows import CashFlows
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import (
    B1,
    F8,
    I8,
    AccountView,
    CloseOuts,
    Contracts,
    DistressHistory,
    Exposure,
    MarginAssessment,
    Margins,
    MarketSpec,
    MarketView,
    Observation,
    Orders,
)


class Valuation(Protocol):
    """What market equity does not count."""

    def compute_haircuts(self, book: Exposure) -> Margins:
        """Pure; minor units of the numeraire, >= 0."""
        ...

    def is_additive(self, contracts: Contracts) -> bool:
        """Return whether what is disallowed of each spot position depends on no other spot position."""
        ...

    def compute_spot_haircuts(self, book: Exposure) -> F8:
        """Return what is disallowed of each spot position to open, (A, K), where this adds up; pure."""
        ...


class Requirement(Protocol):
    """What must be covered."""

    def compute_leg_shares(self, book: Exposure) -> F8:
        """Each leg's share of an account's maintenance, (A, K), summing to 1 in rows that hold a position."""
        ...

    def observe(self, market: MarketView) -> None:
        """Learn from the past; the only mutation."""
        ...

    def compute_margins(self, book: Exposure) -> Margins:
        """Pure; minor units of the numeraire, rounded only where a venue rounds; initial >= maintenance >= 0."""
        ...


class Assessor(Protocol):
    """A margin engine, as far as those need it who only ask for verdicts."""

    def assess(self, book: Exposure) -> MarginAssessment:
        """Equity, initial and maintenance of each account; pure."""
        ...


class LiquidationPolicy(Protocol):
    """Decides what to close when accounts are liquidatable."""

    def plan_close_outs(
        self, risk: MarginAssessment, distress: DistressHistory, book: Exposure, weights: F8
    ) -> CloseOuts:
        """``weights`` (A, K) are each leg's share of maintenance."""
        ...

    def select_auctioned(
        self, risk: MarginAssessment, distress: DistressHistory, book: Exposure
    ) -> B1:
        """Whose lots are for anybody to take after a step, (A,): published, and kept from the waterfall until then."""
        ...


class LossLayer(Protocol):
    """One stage of the waterfall."""

    def absorb(self, loss: Shortfall, floor: LayerContext) -> LayerResult:
        """What this layer takes of one bankrupt account's book and deficit; pure."""
        ...


class PopulationProtocol(Protocol):
    """One behavioural type of Mesa agents, decided together."""

    name: str  # unique in the market; names its random streams
    count: int
    n_trait_draws: int  # uniform draws per member before the first step
    n_decision_draws: int  # uniform draws per member and step
    n_cash_flow_draws: (
        int  # uniform draws per member and step for payments; 0 = it makes none that need any
    )
    has_commitment: (
        bool  # whether it makes payments without draws: wallets into margin accounts (ISO-1)
    )
    latency: int  # latency class 0..15, lower arrives first
    fund_venue: str  # name of the venue whose insurance fund this is, or ""

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        """Settle in: keep what is needed of the setting, draw traits from ``draws`` (n, traits), and return each
        member's starting wealth at each venue, (n, V) minor units of the numeraire."""
        ...

    def request_cash_flows(
        self, outlook: Observation, accounts: AccountView, standing: MarginAssessment, draws: F8
    ) -> CashFlows:
        """What members bring in, take out and move between their accounts, asked before ``decide`` at each tick.

        ``standing`` (n, K) is the last verdict on the account that margins each instrument; ``draws`` is (n, paying).
        """
        ...

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        """All members' orders at once; touches nothing outside the population. ``draws`` is (n, width)."""
        ...
