"""Configurations made wrong, or just different, in ways that users find: for ``test_fuzz.py``.

A mutant is drawn from its number alone, so that a failure is found again by it.
"""

import copy
import json
import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import yaml

from experiments.config import RunConfig
from sim.component import Component
from sim.reading.loading import resolve_config
from sim.reading.packaged import list_packaged
from sim.reading.schema_types import find_type, list_kinds

Node = Any
Rng = np.random.Generator
Path = tuple[Any, ...]

DAYS = "date,open,high,low,close\n" + "".join(
    f"2020-01-{day:02d},{100 + day},{103 + day},{98 + day},{101 + day}\n" for day in range(2, 10)
)
"""Daily bars that replays may read."""

SMALL = {"traders": 12, "makers": 2, "arbitrageurs": 2}


class Mutant(NamedTuple):
    """A broken configuration as given to ``deleverage run mine.yaml``."""

    about: str  # what was done to it
    text: bytes  # of mine.yaml
    days: bytes = DAYS.encode()  # of days.csv
    arguments: tuple[str, ...] = ()
    names: str = ""  # path that a refusal must name; empty = it may as well run


@cache
def bases() -> list[Node]:
    """Every packaged run, hurried and small, and one that uses what they do not."""
    found = []
    for name in list_packaged():
        if "/" not in name:
            quick = resolve_config(name).get("quick", {})
            data = resolve_config(
                name, [f"{path}={json.dumps(value)}" for path, value in quick.items()]
            )
            found.append(data)
    replayed = copy.deepcopy(found[0])
    replayed["underlyings"][0] = {
        "name": "btc",
        "process": {"kind": "replay", "source": "days.csv"},
    }
    replayed["duration"] = None
    replayed["assets"] = [{"name": "USD"}, {"name": "EUR", "price": 1.1}]
    replayed["stresses"] = [
        {"kind": "depeg", "asset": "EUR", "at": 60, "duration": 60, "floor": 0.9},
        {"kind": "volatility", "at": 60, "duration": 60, "multiplier": 2},
    ]
    venue = replayed["venues"][0]
    venue["engine"]["requirement"] = {
        "kind": "compressed",
        "compression": 0.2,
        "inner": venue["engine"]["requirement"],
    }
    venue["engine"]["netting"] = {"kind": "groups", "groups": [[venue["instruments"][0]["name"]]]}
    venue["calls"] = {"response_probability": 0.5}
    venue["liquidation"] = {"kind": "fraction"}
    venue["oracle"] = {
        "sources": 3,
        "outages": [{"at": 60, "duration": 60}],
        "manipulations": [{"at": 60, "duration": 60, "size": 0.1, "sources": 2}],
    }
    for data in (*found, replayed):
        data.pop("quick", None)
        for people in data["populations"]:
            if people.get("count", 1) > 1:
                people["count"] = SMALL.get(people["kind"], 2)
    return [*found, replayed]


def mutant(number: int) -> Mutant:
    """The mutant of that number: one to three changes to one of the bases."""
    rng = np.random.default_rng([2026, number])
    data = copy.deepcopy(pick(rng, bases()))
    if rng.random() < 0.1:
        return pick(rng, WHOLE)(rng, data)
    told, names = [], ""
    arguments: list[str] = []
    for _ in range(1 + int(rng.random() < 0.2)):
        change = pick(rng, CHANGES)(rng, data)
        told.append(change.about)
        arguments += change.arguments
        names = change.names if len(told) == 1 else ""
    return Mutant("; ".join(told), dumped(data), arguments=tuple(arguments), names=names)


class Change(NamedTuple):
    """A change made to data in place, with its arguments; see ``Mutant``."""

    about: str
    names: str = ""
    arguments: tuple[str, ...] = ()


def deleted(rng: Rng, data: Node) -> Change:
    path = pick(rng, [path for path in places(data) if isinstance(path[-1], str)])
    del at(data, path[:-1])[path[-1]]
    return Change(f"without {dotted(path)}")


def misspelt(rng: Rng, data: Node) -> Change:
    path = pick(
        rng,
        [path for path in places(data) if isinstance(path[-1], str) and closed(data, path[:-1])],
    )
    node, word = at(data, path[:-1]), path[-1]
    cut = int(rng.integers(len(word)))
    wrong = pick(rng, [word[:cut] + word[cut + 1 :], word[:cut] + "x" + word[cut:], word.upper()])
    if not wrong or wrong in node:
        wrong = word + "s_"
    node[wrong] = node.pop(word)
    named = (
        path[:-1] if word == "kind" else (*path[:-1], wrong)
    )  # where kind selects the class, the message names the missing kind
    return Change(f"{dotted(path)} called {wrong!r}", dotted(named))


def unknown(rng: Rng, data: Node) -> Change:
    path = pick(
        rng,
        [
            path
            for path in ((), *places(data))
            if isinstance(at(data, path), dict) and closed(data, path)
        ],
    )
    at(data, path)["surprise"] = pick(rng, HOSTILE)
    return Change(f"surprise in {dotted(path)}", dotted((*path, "surprise")))


