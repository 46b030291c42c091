"""Interfaces of the swappable parts of a market, in terms of the records of ``sim.types``."""

from typing import Protocol, runtime_checkable

from sim.cash_flows import CashFlows
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.prices.past import PastReturns
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
    """Collateral valuation: the haircut on each account's equity."""

    def compute_haircuts(self, accounts: Exposure) -> Margins:
        """Return haircuts on initial and maintenance equity; pure.

        Each is (A,), minor units of the numeraire, >= 0.
        """
        ...

    def is_additive(self, contracts: Contracts) -> bool:
        """Return True if a spot position's haircut is independent of other spot positions."""
        ...

    def compute_spot_haircuts(self, accounts: Exposure) -> F8:
        """Return the initial haircut of each spot position, (A, K), if haircuts add up; pure."""
        ...


class Requirement(Protocol):
    """Margin requirement of each account."""

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's share of maintenance, (A, K); rows with a position sum to one."""
        ...

    def observe(self, market: MarketView) -> None:
        """Learn from the past; no other method changes the requirement."""
        ...

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return initial and maintenance margin, (A,), minor units of the numeraire; pure.

        Initial >= maintenance >= 0. Amounts are rounded only where the venue rounds them.
        """
        ...


class Assessor(Protocol):
    """Margin engine, reduced to the assessment of accounts."""

    def assess(self, accounts: Exposure) -> MarginAssessment:
        """Return equity, initial and maintenance margin of each account; pure."""
        ...


class LiquidationPolicy(Protocol):
    """Rule that selects the positions of liquidatable accounts to close."""

    def plan_close_outs(
        self,
        assessment: MarginAssessment,
        distress: DistressHistory,
        accounts: Exposure,
        weights: F8,
    ) -> CloseOuts:
        """Return the close-outs of one round.

        Args:
            assessment: assessment of each account.
            distress: past distress of each account.
            accounts: accounts of the pool.
            weights: (A, K) each leg's share of maintenance.
        """
        ...

    def select_auctioned(
        self, assessment: MarginAssessment, distress: DistressHistory, accounts: Exposure
    ) -> B1:
        """Return accounts whose lots are on offer to all traders after a step, (A,).

        The venue publishes these lots. The loss waterfall skips accounts that are on offer.
        """
        ...


class LossLayer(Protocol):
    """Layer of the loss waterfall."""

    def absorb(self, loss: Shortfall, context: LayerContext) -> LayerResult:
        """Return the fills and payments of this layer for one bankrupt account; pure."""
        ...


@runtime_checkable
class LearnsPastPrices(Protocol):
    """Population whose averages of prices have a past before the first step."""

    def learn_past(self, past: PastReturns, opening: Observation) -> None:
        """Learn from the returns before the start, after the members have started."""
        ...


class PopulationProtocol(Protocol):
    """Behavioural type of Mesa agents whose members decide in one call."""

    name: str  # unique in the market; names its random streams
    count: int
    n_sides: int  # accounts of a member: 1, or 2 in hedge mode, long sides first (ISO-1)
    n_trait_draws: int  # uniform draws per member before the first step
    n_decision_draws: int  # uniform draws per member and step
    n_cash_flow_draws: int  # uniform draws per member and step for payments; 0 = none needed
    has_commitment: bool  # makes payments from wallets into margin accounts, without draws (ISO-1)
    latency: int  # latency class 0..15, lower arrives first
    fund_venue: str  # name of the venue whose insurance fund this is, or ""

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Initialise the members and return their starting wealth.

        Args:
            spec: constants of the market.
            draws: (n, traits) uniform draws for the members' traits.

        Returns:
            Starting wealth of each member at each venue, (n, V), minor units of the numeraire.
        """
        ...

    def adopt_wealth(self, members: B1, wealth: I8) -> None:
        """Take over the starting wealth of members whose accounts are given (ACC-1).

        Called after ``start``, in a market that begins with a table of accounts.

        Args:
            members: (n,) members whose accounts are given.
            wealth: (n, V) starting wealth of all members, minor units of the numeraire.
        """
        ...

    def request_cash_flows(
        self,
        observation: Observation,
        accounts: AccountView,
        assessments: MarginAssessment,
        draws: F8,
    ) -> CashFlows:
        """Return deposits, withdrawals and margin transfers of members; called before ``decide``.

        Args:
            observation: market data.
            accounts: the members' accounts.
            assessments: (n, K) last assessment of the account that margins each instrument.
            draws: (n, n_cash_flow_draws) uniform draws.
        """
        ...

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return all members' orders; changes nothing outside the population.

        Args:
            observation: market data.
            accounts: the members' accounts.
            draws: (n, n_decision_draws) uniform draws.
        """
        ...

    def endow_spot(self, lot_value: F8) -> I8:
        """Return the spot that members own at the start, posted as a deposit in kind (LED-1).

        Called after ``start``.

        Args:
            lot_value: (K,) value of a lot at the opening mark, minor units of the numeraire.

        Returns:
            Lots of each member, (n, K), zero or more and only of spot; (n, 0) = none.
        """
        ...
