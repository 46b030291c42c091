"""Execution of a job: makes its runs, writes their folders atomically and scores them."""

import gc
import os
import platform
import shutil
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import threadpoolctl

from experiments.price_files.bars import read_replays
from experiments.results import identity, provenance, store
from experiments.simulation import TimeLimitError, simulate_market
from experiments.sweep.config import BASE, TWIN
from experiments.sweep.messages import (
    COMPLETE,
    FAILED,
    TIMEOUT,
    CodeFingerprint,
    JobResult,
    RunSpec,
    RunStatus,
    SweepContext,
    SweepJob,
)
from experiments.sweep.plan import unpack_config
from experiments.sweep.sealed import (
    SUMMARY,
    DamagedRunError,
    hash_frames,
    read_run,
    remove_run,
    seal_summary,
)
from experiments.sweep.study import hash_study_module, load_study_module, made_by
from sim.errors import DataError, DeleverageError, OutputError
from sim.metrics.cascades import Frames, is_untouched
from sim.numerics.kernel_locks import release_all_locks


def check_worker(place: SweepContext) -> None:
    """Refuse a worker whose results would differ or would be lost.

    Raises:
        OutputError: the worker has other code, another order of sums, or no access to the folder.
    """
    if provenance.read_version() != place.version:
        versions = (
            f"deleverage {provenance.read_version()} on this worker, {place.version} on the driver"
        )
        raise OutputError(f"{versions}, all need the same, install it")
    for blas in threadpoolctl.threadpool_info() if place.apart else ():
        kernel, expected = blas.get("architecture"), provenance.find_blas_kernel()
        if blas["user_api"] == "blas" and (
            blas["num_threads"] > 1 or (kernel and expected and kernel != expected)
        ):
            state = f"{blas['num_threads']} threads and kernels for {kernel}"
            needed = f"must be 1 and {expected} for the same bytes everywhere"
            rule = f"start workers with OMP_NUM_THREADS=1 OPENBLAS_CORETYPE={expected}"
            raise OutputError(f"a worker's linear algebra has {state}, {needed}, {rule}")
    if place.apart and place.code is not None:
        _require_same_code(place.code, place)
    if not (Path(place.folder) / "runs").is_dir():
        rule = "results need a folder that all machines share, use --out"
        raise OutputError(f"{place.folder}: not on this worker, {rule}")


def _require_same_code(code: CodeFingerprint, place: SweepContext) -> None:
    """Refuse a worker whose code differs from the driver's.

    Raises:
        OutputError: names the differences.
    """
    differences = identity.describe_differences(identity.describe_code(place.plugins), code.facts)
    if changed := identity.name_differing_sources(identity.hash_sources(), code.files):
        others = [line for line in differences if not line.startswith("sources of ")]
        differences = [changed, *others]
    if hash_study_module(place.module) != code.study:
        differences.append(f"study module {Path(place.module).name}")
    if differences:
        who = f"worker {platform.node()}:{os.getpid()}"
        rule = "workers need the driver's code, give it the same and start it again"
        raise OutputError(f"{who}: differs from the driver in {'; '.join(differences)}: {rule}")


def execute_job(job: SweepJob, place: SweepContext) -> JobResult:
    """Make the missing runs of a job and score all of them."""
    began = time.perf_counter()
    states: dict[str, RunStatus] = {}
    frames: dict[str, Frames] = {}
    remade: list[str] = []
    for role, spec in job.runs.items():
        if role != BASE and role in place.shared and BASE in frames and is_untouched(frames[BASE]):
            states[role], frames[role] = states[BASE], frames[BASE]
            continue
        states[role], run_frames, damage = _ensure_run(spec, place)
        remade += damage
        if run_frames is not None:
            frames[role] = run_frames
    rows, problem = (
        (None, "") if len(frames) < len(job.runs) else _score_job(job, frames, place.module)
    )
    return JobResult(job.number, states, rows, problem, tuple(remade), time.perf_counter() - began)


def _ensure_run(spec: RunSpec, place: SweepContext) -> tuple[RunStatus, Frames | None, list[str]]:
    """Return a run's frames from disk; make the run if it is missing or damaged.

    A run that is made here is not read back: its frames are those that were written.

    Returns:
        Status, frames (None if the run is not complete), and descriptions of damaged files.
    """
    run, damage = Path(place.folder) / "runs" / spec.hash, []
    if os.path.lexists(run) or _copy_known_run(run, place.known):
        try:
            return RunStatus(spec.hash, COMPLETE), read_run(run), []
        except DamagedRunError as error:
            damage.append(str(error))
            with _report_write_errors(run):
                remove_run(run)
    if spec.older:
        try:
            return RunStatus(spec.older, COMPLETE), read_run(run.with_name(spec.older)), damage
        except DamagedRunError as error:
            damage.append(str(error))
    return *_simulate_run(spec, place), damage


