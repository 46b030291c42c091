"""Sweeps in separate processes, killed, interrupted or hung: same bytes on every executor."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import psutil
import pytest

ROOT = Path(__file__).parents[2]
STUDIES = Path(__file__).parents[1] / "studies"
PATIENCE = 1200.0
"""Seconds, on a machine that does other things too."""

pytestmark = pytest.mark.slow


def start(out: Path, *arguments: object, study: str = "tiny.yaml") -> "subprocess.Popen[str]":
    """Start a sweep in the folder of the studies, in its own process group.

    It handles SIGINT even where the process of the tests ignores it.
    """
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from experiments.__main__ import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "sweep",
        str(STUDIES / study),
        "--out",
        str(out),
        *map(str, arguments),
    ]
    settings = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    pipes = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "start_new_session": True,
    }
    return subprocess.Popen(command, cwd=STUDIES, env=settings, **pipes)  # type: ignore[call-overload,no-any-return]


def finish(sweep: "subprocess.Popen[str]", code: int = 0) -> str:
    """Its stderr, when it has ended as it should."""
    _, told = sweep.communicate(timeout=PATIENCE)
    assert sweep.returncode == code, told
    return told


def wait_for(what: Callable[[], bool], sweep: "subprocess.Popen[str]") -> None:
    began = time.monotonic()
    while not what():
        assert sweep.poll() is None, f"it ended before its time: {sweep.communicate()[1]}"
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.05)


def runs(out: Path) -> int:
    """Folders of runs that are there whole."""
    return sum(not path.name.startswith(".") for path in (out / "runs").glob("*"))


def files(folder: Path) -> dict[str, bytes]:
    """All but the manifest."""
    found = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    return {name: path.read_bytes() for name, path in found.items() if name != "manifest.json"}


def same(one: dict[str, bytes], other: dict[str, bytes]) -> bool:
    """Without a page of bytes when they are not."""
    differ = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    assert differ == []
    return len(one) > 0


SEEDS = ("--seeds", 6)


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Bytes of 24 settings and replications, made one after another in one process."""
    out = tmp_path_factory.mktemp("serial") / "x"
    finish(start(out, *SEEDS, "--executor", "serial"))
    return files(out)


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_processes_make_the_same_bytes(serial: dict[str, bytes], jobs: int, tmp_path: Path) -> None:
    finish(start(tmp_path / "x", *SEEDS, "--jobs", jobs))
    assert same(files(tmp_path / "x"), serial)


def test_threads_make_the_same_bytes_as_processes(serial: dict[str, bytes], tmp_path: Path) -> None:
    finish(start(tmp_path / "x", *SEEDS, "--executor", "threads", "--jobs", 3))
    assert same(files(tmp_path / "x"), serial)


