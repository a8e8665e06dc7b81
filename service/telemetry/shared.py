"""Metrics of several processes as one: each writes to files of its own, and any of them reads all.

prometheus_client does this once an environment variable names a folder, before it is imported. A process that
is dead leaves its counters, so that no total ever falls, and takes its gauges along. It maps its files into
memory, where a disk that is full or broken ends the process; here they are written as other files are.
"""

import logging
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from mmap import mmap
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry, Gauge, Metric, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

log = logging.getLogger("unsure")

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_WHOLE, _VALUE = struct.Struct("i"), struct.Struct("dd")  # as the library has them in its files
_HEAD_BYTES = 8
_DAMAGED = (OSError, ValueError, LookupError, RuntimeError, struct.error)  # what reading one ends in

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
        try:
            metrics = MultiProcessCollector(None).collect()
        except _DAMAGED:
            files = [str(path) for path in Path(os.environ[_FOLDER]).glob("*.db")]
            metrics = MultiProcessCollector.merge([path for path in files if _is_sound(path)])
        for metric in metrics:
            if metric.type == "gauge":
                metric.samples = [sample for sample in metric.samples if sample.value != _GONE]
            yield metric


class WrittenDict(MmapedDict):
    """A process's values of one kind in memory, and in a file of the same form as a mapped one's.

    What cannot be written costs the others' view of this process, until it can be written again.

    Args:
        filename: of the file; what it holds is gone on with.
        read_mode: is the library's, and never set.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:  # noqa: ARG002
        self._fname = filename
        self._positions = {}
        self._is_behind = False
        self._values = bytearray(_WHOLE.pack(_HEAD_BYTES) + bytes(_HEAD_BYTES - _WHOLE.size))
        try:
            self._descriptor = _opened(filename, bytes(self._values))
            self._values[:] = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        except OSError as cause:
            self._descriptor = -1
            self._tell(cause)
        self._m = cast("mmap", self._values)  # by which the library reads
        self._used = _WHOLE.unpack_from(self._values)[0]
        for key, _, _, position in self._read_all_values():
            self._positions[key] = position

    def _init_value(self, key: str) -> None:
        text = key.encode()
        padded = text + b" " * (8 - (len(text) + 4) % 8)
        entry = struct.pack(f"i{len(padded)}sdd", len(text), padded, 0.0, 0.0)
        start = self._used
        self._values[start:] = entry
        self._used += len(entry)
        self._positions[key] = self._used - _VALUE.size
        self._write(start, entry)
        self._write_used()

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Set a value."""
        if key not in self._positions:
            self._init_value(key)
        position, packed = self._positions[key], _VALUE.pack(value, timestamp)
        self._values[position : position + _VALUE.size] = packed
        self._write(position, packed)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write_used(self) -> None:
        head = _WHOLE.pack(self._used)
        self._values[: len(head)] = head
        self._write(0, head)

    def _write(self, start: int, part: bytes) -> None:
        if self._is_behind:
            start, part = 0, bytes(self._values)
        try:
            written = os.pwrite(self._descriptor, part, start)
        except OSError as cause:
            self._tell(cause)
        else:
            self._is_behind = written < len(part)

    def _tell(self, cause: OSError) -> None:
        if not self._is_behind:
            log.error(
                "metrics cannot be written to %s, where other processes read them: %s", self._fname, cause
            )
        self._is_behind = True


def _is_sound(path: str) -> bool:
    """Tell whether a file can be read, or was cut off or written over by another."""
    try:
        MultiProcessCollector.merge([path])
    except _DAMAGED as cause:
        log.warning("the metrics in %s are left out: the file is damaged (%s)", path, cause)
        return False
    return True


def _opened(filename: str, content: bytes) -> int:
    """Open a file to read and write; a new one has its content before others see it."""
    flags = os.O_RDWR | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        return os.open(filename, flags)
    descriptor = os.open(f"{filename}.new", flags | os.O_CREAT, 0o600)
    os.pwrite(descriptor, content, 0)
    Path(f"{filename}.new").rename(filename)
    return descriptor


# Before any metric is made: who makes one has imported this.
vars(values)["MmapedDict"] = WrittenDict


def _are_shared() -> bool:
    return _FOLDER in os.environ
