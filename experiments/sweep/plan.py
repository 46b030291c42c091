"""The plan of a study: every setting and replication, and the names of their runs."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from experiments.cautions import cautions
from experiments.config import RunConfig
from experiments.price_files.bars import read_replays, replay_notes
from experiments.results import identity, store
from experiments.sweep.axes import Setting, changes, replications, settings
from experiments.sweep.config import BASE, StudyConfig
from experiments.sweep.messages import Job, Spec
from experiments.sweep.paths import check
from sim.build import steps_of
from sim.errors import ConfigError, DataError, DataNote, LearningWarning, SettingWarning
from sim.reading.loading import Template

SUPPRESSED = {"suppress_closeouts": True}
"""What makes a twin in which nothing happens to anybody: the base itself, if nothing happened there either."""


class Task(NamedTuple):
    """A setting that a study wants run, as asked for by its module's ``refine``."""

    setting: Mapping[str, Any]  # a value or label for every axis
    seeds: tuple[int, ...] = ()  # none = those of the study, or the fewer that a label asks for


class Case(NamedTuple):
    """A setting and its configurations, of whatever seed."""

    setting: Setting
    plain: dict[str, bytes]  # by role, canonical JSON, compressed
    data: dict[str, str]  # digests of what it replays


class Unit(NamedTuple):
    """A setting and a replication, with the names of its runs."""

    number: int
    case: Case
    seed: int
    hashes: dict[str, str]  # by role
    code: identity.Facts  # of all its runs
    older: Mapping[str, str] = MappingProxyType({})  # by role: runs of other code that are taken in place of its own

    @property
    def setting(self) -> Setting:
        """Columns of its rows."""
        return {**self.case.setting, "seed": self.seed}

    def text(self, role: str) -> str:
        """The configuration of its run in a role, as JSON."""
        return store.canonical(_seeded(self.case.plain[role], self.seed))

    def job(self) -> Job:
        """In words that travel."""
        packed = {role: zlib.compress(self.text(role).encode()) for role in self.hashes}
        return Job(self.number, {role: self._spec(role, packed[role]) for role in self.hashes})

    def _spec(self, role: str, packed: bytes) -> Spec:
        return Spec(self.hashes[role], packed, self.case.data, self.code, self.older.get(role, ""))

    def key(self, role: str) -> str:
        """What its run in a role has in common with the same run as other code makes it."""
        return store.config_hash(_seeded(self.case.plain[role], self.seed), "", self.case.data)