def test_a_driver_killed_three_times_loses_nothing(tmp_path: Path) -> None:
    """200 settings and replications; killed with no warning, started again each time."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finish(start(whole, "--seeds", 50, "--jobs", 2))
    for share in (40, 90, 150):
        sweep = start(cut, "--seeds", 50, "--jobs", 2)
        wait_for(lambda most=share: runs(cut) >= most, sweep)  # type: ignore[misc]
        sweep.kill()
        sweep.communicate()
    there = runs(cut)
    assert 150 <= there < runs(whole)
    finish(start(cut, "--seeds", 50, "--jobs", 2))
    assert same(files(cut), files(whole))


@pytest.mark.parametrize("executor", ["loky", "threads"])
def test_an_interrupt_keeps_what_is_finished(
    executor: str, serial: dict[str, bytes], tmp_path: Path
) -> None:
    """From the keyboard, hence to all processes of the group."""
    out = tmp_path / "x"
    sweep = start(out, *SEEDS, "--executor", executor, "--jobs", 2)
    wait_for(lambda: runs(out) >= 10, sweep)
    os.killpg(sweep.pid, signal.SIGINT)
    told = finish(sweep, 130)
    assert (
        told.splitlines()[-1]
        == "interrupted; all finished runs are kept, the same command resumes the sweep"
    )
    assert "Traceback" not in told
    assert runs(out) >= 10
    finish(start(out, *SEEDS, "--executor", "serial"))
    assert same(files(out), serial)


def workers(sweep: "subprocess.Popen[str]", words: str) -> list[psutil.Process]:
    """Its descendants whose command line has these words."""
    return [
        each
        for each in psutil.Process(sweep.pid).children(recursive=True)
        if words in " ".join(each.cmdline())
    ]


def test_a_process_that_is_killed_takes_no_run_with_it(
    serial: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    sweep = start(out, *SEEDS, "--jobs", 2)
    wait_for(lambda: runs(out) >= 5, sweep)
    workers(sweep, "loky")[-1].kill()
    finish(sweep)
    assert same(files(out), serial)


def test_a_local_cluster_makes_the_same_bytes_though_a_worker_is_killed(
    serial: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    sweep = start(out, *SEEDS, "--executor", "dask", "--jobs", 2)
    wait_for(lambda: runs(out) >= 5, sweep)
    workers(sweep, "spawn_main")[-1].kill()
    finish(sweep)
    assert same(files(out), serial)


def test_no_process_outlives_a_driver_that_is_killed(tmp_path: Path) -> None:
    """Neither one at work nor one that waits for an order."""
    sweep = start(tmp_path / "x", "--seeds", 50, "--jobs", 2)
    wait_for(lambda: runs(tmp_path / "x") >= 1, sweep)
    left = workers(sweep, "loky")
    assert len(left) >= 2
    sweep.kill()
    assert psutil.wait_procs(left, timeout=60)[1] == []
    sweep.communicate()
    assert runs(tmp_path / "x") < 200


PINS = {"OMP_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Haswell"}


@contextmanager
def cluster(
    folder: Path,
    settings: dict[str, str],
    tls: Sequence[str] = (),
    last: dict[str, str] | None = None,
) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """Yield the address of a scheduler on loopback, and its process and those of two workers.

    Args:
        folder: working folder.
        settings: environment of all processes.
        tls: options of the certificates.
        last: further environment of the last worker.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | settings
    quiet = {
        "cwd": folder,
        "env": environment,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
    }
    dask = [sys.executable, "-m", "dask"]
    place = ("--host", "127.0.0.1", "--port", "0", "--protocol", "tls" if tls else "tcp")
    scheduler = subprocess.Popen([*dask, "scheduler", *place, "--no-dashboard", *tls], **quiet)  # type: ignore[call-overload]
    try:
        address = next(
            found[0]
            for line in scheduler.stderr
            if (found := re.findall(rb"t[cl][ps]://[\d.]+:\d+", line))
        )
        command = [
            *dask,
            "worker",
            address.decode(),
            "--nthreads",
            "1",
            "--no-dashboard",
            "--no-nanny",
            *tls,
        ]
        quiet["stderr"] = subprocess.DEVNULL
        people = [
            subprocess.Popen(command, **{**quiet, "env": environment | more})  # type: ignore[call-overload]
            for more in ({}, last or {})
        ]
        try:
            yield address.decode(), [*people, scheduler]
        finally:
            for each in people:
                each.kill()
                each.wait()
    finally:
        scheduler.kill()
        scheduler.communicate()


