"""The runs of the UCI sets: several splits a job, since their networks learn together."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reproduction.parallel import Results, Watch, finished
from reproduction.record import Record
from reproduction.regression_data import read_table
from reproduction.uci import PRECISIONS, RATES, Effort, run_splits

_SPLITS_AT_ONCE = 10
"""120 networks on the grid, and 10 of the chosen: fewer cost as much, and more have larger passes."""


@dataclass(frozen=True)
class UciJob:
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
    def steps(self) -> int:
        """Count the epochs, of the grid and of the chosen."""
        return 2 * self.effort.epochs

    def run(self, watch: Watch) -> Results:
        """Run the protocol."""
        return run_splits(self.name, read_table(self.path), self.splits, self.effort, watch)


def run_missing(
    paths: Mapping[str, Path], splits: int, effort: Effort, folder: Path, workers: int
) -> dict[str, Results]:
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
    records = {name: _record(name, folder, effort) for name in paths}
    jobs = [
        UciJob(name, paths[name], tuple(numbers[start : start + _SPLITS_AT_ONCE]), effort)
        for name, record in records.items()
        for numbers in [record.missing("split", range(splits))]
        for start in range(0, len(numbers), _SPLITS_AT_ONCE)
    ]
    for job, results in finished(jobs, workers, "UCI sets"):
        records[job.name].add(results)
    return {name: record.ordered("split", range(splits)) for name, record in records.items()}


def _record(name: str, folder: Path, effort: Effort) -> Record:
    settings: dict[str, Any] = {"rates": RATES, "precisions": PRECISIONS[name], **asdict(effort)}
    return Record(folder / f"uci-{name}.jsonl", settings)
