"""The executor `threads`: the same bytes, failures, time limits and interruptions as any other."""

import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments import simulation
from experiments.simulation import simulate_market
from experiments.sweep import execute_jobs
from experiments.sweep.config import StudyConfig, load_study
from experiments.sweep.executors import open_pool
from experiments.sweep.messages import COMPLETE, FAILED, TIMEOUT, JobBatch, SweepContext
from experiments.sweep.plan import plan_study
from experiments.sweep.runner import SweepOptions, run_sweep

TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"
SERIAL, THREADS = SweepOptions("serial"), SweepOptions("threads", jobs=3)


def tiny(**changes: object) -> StudyConfig:
    """Two caps in two falls, three seeds; or something else in place of any part."""
    study = load_study(TINY)
    changed = study.model_dump() | {"seeds": 3} | changes
    return StudyConfig.model_validate(changed).with_module(study.module)


def files(folder: Path) -> dict[str, bytes]:
    """All but the manifest."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        name.as_posix(): path.read_bytes()
        for name, path in found.items()
        if name.name != "manifest.json"
    }


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """All files of the same sweep, made one run after another."""
    return files(run_sweep(tiny(), out=tmp_path_factory.mktemp("x") / "x", options=SERIAL).folder)


def break_runs(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Let all runs of one replication fail."""

    def simulate(config: Any, *rest: Any) -> Any:
        if config.seed == seed:
            raise ValueError("a fault\nof two lines")
        return simulate_market(config, *rest)

    monkeypatch.setattr(execute_jobs, "simulate_market", simulate)


def test_threads_write_the_same_bytes(serial: dict[str, bytes], tmp_path: Path) -> None:
    made = files(run_sweep(tiny(), out=tmp_path / "x", options=THREADS).folder)
    assert [name for name in made if made[name] != serial.get(name)] == []
    assert made.keys() == serial.keys()


def test_runs_that_raise_are_rows_and_are_tried_again(
    serial: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seeds = [
        execute_jobs.unpack_config(unit.pack_job().runs["base"].config).seed
        for unit in plan_study(tiny())
    ]
    with monkeypatch.context() as patch:
        break_runs(patch, seeds[0])
        outcome = run_sweep(tiny(), out=tmp_path / "x", options=THREADS)
    failed = outcome.runs[outcome.runs["status"] == FAILED]
    assert set(failed["error"]) == {"ValueError: a fault"}
    assert len(failed) == 2 * seeds.count(seeds[0])
    assert set(outcome.runs["status"]) == {FAILED, COMPLETE}
    text = (tmp_path / "x" / "failed" / f"{failed['hash'].iloc[0]}.txt").read_text()
    assert "of two lines" in text
    assert files(run_sweep(tiny(), out=tmp_path / "x", options=THREADS).folder) == serial


def test_a_thread_ends_a_run_out_of_time(
    serial: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def crawl(market: Any, steps: int) -> None:
        time.sleep(0.2)

    with monkeypatch.context() as patch:
        patch.setattr(simulation.Market, "advance", crawl)
        limited = SweepOptions("threads", jobs=3, limit=0.1)
        runs = run_sweep(tiny(), out=tmp_path / "x", options=limited).runs
    assert set(runs["status"]) == {TIMEOUT}
    assert set(runs["error"]) == {"ran out of its 0.1 s"}
    assert files(run_sweep(tiny(), out=tmp_path / "x", options=THREADS).folder) == serial


def test_only_what_is_missing_is_made(
    serial: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out, made = tmp_path / "x", []
    run_sweep(tiny(seeds=1), out=out, options=THREADS)
    there = {path.name for path in (out / "runs").iterdir()}

    def note(config: Any, *rest: Any) -> Any:
        made.append(config)
        return simulate_market(config, *rest)

    monkeypatch.setattr(execute_jobs, "simulate_market", note)
    runs = run_sweep(tiny(), out=out, options=THREADS).runs
    assert len(made) == len(set(runs["hash"]) - there)
    assert files(out) == serial


def test_a_pool_that_is_closed_stops_its_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As an interrupt from the keyboard does; nothing half made stays."""
    begun = threading.Event()

    def crawl(market: Any, steps: int) -> None:
        begun.set()
        time.sleep(0.05)

    monkeypatch.setattr(simulation.Market, "advance", crawl)
    (tmp_path / "runs").mkdir()
    units, version = plan_study(tiny()), execute_jobs.provenance.read_version()
    place = SweepContext(
        str(tmp_path), tiny().module, (), "", version, (), float("inf"), apart=False
    )
    with open_pool("threads", 1) as pool:
        assert pool.n_slots == 1
        order = JobBatch(place, tuple(unit.pack_job() for unit in units))
        running, waiting = pool.submit(order), pool.submit(order)
        begun.wait(60)
    with pytest.raises(KeyboardInterrupt):
        running.result(timeout=0)
    with pytest.raises(CancelledError):
        waiting.result(timeout=0)
    assert list((tmp_path / "runs").iterdir()) == []
    assert not (tmp_path / "failed").exists()


def test_the_manifest_names_the_executor(tmp_path: Path) -> None:
    folder = run_sweep(tiny(seeds=1), out=tmp_path / "x", options=THREADS).folder
    assert '"executor": "threads"' in (folder / "manifest.json").read_text()
    assert set(pd.read_parquet(folder / "runs.parquet")["status"]) == {COMPLETE}
