"""Base classes of all behavioural types, with shared helper functions."""

import itertools
from collections.abc import Iterator
from typing import ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import mesa
import numpy as np
from pydantic import Field, PrivateAttr
from scipy.special import ndtri

from agents.shared.commitment import WalletCommitment
from sim.cash_flows import CashFlows
from sim.compiled.arrays import StepArrays
from sim.component import Component
from sim.errors import ConfigError, DeleverageError, describe_unknown
from sim.numerics.bound_kernels import BoundKernel
from sim.types import (
    B1,
    F8,
    I8,
    PERPETUAL,
    AccountView,
    MarginAssessment,
    MarketSpec,
    MarketView,
    Observation,
)

DAY = 86_400.0
"""Length of a day, seconds."""

BASIS_POINT = 1e-4
_MAX_EXACT = 2.0**53


class _AgentCounters(WeakKeyDictionary[mesa.Model, Iterator[int]]):
    """Agent counters by model, dropped with the last reference to the model."""

    def __getitem__(self, model: mesa.Model) -> Iterator[int]:
        """Return the counter of a model, which starts at one."""
        return self.setdefault(model, itertools.count(1))


class Trader(mesa.Agent):  # type: ignore[misc]  # mesa ships no types
    """One owner of accounts.

    The ledger holds its balances, and its population makes its decisions.

    Attributes:
        owner: global number of its rows in the ledger.
        population: name of the population that decides for it.
    """

    # Mesa before 3.5 counts in a plain dict, which would keep every market in memory
    _ids: ClassVar = _AgentCounters()

    def __init__(self, model: mesa.Model, owner: int, population: str) -> None:
        super().__init__(model)
        self.owner = owner
        self.population = population

    def step(self) -> None:
        """Raise an error, because members decide with their population in the market's step.

        Raises:
            DeleverageError: always.
        """
        raise DeleverageError(
            f"step: owner {self.owner} of {self.population!r} acts in the market's step, "
            "call Market.step instead"
        )

    def remove(self) -> None:
        """Leave the market: cancel resting orders and make no further decision.

        Raises:
            DeleverageError: the owner holds a position or is an insurance fund.
        """
        self.model.retire_owner(self.owner)
        super().remove()

    @property
    def position(self) -> I8:
        """Lots of each instrument, (K,)."""
        held: I8 = self.model.position_of(self.owner)
        return held

    @property
    def equity(self) -> float:
        """Market equity over all venues, minor units of the numeraire."""
        return float(self.model.equity_of(self.owner))

    @property
    def wallet(self) -> I8:
        """Free balances of the wallet rows, (V, C), minor units of each asset."""
        free: I8 = self.model.wallet_of(self.owner)
        return free


