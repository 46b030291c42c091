"""Prices of dYdX v4's liquidations: limits of orders, and bankruptcy prices."""

from collections.abc import Callable

import numpy as np

from sim.types import F8, I8, Exposure, MarginAssessment


def compute_bankruptcy_quote(
    assess: Callable[[Exposure], MarginAssessment], accounts: Exposure, leg: int, lots: I8
) -> I8:
    """Return the quote amount at which closing part of a position costs the fund nothing.

    It is -DNNV - TNC x |DMMR| / TMMR. DNNV is the change of the position's value, DMMR that of
    maintenance; TNC and TMMR are equity and maintenance of the account. The rest is then left no
    worse. The amount is rounded towards plus infinity, so that a fill at this price never costs the
    fund anything. Closing a whole position gives LIQ-2's bankruptcy price. Source:
    dydxprotocol/v4-chain, x/clob/keeper/liquidations.go, ``GetBankruptcyPriceInQuoteQuantums``
    (2025).

    Args:
        assess: the engine's assessment.
        accounts: the accounts, each with a requirement above zero.
        leg: the column of the instrument that is closed.
        lots: (A,) lots to trade, signed: opposite to the position and no larger.

    Returns:
        (A,) minor units of the numeraire, + to receive, - to pay.
    """
    position = accounts.position.copy()
    position[:, leg] += lots
    closed = accounts._replace(position=position)
    before, after = assess(accounts), assess(closed)
    freed = before.maintenance - after.maintenance
    sold = (accounts.position_value() - closed.position_value())[:, leg]
    parts = zip(sold, before.equity, freed, before.maintenance, strict=True)
    # whole numbers of any size: a product of two amounts does not fit a float
    return np.array(
        [
            round(value) - round(tnc) * round(dmmr) // round(tmmr)
            for value, tnc, dmmr, tmmr in parts
        ],
        dtype=np.int64,
    )


def compute_fillable_prices(
    accounts: Exposure,
    assessment: MarginAssessment,
    weights: F8,
    *,
    adjustment: float = 1.0,
    spread: float = 0.1,
) -> F8:
    """Return the limits of liquidation orders: (PNNV - ABR x spread x PMMR) / PS.

    ABR = clamp(adjustment x (1 - TNC / TMMR), 0, 1); PNNV, PMMR and PS are the position's value,
    maintenance and size. The limit is the mark while maintenance is just met. It moves away from
    the mark as equity falls, by at most spread x the position's maintenance; a long sells below the
    mark, a short buys above. Source: as above, ``GetFillablePrice``; there rational, here
    unrounded. Sub-ticks are rounded in the account's favour when the order is placed.

    Args:
        accounts: the accounts, (A, K).
        assessment: their assessment, (A,).
        weights: (A, K), each leg's share of maintenance (the position's PMMR over TMMR).
        adjustment: speed at which the price is conceded as equity falls (1).
        spread: largest concession (share of the position's maintenance).

    Returns:
        (A, K) ticks, NaN where nothing is held or required.
    """
    tick_lot = accounts.market.tick_value()
    with np.errstate(divide="ignore", invalid="ignore"):
        conceded = np.clip(
            adjustment * (1.0 - assessment.equity / assessment.maintenance), 0.0, 1.0
        )
        distance = (
            conceded[:, None]
            * spread
            * weights
            * assessment.maintenance[:, None]
            / (accounts.position * tick_lot)
        )
    held = (accounts.position != 0) & (assessment.maintenance > 0)[:, None]
    return np.where(held, accounts.market.mark - distance, np.nan)
