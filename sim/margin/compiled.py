"""Accounts that a margin engine assesses in compiled code, and the interface of its parts."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeGuard, runtime_checkable

import numpy as np

from sim.component import has_own_rules
from sim.numerics.bound_kernels import BoundKernel
from sim.types import B1, F8, I8, Contracts, MarketView


class MarketArrays(NamedTuple):
    """View of the market that a pool's requirement has (see ``MarketView``); K instruments."""

    contracts: Contracts  # of the pool
    mark: F8  # (K,) ticks
    bid: F8  # (K,) ticks, NaN if the side is empty
    ask: F8  # (K,) ticks, NaN if the side is empty
    depth: F8  # (K,) lots
    funding: F8  # (K,) last rate
    volatility: F8  # (K,) annualised
    open_interest: I8  # (K,) lots
    oracle: F8  # (U,) quote currency
    confidence: F8  # (U,) 1 = certain
    seconds_per_year: F8  # (K,) of the run's clock
    dt: float  # seconds per step


class MarginArrays(NamedTuple):
    """Accounts of one pool that an engine assesses, and its results; A accounts, K instruments."""

    n_accounts: I8  # (1,) accounts in use, the first of A
    position: I8  # (K, A) lots
    entry: I8  # (K, A) value paid, minor units of the settle asset
    leverage: F8  # (K, A) leverage that owners chose, inf = the venue's highest
    balance: I8  # (C, P, A) minor units; the accounts are those of one of P pools
    pool: int
    mark: F8  # (K,) ticks
    lot_value: F8  # (K,) minor units of the numeraire per lot at the mark
    is_spot: B1  # (K,)
    settle: I8  # (K,) asset in which each instrument settles
    price: F8  # (C,) minor units of the numeraire per minor unit of each asset
    initial: F8  # (A,) minor units of the numeraire, not rounded
    maintenance: F8  # (A,)
    market: MarketArrays

    @classmethod
    def allocate(cls, like: "MarginArrays", accounts: int) -> "MarginArrays":
        """Return arrays for hypothetical accounts of the same pool."""
        shape = (like.lot_value.size, accounts)
        return like._replace(
            n_accounts=np.zeros(1, dtype=np.int64),
            position=np.zeros(shape, dtype=np.int64),
            entry=np.zeros(shape, dtype=np.int64),
            leverage=np.full(shape, np.inf),
            balance=np.zeros((like.price.size, 1, accounts), dtype=np.int64),
            pool=0,
            initial=np.zeros(accounts),
            maintenance=np.zeros(accounts),
        )


@runtime_checkable
class CompiledValuation(Protocol):
    """Collateral valuation that is computed in compiled code."""

    def bind_haircuts(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """Return the kernels that add haircuts to margins, or None where there are none."""
        ...


class LearningArrays(NamedTuple):
    """Source from which a pool's requirement learns, once per step; U underlyings."""

    returns: F8  # (T, U) log returns of the oracle, row tick - 1 the newest
    probe: MarginArrays  # one lot of each instrument, long and then short, at the mark

    @property
    def market(self) -> MarketArrays:
        """View of the market that the pool has."""
        return self.probe.market


class LearningStep(NamedTuple):
    """One part of what ``observe`` does.

    A kernel that returns other than zero has done nothing: the plain function does the same work
    of this part, from the pool's view. It serves work that is due rarely.
    """

    bound: BoundKernel
    plain: Callable[[MarketView], None] | None = None


@runtime_checkable
class CompiledRequirement(Protocol):
    """Margin requirement that is computed in compiled code."""

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """Return the kernels that compute margins, or None where there are none.

        They write ``initial`` and ``maintenance`` of the accounts in use, the same numbers as
        ``compute_margins``.
        """
        ...

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """Return the steps that do what ``observe`` does, or None where there are none.

        State that both change is in arrays that stay in place.
        """
        ...


def is_compiled(requirement: object) -> TypeGuard[CompiledRequirement]:
    """Return True if a requirement binds kernels that stand for its class."""
    return isinstance(requirement, CompiledRequirement) and not has_own_rules(
        requirement, "bind_margins", "bind_learning"
    )


def is_compiled_valuation(valuation: object) -> TypeGuard[CompiledValuation]:
    """Return True if a valuation binds kernels that stand for its class."""
    return isinstance(valuation, CompiledValuation) and not has_own_rules(
        valuation, "bind_haircuts"
    )


@runtime_checkable
class CompiledLegShares(Protocol):
    """Margin requirement whose division over the legs of an account is computed in compiled code.

    Close-outs need it, and the split of deficits.
    """

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """Return the kernels that compute shares, or None where there are none.

        They write ``shares`` (K, A) of the accounts in use, the same numbers as
        ``compute_leg_shares``.
        """
        ...


def bind_leg_shares(
    requirement: object, arrays: MarginArrays, shares: F8
) -> tuple[BoundKernel, ...] | None:
    """Return the kernels of a requirement's shares, or None where there are none."""
    if not is_compiled(requirement) or not isinstance(requirement, CompiledLegShares):
        return None
    return requirement.bind_leg_shares(arrays, shares)
