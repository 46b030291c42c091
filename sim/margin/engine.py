"""A margin engine: netting x valuation x requirement, giving one verdict per account (MAR-1)."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.errors import ConfigError, did_you_mean
from sim.jit import kernel
from sim.margin import legs
from sim.margin.additive import ALL_TRIED, MOST_SPOTS, adds_up, dearer, initial_by_leg, spots_of
from sim.margin.base import AnyNetting, AnyRequirement, AnyValuation, RequirementComponent
from sim.margin.cash import Cash
from sim.margin.compressed import Compressed
from sim.margin.dials import Dialled, scaled_leverage
from sim.margin.learning import unlearnt
from sim.margin.netting import Cross
from sim.margin.options_apart import OptionsApart
from sim.margin.reference import one_lot_each
from sim.margin.tiered import Tiered
from sim.protocols import Requirement, Valuation
from sim.types import F8, I8, OPTION, Contracts, Exposure, MarketView, Risk

DUST = 1e-12
"""Relative noise of a sum of floats: an amount this near to a whole number is that number."""


class EngineConfig(Component):
    """The three choices that make a venue's margin engine, and dials that turn whatever was chosen (MAR-2)."""

    netting: AnyNetting = Field(default=Cross(), description="which instruments share margin (component)")
    valuation: AnyValuation = Field(default=Cash(), description="what equity does not count (component)")
    requirement: AnyRequirement = Field(default=Tiered(), description="what must be covered (component)")
    options: AnyRequirement | None = Field(
        default=None, description="what must be covered of options, none = they are legs like others (component)"
    )
    scale: float = Field(default=1.0, gt=0, description="factor of margins, to bring engines to equal capital (ratio)")
    kappa: float = Field(default=0.0, lt=1, description="share by which margins are cut, below nil raised (ratio)")
    maintenance: float | None = Field(
        default=None, ge=0, le=1, description="maintenance over initial, none = the requirement's own (ratio)"
    )

    def pools(self, contracts: Contracts) -> list[list[int]]:
        """The netting partition of one venue's instruments, columns of ``contracts``.

        Raises:
            ConfigError: if a choice names instruments or assets that the venue does not know.
        """
        known = ", ".join(contracts.names)
        problems = [
            f"requirement: {name!r} is not an instrument of this venue, use one of {known}"
            for name in self._misnamed(contracts.names)
        ]
        problems += [
            f"valuation: {name!r} is neither an asset nor an instrument of this venue, use one of "
            f"{', '.join(contracts.assets[1:] + contracts.names)}"
            for name in sorted(self.valuation.names() - set(contracts.names) - set(contracts.assets))
        ]
        if problems:
            raise ConfigError(problems)
        return self.netting.pools(contracts)

    def unlearnt(self, seconds: float, dt: float) -> str:
        """What a run of this length leaves unlearnt, and what helps; empty where nothing is (MAR-5).

        Args:
            seconds: length of the run.
            dt: length of a step (s).
        """
        slow = max(filter(None, (self.requirement, self.options)), key=lambda rule: rule.look_back())
        return unlearnt(slow, seconds, dt)

    def _misnamed(self, listed: Sequence[str]) -> list[str]:
        """Names in the requirements that a venue does not list, and that look like a mistake.

        Rules for more instruments than are listed are no mistake: a venue's own ladders serve a run with two of them.
        Refused are names close to an instrument that has no rule of its own, and rules none of whose names is listed.
        """
        named = self.mentioned()
        strangers, left = sorted(named - set(listed)), set(listed) - named
        return [name for name in strangers if not named & set(listed) or did_you_mean(name, left)]

    def mentioned(self) -> frozenset[str]:
        """Instruments that the requirements name."""
        return self.requirement.names() | (self.options.names() if self.options else frozenset())

    def dialled(self) -> RequirementComponent:
        """The requirement as scale and kappa have it, outside a pool; that of options is left out."""
        factor = self.scale * (1.0 - self.kappa)
        return self.requirement if factor == 1 else Compressed(inner=self.requirement, kappa=1.0 - factor)

    def build(self, contracts: Contracts, unit: int) -> "MarginEngine":
        """The engine of one pool.

        Args:
            contracts: the pool's instruments.
            unit: minor units in one unit of the numeraire.
        """
        return MarginEngine(self.valuation, self.bind(contracts, unit))

    def bind(self, contracts: Contracts, unit: int) -> Requirement:
        """The requirement of one pool as the dials have it; haircuts are not touched by them."""
        bound, factor = self.requirement.bind(contracts, unit), self.scale * (1.0 - self.kappa)
        if self.options is not None and (contracts.kind == OPTION).any():
            bound = OptionsApart(bound, self.options.bind(contracts, unit), contracts)
        return bound if factor == 1 and self.maintenance is None else Dialled(bound, factor, self.maintenance)


