"""Import of users' modules, before schemas are built from the registries they extend."""

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, get_args

from experiments.registries import REGISTRIES
from experiments.results.imported_sources import find_module_files, is_user_file
from sim.component import Component
from sim.errors import ConfigError, describe_exception, shorten_name

IMPORT_ERRORS = (Exception, SystemExit)
"""Errors that a user's module may raise on import."""

_FILE_DIGESTS: dict[str, dict[str, str]] = {}
"""Digests of the files of each plug-in of this process at the time of its import."""


def import_plugins(modules: Iterable[str] | None, path: str | None = None) -> None:
    """Import plug-ins.

    Args:
        modules: names of modules.
        path: folder that is searched last; None = the working folder.

    Raises:
        ConfigError: a module cannot be imported.
    """
    for name in modules or ():
        last = path or os.getcwd()
        _check_name(name, last)
        if last not in sys.path:
            sys.path.append(last)
        before = set(sys.modules)
        try:
            module = importlib.import_module(name)
        except IMPORT_ERRORS as error:
            rule = f"fails when imported ({describe_exception(error)}), correct it"
            if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
                rule = f"cannot be imported ({error}), name a module of this folder or environment"
            raise ConfigError([f"--plugin {name}: {rule}"]) from error
        if module.__file__ is None and vars(module).get("__path__"):
            rule = (
                "is a folder without __init__.py, which registers nothing, "
                "write that file or name a module in it"
            )
            raise ConfigError([f"--plugin {name}: {rule}"])
        if problems := find_unusable_classes():
            raise ConfigError([f"--plugin {name}: {line}" for line in problems])
        if name not in _FILE_DIGESTS:
            _FILE_DIGESTS[name] = _hash_plugin_files(name, before)


def _hash_plugin_files(name: str, before: Set[str]) -> dict[str, str]:
    """Return the SHA-256 of the files of a plug-in and of modules imported since ``before``."""
    files = find_module_files(name)
    known = {path.resolve() for path in files.values()}
    for label, path in _find_new_files(before).items():
        if path.resolve() not in known:
            files[label] = path
    return {label: hashlib.sha256(path.read_bytes()).hexdigest() for label, path in files.items()}


def _check_name(name: str, folder: str) -> None:
    """Check that a name can be the name of a module.

    Raises:
        ConfigError: the name is not valid, with the name to write instead.
    """
    if all(part.isidentifier() for part in name.split(".")) and not (Path(folder) / name).is_file():
        return
    stem = Path(name).stem
    near = stem if name == f"{stem}.py" and stem.isidentifier() else "mine or mine.rules"
    rule = "is no name of a module, write one such as mine or mine.rules"
    if near == stem:
        rule = f"is the name of a file, name the module in it: --plugin {stem}"
    raise ConfigError([f"--plugin {shorten_name(name)}: {rule}"])


def find_unusable_classes() -> list[str]:
    """Return a line for each registered class that no configuration could name.

    Only registries that have been imported can hold a class of a plug-in.
    """
    return [
        f"{registry}[{name!r}]: {rule}"
        for module, registry in REGISTRIES.values()
        for name, cls in vars(sys.modules.get(module, sys)).get(registry, {}).items()
        if (rule := _describe_unusable(name, cls))
    ]


def _describe_unusable(name: str, cls: Any) -> str:
    """Return the rule that a registered class breaks, and the remedy; empty if it can be named."""
    if not isinstance(cls, type) or not issubclass(cls, Component):
        what = cls.__name__ if isinstance(cls, type) else type(cls).__name__
        return f"{what} is not a subclass of Component, register such a class"
    field = cls.model_fields.get("kind")
    if field is None or get_args(field.annotation) != (name,) or field.default != name:
        write = f'kind: Literal["{name}"] = "{name}"'
        return f"the field kind of {cls.__name__} does not name {name!r}, write {write}"
    return ""


def _find_new_files(before: Set[str]) -> dict[str, Path]:
    """Return the files of users' modules imported since ``before``, also by computed names."""
    found = {each: vars(sys.modules[each]).get("__file__") for each in set(sys.modules) - before}
    paths = {each: Path(path) for each, path in found.items() if isinstance(path, str)}
    return {
        f"{each.replace('.', '/')}.py": path for each, path in paths.items() if is_user_file(path)
    }


def list_plugins() -> tuple[str, ...]:
    """Return the names of the plug-ins of this process."""
    return tuple(sorted(_FILE_DIGESTS))


def get_file_digests(name: str) -> dict[str, str]:
    """Return the SHA-256 of each file of a plug-in and of its imports, by name."""
    return dict(_FILE_DIGESTS.get(name, {}))


def digest_plugin(name: str) -> str:
    """Return 16 hex digits of the digest of a plug-in's files."""
    text = json.dumps(get_file_digests(name), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def format_missing_options(needed: Mapping[str, str]) -> str:
    """Return the options for plug-ins that a result needs and this process has not imported."""
    return " ".join(f"--plugin {name}" for name in sorted(needed) if name not in _FILE_DIGESTS)
