"""Module of a study: its functions, and how it is found and loaded."""

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from experiments import plugins
from experiments.config import RunConfig
from experiments.plugins import IMPORT_ERRORS
from experiments.results import identity
from experiments.results.imported_sources import ROOT, find_imported_files
from experiments.studies.shared.default_outputs import add_default_outputs
from experiments.sweep.config import StudyConfig, list_study_names, packaged_study
from experiments.sweep.plan import SettingRequest
from sim.errors import ConfigError, DeleverageError, describe_exception
from sim.metrics.cascades import Frames


class StudyError(DeleverageError):
    """Error of a study whose module failed; its runs are kept."""


REFINE = "refine"
"""The one optional function of a study's module."""


class StudyModule(Protocol):
    """Interface of a study's module."""

    def score(self, config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
        """Return tidy rows of the outcomes of one run; settings and seed are added as columns."""
        ...

    def tables(self, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Return tidy tables of all runs' rows, by name."""
        ...

    def figures(self, runs: pd.DataFrame, folder: Path) -> None:
        """Draw the tables as figures."""
        ...

    def report(self, runs: pd.DataFrame) -> str:
        """Return the tables as Markdown, for a page."""
        ...


def load_study_module(module: str) -> StudyModule:
    """Return the module of a study.

    Args:
        module: a name to import, or the path of a file.

    Raises:
        ConfigError: there is no such module, it lacks a required function, or one of its functions
            cannot take its arguments.
    """
    found: Any = _load_file(Path(module)) if module.endswith(".py") else _import_module(module)
    own = [name for name, value in vars(found).items() if callable(value) and name[0] != "_"]
    for name in (each for each in STUDY_FUNCTIONS if each not in own):
        if near := difflib.get_close_matches(name, set(own) - set(STUDY_FUNCTIONS), 1, 0.8):
            raise ConfigError([f"{module}: no function {name!r}, but {near[0]!r}: rename it"])
        if name == SCORE:
            rule = "every study has one, write it"
            raise ConfigError([f"{module}: no function {name!r}, {rule}"])
    if problems := [line for name in ARGUMENTS if (line := _describe_signature(found, name))]:
        raise ConfigError([f"{module}: {line}" for line in problems])
    add_default_outputs(found)
    return found


def _describe_signature(module: Any, name: str) -> str:
    """Return how a function of a module has to be written, empty if it takes its arguments."""
    function = vars(module).get(name)
    if not callable(function):
        return ""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some compiled functions have none
        return ""
    try:
        signature.bind(*ARGUMENTS[name])
    except TypeError:
        wanted = f"def {name}({', '.join(ARGUMENTS[name])})"
        return f"{name}{signature} cannot take {len(ARGUMENTS[name])} arguments, write {wanted}"
    return ""


def made_by(module: StudyModule, function: str, *arguments: object) -> Any:
    """Return the result of a function of a study's module.

    Raises:
        StudyError: the function failed, or returned a value of the wrong type.
    """
    place = str(vars(module).get("__file__"))
    try:
        result = vars(module)[function](*arguments)
    except (DeleverageError, OSError):
        raise
    except IMPORT_ERRORS as error:
        text = describe_exception(error, place)
        raise StudyError(f"{function} fails ({text}), correct it") from error
    expected, words = RETURNS[function]
    parts = result.values() if isinstance(result, dict) else ()
    wrong = [value for value in (result, *parts) if not isinstance(value, expected)]
    if wrong:
        kind = _article(wrong[0])
        raise StudyError(f"{place}: {function} returns {kind}, must return {words}, correct it")
    return result


def _article(value: object) -> str:
    name = type(value).__name__
    return "nothing" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


RETURNS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "score": (pd.DataFrame, "a pandas DataFrame"),
    "tables": ((dict, pd.DataFrame), "pandas DataFrames by name, as a dict"),
    "figures": (object, "nothing"),
    "report": (str, "text"),
    "refine": ((list, tuple), "a list of SettingRequest"),
}
"""Return types of the functions of a study's module, and their names in messages."""


ARGUMENTS = {
    "score": ("config", "frames", "twin"),
    "tables": ("runs",),
    "figures": ("runs", "folder"),
    "report": ("runs",),
    "refine": ("study", "scores"),
}
"""Arguments of the functions of a study's module, which are given by position."""

SCORE = "score"
STUDY_FUNCTIONS = (SCORE, "tables", "figures", "report")
"""Functions of a study's module; all but the first have a default."""

_FILE_DIGESTS: dict[str, tuple[str, str]] = {}
"""Digests of each loaded study file: of its content, and of its content with its imports."""


def find_study_module(name: str, own: Path | None) -> str:
    """Return the module of a study whose results are opened; code within results never runs.

    Args:
        name: name of the study.
        own: the study's YAML file or module, as named by the user; None = a plug-in or the package
            has it.

    Raises:
        ConfigError: there is no such module.
    """
    if own is not None and (shipped := packaged_study(own)):
        if shipped != name:
            rule = f"the results are of {name!r}, name the file of that: --study {name}.yaml"
            raise ConfigError([f"--study {own}: is the study {shipped!r}, {rule}"])
        return f"experiments.studies.{shipped}"
    if own is not None:
        path = own.with_suffix(".py")
        if not path.is_file():
            raise ConfigError(
                [f"--study {own}: {path}: no such file, name a study's YAML file or its module"]
            )
        return str(path.resolve())
    for plugin in plugins.list_plugins():
        if plugin.rpartition(".")[2] == name and SCORE in vars(sys.modules[plugin]):
            return plugin
    if name not in list_study_names():
        rule = "is a study of a user's own, and code that lies in a result never runs"
        raise ConfigError([f"{name}: {rule}, name its file: --study {name}.yaml"])
    return f"experiments.studies.{name}"


def hash_study_module(module: str) -> str:
    """Return 16 hex digits of the digest of a study's module and of its own imports.

    Installed packages do not enter the digest.

    Raises:
        ConfigError: there is no such module.
    """
    module_object = load_study_module(module)
    if module.endswith(".py"):
        return _FILE_DIGESTS[str(Path(module))][1]
    path = Path(str(vars(module_object)["__file__"])).resolve()
    if path.is_relative_to(ROOT):
        known = identity.hash_sources().get(path.relative_to(ROOT).as_posix())
        if known is not None:
            return identity.compute_digest({path.name: known})
    return _hash_with_imports(path)


def _hash_with_imports(path: Path) -> str:
    digests = {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in find_imported_files(path).items()
    }
    return identity.compute_digest(digests)


def request_refinement(
    study: StudyConfig, scores: Callable[[], pd.DataFrame]
) -> Sequence[SettingRequest]:
    """Return the settings that a module requests from the scores so far; none without
    ``refine``.
    """
    module = load_study_module(study.module)
    if REFINE not in vars(module):
        return ()
    requests = made_by(module, REFINE, study, scores())
    if wrong := [value for value in requests if not isinstance(value, SettingRequest)]:
        kind, words = _article(wrong[0]), RETURNS[REFINE][1]
        rule = f"returns {kind} in it, must return {words}, correct it"
        raise StudyError(f"{study.module}: {REFINE} {rule}")
    return requests


def _import_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigError(
            [f"{name}: no such module, a study is two files of its name, write it"]
        ) from error


def _load_file(path: Path) -> Any:
    """Load a user's module, once in each process and again after each change."""
    name = f"deleverage_study_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or not path.is_file():
        raise ConfigError([f"{path}: no such file, a study is two files of its name, write it"])
    content = path.read_bytes()
    now, known = hashlib.sha256(content).hexdigest(), sys.modules.get(name)
    if (
        known is not None
        and known.__file__ == str(path)
        and _FILE_DIGESTS.get(str(path), ("",))[0] == now
    ):
        return known
    module = importlib.util.module_from_spec(spec)
    try:
        # Never from a cache, which may hold other content.
        exec(compile(content, str(path), "exec"), vars(module))
    except IMPORT_ERRORS as error:
        raise ConfigError(
            [f"{path}: fails when imported ({describe_exception(error, str(path))}), correct it"]
        ) from error
    sys.modules[name] = module
    _FILE_DIGESTS[str(path)] = now, _hash_with_imports(path)
    return module
