"""Result folders as they stand on disk: one run's, or a study's; what is damaged is named, and nothing in them runs."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pydantic

from experiments import identity, plugins, provenance
from experiments.config import RunConfig, load_run
from experiments.paper.tables import Words
from experiments.sweep.config import RESOLVED, StudyConfig
from experiments.sweep.older import words
from experiments.sweep.sealed import is_run
from experiments.sweep.study import Study, digest_of, module_of
from experiments.sweep.study import found as module_named
from experiments.sweep.tally import RUNS, SCORES
from sim.documents import read_json, read_yaml
from sim.errors import ConfigError, DataError, DeleverageError
from sim.problems import describe

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
    notices: tuple[str, ...] = ()  # code that is not the one which made it


class StudyResult(NamedTuple):
    """A study's runs, as its scores tell of them."""

    folder: Path
    study: StudyConfig
    scores: pd.DataFrame
    runs: pd.DataFrame  # one row for each setting, replication and role; empty if there is no such file
    about: dict[str, Any]
    problems: tuple[str, ...]
    notices: tuple[str, ...] = ()
    mixed: str = ""  # which codes made its runs, for every table; empty = one

    @property
    def module(self) -> Study:
        """What measures it: a module of the package, or of the command line.

        Raises:
            ConfigError: there is none.
        """
        return module_of(self.study.module)

    @property
    def words(self) -> Words:
        """What its module calls things, and what every table of it says."""
        return Words.of(self.module)._replace(mixed=self.mixed)

    @property
    def axes(self) -> list[str]:
        """Columns of scores that make a setting."""
        names = [axis.name for axis in self.study.axes]
        return [*names, *(["role"] if "role" in self.scores else [])]


def opened(folder: Path, own: Path | None = None, *, measured: bool = True) -> RunResult | StudyResult:
    """A result folder, none of whose files is ever run.

    Args:
        folder: of ``deleverage run``, of ``deleverage sweep``, or of one run of a sweep.
        own: file of the study's module, as the user names it; none = of the package or a plug-in.
        measured: whether a study's module is wanted.

    Raises:
        DataError: it is no result, is of another version, needs a plug-in, or nothing in it can be read.
        ConfigError: there is no module of the study.
    """
    if not folder.is_dir():
        told = "is no folder" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {told}, name the result of deleverage run or deleverage sweep")
    held = {path.name for path in folder.iterdir()}
    if RESOLVED in held:
        return _study(folder, own, measured)
    if held & {RUNS, SCORES}:
        raise DataError(f"{folder}: {RESOLVED} is not there, {_afresh(folder)}")
    if own is not None:
        raise ConfigError([f"--study {own}: {folder} is no result of a study, leave it out"])
    if held & {CONFIG, SUMMARY} and STEPS in held:
        return _run(folder)
    if held & {CONFIG, SUMMARY}:
        raise DataError(f"{folder}: {STEPS} is not there, make the run again")
    if any((folder.parent / name).is_file() for name in (RESOLVED, CONFIG)):
        raise DataError(f"{folder}: is a part of a result, name the whole: {folder.parent}")
    raise DataError(f"{folder}: no result, holds neither {RESOLVED} nor {CONFIG}, name a folder that does")


def _afresh(folder: Path) -> str:
    """What to do where the description of a study is lost."""
    return f"restore it, or run the sweep again into another folder with --out; --known {folder} keeps its runs"


