"""Legs of a pool by underlying, expiry and strike, for Derive's portfolio margin."""

from typing import NamedTuple

import numpy as np

from sim.types import FUTURE, I8, OPTION, PERPETUAL, Contracts


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