def replaced(rng: Rng, data: Node) -> Change:
    path = pick(rng, list(places(data)))
    value = hostile(rng, at(data, path))
    at(data, path[:-1])[path[-1]] = value
    return Change(f"{dotted(path)} = {value!r}")


def overridden(rng: Rng, data: Node) -> Change:
    path = pick(rng, list(places(data)))
    value = hostile(rng, at(data, path))
    text = pick(rng, [json.dumps(value), str(value), "[1", "{", "'", "${seed}", "${no.where}", ""])
    key = pick(
        rng,
        [dotted(path)] * 6
        + [dotted(path) + ".x", dotted(path)[1:], "", "." + dotted(path), "a..b"],
    )
    return Change(f"override {key}={text}", arguments=(f"{key}={text}",))


def scaled(rng: Rng, data: Node) -> Change:
    path = pick(rng, [path for path in places(data) if is_number(at(data, path))])
    value = at(data, path) * pick(
        rng, [-1, 0.1, 0.5, 3, 10, 1000, *([] if path[-1] == "count" else [1e6, 1e-6])]
    )
    at(data, path[:-1])[path[-1]] = value
    return Change(f"{dotted(path)} = {value!r}")


def repeated(rng: Rng, data: Node) -> Change:
    path = pick(
        rng, [path for path in places(data) if isinstance(at(data, path), list) and at(data, path)]
    )
    node = at(data, path)
    node.insert(int(rng.integers(len(node) + 1)), copy.deepcopy(pick(rng, node)))
    return Change(f"an item of {dotted(path)} twice")


def dropped(rng: Rng, data: Node) -> Change:
    path = pick(rng, [path for path in places(data) if isinstance(path[-1], int)])
    del at(data, path[:-1])[path[-1]]
    return Change(f"without {dotted(path)}")


def misnamed(rng: Rng, data: Node) -> Change:
    """Replace a reference by a name that does not exist."""
    keys = ("underlying", "settle", "venue", "spot_venue", "asset", "kind", "source")
    path = pick(rng, [path for path in places(data) if path[-1] in keys and at(data, path)])
    at(data, path[:-1])[path[-1]] = "unlisted"
    named = dotted(path) if path[-1] != "source" else "unlisted"
    return Change(f"{dotted(path)} = unlisted", named)


def added(rng: Rng, data: Node) -> Change:
    """A field that was left to its default."""
    path = pick(
        rng,
        [
            path
            for path in ((), *places(data))
            if isinstance(at(data, path), dict) and closed(data, path)
        ],
    )
    node, model = at(data, path), find_type(RunConfig, data, path)
    free = [
        name
        for name in model.model_fields
        if name not in node and name not in ("quick", "description")
    ]
    if not free:
        return replaced(rng, data)
    name = pick(rng, free)
    value = hostile(
        rng,
        plain(model.model_fields[name].get_default(call_default_factory=True, validated_data={})),
    )
    node[name] = value
    return Change(f"{dotted((*path, name))} = {value!r}")


def other_kind(rng: Rng, data: Node) -> Change:
    """Replace a variant, keep the fields it shares with the old one, make required ones hostile."""
    path = pick(
        rng,
        [
            path
            for path in places(data)
            if isinstance(at(data, path), dict) and "kind" in at(data, path)
        ],
    )
    node = at(data, path)
    del node["kind"]
    known = list_kinds(find_type(RunConfig, data, path))
    node["kind"] = pick(rng, known)
    model = find_type(RunConfig, data, path)
    for name in [name for name in node if name not in model.model_fields]:
        del node[name]
    for name, field in model.model_fields.items():
        if field.is_required() and name not in node:
            node[name] = pick(rng, [1, 0.5, 60, 100, "exchange", "USD", [], [{}], {}])
    return Change(f"{dotted(path)} of kind {node['kind']}")


def correlated(rng: Rng, data: Node) -> Change:
    many = len(data["underlyings"]) + int(rng.integers(-1, 2))
    matrix = np.round(rng.uniform(-1.2, 1.2, (many, many)), 2)
    if rng.random() < 0.7:
        matrix = np.round((matrix + matrix.T) / 2, 2)
        np.fill_diagonal(matrix, 1)
    data["correlation"] = matrix.tolist()
    return Change(f"correlation = {data['correlation']}")


def included(rng: Rng, data: Node) -> Change:
    path = pick(rng, [path for path in ((), *places(data)) if isinstance(at(data, path), dict)])
    names = [
        "mine.yaml",
        "nowhere.yaml",
        "days.csv",
        [],
        ["baseline"],
        [3],
        5,
        None,
        "engines/cros",
        "..",
        ["mine.yaml"],
    ]
    at(data, path)["include"] = value = pick(rng, names)
    return Change(f"{dotted((*path, 'include'))} = {value!r}")


CHANGES: list[Callable[[Rng, Node], Change]] = [
    *(
        deleted,
        misspelt,
        unknown,
        replaced,
        replaced,
        overridden,
        scaled,
        scaled,
        repeated,
        dropped,
        misnamed,
    ),
    *(added, added, other_kind, other_kind, correlated, included),
]


