"""Verification of results: checksums of all files, and some runs made again."""

import json
import shutil
import tempfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pydantic

from experiments import plugins
from experiments.comparison.requests import COMPARISON
from experiments.config import RunConfig
from experiments.paper.load_results import check_plugins
from experiments.results import identity, provenance, store
from experiments.results.checksums import (
    MANIFEST,
    STRAY,
    check_listed_files,
    list_missing_checksums,
    list_strays,
)
from experiments.sweep.config import RESOLVED_STUDY
from experiments.sweep.execute_jobs import write_run
from experiments.sweep.messages import COMPLETE, RunSpec
from experiments.sweep.older import UNSIGNED_NOTICE
from experiments.sweep.progress_state import RUNS
from experiments.sweep.sealed import (
    SUMMARY,
    DamagedRunError,
    derive_run_name,
    find_damaged_files,
    hash_frames,
    is_run_name,
    is_unsigned,
    list_stray_files,
    list_stray_run_files,
    read_summary,
)
from sim.errors import DeleverageError, OutputError
from sim.reading.documents import read_json
from sim.reading.problems import describe_problems

CONFIG = "config.resolved.yaml"


class VerificationResult(NamedTuple):
    """Result of a verification."""

    files: int  # number of files compared with the manifest, without those of stored runs
    runs: int  # number of runs made again
    differences: tuple[str, ...]  # path: problem
    notices: tuple[str, ...] = ()  # differences between the current code and that of the results

    @property
    def comparison_text(self) -> str:
        """Description of the compared files."""
        return (
            f"{self.files} files compared with the manifest"
            if self.files
            else "all files compared with checksums"
        )


class ReproducedRun(NamedTuple):
    """Comparison of a stored run with its repetition."""

    differences: list[str]
    code: Any  # facts about the code that made the stored run


def verify_results(place: Path, sample: int, seed: int = 0) -> VerificationResult:
    """Compare the checksums of all files, and make some runs again.

    Args:
        place: results of a study, of one of its runs, of ``deleverage run``, or of its comparison
            of engines.
        sample: number of runs to make again; the same runs for the same seed.
        seed: seed of the choice of runs.

    Raises:
        OutputError: there are no results, or they are not finished.
        DataError: a plug-in that made them was not given.
    """
    if not place.is_dir():
        problem = "is no folder" if place.exists() else "no such folder"
        rule = "name the result of deleverage run or deleverage sweep"
        raise OutputError(f"{place}: {problem}, {rule}")
    if (place / CONFIG).is_file() and not (place / RESOLVED_STUDY).is_file():
        return _verify_run_result(place, again=sample > 0)
    if (place / COMPARISON).is_file() and not (place / RESOLVED_STUDY).is_file():
        return _verify_comparison(place, sample, seed)
    if is_run_name(place.resolve().name) and (place / SUMMARY).is_file():
        return _verify_sweep_run(place.resolve(), again=sample > 0)
    return _verify_study(place, sample, seed)


def _verify_comparison(place: Path, sample: int, seed: int) -> VerificationResult:
    """Verify the table of a comparison of engines and the run under each engine."""
    manifest = _read_manifest(place, (COMPARISON, MANIFEST))
    files = manifest["files"]
    present = [path.name for path in place.iterdir() if path.is_dir()]
    names = sorted({*map(str, manifest.get("runs", ())), *present})
    found = _verify_compared_runs(place, names, _choose_runs(names, sample, seed))
    problems = list_missing_checksums(files, (COMPARISON,)) + check_listed_files(place, files)
    problems += [f"{name}: {STRAY}" for name in list_strays(place, files)]
    problems += [f"{name}: has no {CONFIG}" for name in names if name not in found]
    for name, run in found.items():
        problems += [f"{name}/{line}" for line in run.differences]
    notices = dict.fromkeys(line for run in found.values() for line in run.notices)
    n_files = len(files) + sum(run.files for run in found.values())
    n_runs = sum(run.runs for run in found.values())
    return VerificationResult(n_files, n_runs, tuple(problems), tuple(notices))


def _verify_compared_runs(
    place: Path, names: Sequence[str], again: Collection[str]
) -> dict[str, VerificationResult]:
    """Verify the runs of a comparison by their names, without folders that hold no run."""
    return {
        name: _verify_run_result(place / name, again=name in again)
        for name in names
        if (place / name / CONFIG).is_file()
    }


def _verify_study(place: Path, sample: int, seed: int) -> VerificationResult:
    manifest = _read_manifest(place, (RESOLVED_STUDY, RUNS, MANIFEST))
    names = _list_complete_runs(place)
    files, codes, runs = manifest["files"], manifest.get("code"), place / "runs"
    notices = list(check_plugins(place, codes if isinstance(codes, list) else []))
    problems = _check_study_files(place, files)
    problems += [f"runs/{name}: is not there" for name in names if not (runs / name).exists()]
    stored = [path for path in sorted(runs.glob("*")) if is_run_name(path.name)]
    unsigned = {path.name for path in stored if is_unsigned(path)}
    again = _choose_runs(names, sample, seed) - unsigned
    notices += _unsigned_notices(place, len(unsigned & set(names)))
    for path in stored:
        run = _verify_stored_run(path, again=path.name in again)
        notices += _other_code_notices(run.code)
        problems += [f"runs/{path.name}/{line}" for line in run.differences]
    problems += _describe_strays(place, files)
    unique_notices = tuple(dict.fromkeys(notices))
    return VerificationResult(len(files), len(again), tuple(problems), unique_notices)


