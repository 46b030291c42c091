"""Spot that members own at the start, posted in the ledger as a deposit in kind (LED-1)."""

from collections.abc import Sequence

import numpy as np

from sim.attribution import DEPOSIT
from sim.errors import ConfigError
from sim.ledger import Ledger
from sim.protocols import PopulationProtocol
from sim.types import MISSING, SPOT, Fills, Transfers
from sim.venue import Venue


def post_endowments(
    population: PopulationProtocol, first_owner: int, ledger: Ledger, venues: Sequence[Venue]
) -> None:
    """Post the spot of a population's members at the opening marks.

    The rest of the world deposits its value in the account that margins the instrument and sells
    it for that amount. So the member's cash stays as it is, and cash and lots sum to zero.

    Args:
        population: its members, who have their wealth.
        first_owner: owner of the first of them.
        ledger: in place.
        venues: venues of the market, at their opening marks.

    Raises:
        ConfigError: an endowment is negative, or of another instrument than spot.
    """
    mark = np.concatenate([venue.view.mark for venue in venues])
    endowed = population.endow_spot(np.concatenate([venue.view.lot_value() for venue in venues]))
    if not endowed.size:
        return
    contracts = ledger.contracts
    if (endowed < 0).any() or endowed[:, contracts.kind != SPOT].any():
        raise ConfigError([f"{population.name}: members start with lots that are not owned spot"])
    rows, instrument = np.nonzero(endowed)
    lots, owner, outside = endowed[rows, instrument], rows + first_owner, _outside(venues)
    price, pool = mark[instrument].astype(np.int64), ledger.pool_numbers[instrument]
    amount = lots * price * contracts.multiplier[instrument]
    moves = Transfers.from_columns(outside, owner, pool, pool, contracts.settle[instrument], amount)
    ledger.transfer(moves, DEPOSIT)
    sold = np.full_like(owner, outside)
    ids = np.full_like(owner, MISSING)
    ledger.settle_fills(Fills(owner, sold, instrument, lots, price, ids), DEPOSIT)


def _outside(venues: Sequence[Venue]) -> int:
    """Return the owner that stands for the rest of the world."""
    return venues[0].system_accounts.external
