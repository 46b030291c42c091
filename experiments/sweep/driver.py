"""Driver of a sweep: submits jobs to a pool in batches until every job has a result."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait

from experiments.sweep.executors import WorkerDiedError, WorkerPool
from experiments.sweep.messages import FAILED, JobBatch, JobResult, RunStatus, SweepContext
from experiments.sweep.plan import PlannedJob

BATCH_SECONDS, BATCH_LIMIT = 2.0, 64
"""Target time of a batch of short jobs in s, and the largest number of jobs in a batch."""

BATCHES_PER_SLOT = 2
"""Batches in each slot, so that no worker waits for the driver."""

MAX_SHARED_CRASHES = 2
"""Worker crashes during a job before it must run alone; a crash then is the job's fault."""

WORKER_LOST = "its worker was ended from outside, perhaps for want of memory"


def run_jobs(
    units: Iterable[PlannedJob], pool: WorkerPool, place: SweepContext
) -> Iterator[JobResult]:
    """Yield the results of jobs in the order in which they finish.

    Args:
        units: jobs to run.
        pool: workers; left open.
        place: context that all batches share.

    Raises:
        OutputError, ConfigError: reported by a worker, about itself or about the study's module.
    """
    yield from _JobDriver(units, pool, place).run()


class _JobDriver:
    def __init__(self, units: Iterable[PlannedJob], pool: WorkerPool, place: SweepContext) -> None:
        self.pool, self.place = pool, place
        self.waiting: deque[PlannedJob] = deque(units)
        self.suspects: deque[PlannedJob] = deque()
        self.pending: dict[Future[list[JobResult]], list[PlannedJob]] = {}
        self.crash_counts: dict[int, int] = {}
        self.n_done, self.seconds = 0, 0.0

    def run(self) -> Iterator[JobResult]:
        while self.waiting or self.suspects or self.pending:
            self._fill_slots()
            finished = wait(self.pending, return_when=FIRST_COMPLETED).done
            for future in finished:
                if future in self.pending:  # else it was lost together with its neighbour
                    yield from self._collect(future)

    def _fill_slots(self) -> None:
        """Keep every slot busy; a suspect job has the pool to itself."""
        while self.waiting and len(self.pending) < BATCHES_PER_SLOT * self.pool.n_slots:
            self._submit_batch([self.waiting.popleft() for _ in range(self._batch_size())])
        if self.suspects and not self.pending:
            self._submit_batch([self.suspects.popleft()])

    def _batch_size(self) -> int:
        """Return the number of jobs in the next batch.

        A batch takes about ``BATCH_SECONDS``. Towards the end batches shrink, so that all slots
        stay busy.
        """
        if not self.n_done:
            return 1
        wished = BATCH_SECONDS / max(self.seconds / self.n_done, 1e-3)
        fair = len(self.waiting) / (BATCHES_PER_SLOT * self.pool.n_slots)
        return max(1, min(int(wished), int(fair), BATCH_LIMIT))

    def _submit_batch(self, units: list[PlannedJob]) -> None:
        future = self.pool.submit(JobBatch(self.place, tuple(unit.pack_job() for unit in units)))
        self.pending[future] = units

    def _collect(self, future: Future[list[JobResult]]) -> Iterator[JobResult]:
        units = self.pending.pop(future)
        try:
            results = self.pool.collect_results(future)
        except WorkerDiedError:
            yield from self._requeue_lost(units)
            return
        self.n_done += len(results)
        self.seconds += sum(result.seconds for result in results)
        yield from results

    def _requeue_lost(self, units: list[PlannedJob]) -> Iterator[JobResult]:
        """Resubmit the jobs of a dead worker. A job that was running in two crashes is retried
        alone.
        """
        alone = len(units) == 1 and not self.pending
        if self.pool.restart_workers():
            units = [*units, *(unit for lost in self.pending.values() for unit in lost)]
            self.pending.clear()
        for unit in units:
            died = self.crash_counts[unit.number] = self.crash_counts.get(unit.number, 0) + 1
            if died <= MAX_SHARED_CRASHES:
                self.waiting.appendleft(unit)
            elif alone:
                yield _failed_result(unit)
            else:
                self.suspects.append(unit)


def _failed_result(unit: PlannedJob) -> JobResult:
    """Return the result of a job that kills every worker: failed."""
    states = {role: RunStatus(name, FAILED, WORKER_LOST) for role, name in unit.hashes.items()}
    return JobResult(unit.number, states, None, "", (), 0.0)