def _check_study_files(place: Path, files: Mapping[str, str]) -> list[str]:
    """Return the problems of a study's listed files."""
    missing = list_missing_checksums(files, (RESOLVED_STUDY, RUNS))
    return [*missing, *check_listed_files(place, files)]


def _describe_strays(place: Path, files: Mapping[str, str]) -> list[str]:
    """Return a line for each file of a study's result that no command wrote."""
    strays = [
        *list_strays(place, files),
        *(f"runs/{name}" for name in list_stray_files(place / "runs")),
    ]
    return [f"{name}: {STRAY}" for name in strays]


def _choose_runs(names: list[str], sample: int, seed: int) -> set[str]:
    """Draw the names of the runs to make again."""
    chosen = np.random.default_rng(seed).permutation(len(names))[:sample]
    return {names[number] for number in chosen.tolist()}


def _verify_stored_run(path: Path, *, again: bool) -> ReproducedRun:
    """Compare a run's files with their checksums, and make it again if wanted."""
    damaged = find_damaged_files(path)
    if not again:
        return ReproducedRun([_changed_notice(name) for name in damaged], None)
    run = _reproduce_run(path)
    known = {line.partition(":")[0] for line in run.differences}
    more = [_changed_notice(name) for name in damaged if name not in known]
    return ReproducedRun([*run.differences, *more], run.code)


def _unsigned_notices(place: Path, count: int) -> list[str]:
    """Return a line about runs without facts of their code."""
    if not count:
        return []
    rule = (
        "their files were compared, they are not made again; "
        "start the sweep again to have them of this one"
    )
    return [f"{place}: {count} runs were made by an earlier build, {UNSIGNED_NOTICE}: {rule}"]


def _verify_sweep_run(folder: Path, *, again: bool) -> VerificationResult:
    """Verify one run of a sweep."""
    unsigned = is_unsigned(folder)
    remake = again and not unsigned
    run = _verify_stored_run(folder, again=remake)
    strays = [f"{name}: {STRAY}" for name in list_stray_run_files(folder)]
    notices = [*_unsigned_notices(folder, int(unsigned)), *_other_code_notices(run.code)]
    return VerificationResult(0, int(remake), (*run.differences, *strays), tuple(notices))


def _verify_run_result(folder: Path, *, again: bool) -> VerificationResult:
    """Verify the result of ``deleverage run``."""
    from experiments.config import load_run
    from experiments.run import COMPLETE as FINISHED

    manifest = _read_manifest(folder, (MANIFEST,))
    files, code = manifest["files"], manifest.get("code")
    notices = [*check_plugins(folder, [code]), *_other_code_notices(code)]
    problems = _check_run_files(folder, files)
    runs = 0
    try:
        config = load_run(folder / CONFIG)
    except DeleverageError as error:
        prefix = f"{folder / CONFIG}: "
        problems += [f"{CONFIG}: {line.removeprefix(prefix)}" for line in str(error).splitlines()]
        return VerificationResult(len(files), runs, tuple(problems), tuple(notices))
    if not _has_config_hash(config.model_dump(mode="json"), manifest):
        problems.append(f"{CONFIG}: its configuration is not that of {MANIFEST}")
    elif manifest.get("status") != FINISHED:
        notices.append(f"{folder}: was interrupted, it is not made again")
    elif again:
        runs = 1
        known = {line.partition(":")[0] for line in problems}
        problems += _differences_of_new_run(config, folder, set(files) - known)
    return VerificationResult(len(files), runs, tuple(problems), tuple(notices))


def _check_run_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Return the problems of a run's files: missing checksums, changes and files of others."""
    needed = (CONFIG, SUMMARY, *sorted(path.name for path in folder.glob("*.parquet")))
    problems = [*list_missing_checksums(files, needed), *check_listed_files(folder, files)]
    strays = [name for name in list_strays(folder, files) if name not in needed]
    return [*problems, *(f"{name}: {STRAY}" for name in strays)]


def _differences_of_new_run(config: RunConfig, folder: Path, names: Collection[str]) -> list[str]:
    """Make a run again, and return the differences in files of these names."""
    from experiments.run import execute_run

    with tempfile.TemporaryDirectory() as bench:
        try:
            execute_run(config, out=Path(bench) / "run")
            return _different_files(folder, Path(bench) / "run", names)
        except DeleverageError as error:
            return [f"{CONFIG}: cannot be run again ({line})" for line in str(error).splitlines()]


