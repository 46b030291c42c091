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
    side: int  # 1 = long entries, -1 = short entries, 0 = all


class PortfolioRecords(NamedTuple):
    """Records of a portfolio, with instruments in a given order."""

    market: MarketView
    position: I8  # (K,) lots
    entry: I8  # (K,) minor units paid for the position
    balance: I8  # (C,) minor units; the numeraire is net of the cost of linear positions


def build_records(
    portfolio: PortfolioConfig, order: Sequence[InstrumentColumn]
) -> PortfolioRecords:
    """Return the records of a portfolio, with columns in the given order."""
    chosen = [portfolio.instruments[column.instrument] for column in order]
    coins = [quote.name for quote in portfolio.underlyings]
    contracts = build_contracts([(0, each) for each in chosen], coins, portfolio.assets)
    market = _build_market(portfolio, contracts)
    position, entry, paid = np.zeros((3, len(chosen)), dtype=np.int64)
    for k, column in enumerate(order):
        position[k], entry[k], paid[k] = _sum_fills(portfolio, market, k, column)
    balance = _convert_balances(portfolio)
    # options and spot are paid in full, linear instruments settle only their gain
    linear = (contracts.side == 0) & (contracts.kind != SPOT)
    np.subtract.at(balance, contracts.settle[linear], paid[linear])
    return PortfolioRecords(market, position, entry, balance)


def _sum_fills(
    portfolio: PortfolioConfig, market: MarketView, k: int, column: InstrumentColumn
) -> tuple[int, int, int]:
    """Return position (lots), entry value and total paid (minor units) of one column."""
    instrument, contracts = portfolio.instruments[column.instrument], market.contracts
    position, entry, paid = 0, 0, 0
    for fill in portfolio.positions:
        lots = round_to_lots(fill.quantity, instrument.lot)
        if instrument.name != fill.instrument or column.side * lots < 0:
            continue
        price = market.mark[k] if fill.entry is None else fill.entry / contracts.tick[k]
        value = float(price) * float(contracts.multiplier[k])
        entry = _update_entry(position, entry, lots, value)
        position += lots
        paid += round(lots * value)
    return position, entry, paid


def _convert_balances(portfolio: PortfolioConfig) -> I8:
    """Return cash and collateral in minor units of each asset, (C,)."""
    balance = np.zeros(len(portfolio.assets), dtype=np.int64)
    for number, asset in enumerate(portfolio.assets):
        amount = portfolio.cash if number == 0 else portfolio.collateral.get(asset.name, 0.0)
        balance[number] = round(amount * 10**asset.decimals)
    return balance


def _update_entry(held: int, entry: int, lots: int, value: float) -> int:
    """Return the value paid for a position after a fill.

    Entries of one side are averaged, a reduction keeps the entry price, and a flip restarts it.
    """
    after = held + lots
    if held * lots >= 0:
        return entry + round(lots * value)
    return round(Fraction(entry * after, held)) if after * held >= 0 else round(after * value)


def _build_market(portfolio: PortfolioConfig, contracts: Contracts) -> MarketView:
    """Return the market of a portfolio, with marks at the oracle, the model or as given."""
    view = _build_oracle_view(portfolio, contracts)
    rate = np.full(len(contracts.names), portfolio.rate)
    view = apply_smiles(view._replace(rate=rate), portfolio.smiles)
    own = np.array([portfolio.volatilities.get(name, np.nan) for name in contracts.names])
    view = mark_at_model(view._replace(vol=np.where(np.isnan(own), view.vol, own)))
    given = np.array([portfolio.marks.get(name, np.nan) for name in contracts.names])
    given = given / contracts.tick
    mark = np.rint(np.where(np.isnan(given), view.mark, given))
    return view._replace(mark=np.maximum(mark, 0.0))


def _build_oracle_view(portfolio: PortfolioConfig, contracts: Contracts) -> MarketView:
    """Return a market whose marks are at the oracle, without quotes, trades or past returns."""
    quotes, count = portfolio.underlyings, len(contracts.names)
    oracle = np.array([quote.price for quote in quotes])
    ticks = np.rint(oracle[contracts.underlying] / contracts.tick)
    zeros, missing = np.zeros(count), np.full(count, np.nan)
    decimals = portfolio.assets[0].decimals
    return MarketView(
        tick=0,
        contracts=contracts,
        mark=ticks,
        bid=missing,
        ask=missing,
        last=ticks,
        depth=zeros,
        funding=zeros,
        open_interest=zeros.astype(np.int64),
        oracle=oracle,
        confidence=np.array([quote.confidence for quote in quotes]),
        vol=np.array([quote.volatility for quote in quotes])[contracts.underlying],
        price=np.array(
            [asset.price * 10.0 ** (decimals - asset.decimals) for asset in portfolio.assets]
        ),
        returns=np.zeros((0, len(quotes))),
        seconds=portfolio.seconds,
    )
