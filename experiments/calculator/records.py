"""Records of a portfolio that margin engines read: market, positions, entries and balances."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from experiments.calculator.portfolio import PortfolioConfig, round_to_lots
from sim.instruments import build_contracts
from sim.pricing.instrument_values import mark_at_model
from sim.pricing.smiles import apply_smiles
from sim.types import I8, SPOT, Contracts, MarketView


class InstrumentColumn(NamedTuple):
    """One column of a portfolio's records."""

    instrument: int  # number in the portfolio
    side: int  # 1 = its long entries, -1 = its short ones, 0 = all


class PortfolioRecords(NamedTuple):
    """A portfolio's records, instruments in some order."""

    market: MarketView
    position: I8  # (K,) lots
    entry: I8  # (K,) minor units paid for the position
    balance: I8  # (C,) minor units, numeraire less what linear positions were bought for


def build_records(
    portfolio: PortfolioConfig, order: Sequence[InstrumentColumn]
) -> PortfolioRecords:
    """The records, columns in this order."""
    chosen = [portfolio.instruments[column.instrument] for column in order]
    coins = [quote.name for quote in portfolio.underlyings]
    contracts = build_contracts([(0, each) for each in chosen], coins, portfolio.assets)
    market = _build_market(portfolio, contracts)
    position, entry, paid = np.zeros((3, len(chosen)), dtype=np.int64)
    for held in portfolio.positions:
        for k, (its, column) in enumerate(zip(chosen, order, strict=True)):
            lots = round_to_lots(held.quantity, its.lot)
            if its.name != held.instrument or column.side * lots < 0:
                continue
            price = float(market.mark[k] if held.entry is None else held.entry / contracts.tick[k])
            value = price * float(contracts.multiplier[k])
            entry[k] = _update_entry(int(position[k]), int(entry[k]), lots, value)
            position[k] += lots
            paid[k] += round(lots * value)
    balance = np.zeros(len(portfolio.assets), dtype=np.int64)
    for number, asset in enumerate(portfolio.assets):
        amount = portfolio.cash if number == 0 else portfolio.collateral.get(asset.name, 0.0)
        balance[number] = round(amount * 10**asset.decimals)
    linear = (contracts.side == 0) & (contracts.kind != SPOT)
    # options and spot are paid for, what is linear settles its gain
    np.subtract.at(balance, contracts.settle[linear], paid[linear])
    return PortfolioRecords(market, position, entry, balance)


def _update_entry(held: int, entry: int, lots: int, value: float) -> int:
    """Value paid for a position after a fill: entries average, a reduction keeps the entry, a flip restarts it."""
    after = held + lots
    if held * lots >= 0:
        return entry + round(lots * value)
    return round(Fraction(entry * after, held)) if after * held >= 0 else round(after * value)


def _build_market(portfolio: PortfolioConfig, contracts: Contracts) -> MarketView:
    quotes, count = portfolio.underlyings, len(contracts.names)
    oracle = np.array([quote.price for quote in quotes])
    flat, none, empty = (
        np.rint(oracle[contracts.underlying] / contracts.tick),
        np.zeros(count),
        np.full(count, np.nan),
    )
    vol = np.array([quote.volatility for quote in quotes])[contracts.underlying]
    numeraire = portfolio.assets[0].decimals
    prices = np.array(
        [asset.price * 10.0 ** (numeraire - asset.decimals) for asset in portfolio.assets]
    )
    sure = np.array([quote.confidence for quote in quotes])
    columns = (
        flat,
        empty,
        empty,
        flat,
        none,
        none,
        none.astype(np.int64),
        oracle,
        sure,
        vol,
        prices,
    )
    view = MarketView(0, contracts, *columns, np.zeros((0, len(quotes))), portfolio.seconds)
    view = apply_smiles(view._replace(rate=np.full(count, portfolio.rate)), portfolio.smiles)
    own = np.array([portfolio.vols.get(name, np.nan) for name in contracts.names])
    view = mark_at_model(view._replace(vol=np.where(np.isnan(own), view.vol, own)))
    given = (
        np.array([portfolio.marks.get(name, np.nan) for name in contracts.names]) / contracts.tick
    )
    return view._replace(mark=np.maximum(np.rint(np.where(np.isnan(given), view.mark, given)), 0.0))
