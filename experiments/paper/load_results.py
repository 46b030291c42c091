"""Loading of result folders of runs and studies: damage is reported, and nothing in them is run."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pydantic

from experiments import plugins
from experiments.config import RunConfig, load_run
from experiments.paper.tables import TableLabels
from experiments.results import identity, provenance
from experiments.sweep.config import RESOLVED_STUDY, StudyConfig
from experiments.sweep.older import describe_mixed_codes
from experiments.sweep.progress_state import RUNS, SCORES
from experiments.sweep.sealed import is_run_name
from experiments.sweep.study import StudyModule, hash_study_module, load_study_module
from experiments.sweep.study import find_study_module as module_named
from sim.errors import ConfigError, DataError, DeleverageError
from sim.reading.documents import read_json, read_yaml
from sim.reading.problems import describe_problems

CONFIG, SUMMARY, MANIFEST = "config.resolved.yaml", "summary.json", "manifest.json"
STEPS = "steps.parquet"

UNKNOWN = "unknown"
"""Version of a result that does not record one."""


class MissingFrameError(DeleverageError):
    """Error of a frame that a run does not have, or that cannot be read."""


class RunFrames(dict[str, pd.DataFrame]):
    """Frames by name; a missing frame raises an error that names its file."""

    def __missing__(self, name: str) -> pd.DataFrame:
        """Raise an error of its own, because a missing column also raises KeyError."""
        raise MissingFrameError(
            f"{name}.parquet is not there or cannot be read, make the run again"
        )


class RunResult(NamedTuple):
    """Result of one run."""

    folder: Path
    config: RunConfig
    frames: dict[str, pd.DataFrame]  # readable frames
    about: dict[str, Any]  # provenance
    problems: tuple[str, ...]  # unreadable files
    notices: tuple[str, ...] = ()  # differences between the current code and that of the result


class StudyResult(NamedTuple):
    """Result of a study: its scores and runs."""

    folder: Path
    study: StudyConfig
    scores: pd.DataFrame
    runs: pd.DataFrame  # a row for each setting, replication and role; empty without that file
    about: dict[str, Any]
    problems: tuple[str, ...]
    notices: tuple[str, ...] = ()
    mixed: str = ""  # notice about several codes, for every table; empty if one code made all runs

    @property
    def module(self) -> StudyModule:
        """Module that scores the study, from the package or the command line.

        Raises:
            ConfigError: there is no such module.
        """
        return load_study_module(self.study.module)

    @property
    def table_labels(self) -> TableLabels:
        """Labels of the module, and the notice that every table carries."""
        return TableLabels.from_module(self.module)._replace(mixed=self.mixed)

    @property
    def axes(self) -> list[str]:
        """Columns of scores that define a setting."""
        names = [axis.name for axis in self.study.axes]
        return [*names, *(["role"] if "role" in self.scores else [])]


def open_result(
    folder: str | Path, own: str | Path | None = None, *, measured: bool = True
) -> RunResult | StudyResult:
    """Open a result folder without running any of its files.

    Args:
        folder: result of ``deleverage run``, of ``deleverage sweep``, or of one run of a sweep.
        own: file of the study's module, as named by the user; None = from the package or a plug-in.
        measured: load the study's module.

    Raises:
        DataError: it is not a result, is of another version, needs a plug-in, or nothing in it can
            be read.
        ConfigError: the study has no module.
    """
    folder, own = Path(folder), None if own is None else Path(own)
    if not folder.is_dir():
        problem = "is no folder" if folder.exists() else "no such folder"
        rule = "name the result of deleverage run or deleverage sweep"
        raise DataError(f"{folder}: {problem}, {rule}")
    held = {path.name for path in folder.iterdir()}
    if RESOLVED_STUDY in held:
        return _open_study(folder, own, measured)
    if held & {RUNS, SCORES}:
        raise DataError(f"{folder}: {RESOLVED_STUDY} is not there, {_afresh(folder)}")
    if own is not None:
        raise ConfigError([f"--study {own}: {folder} is no result of a study, leave it out"])
    if held & {CONFIG, SUMMARY} and STEPS in held:
        return _open_run(folder)
    if held & {CONFIG, SUMMARY}:
        raise DataError(f"{folder}: {STEPS} is not there, make the run again")
    if any((folder.parent / name).is_file() for name in (RESOLVED_STUDY, CONFIG)):
        raise DataError(f"{folder}: is a part of a result, name the whole: {folder.parent}")
    raise DataError(
        f"{folder}: no result, holds neither {RESOLVED_STUDY} nor {CONFIG}, name a folder that does"
    )


def _afresh(folder: Path) -> str:
    """Return the remedy for a lost description of a study."""
    return (
        "restore it, or run the sweep again into another folder with --out; "
        f"--known {folder} keeps its runs"
    )


def _open_run(folder: Path) -> RunResult:
    """Open a run of ``deleverage run``, with a manifest, or of a sweep, with only a summary."""
    summary = _read_json(folder / SUMMARY)
    about = _read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    _require_same_version(folder, str(about.get("version") or summary.get("version") or UNKNOWN))
    code = about.get("code") or summary.get("code")
    notices = check_plugins(folder, [code]) + _unsigned_notices(folder, [code])
    config = _own_config(folder) if (folder / CONFIG).is_file() else _read_config(folder, summary)
    frames, problems = RunFrames(), []
    for path in sorted(folder.glob("*.parquet")):
        try:
            frames[path.stem] = _read_frame(path)
        except DataError as error:
            problems.append(str(error))
    if not frames:
        raise DataError(*problems)
    return RunResult(
        folder, config, frames, about or {"version": summary["version"]}, tuple(problems), notices
    )


def _own_config(folder: Path) -> RunConfig:
    try:
        return load_run(folder / CONFIG)
    except ConfigError as error:
        problem = error.problems[0].removeprefix(f"{folder / CONFIG}: ")
        rule = f"is no configuration of this version ({problem}), restore it or make the run again"
        raise DataError(f"{folder / CONFIG}: {rule}") from error


def check_plugins(folder: Path, codes: Sequence[Any]) -> tuple[str, ...]:
    """Return a line for each plug-in that changed since it made a result.

    Args:
        folder: result folder.
        codes: facts about the code that made it, as stored in it.

    Raises:
        DataError: a plug-in that made it was not given.
    """
    parts = [code.get("plugins") for code in codes if isinstance(code, dict)]
    needed = [
        (str(name), str(digest))
        for part in parts
        if isinstance(part, dict)
        for name, digest in part.items()
    ]
    if lacking := plugins.format_missing_options(dict(needed)):
        raise DataError(f"{folder}: was made with a plug-in, name it: {lacking}")
    changed = sorted({name for name, digest in needed if plugins.digest_plugin(name) != digest})
    return tuple(
        f"--plugin {name}: is not as it was when {folder} was made, figures may differ"
        for name in changed
    )


def _unsigned_notices(folder: Path, codes: Sequence[Any]) -> tuple[str, ...]:
    """Return a line if a result does not record the code that made it."""
    if any(isinstance(code, dict) for code in codes):
        return ()
    problem = "was made by an earlier build, which did not record its code"
    return (f"{folder}: {problem}, figures may mean something else",)


def list_code_notices(folder: Path) -> tuple[str, ...]:
    """Return notices for a part of a result that is run again by other code.

    Raises:
        DataError: a plug-in that made it was not given, or it cannot be read.
    """
    is_study = (folder / RESOLVED_STUDY).is_file()
    codes = read_codes(folder) if is_study else _read_run_codes(folder)
    changed = check_plugins(folder, codes) + _unsigned_notices(folder, codes)
    if changed or is_study or not codes or not isinstance(codes[0], dict):
        return changed
    named = codes[0].get("plugins")
    known = named if isinstance(named, dict) else {}
    here = identity.describe_code([name for name in plugins.list_plugins() if name in known])
    differences = "; ".join(identity.describe_differences(codes[0], here))
    if not differences:
        return ()
    return (f"{folder}: was made by other code ({differences}), what is run again may differ",)


def _read_run_codes(folder: Path) -> list[Any]:
    """Return the facts about the code of a run, from its manifest or else its summary."""
    for name in (MANIFEST, SUMMARY):
        if (folder / name).is_file():
            return [_read_json(folder / name).get("code")]
    return []


def _open_study(folder: Path, own: Path | None, measured: bool) -> StudyResult:
    study = _read_study(folder)
    if not (folder / SCORES).is_file():
        rule = "no run has been scored yet, start deleverage sweep with this folder again"
        raise DataError(f"{folder}: holds no {SCORES}, {rule}, it resumes the sweep")
    _require_same_version(folder, _frame_version(folder / SCORES))
    codes = read_codes(folder)
    notices = check_plugins(folder, codes) + _unsigned_notices(folder, codes)
    if measured:
        study = study.with_module(module_named(study.name, own))
        notices += _module_notices(folder, study)
    again = (
        "start deleverage sweep with this folder again, it makes it from the runs that are there"
    )
    scores, problems = _read_frame(folder / SCORES, again), []
    runs, about = pd.DataFrame(), {}
    try:
        runs = _read_frame(folder / RUNS, again)
    except DataError as error:
        problems.append(str(error))
    try:
        about = _read_json(folder / MANIFEST, again)
    except DataError as error:
        problems.append(str(error))
    mixed = describe_mixed_codes([code for code in codes if isinstance(code, dict)])
    return StudyResult(folder, study, scores, runs, about, tuple(problems), notices, mixed)


def _module_notices(folder: Path, study: StudyConfig) -> tuple[str, ...]:
    """Return a line if the study's module differs from the one that made the scores."""
    here, there = hash_study_module(study.module), _frame_metadata(folder / SCORES, "module")
    if there in ("", here):
        return ()
    where = study.module if study.module.endswith(".py") else f"module {study.module}"
    rule = "tables and figures are of this one; start the sweep again to make the scores by it too"
    versions = f"the scores of {folder} ({there}, this is {here})"
    return (f"{where}: is not the module that made {versions}, {rule}",)


