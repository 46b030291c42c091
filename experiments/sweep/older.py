"""Runs in a sweep's folder that other code made; they are used only on request."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.results import identity, store
from experiments.sweep.config import BASE
from experiments.sweep.plan import PlannedJob
from experiments.sweep.sealed import DamagedRunError, is_run_name, is_unsigned, read_summary

UNSIGNED_NOTICE = "which did not record its code"
"""Notice about runs of early builds of 0.2.0."""


class OtherCodeRuns:
    """Index of the runs of a folder that differ from planned ones in their code alone.

    Args:
        runs: folder of runs.
        code: facts about the current code.
        mixed: take such runs instead of repeating them.
    """

    def __init__(self, runs: Path, code: identity.CodeFacts, *, mixed: bool) -> None:
        self.runs, self.code, self.mixed = runs, code, mixed
        self.names: set[str] = set()
        self._n_unsigned = 0
        self._has_missing_runs = False
        self._differences: set[str] = set()
        self._planned: set[str] = set()
        self._index: dict[str, str] | None = None

    def match_jobs(self, units: Sequence[PlannedJob]) -> list[PlannedJob]:
        """Return the same jobs; with ``mixed``, add the names of runs of other code that are
        taken.
        """
        self._planned |= {name for unit in units for name in unit.hashes.values()}
        self._has_missing_runs |= any(
            not (self.runs / unit.hashes[BASE]).exists() for unit in units
        )
        if not self._index_runs():
            return list(units)
        return [self._match_job(unit) for unit in units]

    def _match_job(self, unit: PlannedJob) -> PlannedJob:
        there: dict[str, str] = {}
        for role, name in unit.hashes.items():
            other = self._index_runs().get(unit.hash_without_code(role))
            if other is not None and not (self.runs / name).exists():
                there[role] = other
        self.names |= set(there.values())
        return unit._replace(older=there) if self.mixed else unit

    def _index_runs(self) -> Mapping[str, str]:
        """Return the names of runs that other code made, by their hash without the code."""
        if self._index is None:
            self._index = {}
            names = (path.name for path in sorted(self.runs.iterdir()) if is_run_name(path.name))
            for name in names:
                if name not in self._planned:
                    self._index_run(name)
        return self._index

    def _index_run(self, name: str) -> None:
        try:
            summary = read_summary(self.runs / name)
        except DamagedRunError:
            self._n_unsigned += is_unsigned(self.runs / name)
            return
        if summary["code"] != self.code and self._index is not None:
            self._index[store.hash_config(summary["config"], "", summary["data"])] = name
            self._differences |= set(identity.describe_differences(summary["code"], self.code))

    def describe(self) -> str:
        """Return one line about runs of other code; empty if there are none."""
        if self._n_unsigned and self._has_missing_runs and not self.names:
            what = f"{self._n_unsigned} runs there were made by an earlier build"
            return f"{what}, {UNSIGNED_NOTICE}, they were not taken"
        if not self.names:
            return ""
        differences = "; ".join(sorted(self._differences))
        what = f"{len(self.names)} runs there were made by other code ({differences})"
        if self.mixed:
            return f"{what}, they were taken as they are, every table states it"
        return f"{what}, they were made again; --mixed takes such runs as they are"


def describe_mixed_codes(codes: Sequence[identity.CodeFacts]) -> str:
    """Return the notice that a table of mixed runs needs; empty if one code made all of them."""
    if len(codes) < 2:
        return ""
    first, *others = codes
    differ = sorted(
        {line for other in others for line in identity.describe_differences(other, first)}
    )
    return f"Mixed: runs of {len(codes)} codes, which differ in {'; '.join(differ)}"
