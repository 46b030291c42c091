"""A user's own modules, imported before any schema is made from the registries that they add to."""

import hashlib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from experiments.closure import files_of, is_beside
from sim.errors import ConfigError, brief

FAULTS = (Exception, SystemExit)
"""What a user's own module can raise."""

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
        last = path or os.getcwd()
        _check_name(name, last)
        if last not in sys.path:
            sys.path.append(last)
        before = set(sys.modules)
        try:
            module = importlib.import_module(name)
        except FAULTS as error:
            rule = f"fails when imported ({fault(error)}), correct it"
            if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
                rule = f"cannot be imported ({error}), name a module of this folder or environment"
            raise ConfigError([f"--plugin {name}: {rule}"]) from error
        if module.__file__ is None and vars(module).get("__path__"):
            rule = "is a folder without __init__.py, which registers nothing, write that file or name a module in it"
            raise ConfigError([f"--plugin {name}: {rule}"])
        if name not in _FILES:
            held = files_of(name)
            known = {path.resolve() for path in held.values()}
            held |= {label: path for label, path in _gained(before).items() if path.resolve() not in known}
            _FILES[name] = {label: hashlib.sha256(each.read_bytes()).hexdigest() for label, each in held.items()}


def _check_name(name: str, folder: str) -> None:
    """Refuse what is no name of a module.

    Raises:
        ConfigError: what to write instead.
    """
    if all(part.isidentifier() for part in name.split(".")) and not (Path(folder) / name).is_file():
        return
    stem = Path(name).stem
    near = stem if name == f"{stem}.py" and stem.isidentifier() else "mine or mine.rules"
    told = "is no name of a module, write one such as mine or mine.rules"
    if near == stem:
        told = f"is the name of a file, name the module in it: --plugin {stem}"
    raise ConfigError([f"--plugin {brief(name)}: {told}"])


def fault(error: BaseException, file: str = "") -> str:
    """What a user's own code raised, in words, with its place.

    Args:
        error: it.
        file: path of the code, whose last line under way is the place; empty = the line that raised.
    """
    told = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
    if isinstance(error, SyntaxError):
        line = "" if error.lineno is None else f":{error.lineno}"
        return f"SyntaxError: {error.msg}, {error.filename}{line}" if error.filename else told
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file] or list(frames)
    return f"{told}, {own[-1].filename}:{own[-1].lineno}" if own else told


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
