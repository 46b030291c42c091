"""Identity of the code of a run: sources, plug-ins, versions and linear algebra.

The bytes of a result depend on these, beside its configuration and data.
"""

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
"""Plain data that identify code.

They are version, Python, machine, linear algebra, packages, sources and plug-ins.
"""

PACKAGES = ("sim", "agents", "experiments")

RUN_MODULES = (
    "experiments.simulation",
    "experiments.results.store",
    "experiments.results.provenance",
)
"""Modules of ``experiments`` that, with their imports, determine the bytes of a run.

All modules of ``sim`` and ``agents`` count.
"""

EXTRA_FILES = ("experiments/sweep/execute_jobs.py",)
"""Files of ``experiments`` that count without their imports."""

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
    """Return the SHA-256 of each source of the project, by path; read once per process."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


@functools.cache
def _sources() -> dict[str, str]:
    """Return one digest for each package, of the files that determine runs."""
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
    """Return 16 hex digits of the digest of plain data."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _read_package_versions() -> dict[str, str]:
    """Return the versions of the installed packages that count."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def _list_algebra_libraries() -> tuple[tuple[str, str, str, int], ...]:
    """Return name, version, kernels and threads of the linear algebra in this process."""
    import threadpoolctl

    importlib.import_module("scipy.linalg")  # loads a library of its own beside numpy's
    libraries = {
        (
            each["internal_api"],
            str(each["version"]),
            str(each.get("architecture") or ""),
            each["num_threads"],
        )
        for each in threadpoolctl.threadpool_info()
        if each["user_api"] == "blas"
    }
    return tuple(sorted(libraries))


def _describe_algebra(pinned: bool) -> list[str]:
    """Return texts on the linear algebra of this process, or of a worker with pinned settings."""
    pinned_kernel = provenance.find_blas_kernel()
    texts = set()
    for name, version, own_kernel, count in _list_algebra_libraries():
        kernel = pinned_kernel if pinned and own_kernel and pinned_kernel else own_kernel
        texts.add(f"{name} {version} {kernel} x{1 if pinned else count}")
    return sorted(texts)


def describe_code(modules: Iterable[str] = (), *, pinned: bool = False) -> CodeFacts:
    """Return the data that identify the code of this process.

    Args:
        modules: plug-ins of the run, imported by ``import_plugins``.
        pinned: describe workers with pinned settings instead of this process.
    """
    python = sys.version_info
    return {
        "version": provenance.read_version(),
        "python": f"{platform.python_implementation()} {python.major}.{python.minor}",
        "machine": f"{sys.platform} {platform.machine()}",
        "algebra": _describe_algebra(pinned),
        "packages": _read_package_versions(),
        "sources": _sources(),
        "plugins": {name: plugins.digest_plugin(name) for name in sorted(set(modules))},
    }


def describe_differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return the differences between two codes as texts; empty if there are none."""
    differences = [
        f"sources of {name}"
        for name in _list_differing_names(there.get("sources"), here.get("sources"))
    ]
    differences += [
        f"plug-in {name}"
        for name in _list_differing_names(there.get("plugins"), here.get("plugins"))
    ]
    for name in _list_differing_names(there.get("packages"), here.get("packages")):
        versions = [_format_entry(code, "packages", name) for code in (there, here)]
        differences.append(f"{name} {versions[0]}, here {versions[1]}")
    for key in ("version", "python", "machine", "algebra"):
        recorded, present = there.get(key), here.get(key)
        if recorded != present:
            differences.append(f"{key} {_format_value(recorded)}, here {_format_value(present)}")
    if not differences and dict(there) != dict(here):
        return ["the description of its code"]
    return differences


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
    """Return the names of the first three sources that differ; empty if all are the same."""
    names = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
