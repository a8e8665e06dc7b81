"""What the tokens of texts are: class indices from lists of labels."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.calibration.labels import class_indices
from service.errors import CalibrationError
from service.labels import Reading
from service.predictor.tokenized import TokenizedText
from service.uncertainty.tokens import objects

_Label = str | bool | int | float

_SHOWN = 8  # tokens of a text, where its labels are too many or too few


def token_indices(
    column: NDArray[Any],
    labels: Sequence[str],
    texts: Sequence[TokenizedText],
    named: str,
    reading: Reading | None = None,
) -> NDArray[np.object_]:
    """Find the classes of each text's tokens, [rows] of [tokens].

    Args:
        column: a list for each text, or its JSON, of names of labels or of class indices: one for each token
            that has an answer.
        labels: of the model.
        texts: the rows.
        named: the file and the column, for people.
        reading: what labels are; None where nobody says.

    Raises:
        CalibrationError: the text names the row.
    """
    rows = enumerate(zip(column, texts, strict=True))
    said = [_of_text(given, text, f"{named} of row {row}") for row, (given, text) in rows]
    places = [(row, token) for row, one in enumerate(said) for token in range(len(one))]

    def place(number: int) -> str:
        return "{} of row {} of token {}".format(named, *places[number])

    # Of all texts at once: what labels are is one for a file.
    classes = class_indices([label for one in said for label in one], labels, reading, place)
    ends = np.cumsum([len(one) for one in said])
    return objects(np.split(classes, ends[:-1]))


def _of_text(given: Any, text: TokenizedText, named: str) -> list[Any]:
    said = _listed(given, named)
    if len(said) != len(text.spans):
        tokens = ", ".join(repr(text.token(place)) for place in range(len(text.spans))[:_SHOWN])
        more = ", …" if len(text.spans) > _SHOWN else ""
        raise CalibrationError(
            f"{named} are {len(said)} labels, and its text has {len(text.spans)} tokens with an answer: "
            f"{tokens}{more}; give one for each"
        )
    return said


def _listed(given: Any, named: str) -> list[Any]:
    listed = given.tolist() if isinstance(given, np.ndarray) else given
    try:
        if isinstance(listed, (str, bytes)):
            return list(msgspec.json.decode(listed, type=list[_Label]))
        return list(msgspec.convert(listed, list[_Label]))
    except (msgspec.MsgspecError, TypeError) as cause:
        raise CalibrationError(f"{named} must be a list of labels, one for each token: {cause}") from cause
