"""Configuration of one account and its market."""

import re
from collections import Counter
from collections.abc import Iterator
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
    """Price, volatility and oracle confidence of one underlying."""

    name: str = Field(min_length=1, description="unique name")
    price: float = Field(gt=0, description="price of the oracle (quote currency)")
    volatility: float = Field(default=0.5, ge=0, le=100, description="annualised volatility (rate)")
    confidence: float = Field(
        default=1.0, ge=0, le=1, description="confidence of the oracle (1 = sure)"
    )


class Position(Component):
    """Position, or one entry of it, in one instrument."""

    instrument: str = Field(description="name of the instrument")
    quantity: float = Field(description="units of the underlying, + long (units)")
    entry: float | None = Field(
        default=None, gt=0, description="price paid; not given = the mark (quote currency)"
    )


class PortfolioConfig(Component):
    """Account, its positions, and the market in which it is margined."""

    description: str = Field(default="", description="one line for `deleverage configs`")
    seconds: float = Field(
        default=0.0, ge=0, description="current time, on the clock of expiries (s)"
    )
    assets: tuple[Asset, ...] = Field(
        default=(Asset(name="USD"),), min_length=1, description="assets, numeraire first"
    )
    cash: float = Field(
        default=0.0, description="cash in the numeraire, after payment of premiums and spot (units)"
    )
    collateral: dict[str, float] = Field(
        default={}, description="balances of other assets (name: units)"
    )
    underlyings: tuple[UnderlyingQuote, ...] = Field(
        min_length=1, description="underlyings and their prices"
    )
    instruments: tuple[Instrument, ...] = Field(
        min_length=1, description="instruments and their terms"
    )
    positions: tuple[Position, ...] = Field(default=(), description="positions of the account")
    mode: Literal["hedge", "one_way"] | None = Field(
        default=None,
        description="treatment of several entries of an instrument; not given = the venue's (name)",
    )
    marks: dict[str, float] = Field(
        default={},
        description="marks; not given = oracle price or option value (name: quote currency)",
    )
    volatilities: dict[str, float] = Field(
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
        description="engines to compare (names of its own, of presets, or files)",
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
        """Return a line for each unknown or duplicate name and each asset with a wrong price."""
        listed, known = [i.name for i in self.instruments], [u.name for u in self.underlyings]
        first, coins = self.assets[0], [asset.name for asset in self.assets[1:]]
        problems = [
            f"{where}: {describe_unknown(name, names)}"
            for where, name, names in self._list_references(listed, known)
            if name not in names
        ]
        if first.price != 1:
            rule = f"the numeraire {first.name!r} is worth 1: remove it"
            problems.append(f"assets.0.price: {first.price:g}, {rule}")
        problems += [
            self._describe_undeclared(name, coins) for name in self.collateral if name not in coins
        ]
        problems += self._find_unpriced_assets()
        problems += _find_duplicates("assets", [first.name, *coins])
        problems += _find_duplicates("instruments", listed)
        problems += _find_duplicates("underlyings", known)
        return problems + self._find_inverse_faults([first.name, *coins], known)

    def _list_references(
        self, listed: list[str], known: list[str]
    ) -> Iterator[tuple[str, str, list[str]]]:
        """Yield the place and the name of each reference, with the names that exist."""
        assets = [asset.name for asset in self.assets]
        for n, each in enumerate(self.instruments):
            yield f"instruments.{n}.underlying", each.underlying, known
        for n, each in enumerate(self.instruments):
            if each.settle:
                yield f"instruments.{n}.settle", each.settle, assets
        for n, position in enumerate(self.positions):
            yield f"positions.{n}.instrument", position.instrument, listed
        for where, names in (("marks", self.marks), ("volatilities", self.volatilities)):
            for name in names:
                yield f"{where}.{name}", name, listed
        for n, smile in enumerate(self.smiles):
            yield f"smiles.{n}.underlying", smile.underlying, known

    def _find_inverse_faults(self, assets: list[str], known: list[str]) -> list[str]:
        """Return a line for each instrument with terms of an inverse contract that do not fit."""
        return [
            f"instruments.{n}.{fault}"
            for n, each in enumerate(self.instruments)
            if not each.settle or each.settle in assets
            if (fault := find_inverse_fault(each, known, self.assets))
        ]

    def _describe_undeclared(self, name: str, coins: list[str]) -> str:
        """Return the line about collateral that is not a declared asset, or is the numeraire."""
        if name == self.assets[0].name:
            return f"collateral.{name}: {name!r} is the numeraire, put the amount under cash"
        near = suggest_name(name, coins)
        entry = f"{{name: {name}, price: its price}}"
        declare = f"declare it: add {entry} under assets, after {self.assets[0].name!r}"
        return f"collateral.{name}: {name!r} is no asset{near}, {declare}"

    def _find_unpriced_assets(self) -> list[str]:
        """Return a line for each asset without a price that has the name of an underlying.

        Without a price one unit would have the value 1.
        """
        quoted = {coin_of(quote.name): quote for quote in reversed(self.underlyings)}
        found = []
        for n, asset in enumerate(self.assets[1:], start=1):
            quote = quoted.get(asset.name.casefold())
            if quote is not None and quote.price != 1 and "price" not in asset.model_fields_set:
                message = (
                    f"assets.{n}.price: not given, so that one {asset.name!r} would be worth 1"
                )
                price = f"{quote.price:.15g}"
                found.append(
                    f"{message}, but the underlying {quote.name!r} is at {price}: "
                    f"add price: {price}"
                )
        return found

    def _find_option_faults(self) -> list[str]:
        """Return a line for each expired contract, wrong volatility and option without one."""
        problems = [
            f"volatilities.{name}: {vol:g}, must be above 0, correct it"
            for name, vol in self.volatilities.items()
            if vol <= 0
        ]
        problems += [
            f"marks.{name}: {mark:g}, must be above 0, correct it"
            for name, mark in self.marks.items()
            if mark <= 0
        ]
        smiles = {(smile.underlying, smile.expiry) for smile in self.smiles}
        for n, each in enumerate(self.instruments):
            if each.expiry is not None and each.expiry <= self.seconds:
                when = f"{each.expiry:g}, {each.name!r} has expired at {self.seconds:g} s (seconds)"
                remedy = f"lower seconds, or remove {each.name!r} and what names it"
                problems.append(f"instruments.{n}.expiry: {when}, {remedy}")
            if each.expiry is not None and each.expiry > self.seconds + 100 * YEAR_SECONDS:
                rule = "more than a hundred years away, give seconds"
                problems.append(f"instruments.{n}.expiry: {each.expiry:g}, {rule}")
            if (
                each.kind == "option"
                and each.name not in self.volatilities
                and (each.underlying, each.expiry) not in smiles
            ):
                problems.append(
                    f"instruments.{n}: no implied volatility of {each.name!r}, "
                    "give volatilities or a smile of its expiry"
                )
        return problems

    def _find_grid_faults(self) -> list[str]:
        """Return a line for each amount that is not whole, or too large to be exact.

        These are lots, ticks, largest positions, cash, collateral, positions and marks.
        """
        known = [quote.name for quote in self.underlyings]
        assets = ["", *(asset.name for asset in self.assets)]
        problems = []
        for n, each in enumerate(self.instruments):
            has_references = each.settle in assets and each.underlying in known
            if has_references and not find_inverse_fault(each, known, self.assets):
                problems += self._find_lot_faults(n, each)
                problems += self._find_tick_faults(n, each)
        return problems + self._find_amount_faults() + self._find_size_faults()

    def _find_lot_faults(self, n: int, each: Instrument) -> list[str]:
        """Return lines about a lot that is not whole, and a largest position that is not exact."""
        decimals = {asset.name: asset.decimals for asset in self.assets}
        decimals[""] = self.assets[0].decimals
        multiplier, where = Fraction(each.multiplier(decimals[each.settle])), f"instruments.{n}"
        problems = []
        if multiplier.denominator > 1:
            listed = {f"instruments.{k}": one for k, one in enumerate(self.instruments)}
            remedy = describe_remedy(where, [listed], self.assets)
            value = f"{_format_units(multiplier)} minor units"
            problems.append(f"{where}.lot: tick x lot is {value}, no whole number: {remedy}")
        highest = each.n_price_levels * multiplier
        largest = each.max_lots * highest
        if largest >= CASH_LIMIT:
            most = int((CASH_LIMIT - 1) // highest)
            remedy = f"lower max_lots to {most}, or max_price" if most else "lower max_price"
            position = f"{_format_units(each.max_lots)} lots at {each.max_price:g}"
            value = f"is worth {_format_units(largest)} minor units"
            problems.append(
                f"{where}.max_lots: the largest position, {position}, {value}; "
                f"it must stay below 2^53: {remedy}"
            )
        return problems

    def _find_tick_faults(self, n: int, each: Instrument) -> list[str]:
        """Return a line about a price below one tick or above the largest price."""
        quoted = next(
            quote.price for quote in reversed(self.underlyings) if quote.name == each.underlying
        )
        ticks, price = round(count_increments(quoted, each.tick)), f"{quoted:g}"
        where = f"instruments.{n}"
        if ticks < 1:
            low = f"the price of {each.underlying!r}, {price}, is less than one tick"
            return [f"{where}.tick: {low} of {each.name!r}, {each.tick:g}: lower the tick"]
        if ticks > each.n_price_levels:
            above = f"but {each.underlying!r} is at {price}: raise it"
            return [f"{where}.max_price: {each.max_price:g}, {above}"]
        return []

    def _find_amount_faults(self) -> list[str]:
        """Return a line for each amount of cash or collateral too large for minor units."""
        problems, unit = [], self.assets[0].decimals
        for n, asset in enumerate(self.assets):
            amount = self.collateral.get(asset.name, 0.0) if n else self.cash
            room = CASH_LIMIT / max(10.0**asset.decimals, asset.price * 10.0**unit)
            if abs(amount) >= room:
                where = f"collateral.{asset.name}" if n else "cash"
                rule = "too large to be exact in minor units"
                problems.append(f"{where}: {amount:g}, {rule}: lower it to below {room:.6g}")
        return problems

    def _find_size_faults(self) -> list[str]:
        """Return a line for each quantity, entry and mark that an instrument does not admit."""
        places = {each.name: n for n, each in enumerate(self.instruments)}
        problems, held = [], Counter[tuple[str, bool]]()
        for n, position in enumerate(self.positions):
            if position.instrument not in places:
                continue
            place = places[position.instrument]
            instrument, where = self.instruments[place], f"positions.{n}"
            lots = count_increments(position.quantity, instrument.lot)
            if not is_whole(lots):
                rule = f"{instrument.name!r} comes in lots of {instrument.lot:g}"
                problems.append(f"{where}.quantity: {position.quantity!r}, {rule}, round it")
            size, side = abs(round(lots)), (instrument.name, lots > 0)
            held[side] += size
            if held[side] > instrument.max_lots:
                limit = _describe_size_limit(instrument, place, held[side] > size)
                problems.append(f"{where}.quantity: {position.quantity:g}, {limit}")
            problems += _find_entry_faults(where, position, instrument, place)
        return problems + self._find_mark_faults()

    def _find_mark_faults(self) -> list[str]:
        """Return a line for each mark that is not on the grid of its instrument."""
        by_name = {each.name: each for each in self.instruments}
        problems = []
        for name, mark in self.marks.items():
            if name not in by_name:
                continue
            tick, highest = by_name[name].tick, by_name[name].max_price
            if not is_whole(count_increments(mark, tick)) or mark > highest:
                rule = f"must be a multiple of {tick:g} up to max_price, round it"
                problems.append(f"marks.{name}: {mark!r}, {rule}")
        return problems


def _find_duplicates(where: str, names: list[str]) -> list[str]:
    """Return a line for each name that is used twice."""
    return [
        f"{where}: {name!r} is used twice, rename one"
        for name in set(names)
        if names.count(name) > 1
    ]


def _describe_size_limit(instrument: Instrument, place: int, has_others: bool) -> str:
    """Return the text on a position, with or without earlier entries, beyond ``max_lots``."""
    before = "with those before " if has_others else ""
    largest = float(count_increments(instrument.lot, 1) * instrument.max_lots)
    rule = f"{before}more than max_lots of {instrument.name!r} allows, {largest:g}"
    return f"{rule}: lower it, or raise instruments.{place}.max_lots"


def _find_entry_faults(
    where: str, position: Position, instrument: Instrument, place: int
) -> list[str]:
    """Return a line about an entry price above ``max_price``."""
    if position.entry is None or position.entry <= instrument.max_price:
        return []
    rule = f"above max_price of {instrument.name!r}, {instrument.max_price:g}"
    remedy = f"lower it, or raise instruments.{place}.max_price"
    return [f"{where}.entry: {position.entry:g}, {rule}: {remedy}"]


def coin_of(underlying: str) -> str:
    """Return the coin of an underlying in lower case: ``btc`` of BTC, BTC-USD and BTC/USDT."""
    return re.split(r"[-/:]", underlying)[0].casefold()


FLOAT_NOISE = Fraction(1, 10**12)
"""Relative noise of a sum or product of floats: 0.1 + 0.2 is 30 lots of 0.01."""


def round_to_lots(quantity: float, lot: float) -> int:
    """Return a quantity in lots, to the nearest."""
    return round(count_increments(quantity, lot))


def is_whole(count: Fraction) -> bool:
    """Return True if a count is a whole number up to the rounding of floats."""
    return abs(count - round(count)) <= FLOAT_NOISE * max(abs(count), Fraction(1))


def count_increments(amount: float, grain: float) -> Fraction:
    """Return an amount in increments, both taken as exact decimal numbers."""
    return divide_into_steps(amount, grain)


def _format_units(amount: Fraction | int) -> str:
    """Return an amount for a message; those beyond floats as a lower bound."""
    return f"{float(amount):.3g}" if amount < 1e300 else "more than 1e+300"
