"""Take-over by the insurance fund."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import MISSING, Exposure, Fills
from sim.waterfall.layer_results import NO_LAYER_RESULT


class FundLayer(Component):
    """The fund takes the whole book over, balances and positions, if it can afford it (LIQ-3).

    It can if its own equity afterwards covers its own initial margin, its resting orders counted as they stand.
    Positions move at the mark and the negative balance with them, which is a take-over at the bankruptcy price:
    the fund has paid the deficit, and bears from then on what unwinding brings. All or nothing: a part of a book has
    no price at which the rest ends at nil.
    """

    kind: Literal["fund"] = "fund"
    max_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="largest deficit of one take-over, as a share of the fund's equity (1)",
    )

    def absorb(self, loss: Shortfall, floor: LayerContext) -> LayerResult:
        """Everything or nothing."""
        if floor.fund_owner in (MISSING, loss.account):
            return NO_LAYER_RESULT
        if loss.deficit.sum() > self.max_share * floor.assessment.equity[floor.fund_owner]:
            return NO_LAYER_RESULT
        after = floor.assess(_merge_accounts(floor.accounts, floor.fund_owner, loss.account))
        if after.equity[0] < after.initial[0]:
            return NO_LAYER_RESULT
        return NO_LAYER_RESULT._replace(
            fills=_take_over_positions(floor, loss.account), assuming_owner=floor.fund_owner
        )


def _merge_accounts(book: Exposure, fund: int, account: int) -> Exposure:
    """The fund's row with the account's cash, pledges and positions in it."""
    row, other = book.take(slice(fund, fund + 1)), book.take(slice(account, account + 1))
    contracts, mark = book.market.contracts, book.market.mark
    paid = (other.position * mark * contracts.multiplier).astype(np.int64)
    return row._replace(
        balance=row.balance + other.balance,
        pledged=row.pledged + other.pledged,
        position=row.position + other.position,
        entry=row.entry + paid,
    )


def _take_over_positions(floor: LayerContext, account: int) -> Fills:
    """Every position of the account, sold to the fund at the mark."""
    position = floor.accounts.position[account]
    legs = np.flatnonzero(position)
    taker, maker, cause = (
        np.full(len(legs), number, dtype=np.int64)
        for number in (account, floor.fund_owner, MISSING)
    )
    return Fills(
        taker,
        maker,
        legs,
        -position[legs],
        floor.accounts.market.mark[legs].astype(np.int64),
        cause,
    )
