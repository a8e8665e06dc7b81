"""Metrics of several processes as one: each writes to files of its own, and any of them reads all.

prometheus_client does this once an environment variable names a folder, before it is imported. A process that
is dead leaves its counters, so that no total ever falls, and takes its gauges along.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_GONE = -1.0
"""Stands for a series that is no more: files that others read can lose none."""


@contextmanager
def shared_metrics() -> Iterator[Callable[[int], None]]:
    """Let processes started within share their metrics; gives what is to be told of each that is dead."""
    with tempfile.TemporaryDirectory(prefix="unsure-metrics-") as folder:
        os.environ[_FOLDER] = folder
        try:
            yield lambda pid: mark_process_dead(pid, folder)
        finally:
            del os.environ[_FOLDER]


def gathered(own: CollectorRegistry) -> CollectorRegistry:
    """Give a registry with the metrics of all processes: a process's own, where it is the only one."""
    if not _are_shared():
        return own
    registry = CollectorRegistry()
    registry.register(_OfAll())
    return registry


def forget_series(gauge: Gauge, *labels: str) -> None:
    """Take a series out, if it is there."""
    if _are_shared():
        gauge.labels(*labels).set(_GONE)
    else:
        with suppress(KeyError):
            gauge.remove(*labels)


def told(own: CollectorRegistry, name: str) -> Mapping[frozenset[tuple[str, str]], float]:
    """Give the values of a metric by their labels, as all processes together tell them."""
    metrics = (metric for metric in gathered(own).collect() if metric.name == name)
    return {frozenset(one.labels.items()): one.value for metric in metrics for one in metric.samples}


class _OfAll(Collector):
    """Reads the files of all processes, without the series that one of them has taken out."""

    def collect(self) -> Iterable[Metric]:
        """Read them."""
        for metric in MultiProcessCollector(None).collect():
            if metric.type == "gauge":
                metric.samples = [sample for sample in metric.samples if sample.value != _GONE]
            yield metric


def _are_shared() -> bool:
    return _FOLDER in os.environ
