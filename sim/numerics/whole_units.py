"""What makes the worth of a tick and a lot a whole number of minor units (LED-2), as remedies for messages."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from sim.instruments import CASH_LIMIT, MAX_DECIMALS, Asset, Instrument

InstrumentsByPath = Mapping[str, Instrument]
"""Path -> instrument, of one venue."""

MAX_ACCOUNT_VALUE = CASH_LIMIT // 8
"""Largest worth of one account after a remedy: 4,096 accounts stay below 2^62 together."""


LARGEST_LOT = 10**9
"""No remedy asks for a larger lot."""


def compute_tick_value(instrument: Instrument, decimals: int) -> Fraction:
    """Minor units of the settle asset per tick and lot, exact."""
    return Fraction(str(instrument.tick)) * Fraction(str(instrument.lot)) * 10**decimals


def describe_remedy(path: str, venues: Sequence[InstrumentsByPath], assets: Sequence[Asset]) -> str:
    """Words for an instrument whose grains are not whole: more decimals, or a larger lot, each of them enough.

    Args:
        path: of the instrument.
        venues: all instruments that are listed.
        assets: all assets.
    """
    own = next(each[path] for each in venues if path in each)
    number = [asset.name for asset in assets].index(own.settle) if own.settle else 0
    decimals = assets[number].decimals
    told = []
    needed = next(
        (
            more
            for more in range(decimals + 1, MAX_DECIMALS + 1)
            if compute_tick_value(own, more).denominator == 1
        ),
        None,
    )
    if needed is not None:
        finer = assets[number].model_copy(update={"decimals": needed})
        deeper = [finer if asset is assets[number] else asset for asset in assets]
        told += _add_lot_limits(f"set assets.{number}.decimals to {needed}", venues, deeper)
    lot = Fraction(str(own.lot)) * compute_tick_value(own, decimals).denominator
    larger = own.model_copy(update={"lot": float(lot)}) if lot <= LARGEST_LOT else own
    if compute_tick_value(larger, decimals).denominator == 1:
        others = [{**each, path: larger} if path in each else each for each in venues]
        told += _add_lot_limits(f"set {path}.lot to {float(lot):.15g}", others, assets)
    return (
        ", or ".join(told) or "make tick and lot larger, and keep max_price a multiple of the tick"
    )


def _add_lot_limits(
    told: str, venues: Sequence[InstrumentsByPath], assets: Sequence[Asset]
) -> list[str]:
    """A remedy with the smaller ``max_lots`` that it needs; none where not one lot is left."""
    decimals = {asset.name: asset.decimals for asset in assets} | {"": assets[0].decimals}
    less = []
    for listed in venues:
        worth = {
            path: compute_tick_value(each, decimals[each.settle]) * each.n_price_levels
            for path, each in listed.items()
        }
        if sum(listed[path].max_lots * worth[path] for path in listed) < MAX_ACCOUNT_VALUE:
            continue
        for path, each in listed.items():
            most = int((MAX_ACCOUNT_VALUE - 1) / (len(listed) * max(Fraction(1), worth[path])))
            if most < 1:
                return []
            less += [f"{path}.max_lots to {most}"] if most < each.max_lots else []
    return [" and ".join([told, *less])]
