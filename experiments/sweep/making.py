"""Makes runs, each in a folder that is there whole or not at all, and scores them from what the folders hold."""

import gc
import os
import platform
import shutil
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import threadpoolctl

from experiments import identity, provenance, store
from experiments.data import read_replays
from experiments.simulation import TimeLimitError, finished
from experiments.sweep.config import BASE, TWIN
from experiments.sweep.plan import unpacked
from experiments.sweep.records import COMPLETE, FAILED, TIMEOUT, Code, Job, Place, Result, Spec, State
from experiments.sweep.sealed import SUMMARY, Damage, digests, read, remove, seal
from experiments.sweep.study import digest_of, made_by, module_of
from sim.errors import DataError, DeleverageError, OutputError
from sim.metrics.cascades import Frames, untouched


def check(place: Place) -> None:
    """Refuse to work where results would differ, or nobody would find them.

    Raises:
        OutputError: other code, sums in another order, or the folder of results is not here.
    """
    if provenance.version() != place.version:
        told = f"deleverage {provenance.version()} on this worker, {place.version} on the driver"
        raise OutputError(f"{told}, all need the same, install it")
    for blas in threadpoolctl.threadpool_info() if place.apart else ():
        kernel, expected = blas.get("architecture"), provenance.kernel()
        if blas["user_api"] == "blas" and (blas["num_threads"] > 1 or (kernel and expected and kernel != expected)):
            told = f"a worker's linear algebra has {blas['num_threads']} threads and kernels for {kernel}"
            rule = f"start workers with OMP_NUM_THREADS=1 OPENBLAS_CORETYPE={expected}"
            raise OutputError(f"{told}, must be 1 and {expected} for the same bytes everywhere, {rule}")
    if place.apart and place.code is not None:
        _compare(place.code, place)
    if not (Path(place.folder) / "runs").is_dir():
        raise OutputError(
            f"{place.folder}: not on this worker, results need a folder that all machines share, use --out"
        )


def _compare(code: Code, place: Place) -> None:
    """Refuse a worker whose code is not the driver's.

    Raises:
        OutputError: what differs.
    """
    found = identity.differences(identity.facts(place.plugins), code.facts)
    if changed := identity.sources_differ(identity.files(), code.files):
        found = [changed, *(each for each in found if not each.startswith("sources of "))]
    if digest_of(place.module) != code.study:
        found.append(f"study module {Path(place.module).name}")
    if found:
        who = f"worker {platform.node()}:{os.getpid()}"
        rule = "workers need the driver's code, give it the same and start it again"
        raise OutputError(f"{who}: differs from the driver in {'; '.join(found)}: {rule}")


def do(job: Job, place: Place) -> Result:
    """See that every run of a job is there, and score them."""
    began = time.perf_counter()
    states: dict[str, State] = {}
    frames: dict[str, Frames] = {}
    remade: list[str] = []
    for role, spec in job.runs.items():
        if role != BASE and role in place.shared and BASE in frames and untouched(frames[BASE]):
            states[role], frames[role] = states[BASE], frames[BASE]
            continue
        states[role], found, damage = _ensured(spec, place)
        remade += damage
        if found is not None:
            frames[role] = found
    rows, problem = (None, "") if len(frames) < len(job.runs) else _scored(job, frames, place.module)
    return Result(job.number, states, rows, problem, tuple(remade), time.perf_counter() - began)


def _ensured(spec: Spec, place: Place) -> tuple[State, Frames | None, list[str]]:
    """A run's frames, as they stand on disk; made if they do not, made again if they are damaged."""
    run, damage = Path(place.folder) / "runs" / spec.hash, []
    if os.path.lexists(run) or _taken_over(run, place.known):
        try:
            return State(spec.hash, COMPLETE), read(run), []
        except Damage as error:
            damage.append(str(error))
            with _told(run):
                remove(run)
    if spec.older:
        try:
            return State(spec.older, COMPLETE), read(run.with_name(spec.older)), damage
        except Damage as error:
            damage.append(str(error))
    state = _made(spec, Path(place.folder), place.limit)
    return state, read(run) if state.status == COMPLETE else None, damage