def _run(folder: Path) -> RunResult:
    """From ``deleverage run``, which writes a manifest, or of a sweep, where the summary has all of it."""
    summary = _json(folder / SUMMARY)
    about = _json(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    _same_version(folder, str(about.get("version") or summary.get("version") or UNKNOWN))
    code = about.get("code") or summary.get("code")
    notices = plugged(folder, [code]) + _silent(folder, [code])
    config = _own_config(folder) if (folder / CONFIG).is_file() else _config(folder, summary)
    frames, problems = Held(), []
    for path in sorted(folder.glob("*.parquet")):
        try:
            frames[path.stem] = _frame(path)
        except DataError as error:
            problems.append(str(error))
    if not frames:
        raise DataError(*problems)
    return RunResult(folder, config, frames, about or {"version": summary["version"]}, tuple(problems), notices)


def _own_config(folder: Path) -> RunConfig:
    try:
        return load_run(folder / CONFIG)
    except ConfigError as error:
        told = error.problems[0].removeprefix(f"{folder / CONFIG}: ")
        rule = f"is no configuration of this version ({told}), restore it or make the run again"
        raise DataError(f"{folder / CONFIG}: {rule}") from error


def plugged(folder: Path, codes: Sequence[Any]) -> tuple[str, ...]:
    """A line for each plug-in that is not as it was when it made a result.

    Args:
        folder: the result.
        codes: facts of the code that made it, as they stand in it.

    Raises:
        DataError: a plug-in that made it is not named.
    """
    parts = [code.get("plugins") for code in codes if isinstance(code, dict)]
    needed = [(str(name), str(digest)) for part in parts if isinstance(part, dict) for name, digest in part.items()]
    if lacking := plugins.missing(dict(needed)):
        raise DataError(f"{folder}: was made with a plug-in, name it: {lacking}")
    changed = sorted({name for name, digest in needed if plugins.digest(name) != digest})
    return tuple(f"--plugin {name}: is not as it was when {folder} was made, figures may differ" for name in changed)


def _silent(folder: Path, codes: Sequence[Any]) -> tuple[str, ...]:
    """A line if a result says nothing of the code that made it."""
    if any(isinstance(code, dict) for code in codes):
        return ()
    return (f"{folder}: was made by an earlier build, which did not record its code, figures may mean something else",)


def notices(folder: Path) -> tuple[str, ...]:
    """What must be known before a part of a result is run again: that other code made it.

    Raises:
        DataError: a plug-in that made it is not named, or it cannot be read.
    """
    path = next((folder / name for name in (MANIFEST, SUMMARY) if (folder / name).is_file()), None)
    codes = codes_of(folder) if (folder / RESOLVED).is_file() else [] if path is None else [_json(path).get("code")]
    changed = plugged(folder, codes) + _silent(folder, codes)
    if changed or not codes or not isinstance(codes[0], dict) or (folder / RESOLVED).is_file():
        return changed
    named = codes[0].get("plugins")
    here = identity.facts([name for name in plugins.loaded() if isinstance(named, dict) and name in named])
    differ = "; ".join(identity.differences(codes[0], here))
    return (f"{folder}: was made by other code ({differ}), what is run again may differ",) if differ else ()


def _study(folder: Path, own: Path | None, measured: bool) -> StudyResult:
    study = _resolved(folder)
    if not (folder / SCORES).is_file():
        rule = "no run has been scored yet, start deleverage sweep with this folder again, it goes on"
        raise DataError(f"{folder}: holds no {SCORES}, {rule}")
    _same_version(folder, _version(folder / SCORES))
    codes = codes_of(folder)
    notices = plugged(folder, codes) + _silent(folder, codes)
    if measured:
        study = study.measured_by(module_named(study.name, own))
        notices += _measured(folder, study)
    again = "start deleverage sweep with this folder again, it makes it from the runs that are there"
    scores, problems = _frame(folder / SCORES, again), []
    runs, about = pd.DataFrame(), {}
    try:
        runs = _frame(folder / RUNS, again)
    except DataError as error:
        problems.append(str(error))
    try:
        about = _json(folder / MANIFEST, again)
    except DataError as error:
        problems.append(str(error))
    mixed = words([code for code in codes if isinstance(code, dict)])
    return StudyResult(folder, study, scores, runs, about, tuple(problems), notices, mixed)


def _measured(folder: Path, study: StudyConfig) -> tuple[str, ...]:
    """A line if the study's module is not the one that made the scores."""
    here, there = digest_of(study.module), _held(folder / SCORES, "module")
    if there in ("", here):
        return ()
    where = study.module if study.module.endswith(".py") else f"module {study.module}"
    rule = "tables and figures are of this one; start the sweep again to make the scores by it too"
    return (f"{where}: is not the module that made the scores of {folder} ({there}, this is {here}), {rule}",)


def codes_of(folder: Path) -> list[Any]:
    """Facts of the code of a study's runs, as its scores hold them; none where they do not."""
    try:
        told = json.loads(_held(folder / SCORES, "code") or "[]")
    except (ValueError, RecursionError):
        return []
    return told if isinstance(told, list) else []


def _resolved(folder: Path) -> StudyConfig:
    path = folder / RESOLVED
    try:
        content = read_yaml(path)
    except (ConfigError, OSError) as error:
        told = (str(error).strip().splitlines() or [""])[0].removeprefix(f"{path}: ")
        raise DataError(f"{path}: cannot be read ({told}), {_afresh(folder)}") from error
    plain = content if isinstance(content, dict) else {}
    try:
        return StudyConfig.model_validate(plain)
    except pydantic.ValidationError as error:
        told = describe(error, plain, StudyConfig)[0]
        raise DataError(f"{path}: is no study of this version ({told}), {_afresh(folder)}") from error


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
    paths = (result.folder / "runs" / name / SUMMARY for name in result.runs.get("hash", ()) if is_run(name))
    return (path for path in paths if path.is_file())


def _frame(path: Path, again: str = "make the run again, or use what else there is") -> pd.DataFrame:
    try:
        return pd.read_parquet(path.absolute())
    except FileNotFoundError as error:
        raise DataError(f"{path}: is not there, {again}") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        told = (str(error).strip().splitlines() or [""])[0]
        raise DataError(f"{path}: cannot be read ({told}), {again}") from error


def _json(path: Path, again: str = "make the run again") -> dict[str, Any]:
    try:
        return read_json(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: is not there, {again}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read, {again}") from error


def _config(folder: Path, summary: dict[str, Any]) -> RunConfig:
    try:
        return RunConfig.model_validate(summary["config"])
    except (KeyError, ValueError) as error:
        told = f"{folder / SUMMARY}: has no configuration of this version"
        if "config" not in summary:
            told = f"{folder / CONFIG}: is not there"
        raise DataError(f"{told}, make the run again") from error


def _version(path: Path) -> str:
    """Which version wrote a Parquet file."""
    try:
        pa.parquet.read_schema(path.absolute())
    except (OSError, ValueError, pa.ArrowException):
        return provenance.version()  # the reader says what is wrong with the file
    return _held(path, "version") or UNKNOWN


def _held(path: Path, key: str) -> str:
    """What a Parquet file says of itself; empty if it says nothing of that, or cannot be read."""
    try:
        metadata = pa.parquet.read_schema(path.absolute()).metadata or {}
    except (OSError, ValueError, pa.ArrowException):
        return ""
    return str(metadata.get(key.encode(), b"").decode(errors="replace"))


def _same_version(folder: Path, version: str) -> None:
    """Refuse what another version wrote: its columns may mean something else."""
    here = provenance.version()
    if version == UNKNOWN:
        raise DataError(f"{folder}: nothing in it says which version made it, this is {here}, make the result again")
    if version != here:
        rule = f"made by deleverage {version}, this is {here}, figures of other versions may mean something else"
        raise DataError(f"{folder}: {rule}, install deleverage {version} or make the result again")
