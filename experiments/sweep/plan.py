"""The plan of a study: every setting and replication, and the names of their runs."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from experiments.cautions import find_idle_settings
from experiments.config import RunConfig
from experiments.price_files.bars import describe_replays, read_replays
from experiments.results import identity, store
from experiments.sweep.axes import SweepSetting, count_replications, iterate_settings, list_changes
from experiments.sweep.config import BASE, StudyConfig
from experiments.sweep.messages import RunSpec, SweepJob
from experiments.sweep.paths import check_paths
from sim.build import count_steps
from sim.checks.opening import find_market_faults
from sim.errors import ConfigError, DataError, DataWarning, LearningWarning, SettingWarning
from sim.reading.loading import ConfigTemplate

SUPPRESSED_CLOSEOUTS = {"suppress_closeouts": True}
"""What makes a twin in which nothing happens to anybody: the base itself, if nothing happened there either."""


class SettingRequest(NamedTuple):
    """A setting that a study wants run, as asked for by its module's ``refine``."""

    setting: Mapping[str, Any]  # a value or label for every axis
    seeds: tuple[int, ...] = ()  # none = those of the study, or the fewer that a label asks for


class SettingConfigs(NamedTuple):
    """A setting and its configurations, of whatever seed."""

    setting: SweepSetting
    packed_configs: dict[str, bytes]  # by role, canonical JSON, compressed
    data: dict[str, str]  # digests of what it replays


class PlannedJob(NamedTuple):
    """A setting and a replication, with the names of its runs."""

    number: int
    configs: SettingConfigs
    seed: int
    hashes: dict[str, str]  # by role
    code: identity.CodeFacts  # of all its runs
    older: Mapping[str, str] = MappingProxyType(
        {}
    )  # by role: runs of other code that are taken in place of its own

    @property
    def setting_and_seed(self) -> SweepSetting:
        """Columns of its rows."""
        return {**self.configs.setting, "seed": self.seed}

    def dump_config(self, role: str) -> str:
        """The configuration of its run in a role, as JSON."""
        return store.dump_canonical_json(
            _unpack_with_seed(self.configs.packed_configs[role], self.seed)
        )

    def pack_job(self) -> SweepJob:
        """In words that travel."""
        packed = {role: zlib.compress(self.dump_config(role).encode()) for role in self.hashes}
        return SweepJob(
            self.number, {role: self._make_spec(role, packed[role]) for role in self.hashes}
        )

    def _make_spec(self, role: str, packed: bytes) -> RunSpec:
        return RunSpec(
            self.hashes[role], packed, self.configs.data, self.code, self.older.get(role, "")
        )

    def hash_without_code(self, role: str) -> str:
        """What its run in a role has in common with the same run as other code makes it."""
        return store.hash_config(
            _unpack_with_seed(self.configs.packed_configs[role], self.seed), "", self.configs.data
        )


