"""A user's own modules, imported before any schema is made from the registries that they add to."""

import hashlib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from experiments.results.imported_sources import files_of, is_beside
from sim.errors import ConfigError, brief

FAULTS = (
    *(SyntaxError, NameError, AttributeError, TypeError, ValueError, LookupError, ArithmeticError, AssertionError),
    *(RuntimeError, OSError, SystemExit),
)
"""What a user's own module can raise while it is imported."""

_FILES: dict[str, dict[str, str]] = {}
"""Digests of the files of each plug-in of this process, as they were when it was imported."""


def plug_in(modules: Iterable[str] | None, path: str | None = None) -> None:
    """Import them.

    Args:
        modules: names.
        path: the last place looked in; none = the working folder.

    Raises:
        ConfigError: one that cannot be imported.
    """
    for name in modules or ():
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError([f"--plugin {brief(name)}: is no name of a module, write one such as mine or mine.rules"])
        last = path or os.getcwd()
        if last not in sys.path:
            sys.path.append(last)
        before = set(sys.modules)
        try:
            importlib.import_module(name)
        except ImportError as error:
            rule = f"cannot be imported ({error}), name a module of this folder or environment"
            raise ConfigError([f"--plugin {name}: {rule}"]) from error
        except FAULTS as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
            rule = f"fails when imported ({told}, {where.filename}:{where.lineno}), correct it"
            raise ConfigError([f"--plugin {name}: {rule}"]) from error
        if name not in _FILES:
            held = files_of(name)
            known = {path.resolve() for path in held.values()}
            held |= {label: path for label, path in _gained(before).items() if path.resolve() not in known}
            _FILES[name] = {label: hashlib.sha256(each.read_bytes()).hexdigest() for label, each in held.items()}


def _gained(before: Set[str]) -> dict[str, Path]:
    """Files of modules beside the installed ones that were imported since, also by a name that was put together."""
    found = {each: vars(sys.modules[each]).get("__file__") for each in set(sys.modules) - before}
    paths = {each: Path(path) for each, path in found.items() if isinstance(path, str)}
    return {f"{each.replace('.', '/')}.py": path for each, path in paths.items() if is_beside(path)}


def loaded() -> tuple[str, ...]:
    """Names of the plug-ins of this process."""
    return tuple(sorted(_FILES))


def files(name: str) -> dict[str, str]:
    """SHA-256 of each file of a plug-in and of what it imports beside it, by name."""
    return dict(_FILES.get(name, {}))


def digest(name: str) -> str:
    """16 hex digits of a plug-in's files."""
    text = json.dumps(files(name), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def missing(needed: Mapping[str, str]) -> str:
    """The options that name the plug-ins a result needs and this process lacks; empty if it has all."""
    return " ".join(f"--plugin {name}" for name in sorted(needed) if name not in _FILES)