class Planner:
    """Makes units of a study, each once, with numbers in the order of asking.

    Args:
        study: see ``load_study``.
        code: what makes its runs; none = this process.

    Raises:
        ConfigError: a file or change of the study that is wrong for every setting.
    """

    def __init__(self, study: StudyConfig, code: identity.Facts | None = None) -> None:
        check(study)
        self.study = study
        self.code = identity.facts() if code is None else code
        self._digest = identity.digest_of(self.code)
        own = [f"{path}={json.dumps(value)}" for path, value in study.overrides.items()]
        self._template = Template(study.base, [*own, *study.also], RunConfig)
        self._cases: dict[tuple[object, ...], Case] = {}
        self._seen: set[tuple[object, ...]] = set()

    def first(self) -> list[Unit]:
        """What the study's file asks for; seeds vary slowest, so that every setting is seen early."""
        return self.more(Task(setting) for setting in settings(self.study))

    def more(self, tasks: Iterable[Task]) -> list[Unit]:
        """Units that were not asked for before.

        Raises:
            ConfigError: a setting that is no valid configuration, or names no axis.
        """
        wanted = list(tasks)
        seeds = sorted({seed for task in wanted for seed in self._seeds(task)})
        units = [(task, seed) for seed in seeds for task in wanted if seed in self._seeds(task)]
        return [unit for task, seed in units if (unit := self._unit(dict(task.setting), seed)) is not None]

    def _seeds(self, task: Task) -> Sequence[int]:
        return task.seeds or range(self.study.seed, self.study.seed + replications(self.study, dict(task.setting)))

    def _unit(self, setting: Setting, seed: int) -> Unit | None:
        case = self._case(setting)
        key = (*case.setting.values(), seed)
        if key in self._seen:
            return None
        self._seen.add(key)
        hashes = {role: self._hash(_seeded(plain, seed), case.data) for role, plain in case.plain.items()}
        return Unit(len(self._seen) - 1, case, seed, hashes, self.code)

    def _hash(self, plain: Mapping[str, Any], data: Mapping[str, str]) -> str:
        return store.config_hash(plain, self._digest, data)

    def _case(self, setting: Setting) -> Case:
        ordered = {axis.name: setting[axis.name] for axis in self.study.axes if axis.name in setting} | setting
        key = tuple(ordered.values())
        if key not in self._cases:
            self._cases[key] = self._configured(ordered)
        return self._cases[key]

    def _configured(self, setting: Setting) -> Case:
        moved = changes(self.study, setting)
        roles: dict[str, Mapping[str, Any]] = {BASE: {}, **self.study.roles}
        try:
            configs = {role: self._template.made([*moved, *also.items()]) for role, also in roles.items()}
        except ConfigError as error:
            told = ", ".join(f"{name}={value}" for name, value in setting.items())
            raise ConfigError([f"{self.study.name} at {told}: {line}" for line in error.problems]) from error
        data = {name: bars.digest for name, bars in read_replays(configs[BASE].underlyings).items()}
        dumped = {role: store.canonical(config.model_dump(mode="json")) for role, config in configs.items()}
        return Case(setting, {role: zlib.compress(text.encode()) for role, text in dumped.items()}, data)


def plan(study: StudyConfig) -> list[Unit]:
    """All runs that a study's file asks for; what its module's ``refine`` adds is known only once these were made."""
    return Planner(study).first()


def notices(study: StudyConfig, units: Iterable[Unit]) -> list[SettingWarning]:
    """What a user should know of data and settings: each once, with what the settings concerned have in common."""
    found: dict[tuple[type[SettingWarning], str], list[Setting]] = {}
    replayed: dict[str, list[str]] = {}
    for case in {id(unit.case): unit.case for unit in units}.values():
        config = unpacked(case.plain[BASE])
        key = repr([each.process for each in config.underlyings])
        if key not in replayed:
            replayed[key] = replay_notes(config.underlyings)
        for told in [*((DataNote, line) for line in replayed[key]), *_notices(config)]:
            found.setdefault(told, []).append(case.setting)
    return [kind(f"{study.name}{_common(met)}: {line}") for (kind, line), met in found.items()]


def _notices(config: RunConfig) -> Iterator[tuple[type[SettingWarning], str]]:
    """What one run would say of its settings."""
    for line in cautions(config):
        yield SettingWarning, line
    try:
        seconds = steps_of(config, read_replays(config.underlyings)) * config.dt
    except (ConfigError, DataError):
        return  # the run itself fails by it, and its row says so
    for number, venue in enumerate(config.venues):
        if told := venue.engine.unlearnt(seconds, config.dt):
            yield LearningWarning, f"venues.{number}.engine: {told}"


def _common(settings: Sequence[Setting]) -> str:
    """Where some settings agree, such as `` at engine=fhs_es``."""
    alike = [f"{name}={value}" for name, value in settings[0].items() if all(each[name] == value for each in settings)]
    return f" at {', '.join(alike)}" if alike else ""


def shared(study: StudyConfig) -> tuple[str, ...]:
    """Roles that are the base itself where nobody was closed out."""
    return tuple(role for role, also in study.roles.items() if also == SUPPRESSED)


def unpacked(config: bytes) -> RunConfig:
    """A configuration that travelled."""
    return RunConfig.model_validate_json(zlib.decompress(config), strict=True)


def _seeded(plain: bytes, seed: int) -> dict[str, Any]:
    return {**json.loads(zlib.decompress(plain)), "seed": seed}
