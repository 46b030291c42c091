"""Take-over of a bankrupt account by the insurance fund."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import B1, I8, MISSING, Exposure, Fills
from sim.waterfall.layer_results import NO_LAYER_RESULT


class FundLayer(Component):
    """Take-over of all balances and positions by the insurance fund, if it can afford them (LIQ-3).

    It can if its own equity after the take-over covers its own initial margin, its resting orders
    unchanged. Positions move at the mark and the negative balance with them, which equals a
    take-over at the bankruptcy price. The fund has then paid the deficit, and bears the result of
    unwinding. A part of the account is never taken, because a part has no price at which the rest
    ends at zero.
    """

    kind: Literal["fund"] = "fund"
    max_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="largest deficit of one take-over, as a share of the fund's equity (1)",
    )

    def absorb(self, loss: Shortfall, context: LayerContext) -> LayerResult:
        """Take over the whole account, or nothing."""
        if context.fund_owner in (MISSING, loss.account):
            return NO_LAYER_RESULT
        if loss.deficit.sum() > self.max_share * context.assessment.equity[context.fund_owner]:
            return NO_LAYER_RESULT
        if not can_margin_accounts(context, np.array([loss.account]))[0]:
            return NO_LAYER_RESULT
        return NO_LAYER_RESULT._replace(
            fills=_take_over_positions(context, loss.account), assuming_owner=context.fund_owner
        )


def can_margin_accounts(context: LayerContext, rows: I8) -> B1:
    """Return whether the fund could margin each of some accounts if it took over this one alone."""
    after = context.assess(_merge_accounts(context.accounts, context.fund_owner, rows))
    can_margin: B1 = after.equity >= after.initial
    return can_margin


def _merge_accounts(accounts: Exposure, fund: int, rows: I8) -> Exposure:
    """Return the fund's row with cash, pledges and positions of each account added, (n,)."""
    row, other = accounts.take(np.full(rows.size, fund)), accounts.take(rows)
    contracts, mark = accounts.market.contracts, accounts.market.mark
    paid = (other.position * mark * contracts.multiplier).astype(np.int64)
    return row._replace(
        balance=row.balance + other.balance,
        pledged=row.pledged + other.pledged,
        position=row.position + other.position,
        entry=row.entry + paid,
    )


def _take_over_positions(context: LayerContext, account: int) -> Fills:
    """Return the sales of every position of the account to the fund, at the mark."""
    position = context.accounts.position[account]
    legs = np.flatnonzero(position)
    taker, maker, cause = (
        np.full(len(legs), number, dtype=np.int64)
        for number in (account, context.fund_owner, MISSING)
    )
    price = context.accounts.market.mark[legs].astype(np.int64)
    return Fills(taker, maker, legs, -position[legs], price, cause)