def _taken_over(run: Path, known: Iterable[str]) -> bool:
    """Whether other results have the run, which is copied from the first that do."""
    there = next((path for path in (Path(folder) / "runs" / run.name for folder in known) if path.is_dir()), None)
    if there is not None:
        with _told(run):
            draft = _draft(run)
            shutil.copytree(there, draft, symlinks=True)
            _put(draft, run)
    return there is not None


@contextmanager
def _told(run: Path) -> Iterator[None]:
    """A failed write stops the sweep: the next run would meet it too. What is half done goes.

    Raises:
        WriteError: in one line.
    """
    try:
        yield
    except OSError as error:
        shutil.rmtree(_draft_name(run), ignore_errors=True)
        raise store.refused(error, run, store.RUNS_KEPT) from error


def _draft_name(run: Path) -> Path:
    return run.with_name(f".{run.name}.{os.getpid()}.tmp")


def _draft(run: Path) -> Path:
    """Where a run's folder is made, under a name that no other process uses."""
    draft = _draft_name(run)
    shutil.rmtree(draft, ignore_errors=True)
    return draft


def _put(draft: Path, run: Path) -> None:
    """Give a folder that is whole its name; if somebody else put the same run there meanwhile, theirs stays."""
    try:
        os.rename(draft, run)
    except OSError:
        if not run.is_dir():
            raise
        shutil.rmtree(draft)


def _made(spec: Spec, folder: Path, limit: float) -> State:
    """Simulate, and leave the folder or the traceback."""
    diary, began = folder / store.FAILED / f"{spec.hash}.txt", time.monotonic()
    try:
        write(spec, folder / "runs" / spec.hash, limit)
    except TimeLimitError as error:
        return State(spec.hash, TIMEOUT, str(error))
    except store.WriteError:
        raise
    except Exception as error:
        if time.monotonic() - began > limit:  # cut off within code that made another error of it, such as a compiler
            return State(spec.hash, TIMEOUT, f"ran out of its {limit:g} s")
        with _told(folder / "runs" / spec.hash):
            diary.parent.mkdir(exist_ok=True)
            store.write_text(traceback.format_exc(), diary)
        lines = str(error).strip().splitlines() or [""]
        return State(spec.hash, FAILED, f"{type(error).__name__}: {lines[0]}")
    return State(spec.hash, COMPLETE)


def write(spec: Spec, final: Path, limit: float = float("inf")) -> None:
    """Simulate a run and write its folder.

    Args:
        spec: which.
        final: where; if somebody else put the same run there meanwhile, theirs stays.
        limit: seconds it may take.

    Raises:
        TimeLimitError: it took longer.
        DataError: data changed since the plan was made.
        WriteError: a write failed.
    """
    config = unpacked(spec.config)
    bars = read_replays(config.underlyings)
    if {name: each.digest for name, each in bars.items()} != spec.data:
        raise DataError(f"{config.name}: its data changed while the sweep ran, run the sweep again")
    market = finished(config, bars, limit)
    frames, totals = market.recorder.frames(), market.recorder.summary()
    del market
    gc.collect()  # its agents and it hold one another; few objects with much memory, which Python would let pile up
    with _told(final):
        draft, about = _draft(final), {"config_hash": spec.hash, "version": provenance.version()}
        draft.mkdir()
        for name, frame in frames.items():
            store.write_frame(frame, draft / f"{name}.parquet", about)
        summary = {"config": config.model_dump(mode="json"), "version": provenance.version(), "data": spec.data}
        summary |= {"config_hash": spec.hash, "code": spec.code, "totals": totals, "sha256": digests(draft)}
        store.write_json(seal(summary), draft / SUMMARY)
        _put(draft, final)


def _scored(job: Job, frames: Mapping[str, Frames], module: str) -> tuple[pd.DataFrame | None, str]:
    """Rows of what a job's runs showed; those of further roles below the base's, told apart by a column."""
    study, parts = module_of(module), []
    alone = set(job.runs) <= {BASE, TWIN}
    try:
        for role, spec in job.runs.items():
            if role != TWIN:
                rows = made_by(study, "score", unpacked(spec.config), frames[role], frames.get(TWIN))
                parts.append(rows if alone else rows.assign(role=role))
    except (DeleverageError, OSError) as error:
        return None, str(error)
    return pd.concat(parts, ignore_index=True), ""
