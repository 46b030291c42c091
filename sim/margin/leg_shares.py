"""Shares of legs in an account's maintenance, in compiled code (LIQ-2)."""

from collections.abc import Sequence

import numpy as np

from sim.margin.compiled import CompiledLegShares, MarginArrays, is_compiled
from sim.margin.leg_values import normalise_leg_shares
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import F8, I8

Kernels = tuple[BoundKernel, ...]


def find_leg_shares(requirement: object, arrays: MarginArrays, shares: F8) -> Kernels | None:
    """Return the kernels of a requirement's shares, None if none stand for its class."""
    if not isinstance(requirement, CompiledLegShares) or not is_compiled(requirement):
        return None
    for cls in type(requirement).__mro__:
        if "bind_leg_shares" in vars(cls):
            return requirement.bind_leg_shares(arrays, shares)
        if "compute_leg_shares" in vars(cls):
            return None
    return None


def bind_shares_of_single_legs(
    requirement: object, arrays: MarginArrays, shares: F8
) -> Kernels | None:
    """Return the kernels of shares where maintenance is the sum of that of each leg alone.

    The requirement's own kernels compute the maintenance of each leg.
    """
    alone = MarginArrays.allocate(arrays, arrays.initial.size)
    margins = requirement.bind_margins(alone) if is_compiled(requirement) else None
    if margins is None:
        return None
    kernels: list[BoundKernel] = []
    accounts = (arrays.count, arrays.position, arrays.entry, arrays.leverage)
    own = (alone.count, alone.position, alone.entry, alone.leverage)
    for leg in range(len(shares)):
        kernels += [
            bind_kernel(keep_leg, leg, *accounts, *own),
            *margins,
            bind_kernel(take_leg, leg, arrays.count, alone.maintenance, shares),
        ]
    return (*kernels, bind_normalisation(arrays, shares))


def bind_weighted_shares(
    parts: Sequence[object], arrays: MarginArrays, shares: F8
) -> Kernels | None:
    """Return the kernels of the shares of several parts, weighted by their maintenance."""
    kernels = [bind_kernel(clear_shares, arrays.count, shares)]
    for part in parts:
        own = arrays._replace(
            initial=np.zeros(arrays.initial.size), maintenance=np.zeros(arrays.initial.size)
        )
        inner = np.zeros_like(shares)
        legs = find_leg_shares(part, own, inner)
        margins = part.bind_margins(own) if is_compiled(part) else None
        if legs is None or margins is None:
            return None
        added = bind_kernel(add_weighted, arrays.count, inner, own.maintenance, shares)
        kernels += [*legs, *margins, added]
    return (*kernels, bind_normalisation(arrays, shares))


def bind_normalisation(arrays: MarginArrays, shares: F8) -> BoundKernel:
    """Bind :func:`normalise`."""
    return bind_kernel(normalise, arrays.count, arrays.position, arrays.lot_value, shares)


@kernel
def keep_leg(
    tick: int,
    leg: int,
    count: I8,
    position: I8,
    entry: I8,
    leverage: F8,
    own_count: I8,
    own_position: I8,
    own_entry: I8,
    own_leverage: F8,
) -> int:
    """Copy one leg of the accounts in use to accounts of that leg alone."""
    own_count[0] = count[0]
    for k in range(len(position)):
        for a in range(count[0]):
            own_position[k, a] = position[k, a] if k == leg else 0
            own_entry[k, a] = entry[k, a] if k == leg else 0
            own_leverage[k, a] = leverage[k, a]
    return 0


@kernel
def take_leg(tick: int, leg: int, count: I8, maintenance: F8, shares: F8) -> int:
    """Copy the maintenance of accounts of one leg to that leg."""
    shares[leg, : count[0]] = maintenance[: count[0]]
    return 0


@kernel
def clear_shares(tick: int, count: I8, shares: F8) -> int:
    """Set the shares of the accounts in use to zero."""
    shares[:, : count[0]] = 0.0
    return 0


@kernel
def add_weighted(tick: int, count: I8, inner: F8, maintenance: F8, shares: F8) -> int:
    """Add shares times maintenance."""
    for k in range(len(shares)):
        for a in range(count[0]):
            shares[k, a] += inner[k, a] * maintenance[a]
    return 0


@kernel
def normalise(tick: int, count: I8, position: I8, lot_value: F8, shares: F8) -> int:
    """Divide legs by their sum: see :func:`sim.margin.leg_values.normalise_shares`."""
    normalise_leg_shares(count[0], position, lot_value, shares)
    return 0
