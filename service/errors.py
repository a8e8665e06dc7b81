"""Every error that a room raises for others to handle.

    UnsureError
    ├── RequestError               one request cannot be answered; `code` names the case on the wire
    │   ├── InvalidInput           the request itself is wrong
    │   ├── Unauthorized           no key, or none that the server takes
    │   ├── Forbidden              the key may not do this, or a page of another site asks for it
    │   ├── NotFound               no such path, model, version or review
    │   ├── Conflict               the step is not allowed where the item stands
    │   ├── TooLarge               the request exceeds a limit on its size
    │   ├── NoDropout              uncertainty was asked of a model that drops nothing
    │   ├── Overloaded             the queue is full; worth trying again later
    │   ├── ModelError             the model raised, or gave something that is no prediction
    │   ├── Unavailable            loading, draining, or a model that could not be loaded
    │   └── DeadlineExceeded       the answer would have come too late
    ├── LoadError                  a model cannot be served; the others are
    │   ├── ManifestError          model.toml cannot be read or contradicts itself
    │   ├── WeightsError           the weights are missing, altered, or not the model's
    │   ├── TokenizerError         the tokenizer is missing, altered, or cannot be read
    │   ├── PretrainedError        a folder of Hugging Face is not of a model that can be served
    │   ├── FactoryError           the factory is not allowed, not there, or raised
    │   └── ModelRefused           the model cannot be served or sampled correctly
    ├── CalibrationError           rows or a file from which no calibration can be had
    ├── DataError                  a file of rows cannot be read, or its columns are not the model's
    ├── ScoringError               rows cannot be scored, or not written where they were to be
    ├── KeysError                  the file of keys cannot be read, written, or contradicts itself
    ├── AdditionRefused            a version cannot be added to a repository, which is as it was
    ├── StartError                 with these settings no server can start
    └── FleetError                 of several processes not even one could start

Each text says what happened, the value, and the way out. Status codes belong to the API alone.
"""

from collections.abc import Sequence
from typing import ClassVar


class UnsureError(Exception):
    """Root of every error raised on purpose."""


class RequestError(UnsureError):
    """One request cannot be answered."""

    code: ClassVar[str]


class InvalidInput(RequestError):
    """The request itself is wrong: its form, a value, a shape."""

    code = "invalid_input"


class Unauthorized(RequestError):
    """The request has no key, or none that the server takes."""

    code = "unauthorized"


class Forbidden(RequestError):
    """The key does not have the scope that this needs, or a page of another site or a foreign Host asks."""

    code = "forbidden"


class NotFound(RequestError):
    """No such path, model, version or review."""

    code = "not_found"


class Conflict(RequestError):
    """The step is not allowed in the state that the review is in."""

    code = "conflict"


class TooLarge(RequestError):
    """The request exceeds a limit on its size, whatever the load."""

    code = "too_large"


class NoDropout(RequestError):
    """Monte Carlo samples were asked of a model that has nothing to sample."""

    code = "no_dropout"


class Overloaded(RequestError):
    """The queue is full.

    Args:
        message: what is full, and by how much.
        retry_after_seconds: when there is likely room again; at least 1.
    """

    code = "overloaded"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ModelError(RequestError):
    """The model raised, or gave NaN or a wrong shape.

    Args:
        message: for the client.
        detail: the model's own words, for the log: they may hold paths and values that are no client's.
        row: the number of the row it is about, told after the message; None where it is about no one row.
    """

    code = "model_error"

    def __init__(self, message: str, detail: str = "", row: int | None = None) -> None:
        super().__init__(message if row is None else f"{message} for row {row}")
        self.detail = detail
        self.row = row
        self._message = message

    def renumbered(self, numbers: Sequence[int]) -> "ModelError":
        """Give the same error for rows that are part of others: `numbers[row]` is the row's number there."""
        return self if self.row is None else ModelError(self._message, self.detail, numbers[self.row])


class OutOfMemory(ModelError):
    """A pass of the model took more memory than there is."""


class Unavailable(RequestError):
    """The server or the model is loading or draining, or the model could not be loaded."""

    code = "unavailable"


class DeadlineExceeded(RequestError):
    """The deadline passed before the answer was ready."""

    code = "deadline_exceeded"


class LoadError(UnsureError):
    """A model cannot be served; the others are not affected."""


class ManifestError(LoadError):
    """model.toml cannot be read, has an unknown key, or contradicts itself."""


class WeightsError(LoadError):
    """The weights are missing, altered, not safetensors, or not this model's."""


class TokenizerError(LoadError):
    """The tokenizer of a text model is missing, altered, or not readable, or the library for it is."""


class PretrainedError(LoadError):
    """A folder of Hugging Face is not of a model that can be served, or the library for it is missing."""


class FactoryError(LoadError):
    """The factory is outside the allow-list, does not exist, or raised."""


class ModelRefused(LoadError):
    """The model cannot be served correctly, or some of its randomness cannot be sampled."""


class CalibrationError(UnsureError):
    """A model cannot be calibrated with these rows, or its calibration cannot be read or written."""


class DataError(UnsureError):
    """A file of rows cannot be read, or has no columns that a model takes."""


class ScoringError(UnsureError):
    """Rows of a file cannot be scored, or what came of them not be written."""


class KeysError(UnsureError):
    """The file of keys cannot be read or written, has an unknown key, or contradicts itself."""


class FleetError(UnsureError):
    """Of several processes not even one could start."""


class AdditionRefused(UnsureError):
    """A version cannot be added to a model repository; the repository is as it was."""


class StartError(UnsureError):
    """The server cannot start as it is set up."""


def words_of(cause: BaseException) -> str:
    """Name what somebody else's code raised, in one line; its own words may fail too."""
    kind = type(cause).__name__
    try:
        text = str(cause).strip()
    except Exception:  # noqa: BLE001
        text = ""
    lines = text.splitlines()
    if not lines:
        return kind
    # Where the first line only announces what follows, as of weights that do not fit, the last one tells.
    return f"{kind}: {(lines[-1] if lines[0].endswith(':') else lines[0]).strip()}"


def in_full(cause: UnsureError) -> str:
    """Say what went wrong, with a model's own words: for whoever runs the model, and no client."""
    detail = cause.detail if isinstance(cause, ModelError) else ""
    return f"{cause} ({detail})" if detail else str(cause)