def _copy_known_run(run: Path, known: Iterable[str]) -> bool:
    """Copy the run from the first of the other results that has it; True if one has."""
    there = next(
        (path for path in (Path(folder) / "runs" / run.name for folder in known) if path.is_dir()),
        None,
    )
    if there is not None:
        with _report_write_errors(run):
            draft = _clear_draft(run)
            shutil.copytree(there, draft, symlinks=True)
            _publish_run(draft, run)
    return there is not None


@contextmanager
def _report_write_errors(run: Path) -> Iterator[None]:
    """Remove the unfinished folder after a failed write, and stop the sweep.

    The next run would fail in the same way.

    Raises:
        WriteError: on one line.
    """
    try:
        yield
    except OSError as error:
        shutil.rmtree(_draft_path(run), ignore_errors=True)
        raise store.translate_os_error(error, run, store.RUNS_KEPT) from error


def _draft_path(run: Path) -> Path:
    return run.with_name(f".{run.name}.{threading.get_native_id()}.tmp")


def _clear_draft(run: Path) -> Path:
    """Return an empty path for a run's unfinished folder, which no other thread uses."""
    draft = _draft_path(run)
    shutil.rmtree(draft, ignore_errors=True)
    return draft


def _publish_run(draft: Path, run: Path) -> None:
    """Rename a finished folder; keep an identical run that another process wrote meanwhile."""
    try:
        os.rename(draft, run)
    except OSError:
        if not run.is_dir():
            raise
        shutil.rmtree(draft)


def _simulate_run(spec: RunSpec, place: SweepContext) -> tuple[RunStatus, Frames | None]:
    """Simulate a run, leave its folder or its traceback, and return its frames."""
    folder, limit = Path(place.folder), place.limit
    diary, began = folder / store.FAILED / f"{spec.hash}.txt", time.monotonic()
    try:
        frames = write_run(spec, folder / "runs" / spec.hash, limit, place.stopped)
    except TimeLimitError as error:
        release_all_locks()  # of a kernel that was being compiled
        return RunStatus(spec.hash, TIMEOUT, str(error)), None
    except store.WriteError:
        raise
    except Exception as error:
        release_all_locks()
        # An interruption inside a compiler may surface as another error.
        if time.monotonic() - began > limit:
            return RunStatus(spec.hash, TIMEOUT, f"ran out of its {limit:g} s"), None
        with _report_write_errors(folder / "runs" / spec.hash):
            diary.parent.mkdir(exist_ok=True)
            store.write_text(traceback.format_exc(), diary)
        lines = str(error).strip().splitlines() or [""]
        return RunStatus(spec.hash, FAILED, f"{type(error).__name__}: {lines[0]}"), None
    return RunStatus(spec.hash, COMPLETE), frames


def write_run(
    spec: RunSpec,
    final: Path,
    limit: float = float("inf"),
    stopped: threading.Event | None = None,
) -> Frames:
    """Simulate a run, write its folder, and return its frames as ``read_run`` would.

    Args:
        spec: run to simulate.
        final: folder to write; an identical run that another process wrote meanwhile stays.
        limit: time limit (s).
        stopped: set by another thread to interrupt the run.

    Raises:
        TimeLimitError: the run exceeded the limit.
        KeyboardInterrupt: the run was stopped.
        DataError: data changed since the plan was made.
        WriteError: a write failed.
    """
    config = unpack_config(spec.config)
    bars = read_replays(config.underlyings, config.history)
    if {name: series.digest for name, series in bars.items()} != spec.data:
        raise DataError(f"{config.name}: its data changed while the sweep ran, run the sweep again")
    market = simulate_market(config, bars, limit, stopped)
    frames, totals = market.recorder.frames(), market.recorder.summary()
    del market
    gc.collect()  # a Mesa model references itself; free its memory at once
    with _report_write_errors(final):
        draft = _clear_draft(final)
        about = {"config_hash": spec.hash, "version": provenance.read_version()}
        draft.mkdir()
        for name, frame in frames.items():
            store.write_frame(frame, draft / f"{name}.parquet", about)
        summary = {
            "config": config.model_dump(mode="json"),
            "version": provenance.read_version(),
            "data": spec.data,
            "config_hash": spec.hash,
            "code": spec.code,
            "totals": totals,
            "sha256": hash_frames(draft),
        }
        store.write_json(seal_summary(summary), draft / SUMMARY)
        _publish_run(draft, final)
    return {name: store.restore_frame(frames[name]) for name in sorted(frames)}


def _score_job(
    job: SweepJob, frames: Mapping[str, Frames], module: str
) -> tuple[pd.DataFrame | None, str]:
    """Return the score rows of a job's runs; a column names the role if there are further roles."""
    study, parts = load_study_module(module), []
    alone = set(job.runs) <= {BASE, TWIN}
    try:
        for role, spec in job.runs.items():
            if role != TWIN:
                rows = made_by(
                    study, "score", unpack_config(spec.config), frames[role], frames.get(TWIN)
                )
                parts.append(rows if alone else rows.assign(role=role))
    except (DeleverageError, OSError) as error:
        return None, str(error)
    return pd.concat(parts, ignore_index=True), ""
