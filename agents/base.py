"""What all behavioural types share: the Mesa agent, the configured population, and small sums."""

import itertools
from collections.abc import Iterator
from typing import ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import mesa
import numpy as np
from pydantic import Field, PrivateAttr
from scipy.special import ndtri

from agents.commitment import Commitment
from sim.component import Component
from sim.errors import ConfigError, DeleverageError, not_one_of
from sim.flows import Payments
from sim.types import B1, F8, I8, PERPETUAL, AccountView, MarketView, Outlook, Risk, Setting

DAY = 86_400.0
"""Seconds."""

BASIS_POINT = 1e-4
_EXACT = 2.0**53


class _Counts(WeakKeyDictionary[mesa.Model, Iterator[int]]):
    """The next number of an agent, by model; forgets a model that nobody else holds."""

    def __getitem__(self, model: mesa.Model) -> Iterator[int]:
        """From one."""
        return self.setdefault(model, itertools.count(1))


class Participant(mesa.Agent):  # type: ignore[misc]  # mesa ships no types
    """One owner of accounts. Its numbers live in the ledger, its decisions are made with its population's.

    Attributes:
        owner: global number of its rows in the ledger.
        population: name of the population that decides for it.
    """

    _ids: ClassVar = _Counts()  # Mesa before 3.5 counts in a plain dict, which would hold every market for good

    def __init__(self, model: mesa.Model, owner: int, population: str) -> None:
        super().__init__(model)
        self.owner = owner
        self.population = population

    def step(self) -> None:
        """Refuse: members decide with their population, as a part of the market's step.

        Raises:
            DeleverageError: always.
        """
        raise DeleverageError(f"step: owner {self.owner} of {self.population!r} acts in the market's step, step that")

    def remove(self) -> None:
        """Leave the market: resting orders are cancelled, and no further decision of this member is taken.

        Raises:
            DeleverageError: it holds a position, or it is an insurance fund.
        """
        self.model.retire(self.owner)
        super().remove()

    @property
    def position(self) -> I8:
        """Lots held of each instrument, (K,)."""
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


class Behaviour(Component):
    """Base of the populations: who they are and where they trade. Subclasses add ``start`` and ``decide``."""

    agent: ClassVar[type[Participant]] = Participant
    traits: ClassVar[int] = 0
    width: ClassVar[int] = 0

    name: str = Field(min_length=1, description="name of the population, unique in the market (text)")
    count: int = Field(ge=1, le=10**7, description="number of members (agents)")
    latency: int = Field(ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    venue: str = Field(min_length=1, description="venue at which the members trade (name)")
    wealth: float = Field(gt=0, description="median wealth at the start (units of the numeraire)")

    _commitment: Commitment | None = PrivateAttr(None)  # of wallets to margin accounts; None = wallets stay as they are

    @property
    def fund_of(self) -> str:
        """Name of the venue whose insurance fund this is, or nothing."""
        return ""

    @property
    def paying(self) -> int:
        """Uniform draws per member and step for payments."""
        return 0

    @property
    def commits(self) -> bool:
        """Whether members keep wallets committed to margin accounts, for which nothing is drawn (ISO-1)."""
        return self._commitment is not None

    def pay(self, outlook: Outlook, accounts: AccountView, standing: Risk, draws: F8) -> Payments:
        """Wallets into margin accounts, of members who keep them committed; see ``sim.protocols.Population``."""
        return Payments.join([]) if self._commitment is None else self._commitment.pay(outlook, accounts, standing)

    def venue_in(self, setting: Setting, name: str, field: str = "venue") -> int:
        """Index of a venue; raises ConfigError where the market has none of that name."""
        if name not in setting.venues:
            raise ConfigError([f"{self.name}.{field}: {not_one_of(name, setting.venues)}"])
        return setting.venues.index(name)

    def wealth_at(self, setting: Setting, venue: int, wealth: F8) -> I8:
        """Wealth (n,) in units of the numeraire, all of it at one venue: (n, V) minor units.

        Raises:
            ConfigError: a member would own more than floats count exactly.
        """
        most = float(wealth.max()) * setting.unit
        if not most < _EXACT:
            raise ConfigError(
                [
                    f"{self.name}.wealth: {self.wealth:g} gives a member {most:.3g} minor units, must stay below "
                    f"2^53, lower it{' or wealth_sigma' if 'wealth_sigma' in type(self).model_fields else ''}"
                ]
            )
        placed = np.zeros((self.count, len(setting.venues)), dtype=np.int64)
        placed[:, venue] = np.rint(wealth * setting.unit).astype(np.int64)
        return placed

    def listed(self, setting: Setting, venue: int, names: tuple[str, ...]) -> I8:
        """Global numbers of the named instruments of a venue, by default all of its perpetuals, ascending.

        Raises:
            ConfigError: a name the venue does not list, or nothing to trade.
        """
        contracts = setting.contracts
        here = contracts.venue == venue
        known = [contracts.names[k] for k in np.flatnonzero(here)]
        problems = [f"{self.name}.instruments: {not_one_of(name, known)}" for name in names if name not in known]
        chosen = here & (np.isin(contracts.names, names) if names else contracts.kind == PERPETUAL)
        if not problems and not chosen.any():
            told = f"{self.name}.instruments: {setting.venues[venue]} lists no perpetual, name what to trade"
            problems = [f"{told}: {', '.join(known)}"]
        if problems:
            raise ConfigError(problems)
        return np.flatnonzero(chosen)


class Stall(NamedTuple):
    """What a population trades: some instruments of one venue."""

    venue: int
    instruments: I8  # (m,) global numbers

    def look(self, outlook: Outlook) -> tuple[MarketView, I8]:
        """The venue's view, and the instruments' columns in it."""
        return outlook.venues[self.venue], self.instruments - outlook.first[self.venue]

    def fair(self, outlook: Outlook) -> F8:
        """The index in ticks of each instrument, (m,)."""
        view, columns = self.look(outlook)
        price: F8 = outlook.spot[view.contracts.underlying[columns]] / view.contracts.tick[columns]
        return price


def lognormal(draws: F8, median: float, sigma: float) -> F8:
    """Lognormal numbers with this median and standard deviation of the log, from uniform draws; inf if too large."""
    with np.errstate(over="ignore"):
        spread: F8 = np.exp(sigma * ndtri(np.clip(draws, 2.0**-54, 1 - 2.0**-53)))
        return median * spread


def hazard(dt: float, mean: float) -> float:
    """Probability that an event with exponential waiting time of this mean falls into one step (seconds)."""
    return float(-np.expm1(-dt / mean))


def lot_value(view: MarketView, columns: I8) -> F8:
    """Worth of one lot at the mark, minor units of the numeraire."""
    return view.worth()[columns]


def worst(price: F8, slip: F8 | float, highest: I8) -> I8:
    """Limits that accept prices so far from these, as shares of them, + above: whole ticks from 1 to ``highest``."""
    ticks = np.rint(price * (1 + slip))
    return np.minimum(np.maximum(ticks, 1), highest).astype(np.int64)


def whole_lots(value: F8, lot: F8) -> I8:
    """Whole lots that a value buys, nil where either is not a positive number."""
    usable: B1 = np.isfinite(value) & (value > 0) & (lot > 0)
    lots = np.divide(value, lot, out=np.zeros(np.broadcast_shapes(value.shape, lot.shape)), where=usable)
    return np.minimum(lots, _EXACT).astype(np.int64)
