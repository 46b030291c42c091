"""Whether results come out again: checksums of all files, and some runs made once more."""

import json
import shutil
import tempfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pydantic

from experiments import identity, plugins, provenance, store
from experiments.config import RunConfig
from experiments.paper.opened import plugged
from experiments.sweep.config import RESOLVED
from experiments.sweep.folder import HALF_DONE
from experiments.sweep.making import write
from experiments.sweep.older import UNSIGNED
from experiments.sweep.outputs import MANIFEST, sha256
from experiments.sweep.records import COMPLETE, Spec
from experiments.sweep.sealed import SUMMARY, Damage, damaged, digests, is_run, is_unsigned, name_of, summary_of
from experiments.sweep.tally import RUNS
from sim.documents import read_json
from sim.errors import DeleverageError, OutputError, printable
from sim.problems import describe

CONFIG = "config.resolved.yaml"


class Verdict(NamedTuple):
    """What was compared, and what differs."""

    files: int  # compared with the manifest; those of stored runs, which are compared with their checksums, apart
    runs: int  # made again
    differences: tuple[str, ...]  # path: what is wrong
    notices: tuple[str, ...] = ()  # code that is not the one which made them

    @property
    def compared(self) -> str:
        """What was compared, in words."""
        return f"{self.files} files compared with the manifest" if self.files else "all files compared with checksums"


class Made(NamedTuple):
    """What came of making a run again."""

    differences: list[str]
    code: Any  # facts of the code that made the stored one


def verify(place: Path, sample: int, seed: int = 0) -> Verdict:
    """Compare checksums of all files, those of every stored run among them, and make some runs again.

    Args:
        place: results of a study, of one of its runs, or of ``deleverage run``.
        sample: how many runs to make again; the same ones for the same seed.
        seed: of the choice.

    Raises:
        OutputError: no results, or not finished.
        DataError: a plug-in that made them is not named.
    """
    if not place.is_dir():
        told = "is no folder" if place.exists() else "no such folder"
        raise OutputError(f"{place}: {told}, name the result of deleverage run or deleverage sweep")
    if (place / CONFIG).is_file() and not (place / RESOLVED).is_file():
        return _run(place, again=sample > 0)
    if is_run(place.resolve().name) and (place / SUMMARY).is_file():
        return _one(place.resolve(), again=sample > 0)
    return _study(place, sample, seed)


def _study(place: Path, sample: int, seed: int) -> Verdict:
    manifest, names = _manifest(place, (RESOLVED, RUNS, MANIFEST)), _complete(place)
    codes = manifest.get("code")
    notices = list(plugged(place, codes if isinstance(codes, list) else []))
    wrong = [*_unlisted(manifest["files"], (RESOLVED, RUNS)), *_listed(place, manifest["files"])]
    chosen = set(np.random.default_rng(seed).permutation(len(names))[:sample].tolist())
    stored = [path for path in sorted((place / "runs").glob("*")) if is_run(path.name)]
    wrong += [f"runs/{name}: is not there" for name in names if not (place / "runs" / name).exists()]
    unsigned = {path.name for path in stored if is_unsigned(path)}
    again = {names[number] for number in chosen} - unsigned
    notices += _early(place, len(unsigned & set(names)))
    for path in stored:
        if path.name in again:
            made = _again(path)
            found, notices = made.differences, [*notices, *_other(made.code)]
        else:
            found = [_changed(name) for name in damaged(path)]
        wrong += [f"runs/{path.name}/{told}" for told in found]
    strays = [*_strays(place, manifest["files"]), *(f"runs/{name}" for name in _beside(place / "runs"))]
    wrong += [f"{name}: {STRAY}" for name in strays]
    return Verdict(len(manifest["files"]), len(again), tuple(wrong), tuple(dict.fromkeys(notices)))


STRAY = "was not written by deleverage, remove it"

PAGE = "report.html"
"""What deleverage report writes into a result later, without the manifest."""


def _strays(place: Path, files: Mapping[str, str]) -> list[str]:
    """Files of a result, by name, that neither its manifest lists nor a command adds; folders of a user's are left."""
    found = [path for path in sorted(place.iterdir()) if not path.is_dir() or path.is_symlink()]
    return [path.name for path in found if path.name not in {MANIFEST, PAGE, *files}]


