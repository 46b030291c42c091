"""What the bytes of a run depend on beside its configuration and data: sources, plug-ins, versions, arithmetic."""

import functools
import hashlib
import importlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from experiments import plugins
from experiments.results import provenance
from experiments.results.imported_sources import ROOT, find_project_files

CodeFacts = dict[str, Any]
"""Plain data that names some code: version, Python, machine, linear algebra, packages, sources, plug-ins."""

PACKAGES = ("sim", "agents", "experiments")

RUN_MODULES = (
    "experiments.simulation",
    "experiments.results.store",
    "experiments.results.provenance",
)
"""Modules of ``experiments`` that make the bytes of a run, with all that they import; all of sim and agents counts."""

EXTRA_FILES = ("experiments/sweep/execute_jobs.py",)
"""Files of ``experiments`` that count without what they import."""

DISTRIBUTIONS = (
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "pandas",
    "pyarrow",
    "mesa",
    "networkx",
    "pydantic",
)
"""Packages whose versions may change the bytes of a run."""


@functools.cache
def hash_sources() -> dict[str, str]:
    """SHA-256 of every source of the project's packages, by path; read once in each process."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


@functools.cache
def _sources() -> dict[str, str]:
    """One digest for each package, of the files that make runs."""
    makers = {path.relative_to(ROOT).as_posix() for path in find_project_files(RUN_MODULES)} | set(
        EXTRA_FILES
    )
    counted = {
        package: {
            path: digest
            for path, digest in hash_sources().items()
            if path.startswith(f"{package}/") and (package != "experiments" or path in makers)
        }
        for package in PACKAGES
    }
    return {package: compute_digest(found) for package, found in counted.items()}


def compute_digest(value: Any) -> str:
    """16 hex digits of plain data."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _read_package_versions() -> dict[str, str]:
    """Versions of what is installed among the packages that count."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def _list_algebra_libraries() -> tuple[tuple[str, str, str, int], ...]:
    """Libraries of linear algebra in this process: name, version, kernels, threads."""
    import threadpoolctl

    importlib.import_module("scipy.linalg")  # which brings its own beside numpy's
    found = [each for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"]
    told = (
        (each["internal_api"], each["version"], each.get("architecture"), each["num_threads"])
        for each in found
    )
    return tuple(
        sorted(
            {
                (name, str(version), str(kernel or ""), count)
                for name, version, kernel, count in told
            }
        )
    )


def _describe_algebra(pinned: bool) -> list[str]:
    """Linear algebra in words: as it is here, or as it is in a worker whose settings are pinned."""
    kernel = provenance.find_blas_kernel()
    told = set()
    for name, version, found, count in _list_algebra_libraries():
        kernels = kernel if pinned and found and kernel else found
        told.add(f"{name} {version} {kernels} x{1 if pinned else count}")
    return sorted(told)


def describe_code(modules: Iterable[str] = (), *, pinned: bool = False) -> CodeFacts:
    """What names the code of this process.

    Args:
        modules: plug-ins that take part; each was imported by ``plug_in``.
        pinned: describe workers with pinned settings in place of this process.
    """
    return {
        "version": provenance.read_version(),
        "python": f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}",
        "machine": f"{sys.platform} {platform.machine()}",
        "algebra": _describe_algebra(pinned),
        "packages": _read_package_versions(),
        "sources": _sources(),
        "plugins": {name: plugins.digest_plugin(name) for name in sorted(set(modules))},
    }


def describe_differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs between two codes, in words; empty if nothing does."""
    told = [
        f"sources of {name}"
        for name in _list_differing_names(there.get("sources"), here.get("sources"))
    ]
    told += [
        f"plug-in {name}"
        for name in _list_differing_names(there.get("plugins"), here.get("plugins"))
    ]
    for name in _list_differing_names(there.get("packages"), here.get("packages")):
        told.append(
            f"{name} {_format_entry(there, 'packages', name)}, here {_format_entry(here, 'packages', name)}"
        )
    for key in ("version", "python", "machine", "algebra"):
        if there.get(key) != here.get(key):
            told.append(
                f"{key} {_format_value(there.get(key))}, here {_format_value(here.get(key))}"
            )
    return told or (["what it says of its code"] if dict(there) != dict(here) else [])


def _list_differing_names(there: Any, here: Any) -> list[str]:
    one, other = (each if isinstance(each, Mapping) else {} for each in (there, here))
    return sorted(str(name) for name in {*one, *other} if one.get(name) != other.get(name))


def _format_entry(held: Mapping[str, Any], key: str, name: str) -> str:
    inner = held.get(key)
    return _format_value(inner.get(name) if isinstance(inner, Mapping) else None)


def _format_value(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def name_differing_sources(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Names of the sources that differ, the first few of them; empty if all are the same."""
    names = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