def noisy(rng: Rng, data: Node) -> Mutant:
    """A few characters of the file are others."""
    text = bytearray(dumped(data))
    for _ in range(int(rng.integers(1, 6))):
        place = int(rng.integers(len(text)))
        text[place : place + int(rng.integers(0, 3))] = pick(
            rng, [*b"{}[]:,-#'\"&*!|>%@\t\n \x00\x07\xff09eE.x$"]
        ).to_bytes(1)
    return Mutant("noise in the file", bytes(text))


def rubbish(rng: Rng, data: Node) -> Mutant:
    """No configuration at all."""
    texts = [
        rng.bytes(300),
        b"",
        b"\xff\xfe",
        b"[]",
        b"3",
        b"a: b: c",
        b"? ?",
        b"- 1",
        b"---\n---\n",
        b"null",
        b"\x00" * 20,
    ]
    return Mutant("rubbish", pick(rng, texts))


def bad_days(rng: Rng, data: Node) -> Mutant:
    """A replay's file with noise in its lines."""
    lines = DAYS.splitlines()
    for _ in range(int(rng.integers(1, 3))):
        row = int(rng.integers(len(lines)))
        cells = lines[row].split(",")
        wrong = [
            "",
            "nan",
            "inf",
            "-1",
            "0",
            "1e300",
            "1e-300",
            "abc",
            "2020-01-05",
            "2020-13-01",
            "1,2",
            '"',
            "100",
        ]
        cells[int(rng.integers(len(cells)))] = pick(rng, wrong)
        lines[row] = ",".join(cells)
    text = pick(
        rng, ["\n".join(lines), "\n".join(reversed(lines)), "\n".join(lines[:1]), "", "\x00\x01"]
    )
    return Mutant("days", dumped(bases()[-1]), days=text.encode())


def bad_place(rng: Rng, data: Node) -> Mutant:
    """Results that have nowhere to go."""
    out = pick(rng, ["mine.yaml", "mine.yaml/x", "/proc/none/x", "", ".", "..", "days.csv", "/"])
    return Mutant(f"--out {out!r}", dumped(data), arguments=("--out", out), names=out or ".")


WHOLE = [noisy, noisy, noisy, rubbish, bad_days, bad_days, bad_place]

HOSTILE: list[Any] = [
    *(
        0,
        -1,
        1,
        1.5,
        0.1,
        1e-300,
        1e300,
        1e18,
        2**53,
        2**63,
        2**64,
        10**30,
        math.nan,
        math.inf,
        -math.inf,
    ),
    *(
        "",
        "abc",
        "5",
        "x" * 200,
        "${nowhere}",
        "${seed}",
        "a\nb",
        "\x07",
        True,
        None,
        [],
        {},
        [1],
        [[]],
        {"kind": "x"},
    ),
]


def hostile(rng: Rng, value: Any) -> Any:
    """In place of a value: half of the time one of its own type."""
    if rng.random() < 0.5:
        return copy.deepcopy(pick(rng, HOSTILE))
    return copy.deepcopy(pick(rng, [each for each in HOSTILE if sort(each) == sort(value)]))


def sort(value: Any) -> str:
    """Number, container or neither."""
    return (
        "number"
        if is_number(value)
        else "container"
        if isinstance(value, dict | list)
        else "neither"
    )


def harmless(number: int) -> Mutant:
    """Return the mutant of that number among those that must run: slightly changed figures."""
    rng = np.random.default_rng([2027, number])
    data = copy.deepcopy(pick(rng, bases()))
    whole = ("tick", "lot", "max_price", "max_lots", "day", "opens", "dt", "seed")
    safe = [
        path
        for path in places(data)
        if type(at(data, path)) in (int, float) and path[-1] not in whole
    ]
    told = []
    for _ in range(3):
        path = pick(
            rng, [path for path in safe if path[0] in ("populations", "venues", "underlyings")]
        )
        old = at(data, path)
        value = old * (1 - 0.2 * rng.random())
        value = max(1, round(value)) if is_count(data, path) else value
        at(data, path[:-1])[path[-1]] = value
        told.append(f"{dotted(path)} = {value!r}")
    return Mutant("; ".join(told), dumped(data))


def is_count(data: Node, path: Path) -> bool:
    model = find_type(RunConfig, data, path[:-1])
    return (
        "int" in str(model.model_fields[path[-1]].annotation) if closed(data, path[:-1]) else False
    )


def places(node: Node, path: Path = ()) -> Iterator[Path]:
    """Paths of all values, containers included."""
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def at(node: Node, path: Path) -> Node:
    for part in path:
        node = node[part]
    return node


def closed(data: Node, path: Path) -> bool:
    """Return true if a mapping accepts known keys only."""
    expected = find_type(RunConfig, data, path)
    return isinstance(expected, type) and issubclass(expected, Component)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | list | dict | None) else {}


def dotted(path: Path) -> str:
    return ".".join(map(str, path))


def dumped(data: Node) -> bytes:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode()


def pick(rng: Rng, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]
