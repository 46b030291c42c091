"""Legs of a pool by underlying, expiry and strike, for Derive's portfolio margin."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sim.errors import ConfigError
from sim.types import F8, FUTURE, I8, MISSING, OPTION, PERPETUAL, Contracts, Exposure


class ExpiryLegs(NamedTuple):
    """Options of one underlying and expiry."""

    legs: I8  # columns
    strikes: list[I8]  # columns by strike


class UnderlyingLegs(NamedTuple):
    """Legs and collateral of one underlying of a pool."""

    number: int
    linear: I8  # columns of perpetuals and futures
    moving: I8  # columns of all instruments that move in proportion, including spot
    expiries: list[ExpiryLegs]
    collateral: I8  # assets that move with the underlying


def list_underlyings(contracts: Contracts, moving: dict[int, int]) -> list[int]:
    """Return the underlyings of a pool's legs and of the collateral that moves with them."""
    return sorted({*contracts.underlying.tolist(), *moving.values()})


def build_underlying_legs(
    contracts: Contracts, number: int, moving: dict[int, int]
) -> UnderlyingLegs:
    """Return the legs and the collateral of one underlying of a pool.

    Args:
        contracts: the pool's instruments.
        number: the underlying.
        moving: underlying of each collateral asset that moves with one.
    """
    here = contracts.underlying == number
    linear = np.flatnonzero(here & np.isin(contracts.kind, (PERPETUAL, FUTURE)))
    options = np.flatnonzero(here & (contracts.kind == OPTION))
    expiries = []
    for expiry in np.unique(contracts.expiry[options]) if options.size else ():
        legs = options[contracts.expiry[options] == expiry]
        strikes = [
            legs[contracts.strike[legs] == strike] for strike in np.unique(contracts.strike[legs])
        ]
        expiries.append(ExpiryLegs(legs, strikes))
    assets = np.array(
        [asset for asset, underlying in moving.items() if underlying == number], dtype=np.int64
    )
    return UnderlyingLegs(
        number, linear, np.flatnonzero(here & (contracts.kind != OPTION)), expiries, assets
    )


def number_legs(
    contracts: Contracts, underlyings: Sequence[UnderlyingLegs]
) -> tuple[I8, I8, I8, I8]:
    """Return the underlying to which each leg and asset belongs.

    Returns:
        (G,) underlyings, (K,) that of each leg, (K,) one for perpetuals and futures, (C,) that of
            each collateral asset that moves with one, else MISSING.
    """
    numbers = np.array([group.number for group in underlyings], dtype=np.int64)
    is_linear = np.zeros(len(contracts.names), dtype=np.int64)
    follows = np.full(len(contracts.assets), MISSING)
    for group in underlyings:
        is_linear[group.linear] = 1
        follows[group.collateral] = group.number
    return numbers, contracts.underlying, is_linear, follows


def find_asset(name: str, contracts: Contracts) -> int:
    """Return the number of a collateral asset."""
    if name not in contracts.assets[1:]:
        known = ", ".join(contracts.assets[1:]) or "none"
        raise ConfigError(
            [
                f"requirement.collateral: {name!r} is not an asset beside the numeraire, "
                f"use one of {known}"
            ]
        )
    return contracts.assets.index(name)


def find_least_confidence(accounts: Exposure, legs: I8) -> F8:
    """Return the least confidence of the feeds that value the legs that are held, (A,)."""
    feed = accounts.market.feed
    if not feed.size:
        return np.ones(len(accounts.position))
    return np.where(accounts.position[:, legs] != 0, feed[legs], 1.0).min(axis=1, initial=1.0)