def _beside(runs: Path) -> list[str]:
    """What lies among the runs and is none, and in runs beside their files; half-done ones are swept up later."""
    there = [path for path in sorted(runs.glob("*")) if not HALF_DONE.fullmatch(path.name)]
    inside = (f"{path.name}/{name}" for path in there if is_run(path.name) for name in _inside(path))
    return [*(path.name for path in there if not is_run(path.name)), *inside]


def _inside(run: Path) -> list[str]:
    """What lies in a run of a sweep beside its frames and summary; other frames are among the damage."""
    found = sorted(run.iterdir()) if run.is_dir() and not run.is_symlink() else []
    return [path.name for path in found if path.name != SUMMARY and (path.suffix != ".parquet" or path.is_dir())]


def _early(place: Path, count: int) -> list[str]:
    """A line on runs that say nothing of their code."""
    rule = "their files were compared, they are not made again; start the sweep again to have them of this one"
    return [f"{place}: {count} runs were made by an earlier build, {UNSIGNED}: {rule}"] if count else []


def _one(folder: Path, *, again: bool) -> Verdict:
    """One run of a sweep."""
    strays = [f"{name}: {STRAY}" for name in _inside(folder)]
    if is_unsigned(folder) or not again:
        notices = _early(folder, 1) if is_unsigned(folder) else []
        return Verdict(0, 0, (*map(_changed, damaged(folder)), *strays), tuple(notices))
    made = _again(folder)
    return Verdict(0, 1, (*made.differences, *strays), tuple(_other(made.code)))


def _run(folder: Path, *, again: bool) -> Verdict:
    """The result of ``deleverage run``."""
    from experiments.config import load_run
    from experiments.run import COMPLETE as DONE
    from experiments.run import execute

    manifest = _manifest(folder, (MANIFEST,))
    notices = [*plugged(folder, [manifest.get("code")]), *_other(manifest.get("code"))]
    needed = (CONFIG, SUMMARY, *sorted(path.name for path in folder.glob("*.parquet")))
    wrong, runs = [*_unlisted(manifest["files"], needed), *_listed(folder, manifest["files"])], 0
    wrong += [f"{name}: {STRAY}" for name in _strays(folder, manifest["files"]) if name not in needed]
    try:
        config = load_run(folder / CONFIG)
    except DeleverageError as error:
        lines = [f"{CONFIG}: {line.removeprefix(f'{folder / CONFIG}: ')}" for line in str(error).splitlines()]
        return Verdict(len(manifest["files"]), 0, (*wrong, *lines), tuple(notices))
    plain = config.model_dump(mode="json")
    if not _is_named(plain, manifest):
        wrong.append(f"{CONFIG}: its configuration is not that of {MANIFEST}")
    elif manifest.get("status") != DONE:
        notices.append(f"{folder}: was interrupted, it is not made again")
    elif again:
        runs = 1
        with tempfile.TemporaryDirectory() as bench:
            try:
                execute(config, out=Path(bench) / "run")
                known = {line.partition(":")[0] for line in wrong}
                wrong += _against(folder, Path(bench) / "run", set(manifest["files"]) - known)
            except DeleverageError as error:
                wrong += [f"{CONFIG}: cannot be run again ({line})" for line in str(error).splitlines()]
    return Verdict(len(manifest["files"]), runs, tuple(wrong), tuple(notices))


