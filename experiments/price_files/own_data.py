"""A packaged run on a user's own prices: ``deleverage run crash_2008 --data oil.csv``."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import quick_overrides
from experiments.price_files.bars import read_bars
from sim.errors import ConfigError, DataError
from sim.prices.bars import Bars
from sim.reading.loading import resolve_config

QUICK_DAYS = 4
"""Days of a file that ``--quick`` runs."""

MAX_PRICE_FACTOR = 2
"""Largest price of the book over the largest of the file."""

MAX_PRICE_RANGE = 100.0
"""Largest over first price above which the price step follows the largest."""

NAMING_PARTS = ("underlyings", "venues", "populations", "stresses")
"""Parts of a configuration that name underlyings or instruments."""

Node = dict[str, Any]


def own_data_overrides(
    name: str | Path, data: str, overrides: Sequence[str] = (), *, quick: bool = False
) -> list[str]:
    """The overrides that put a run on the prices of a file.

    The first underlying that is replayed, else the first one, is replayed from the file over its whole length, and is
    named after it, as are its instruments (``oil.csv``: ``oil``, ``OIL-PERP``). Price steps and largest prices are
    scaled with the price, lots so that a step of one lot is worth what it was.

    Args:
        name: of the run's configuration.
        data: see ``read_bars``.
        overrides: the user's, which are applied after these.
        quick: whether to take the first four days of the file, and the configuration's own values otherwise.

    Raises:
        ConfigError: see ``load``; or the configuration has no underlying.
        DataError: see ``read_bars``.
    """
    node, bars = resolve_config(name, overrides), read_bars(data)
    underlyings = node.get("underlyings")
    if (
        not isinstance(underlyings, list)
        or not all(isinstance(each, dict) for each in underlyings)
        or not underlyings
    ):
        raise ConfigError(
            [
                f"--data: {name} has no list of underlyings that a file could stand for, choose another"
            ]
        )
    place = next((n for n, each in enumerate(underlyings) if _is_replay(each)), 0)
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(data).stem.removeprefix("arch:"))
    names = _choose_new_names(node, str(underlyings[place].get("name")), stem)
    changed: Node = {key: _rename_mentions(node[key], names) for key in NAMING_PARTS if key in node}
    scale = _compute_price_scale(underlyings[place], bars)
    changed["underlyings"][place] = _replay_underlying(
        changed["underlyings"][place], data, bars, _choose_step_length(node, bars)
    )
    for venue in changed.get("venues", []):
        for instrument in venue.get("instruments", []):
            if instrument.get("underlying") == stem:
                _rescale_instrument(instrument, scale, bars)
    changed |= {
        "name": f"{node.get('name', 'run')}-{stem}",
        "description": f"{node.get('name', name)} on {data}",
    }
    changed |= {"dt": _choose_step_length(node, bars), "duration": None}
    lines = [f"{key}={json.dumps(value)}" for key, value in changed.items()]
    return [*lines, *_quick_overrides(name, overrides, bars, place)] if quick else lines


def _is_replay(underlying: Node) -> bool:
    process = underlying.get("process")
    return isinstance(process, dict) and process.get("kind") == "replay"


def _quick_overrides(
    name: str | Path, overrides: Sequence[str], bars: Bars, place: int
) -> list[str]:
    """The configuration's own quick values, without prices and days of other data, and the file's first days."""
    other = (".tick", ".lot", ".max_price", ".process.source", ".process.start", ".process.end")
    kept = [
        each
        for each in quick_overrides(name, overrides)
        if not each.partition("=")[0].endswith(other)
    ]
    days = np.unique(bars.day.astype("datetime64[D]"))
    given = [
        each.partition("=")[2]
        for each in overrides
        if each.startswith(f"underlyings.{place}.process.start=2")
    ]
    later = days[days >= np.datetime64(given[-1])] if given else days
    days = later if later.size else days
    return [*kept, f"underlyings.{place}.process.end={days[:QUICK_DAYS][-1]}"]


def _choose_new_names(node: Node, old: str, stem: str) -> dict[str, str]:
    """New names by old ones: of the underlying and of the instruments on it."""
    names = {old: stem}
    for venue in node.get("venues", []):
        for instrument in venue.get("instruments", []) if isinstance(venue, dict) else []:
            if isinstance(instrument, dict) and instrument.get("underlying") == old:
                last = str(instrument.get("name")).partition("-")[2] or str(
                    instrument.get("kind", "perpetual")
                )
                wanted = f"{stem.upper()}-{last}"
                taken = list(names.values()).count(wanted)
                names[str(instrument.get("name"))] = f"{wanted}-{taken + 1}" if taken else wanted
    return names


def _rename_mentions(node: Any, names: Mapping[str, str]) -> Any:
    """A part of a configuration with every mention of a name replaced."""
    if isinstance(node, dict):
        return {key: _rename_mentions(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [_rename_mentions(each, names) for each in node]
    return names.get(node, node) if isinstance(node, str) else node


def _replay_underlying(underlying: Node, data: str, bars: Bars, dt: float) -> Node:
    """An underlying whose index is the file's."""
    process: Node = {"kind": "replay", "source": data}
    before = underlying["process"] if _is_replay(underlying) else {}
    process |= {key: before[key] for key in ("day", "opens", "days_per_year") if key in before}
    if bars.has_weekends:
        process |= {"day": 86_400, "opens": 0, "days_per_year": 365}
    return {key: value for key, value in underlying.items() if key != "start"} | {
        "process": process
    }


def _choose_step_length(node: Node, bars: Bars) -> float:
    """The configuration's step, or a part of a bar that is no longer."""
    dt = float(node.get("dt", 60.0))
    if not bars.is_intraday:
        return dt
    return bars.length / math.ceil(bars.length / dt - 1e-9)


def _compute_price_scale(underlying: Node, bars: Bars) -> float:
    """The file's price over the one that the configuration was made for."""
    process = underlying.get("process", {})
    if _is_replay(underlying):
        try:
            old = float(
                read_bars(
                    str(process.get("source")),
                    _read_date(process, "start"),
                    _read_date(process, "end"),
                ).close[0]
            )
        except DataError:
            return 1.0
    else:
        old = float(underlying.get("start") or 1.0)
    return max(float(bars.close[0]), _find_highest_price(bars) / MAX_PRICE_RANGE) / old


def _read_date(process: Node, key: str) -> Any:
    value = process.get(key)
    return np.datetime64(value).astype("datetime64[D]").item() if value is not None else None


def _find_highest_price(bars: Bars) -> float:
    return float((bars.high if bars.has_ranges else bars.close).max())


def _rescale_instrument(instrument: Node, scale: float, bars: Bars) -> None:
    """Fit price step, lot and largest price to a file; in place. A step of one lot stays worth what it was."""
    worth = Decimal(str(instrument["tick"])) * Decimal(str(instrument["lot"]))
    tick = _round_step(float(instrument["tick"]) * scale)
    levels = math.ceil(MAX_PRICE_FACTOR * _find_highest_price(bars) / float(tick) / 1000) * 1000
    instrument |= {
        "tick": float(tick),
        "lot": float(worth / tick),
        "max_price": float(levels * tick),
    }


def _round_step(step: float) -> Decimal:
    """The nearest of 1, 2 and 5 times a power of ten."""
    power = math.floor(math.log10(step))
    near = [Decimal(digit).scaleb(power + shift) for shift in (0, 1) for digit in (1, 2, 5)]
    return min(near, key=lambda each: abs(math.log(float(each) / step)))