class MarginEngine:
    """One pool's engine. The same :meth:`assess` admits orders, informs agents and triggers liquidation."""

    def __init__(self, valuation: Valuation, requirement: Requirement) -> None:
        self.valuation = valuation
        self.requirement = requirement
        self._probe: Exposure | None = None  # one lot of each instrument, long and short
        self.separable = False  # whether admission tries each spot instrument by itself

    def open_to_orders(self, contracts: Contracts) -> None:
        """Find out how admission tries the ways in which spot orders may fill (MAR-1).

        Args:
            contracts: the pool's instruments.

        Raises:
            ConfigError: more spot instruments share the pool than can be tried in all combinations.
        """
        spots, of_numeraire = spots_of(contracts)
        added = (adds_up(self.requirement), self.valuation.adds_up(contracts), of_numeraire)
        self.separable = spots > ALL_TRIED and all(added)
        if spots <= MOST_SPOTS or self.separable:
            return
        words = ("the requirement", "the valuation", "spot that settles in another asset than the numeraire")
        what = next(word for word, fine in zip(words, added, strict=True) if not fine)
        raise ConfigError(
            [
                f"netting: {spots} spot instruments share an account and {what} does not add up over instruments, must "
                f"be at most {MOST_SPOTS}, as admission tries every way in which their orders may fill; give each an "
                "account (netting: {kind: isolated}), list fewer, or take what adds up (kinds tiered and cash)"
            ]
        )

    def observe(self, market: MarketView) -> None:
        """Learn from the pool's market, once per step; the only mutation."""
        self.requirement.observe(market)

    def assess(self, book: Exposure) -> Risk:
        """Equity, initial and maintenance of each account; requirements rounded up to a unit (LED-2)."""
        return self._verdict(book.equity(), book)

    def admits(self, book: Exposure) -> Risk:
        """The verdict that orders must pass (MAR-1): equity ≥ initial once every resting order has filled.

        Orders change what is required, not what is owned: they fill at the mark, and the loss of a limit worse
        than the mark is among the amounts reserved, which equity loses. The worst of several ways to fill counts.
        Initial is no less than positions ÷ the leverage chosen for them, whatever the requirement.
        """
        equity = book.equity() - book.at_stake()
        filled = self._dearest(book) if self.separable else book.if_filled()
        verdicts = [self._opened(equity, paid(book, entered(book, each))) for each in filled]
        worst = verdicts[0]
        for other in verdicts[1:]:
            initial = np.maximum(worst.initial, other.initial)
            worst = Risk(equity, initial, np.maximum(worst.maintenance, other.maintenance))
        return worst

    def shares(self, book: Exposure) -> F8:
        """Each leg's share of maintenance, (A, K), summing to 1 in rows that hold a position."""
        return self.requirement.shares(book)

    def leverage(self, market: MarketView) -> tuple[F8, F8]:
        """Highest leverage admitted for a long and for a short of one lot, (K,) each: value over initial.

        Infinite if nothing is required. One over it is the margin path that a backtest judges.
        """
        if self._probe is None:
            self._probe = one_lot_each(market, sides=(1, -1))
        value = market.mark * market.contracts.multiplier
        probe = self._probe._replace(market=market, entry=self._probe.position * value.astype(np.int64))
        required = self.valuation.haircuts(probe).initial + self.requirement.margins(probe).initial
        required, worth = required.reshape(2, -1), value * market.price[market.contracts.settle]
        long, short = np.divide(worth, required, out=np.full(required.shape, np.inf), where=required > 0)
        return long, short

    def _dearest(self, book: Exposure) -> list[Exposure]:
        """The filled books that ask most where initial adds up: by the rules, and by the leverage that was chosen."""
        bought, sold = book.all_one_way()
        after = [paid(book, entered(book, each)) for each in (bought, sold)]
        asked = [
            initial_by_leg(self.requirement, self._scaled(each)) + self.valuation.spot_by_leg(each) for each in after
        ]
        found = [dearer(book, (bought, asked[0]), (sold, asked[1]))]
        if np.isfinite(book.leverage).any():
            chosen = [set_aside_by_leg(each) for each in after]
            found.append(dearer(book, (bought, chosen[0]), (sold, chosen[1])))
        return found

    def _opened(self, equity: F8, book: Exposure) -> Risk:
        """The verdict on a filled book, no less initial than is chosen: dials do not scale it, nor rules ignore it."""
        if not np.isfinite(book.leverage).any():
            return self._verdict(equity, book)
        verdict = self._verdict(equity, self._scaled(book))
        return verdict._replace(initial=np.maximum(verdict.initial, set_aside(book)))

    def _scaled(self, book: Exposure) -> Exposure:
        """The book whose chosen leverage the engine's own dials do not scale."""
        return scaled_leverage(book, self.requirement.factor) if isinstance(self.requirement, Dialled) else book

    def _verdict(self, equity: F8, book: Exposure) -> Risk:
        haircuts, margins = self.valuation.haircuts(book), self.requirement.margins(book)
        initial = whole(haircuts.initial, margins.initial)
        return Risk(equity, initial, whole(haircuts.maintenance, margins.maintenance))


