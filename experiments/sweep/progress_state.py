"""State of a sweep: the status of every run, and the scores."""

import pickle
from collections import Counter
from typing import Any

import pandas as pd
import pyarrow as pa

from experiments.results import identity, provenance, store
from experiments.sweep.config import StudyConfig
from experiments.sweep.folder import ResultFolder
from experiments.sweep.messages import COMPLETE, FAILED, JobResult
from experiments.sweep.plan import PlannedJob
from experiments.sweep.sealed import read_summary
from experiments.sweep.study import StudyError, hash_study_module
from sim.errors import ConfigError, describe_unknown

RUNS, SCORES = "runs.parquet", "scores.parquet"

FRAMES_PER_CHUNK = 500
"""Number of scores that are held as frames at a time."""


class SweepProgress:
    """Collection of results, in any order of arrival.

    Args:
        study: study of the sweep.
    """

    def __init__(self, study: StudyConfig) -> None:
        self.study = study
        self.units: dict[int, PlannedJob] = {}
        self.results: dict[int, JobResult] = {}
        self.remade: list[str] = []
        # Pickled, because frames of one row need several times as much memory.
        self._rows: dict[int, bytes] = {}
        self._tabulated: list[int] = []  # numbers of the jobs in the table
        self._table = pd.DataFrame()  # their scores

    def add_jobs(self, units: list[PlannedJob]) -> None:
        """Add planned jobs."""
        self.units |= {unit.number: unit for unit in units}

    def add_result(self, result: JobResult) -> None:
        """Add the result of one job.

        Raises:
            ConfigError: the first scores lack a metric of the study, or have a column with an
                axis's name.
        """
        if result.rows is not None and not self.has_scores:
            known = list(result.rows.columns)
            problems = [
                f"metrics: {describe_unknown(name, known)}"
                for name in self.study.metrics
                if name not in known
            ]
            setting = self.units[result.number].setting_and_seed
            taken = [
                name
                for name in setting
                if name in known and (result.rows[name] != setting[name]).any()
            ]
            problems += [
                f"axes: {name}, is a column that score makes too, rename one of them"
                for name in taken
            ]
            if problems:
                raise ConfigError(problems)
        if result.rows is not None:
            self._rows[result.number] = pickle.dumps(result.rows)
            if self._tabulated and result.number <= self._tabulated[-1]:
                self._tabulated = []
        self.results[result.number] = result._replace(rows=None)
        self.remade += result.remade

    @property
    def has_scores(self) -> bool:
        """True if any job has scores."""
        return bool(self._rows)

    @property
    def score_problems(self) -> list[str]:
        """Errors of the study's module, each kind once."""
        numbers = {
            result.problem: number
            for number, result in sorted(self.results.items(), reverse=True)
            if result.problem
        }
        return [
            f"{self.study.name}: {_describe_setting(self.units[number])}: {problem}"
            for problem, number in numbers.items()
        ]

    def count_statuses(self) -> dict[str, int]:
        """Return the number of runs of each status; each run counts once."""
        states = {
            state.hash: state.status
            for result in self.results.values()
            for state in result.states.values()
        }
        return dict(sorted(Counter(states.values()).items()))

    def make_manifest_entries(self) -> dict[str, Any]:
        """Return the entries for the manifest."""
        return {"runs": self.count_statuses(), "jobs_done": len(self.units), "remade": self.remade}

    def list_codes(self, results: ResultFolder) -> list[identity.CodeFacts]:
        """Return the facts of the code of all complete runs, each once.

        There is more than one only if runs of other code were taken.
        """
        code = next(iter(self.units.values())).code
        own = {name for unit in self.units.values() for name in unit.hashes.values()}
        states = (state for result in self.results.values() for state in result.states.values())
        names = {state.hash for state in states if state.status == COMPLETE}
        codes = [code] if names & own or not names else []
        for name in sorted(names - own):
            other = read_summary(results.path / "runs" / name)["code"]
            if other not in codes:
                codes.append(other)
        return codes

    def tabulate_runs(self) -> pd.DataFrame:
        """Return one row for each setting, replication and role.

        Rows of incomplete runs hold the error and the configuration.
        """
        rows = []
        for number, unit in sorted(self.units.items()):
            for role, state in self.results[number].states.items():
                config = None if state.status == COMPLETE else unit.dump_config(role)
                labels = unit.setting_and_seed.values()
                error = state.error or None
                rows.append((*labels, role, state.hash, state.status, error, config))
        axes = next(iter(self.units.values())).setting_and_seed
        names = [*axes, "role", "hash", "status", "error", "config"]
        return pd.DataFrame(rows, columns=names)

    def tabulate_scores(self) -> pd.DataFrame:
        """Return the rows of all scores in the order of the plan, settings and seed first."""
        numbers = sorted(self._rows)
        new = numbers[len(self._tabulated) :]
        chunks = [
            new[first : first + FRAMES_PER_CHUNK] for first in range(0, len(new), FRAMES_PER_CHUNK)
        ]
        parts = [self._table] if self._tabulated else []
        parts += [
            pd.concat([self._score_rows(number) for number in chunk], ignore_index=True)
            for chunk in chunks
        ]
        self._table = pd.concat(parts, ignore_index=True)
        self._tabulated = numbers
        return self._table.copy()

    def _score_rows(self, number: int) -> pd.DataFrame:
        """Return the score rows of one job."""
        rows, setting = pickle.loads(self._rows[number]), self.units[number].setting_and_seed
        scored = [name for name in rows.columns if name not in setting]
        labelled: pd.DataFrame = rows.assign(**setting)[[*setting, *scored]]
        return labelled

    def write_state(self, results: ResultFolder) -> None:
        """Write ``runs.parquet`` and ``scores.parquet``; remove tracebacks of runs that no longer
        fail.
        """
        states = [state for result in self.results.values() for state in result.states.values()]
        results.remove_tracebacks({state.hash for state in states if state.status == FAILED})
        about = {
            "study": store.dump_canonical_json(self.study.model_dump(mode="json")),
            "version": provenance.read_version(),
            "code": store.dump_canonical_json(self.list_codes(results)),
            "module": hash_study_module(self.study.module),
        }
        results.replace_entry(
            RUNS, lambda path: store.write_frame(self.tabulate_runs(), path, about)
        )
        if self.has_scores:
            scores = self.tabulate_scores()
            try:
                results.replace_entry(SCORES, lambda path: store.write_frame(scores, path, about))
            except pa.ArrowException as error:
                raise StudyError(*_unwritable(scores, self.study.module)) from error


def _unwritable(scores: pd.DataFrame, module: str) -> list[str]:
    """Return one line for each column of scores that Parquet cannot hold."""
    rule = "must all be numbers, truth values, times or text of one kind, correct score"
    problems = []
    for name, column in scores.items():
        try:
            pa.array(column.to_numpy(), from_pandas=True)
        except pa.ArrowException:
            kinds = ", ".join(sorted({type(value).__name__ for value in column}))
            where = f"{module}: column {name!r} of score"
            problems.append(f"{where} holds values of type {kinds}, which {rule}")
    return problems


def _describe_setting(unit: PlannedJob) -> str:
    words = {
        name: value if isinstance(value, str) else f"{value:g}"
        for name, value in unit.setting_and_seed.items()
    }
    return ", ".join(f"{name} {word}" for name, word in words.items())
