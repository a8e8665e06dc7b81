"""The runs of all sets: in parallel over splits, with a bar, and from where the last one stopped."""

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from reproduction.record import Record
from reproduction.regression_data import read_table
from reproduction.uci import PRECISIONS, RATES, Effort, run_splits
from service.sampling.memory import keep_freed_memory

_SPLITS_AT_ONCE = 4
"""48 networks on the grid: their hidden units fit a cache of 2 MB."""

_LOOK_SECONDS = 0.5

_epochs_done: "Synchronized[int]"  # of all processes; each is given it when it starts


@dataclass(frozen=True)
class Job:
    """Some splits of a set.

    Args:
        name: of the set.
        path: of its CSV file.
        splits: their numbers.
        effort: how much to compute.
    """

    name: str
    path: Path
    splits: tuple[int, ...]
    effort: Effort

    @property
    def epochs(self) -> int:
        """How many it calls out: of the grid, and of the chosen."""
        return 2 * self.effort.epochs


def record_of(name: str, folder: Path, effort: Effort) -> Record:
    """Find a set's results among those of other runs."""
    settings = {"rates": RATES, "precisions": PRECISIONS[name], **asdict(effort)}
    return Record(folder / f"uci-{name}.jsonl", settings)


def run_missing(
    paths: Mapping[str, Path], splits: int, effort: Effort, folder: Path, workers: int
) -> dict[str, list[dict[str, Any]]]:
    """Run what no earlier run has, and give the results of all.

    Args:
        paths: of the sets' CSV files.
        splits: how many of each.
        effort: how much to compute.
        folder: of the results.
        workers: processes, of one thread each.

    Returns:
        The results of each set, by split.
    """
    records = {name: record_of(name, folder, effort) for name in paths}
    missing = {name: _missing(record, splits) for name, record in records.items()}
    jobs = [
        Job(name, paths[name], tuple(numbers[start : start + _SPLITS_AT_ONCE]), effort)
        for name, numbers in missing.items()
        for start in range(0, len(numbers), _SPLITS_AT_ONCE)
    ]
    if jobs:
        for job, results in _finished(jobs, workers):
            records[job.name].add(results)
    return {name: _of(record, splits) for name, record in records.items()}


def _missing(record: Record, splits: int) -> list[int]:
    done = {entry["split"] for entry in record.entries()}
    return [number for number in range(splits) if number not in done]


def _of(record: Record, splits: int) -> list[dict[str, Any]]:
    entries = {entry["split"]: entry for entry in record.entries()}
    return [entries[number] for number in range(splits)]


def _finished(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, list[dict[str, float]]]]:
    """Run jobs in processes; gives each as it ends."""
    context = multiprocessing.get_context("spawn")  # torch does not survive a fork
    done = context.Value("q", 0)
    total = sum(job.epochs for job in jobs)
    with (
        ProcessPoolExecutor(min(workers, len(jobs)), context, _prepare, (done,)) as pool,
        tqdm(total=total, desc="UCI sets", unit="epoch", disable=None) as bar,
    ):
        running: dict[Future[list[dict[str, float]]], Job] = {pool.submit(_run, job): job for job in jobs}
        while running:
            ended, _ = wait(running, _LOOK_SECONDS, FIRST_COMPLETED)
            bar.update(done.value - bar.n)
            for future in ended:
                yield running.pop(future), future.result()


def _prepare(done: "Synchronized[int]") -> None:
    global _epochs_done
    _epochs_done = done
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # Adam's moments of units that never fire become denormal, and slow
    keep_freed_memory()


def _run(job: Job) -> list[dict[str, float]]:
    def watch() -> None:
        with _epochs_done.get_lock():
            _epochs_done.value += 1

    return run_splits(job.name, read_table(job.path), job.splits, job.effort, watch)


def default_workers() -> int:
    """Take each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