def read_codes(folder: Path) -> list[Any]:
    """Return the facts about the code of a study's runs from its scores; empty if absent."""
    try:
        codes = json.loads(_frame_metadata(folder / SCORES, "code") or "[]")
    except (ValueError, RecursionError):
        return []
    return codes if isinstance(codes, list) else []


def _read_study(folder: Path) -> StudyConfig:
    path = folder / RESOLVED_STUDY
    try:
        content = read_yaml(path)
    except (ConfigError, OSError) as error:
        problem = (str(error).strip().splitlines() or [""])[0].removeprefix(f"{path}: ")
        raise DataError(f"{path}: cannot be read ({problem}), {_afresh(folder)}") from error
    plain = content if isinstance(content, dict) else {}
    try:
        return StudyConfig.model_validate(plain)
    except pydantic.ValidationError as error:
        problem = describe_problems(error, plain, StudyConfig)[0]
        rule = f"is no study of this version ({problem})"
        raise DataError(f"{path}: {rule}, {_afresh(folder)}") from error


def find_base_config(result: StudyResult) -> RunConfig | None:
    """Return the base configuration: of the first readable run, else of the study."""
    for path in _summary_paths(result):
        try:
            return _read_config(path.parent, _read_json(path))
        except DataError:
            continue
    try:
        changes = [f"{path}={json.dumps(value)}" for path, value in result.study.overrides.items()]
        return load_run(result.study.base, [*changes, *result.study.also])
    except ConfigError:
        return None


