"""Balance of opening positions: long and short lots of each instrument must be equal (ACC-1)."""

from typing import NamedTuple

import numpy as np

from sim.accounts.positions import OpeningPositions
from sim.accounts.table import BalanceRule
from sim.errors import ConfigError
from sim.types import F8, I8, SPOT, Contracts
from sim.waterfall.allocation import allocate_largest_remainder


class Imbalance(NamedTuple):
    """Positions of one instrument that do not sum to zero, and what was done about them."""

    instrument: str
    long: int  # lots
    short: int  # lots, > 0
    value: float  # of the difference at the mark, minor units of the settle asset, + net long
    rule: BalanceRule
    share: float  # of the larger side that is kept; 1 where a counterparty takes the difference


def find_imbalances(
    positions: OpeningPositions, contracts: Contracts, mark: F8, rule: BalanceRule
) -> list[Imbalance]:
    """Return the instruments whose positions do not sum to zero; spot apart.

    Spot is balanced by the owner that stands for the rest of the world, which quotes it.
    """
    n_instruments = len(contracts.names)
    long = np.bincount(
        positions.instrument, np.maximum(positions.lots, 0), minlength=n_instruments
    ).astype(np.int64)
    short = np.bincount(
        positions.instrument, np.maximum(-positions.lots, 0), minlength=n_instruments
    ).astype(np.int64)
    return [
        Imbalance(
            instrument=contracts.names[k],
            long=int(long[k]),
            short=int(short[k]),
            value=float((long[k] - short[k]) * mark[k] * contracts.multiplier[k]),
            rule=rule,
            share=float(min(long[k], short[k]) / max(long[k], short[k]))
            if rule == "scale"
            else 1.0,
        )
        for k in range(n_instruments)
        if long[k] != short[k] and contracts.kind[k] != SPOT
    ]


def refuse_imbalances(imbalances: list[Imbalance], lots: dict[str, float]) -> None:
    """Refuse imbalances that the rule does not admit.

    Args:
        imbalances: see :func:`find_imbalances`.
        lots: units of the underlying in a lot, by instrument.

    Raises:
        ConfigError: the rule is ``refuse``; or it is ``scale`` and an instrument has one side only.
    """
    problems = []
    for each in imbalances:
        net = f"{(each.long - each.short) * lots[each.instrument]:+.15g}"
        sums = f"accounts.balance: positions in {each.instrument!r} sum to {net}"
        if each.rule == "refuse":
            problems.append(
                f"{sums}; they must sum to zero: complete the table, or set balance to "
                "counterparty or scale"
            )
        elif each.rule == "scale" and not min(each.long, each.short):
            problems.append(
                f"{sums}, and all have one side, which scaling would remove: set balance to "
                "counterparty"
            )
    if problems:
        raise ConfigError(problems)


def scale_larger_sides(
    positions: OpeningPositions, imbalances: list[Imbalance], names: tuple[str, ...]
) -> OpeningPositions:
    """Return the positions with the larger side of each imbalance reduced to the smaller one.

    Lots are divided by largest remainder. Entry prices and collateral stay; positions of which no
    lot is left are removed.
    """
    lots, entry = positions.lots.copy(), positions.entry.copy()
    for each in imbalances:
        side = 1 if each.long > each.short else -1
        rows = np.flatnonzero(
            (positions.instrument == names.index(each.instrument)) & (positions.lots * side > 0)
        )
        before = np.abs(positions.lots[rows])
        kept = allocate_largest_remainder(min(each.long, each.short), before)
        lots[rows] = side * kept
        entry[rows] = np.rint(positions.entry[rows] * (kept / before)).astype(np.int64)
    whole = positions._replace(lots=lots, entry=entry)
    is_left = lots != 0
    return OpeningPositions._make(column[is_left] for column in whole)


def divide_imbalances(
    imbalances: list[Imbalance], contracts: Contracts, mark: F8, members: slice
) -> OpeningPositions:
    """Return the positions of counterparties: each instrument's imbalance, divided evenly.

    They enter at the opening mark.

    Args:
        imbalances: see :func:`find_imbalances`.
        contracts: all instruments.
        mark: (K,) ticks.
        members: owners that take part.
    """
    owners = np.arange(members.start, members.stop)
    owner, instrument, lots = [np.empty(0, dtype=np.int64) for _ in range(3)]
    for each in imbalances:
        net = each.short - each.long
        parts = _divide_evenly(abs(net), owners.size) * (1 if net > 0 else -1)
        k = contracts.names.index(each.instrument)
        owner = np.append(owner, owners[parts != 0])
        instrument = np.append(instrument, np.full(np.count_nonzero(parts), k))
        lots = np.append(lots, parts[parts != 0])
    value = lots * mark[instrument] * contracts.multiplier[instrument]
    return OpeningPositions(
        owner=owner,
        instrument=instrument,
        lots=lots,
        entry=np.rint(value).astype(np.int64),
        collateral=np.zeros(owner.size, dtype=np.int64),
        leverage=np.full(owner.size, np.inf),
    )


def _divide_evenly(amount: int, parts: int) -> I8:
    """Return whole numbers that sum to an amount and differ by one at most, larger ones first."""
    return np.array([amount // parts + (n < amount % parts) for n in range(parts)], dtype=np.int64)
