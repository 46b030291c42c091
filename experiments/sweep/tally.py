"""What a sweep has so far: the state of every run, and the scores."""

import pickle
from collections import Counter
from typing import Any

import pandas as pd
import pyarrow as pa

from experiments import identity, provenance, store
from experiments.sweep.config import StudyConfig
from experiments.sweep.folder import Results
from experiments.sweep.plan import Unit
from experiments.sweep.records import COMPLETE, FAILED, Result
from experiments.sweep.sealed import summary_of
from experiments.sweep.study import StudyError, digest_of
from sim.errors import ConfigError, not_one_of

RUNS, SCORES = "runs.parquet", "scores.parquet"

CHUNK = 500
"""Scores that are frames at a time."""


class Tally:
    """Collects results, in whatever order they come.

    Args:
        study: whose.
    """

    def __init__(self, study: StudyConfig) -> None:
        self.study = study
        self.units: dict[int, Unit] = {}
        self.results: dict[int, Result] = {}
        self.remade: list[str] = []
        self._rows: dict[int, bytes] = {}  # frames of one row each, which would take several times as much

    def expect(self, units: list[Unit]) -> None:
        """These are to be done."""
        self.units |= {unit.number: unit for unit in units}

    def take(self, result: Result) -> None:
        """One is done.

        Raises:
            ConfigError: the first scores lack a metric that the study names, or have a column of an axis's name.
        """
        if result.rows is not None and not self.scored:
            known = list(result.rows.columns)
            problems = [f"metrics: {not_one_of(name, known)}" for name in self.study.metrics if name not in known]
            setting = self.units[result.number].setting
            taken = [name for name in setting if name in known and (result.rows[name] != setting[name]).any()]
            problems += [f"axes: {name}, is a column that score makes too, rename one of them" for name in taken]
            if problems:
                raise ConfigError(problems)
        if result.rows is not None:
            self._rows[result.number] = pickle.dumps(result.rows)
        self.results[result.number] = result._replace(rows=None)
        self.remade += result.remade

    @property
    def scored(self) -> bool:
        """Whether anything is."""
        return bool(self._rows)

    @property
    def problems(self) -> list[str]:
        """What the study's module raised, once for each kind."""
        found = {
            result.problem: number for number, result in sorted(self.results.items(), reverse=True) if result.problem
        }
        return [f"{self.study.name}: {_told(self.units[number])}: {problem}" for problem, number in found.items()]

    def counts(self) -> dict[str, int]:
        """Runs by status, each counted once."""
        states = {state.hash: state.status for result in self.results.values() for state in result.states.values()}
        return dict(sorted(Counter(states.values()).items()))

    def about(self) -> dict[str, Any]:
        """For the manifest."""
        return {"runs": self.counts(), "jobs_done": len(self.units), "remade": self.remade}

    def codes(self, results: Results) -> list[identity.Facts]:
        """Facts of the code of all complete runs, each once; more than one only where runs of other code were taken."""
        code = next(iter(self.units.values())).code
        own = {name for unit in self.units.values() for name in unit.hashes.values()}
        states = (state for result in self.results.values() for state in result.states.values())
        names = {state.hash for state in states if state.status == COMPLETE}
        found = [code] if names & own or not names else []
        for name in sorted(names - own):
            other = summary_of(results.place / "runs" / name)["code"]
            if other not in found:
                found.append(other)
        return found

    def runs(self) -> pd.DataFrame:
        """One row for each setting, replication and role; one that is not complete has error and configuration."""
        rows = []
        for number, unit in sorted(self.units.items()):
            for role, state in self.results[number].states.items():
                config = None if state.status == COMPLETE else unit.text(role)
                rows.append((*unit.setting.values(), role, state.hash, state.status, state.error or None, config))
        names = [*next(iter(self.units.values())).setting, "role", "hash", "status", "error", "config"]
        return pd.DataFrame(rows, columns=names)

    def scores(self) -> pd.DataFrame:
        """Rows of all scores, in the order of the plan, settings and seed first."""
        numbers = sorted(self._rows)
        chunks = [numbers[first : first + CHUNK] for first in range(0, len(numbers), CHUNK)]
        parts = [pd.concat([self._scored(number) for number in chunk], ignore_index=True) for chunk in chunks]
        return pd.concat(parts, ignore_index=True)

    def _scored(self, number: int) -> pd.DataFrame:
        """Rows of one unit's score."""
        rows, setting = pickle.loads(self._rows[number]), self.units[number].setting
        shown = [name for name in rows.columns if name not in setting]
        found: pd.DataFrame = rows.assign(**setting)[[*setting, *shown]]
        return found

    def write(self, results: Results) -> None:
        """``runs.parquet`` and ``scores.parquet``; tracebacks of what has failed no longer go."""
        results.forget({s.hash for each in self.results.values() for s in each.states.values() if s.status == FAILED})
        about = {"study": store.canonical(self.study.model_dump(mode="json")), "version": provenance.version()}
        about |= {"code": store.canonical(self.codes(results)), "module": digest_of(self.study.module)}
        results.put(RUNS, lambda path: store.write_frame(self.runs(), path, about))
        if self.scored:
            scores = self.scores()
            try:
                results.put(SCORES, lambda path: store.write_frame(scores, path, about))
            except pa.ArrowException as error:
                raise StudyError(*_unwritable(scores, self.study.module)) from error


def _unwritable(scores: pd.DataFrame, module: str) -> list[str]:
    """A line for each column of scores that Parquet cannot hold."""
    rule = "must all be numbers, truth values, times or text of one kind, correct score"
    found = []
    for name, column in scores.items():
        try:
            pa.array(column.to_numpy(), from_pandas=True)
        except pa.ArrowException:
            kinds = ", ".join(sorted({type(value).__name__ for value in column}))
            found.append(f"{module}: column {name!r} of score holds values of type {kinds}, which {rule}")
    return found


def _told(unit: Unit) -> str:
    words = {name: value if isinstance(value, str) else f"{value:g}" for name, value in unit.setting.items()}
    return ", ".join(f"{name} {word}" for name, word in words.items())
