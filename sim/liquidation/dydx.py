"""Prices of dYdX v4's liquidations: what an order may take, and where the account is used up."""

from collections.abc import Callable

import numpy as np

from sim.types import F8, I8, Exposure, MarginAssessment


def compute_bankruptcy_quote(
    assess: Callable[[Exposure], MarginAssessment], book: Exposure, leg: int, lots: I8
) -> I8:
    """What closing part of a position must bring for the rest to be left no worse: -DNNV - TNC x |DMMR| / TMMR.

    DNNV is the change of the position's value, DMMR of maintenance, TNC and TMMR equity and maintenance of the account.
    Rounded towards plus infinity, so that a fill at this price never costs the fund anything. Closing a whole position
    gives LIQ-2's bankruptcy price. Source: dydxprotocol/v4-chain, x/clob/keeper/liquidations.go,
    ``GetBankruptcyPriceInQuoteQuantums`` (2025).

    Args:
        assess: the engine's verdict.
        book: the accounts, each with a requirement above nil.
        leg: the column of the instrument that is closed.
        lots: (A,) to trade, signed: opposite to the position and no larger.

    Returns:
        (A,) minor units of the numeraire, + to receive, - to pay.
    """
    position = book.position.copy()
    position[:, leg] += lots
    before, after = assess(book), assess(book._replace(position=position))
    freed = before.maintenance - after.maintenance
    lost = (book.position_value() - book._replace(position=position).position_value())[:, leg]
    parts = zip(lost, before.equity, freed, before.maintenance, strict=True)
    # whole numbers of any size: a product of two amounts does not fit a float
    return np.array(
        [round(gone) - round(tnc) * round(dmmr) // round(tmmr) for gone, tnc, dmmr, tmmr in parts],
        dtype=np.int64,
    )


def compute_fillable_prices(
    book: Exposure,
    risk: MarginAssessment,
    weights: F8,
    *,
    adjustment: float = 1.0,
    spread: float = 0.1,
) -> F8:
    """The limits of liquidation orders: (PNNV - ABR x spread x PMMR) / PS.

    ABR = clamp(adjustment x (1 - TNC / TMMR), 0, 1); PNNV, PMMR and PS are the position's value, maintenance and size.
    At the mark while maintenance is just met, further from it as equity goes, and at most spread x the position's
    maintenance away; a long sells below the mark, a short buys above. Source: as above, ``GetFillablePrice``; there
    rational, here unrounded. Sub-ticks are rounded in the account's favour when the order is placed.

    Args:
        book: the accounts, (A, K).
        risk: their verdicts, (A,).
        weights: (A, K), each leg's share of maintenance (the position's PMMR over TMMR).
        adjustment: how fast the price is conceded as equity goes (1).
        spread: largest concession (share of the position's maintenance).

    Returns:
        (A, K) ticks, NaN where nothing is held or required.
    """
    tick_lot = book.market.tick_value()
    with np.errstate(divide="ignore", invalid="ignore"):
        conceded = np.clip(adjustment * (1.0 - risk.equity / risk.maintenance), 0.0, 1.0)
        distance = (
            conceded[:, None]
            * spread
            * weights
            * risk.maintenance[:, None]
            / (book.position * tick_lot)
        )
    held = (book.position != 0) & (risk.maintenance > 0)[:, None]
    return np.where(held, book.market.mark - distance, np.nan)
