"""Where a result came from, and the settings without which it would not come out the same."""

import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

PROCESS_STATUS = Path("/proc/self/status")
"""What Linux tells a process of itself."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

BLAS_KERNELS = {"x86_64": "Haswell", "amd64": "Haswell", "aarch64": "ARMV8", "arm64": "ARMV8"}
"""OpenBLAS kernels by machine: one that all of its kind can run, so that two of them add in the same order."""


def pin_threads() -> None:
    """One BLAS thread and a fixed kernel, whatever the environment says. Works only before numpy is imported."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    core = find_blas_kernel()
    if core is not None:
        os.environ["OPENBLAS_CORETYPE"] = core


def find_blas_kernel() -> str | None:
    """The OpenBLAS kernels that ``pin`` asks for; none on machines it does not know."""
    return BLAS_KERNELS.get(platform.machine().lower())


@functools.cache
def read_version() -> str:
    """Of the installed distribution; looked up once, for a sweep asks with every file."""
    return importlib.metadata.version("deleverage")


def describe_process() -> dict[str, Any]:
    """What is true of this process: versions, machine, code, command line, thread settings, peak memory."""
    return {
        "version": read_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": _read_dependency_versions(),
        "git": read_git_state(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "threads": {
            name: os.environ.get(name) for name in (*THREAD_VARIABLES, "OPENBLAS_CORETYPE")
        },
        "peak_memory_mb": measure_peak_memory(),
    }


def _read_dependency_versions() -> dict[str, str]:
    """Versions of the declared dependencies that are installed, extras apart."""
    needed = importlib.metadata.requires("deleverage") or []
    names = [re.split(r"[^\w.-]", each, maxsplit=1)[0] for each in needed if "extra ==" not in each]
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def read_git_state() -> dict[str, Any] | None:
    """Commit and whether the tree differs from it; nothing if this is not a checkout or git is not there."""
    if not (ROOT / ".git").exists():
        return None
    try:
        commit, status = (_run_git("rev-parse", "HEAD"), _run_git("status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.strip(), "dirty": bool(status.strip())}


def _run_git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


def measure_peak_memory() -> float | None:
    """Megabytes (2^20 bytes) this process itself held at most; unknown on Windows.

    Linux tells it as VmHWM; ``ru_maxrss`` begins at the peak of whoever started the process, and is asked elsewhere.
    """
    if sys.platform == "win32":
        return None
    own = (
        re.search(r"^VmHWM:\s+(\d+) kB$", PROCESS_STATUS.read_text(), re.MULTILINE)
        if PROCESS_STATUS.exists()
        else None
    )
    if own is not None:
        return round(int(own[1]) / 2**10, 1)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
