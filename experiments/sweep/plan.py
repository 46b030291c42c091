"""Plan of a study: every setting and replication, and the names of their runs."""

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
from experiments.sweep.paths import check_paths, name_other_tier
from sim.checks.opening import find_market_faults
from sim.errors import ConfigError, DataError, DataWarning, LearningWarning, SettingWarning
from sim.market_path import count_steps, measure_history
from sim.reading.loading import ConfigTemplate

SUPPRESSED_CLOSEOUTS = {"suppress_closeouts": True}
"""Change of a comparison run without close-outs; it equals the base if the base has none."""


class SettingRequest(NamedTuple):
    """Setting that a study requests from its module's ``refine``."""

    setting: Mapping[str, Any]  # a value or label of every axis
    seeds: tuple[int, ...] = ()  # none = those of the study, or the fewer of a label


class SettingConfigs(NamedTuple):
    """Setting and its configurations, for any seed."""

    setting: SweepSetting
    packed_configs: dict[str, bytes]  # by role, canonical JSON, compressed
    data: dict[str, str]  # digests of replayed data


class PlannedJob(NamedTuple):
    """Setting and replication, with the names of its runs."""

    number: int
    configs: SettingConfigs
    seed: int
    hashes: dict[str, str]  # by role
    code: identity.CodeFacts  # code of all its runs
    # by role: runs of other code that are taken instead
    older: Mapping[str, str] = MappingProxyType({})

    @property
    def setting_and_seed(self) -> SweepSetting:
        """Columns of the setting and the seed in its rows."""
        return {**self.configs.setting, "seed": self.seed}

    def dump_config(self, role: str) -> str:
        """Return the configuration of its run in a role, as JSON."""
        return store.dump_canonical_json(
            _unpack_with_seed(self.configs.packed_configs[role], self.seed)
        )

    def pack_job(self) -> SweepJob:
        """Return the job as a message to a worker."""
        packed = {role: zlib.compress(self.dump_config(role).encode()) for role in self.hashes}
        return SweepJob(
            self.number, {role: self._make_spec(role, packed[role]) for role in self.hashes}
        )

    def _make_spec(self, role: str, packed: bytes) -> RunSpec:
        return RunSpec(
            self.hashes[role], packed, self.configs.data, self.code, self.older.get(role, "")
        )

    def hash_without_code(self, role: str) -> str:
        """Return the hash of its run in a role without the code, shared with runs of other code."""
        return store.hash_config(
            _unpack_with_seed(self.configs.packed_configs[role], self.seed), "", self.configs.data
        )


class JobPlanner:
    """Planner of a study's jobs; each job is made once and numbered in the order of requests.

    Args:
        study: see ``load_study``.
        code: facts about the code that makes the runs; None = this process.

    Raises:
        ConfigError: a file or change of the study is wrong for every setting.
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
        """Return the jobs of the study's file; seeds vary slowest, so every setting is seen
        early.
        """
        return self.plan_more_jobs(
            SettingRequest(setting) for setting in iterate_settings(self.study)
        )

    def plan_more_jobs(self, tasks: Iterable[SettingRequest]) -> list[PlannedJob]:
        """Return the requested jobs that are new.

        Raises:
            ConfigError: a setting is not a valid configuration, or names an unknown axis.
        """
        requests = list(tasks)
        seeds = sorted({seed for task in requests for seed in self._request_seeds(task)})
        units = [
            (task, seed) for seed in seeds for task in requests if seed in self._request_seeds(task)
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
            where = ", ".join(f"{name}={value}" for name, value in setting.items())
            lines = [name_other_tier(line, moved) for line in error.problems]
            raise ConfigError(
                [f"{self.study.name} at {where}: {line}" for line in lines]
            ) from error
        read = read_replays(configs[BASE].underlyings, configs[BASE].history)
        data = {name: bars.digest for name, bars in read.items()}
        dumped = {
            role: store.dump_canonical_json(config.model_dump(mode="json"))
            for role, config in configs.items()
        }
        return SettingConfigs(
            setting, {role: zlib.compress(text.encode()) for role, text in dumped.items()}, data
        )


def plan_study(study: StudyConfig) -> list[PlannedJob]:
    """Return all jobs of a study's file, without those that its module's ``refine`` adds later."""
    return JobPlanner(study).plan_first_jobs()


def collect_notices(study: StudyConfig, units: Iterable[PlannedJob]) -> list[SettingWarning]:
    """Return the notices about data and settings, each once with its common setting."""
    settings: dict[tuple[type[SettingWarning], str], list[SweepSetting]] = {}
    replayed: dict[str, list[str]] = {}
    for case in {id(unit.configs): unit.configs for unit in units}.values():
        config = unpack_config(case.packed_configs[BASE])
        key = repr([underlying.process for underlying in config.underlyings])
        if key not in replayed:
            replayed[key] = describe_replays(config.underlyings)
        data_notices = [(DataWarning, line) for line in replayed[key]]
        for notice in [*data_notices, *_config_notices(config)]:
            settings.setdefault(notice, []).append(case.setting)
    return [
        kind(f"{study.name}{_common_setting(cases)}: {line}")
        for (kind, line), cases in settings.items()
    ]


def _config_notices(config: RunConfig) -> Iterator[tuple[type[SettingWarning], str]]:
    """Yield the notices about the settings of one run."""
    for line in find_idle_settings(config):
        yield SettingWarning, line
    try:
        bars = read_replays(config.underlyings, config.history)
        seconds, history = count_steps(config, bars) * config.dt, measure_history(config, bars)
    except (ConfigError, DataError):
        return  # the run itself fails with this error, and its row reports it
    for number, venue in enumerate(config.venues):
        if notice := venue.engine.explain_short_run(seconds, config.dt, history):
            yield LearningWarning, f"venues.{number}.engine: {notice}"


def _common_setting(settings: Sequence[SweepSetting]) -> str:
    """Return the values that some settings share, such as `` at engine=fhs_es``."""
    alike = [
        f"{name}={value}"
        for name, value in settings[0].items()
        if all(setting[name] == value for setting in settings)
    ]
    return f" at {', '.join(alike)}" if alike else ""


def find_shared_roles(study: StudyConfig) -> tuple[str, ...]:
    """Return the roles that equal the base run if nothing was closed out."""
    return tuple(role for role, also in study.roles.items() if also == SUPPRESSED_CLOSEOUTS)


def unpack_config(config: bytes) -> RunConfig:
    """Return a configuration from its compressed JSON."""
    return RunConfig.model_validate_json(zlib.decompress(config), strict=True)


def _unpack_with_seed(plain: bytes, seed: int) -> dict[str, Any]:
    return {**json.loads(zlib.decompress(plain)), "seed": seed}
