"""What the tokens of texts are: class indices from lists of labels."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.calibration.labels import class_indices
from service.errors import CalibrationError
from service.predictor.tokenized import TokenizedText
from service.uncertainty.tokens import objects

_SHOWN = 8  # tokens of a text, where its labels are too many or too few


def token_indices(
    column: NDArray[Any], labels: Sequence[str], texts: Sequence[TokenizedText], named: str
) -> NDArray[np.object_]:
    """Find the classes of each text's tokens, [rows] of [tokens].

    Args:
        column: a list for each text, or its JSON, of names of labels or of class indices: one for each token
            that has an answer.
        labels: of the model.
        texts: the rows.
        named: the file and the column, for people.

    Raises:
        CalibrationError: the text names the row.
    """
    rows = enumerate(zip(column, texts, strict=True))
    return objects([_of_text(given, labels, text, f"{named} of row {row}") for row, (given, text) in rows])


def _of_text(given: Any, labels: Sequence[str], text: TokenizedText, named: str) -> NDArray[np.int64]:
    said = _listed(given, named)
    if len(said) != len(text.spans):
        tokens = ", ".join(repr(text.token(place)) for place in range(len(text.spans))[:_SHOWN])
        more = ", …" if len(text.spans) > _SHOWN else ""
        raise CalibrationError(
            f"{named} are {len(said)} labels, and its text has {len(text.spans)} tokens with an answer: "
            f"{tokens}{more}; give one for each"
        )
    return class_indices(np.array(said), labels, named, "token")


def _listed(given: Any, named: str) -> list[str | int]:
    listed = given.tolist() if isinstance(given, np.ndarray) else given
    try:
        if isinstance(listed, (str, bytes)):
            return msgspec.json.decode(listed, type=list[str | int])
        return msgspec.convert(listed, list[str | int])
    except (msgspec.MsgspecError, TypeError) as cause:
        raise CalibrationError(f"{named} must be a list of labels, one for each token: {cause}") from cause
