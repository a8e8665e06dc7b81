"""Labelled rows from a file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from service.calibration.labels import class_indices, single_labels, values
from service.calibration.token_labels import token_indices
from service.data.columns import Columns
from service.data.file_rows import FILE, INPUTS, LABEL
from service.data.files import Files
from service.data.images import AS_THEY_ARE, Images
from service.data.inputs import Given, input_columns
from service.errors import CalibrationError, DataError, InvalidInput
from service.labels import Reading
from service.predictor.inputs import InputReader
from service.predictor.rows import Rows
from service.predictor.served_model import ServedModel
from service.predictor.texts import TextReader

USUAL_FILE = "calibration.npz"
"""What `unsure train` keeps beside the weights."""

_MARK = 32  # hexadecimal digits of a hash
_TARGETS = ("targets", "target", "labels", "label", "y")


@dataclass(frozen=True)
class LabelledRows:
    """Rows with what they are.

    Args:
        rows: as a request would bring them.
        truth: class indices, [rows], of tokens [rows] of [tokens], or values, [rows, targets].
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


def read_labelled(
    path: Path,
    model: ServedModel,
    images: Images = AS_THEY_ARE,
    reading: Reading | None = None,
    *,
    of_training: bool = False,
) -> LabelledRows:
    """Read a file of one of the kinds of `service.data.files`, or a folder of images or texts.

    Args:
        path: of the file or folder.
        model: as it is served.
        images: how files of images become rows.
        reading: what labels are; None where nobody says.
        of_training: whether `unsure train` wrote it, whose whole numbers are class indices.

    Raises:
        CalibrationError: it cannot be read, or its rows are not this model's.
    """
    try:
        files = Files(path)
        columns, digest = files.whole(), files.digest()
    except DataError as cause:
        raise CalibrationError(str(cause)) from cause
    of_rows = {name for names in model.manifest.columns.values() for name in names}
    name = next((one for one in _TARGETS if one in columns and one not in of_rows), None)
    if name is None:
        raise CalibrationError(
            f"{path} has no column of labels; name it targets or label, or put images or texts into "
            f"a folder for each label. It has: {', '.join(columns)}"
        )
    given, rows = _read(path, model, columns, name, images)
    target = columns[name]
    if len(target) != len(rows):
        raise CalibrationError(f"{path} has {len(rows)} rows and {len(target)} {name}")
    named = f"{path}: {name}"
    if of_training and target.dtype.kind in "iu":
        reading = reading or "indices"
    truth = _truth(columns.held[name], target, model, rows, named, reading)
    return LabelledRows(rows, truth, _marks(given, rows, model.inputs), digest)


def _truth(
    held: Any, target: NDArray[Any], model: ServedModel, rows: Rows, named: str, reading: Reading | None
) -> NDArray[Any]:
    labels = model.manifest.output.labels
    if model.manifest.per_token:
        return token_indices(target, labels, rows.texts, named, reading)
    if model.manifest.classifies:
        return class_indices(single_labels(held, named), labels, reading, lambda row: f"{named} of row {row}")
    return values(target, model.shown_width, named)


def _read(
    path: Path, model: ServedModel, columns: Columns, target: str, images: Images
) -> tuple[Given, Rows]:
    try:
        given = input_columns(model.manifest, list(columns), [target], images).given(columns)
        return given, model.inputs.read(given)
    except (DataError, InvalidInput) as cause:
        raise CalibrationError(f"{path}: {_with_file(str(cause), columns)}") from cause


def _with_file(text: str, columns: Columns) -> str:
    """Name the file behind the number of a row that is one: nobody counts a folder."""
    if list(columns) != [FILE, LABEL, INPUTS]:
        return text
    files = columns[FILE]
    return re.sub(r"\brow (\d+)\b", lambda row: f"{row[0]}, {files[int(row[1])]},", text, count=1)


def _marks(given: Given, rows: Rows, reader: InputReader | TextReader) -> list[str]:
    """Hash each row's inputs, as `unsure train` does those that it learns from."""
    if not isinstance(given, bytes):
        return fingerprints([one.data for one in given], len(rows))
    if isinstance(reader, TextReader):
        return [text_mark(text) for text in msgspec.json.decode(given, type=list[str])]
    return row_marks(rows)


def text_mark(text: str) -> str:
    """Hash a text."""
    return sha256(text.encode()).hexdigest()[:_MARK]


def row_marks(rows: Rows) -> list[str]:
    """Hash each row's tensors, of whatever shapes."""
    marks = [""] * len(rows)
    for group in rows.groups:
        for place, number in enumerate(group.numbers):
            content = b"".join(tensor[place].numpy().tobytes() for tensor in group.inputs)
            marks[number] = sha256(content).hexdigest()[:_MARK]
    return marks


def fingerprints(tensors: Sequence[bytes], rows: int) -> list[str]:
    """Hash each row's inputs, given as the bytes of all rows of each tensor."""
    return [
        sha256(b"".join(_part(data, row, rows) for data in tensors)).hexdigest()[:_MARK]
        for row in range(rows)
    ]


def _part(data: bytes, row: int, rows: int) -> bytes:
    size = len(data) // rows
    return data[row * size : (row + 1) * size]
