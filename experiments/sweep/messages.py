"""What travels between the driver and its workers. Light: a worker reads this before it may import numpy."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

COMPLETE, FAILED, TIMEOUT = "complete", "failed", "timeout"
"""What became of a run."""


class CodeFingerprint(NamedTuple):
    """What a worker must have in common with the driver."""

    facts: dict[str, Any]  # see ``identity.facts``
    files: dict[str, str]  # digests of all sources of the project's packages
    study: str  # digest of the study's module


class SweepContext(NamedTuple):
    """What all orders of a sweep share."""

    folder: str  # of results, absolute, which every worker sees
    module: str  # of the study: a name to import, or a file
    plugins: tuple[str, ...]  # modules with kinds of a user's own
    path: str  # where plugins are looked for last
    version: str  # of the package
    shared: tuple[str, ...]  # roles that are the base itself where nobody was closed out
    limit: float  # seconds that a run may take
    apart: bool  # whether orders are done in processes of their own, which must add alike
    known: tuple[
        str, ...
    ] = ()  # folders of other results, absolute, whose runs are taken over where they are the same
    code: CodeFingerprint | None = None  # none = whatever the worker has


class RunSpec(NamedTuple):
    """One simulated run."""

    hash: str  # its name
    config: bytes  # canonical JSON, compressed
    data: dict[str, str]  # digests of what it replays, by name of underlying
    code: dict[str, Any]  # facts of the code that makes it
    older: str = (
        ""  # name of the same run as other code made it, which is taken in its place; none if empty
    )


class SweepJob(NamedTuple):
    """One setting and replication: a run in each of its roles, and what they showed."""

    number: int
    runs: dict[str, RunSpec]  # by role, the base first


class JobBatch(NamedTuple):
    """Some jobs for one worker."""

    place: SweepContext
    jobs: tuple[SweepJob, ...]


class RunStatus(NamedTuple):
    """What became of a run."""

    hash: str
    status: str
    error: str = ""


class JobResult(NamedTuple):
    """What a job left behind, beside the folders of its runs."""

    number: int
    states: dict[str, RunStatus]
    rows: (
        "pd.DataFrame | None"  # of the study's score; none if a run is missing or the score failed
    )
    problem: str  # why the score failed
    remade: tuple[str, ...]  # files of runs that could not be read, and were made again
    seconds: float
