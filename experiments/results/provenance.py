"""Provenance of results, and the thread settings that make them reproducible."""

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
"""File in which Linux reports the status of a process."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

BLAS_KERNELS = {"x86_64": "Haswell", "amd64": "Haswell", "aarch64": "ARMV8", "arm64": "ARMV8"}
"""OpenBLAS kernel by machine type.

All machines of a type can run it, so that they sum in the same order.
"""


def pin_threads() -> None:
    """Set one BLAS thread and a fixed kernel, before numpy is imported."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    core = find_blas_kernel()
    if core is not None:
        os.environ["OPENBLAS_CORETYPE"] = core


def find_blas_kernel() -> str | None:
    """Return the OpenBLAS kernel that ``pin_threads`` sets; None on unknown machines."""
    return BLAS_KERNELS.get(platform.machine().lower())


@functools.cache
def read_version() -> str:
    """Return the version of the installed distribution; cached, because each file records it."""
    return importlib.metadata.version("deleverage")


def describe_process() -> dict[str, Any]:
    """Return versions, machine, code, command line, threads and peak memory of this process."""
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
    """Return the versions of installed dependencies, without those of extras."""
    needed = importlib.metadata.requires("deleverage") or []
    names = [re.split(r"[^\w.-]", each, maxsplit=1)[0] for each in needed if "extra ==" not in each]
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def read_git_state() -> dict[str, Any] | None:
    """Return the commit, and whether files differ from it; None without checkout or git."""
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
    """Return the peak memory of this process in megabytes (2^20 bytes); None on Windows.

    Linux reports it as VmHWM. Other systems report ``ru_maxrss``, which on Linux would start at
    the peak of the parent process.
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
