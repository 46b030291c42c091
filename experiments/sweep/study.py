"""What a study's module holds, and how it is found."""

import hashlib
import importlib
import importlib.util
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
from experiments.sweep.config import StudyConfig, list_study_names, packaged_study
from experiments.sweep.plan import SettingRequest
from sim.errors import ConfigError, DeleverageError, describe_exception
from sim.metrics.cascades import Frames


class StudyError(DeleverageError):
    """A study whose module failed; its runs are kept."""


REFINE = "refine"
"""The one function that a module may leave out."""


class StudyModule(Protocol):
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


def load_study_module(module: str) -> StudyModule:
    """The module of a study.

    Args:
        module: a name to import, or the path of a file.

    Raises:
        ConfigError: there is none, or it lacks a function that every study has.
    """
    found: Any = _load_file(Path(module)) if module.endswith(".py") else _import_module(module)
    missing = [name for name in STUDY_FUNCTIONS if not callable(vars(found).get(name))]
    if missing:
        raise ConfigError([f"{module}: no function {missing[0]!r}, every study has one, write it"])
    return found


def made_by(module: StudyModule, function: str, *arguments: object) -> Any:
    """What a function of a study's module returns.

    Raises:
        StudyError: it raised something, or returned what is of no use.
    """
    place = str(vars(module).get("__file__"))
    try:
        found = vars(module)[function](*arguments)
    except (DeleverageError, OSError):
        raise
    except IMPORT_ERRORS as error:
        raise StudyError(f"{function} fails ({describe_exception(error, place)}), correct it") from error
    wanted, words = RETURNS[function]
    parts = found.values() if isinstance(found, dict) else ()
    odd = [each for each in (found, *parts) if not isinstance(each, wanted)]
    if odd:
        raise StudyError(
            f"{place}: {function} returns {_article(odd[0])}, must return {words}, correct it"
        )
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


STUDY_FUNCTIONS = ("score", "tables", "figures", "report")
"""What every study's module has."""

_FILE_DIGESTS: dict[str, tuple[str, str]] = {}
"""Of each file that is a module here: digests of its content, and of that with the files it imports, when it ran."""


def find_study_module(name: str, own: Path | None) -> str:
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
            raise ConfigError(
                [f"--study {own}: {path}: no such file, name a study's YAML file or its module"]
            )
        return str(path.resolve())
    for plugin in plugins.list_plugins():
        if plugin.rpartition(".")[2] == name and set(STUDY_FUNCTIONS) <= set(
            vars(sys.modules[plugin])
        ):
            return plugin
    if name not in list_study_names():
        rule = "is a study of a user's own, and code that lies in a result never runs"
        raise ConfigError([f"{name}: {rule}, name its file: --study {name}.yaml"])
    return f"experiments.studies.{name}"


def hash_study_module(module: str) -> str:
    """16 hex digits of a study's module: of its file, and of what it imports beside installed packages.

    Raises:
        ConfigError: there is no such module.
    """
    found = load_study_module(module)
    if module.endswith(".py"):
        return _FILE_DIGESTS[str(Path(module))][1]
    path = Path(str(vars(found)["__file__"])).resolve()
    if path.is_relative_to(ROOT):
        known = identity.hash_sources().get(path.relative_to(ROOT).as_posix())
        if known is not None:
            return identity.compute_digest({path.name: known})
    return _hash_with_imports(path)


def _hash_with_imports(path: Path) -> str:
    held = {
        name: hashlib.sha256(each.read_bytes()).hexdigest()
        for name, each in find_imported_files(path).items()
    }
    return identity.compute_digest(held)


def request_refinement(
    study: StudyConfig, scores: Callable[[], pd.DataFrame]
) -> Sequence[SettingRequest]:
    """What a module asks for after it has seen the scores so far; nothing if it has no ``refine``."""
    module = load_study_module(study.module)
    if REFINE not in vars(module):
        return ()
    found = made_by(module, REFINE, study, scores())
    if odd := [each for each in found if not isinstance(each, SettingRequest)]:
        words = RETURNS[REFINE][1]
        raise StudyError(
            f"{study.module}: {REFINE} returns {_article(odd[0])} in it, must return {words}, correct it"
        )
    return found


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
    """A user's own, run once in each process, and again after it has changed."""
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
        exec(
            compile(content, str(path), "exec"), vars(module)
        )  # never from a cache, which may be of another content
    except IMPORT_ERRORS as error:
        raise ConfigError(
            [f"{path}: fails when imported ({describe_exception(error, str(path))}), correct it"]
        ) from error
    sys.modules[name] = module
    _FILE_DIGESTS[str(path)] = now, _hash_with_imports(path)
    return module
