"""Packaged runs on a user's own prices: ``deleverage run crash_2008 --data oil.csv``."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
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
"""Largest price of the order book, as a multiple of the largest of the file."""

MAX_PRICE_RANGE = 100.0
"""Largest over first price above which the price step follows the largest."""

NAMING_PARTS = ("underlyings", "venues", "populations", "stresses")
"""Parts of a configuration that name underlyings or instruments."""

Node = dict[str, Any]


def own_data_overrides(
    name: str | Path, data: str, overrides: Sequence[str] = (), *, quick: bool = False
) -> list[str]:
    """Return the overrides that run a configuration on the prices of a file.

    The first underlying that is replayed, else the first one, is replayed from the file over its
    whole length. It is named after the file, as are its instruments (``oil.csv``: ``oil``,
    ``OIL-PERP``). Price steps and largest prices are scaled with the price. Lots are scaled so that
    a step of one lot keeps its value.

    Args:
        name: name of the run's configuration.
        data: see ``read_bars``.
        overrides: overrides by the user, which are applied after these.
        quick: run the first four days of the file, with the configuration's quick values.

    Raises:
        ConfigError: see ``resolve_config``; or the configuration has no underlying.
        DataError: see ``read_bars``.
    """
    node, bars = resolve_config(name, overrides), read_bars(data)
    underlyings = _require_underlyings(node, name)
    place = _find_replayed(underlyings)
    replaced = underlyings[place]
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(data).stem.removeprefix("arch:"))
    names = _choose_new_names(node, str(replaced.get("name")), stem)
    changed: Node = {key: _rename_mentions(node[key], names) for key in NAMING_PARTS if key in node}
    scale, dt = _compute_price_scale(replaced, bars), _choose_step_length(node, bars)
    renamed = changed["underlyings"]
    renamed[place] = _replay_underlying(renamed[place], data, bars)
    for instrument in _instruments_on(changed, stem):
        _rescale_instrument(instrument, scale, bars)
    changed["name"] = f"{node.get('name', 'run')}-{stem}"
    changed["description"] = f"{node.get('name', name)} on {data}"
    changed |= {"dt": dt, "duration": None}
    lines = [f"{key}={json.dumps(value)}" for key, value in changed.items()]
    return [*lines, *_quick_overrides(name, overrides, bars, place)] if quick else lines


def _require_underlyings(node: Node, name: str | Path) -> list[Node]:
    """Return the underlyings of a configuration.

    Raises:
        ConfigError: there are none.
    """
    underlyings = node.get("underlyings")
    is_list = isinstance(underlyings, list) and all(isinstance(each, dict) for each in underlyings)
    if not is_list or not underlyings:
        rule = "that a file could stand for, choose another"
        raise ConfigError([f"--data: {name} has no list of underlyings {rule}"])
    return list(underlyings)


def _find_replayed(underlyings: list[Node]) -> int:
    """Return the place of the first underlying that is replayed, else of the first one."""
    return next((n for n, underlying in enumerate(underlyings) if _is_replay(underlying)), 0)


def _instruments_on(node: Node, underlying: str) -> Iterator[Node]:
    """Yield the instruments of an underlying."""
    for venue in node.get("venues", []):
        for instrument in venue.get("instruments", []):
            if instrument.get("underlying") == underlying:
                yield instrument


def _is_replay(underlying: Node) -> bool:
    process = underlying.get("process")
    return isinstance(process, dict) and process.get("kind") == "replay"


def _quick_overrides(
    name: str | Path, overrides: Sequence[str], bars: Bars, place: int
) -> list[str]:
    """Return the configuration's quick values without data and instruments, and the first days."""
    other = (".tick", ".lot", ".max_price", ".process.source", ".process.start", ".process.end")
    kept = [
        override
        for override in quick_overrides(name, overrides)
        if not override.partition("=")[0].endswith(other)
    ]
    days = np.unique(bars.day.astype("datetime64[D]"))
    starts = [
        override.partition("=")[2]
        for override in overrides
        if override.startswith(f"underlyings.{place}.process.start=2")
    ]
    later = days[days >= np.datetime64(starts[-1])] if starts else days
    days = later if later.size else days
    return [*kept, f"underlyings.{place}.process.end={days[:QUICK_DAYS][-1]}"]


def _choose_new_names(node: Node, old: str, stem: str) -> dict[str, str]:
    """Return the new names of the underlying and of its instruments, by old names."""
    names = {old: stem}
    for venue in node.get("venues", []):
        for instrument in venue.get("instruments", []) if isinstance(venue, dict) else []:
            if isinstance(instrument, dict) and instrument.get("underlying") == old:
                old_name = str(instrument.get("name"))
                last = old_name.partition("-")[2] or str(instrument.get("kind", "perpetual"))
                new = f"{stem.upper()}-{last}"
                taken = list(names.values()).count(new)
                names[old_name] = f"{new}-{taken + 1}" if taken else new
    return names


def _rename_mentions(node: Any, names: Mapping[str, str]) -> Any:
    """Return a part of a configuration with every mention of a name replaced."""
    if isinstance(node, dict):
        return {key: _rename_mentions(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [_rename_mentions(item, names) for item in node]
    return names.get(node, node) if isinstance(node, str) else node


def _replay_underlying(underlying: Node, data: str, bars: Bars) -> Node:
    """Return an underlying whose index is that of the file."""
    process: Node = {"kind": "replay", "source": data}
    before = underlying["process"] if _is_replay(underlying) else {}
    process |= {key: before[key] for key in ("day", "opens", "days_per_year") if key in before}
    if bars.has_weekends:
        process |= {"day": 86_400, "opens": 0, "days_per_year": 365}
    kept = {key: value for key, value in underlying.items() if key != "start"}
    return kept | {"process": process}


def _choose_step_length(node: Node, bars: Bars) -> float:
    """Return the configuration's step length, or the largest part of a bar that is not longer."""
    dt = float(node.get("dt", 60.0))
    if not bars.is_intraday:
        return dt
    return bars.length / math.ceil(bars.length / dt - 1e-9)


def _compute_price_scale(underlying: Node, bars: Bars) -> float:
    """Return the file's price over the price for which the configuration was made."""
    process = underlying.get("process", {})
    if _is_replay(underlying):
        start, end = _read_date(process, "start"), _read_date(process, "end")
        try:
            old = float(read_bars(str(process.get("source")), start, end).close[0])
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
    """Fit price step, lot and largest price to a file, in place; a step of one lot keeps its
    value.
    """
    value = Decimal(str(instrument["tick"])) * Decimal(str(instrument["lot"]))
    tick = _round_step(float(instrument["tick"]) * scale)
    levels = math.ceil(MAX_PRICE_FACTOR * _find_highest_price(bars) / float(tick) / 1000) * 1000
    instrument["tick"] = float(tick)
    instrument["lot"] = float(value / tick)
    instrument["max_price"] = float(levels * tick)


def _round_step(step: float) -> Decimal:
    """Return the nearest of 1, 2 and 5 times a power of ten."""
    power = math.floor(math.log10(step))
    near = [Decimal(digit).scaleb(power + shift) for shift in (0, 1) for digit in (1, 2, 5)]
    return min(near, key=lambda value: abs(math.log(float(value) / step)))
