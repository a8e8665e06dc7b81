"""Labelled rows from a file."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.calibration.labels import class_indices, values
from service.errors import CalibrationError, InvalidInput
from service.predictor.given_tensors import DATATYPES, GivenTensor
from service.predictor.inputs import InputReader
from service.predictor.rows import Rows
from service.predictor.served_model import ServedModel
from service.predictor.texts import TEXT, TextReader
from service.repository.manifest import InputSpec

Columns = Mapping[str, NDArray[Any]]

USUAL_FILE = "calibration.npz"
"""What `unsure train` keeps beside the weights."""

_TARGETS = ("targets", "target", "labels", "label", "y")
_INPUTS = "inputs"


@dataclass(frozen=True)
class LabelledRows:
    """Rows with what they are.

    Args:
        rows: as a request would bring them.
        truth: class indices, [rows], or values, [rows, targets].
        fingerprints: one for each row's inputs.
        sha256: of the file.
    """

    rows: Rows
    truth: NDArray[Any]
    fingerprints: Sequence[str]
    sha256: str

    @property
    def repeated(self) -> int:
        """How many rows are the same as one before them."""
        return len(self.fingerprints) - len(set(self.fingerprints))


def read_labelled(path: Path, model: ServedModel) -> LabelledRows:
    """Read a .npz, .csv or .parquet file.

    Raises:
        CalibrationError: it cannot be read, or its rows are not this model's.
    """
    columns = _columns(path)
    name = next((one for one in _TARGETS if one in columns), None)
    if name is None:
        raise CalibrationError(
            f"{path} has no column of labels; name it targets or label. It has: {', '.join(columns)}"
        )
    inputs = {key: column for key, column in columns.items() if key != name}
    if isinstance(model.inputs, TextReader):
        rows, marks = _texts(path, inputs, model.inputs)
    else:
        rows, marks = _tensors(path, inputs, model.manifest.input)
    if len(columns[name]) != len(rows):
        raise CalibrationError(f"{path} has {len(rows)} rows and {len(columns[name])} {name}")
    named = f"{path}: {name}"
    truth = (
        class_indices(columns[name], model.manifest.output.labels, named)
        if model.manifest.task == "classification"
        else values(columns[name], model.shown_width, named)
    )
    return LabelledRows(rows, truth, marks, _digest(path))


def _texts(path: Path, columns: Columns, reader: TextReader) -> tuple[Rows, list[str]]:
    column = columns.get(TEXT, columns.get(_INPUTS))
    if column is None:
        raise CalibrationError(
            f"{path} has no column {TEXT}; besides the labels it has: {', '.join(columns)}"
        )
    texts = [str(text) for text in column]
    rows = _read(path, reader, msgspec.json.encode(texts))
    return rows, [sha256(text.encode()).hexdigest()[:32] for text in texts]


def _tensors(path: Path, columns: Columns, specs: Sequence[InputSpec]) -> tuple[Rows, list[str]]:
    given = [_given(path, spec, columns, alone=len(specs) == 1) for spec in specs]
    rows = _read(path, InputReader(specs), given)
    return rows, fingerprints([one.data for one in given], len(rows))


def _read(path: Path, reader: InputReader | TextReader, given: bytes | Sequence[GivenTensor]) -> Rows:
    try:
        return reader.read(given)
    except InvalidInput as cause:
        raise CalibrationError(f"{path}: {cause}") from cause


def fingerprints(tensors: Sequence[bytes], rows: int) -> list[str]:
    """Hash each row's inputs, given as the bytes of all rows of each tensor."""
    return [
        sha256(b"".join(_part(data, row, rows) for data in tensors)).hexdigest()[:32] for row in range(rows)
    ]


def _part(data: bytes, row: int, rows: int) -> bytes:
    size = len(data) // rows
    return data[row * size : (row + 1) * size]


def _given(path: Path, spec: InputSpec, columns: Columns, *, alone: bool) -> GivenTensor:
    """Make a tensor of the column of its name; the only one may be `inputs`, or have a column an element."""
    array = columns.get(spec.name, columns.get(_INPUTS) if alone else None)
    if array is None and alone and columns and all(column.ndim == 1 for column in columns.values()):
        array = _side_by_side(path, columns)
    if array is None:
        found = ", ".join(columns) or "none"
        raise CalibrationError(f"{path} has no input {spec.name}; besides the labels it has: {found}")
    if array.ndim == 2 and array.shape[1:] != tuple(spec.shape) and min(spec.shape, default=-1) > 0:
        array = _folded(array, spec)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            cast = np.ascontiguousarray(array, dtype=f"<{np.dtype(spec.dtype).str[1:]}")
    except (ValueError, TypeError) as cause:
        raise CalibrationError(f"{path}: input {spec.name} must be numbers, {spec.dtype}: {cause}") from cause
    return GivenTensor(spec.name, DATATYPES[spec.dtype], cast.shape, cast.tobytes(), binary=True)


def _folded(array: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """Give rows that were written flat, as a table writes them, the shape that the model takes."""
    return array.reshape(-1, *spec.shape) if array.shape[1] == np.prod(spec.shape) else array


def _side_by_side(path: Path, columns: Columns) -> NDArray[Any]:
    for name, column in columns.items():
        if column.dtype.kind in "OUS":
            row = next((number for number, value in enumerate(column) if not _is_number(value)), None)
            if row is not None:
                raise CalibrationError(f"{path}: {name} of row {row} is {str(column[row])!r}, and no number")
    return np.stack([np.asarray(column, float) for column in columns.values()], 1)


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _columns(path: Path) -> Columns:
    readers = {".npz": _npz, ".csv": _csv, ".parquet": _parquet}
    if path.suffix not in readers:
        raise CalibrationError(f"{path} is none of {', '.join(readers)}")
    try:
        columns = readers[path.suffix](path)
    except OSError as cause:
        raise CalibrationError(f"{path} cannot be read: {cause.strerror or cause}") from cause
    except (ValueError, UnicodeDecodeError, EOFError, csv.Error) as cause:
        raise CalibrationError(f"{path} cannot be read: {cause}") from cause
    if not columns or not min(map(len, columns.values())):
        raise CalibrationError(f"{path} has no rows")
    return columns


def _npz(path: Path) -> Columns:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.atleast_1d(file[name]) for name in file.files}
    except BadZipFile as cause:
        raise ValueError("it is no .npz archive") from cause
    # What zipfile and numpy's parser of headers raise about bytes that are damaged.
    except (TypeError, SyntaxError, TokenError, RuntimeError, MemoryError, ZlibError) as cause:
        raise ValueError(f"it is no .npz archive of arrays that can be read: {cause}") from cause


def _csv(path: Path) -> Columns:
    with path.open(newline="", encoding="utf-8") as file:
        head, *lines = list(csv.reader(file)) or [[]]
    if len(set(head)) < len(head):
        raise ValueError("two columns have one name")
    for number, line in enumerate(lines):
        if len(line) != len(head):
            raise ValueError(f"row {number} has {len(line)} cells, and the head {len(head)}")
    return {name: np.array([line[place] for line in lines]) for place, name in enumerate(head)}


def _parquet(path: Path) -> Columns:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as cause:
        raise ValueError("reading Parquet needs pyarrow: pip install 'unsure[parquet]'") from cause
    table = parquet.read_table(path)
    return {name: np.array(table.column(name).to_pylist()) for name in table.column_names}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
