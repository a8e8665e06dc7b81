"""Jobs in processes of one thread each, with a bar, and from where the last run stopped."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing.sharedctypes import Synchronized
from typing import Any, Protocol

import torch
from tqdm import tqdm

from service.sampling.memory import keep_freed_memory

Watch = Callable[[], object]
Results = list[dict[str, Any]]
Bar = Any  # tqdm's, whose type wants to know what it iterates over

_LOOK_SECONDS = 0.5

_steps_done: "Synchronized[int]"  # of all processes; each is given it when it starts


class Job(Protocol):
    """Something to compute in a process of its own."""

    @property
    def steps(self) -> int:
        """How often it calls `watch`."""

    def run(self, watch: Watch) -> Results:
        """Compute it."""


def finished(jobs: Sequence[Any], workers: int, title: str) -> Iterator[tuple[Any, Results]]:
    """Run jobs; gives each with its results as it ends.

    Args:
        jobs: each a `Job`.
        workers: processes; 0 for this one alone.
        title: of the bar, which is for terminals.
    """
    with tqdm(total=sum(job.steps for job in jobs), desc=title, disable=None) as bar:
        if workers:
            yield from _in_processes(jobs, workers, bar)
        else:
            yield from ((job, job.run(bar.update)) for job in jobs)


def _in_processes(jobs: Sequence[Any], workers: int, bar: Bar) -> Iterator[tuple[Any, Results]]:
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")  # torch does not survive a fork
    done = context.Value("q", 0)
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _prepare, (done,)) as pool:
        running: dict[Future[Results], Any] = {pool.submit(_run, job): job for job in jobs}
        while running:
            ended, _ = wait(running, _LOOK_SECONDS, FIRST_COMPLETED)
            bar.update(done.value - bar.n)
            for future in ended:
                yield running.pop(future), future.result()


def default_workers() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare(done: "Synchronized[int]") -> None:
    global _steps_done
    _steps_done = done
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # Adam's moments of units that never fire become denormal, and slow
    keep_freed_memory()


def _run(job: Job) -> Results:
    def watch() -> None:
        with _steps_done.get_lock():
            _steps_done.value += 1

    return job.run(watch)
