"""Parts of a run that one word replaces: ``engine=span``, ``policy=auction``, ``waterfall=bitmex``,
``population=bitmex_like``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents import POPULATIONS
from agents.arbitrageurs import Arbitrageurs
from agents.holders import Holders
from agents.insurance_fund import InsuranceFund
from agents.ladders import LadderMakers
from agents.latent_liquidity import LatentLiquidity
from agents.liquidators import Liquidators
from agents.metaorder import Metaorder
from experiments.file_kinds import explain_wrong_kind
from sim.errors import ConfigError
from sim.reading.includes import IncludeReader
from sim.reading.loading import resolve_config
from sim.reading.overrides import parse_overrides
from sim.reading.packaged import Wanted

Node = dict[str, Any]

VENUE_WORDS = {"engine": "engine", "policy": "liquidation", "waterfall": "waterfall"}
"""Field of a venue that a word replaces, by word."""

POPULATION = "population"
"""Word that replaces the traders of a run."""

WORDS = {**VENUE_WORDS, POPULATION: "populations"}
"""Field that a word replaces, by word."""

EXAMPLES = {
    "engine": "a packaged one such as span",
    "policy": "a packaged one such as hyperliquid or a kind such as auction",
    "waterfall": "a packaged one such as bitmex or a kind such as fund",
    POPULATION: "a packaged one such as bitmex_like or a kind such as trend",
}

NO_TRADERS = (
    Arbitrageurs,
    Holders,
    InsuranceFund,
    LadderMakers,
    LatentLiquidity,
    Liquidators,
    Metaorder,
)
"""Classes of populations that ``population`` leaves as they are: they serve the traders, trade one
order, or only hold what a table of accounts gives them.
"""


def word_overrides(words: Mapping[str, str | None]) -> list[str]:
    """Return the overrides of ``--engine``, ``--policy``, ``--waterfall`` and ``--population``.

    Args:
        words: packaged name, kind or file, by word of ``WORDS``; None = not given.

    Raises:
        ConfigError: a name is empty, or a file is of another kind than an engine.
    """
    given = {word: name for word, name in words.items() if name is not None}
    for word, name in given.items():
        if not name.strip():
            raise ConfigError([f"--{word}: '', names no {word}, give {EXAMPLES[word]}, or a file"])
        if word == "engine" and (other := explain_wrong_kind("engine", name)):
            raise ConfigError([f"--engine: {line}, give an engine such as span" for line in other])
    return [f"{word}={json.dumps(name, ensure_ascii=False)}" for word, name in given.items()]


def settle_population(
    name: str | Path, quick: Sequence[str], overrides: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the overrides of ``quick`` and of the user, if a word replaces the traders.

    Then those of ``quick`` count the members of the populations that are replaced, and have no
    effect on the new ones.

    Raises:
        ConfigError: the configuration or the new populations cannot be read.
    """
    problems: list[str] = []
    words = [each for each in overrides if each.startswith(f"{POPULATION}=")]
    counts = [each for each in quick if each.startswith("populations.")]
    pairs = parse_overrides(words[-1:], problems)
    if not counts or not pairs:
        return list(quick), list(overrides)
    items = replace_traders(resolve_config(name, counts), pairs[0][1])
    others = [each for each in overrides if each not in words]
    replaced = f"populations={json.dumps(items, ensure_ascii=False)}"
    return [each for each in quick if each not in counts], [replaced, *others]


def expand_word(data: Node, word: str, value: Any) -> list[tuple[str, Any]]:
    """Return the changes that a word stands for, (dotted path, value).

    An engine, a policy or a waterfall is set at every venue that lists a perpetual, or at all
    venues if none does. A population replaces the traders, see ``replace_traders``.

    Args:
        data: content of the run's files.
        word: key of ``WORDS``.
        value: packaged name, kind or file; or the component itself.

    Raises:
        ConfigError: no population has that name, or its file cannot be read.
    """
    if word == POPULATION:
        return [("populations", replace_traders(data, value))]
    venues = enumerate(_as_list(data.get("venues")))
    chosen = [number for number, venue in venues if _trades_perpetuals(venue)]
    places = [f"venues.{number}" for number in chosen] or ["venues.*"]
    return [(f"{place}.{VENUE_WORDS[word]}", value) for place in places]


