"""One account and its market, as a file states them: the records that margin engines read."""

import re
from collections import Counter
from fractions import Fraction
from typing import Literal, Self

from pydantic import Field, model_validator

from sim.component import Component, build_union
from sim.errors import describe_unknown, escape_unprintable, suggest_name
from sim.instruments import (
    CASH_LIMIT,
    Asset,
    Instrument,
    divide_into_steps,
    find_inverse_fault,
)
from sim.margin.engine import EngineConfig
from sim.numerics.whole_units import describe_remedy
from sim.pricing.instrument_values import YEAR_SECONDS
from sim.pricing.smiles import SMILES


class UnderlyingQuote(Component):
    """What is known of one underlying."""

    name: str = Field(min_length=1, description="unique name")
    price: float = Field(gt=0, description="what the oracle says (quote currency)")
    volatility: float = Field(default=0.5, ge=0, le=100, description="annualised volatility (rate)")
    confidence: float = Field(
        default=1.0, ge=0, le=1, description="confidence of the oracle (1 = sure)"
    )


class Position(Component):
    """So much of one instrument."""

    instrument: str = Field(description="name of the instrument")
    quantity: float = Field(description="units of the underlying, + long (units)")
    entry: float | None = Field(
        default=None, gt=0, description="price paid; not given = the mark (quote currency)"
    )