class Population(Component):
    """Base of the populations; subclasses add ``start`` and ``decide``."""

    agent_class: ClassVar[type[Trader]] = Trader
    n_trait_draws: ClassVar[int] = 0
    n_decision_draws: ClassVar[int] = 0
    n_sides: ClassVar[int] = 1
    """Accounts of a member: 2 in hedge mode, those of all long sides before those of all short
    sides (ISO-1)."""

    name: str = Field(
        min_length=1, description="name of the population, unique in the market (text)"
    )
    count: int = Field(ge=1, le=10**7, description="number of members (agents)")
    latency: int = Field(ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    venue: str = Field(min_length=1, description="venue at which the members trade (name)")
    wealth: float = Field(gt=0, description="median wealth at the start (units of the numeraire)")

    # of wallets to margin accounts; None = wallets are not committed
    _commitment: WalletCommitment | None = PrivateAttr(None)

    @classmethod
    def is_registered(cls) -> bool:
        """Return whether a configuration can name this class."""
        from agents import POPULATIONS

        return cls in POPULATIONS.values()

    @property
    def fund_venue(self) -> str:
        """Name of the venue whose insurance fund this is, or an empty string."""
        return ""

    @property
    def n_cash_flow_draws(self) -> int:
        """Number of uniform draws per member and step for payments."""
        return 0

    @property
    def has_commitment(self) -> bool:
        """True if members commit their wallets to margin accounts, which needs no draws (ISO-1)."""
        return self._commitment is not None

    def adopt_wealth(self, members: B1, wealth: I8) -> None:
        """Take over given wealth; nothing to do where none is kept.

        See ``sim.protocols.PopulationProtocol``.
        """

    def request_cash_flows(
        self,
        observation: Observation,
        accounts: AccountView,
        assessment: MarginAssessment,
        draws: F8,
    ) -> CashFlows:
        """Return the payments of committed wallets into margin accounts.

        See ``sim.protocols.PopulationProtocol``.
        """
        return (
            CashFlows.join([])
            if self._commitment is None
            else self._commitment.commit_wallets(observation, accounts, assessment)
        )

    def bind_cash_flows(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """See :class:`sim.compiled.components.CompiledCashFlows`."""
        return None if self._commitment is None else self._commitment.bind_payments(step, members)

    def endow_spot(self, lot_value: F8) -> I8:
        """Return the spot that members own at the start: none.

        See ``sim.protocols.PopulationProtocol``.
        """
        return np.zeros((self.count, 0), dtype=np.int64)

    def find_venue(self, spec: MarketSpec, name: str, field: str = "venue") -> int:
        """Return the index of a venue.

        Raises:
            ConfigError: the market has no venue of that name.
        """
        if name not in spec.venues:
            raise ConfigError([f"{self.name}.{field}: {describe_unknown(name, spec.venues)}"])
        return spec.venues.index(name)

    def place_wealth(self, spec: MarketSpec, venue: int, wealth: F8) -> I8:
        """Return the wealth of members by venue, all of it at one venue.

        Args:
            spec: description of the market.
            venue: index of the venue that receives the wealth.
            wealth: (n,) units of the numeraire.

        Returns:
            (n, V) minor units.

        Raises:
            ConfigError: a member would own 2^53 minor units or more, which floats cannot count
                exactly.
        """
        most = float(wealth.max()) * spec.minor_units
        if not most < _MAX_EXACT:
            has_sigma = "wealth_sigma" in type(self).model_fields
            raise ConfigError(
                [
                    f"{self.name}.wealth: {self.wealth:g} gives a member {most:.3g} minor units, "
                    f"must stay below 2^53, lower it{' or wealth_sigma' if has_sigma else ''}"
                ]
            )
        placed = np.zeros((self.count, len(spec.venues)), dtype=np.int64)
        placed[:, venue] = np.rint(wealth * spec.minor_units).astype(np.int64)
        return placed

    def select_instruments(self, spec: MarketSpec, venue: int, names: tuple[str, ...]) -> I8:
        """Return the ascending global numbers of the named instruments of a venue.

        Without names, all perpetuals of the venue are selected.

        Raises:
            ConfigError: the venue does not list a name, or lists no perpetual to trade.
        """
        contracts = spec.contracts
        here = contracts.venue == venue
        known = [contracts.names[k] for k in np.flatnonzero(here)]
        problems = [
            f"{self.name}.instruments: {describe_unknown(name, known)}"
            for name in names
            if name not in known
        ]
        chosen = here & (np.isin(contracts.names, names) if names else contracts.kind == PERPETUAL)
        if not problems and not chosen.any():
            message = f"{self.name}.instruments: {spec.venues[venue]} lists no perpetual"
            problems = [f"{message}, name what to trade: {', '.join(known)}"]
        if problems:
            raise ConfigError(problems)
        return np.flatnonzero(chosen)


class TradingScope(NamedTuple):
    """Instruments of one venue that a population trades."""

    venue: int
    instruments: I8  # (m,) global numbers

    def view(self, observation: Observation) -> tuple[MarketView, I8]:
        """Return the view of the venue and the columns of the instruments in it."""
        return observation.venues[self.venue], self.instruments - observation.first_instrument[
            self.venue
        ]

    def index_ticks(self, observation: Observation) -> F8:
        """Return the index in ticks of each instrument, (m,)."""
        view, columns = self.view(observation)
        price: F8 = (
            observation.spot[view.contracts.underlying[columns]] / view.contracts.tick[columns]
        )
        return price


def draw_lognormal(draws: F8, median: float, sigma: float) -> F8:
    """Return lognormal numbers made from uniform draws; infinite if too large.

    Args:
        draws: uniform draws.
        median: median of the numbers.
        sigma: standard deviation of their logarithm.
    """
    with np.errstate(over="ignore"):
        spread: F8 = np.exp(sigma * ndtri(np.clip(draws, 2.0**-54, 1 - 2.0**-53)))
        return median * spread


def compute_event_probability(dt: float, mean: float) -> float:
    """Return the probability that an event occurs within one step.

    Args:
        dt: length of the step, seconds.
        mean: mean of the exponential waiting time, seconds.
    """
    return float(-np.expm1(-dt / mean))


def get_lot_values(view: MarketView, columns: I8) -> F8:
    """Return the value of one lot at the mark, minor units of the numeraire."""
    return view.lot_value()[columns]


def compute_limit_prices(price: F8, slip: F8 | float, highest: I8) -> I8:
    """Return limit prices at a distance from given prices, whole ticks from 1 to ``highest``.

    Args:
        price: prices, ticks.
        slip: signed distance as a share of the price, + above it.
        highest: largest admissible price, ticks.
    """
    ticks = np.rint(price * (1 + slip))
    return np.minimum(np.maximum(ticks, 1), highest).astype(np.int64)


def count_whole_lots(value: F8, lot: F8) -> I8:
    """Return the whole lots that a value buys, zero where either is not a positive number."""
    usable: B1 = np.isfinite(value) & (value > 0) & (lot > 0)
    lots = np.divide(
        value, lot, out=np.zeros(np.broadcast_shapes(value.shape, lot.shape)), where=usable
    )
    return np.minimum(lots, _MAX_EXACT).astype(np.int64)
