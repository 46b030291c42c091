"""What a study's module holds, and how it is found."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from experiments import identity, plugins
from experiments.closure import ROOT, files_from
from experiments.config import RunConfig
from experiments.plugins import FAULTS, fault
from experiments.sweep.config import StudyConfig, names, packaged_study
from experiments.sweep.plan import Task
from sim.errors import ConfigError, DeleverageError
from sim.metrics.cascades import Frames


class StudyError(DeleverageError):
    """A study whose module failed; its runs are kept."""


REFINE = "refine"
"""The one function that a module may leave out."""


class Study(Protocol):
    """What a study's module holds."""

    def score(self, config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
        """Tidy rows of what one run showed; settings and seed are added as columns."""
        ...

    def tables(self, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Tidy tables of all runs' rows, by name."""
        ...

    def figures(self, runs: pd.DataFrame, folder: Path) -> None:
        """Draw what the tables say."""
        ...

    def report(self, runs: pd.DataFrame) -> str:
        """The tables as Markdown, for a page."""
        ...


def module_of(module: str) -> Study:
    """The module of a study.

    Args:
        module: a name to import, or the path of a file.

    Raises:
        ConfigError: there is none, or it lacks a function that every study has.
    """
    found: Any = _file(Path(module)) if module.endswith(".py") else _imported(module)
    missing = [name for name in FUNCTIONS if not callable(vars(found).get(name))]
    if missing:
        raise ConfigError([f"{module}: no function {missing[0]!r}, every study has one, write it"])
    return found


def made_by(module: Study, function: str, *arguments: object) -> Any:
    """What a function of a study's module returns.

    Raises:
        StudyError: it raised something, or returned what is of no use.
    """
    place = str(vars(module).get("__file__"))
    try:
        found = vars(module)[function](*arguments)
    except (DeleverageError, OSError):
        raise
    except FAULTS as error:
        raise StudyError(f"{function} fails ({fault(error, place)}), correct it") from error
    wanted, words = RETURNS[function]
    parts = found.values() if isinstance(found, dict) else ()
    odd = [each for each in (found, *parts) if not isinstance(each, wanted)]
    if odd:
        raise StudyError(f"{place}: {function} returns {_article(odd[0])}, must return {words}, correct it")
    return found


def _article(value: object) -> str:
    name = type(value).__name__
    return "nothing" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


RETURNS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "score": (pd.DataFrame, "a pandas DataFrame"),
    "tables": ((dict, pd.DataFrame), "pandas DataFrames by name, as a dict"),
    "figures": (object, "nothing"),
    "report": (str, "text"),
    "refine": ((list, tuple), "a list of tasks"),
}
"""What functions of a study's module return, and in words."""


FUNCTIONS = ("score", "tables", "figures", "report")
"""What every study's module has."""

_LOADED: dict[str, tuple[str, str]] = {}
"""Of each file that is a module here: digests of its content, and of that with the files it imports, when it ran."""


def found(name: str, own: Path | None) -> str:
    """The module of a study whose results are opened: from the command line or the package, never from the results.

    Args:
        name: of the study.
        own: the file that the user names, the study's YAML or its module; none = a plug-in or the package has it.

    Raises:
        ConfigError: there is no such module.
    """
    if own is not None and (shipped := packaged_study(own)):
        if shipped != name:
            told = f"is the study {shipped!r}, the results are of {name!r}, name the file of that: --study {name}.yaml"
            raise ConfigError([f"--study {own}: {told}"])
        return f"experiments.studies.{shipped}"
    if own is not None:
        path = own.with_suffix(".py")
        if not path.is_file():
            raise ConfigError([f"--study {own}: {path}: no such file, name a study's YAML file or its module"])
        return str(path.resolve())
    for plugin in plugins.loaded():
        if plugin.rpartition(".")[2] == name and set(FUNCTIONS) <= set(vars(sys.modules[plugin])):
            return plugin
    if name not in names():
        rule = "is a study of a user's own, and code that lies in a result never runs"
        raise ConfigError([f"{name}: {rule}, name its file: --study {name}.yaml"])
    return f"experiments.studies.{name}"


def digest_of(module: str) -> str:
    """16 hex digits of a study's module: of its file, and of what it imports beside installed packages.

    Raises:
        ConfigError: there is no such module.
    """
    found = module_of(module)
    if module.endswith(".py"):
        return _LOADED[str(Path(module))][1]
    path = Path(str(vars(found)["__file__"])).resolve()
    if path.is_relative_to(ROOT):
        known = identity.files().get(path.relative_to(ROOT).as_posix())
        if known is not None:
            return identity.digest_of({path.name: known})
    return _digest(path)


def _digest(path: Path) -> str:
    held = {name: hashlib.sha256(each.read_bytes()).hexdigest() for name, each in files_from(path).items()}
    return identity.digest_of(held)


def refined(study: StudyConfig, scores: Callable[[], pd.DataFrame]) -> Sequence[Task]:
    """What a module asks for after it has seen the scores so far; nothing if it has no ``refine``."""
    module = module_of(study.module)
    if REFINE not in vars(module):
        return ()
    found = made_by(module, REFINE, study, scores())
    if odd := [each for each in found if not isinstance(each, Task)]:
        words = RETURNS[REFINE][1]
        raise StudyError(f"{study.module}: {REFINE} returns {_article(odd[0])} in it, must return {words}, correct it")
    return found


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigError([f"{name}: no such module, a study is two files of its name, write it"]) from error


def _file(path: Path) -> Any:
    """A user's own, run once in each process, and again after it has changed."""
    name = f"deleverage_study_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or not path.is_file():
        raise ConfigError([f"{path}: no such file, a study is two files of its name, write it"])
    content = path.read_bytes()
    now, known = hashlib.sha256(content).hexdigest(), sys.modules.get(name)
    if known is not None and known.__file__ == str(path) and _LOADED.get(str(path), ("",))[0] == now:
        return known
    module = importlib.util.module_from_spec(spec)
    try:
        exec(compile(content, str(path), "exec"), vars(module))  # never from a cache, which may be of another content
    except FAULTS as error:
        raise ConfigError([f"{path}: fails when imported ({fault(error, str(path))}), correct it"]) from error
    sys.modules[name] = module
    _LOADED[str(path)] = now, _digest(path)
    return module
