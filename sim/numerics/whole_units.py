"""Remedies for tick and lot sizes whose value is not a whole number of minor units (LED-2)."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from sim.instruments import CASH_LIMIT, MAX_DECIMALS, Asset, Instrument

InstrumentsByPath = Mapping[str, Instrument]
"""Instruments of one venue by path."""

MAX_ACCOUNT_VALUE = CASH_LIMIT // 8
"""Largest value of one account after a remedy: 4,096 accounts stay below 2^62 together."""


LARGEST_LOT = 10**9
"""Largest lot that a remedy proposes."""


def compute_tick_value(instrument: Instrument, decimals: int) -> Fraction:
    """Return the exact minor units of the settle asset per tick and lot."""
    return Fraction(str(instrument.tick)) * Fraction(str(instrument.lot)) * 10**decimals


def describe_remedy(path: str, venues: Sequence[InstrumentsByPath], assets: Sequence[Asset]) -> str:
    """Return the remedies for an instrument whose tick value is not whole.

    They are more decimals, or a larger lot; each of them is enough.

    Args:
        path: path of the instrument.
        venues: all listed instruments.
        assets: all assets.
    """
    own = next(each[path] for each in venues if path in each)
    number = [asset.name for asset in assets].index(own.settle) if own.settle else 0
    decimals = assets[number].decimals
    remedies = []
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
        finer_assets = [finer if asset is assets[number] else asset for asset in assets]
        remedies += _add_lot_limits(
            f"set assets.{number}.decimals to {needed}", venues, finer_assets
        )
    lot = Fraction(str(own.lot)) * compute_tick_value(own, decimals).denominator
    larger = own.model_copy(update={"lot": float(lot)}) if lot <= LARGEST_LOT else own
    if compute_tick_value(larger, decimals).denominator == 1:
        others = [{**each, path: larger} if path in each else each for each in venues]
        remedies += _add_lot_limits(f"set {path}.lot to {float(lot):.15g}", others, assets)
    return (
        ", or ".join(remedies)
        or "make tick and lot larger, and keep max_price a multiple of the tick"
    )


def _add_lot_limits(
    remedy: str, venues: Sequence[InstrumentsByPath], assets: Sequence[Asset]
) -> list[str]:
    """Return a remedy with the smaller ``max_lots`` that it needs; none if no lot would be left."""
    decimals = {asset.name: asset.decimals for asset in assets} | {"": assets[0].decimals}
    limits = []
    for listed in venues:
        price_range_value = {
            path: compute_tick_value(each, decimals[each.settle]) * each.n_price_levels
            for path, each in listed.items()
        }
        if (
            sum(listed[path].max_lots * price_range_value[path] for path in listed)
            < MAX_ACCOUNT_VALUE
        ):
            continue
        for path, each in listed.items():
            max_lots = int(
                (MAX_ACCOUNT_VALUE - 1) / (len(listed) * max(Fraction(1), price_range_value[path]))
            )
            if max_lots < 1:
                return []
            limits += [f"{path}.max_lots to {max_lots}"] if max_lots < each.max_lots else []
    return [" and ".join([remedy, *limits])]
