"""What a study's module holds, and how it is found."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from experiments.config import RunConfig
from experiments.sweep.config import StudyConfig
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
    missing = [name for name in ("score", "tables", "figures", "report") if name not in vars(found)]
    if missing:
        raise ConfigError([f"{module}: no function {missing[0]!r}, every study has one, write it"])
    return found


def refined(study: StudyConfig, scores: Callable[[], pd.DataFrame]) -> Sequence[Task]:
    """What a module asks for after it has seen the scores so far; nothing if it has no ``refine``."""
    refine = vars(module_of(study.module)).get(REFINE)
    return refine(study, scores()) if refine is not None else ()


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ConfigError([f"{name}: no such module, a study is two files of its name, write it"]) from error


def _file(path: Path) -> Any:
    """A user's own, once in each process."""
    name = f"deleverage_study_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError([f"{path}: no such file, a study is two files of its name, write it"])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module
