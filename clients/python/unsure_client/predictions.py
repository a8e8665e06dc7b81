"""Predictions of a call, nothing dropped."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unsure_client.columns import Columns, Floats, Integers
from unsure_client.frames import frame

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, kw_only=True)
class Reply:
    """What every answer says of itself.

    Args:
        model: that answered.
        version: of it.
        request_ids: of the requests that the call took; each stands in the server's log.
        index: of the DataFrame that the rows came from; None for other rows.
    """

    model: str
    version: str
    request_ids: tuple[str, ...]
    index: Any = field(default=None, repr=False)


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassPredictions(Reply):
    """Predicted classes.

    Args:
        label: of each row.
        class_index: [rows].
        confidence: the class's probability, [rows].
        probabilities: [rows, classes].
    """

    label: tuple[str, ...]
    class_index: Integers
    confidence: Floats
    probabilities: Floats

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self.label)

    def to_pandas(self) -> "pandas.DataFrame":
        """Give a table, one line a row: `label`, `class_index`, `confidence`, `probabilities_0` and so on."""
        columns = {
            "label": self.label,
            "class_index": self.class_index,
            "confidence": self.confidence,
            "probabilities": self.probabilities,
        }
        return frame(columns, self.index)


@dataclass(frozen=True, eq=False, kw_only=True)
class ValuePredictions(Reply):
    """Predicted values.

    Args:
        value: [rows, outputs].
        aleatoric_variance: the noise that the model expects, [rows, outputs]; None where it tells none.
    """

    value: Floats
    aleatoric_variance: Floats | None

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self.value)

    def to_pandas(self) -> "pandas.DataFrame":
        """Give a table, one line a row: `value` and, where there is one, `aleatoric_variance`."""
        columns = {"value": self.value}
        if self.aleatoric_variance is not None:
            columns["aleatoric_variance"] = self.aleatoric_variance
        return frame(columns, self.index)


def reply_fields(columns: Columns, index: Any) -> dict[str, Any]:
    """Give the fields of `Reply`."""
    return {
        "model": columns.head["model"],
        "version": columns.head["version"],
        "request_ids": columns.request_ids,
        "index": index,
    }