def _has_config_hash(plain: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Return True if a manifest holds the hash of a configuration."""
    code, data = manifest.get("code"), manifest.get("data")
    if not isinstance(code, dict) or not isinstance(data, dict):
        return False
    return store.hash_config(plain, identity.compute_digest(code), data) == manifest.get(
        "config_hash"
    )


def _different_files(folder: Path, now: Path, names: Collection[str]) -> list[str]:
    """Return one line for each of these files that differs between two runs."""
    return [
        f"{name}: differs"
        for name in sorted(names)
        if not _has_same_content(folder / name, now / name)
    ]


def _has_same_content(there: Path, now: Path) -> bool:
    """Return True if two files hold the same values; the run's name within frames may differ."""
    if not now.is_file():
        return False
    if there.read_bytes() == now.read_bytes():
        return True
    return there.suffix == ".parquet" and pa.parquet.read_table(there).equals(
        pa.parquet.read_table(now)
    )


def _changed_notice(name: str) -> str:
    if name == SUMMARY:
        return f"{name}: was changed"
    return f"{name}: differs from its checksum in {SUMMARY}"


def _other_code_notices(code: Any) -> list[str]:
    """Return a line about results that other code made, which may still be reproduced."""
    if not isinstance(code, dict):
        return []
    here = identity.describe_code(
        [name for name in plugins.list_plugins() if name in code.get("plugins", {})]
    )
    differences = identity.describe_differences(code, here)
    return [f"made by other code: {'; '.join(differences)}"] if differences else []


def _read_manifest(place: Path, needed: tuple[str, ...]) -> dict[str, Any]:
    is_study = (place / RESOLVED_STUDY).is_file()
    again = AGAIN if is_study else "make the run again"
    for name in needed:
        if (place / name).is_file():
            continue
        rule = (
            "hence no finished results of a study or run, "
            "name the folder of a sweep that has ended, or of a run"
        )
        if is_study or (place / CONFIG).is_file():
            rule = f"hence no finished result, {again}"
        raise OutputError(f"{place}: has no {name}, {rule}")
    path = place / MANIFEST
    try:
        manifest = read_json(path)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error}), {again}") from error
    if not isinstance(manifest.get("files"), dict):
        raise OutputError(f"{path}: holds no checksums of files, {again}")
    return manifest


AGAIN = "start deleverage sweep with this folder again"


def _list_complete_runs(place: Path) -> list[str]:
    try:
        runs = pd.read_parquet(place.absolute() / RUNS)
        names = list(dict.fromkeys(runs.loc[runs["status"] == COMPLETE, "hash"]))
    except (ValueError, KeyError, OSError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise OutputError(f"{place / RUNS}: cannot be read ({reason}), {AGAIN}") from error
    if wrong := [name for name in names if not is_run_name(name)]:
        raise OutputError(f"{place / RUNS}: {wrong[0]!r} is no name of a run, {AGAIN}")
    return names


def _reproduce_run(folder: Path) -> ReproducedRun:
    """Make a run again and compare it with the stored one.

    Raises:
        DataError: a plug-in that made it was not given.
    """
    try:
        summary = read_summary(folder)
    except DamagedRunError:
        return ReproducedRun([_summary_problem(folder)], None)
    config, code, version = summary["config"], summary["code"], summary["version"]
    if version != provenance.read_version():
        versions = f"made by deleverage {version}, this is {provenance.read_version()}"
        return ReproducedRun([f"{SUMMARY}: {versions}"], code)
    check_plugins(folder, [code])
    try:
        RunConfig.model_validate_json(json.dumps(config), strict=True)
    except pydantic.ValidationError as error:
        lines = describe_problems(error, config, RunConfig)
        return ReproducedRun([f"{SUMMARY}: {line}" for line in lines], code)
    packed = zlib.compress(store.dump_canonical_json(config).encode())
    spec = RunSpec(folder.name, packed, summary["data"], code)
    return ReproducedRun(_compare_with_new_run(spec, folder), code)


def _compare_with_new_run(spec: RunSpec, folder: Path) -> list[str]:
    with tempfile.TemporaryDirectory() as bench:
        new = Path(bench) / folder.name
        try:
            write_run(spec, new)
        except store.WriteError as error:
            rule = "make room or name another folder for temporary files with TMPDIR"
            raise store.WriteError(f"{bench}: cannot be written, {rule}") from error
        except DeleverageError as error:
            return [f"{SUMMARY}: cannot be run again ({line})" for line in str(error).splitlines()]
        old_hashes, new_hashes = hash_frames(folder), hash_frames(new)
        has_same_summary = (new / SUMMARY).read_bytes() == (folder / SUMMARY).read_bytes()
        shutil.rmtree(new)
    names = sorted({*old_hashes, *new_hashes})
    differing = [name for name in names if old_hashes.get(name) != new_hashes.get(name)]
    if not differing and not has_same_summary:
        differing = [SUMMARY]
    return [f"{name}: differs" for name in differing]


def _summary_problem(folder: Path) -> str:
    """Return the problem of a summary that does not belong to its run."""
    path = folder / SUMMARY
    if folder.is_symlink() or path.is_symlink():
        return f"{SUMMARY}: is a link"
    try:
        if derive_run_name(read_json(path)) != folder.name:
            return f"{SUMMARY}: its configuration is not that of its name"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{SUMMARY}: cannot be read"
    return f"{SUMMARY}: was changed"
