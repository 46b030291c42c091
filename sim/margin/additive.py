"""Engines whose initial margin is a sum over instruments: admission judges each spot by itself (MAR-1)."""

from abc import ABC, abstractmethod

import numpy as np

from sim.protocols import Requirement
from sim.types import F8, SPOT, Contracts, Exposure

MAX_SPOTS_ALWAYS_TRIED = 2
"""Spot instruments of which all combinations are tried in any case: there are no more of them than sides."""

MAX_SPOTS = 6
"""Spot instruments that may share a pool whose engine does not add up: admission tries 2^S books."""


class AdditiveRequirement(ABC):
    """A requirement whose initial margin is a sum over instruments, each depending on its own position alone."""

    @property
    def is_additive(self) -> bool:
        """Whether this one does; wrappers add up if what they wrap does."""
        return True

    @abstractmethod
    def initial_by_leg(self, accounts: Exposure) -> F8:
        """Return each leg's initial margin, (A, K), minor units of the numeraire; called only where it adds up."""


def is_additive(requirement: Requirement) -> bool:
    """Return whether a requirement's initial margin is a sum over instruments."""
    return isinstance(requirement, AdditiveRequirement) and requirement.is_additive


def compute_initial_by_leg(requirement: Requirement, accounts: Exposure) -> F8:
    """Return each leg's initial margin under a requirement that adds up, (A, K), minor units of the numeraire.

    Raises:
        TypeError: the requirement does not add up.
    """
    if not isinstance(requirement, AdditiveRequirement):
        raise TypeError(f"{type(requirement).__name__} does not add up over instruments")
    return requirement.initial_by_leg(accounts)


def count_spot_instruments(contracts: Contracts) -> tuple[int, bool]:
    """Return how many spot instruments there are, and whether all settle in the numeraire.

    Spot that settles in another asset changes the balance of that asset, and with it the haircut on all of it.
    """
    spot = contracts.kind == SPOT
    return int(spot.sum()), not contracts.settle[spot].any()


def choose_costlier_sides(
    accounts: Exposure, buys: tuple[Exposure, F8], sells: tuple[Exposure, F8]
) -> Exposure:
    """Return the book in which each spot instrument has moved to the side that asks more.

    Args:
        accounts: the accounts, for the kinds of their instruments.
        buys: the book after all buys of spot, and what each leg asks in it, (A, K).
        sells: the same after all sells.
    """
    (bought, bought_asks), (sold, sold_asks) = buys, sells
    spot = accounts.market.contracts.kind == SPOT
    position = np.where(spot & (sold_asks > bought_asks), sold.position, bought.position)
    return accounts._replace(position=np.asfortranarray(position))
