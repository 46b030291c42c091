"""What the swappable parts of a market promise, in terms of the records of ``sim.types``."""

from typing import Protocol

from sim.cash_flows import Payments
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import (
    B1,
    F8,
    I8,
    AccountView,
    CloseOuts,
    Contracts,
    Distress,
    Exposure,
    Margins,
    MarketView,
    Orders,
    Outlook,
    Risk,
    Setting,
)


class Valuation(Protocol):
    """What market equity does not count."""

    def haircuts(self, book: Exposure) -> Margins:
        """Pure; minor units of the numeraire, >= 0."""
        ...

    def adds_up(self, contracts: Contracts) -> bool:
        """Return whether what is disallowed of each spot position depends on no other spot position."""
        ...

    def spot_by_leg(self, book: Exposure) -> F8:
        """Return what is disallowed of each spot position to open, (A, K), where this adds up; pure."""
        ...


class Requirement(Protocol):
    """What must be covered."""

    def shares(self, book: Exposure) -> F8:
        """Each leg's share of an account's maintenance, (A, K), summing to 1 in rows that hold a position."""
        ...

    def observe(self, market: MarketView) -> None:
        """Learn from the past; the only mutation."""
        ...

    def margins(self, book: Exposure) -> Margins:
        """Pure; minor units of the numeraire, rounded only where a venue rounds; initial >= maintenance >= 0."""
        ...


class Assessor(Protocol):
    """A margin engine, as far as those need it who only ask for verdicts."""

    def assess(self, book: Exposure) -> Risk:
        """Equity, initial and maintenance of each account; pure."""
        ...


class LiquidationPolicy(Protocol):
    """Decides what to close when accounts are liquidatable."""

    def plan(self, risk: Risk, distress: Distress, book: Exposure, weights: F8) -> CloseOuts:
        """``weights`` (A, K) are each leg's share of maintenance."""
        ...

    def offers(self, risk: Risk, distress: Distress, book: Exposure) -> B1:
        """Whose lots are for anybody to take after a step, (A,): published, and kept from the waterfall until then."""
        ...


class LossLayer(Protocol):
    """One stage of the waterfall."""

    def absorb(self, loss: Shortfall, floor: LayerContext) -> LayerResult:
        """What this layer takes of one bankrupt account's book and deficit; pure."""
        ...


class Population(Protocol):
    """One behavioural type of Mesa agents, decided together."""

    name: str  # unique in the market; names its random streams
    count: int
    traits: int  # uniform draws per member before the first step
    width: int  # uniform draws per member and step
    paying: int  # uniform draws per member and step for payments; 0 = it makes none that need any
    commits: bool  # whether it makes payments without draws: wallets into margin accounts (ISO-1)
    latency: int  # latency class 0..15, lower arrives first
    fund_of: str  # name of the venue whose insurance fund this is, or ""

    def start(self, setting: Setting, draws: F8) -> I8:
        """Settle in: keep what is needed of the setting, draw traits from ``draws`` (n, traits), and return each
        member's starting wealth at each venue, (n, V) minor units of the numeraire."""
        ...

    def pay(self, outlook: Outlook, accounts: AccountView, standing: Risk, draws: F8) -> Payments:
        """What members bring in, take out and move between their accounts, asked before ``decide`` at each tick.

        ``standing`` (n, K) is the last verdict on the account that margins each instrument; ``draws`` is (n, paying).
        """
        ...

    def decide(self, outlook: Outlook, accounts: AccountView, draws: F8) -> Orders:
        """All members' orders at once; touches nothing outside the population. ``draws`` is (n, width)."""
        ...
