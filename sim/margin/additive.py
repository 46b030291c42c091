"""Engines whose initial margin is a sum over instruments.

Admission then tries each spot instrument alone (MAR-1).
"""

from abc import ABC, abstractmethod

import numpy as np

from sim.errors import ConfigError
from sim.protocols import Requirement, Valuation
from sim.types import F8, SPOT, Contracts, Exposure

MAX_SPOTS_ALWAYS_TRIED = 2
"""Number of spot instruments up to which admission tries all combinations of filled orders.

Trying each instrument alone is not cheaper for so few.
"""

MAX_SPOTS = 6
"""Largest number S of spot instruments in a pool whose engine is not additive.

Admission then tries 2^S portfolios.
"""


class AdditiveRequirement(ABC):
    """Requirement whose initial margin is a sum over legs.

    Each term depends on the position in its own leg alone.
    """

    @property
    def is_additive(self) -> bool:
        """True if this requirement is additive.

        A wrapper is additive if its inner requirement is.
        """
        return True

    @abstractmethod
    def initial_by_leg(self, accounts: Exposure) -> F8:
        """Return the initial margin of each leg, (A, K), minor units of the numeraire.

        Called only if the requirement is additive.
        """


def is_additive(requirement: Requirement) -> bool:
    """Return True if a requirement's initial margin is a sum over instruments."""
    return isinstance(requirement, AdditiveRequirement) and requirement.is_additive


def compute_initial_by_leg(requirement: Requirement, accounts: Exposure) -> F8:
    """Return the initial margin of each leg under an additive requirement.

    Returns:
        (A, K) minor units of the numeraire.

    Raises:
        TypeError: the requirement is not additive.
    """
    if not isinstance(requirement, AdditiveRequirement):
        raise TypeError(f"{type(requirement).__name__} does not add up over instruments")
    return requirement.initial_by_leg(accounts)


def count_spot_instruments(contracts: Contracts) -> tuple[int, bool]:
    """Return the number of spot instruments, and whether all of them settle in the numeraire.

    A spot instrument that settles in another asset changes the balance of that asset. It thereby
    changes the haircut on the whole balance.
    """
    spot = contracts.kind == SPOT
    return int(spot.sum()), not contracts.settle[spot].any()


def is_admission_separable(
    requirement: Requirement, valuation: Valuation, contracts: Contracts
) -> bool:
    """Return True if admission may try each spot instrument of a pool alone (MAR-1).

    Args:
        requirement: the pool's requirement.
        valuation: the venue's valuation.
        contracts: the pool's instruments.

    Raises:
        ConfigError: more spot instruments share the pool than can be tried in all combinations.
    """
    spots, settles_in_numeraire = count_spot_instruments(contracts)
    conditions = {
        "the requirement": is_additive(requirement),
        "the valuation": valuation.is_additive(contracts),
        "spot that settles in another asset than the numeraire": settles_in_numeraire,
    }
    is_separable = spots > MAX_SPOTS_ALWAYS_TRIED and all(conditions.values())
    if spots <= MAX_SPOTS or is_separable:
        return is_separable
    obstacle = next(name for name, is_met in conditions.items() if not is_met)
    raise ConfigError(
        [
            f"netting: {spots} spot instruments share an account and {obstacle} does not add "
            f"up over instruments, must be at most {MAX_SPOTS}, as admission tries every way "
            "in which their orders may fill; give each an account (netting: {kind: isolated}), "
            "list fewer, or take what adds up (kinds tiered and cash)"
        ]
    )


def choose_costlier_sides(
    accounts: Exposure, buys: tuple[Exposure, F8], sells: tuple[Exposure, F8]
) -> Exposure:
    """Return the portfolios in which each spot instrument has moved to the side with more margin.

    Args:
        accounts: the accounts; only the kinds of their instruments are used.
        buys: the portfolios after all buys of spot, and the margin of each leg in them, (A, K).
        sells: the same after all sells.
    """
    (bought, bought_margin), (sold, sold_margin) = buys, sells
    spot = accounts.market.contracts.kind == SPOT
    is_sale_costlier = spot & (sold_margin > bought_margin)
    position = np.where(is_sale_costlier, sold.position, bought.position)
    return accounts._replace(position=np.asfortranarray(position))
