"""Messages between the driver and its workers.

This module imports little, because a worker reads it before it may import numpy.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import threading

    import pandas as pd

COMPLETE, FAILED, TIMEOUT = "complete", "failed", "timeout"
"""Statuses of a run."""


class CodeFingerprint(NamedTuple):
    """Code that a worker must share with the driver."""

    facts: dict[str, Any]  # see ``identity.describe_code``
    files: dict[str, str]  # digests of all sources of the project's packages
    study: str  # digest of the study's module


class SweepContext(NamedTuple):
    """Context that all batches of a sweep share."""

    folder: str  # folder of results, absolute, which every worker can access
    module: str  # module of the study: a name to import, or a file
    plugins: tuple[str, ...]  # modules that register a user's components
    path: str  # last entry of the search path of plugins
    version: str  # version of the package
    shared: tuple[str, ...]  # roles equal to the base run if nothing was closed out
    limit: float  # time limit of a run (s)
    apart: bool  # batches run in other processes, which must add in the same order
    known: tuple[str, ...] = ()  # folders of other results, absolute, to copy identical runs from
    code: CodeFingerprint | None = None  # none = any code
    stopped: "threading.Event | None" = None  # set to end the threads of this process


class RunSpec(NamedTuple):
    """Specification of one simulated run."""

    hash: str  # name of the run
    config: bytes  # canonical JSON, compressed
    data: dict[str, str]  # digests of replayed data, by name of underlying
    code: dict[str, Any]  # facts about the code that makes the run
    older: str = ""  # name of the same run by other code, taken instead; empty if none


class SweepJob(NamedTuple):
    """Job of one setting and replication: a run in each of its roles."""

    number: int
    runs: dict[str, RunSpec]  # by role, the base first


class JobBatch(NamedTuple):
    """Batch of jobs for one worker."""

    place: SweepContext
    jobs: tuple[SweepJob, ...]


class RunStatus(NamedTuple):
    """Outcome of a run."""

    hash: str
    status: str
    error: str = ""


class JobResult(NamedTuple):
    """Result of a job, apart from the folders of its runs."""

    number: int
    states: dict[str, RunStatus]
    rows: "pd.DataFrame | None"  # score rows; none if a run is missing or the score failed
    problem: str  # reason why the score failed
    remade: tuple[str, ...]  # unreadable files of runs that were repeated
    seconds: float
