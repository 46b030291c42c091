"""Result folders as they stand on disk: one run's, or a study's; what is damaged is named."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from experiments import provenance
from experiments.config import RunConfig, load_run
from experiments.sweep.config import StudyConfig
from experiments.sweep.folder import RESOLVED
from experiments.sweep.study import Study, module_of
from experiments.sweep.tally import RUNS, SCORES
from sim.documents import read_json, read_yaml
from sim.errors import ConfigError, DataError, DeleverageError

CONFIG, SUMMARY, MANIFEST = "config.resolved.yaml", "summary.json", "manifest.json"
STEPS = "steps.parquet"

UNKNOWN = "unknown"
"""The version of what does not say which one wrote it."""


class MissingFrameError(DeleverageError):
    """A frame that a run does not have, or that cannot be read."""


class Held(dict[str, pd.DataFrame]):
    """Frames by name; one that is not there is named with its file."""

    def __missing__(self, name: str) -> pd.DataFrame:
        """Raised where another dict would raise KeyError, which a missing column does too."""
        raise MissingFrameError(f"{name}.parquet is not there or cannot be read, make the run again")


class RunResult(NamedTuple):
    """One run."""

    folder: Path
    config: RunConfig
    frames: dict[str, pd.DataFrame]  # those that can be read
    about: dict[str, Any]  # where it came from
    problems: tuple[str, ...]  # files that cannot be read


class StudyResult(NamedTuple):
    """A study's runs, as its scores tell of them."""

    folder: Path
    study: StudyConfig
    module: Study
    scores: pd.DataFrame
    runs: pd.DataFrame  # one row for each setting, replication and role; empty if there is no such file
    about: dict[str, Any]
    problems: tuple[str, ...]

    @property
    def axes(self) -> list[str]:
        """Columns of scores that make a setting."""
        names = [axis.name for axis in self.study.axes]
        return [*names, *(["role"] if "role" in self.scores else [])]


def opened(folder: Path) -> RunResult | StudyResult:
    """A result folder.

    Args:
        folder: of ``deleverage run``, of ``deleverage sweep``, or of one run of a sweep.

    Raises:
        DataError: it is no result, is of another version, or nothing in it can be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, name the result of deleverage run or deleverage sweep")
    held = {path.name for path in folder.iterdir()}
    if RESOLVED in held:
        return _study(folder)
    if held & {CONFIG, SUMMARY} and STEPS in held:
        return _run(folder)
    parent = [name for name in ("runs.parquet", RESOLVED) if (folder.parent / name).is_file()]
    near = f"; {folder.parent} is one" if parent else ""
    raise DataError(f"{folder}: no result, holds neither {RESOLVED} nor {CONFIG}{near}, name such a folder")


def _run(folder: Path) -> RunResult:
    """From ``deleverage run``, which writes a manifest, or of a sweep, where the summary has all of it."""
    summary = _json(folder / SUMMARY)
    about = _json(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    _same_version(folder, str(about.get("version") or summary.get("version") or UNKNOWN))
    config = load_run(folder / CONFIG) if (folder / CONFIG).is_file() else _config(folder, summary)
    frames, problems = Held(), []
    for path in sorted(folder.glob("*.parquet")):
        try:
            frames[path.stem] = _frame(path)
        except DataError as error:
            problems.append(str(error))
    if not frames:
        raise DataError(*problems)
    return RunResult(folder, config, frames, about or {"version": summary["version"]}, tuple(problems))


def _study(folder: Path) -> StudyResult:
    study = _resolved(folder)
    if not (folder / SCORES).is_file():
        rule = "no run has been scored yet, start deleverage sweep with this folder again, it goes on"
        raise DataError(f"{folder}: holds no {SCORES}, {rule}")
    _same_version(folder, _version(folder / SCORES))
    again = "start deleverage sweep with this folder again, it makes it from the runs that are there"
    scores, problems = _frame(folder / SCORES, again), []
    runs, about = pd.DataFrame(), {}
    try:
        runs = _frame(folder / RUNS, again)
    except DataError as error:
        problems.append(str(error))
    try:
        about = _json(folder / MANIFEST)
    except DataError as error:
        problems.append(str(error))
    return StudyResult(folder, study, module_of(study.module), scores, runs, about, tuple(problems))


def _resolved(folder: Path) -> StudyConfig:
    path = folder / RESOLVED
    try:
        study = StudyConfig.model_validate(read_yaml(path))
    except (ConfigError, OSError, ValueError) as error:
        told = (str(error).strip().splitlines() or [""])[0]
        raise DataError(f"{path}: is no study of this version ({told}), restore it or run the sweep again") from error
    own = folder / f"{study.name}.py"
    return study.measured_by(own) if own.is_file() else study


def base_of(result: StudyResult) -> RunConfig | None:
    """What every run starts from: the configuration of the first whose summary can be read, else the study's base."""
    for path in _summaries(result):
        try:
            return _config(path.parent, _json(path))
        except DataError:
            continue
    try:
        changes = [f"{path}={json.dumps(value)}" for path, value in result.study.overrides.items()]
        return load_run(result.study.base, [*changes, *result.study.also])
    except ConfigError:
        return None


def _summaries(result: StudyResult) -> Iterator[Path]:
    paths = (result.folder / "runs" / str(name) / SUMMARY for name in result.runs.get("hash", ()))
    return (path for path in paths if path.is_file())


def _frame(path: Path, again: str = "make the run again, or use what else there is") -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        told = (str(error).strip().splitlines() or [""])[0]
        raise DataError(f"{path}: cannot be read ({told}), {again}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read, make the result again") from error


def _config(folder: Path, summary: dict[str, Any]) -> RunConfig:
    try:
        return RunConfig.model_validate(summary["config"])
    except (KeyError, ValueError) as error:
        raise DataError(f"{folder / SUMMARY}: has no configuration of this version, make the run again") from error


def _version(path: Path) -> str:
    """Which version wrote a Parquet file."""
    try:
        found = pa.parquet.read_schema(path).metadata or {}
    except (OSError, ValueError, pa.ArrowException):
        return provenance.version()  # the reader says what is wrong with the file
    return str(found.get(b"version", UNKNOWN.encode()).decode())


def _same_version(folder: Path, version: str) -> None:
    """Refuse what another version wrote: its columns may mean something else."""
    here = provenance.version()
    if version == UNKNOWN:
        raise DataError(f"{folder}: nothing in it says which version made it, this is {here}, make the result again")
    if version != here:
        rule = f"made by deleverage {version}, this is {here}, figures of other versions may mean something else"
        raise DataError(f"{folder}: {rule}, install deleverage {version} or make the result again")