class JobPlanner:
    """Makes units of a study, each once, with numbers in the order of asking.

    Args:
        study: see ``load_study``.
        code: what makes its runs; none = this process.

    Raises:
        ConfigError: a file or change of the study that is wrong for every setting.
    """

    def __init__(self, study: StudyConfig, code: identity.CodeFacts | None = None) -> None:
        check_paths(study)
        self.study = study
        self.code = identity.describe_code() if code is None else code
        self._digest = identity.compute_digest(self.code)
        own = [f"{path}={json.dumps(value)}" for path, value in study.overrides.items()]
        self._template = ConfigTemplate(study.base, [*own, *study.also], RunConfig)
        self._cases: dict[tuple[object, ...], SettingConfigs] = {}
        self._planned: set[tuple[object, ...]] = set()

    def plan_first_jobs(self) -> list[PlannedJob]:
        """What the study's file asks for; seeds vary slowest, so that every setting is seen early."""
        return self.plan_more_jobs(
            SettingRequest(setting) for setting in iterate_settings(self.study)
        )

    def plan_more_jobs(self, tasks: Iterable[SettingRequest]) -> list[PlannedJob]:
        """Units that were not asked for before.

        Raises:
            ConfigError: a setting that is no valid configuration, or names no axis.
        """
        wanted = list(tasks)
        seeds = sorted({seed for task in wanted for seed in self._request_seeds(task)})
        units = [
            (task, seed) for seed in seeds for task in wanted if seed in self._request_seeds(task)
        ]
        return [
            unit
            for task, seed in units
            if (unit := self._plan_job(dict(task.setting), seed)) is not None
        ]

    def _request_seeds(self, task: SettingRequest) -> Sequence[int]:
        return task.seeds or range(
            self.study.seed, self.study.seed + count_replications(self.study, dict(task.setting))
        )

    def _plan_job(self, setting: SweepSetting, seed: int) -> PlannedJob | None:
        case = self._find_configs(setting)
        key = (*case.setting.values(), seed)
        if key in self._planned:
            return None
        self._planned.add(key)
        hashes = {
            role: self._run_hash(_unpack_with_seed(plain, seed), case.data)
            for role, plain in case.packed_configs.items()
        }
        return PlannedJob(len(self._planned) - 1, case, seed, hashes, self.code)

    def _run_hash(self, plain: Mapping[str, Any], data: Mapping[str, str]) -> str:
        return store.hash_config(plain, self._digest, data)

    def _find_configs(self, setting: SweepSetting) -> SettingConfigs:
        ordered = {
            axis.name: setting[axis.name] for axis in self.study.axes if axis.name in setting
        } | setting
        key = tuple(ordered.values())
        if key not in self._cases:
            self._cases[key] = self._make_configs(ordered)
        return self._cases[key]

    def _make_configs(self, setting: SweepSetting) -> SettingConfigs:
        moved = list_changes(self.study, setting)
        roles: dict[str, Mapping[str, Any]] = {BASE: {}, **self.study.roles}
        try:
            configs = {
                role: self._template.build_config([*moved, *also.items()])
                for role, also in roles.items()
            }
            for config in configs.values():
                if faults := find_market_faults(config):
                    raise ConfigError(faults)
        except ConfigError as error:
            told = ", ".join(f"{name}={value}" for name, value in setting.items())
            raise ConfigError(
                [f"{self.study.name} at {told}: {line}" for line in error.problems]
            ) from error
        data = {name: bars.digest for name, bars in read_replays(configs[BASE].underlyings).items()}
        dumped = {
            role: store.dump_canonical_json(config.model_dump(mode="json"))
            for role, config in configs.items()
        }
        return SettingConfigs(
            setting, {role: zlib.compress(text.encode()) for role, text in dumped.items()}, data
        )


def plan_study(study: StudyConfig) -> list[PlannedJob]:
    """All runs that a study's file asks for; what its module's ``refine`` adds is known only once these were made."""
    return JobPlanner(study).plan_first_jobs()


def collect_notices(study: StudyConfig, units: Iterable[PlannedJob]) -> list[SettingWarning]:
    """What a user should know of data and settings: each once, with what the settings concerned have in common."""
    found: dict[tuple[type[SettingWarning], str], list[SweepSetting]] = {}
    replayed: dict[str, list[str]] = {}
    for case in {id(unit.configs): unit.configs for unit in units}.values():
        config = unpack_config(case.packed_configs[BASE])
        key = repr([each.process for each in config.underlyings])
        if key not in replayed:
            replayed[key] = describe_replays(config.underlyings)
        for told in [*((DataWarning, line) for line in replayed[key]), *_config_notices(config)]:
            found.setdefault(told, []).append(case.setting)
    return [
        kind(f"{study.name}{_common_setting(met)}: {line}") for (kind, line), met in found.items()
    ]


def _config_notices(config: RunConfig) -> Iterator[tuple[type[SettingWarning], str]]:
    """What one run would say of its settings."""
    for line in find_idle_settings(config):
        yield SettingWarning, line
    try:
        seconds = count_steps(config, read_replays(config.underlyings)) * config.dt
    except (ConfigError, DataError):
        return  # the run itself fails by it, and its row says so
    for number, venue in enumerate(config.venues):
        if told := venue.engine.explain_short_run(seconds, config.dt):
            yield LearningWarning, f"venues.{number}.engine: {told}"


def _common_setting(settings: Sequence[SweepSetting]) -> str:
    """Where some settings agree, such as `` at engine=fhs_es``."""
    alike = [
        f"{name}={value}"
        for name, value in settings[0].items()
        if all(each[name] == value for each in settings)
    ]
    return f" at {', '.join(alike)}" if alike else ""


def find_shared_roles(study: StudyConfig) -> tuple[str, ...]:
    """Roles that are the base itself where nobody was closed out."""
    return tuple(role for role, also in study.roles.items() if also == SUPPRESSED_CLOSEOUTS)


def unpack_config(config: bytes) -> RunConfig:
    """A configuration that travelled."""
    return RunConfig.model_validate_json(zlib.decompress(config), strict=True)


def _unpack_with_seed(plain: bytes, seed: int) -> dict[str, Any]:
    return {**json.loads(zlib.decompress(plain)), "seed": seed}
