"""One run: from a file of rows to a Parquet file of answers, where an earlier run has ended."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import monotonic

import msgspec
import pyarrow as pa
import pyarrow.parquet
import torch

from service import __version__
from service.data.files import Files
from service.errors import ScoringError
from service.predictor.answers import EXACT
from service.predictor.drawing import Decision
from service.predictor.served_model import ServedModel
from service.scoring.asked import Asked, samples_in_words
from service.scoring.loading import ready
from service.scoring.scorer import ERROR, PART_ROWS, Scorer
from service.scoring.workspace import Record, Workspace, differences
from service.settings import Settings

ENDING = ".parquet"

METADATA = b"unsure"
"""Under this an output says what it was made of and how."""

_GROUP_BYTES, _FEWEST, _MOST = 2**24, 1024, 16_384  # of a row group, and the most of a part in memory

Watch = Callable[[str, int | None, int], AbstractContextManager[Callable[[int], None]]]
"""Shows how far a step is: given its name, its rows if they are known, and those done; then more of them."""

Engine = Callable[[Scorer, Files, int], Iterator[pa.Table]]
"""Scores the parts of files from a row on, and gives their tables in the same order."""


@dataclass(frozen=True)
class Made:
    """A run that is finished.

    Args:
        asked: of it.
        model: that was asked.
        decision: with which rows were decided.
        rows: how many the input has.
        scored: how many of them this run has scored, and no earlier one.
        seconds: that took.
    """

    asked: Asked
    model: ServedModel
    decision: Decision
    rows: int
    scored: int
    seconds: float


def here(scorer: Scorer, files: Files, start: int) -> Iterator[pa.Table]:
    """Score in this process."""
    return map(scorer.score, files.parts(start, PART_ROWS))


def score(
    settings: Settings, asked: Asked, watch: Watch, engine: Engine = here, part_seconds: float = 5.0
) -> Made:
    """Score all rows of a file.

    Args:
        settings: how models are loaded and run.
        asked: what is to be scored.
        watch: shows how far it is.
        engine: where it is done.
        part_seconds: how long rows are gathered before they are written: what a kill may cost.

    Raises:
        UnsureError: it cannot be done; the text says what becomes of what was done.
    """
    _check_output(asked)
    files = Files(asked.input)
    made = ready(settings, asked, files.names)
    model, decided, scorer = made.model, made.decision, made.scorer
    facts = _facts(asked, files, settings, model, decided)
    workspace = Workspace(asked.output)
    with workspace.locked():
        record = _record(workspace, asked, facts) or _checked(workspace, asked, files, scorer, watch, facts)
        start, begin = workspace.done, monotonic()
        if not asked.output.exists():
            with watch("scoring", record.rows, start) as advance:
                _gather(workspace, engine(scorer, files, start), start, part_seconds, advance)
            _check_whole(workspace, record)
            _finish(workspace, asked, facts)
        workspace.remove()
    return Made(asked, model, decided, record.rows, record.rows - start, monotonic() - begin)


def _check_output(asked: Asked) -> None:
    """Refuse, before anything is done, what could not be written."""
    if asked.output.suffix != ENDING:
        raise ScoringError(f"--output {asked.output} must end in {ENDING}")
    if not asked.output.parent.is_dir():
        raise ScoringError(f"there is no folder {asked.output.parent} to write {asked.output.name} to")
    if asked.output.is_symlink():  # it would be put in the link's place, and not where that leads
        raise ScoringError(f"{asked.output} is a link; move it away, or name what it leads to")
    if asked.input.is_dir() and asked.output.resolve().is_relative_to(asked.input.resolve()):
        raise ScoringError(f"{asked.output} would lie in the input's folder, among its rows; write elsewhere")
    # Ended between the output's last step and the folder's: the run below finds out.
    if asked.output.exists() and not Workspace(asked.output).path.exists():
        raise ScoringError(f"{asked.output} is there already; move it away, or write elsewhere")


def _facts(
    asked: Asked, files: Files, settings: Settings, model: ServedModel, decided: Decision
) -> dict[str, str]:
    """Name all that the output depends on."""
    policy = decided.policy
    return _facts_of_images(asked, files) | {
        "the input": files.digest(),
        "the model": f"{model.identity.model}/{model.identity.version}",
        "the weights": model.weights_sha256,
        "the entry": model.setting.entry_sha256,
        "the sites": ", ".join(model.setting.sites),
        "the calibration's temperature": repr(model.temperature),
        "samples": samples_in_words(decided.rounds),
        "the error of a settled flag": "0" if decided.rounds == EXACT else repr(decided.rounds.error),
        "the seed": str(decided.seed),
        "the policy": policy.id,
        "the threshold": repr(policy.threshold),
        "certified": str(policy.certified),
        "[columns]": "; ".join(
            f"{name}: {', '.join(names)}" for name, names in model.manifest.columns.items()
        ),
        "--keep": ", ".join(asked.keep) or "all",
        "--device, --plan and --precision": f"{settings.device}, {settings.plan}, {settings.precision}",
        "unsure": __version__,
        "torch": str(torch.__version__),
    }


def _facts_of_images(asked: Asked, files: Files) -> dict[str, str]:
    if not files.of_images:
        return {}
    span = asked.images.span
    return {
        "--resize": str(asked.images.resize),
        "--pixels": "those of model.toml" if span is None else f"{span[0]:g}..{span[1]:g}",
        "Pillow": version("pillow"),
    }


def _record(workspace: Workspace, asked: Asked, facts: dict[str, str]) -> Record | None:
    """Give what an earlier run has written down, if this is the same; None where this is the first.

    Raises:
        ScoringError: it was another.
    """
    if asked.restart:
        workspace.clear()
    record = workspace.begun()
    if asked.output.exists() and (record is None or not _is_of(asked.output, facts)):
        raise ScoringError(f"{asked.output} is there already; move it away, or write elsewhere")
    if record is None:
        workspace.clear()
        return None
    changed = differences(record.facts, facts)
    if changed:
        raise ScoringError(
            f"an unfinished run to {asked.output} has scored {workspace.done} rows, and since then "
            f"{'; '.join(changed)}; go on with what it was, or begin anew with --restart"
        )
    return record


def _checked(
    workspace: Workspace, asked: Asked, files: Files, scorer: Scorer, watch: Watch, facts: dict[str, str]
) -> Record:
    """Read all rows before any is scored: a bad one is told now, and not after hours."""
    rows = 0
    if asked.skip_bad and files.rows is not None:
        rows = files.rows
    else:
        with watch("checking", files.rows, 0) as advance:
            for part in files.parts(0, PART_ROWS):
                if not asked.skip_bad:
                    scorer.check(part)
                rows += part.columns.rows
                advance(part.columns.rows)
    if not rows:
        raise ScoringError(f"{asked.input} has no rows")
    record = Record(facts, rows)
    workspace.begin(record)
    return record


def _gather(
    workspace: Workspace,
    tables: Iterator[pa.Table],
    start: int,
    seconds: float,
    advance: Callable[[int], None],
) -> None:
    """Write tables, those of a few seconds together, and not too many."""
    held: list[pa.Table] = []
    rows, since = 0, monotonic()
    for table in tables:
        held.append(table)
        rows += len(table)
        advance(len(table))
        if rows >= _MOST or monotonic() - since >= seconds:
            start, held, rows, since = workspace.add(start, held), [], 0, monotonic()
    if held:
        workspace.add(start, held)


def _check_whole(workspace: Workspace, record: Record) -> None:
    done = workspace.done
    if done != record.rows:
        raise ScoringError(
            f"the input had {record.rows} rows when it was checked, and has {done} now; begin anew with "
            "--restart"
        )


def _finish(workspace: Workspace, asked: Asked, facts: dict[str, str]) -> None:
    parts = workspace.parts()
    schema = pa.parquet.read_schema(parts[0])
    if not (asked.skip_bad or any(_has_errors(part) for part in parts)):
        schema = schema.remove(schema.get_field_index(ERROR))
    workspace.finish(schema.with_metadata({METADATA: msgspec.json.encode(facts)}), _group_rows(parts[0]))


def _has_errors(part: Path) -> bool:
    column = pa.parquet.ParquetFile(part).read([ERROR]).column(ERROR)
    return bool(column.null_count < len(column))


def _group_rows(part: Path) -> int:
    """Give the rows of a row group: many, but not more than memory should hold of wide ones."""
    first = next(pa.parquet.ParquetFile(part).iter_batches(PART_ROWS))
    row_bytes: float = max(1, first.nbytes / len(first))
    return int(max(_FEWEST, min(_MOST, _GROUP_BYTES / row_bytes)))


def _is_of(output: Path, facts: dict[str, str]) -> bool:
    """Tell whether a file was made by a run of the same facts."""
    try:
        found = (pa.parquet.read_schema(output).metadata or {}).get(METADATA)
    except (OSError, pa.ArrowException):
        return False
    return bool(found == msgspec.json.encode(facts))
