"""One account and its market, as a file states them: the records that margin engines read."""

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component, choice
from sim.errors import did_you_mean, not_one_of, printable
from sim.grains import remedy
from sim.instruments import CASH_LIMIT, Asset, Instrument, contracts_of, grains, inverse_fault
from sim.margin.engine import EngineConfig
from sim.pricing import YEAR, modelled
from sim.smiles import SMILES, implied
from sim.types import I8, SPOT, Contracts, MarketView


class Quote(Component):
    """What is known of one underlying."""

    name: str = Field(min_length=1, description="unique name")
    price: float = Field(gt=0, description="what the oracle says (quote currency)")
    volatility: float = Field(default=0.5, ge=0, le=100, description="annualised volatility (rate)")
    confidence: float = Field(default=1.0, ge=0, le=1, description="confidence of the oracle (1 = sure)")


class Position(Component):
    """So much of one instrument."""

    instrument: str = Field(description="name of the instrument")
    quantity: float = Field(description="units of the underlying, + long (units)")
    entry: float | None = Field(default=None, gt=0, description="price paid; not given = the mark (quote currency)")


class PortfolioConfig(Component):
    """An account, what it holds, and the market it is judged in."""

    description: str = Field(default="", description="one line for `deleverage configs`")
    seconds: float = Field(default=0.0, ge=0, description="now, on the clock that expiries are on (s)")
    assets: tuple[Asset, ...] = Field(default=(Asset(name="USD"),), min_length=1, description="numeraire first")
    cash: float = Field(default=0.0, description="of the numeraire, premiums and spot paid for (units)")
    collateral: dict[str, float] = Field(default={}, description="of other assets (name: units)")
    underlyings: tuple[Quote, ...] = Field(min_length=1, description="prices")
    instruments: tuple[Instrument, ...] = Field(min_length=1, description="what is held, and its terms")
    positions: tuple[Position, ...] = Field(default=(), description="what the account holds of them")
    mode: Literal["hedge", "one_way"] | None = Field(
        default=None,
        description="of several entries: long and short stand, or fills in order; not given = the venue's (name)",
    )
    marks: dict[str, float] = Field(
        default={}, description="marks; not given = the oracle's price, an option's value (name: quote currency)"
    )
    vols: dict[str, float] = Field(default={}, description="implied volatility of options (name: annualised)")
    smiles: tuple[choice(SMILES), ...] = Field(default=(), description="implied volatility by expiry")  # type: ignore[valid-type]
    rate: float = Field(default=0.0, ge=-0.5, le=5, description="interest for discounting, per year (rate)")
    own: dict[str, EngineConfig] = Field(default={}, description="engines beside the packaged ones (name: engine)")
    engines: tuple[str, ...] = Field(
        default=("hyperliquid", "paradex"), min_length=1, description="judges (names of its own, of presets, or files)"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        problems = [*self._strangers(), *self._options(), *self._grains()]
        if problems:
            raise ValueError("\n".join(map(printable, problems)))
        return self

    def _strangers(self) -> list[str]:
        """Names that nothing has."""
        listed, known = [i.name for i in self.instruments], [u.name for u in self.underlyings]
        coins = [asset.name for asset in self.assets[1:]]
        asked = [(f"instruments.{n}.underlying", i.underlying, known) for n, i in enumerate(self.instruments)]
        asked += [
            (f"instruments.{n}.settle", i.settle, [asset.name for asset in self.assets])
            for n, i in enumerate(self.instruments)
            if i.settle
        ]
        asked += [(f"positions.{n}.instrument", p.instrument, listed) for n, p in enumerate(self.positions)]
        asked += [(f"{where}.{name}", name, listed) for where in ("marks", "vols") for name in getattr(self, where)]
        asked += [(f"smiles.{n}.underlying", smile.underlying, known) for n, smile in enumerate(self.smiles)]
        told = [f"{where}: {not_one_of(name, names)}" for where, name, names in asked if name not in names]
        first = self.assets[0]
        if first.price != 1:
            told.append(f"assets.0.price: {first.price:g}, the numeraire {first.name!r} is worth 1: remove it")
        told += [self._undeclared(name, coins) for name in self.collateral if name not in coins]
        told += self._unpriced()
        for where, names in (("assets", [first.name, *coins]), ("instruments", listed), ("underlyings", known)):
            told += [
                f"{where}: {name!r} stands there twice, rename one" for name in set(names) if names.count(name) > 1
            ]
        told += [
            f"instruments.{n}.{fault}"
            for n, each in enumerate(self.instruments)
            if not each.settle or each.settle in (asset.name for asset in self.assets)
            if (fault := inverse_fault(each, known, self.assets))
        ]
        return told

    def _undeclared(self, name: str, coins: list[str]) -> str:
        """A collateral asset that is no asset, or the numeraire."""
        if name == self.assets[0].name:
            return f"collateral.{name}: {name!r} is the numeraire, put the amount under cash"
        near = did_you_mean(name, coins)
        price = "price: its price"
        declare = f"declare it: add {{name: {name}, {price}}} under assets, after {self.assets[0].name!r}"
        return f"collateral.{name}: {name!r} is no asset{near}, {declare}"

    def _unpriced(self) -> list[str]:
        """Assets without a price beside an underlying of their name: one of each would be worth 1."""
        quoted = {coin_of(quote.name): quote for quote in reversed(self.underlyings)}
        found = []
        for n, asset in enumerate(self.assets[1:], start=1):
            quote = quoted.get(asset.name.casefold())
            if quote is not None and quote.price != 1 and "price" not in asset.model_fields_set:
                told = f"assets.{n}.price: not given, so that one {asset.name!r} would be worth 1"
                price = f"add price: {quote.price:.15g}"
                found.append(f"{told}, but the underlying {quote.name!r} is at {quote.price:.15g}: {price}")
        return found

    def _options(self) -> list[str]:
        """Expired contracts, negative volatilities, options that nothing values."""
        told = [f"vols.{name}: {vol:g}, must be above 0, correct it" for name, vol in self.vols.items() if vol <= 0]
        told += [
            f"marks.{name}: {mark:g}, must be above 0, correct it" for name, mark in self.marks.items() if mark <= 0
        ]
        smiles = {(smile.underlying, smile.expiry) for smile in self.smiles}
        for n, each in enumerate(self.instruments):
            if each.expiry is not None and each.expiry <= self.seconds:
                when = f"{each.expiry:g}, {each.name!r} has expired at {self.seconds:g} s (seconds)"
                remedy = f"lower seconds, or remove {each.name!r} and what names it"
                told.append(f"instruments.{n}.expiry: {when}, {remedy}")
            if each.expiry is not None and each.expiry > self.seconds + 100 * YEAR:
                told.append(f"instruments.{n}.expiry: {each.expiry:g}, more than a hundred years away, give seconds")
            if each.kind == "option" and each.name not in self.vols and (each.underlying, each.expiry) not in smiles:
                told.append(
                    f"instruments.{n}: no implied volatility of {each.name!r}, give vols or a smile of its expiry"
                )
        return told

    def _grains(self) -> list[str]:
        """Quantities finer than a lot, marks between ticks, amounts that are not whole or too large to be exact."""
        decimals = {asset.name: asset.decimals for asset in self.assets} | {"": self.assets[0].decimals}
        prices, told = {quote.name: quote.price for quote in self.underlyings}, []
        for n, each in enumerate(self.instruments):
            if each.settle not in decimals or each.underlying not in prices:
                continue
            if inverse_fault(each, list(prices), self.assets):
                continue
            multiplier, where = Fraction(each.multiplier(decimals[each.settle])), f"instruments.{n}"
            if multiplier.denominator > 1:
                listed = {f"instruments.{k}": one for k, one in enumerate(self.instruments)}
                told.append(
                    f"{where}.lot: tick x lot is {float(multiplier):g} minor units, no whole number: "
                    f"{remedy(where, [listed], self.assets)}"
                )
            largest = each.max_lots * each.levels * multiplier
            if largest >= CASH_LIMIT:
                most = int((CASH_LIMIT - 1) // (each.levels * multiplier))
                worth = f"{each.max_lots:.3g} lots at {each.max_price:g}, is worth {float(largest):.3g} minor units"
                lower = f"lower max_lots to {most}, or max_price" if most else "lower max_price"
                told.append(f"{where}.max_lots: the largest position, {worth}; it must stay below 2^53: {lower}")
            ticks, price = round(exact(prices[each.underlying], each.tick)), f"{prices[each.underlying]:g}"
            if ticks < 1:
                low = f"the price of {each.underlying!r}, {price}, is less than one tick"
                told.append(f"{where}.tick: {low} of {each.name!r}, {each.tick:g}: lower the tick")
            elif ticks > each.levels:
                told.append(f"{where}.max_price: {each.max_price:g}, but {each.underlying!r} is at {price}: raise it")
        return told + self._amounts() + self._sizes()

    def _amounts(self) -> list[str]:
        """Cash and collateral that minor units cannot hold."""
        told, unit = [], self.assets[0].decimals
        for n, asset in enumerate(self.assets):
            amount = self.collateral.get(asset.name, 0.0) if n else self.cash
            room = CASH_LIMIT / max(10.0**asset.decimals, asset.price * 10.0**unit)
            if abs(amount) >= room:
                where = f"collateral.{asset.name}" if n else "cash"
                told.append(f"{where}: {amount:g}, too large to be exact in minor units: lower it to below {room:.6g}")
        return told

    def _sizes(self) -> list[str]:
        """Positions and marks that the instrument does not come in."""
        told, by_name, held = [], {each.name: each for each in self.instruments}, Counter[tuple[str, bool]]()
        for n, position in enumerate(self.positions):
            if position.instrument not in by_name:
                continue
            its, where = by_name[position.instrument], f"positions.{n}"
            lots = exact(position.quantity, its.lot)
            if not is_whole(lots):
                rule = f"{its.name!r} comes in lots of {its.lot:g}"
                told.append(f"{where}.quantity: {position.quantity!r}, {rule}, round it")
            side = its.name, lots > 0
            held[side] += abs(round(lots))
            place = f"instruments.{[each.name for each in self.instruments].index(its.name)}"
            if held[side] > its.max_lots:
                before = "with those before " if held[side] > abs(round(lots)) else ""
                most = f"{before}more than max_lots of {its.name!r} allows, {float(exact(its.lot, 1) * its.max_lots):g}"
                raised = f"lower it, or raise {place}.max_lots"
                told.append(f"{where}.quantity: {position.quantity:g}, {most}: {raised}")
            if position.entry is not None and position.entry > its.max_price:
                above = f"above max_price of {its.name!r}, {its.max_price:g}: lower it, or raise {place}.max_price"
                told.append(f"{where}.entry: {position.entry:g}, {above}")
        for name, mark in self.marks.items():
            if name not in by_name:
                continue
            tick = by_name[name].tick
            if not is_whole(exact(mark, tick)) or mark > by_name[name].max_price:
                told.append(f"marks.{name}: {mark!r}, must be a multiple of {tick:g} up to max_price, round it")
        return told


def coin_of(underlying: str) -> str:
    """The coin that an underlying is the price of, in small letters: ``btc`` of BTC, BTC-USD and BTC/USDT."""
    return re.split(r"[-/:]", underlying)[0].casefold()


NOISE = Fraction(1, 10**12)
"""Relative noise of a sum or product of floats: 0.1 + 0.2 is 30 lots of 0.01."""


def whole_lots(quantity: float, lot: float) -> int:
    """How many lots a quantity is, to the nearest."""
    return round(exact(quantity, lot))


def is_whole(count: Fraction) -> bool:
    """Whether a count is a whole number but for the noise of floats."""
    return abs(count - round(count)) <= NOISE * max(abs(count), Fraction(1))


def exact(amount: float, grain: float) -> Fraction:
    """How many grains an amount is, both as the decimal numbers that they stand for."""
    return grains(amount, grain)


class Column(NamedTuple):
    """One column of a portfolio's records."""

    instrument: int  # number in the portfolio
    side: int  # 1 = its long entries, -1 = its short ones, 0 = all


class Listing(NamedTuple):
    """A portfolio's records, instruments in some order."""

    market: MarketView
    position: I8  # (K,) lots
    entry: I8  # (K,) minor units paid for the position
    balance: I8  # (C,) minor units, numeraire less what linear positions were bought for


def listing(portfolio: PortfolioConfig, order: Sequence[Column]) -> Listing:
    """The records, columns in this order."""
    chosen = [portfolio.instruments[column.instrument] for column in order]
    coins = [quote.name for quote in portfolio.underlyings]
    contracts = contracts_of([(0, each) for each in chosen], coins, portfolio.assets)
    market = _market(portfolio, contracts)
    position, entry, paid = np.zeros((3, len(chosen)), dtype=np.int64)
    for held in portfolio.positions:
        for k, (its, column) in enumerate(zip(chosen, order, strict=True)):
            lots = whole_lots(held.quantity, its.lot)
            if its.name != held.instrument or column.side * lots < 0:
                continue
            price = float(market.mark[k] if held.entry is None else held.entry / contracts.tick[k])
            value = price * float(contracts.multiplier[k])
            entry[k] = _entry_after(int(position[k]), int(entry[k]), lots, value)
            position[k] += lots
            paid[k] += round(lots * value)
    balance = np.zeros(len(portfolio.assets), dtype=np.int64)
    for number, asset in enumerate(portfolio.assets):
        amount = portfolio.cash if number == 0 else portfolio.collateral.get(asset.name, 0.0)
        balance[number] = round(amount * 10**asset.decimals)
    linear = (contracts.side == 0) & (contracts.kind != SPOT)
    # options and spot are paid for, what is linear settles its gain
    np.subtract.at(balance, contracts.settle[linear], paid[linear])
    return Listing(market, position, entry, balance)


def _entry_after(held: int, entry: int, lots: int, value: float) -> int:
    """Value paid for a position after a fill: entries average, a reduction keeps the entry, a flip restarts it."""
    after = held + lots
    if held * lots >= 0:
        return entry + round(lots * value)
    return round(Fraction(entry * after, held)) if after * held >= 0 else round(after * value)


def _market(portfolio: PortfolioConfig, contracts: Contracts) -> MarketView:
    quotes, count = portfolio.underlyings, len(contracts.names)
    oracle = np.array([quote.price for quote in quotes])
    flat, none, empty = np.rint(oracle[contracts.underlying] / contracts.tick), np.zeros(count), np.full(count, np.nan)
    vol = np.array([quote.volatility for quote in quotes])[contracts.underlying]
    numeraire = portfolio.assets[0].decimals
    prices = np.array([asset.price * 10.0 ** (numeraire - asset.decimals) for asset in portfolio.assets])
    sure = np.array([quote.confidence for quote in quotes])
    columns = (flat, empty, empty, flat, none, none, none.astype(np.int64), oracle, sure, vol, prices)
    view = MarketView(0, contracts, *columns, np.zeros((0, len(quotes))), portfolio.seconds)
    view = implied(view._replace(rate=np.full(count, portfolio.rate)), portfolio.smiles)
    own = np.array([portfolio.vols.get(name, np.nan) for name in contracts.names])
    view = modelled(view._replace(vol=np.where(np.isnan(own), view.vol, own)))
    given = np.array([portfolio.marks.get(name, np.nan) for name in contracts.names]) / contracts.tick
    return view._replace(mark=np.maximum(np.rint(np.where(np.isnan(given), view.mark, given)), 0.0))
