"""The one thread that computes: it takes batches while there are any, and outlives whatever they do."""

import logging
import threading
from collections.abc import Callable, Sequence
from time import monotonic

from service.errors import Unavailable
from service.scheduling.lots import Runner
from service.scheduling.queue import Batch, FairQueue, Job

log = logging.getLogger("unsure")

Finished = Sequence[tuple[Job, BaseException | None]]


class Worker:
    """Runs the jobs of a queue on a thread of its own.

    The thread is one because the device is: torch spreads each batch over all cores by itself.

    Args:
        queue: of the jobs.
        runner: runs their parts.
        deliver: called on the thread, with the jobs that are done and what went wrong with each.
    """

    def __init__(self, queue: FairQueue, runner: Runner, deliver: Callable[[Finished], None]) -> None:
        self._queue = queue
        self._runner = runner
        self._deliver = deliver
        self._changed = threading.Condition()
        self._running: Sequence[Job] = ()
        self._begun: float | None = None
        self._closed = False
        self._broken = False
        self._thread = self._started()

    @property
    def alive(self) -> bool:
        """Whether it takes jobs."""
        return self._thread.is_alive() and not self._broken

    @property
    def batch_seconds(self) -> float:
        """How long the batch has run that runs now; 0 for none."""
        begun = self._begun
        return 0.0 if begun is None else monotonic() - begun

    def add(self, job: Job) -> None:
        """Let a job wait for its turn.

        Raises:
            RequestError: it would not end in time, or keep others from that.
        """
        with self._changed:
            refusal = self._queue.refusal(job, job.submitted)
            if refusal is not None:
                raise refusal
            self._queue.add(job)
            self._changed.notify()

    def discard(self, job: Job) -> bool:
        """Forget a job; tells whether nothing of it runs, so that it will not be delivered."""
        with self._changed:
            return self._queue.discard(job) and job not in self._running

    def close(self) -> None:
        """End the thread once all jobs are done; waits for it."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._main, name="compute", daemon=True)
        thread.start()
        return thread

    def _main(self) -> None:
        try:
            while self._took_a_turn():
                pass
        except BaseException as cause:  # a model that ends its thread must not end the server's
            log.critical("the compute thread died, and is started anew", exc_info=cause)
            self._broken = True
            lost = self._abandoned()
            try:
                # Should the system have no thread to give, it stays broken, and the server is not ready.
                self._thread = self._started()
                self._broken = False
            finally:
                self._deliver(lost)

    def _took_a_turn(self) -> bool:
        """Run the next batch, and forget it: while the thread waits, it must hold no model."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._queue) or self._closed)
            late = self._queue.take_late(monotonic())
            batch = self._queue.take() if len(self._queue) else None
            self._running = batch.jobs if batch else ()
        self._deliver(late)
        if batch:
            self._deliver(self._run(batch))
        return bool(batch or late)

    def _run(self, batch: Batch) -> Finished:
        start = self._begun = monotonic()
        for job in batch.jobs:
            job.started = job.started or start
        errors = self._outcomes(batch)
        with self._changed:
            whole = not errors and not any(job.caller.left for job in batch.jobs)
            self._queue.ran(batch, monotonic() - start, whole=whole)
            self._running, self._begun = (), None
            done = [job for job in batch.jobs if job in errors or job.exhausted or job.caller.left]
            for job in done:
                self._queue.discard(job)
        return [(job, errors.get(job)) for job in done]

    def _outcomes(self, batch: Batch) -> dict[Job, BaseException]:
        """Run a batch; where that fails, each part alone, so that one bad row is one job's misfortune."""
        try:
            results = self._runner(batch.parts)
        except Exception as cause:  # noqa: BLE001  # delivered
            if len(batch.parts) == 1:
                return {batch.jobs[0]: cause}
            return {job: cause for one in batch.alone() for job, cause in self._outcomes(one).items()}
        for job, result in zip(batch.jobs, results, strict=True):
            job.results.append(result)
        return {}

    def _abandoned(self) -> Finished:
        with self._changed:
            jobs = {*self._running, *self._queue.clear()}
            self._running, self._begun = (), None
        return [(job, Unavailable("the server lost what it was computing; ask again")) for job in jobs]
