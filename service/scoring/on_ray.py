"""Scoring by Ray Data: one task reads, as many actors as there are processors score, the driver writes."""

import io
import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import replace
from secrets import token_hex
from typing import Any

import pyarrow as pa

from service.data.columns import Part
from service.data.files import Files
from service.errors import ScoringError, UnsureError
from service.scoring.asked import Asked
from service.scoring.loading import ready
from service.scoring.run import Engine
from service.scoring.scorer import PART_ROWS, Scorer
from service.settings import Settings

_STORE_BYTES = 2**28  # of a Ray that is started for this alone
_BLOCK_BYTES = 2**22
_PARTS_AT_ONCE = 8  # of a call of an actor


def on_ray(settings: Settings, asked: Asked) -> Engine:
    """Make an engine of Ray: of the cluster that RAY_ADDRESS names, or of one on this machine.

    Every machine needs the input and the model repository at the same path.

    Args:
        settings: how models are loaded and run.
        asked: what is to be scored.

    Raises:
        ScoringError: Ray is not installed, or cannot be started.
    """
    try:
        import ray
    except ModuleNotFoundError as cause:
        raise ScoringError("--engine ray needs Ray: pip install 'unsure[ray]'") from cause

    def engine(_scorer: Scorer, files: Files, start: int) -> Iterator[pa.Table]:
        own = not ray.is_initialized()
        if own:
            _start(ray)
        try:
            yield from _scored(ray, settings, asked, files.names, start)
        except ray.exceptions.RayError as cause:
            words = str(cause).strip().splitlines()[-1:]
            raise ScoringError(
                f"Ray has ended the run: {' '.join(words)}; the same command goes on"
            ) from cause
        finally:
            if own:
                ray.shutdown()

    return engine


def _start(ray: Any) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
    local = {}
    if not os.environ.get("RAY_ADDRESS"):
        local = {"object_store_memory": _STORE_BYTES}
        os.environ.setdefault("RAY_AUTH_TOKEN", token_hex(32))  # or else Ray writes one to the user's home
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(**quiet, **local)
    except Exception as cause:
        raise ScoringError(f"Ray cannot be started: {cause}") from cause


def _scored(ray: Any, settings: Settings, asked: Asked, names: list[str], start: int) -> Iterator[pa.Table]:
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.target_max_block_size = _BLOCK_BYTES
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    actors = max(1, int(ray.cluster_resources().get("CPU", 1)))
    scored = ray.data.read_datasource(
        _source(ray, asked, start), override_num_blocks=1, ray_remote_args={"num_cpus": 0}
    ).map_batches(
        _Actor,
        fn_constructor_args=(settings, asked, names),
        batch_size=_PARTS_AT_ONCE,
        batch_format="pyarrow",
        concurrency=actors,
        num_cpus=1,
        num_gpus=1 if settings.device.startswith("cuda") else 0,
    )
    for batch in scored.iter_batches(batch_size=None, batch_format="pyarrow"):
        for row in batch.to_pylist():
            if row["first"] != start or row["error"]:
                raise ScoringError(row["error"] or f"Ray gave row {row['first']} in place of row {start}")
            table = pa.ipc.open_stream(io.BytesIO(row["content"])).read_all()
            start += len(table)
            yield table


def _source(ray: Any, asked: Asked, start: int) -> Any:
    """Give the parts of the input, from row `start` on, as rows of Ray: one task reads one after another."""

    class Parts(ray.data.Datasource):  # type: ignore[misc]
        def get_read_tasks(self, _parallelism: int, *_: Any, **__: Any) -> list[Any]:
            metadata = ray.data.block.BlockMetadata(
                num_rows=None, size_bytes=None, input_files=None, exec_stats=None
            )
            return [ray.data.ReadTask(lambda: _read(asked, start), metadata)]

        def estimate_inmemory_data_size(self) -> None:
            return None

    return Parts()


def _read(asked: Asked, start: int) -> Iterable[pa.Table]:
    try:
        for part in Files(asked.input).parts(start, PART_ROWS):
            whole = replace(part, columns=part.columns.taken(range(part.columns.rows)))
            yield _row(part.first, pickle.dumps(whole), "")
    except UnsureError as cause:
        yield _row(start, b"", str(cause))


def _row(first: int, content: bytes, error: str) -> pa.Table:
    return pa.table({"first": [first], "content": pa.array([content], pa.large_binary()), "error": [error]})


class _Actor:
    """Scores parts with a model of its own."""

    def __init__(self, settings: Settings, asked: Asked, names: list[str]) -> None:
        self._scorer = ready(settings, asked, names).scorer

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.concat_tables([self._scored(row) for row in batch.to_pylist()])

    def _scored(self, row: dict[str, Any]) -> pa.Table:
        if row["error"]:
            return _row(**row)
        part: Part = pickle.loads(row["content"])  # noqa: S301  # from a task of this very run
        try:
            table = self._scorer.score(part)
        except UnsureError as cause:
            return _row(part.first, b"", str(cause))
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return _row(part.first, sink.getvalue(), "")