def _is_named(plain: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest has the hash of a configuration."""
    code, data = manifest.get("code"), manifest.get("data")
    if not isinstance(code, dict) or not isinstance(data, dict):
        return False
    return store.config_hash(plain, identity.digest_of(code), data) == manifest.get("config_hash")


def _against(folder: Path, now: Path, names: Collection[str]) -> list[str]:
    """What a run made again has other than the stored one, in files of these names."""
    return [f"{name}: differs" for name in sorted(names) if not _is_same(folder / name, now / name)]


def _is_same(there: Path, now: Path) -> bool:
    """Whether two files hold the same; frames of other code differ in the name of their run, which is not compared."""
    if not now.is_file():
        return False
    if there.read_bytes() == now.read_bytes():
        return True
    return there.suffix == ".parquet" and pa.parquet.read_table(there).equals(pa.parquet.read_table(now))


def _changed(name: str) -> str:
    return f"{name}: is not the file that {SUMMARY} tells of" if name != SUMMARY else f"{name}: was changed"


def _other(code: Any) -> list[str]:
    """A line on results that other code made; they may come out again nevertheless."""
    if not isinstance(code, dict):
        return []
    here = identity.facts([name for name in plugins.loaded() if name in code.get("plugins", {})])
    found = identity.differences(code, here)
    return [f"made by other code: {'; '.join(found)}"] if found else []


def _manifest(place: Path, needed: tuple[str, ...]) -> dict[str, Any]:
    is_study = (place / RESOLVED).is_file()
    again = AGAIN if is_study else "make the run again"
    for name in needed:
        if (place / name).is_file():
            continue
        rule = "hence no finished results of a study or run, name the folder of a sweep that has ended, or of a run"
        if is_study or (place / CONFIG).is_file():
            rule = f"hence no finished result, {again}"
        raise OutputError(f"{place}: has no {name}, {rule}")
    path = place / MANIFEST
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error}), {again}") from error
    if not isinstance(found.get("files"), dict):
        raise OutputError(f"{path}: holds no checksums of files, {again}")
    return found


AGAIN = "start deleverage sweep with this folder again"


def _complete(place: Path) -> list[str]:
    try:
        runs = pd.read_parquet(place.absolute() / RUNS)
        names = list(dict.fromkeys(runs.loc[runs["status"] == COMPLETE, "hash"]))
    except (ValueError, KeyError, OSError, pa.ArrowException) as error:
        told = (str(error).splitlines() or [""])[0]
        raise OutputError(f"{place / RUNS}: cannot be read ({told}), {AGAIN}") from error
    if odd := [name for name in names if not is_run(name)]:
        raise OutputError(f"{place / RUNS}: {odd[0]!r} is no name of a run, {AGAIN}")
    return names


def _listed(place: Path, files: Mapping[str, str]) -> list[str]:
    """What is wrong with the files of a manifest."""
    return [f"{printable(name)}: {told}" for name, digest in files.items() if (told := _compared(place, name, digest))]


def _unlisted(files: Mapping[str, str], needed: tuple[str, ...]) -> list[str]:
    """What a manifest lacks that every result has."""
    return [f"{name}: {MANIFEST} has no checksum of it" for name in needed if name not in files]


def _compared(place: Path, name: str, digest: object) -> str:
    """What is wrong with a file; nothing outside the folder is looked at."""
    inner = PurePosixPath(name)
    if inner.is_absolute() or ".." in inner.parts or not inner.parts:
        return f"leads out of the folder, {MANIFEST} was changed"
    path = place / inner
    if not path.is_file():
        return "is not there"
    return "" if sha256(path) == digest else f"is not the file that {MANIFEST} tells of"


def _again(folder: Path) -> Made:
    """What differs when a run is made once more.

    Raises:
        DataError: a plug-in that made it is not named.
    """
    try:
        summary = summary_of(folder)
    except Damage:
        return Made([_unlike(folder)], None)
    config, data, version, code = (summary[key] for key in ("config", "data", "version", "code"))
    if version != provenance.version():
        return Made([f"{SUMMARY}: made by deleverage {version}, this is {provenance.version()}"], code)
    plugged(folder, [code])
    try:
        RunConfig.model_validate_json(json.dumps(config), strict=True)
    except pydantic.ValidationError as error:
        return Made([f"{SUMMARY}: {line}" for line in describe(error, config, RunConfig)], code)
    with tempfile.TemporaryDirectory() as bench:
        spec = Spec(folder.name, zlib.compress(store.canonical(config).encode()), data, code)
        try:
            write(spec, Path(bench) / folder.name)
        except store.WriteError as error:
            told = f"{bench}: cannot be written, make room or name another folder for temporary files with TMPDIR"
            raise store.WriteError(told) from error
        except DeleverageError as error:
            return Made([f"{SUMMARY}: cannot be run again ({line})" for line in str(error).splitlines()], code)
        there, now = digests(folder), digests(Path(bench) / folder.name)
        same = (Path(bench) / folder.name / SUMMARY).read_bytes() == (folder / SUMMARY).read_bytes()
        shutil.rmtree(Path(bench) / folder.name)
    wrong = [f"{name}: differs" for name in sorted({*there, *now}) if there.get(name) != now.get(name)]
    return Made(wrong or ([] if same else [f"{SUMMARY}: differs"]), code)


def _unlike(folder: Path) -> str:
    """Why a summary is not the one of its run."""
    path = folder / SUMMARY
    if folder.is_symlink() or path.is_symlink():
        return f"{SUMMARY}: is a link"
    try:
        if name_of(read_json(path)) != folder.name:
            return f"{SUMMARY}: its configuration is not that of its name"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{SUMMARY}: cannot be read"
    return f"{SUMMARY}: was changed"