def test_a_cluster_over_tcp_makes_the_same_bytes_though_a_worker_is_killed(
    serial: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    with cluster(tmp_path, PINS) as (address, people):
        sweep = start(out, *SEEDS, "--executor", address)
        wait_for(lambda: runs(out) >= 5, sweep)
        people[0].kill()
        told = finish(sweep)
    assert told.splitlines()[0] == (
        f"{address}: has no authentication, any program that can reach it can run code "
        "as its user; use a closed network, or tls://"
    )
    assert same(files(out), serial)


def test_a_scheduler_that_is_killed_ends_the_sweep_in_a_line(tmp_path: Path) -> None:
    """The same command goes on with another executor; no finished run is lost."""
    out, whole, many = tmp_path / "x", tmp_path / "whole", ("--seeds", 20)
    with cluster(tmp_path, PINS) as (address, people):
        sweep = start(out, *many, "--executor", address, "--quiet")
        wait_for(lambda: runs(out) >= 5, sweep)
        people[-1].kill()
        told = finish(sweep, 1)
    assert told.splitlines()[1:] == [
        f"{address}: the connection to the dask scheduler was lost, all finished runs are kept, "
        "start a scheduler, then the same command again"
    ]
    left = runs(out)
    finish(start(out, *many, "--jobs", 2))
    finish(start(whole, *many, "--jobs", 2))
    assert 5 <= left < runs(whole)
    assert same(files(out), files(whole))


def signed(folder: Path) -> tuple[str, ...]:
    """Options of dask for certificates of an authority of the test's own."""
    request = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
    made = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    subprocess.run(["openssl", "req", *request, *made], check=True, capture_output=True)
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    return "--tls-ca-file", cert, "--tls-cert", cert, "--tls-key", key


def test_a_cluster_over_tls_needs_certificates(
    serial: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, out = signed(tmp_path), tmp_path / "x"
    names = [
        f"DASK_DISTRIBUTED__COMM__TLS__{name}"
        for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
    ]
    with cluster(tmp_path, PINS, tls) as (address, _):
        told = finish(start(out, *SEEDS, "--executor", address), 2)
        assert told == (
            f"--executor: {address}, needs certificates, name their files in dask's "
            f"configuration or in {', '.join(names)}\n"
        )
        (tmp_path / "other").mkdir()
        for name, path in zip(names, signed(tmp_path / "other")[1::2], strict=True):
            monkeypatch.setenv(name, path)
        told = finish(start(out, *SEEDS, "--executor", address), 2)
        assert re.fullmatch(
            rf"--executor: {address}, its certificate or yours is refused \(.*\), name files .*\n",
            told,
        )
        for name, path in zip(names, tls[1::2], strict=True):
            monkeypatch.setenv(name, path)
        told = finish(start(out, *SEEDS, "--executor", address, "--quiet"))
    assert told == ""
    assert same(files(out), serial)


def test_workers_that_add_in_another_order_are_refused(tmp_path: Path) -> None:
    with cluster(tmp_path, {"OMP_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Nehalem"}) as (
        address,
        _,
    ):
        told = finish(start(tmp_path / "x", "--executor", address), 2)
    assert (
        "must be 1 and Haswell for the same bytes everywhere, start workers with OMP_NUM_THREADS=1"
        in told
    )


def test_a_worker_with_other_sources_is_refused_before_any_run(tmp_path: Path) -> None:
    """A second checkout of the same version, in which one file was edited."""
    for name in ("sim", "agents", "experiments", "configs"):
        shutil.copytree(
            ROOT / name,
            tmp_path / "other" / name,
            ignore=shutil.ignore_patterns("__pycache__", "*.png"),
        )
    edited = tmp_path / "other" / "agents" / "makers.py"
    edited.write_text(edited.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    with cluster(tmp_path, PINS, last={"PYTHONPATH": str(tmp_path / "other")}) as (address, people):
        time.sleep(20)  # both have joined
        told = finish(start(tmp_path / "x", "--executor", address), 2)
        warned, refused = told.splitlines()
        assert warned.startswith(f"{address}: has no authentication")
        assert re.match(
            r"worker \S+:\d+: differs from the driver in agents/makers\.py: "
            r"workers need the driver's",
            refused,
        )
        assert runs(tmp_path / "x") == 0
        people[1].kill()
        people[1].wait()
        finish(start(tmp_path / "x", "--executor", address))
    assert runs(tmp_path / "x") > 0


def test_a_scheduler_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    told = finish(start(tmp_path / "x", "--executor", "tcp://127.0.0.1:9"), 2)
    assert told == (
        "--executor: tcp://127.0.0.1:9, no dask scheduler answers there, "
        "start one with: dask scheduler\n"
    )


def test_runs_that_raise_hang_or_kill_leave_the_others_alone(tmp_path: Path) -> None:
    """A population of the user, registered by a plug-in in every process."""
    faults = ("--plugin", "faults", "--time-limit", 30, "--jobs", 2)
    told = finish(start(tmp_path / "x", *faults, study="faulty.yaml"), 1)
    table = pd.read_parquet(tmp_path / "x" / "runs.parquet").set_index(["fault", "seed"])
    status = table["status"].unstack()
    assert status.loc[["none", "brief"]].eq("complete").all(axis=None)
    assert status.loc[["raise", "kill"]].eq("failed").all(axis=None)
    assert status.loc["hang"].eq("timeout").all()
    assert set(table.loc["raise", "error"]) == {"ValueError: a fault of their own"}
    assert set(table.loc["hang", "error"]) == {"ran out of its 30 s"}
    assert table.loc["kill", "error"].str.contains("ended from outside").all()
    assert told.splitlines()[-1].startswith("4 runs failed, 2 runs out of time; ")
    assert len(pd.read_parquet(tmp_path / "x" / "scores.parquet")) == 4