def _summary_paths(result: StudyResult) -> Iterator[Path]:
    paths = (
        result.folder / "runs" / name / SUMMARY
        for name in result.runs.get("hash", ())
        if is_run_name(name)
    )
    return (path for path in paths if path.is_file())


def _read_frame(
    path: Path, again: str = "make the run again, or use what else there is"
) -> pd.DataFrame:
    try:
        return pd.read_parquet(path.absolute())
    except FileNotFoundError as error:
        raise DataError(f"{path}: is not there, {again}") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise DataError(f"{path}: cannot be read ({reason}), {again}") from error


def _read_json(path: Path, again: str = "make the run again") -> dict[str, Any]:
    try:
        return read_json(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: is not there, {again}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read, {again}") from error


def _read_config(folder: Path, summary: dict[str, Any]) -> RunConfig:
    try:
        return RunConfig.model_validate(summary["config"])
    except (KeyError, ValueError) as error:
        problem = f"{folder / SUMMARY}: has no configuration of this version"
        if "config" not in summary:
            problem = f"{folder / CONFIG}: is not there"
        raise DataError(f"{problem}, make the run again") from error


def _frame_version(path: Path) -> str:
    """Return the version that wrote a Parquet file."""
    try:
        pa.parquet.read_schema(path.absolute())
    except (OSError, ValueError, pa.ArrowException):
        return provenance.read_version()  # the reader reports the problem of the file
    return _frame_metadata(path, "version") or UNKNOWN


def _frame_metadata(path: Path, key: str) -> str:
    """Return an entry of a Parquet file's metadata; empty if it is absent or unreadable."""
    try:
        metadata = pa.parquet.read_schema(path.absolute()).metadata or {}
    except (OSError, ValueError, pa.ArrowException):
        return ""
    return str(metadata.get(key.encode(), b"").decode(errors="replace"))


def _require_same_version(folder: Path, version: str) -> None:
    """Refuse results of another version, whose columns may have another meaning."""
    here = provenance.read_version()
    if version == UNKNOWN:
        rule = f"this is {here}, make the result again"
        raise DataError(f"{folder}: does not record which version made it, {rule}")
    if version != here:
        rule = "figures of other versions may mean something else"
        raise DataError(
            f"{folder}: made by deleverage {version}, this is {here}, {rule}, "
            f"install deleverage {version} or make the result again"
        )