def set_aside(book: Exposure) -> F8:
    """Positions ÷ the leverage chosen for them, (A,) whole minor units: at entry or at the mark, whichever is less."""
    chosen = set_aside_by_leg(book).sum(axis=1)
    return whole(np.zeros_like(chosen), chosen)


def set_aside_by_leg(book: Exposure) -> F8:
    """The same of each leg, (A, K), not rounded."""
    cost = np.abs(book.entry) * book.market.price[book.market.contracts.settle]
    share: F8 = np.minimum(cost, legs.notional(book)) / book.leverage
    return share


def paid(book: Exposure, filled: Exposure) -> Exposure:
    """The filled book, its other assets changed by what the fills cost at the mark.

    The numeraire stays as it is: no valuation disallows any of it.
    """
    contracts, balance = book.market.contracts, book.balance
    foreign = np.flatnonzero(contracts.settle)
    if not foreign.size:
        return filled
    balance, price = balance.copy(), (book.market.mark * contracts.multiplier).astype(np.int64)
    for column in foreign:
        lots = filled.position[:, column] - book.position[:, column]
        balance[:, contracts.settle[column]] -= price[column] * lots
    return filled._replace(balance=balance)


def entered(book: Exposure, filled: Exposure) -> Exposure:
    """The filled book with the value paid for its positions, had the fills been at the mark."""
    value = (book.market.mark * book.market.contracts.multiplier).astype(np.int64)
    return filled._replace(entry=_entry_after(book.position, book.entry, filled.position, value))


@kernel
def _entry_after(position: I8, entry: I8, filled: I8, value: I8) -> I8:
    """Value paid for positions after fills at the mark, (A, K): the ledger's rule, once per leg."""
    accounts, instruments = position.shape
    after = np.empty((instruments, accounts), dtype=np.int64)
    for k in range(instruments):
        for a in range(accounts):
            held, now = position[a, k], filled[a, k]
            if held == now:
                after[k, a] = entry[a, k]
            elif held == 0 or (held > 0) != (now > 0):
                after[k, a] = now * value[k]
            elif abs(now) > abs(held):
                after[k, a] = entry[a, k] + (now - held) * value[k]
            else:
                after[k, a] = np.int64(np.rint(entry[a, k] * (now / held)))
    return after.T


@kernel
def whole(haircut: F8, margin: F8) -> F8:
    """The sum in whole minor units, up, except that float dust above a whole number does not count, (A,)."""
    units = np.empty(len(margin))
    for a in range(len(margin)):
        amount = haircut[a] + margin[a]
        nearest = np.rint(amount)
        units[a] = nearest if abs(amount - nearest) <= DUST * abs(amount) else np.ceil(amount)
    return units
