"""Records through which bankrupt accounts, loss layers and the waterfall meet (LOSS-1 to LOSS-3)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sim.types import B1, I8, MISSING, Exposure, Fills, MarginAssessment


class Shortfall(NamedTuple):
    """One bankrupt account's book after the last round, leg by leg (LOSS-2)."""

    account: int  # row of the pool = owner
    instrument: I8  # (L,) columns of the pool
    quantity: I8  # (L,) lots held, signed
    deficit: I8  # (L,) the leg's share of the shortfall, minor units of the numeraire; sums to it


class LayerContext(NamedTuple):
    """What a loss layer sees: one pool of one venue after the last round, at its mark."""

    accounts: Exposure
    assessment: MarginAssessment
    is_eligible: B1  # (A,) who may be asked: not the bankrupt account, no system row
    fund_owner: int  # owner of the insurance fund, or NOBODY; its row counts its free wallet
    assess: Callable[[Exposure], MarginAssessment]
    changed_accounts: Sequence[I8] | None = (
        None  # accounts that changed since the first's turn, by batch; None = not known
    )


class LayerResult(NamedTuple):
    """What a loss layer did: positions and cash, balanced."""

    fills: Fills  # instrument = columns of the pool; taker = the bankrupt account; price = the mark
    payers: I8  # (n,) owners who pay cash into the bankrupt account
    payments: I8  # (n,) minor units of the numeraire, > 0; the deficit absorbed is their sum
    assuming_owner: int = MISSING  # this owner takes over every balance too (it is the maker of all fills, and nobody pays)
