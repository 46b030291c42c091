"""Catalogue of mechanisms: entries of the packaged files in ``configs/mechanisms``."""

from collections import Counter
from collections.abc import Iterator
from importlib import import_module

import yaml
from pydantic import Field

from experiments.registries import REGISTRIES
from sim.component import Component
from sim.errors import ConfigError, describe_unknown
from sim.exchange import RECORDED
from sim.reading.includes import parse_file
from sim.reading.loading import validate_mapping
from sim.reading.packaged import find_packaged, list_packaged

FOLDER = "mechanisms/"
"""Packaged folder of the catalogue."""

PORTFOLIOS = "portfolios/"
"""Packaged folder of the accounts that show mechanisms of options, which no market trades."""


class Mechanism(Component):
    """One mechanism, and a pair of small markets, or of accounts, without and with it."""

    name: str = Field(
        min_length=1, description="kind of a registered component, or a name of a dial (name)"
    )
    effect: str = Field(min_length=1, description="what it does to the outcome, one sentence")
    used_in: str = Field(
        default="", description="packaged configurations or studies that use it (names)"
    )
    base: str = Field(
        default="small_crash", description="market, run with --quick, or account (name)"
    )
    shared: tuple[str, ...] = Field(default=(), description="changes of both (overrides)")
    before: tuple[str, ...] = Field(default=(), description="changes without it (overrides)")
    after: tuple[str, ...] = Field(default=(), description="changes with it (overrides)")

    @property
    def is_account(self) -> bool:
        """True if the margin of an account shows it instead of a market."""
        return self.base.startswith(PORTFOLIOS)


class MechanismFile(Component):
    """Content of one file of the catalogue."""

    mechanisms: tuple[Mechanism, ...] = Field(min_length=1, description="entries of the file")


def load_catalogue() -> dict[str, Mechanism]:
    """Return all mechanisms by name, file by file.

    Raises:
        ConfigError: a file has a fault, or two entries have one name.
    """
    entries: list[Mechanism] = []
    for name in list_packaged():
        if name.startswith(FOLDER):
            content = {"mechanisms": parse_file(find_packaged(name))}
            entries += validate_mapping(content, MechanismFile).mechanisms
    twice = [name for name, count in Counter(each.name for each in entries).items() if count > 1]
    if twice:
        raise ConfigError([f"mechanisms: {twice[0]}, names must differ, rename one"])
    return {each.name: each for each in entries}


def find_mechanism(name: str) -> Mechanism:
    """Return the mechanism of a name.

    Raises:
        ConfigError: no entry has that name; the message suggests the nearest one.
    """
    catalogue = load_catalogue()
    if name not in catalogue:
        raise ConfigError([f"mechanism: {describe_unknown(name, catalogue)}"])
    return catalogue[name]


def list_kinds() -> Iterator[tuple[str, str]]:
    """Yield every registered kind with the name of its registry."""
    for registry, (module, variable) in REGISTRIES.items():
        for kind in getattr(import_module(module), variable):
            yield registry, kind
    for kind in RECORDED:
        yield "funding", kind


def format_catalogue() -> str:
    """Return the mechanisms as text, two lines each: effect, and where it is used."""
    lines = []
    for name, entry in load_catalogue().items():
        used = f" Used in {entry.used_in}." if entry.used_in else ""
        lines += [f"{name}: {entry.effect}{used}", f"    deleverage mechanisms {name}"]
    return "\n".join(lines)


def format_command(entry: Mechanism, changes: tuple[str, ...]) -> str:
    """Return the command that makes one of the two runs of a mechanism."""
    if entry.is_account:
        given = yaml.safe_dump([*entry.shared, *changes], default_flow_style=True, width=10**6)
        return f"account {entry.base} with {given.strip()}"
    words = [f"'{change}'" if set(change) & set(" *{}[]") else change for change in changes]
    shared = [f"'{change}'" if set(change) & set(" *{}[]") else change for change in entry.shared]
    return " ".join(["deleverage run", entry.base, "--quick", *shared, *words])
