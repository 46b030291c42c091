"""Records that bankrupt accounts, loss layers and the waterfall exchange (LOSS-1 to LOSS-3)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sim.types import B1, I8, MISSING, Exposure, Fills, MarginAssessment


class Shortfall(NamedTuple):
    """Portfolio of one bankrupt account after the last round, leg by leg (LOSS-2)."""

    account: int  # row of the pool = owner
    instrument: I8  # (L,) columns of the pool
    quantity: I8  # (L,) lots held, signed
    deficit: I8  # (L,) each leg's share of the shortfall, minor units of the numeraire


class LayerContext(NamedTuple):
    """View of a loss layer: one pool of one venue after the last round, at its mark."""

    accounts: Exposure
    assessment: MarginAssessment
    is_eligible: B1  # (A,) accounts that can pay: not the bankrupt one, no system accounts
    fund_owner: int  # insurance fund, or MISSING; its row includes its free wallet
    assess: Callable[[Exposure], MarginAssessment]
    # accounts changed since the first layer's turn, in batches; None = unknown
    changed_accounts: Sequence[I8] | None = None


class LayerResult(NamedTuple):
    """Positions and cash that a loss layer moved, balanced."""

    fills: Fills  # instrument = columns of the pool; taker = the bankrupt account; price = the mark
    payers: I8  # (n,) owners that pay cash into the bankrupt account
    payments: I8  # (n,) minor units of the numeraire, > 0; the deficit absorbed is their sum
    # owner that takes over every balance, as the maker of all fills without payments, or MISSING
    assuming_owner: int = MISSING
