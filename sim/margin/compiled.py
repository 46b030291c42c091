"""Accounts that a margin engine assesses in compiled code, and the interface of its parts."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from sim.numerics.bound_kernels import BoundKernel
from sim.types import B1, F8, I8


class MarginArrays(NamedTuple):
    """Accounts of one pool that an engine assesses, and its results; A accounts, K instruments."""

    count: I8  # (1,) accounts in use, the first of A
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

    @classmethod
    def allocate(cls, like: "MarginArrays", accounts: int) -> "MarginArrays":
        """Return arrays for hypothetical accounts of the same pool."""
        shape = (like.lot_value.size, accounts)
        return like._replace(
            count=np.zeros(1, dtype=np.int64),
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
    """What a pool's requirement learns from, once per step; K instruments, U underlyings."""

    returns: F8  # (T, U) log returns of the oracle, row tick - 1 the newest
    oracle: F8  # (U,) quote currency
    mark: F8  # (K,) ticks
    probe: MarginArrays  # one lot of each instrument, long and then short, at the mark


@runtime_checkable
class CompiledRequirement(Protocol):
    """Margin requirement that is computed in compiled code."""

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """Return the kernels that compute margins, or None where there are none.

        They write ``initial`` and ``maintenance`` of the accounts in use, the same numbers as
        ``compute_margins``.
        """
        ...

    def bind_learning(self, arrays: LearningArrays) -> tuple[BoundKernel, ...] | None:
        """Return the kernels that do what ``observe`` does, or None where there are none.

        State that both change is in arrays that stay in place.
        """
        ...


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