class PortfolioConfig(Component):
    """An account, what it holds, and the market it is judged in."""

    description: str = Field(default="", description="one line for `deleverage configs`")
    seconds: float = Field(
        default=0.0, ge=0, description="now, on the clock that expiries are on (s)"
    )
    assets: tuple[Asset, ...] = Field(
        default=(Asset(name="USD"),), min_length=1, description="numeraire first"
    )
    cash: float = Field(
        default=0.0, description="of the numeraire, premiums and spot paid for (units)"
    )
    collateral: dict[str, float] = Field(default={}, description="of other assets (name: units)")
    underlyings: tuple[UnderlyingQuote, ...] = Field(min_length=1, description="prices")
    instruments: tuple[Instrument, ...] = Field(
        min_length=1, description="what is held, and its terms"
    )
    positions: tuple[Position, ...] = Field(
        default=(), description="what the account holds of them"
    )
    mode: Literal["hedge", "one_way"] | None = Field(
        default=None,
        description="of several entries: long and short stand, or fills in order; not given = the venue's (name)",
    )
    marks: dict[str, float] = Field(
        default={},
        description="marks; not given = the oracle's price, an option's value (name: quote currency)",
    )
    vols: dict[str, float] = Field(
        default={}, description="implied volatility of options (name: annualised)"
    )
    smiles: tuple[build_union(SMILES), ...] = Field(  # type: ignore[valid-type]
        default=(), description="implied volatility by expiry"
    )
    rate: float = Field(
        default=0.0, ge=-0.5, le=5, description="interest for discounting, per year (rate)"
    )
    own: dict[str, EngineConfig] = Field(
        default={}, description="engines beside the packaged ones (name: engine)"
    )
    engines: tuple[str, ...] = Field(
        default=("hyperliquid", "paradex"),
        min_length=1,
        description="judges (names of its own, of presets, or files)",
    )

    @model_validator(mode="after")
    def _check_portfolio(self) -> Self:
        problems = [
            *self._find_unknown_names(),
            *self._find_option_faults(),
            *self._find_grid_faults(),
        ]
        if problems:
            raise ValueError("\n".join(map(escape_unprintable, problems)))
        return self

    def _find_unknown_names(self) -> list[str]:
        """Names that nothing has."""
        listed, known = [i.name for i in self.instruments], [u.name for u in self.underlyings]
        coins = [asset.name for asset in self.assets[1:]]
        asked = [
            (f"instruments.{n}.underlying", i.underlying, known)
            for n, i in enumerate(self.instruments)
        ]
        asked += [
            (f"instruments.{n}.settle", i.settle, [asset.name for asset in self.assets])
            for n, i in enumerate(self.instruments)
            if i.settle
        ]
        asked += [
            (f"positions.{n}.instrument", p.instrument, listed)
            for n, p in enumerate(self.positions)
        ]
        asked += [
            (f"{where}.{name}", name, listed)
            for where in ("marks", "vols")
            for name in getattr(self, where)
        ]
        asked += [
            (f"smiles.{n}.underlying", smile.underlying, known)
            for n, smile in enumerate(self.smiles)
        ]
        told = [
            f"{where}: {describe_unknown(name, names)}"
            for where, name, names in asked
            if name not in names
        ]
        first = self.assets[0]
        if first.price != 1:
            told.append(
                f"assets.0.price: {first.price:g}, the numeraire {first.name!r} is worth 1: remove it"
            )
        told += [
            self._describe_undeclared(name, coins) for name in self.collateral if name not in coins
        ]
        told += self._unpriced()
        for where, names in (
            ("assets", [first.name, *coins]),
            ("instruments", listed),
            ("underlyings", known),
        ):
            told += [
                f"{where}: {name!r} stands there twice, rename one"
                for name in set(names)
                if names.count(name) > 1
            ]
        told += [
            f"instruments.{n}.{fault}"
            for n, each in enumerate(self.instruments)
            if not each.settle or each.settle in (asset.name for asset in self.assets)
            if (fault := find_inverse_fault(each, known, self.assets))
        ]
        return told

    def _describe_undeclared(self, name: str, coins: list[str]) -> str:
        """A collateral asset that is no asset, or the numeraire."""
        if name == self.assets[0].name:
            return f"collateral.{name}: {name!r} is the numeraire, put the amount under cash"
        near = suggest_name(name, coins)
        price = "price: its price"
        declare = (
            f"declare it: add {{name: {name}, {price}}} under assets, after {self.assets[0].name!r}"
        )
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
                found.append(
                    f"{told}, but the underlying {quote.name!r} is at {quote.price:.15g}: {price}"
                )
        return found

    def _find_option_faults(self) -> list[str]:
        """Expired contracts, negative volatilities, options that nothing values."""
        told = [
            f"vols.{name}: {vol:g}, must be above 0, correct it"
            for name, vol in self.vols.items()
            if vol <= 0
        ]
        told += [
            f"marks.{name}: {mark:g}, must be above 0, correct it"
            for name, mark in self.marks.items()
            if mark <= 0
        ]
        smiles = {(smile.underlying, smile.expiry) for smile in self.smiles}
        for n, each in enumerate(self.instruments):
            if each.expiry is not None and each.expiry <= self.seconds:
                when = f"{each.expiry:g}, {each.name!r} has expired at {self.seconds:g} s (seconds)"
                remedy = f"lower seconds, or remove {each.name!r} and what names it"
                told.append(f"instruments.{n}.expiry: {when}, {remedy}")
            if each.expiry is not None and each.expiry > self.seconds + 100 * YEAR_SECONDS:
                told.append(
                    f"instruments.{n}.expiry: {each.expiry:g}, more than a hundred years away, give seconds"
                )
            if (
                each.kind == "option"
                and each.name not in self.vols
                and (each.underlying, each.expiry) not in smiles
            ):
                told.append(
                    f"instruments.{n}: no implied volatility of {each.name!r}, give vols or a smile of its expiry"
                )
        return told

    def _find_grid_faults(self) -> list[str]:
        """Quantities finer than a lot, marks between ticks, amounts that are not whole or too large to be exact."""
        decimals = {asset.name: asset.decimals for asset in self.assets} | {
            "": self.assets[0].decimals
        }
        prices, told = {quote.name: quote.price for quote in self.underlyings}, []
        for n, each in enumerate(self.instruments):
            if each.settle not in decimals or each.underlying not in prices:
                continue
            if find_inverse_fault(each, list(prices), self.assets):
                continue
            multiplier, where = Fraction(each.multiplier(decimals[each.settle])), f"instruments.{n}"
            if multiplier.denominator > 1:
                listed = {f"instruments.{k}": one for k, one in enumerate(self.instruments)}
                told.append(
                    f"{where}.lot: tick x lot is {float(multiplier):g} minor units, no whole number: "
                    f"{describe_remedy(where, [listed], self.assets)}"
                )
            largest = each.max_lots * each.n_price_levels * multiplier
            if largest >= CASH_LIMIT:
                most = int((CASH_LIMIT - 1) // (each.n_price_levels * multiplier))
                worth = f"{each.max_lots:.3g} lots at {each.max_price:g}, is worth {float(largest):.3g} minor units"
                lower = f"lower max_lots to {most}, or max_price" if most else "lower max_price"
                told.append(
                    f"{where}.max_lots: the largest position, {worth}; it must stay below 2^53: {lower}"
                )
            ticks, price = (
                round(count_increments(prices[each.underlying], each.tick)),
                f"{prices[each.underlying]:g}",
            )
            if ticks < 1:
                low = f"the price of {each.underlying!r}, {price}, is less than one tick"
                told.append(f"{where}.tick: {low} of {each.name!r}, {each.tick:g}: lower the tick")
            elif ticks > each.n_price_levels:
                told.append(
                    f"{where}.max_price: {each.max_price:g}, but {each.underlying!r} is at {price}: raise it"
                )
        return told + self._amounts() + self._find_size_faults()

    def _amounts(self) -> list[str]:
        """Cash and collateral that minor units cannot hold."""
        told, unit = [], self.assets[0].decimals
        for n, asset in enumerate(self.assets):
            amount = self.collateral.get(asset.name, 0.0) if n else self.cash
            room = CASH_LIMIT / max(10.0**asset.decimals, asset.price * 10.0**unit)
            if abs(amount) >= room:
                where = f"collateral.{asset.name}" if n else "cash"
                told.append(
                    f"{where}: {amount:g}, too large to be exact in minor units: lower it to below {room:.6g}"
                )
        return told

    def _find_size_faults(self) -> list[str]:
        """Positions and marks that the instrument does not come in."""
        told, by_name, held = (
            [],
            {each.name: each for each in self.instruments},
            Counter[tuple[str, bool]](),
        )
        for n, position in enumerate(self.positions):
            if position.instrument not in by_name:
                continue
            its, where = by_name[position.instrument], f"positions.{n}"
            lots = count_increments(position.quantity, its.lot)
            if not is_whole(lots):
                rule = f"{its.name!r} comes in lots of {its.lot:g}"
                told.append(f"{where}.quantity: {position.quantity!r}, {rule}, round it")
            side = its.name, lots > 0
            held[side] += abs(round(lots))
            place = f"instruments.{[each.name for each in self.instruments].index(its.name)}"
            if held[side] > its.max_lots:
                before = "with those before " if held[side] > abs(round(lots)) else ""
                most = f"{before}more than max_lots of {its.name!r} allows, {float(count_increments(its.lot, 1) * its.max_lots):g}"
                raised = f"lower it, or raise {place}.max_lots"
                told.append(f"{where}.quantity: {position.quantity:g}, {most}: {raised}")
            if position.entry is not None and position.entry > its.max_price:
                above = f"above max_price of {its.name!r}, {its.max_price:g}: lower it, or raise {place}.max_price"
                told.append(f"{where}.entry: {position.entry:g}, {above}")
        for name, mark in self.marks.items():
            if name not in by_name:
                continue
            tick = by_name[name].tick
            if not is_whole(count_increments(mark, tick)) or mark > by_name[name].max_price:
                told.append(
                    f"marks.{name}: {mark!r}, must be a multiple of {tick:g} up to max_price, round it"
                )
        return told


def coin_of(underlying: str) -> str:
    """The coin that an underlying is the price of, in small letters: ``btc`` of BTC, BTC-USD and BTC/USDT."""
    return re.split(r"[-/:]", underlying)[0].casefold()


FLOAT_NOISE = Fraction(1, 10**12)
"""Relative noise of a sum or product of floats: 0.1 + 0.2 is 30 lots of 0.01."""


def round_to_lots(quantity: float, lot: float) -> int:
    """How many lots a quantity is, to the nearest."""
    return round(count_increments(quantity, lot))


def is_whole(count: Fraction) -> bool:
    """Whether a count is a whole number but for the noise of floats."""
    return abs(count - round(count)) <= FLOAT_NOISE * max(abs(count), Fraction(1))


def count_increments(amount: float, grain: float) -> Fraction:
    """How many grains an amount is, both as the decimal numbers that they stand for."""
    return divide_into_steps(amount, grain)
