"""Resolved items as labelled rows, read as requests are."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.calibration.data import LabelledRows, row_marks, text_mark
from service.calibration.labels import class_indices, values
from service.errors import CalibrationError, InvalidInput
from service.predictor.inputs import InputReader
from service.predictor.rows import Rows
from service.predictor.served_model import ServedModel
from service.predictor.texts import TextReader
from service.review.items import Item, Resolution


def labelled_rows(items: Sequence[Item], model: ServedModel) -> LabelledRows:
    """Read the rows of items, and what reviewers say they are.

    Args:
        items: resolved, each with its input.
        model: as it is served.

    Raises:
        CalibrationError: a row or a label is none of this model's.
    """
    given = [item.row.input or b"null" for item in items]
    resolutions = [item.resolution for item in items if item.resolution is not None]
    try:
        rows = model.inputs.read(_together(given, model.inputs))
    except InvalidInput as cause:
        raise CalibrationError(
            f"rows of the review queue are none that the model takes today: {cause}; serve a model of other "
            "inputs as a new version"
        ) from cause
    marks = _marks(given, rows, model.inputs)
    return LabelledRows(rows, _truth(items, resolutions, model), marks, _digest(items, resolutions))


def _together(given: Sequence[bytes], reader: InputReader | TextReader) -> bytes:
    """Join single rows to the `inputs` of one request."""
    if isinstance(reader, TextReader) or len(reader.names) == 1:
        return b"[" + b",".join(given) + b"]"
    rows = [msgspec.json.decode(row, type=dict[str, msgspec.Raw]) for row in given]
    return msgspec.json.encode({name: [row[name] for row in rows] for name in reader.names})


def _marks(given: Sequence[bytes], rows: Rows, reader: InputReader | TextReader) -> list[str]:
    """Hash each row's inputs, as `unsure train` does those that it learns from."""
    if isinstance(reader, TextReader):
        return [text_mark(msgspec.json.decode(text, type=str)) for text in given]
    return row_marks(rows)


def _truth(items: Sequence[Item], resolutions: Sequence[Resolution], model: ServedModel) -> NDArray[Any]:
    if model.manifest.task == "regression":
        given = np.array([resolution.value for resolution in resolutions], np.float64)
        return values(given, model.shown_width, "the values of reviewers")
    said = [resolution.label for resolution in resolutions]
    # Reviewers name labels, and never their numbers.
    return class_indices(
        said, model.manifest.output.labels, "names", lambda row: f"the label of review {items[row].id}"
    )


def _digest(items: Sequence[Item], resolutions: Sequence[Resolution]) -> str:
    hashed = sha256()
    for item, resolution in zip(items, resolutions, strict=True):
        hashed.update(
            msgspec.json.encode([item.id, item.row.input_sha256, resolution.label, resolution.value])
        )
    return hashed.hexdigest()