def replace_traders(data: Node, value: Any) -> list[Any]:
    """Return the populations of a run with other traders, as many as before.

    Market makers, arbitrageurs, the insurance fund, liquidators, latent liquidity, metaorders and
    holders stay. The shares of the new populations among the traders are those of their file. They
    trade at the venues that their file names, or where the replaced ones traded if the run has no
    such venue. A kind takes over those settings of the first replaced population that it has as
    well.

    Raises:
        ConfigError: no population has that name, or its file cannot be read.
    """
    wanted = Wanted(is_list=True, kinds=tuple(POPULATIONS))
    new = value
    if isinstance(value, str):
        new = IncludeReader().read_override("populations", value, wanted)
    present = _as_list(data.get("populations"))
    replaced = [item for item in present if _is_trader(item)]
    place = present.index(replaced[0]) if replaced else len(present)
    traders = [dict(item) for item in (new if isinstance(new, list) else [new])]
    for item in traders:
        _settle(item, data, replaced[0] if replaced else {}, is_kind=list(item) == ["kind"])
    if total := sum(_count(item) for item in replaced):
        _share_members(traders, total)
    others = [item for item in present if item not in replaced]
    before = [item for item in present[:place] if item not in replaced]
    return [*before, *traders, *others[len(before) :]]


def _settle(item: Node, data: Node, first: Node, *, is_kind: bool) -> None:
    """Give a new population its venues, and a bare kind the settings of the first replaced one."""
    cls = POPULATIONS.get(str(item.get("kind")))
    fields: Mapping[str, Any] = cls.model_fields if cls is not None else {}
    if is_kind:
        taken = {key: value for key, value in first.items() if key in fields}
        item |= {**taken, "kind": item["kind"]}
        item.pop("name", None)
    venues = [venue for venue in _as_list(data.get("venues")) if isinstance(venue, dict)]
    known = [venue.get("name") for venue in venues]
    if item.get("venue") not in known:
        traded = [venue.get("name") for venue in venues if _trades_perpetuals(venue)]
        item["venue"] = first.get("venue", next(iter([*traded, *known]), None))
    if "spot_venue" in fields and item.get("spot_venue") not in known:
        spots = [venue.get("name") for venue in venues if "spot" in _list_kinds(venue)]
        item["spot_venue"] = next(iter(spots), item["venue"])


def _share_members(items: Sequence[Node], total: int) -> None:
    """Divide members among populations in place, in proportion to their counts, one at least."""
    counts = [_count(item) for item in items]
    if not sum(counts):
        return
    exact = [max(1.0, total * count / sum(counts)) for count in counts]
    members = [int(share) for share in exact]
    order = sorted(range(len(items)), key=lambda number: members[number] - exact[number])
    for number in order[: max(0, total - sum(members))]:
        members[number] += 1
    for item, count in zip(items, members, strict=True):
        item["count"] = count


def _count(item: Node) -> int:
    count = item.get("count", 1)
    return count if isinstance(count, int) and count > 0 else 0


def _is_trader(item: Any) -> bool:
    cls = POPULATIONS.get(str(item.get("kind"))) if isinstance(item, dict) else None
    return cls is not None and not issubclass(cls, NO_TRADERS)


def _as_list(node: Any) -> list[Any]:
    return node if isinstance(node, list) else []


def _trades_perpetuals(venue: Any) -> bool:
    return "perpetual" in _list_kinds(venue)


def _list_kinds(venue: Any) -> Iterator[str]:
    """Yield the kinds of the instruments that a venue lists."""
    for each in _as_list(venue.get("instruments")) if isinstance(venue, dict) else []:
        if isinstance(each, dict):
            yield str(each.get("kind", "perpetual"))
