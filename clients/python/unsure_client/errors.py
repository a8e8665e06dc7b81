"""Every error that a call may raise.

UnsureError
├── RequestFailed              the call was answered with an error, or could not be asked
│   ├── InvalidInput           the rows, or something beside them, are wrong; may be told before they are sent
│   ├── Unauthorized           no key, or none that the server takes
│   ├── Forbidden              the key may not do this
│   ├── NotFound               no such path, model, version or review
│   ├── Conflict               the review is in a state that does not allow the step
│   ├── TooLarge               one row alone exceeds a limit of the server
│   ├── NoDropout              uncertainty was asked of a model that drops nothing
│   ├── Overloaded             the server has too much to do, and had for as long as there was time
│   ├── ModelError             the model raised, or gave something that is no prediction
│   ├── Unavailable            loading, draining, or a model that could not be loaded
│   └── DeadlineExceeded       the answer did not come in time: the server's, or the call's own
├── ConnectionFailed           no answer: nobody listens there, or the connection was lost
├── UnexpectedAnswer           an answer that no unsure server gives: is it one?
└── ModelChanged               rows of one call were answered by different versions of the model
"""

from typing import ClassVar


class UnsureError(Exception):
    """Root of every error of the client."""


class RequestFailed(UnsureError):
    """The server answered with an error.

    Args:
        message: what happened, the value, and the way out.
        status: of the answer; None where the client found the error itself.
        code: which case, for programs.
        request_id: stands beside the error in the server's log; empty where nothing was sent.
        rows: of the call that it is about, where the call was sent in several requests; numbers of rows in
            the message count from the first of these.
    """

    code_of_class: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str = "",
        rows: range | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = self.code_of_class if code is None else code
        self.request_id = request_id
        self.rows = rows

    def __str__(self) -> str:
        """Give the message, and which rows it is about."""
        if self.rows is None:
            return self.message
        return f"of rows {self.rows.start} to {self.rows.stop - 1}: {self.message}"


class InvalidInput(RequestFailed, ValueError):
    """The rows, or something beside them, are wrong."""

    code_of_class = "invalid_input"


class Unauthorized(RequestFailed):
    """The client has no key, or none that the server takes."""

    code_of_class = "unauthorized"


class Forbidden(RequestFailed):
    """The key does not have the scope that this needs."""

    code_of_class = "forbidden"


class NotFound(RequestFailed):
    """No such path, model, version or review."""

    code_of_class = "not_found"


class Conflict(RequestFailed):
    """The review is in a state that does not allow the step."""

    code_of_class = "conflict"


class TooLarge(RequestFailed):
    """The request exceeds a limit of the server, and cannot be split further."""

    code_of_class = "too_large"


class NoDropout(RequestFailed):
    """Uncertainty was asked of a model that has nothing to sample."""

    code_of_class = "no_dropout"


class Overloaded(RequestFailed):
    """The server has too much to do."""

    code_of_class = "overloaded"


class ModelError(RequestFailed):
    """The model raised, or gave NaN or a wrong shape."""

    code_of_class = "model_error"


class Unavailable(RequestFailed):
    """The server or the model is loading or draining, or the model could not be loaded."""

    code_of_class = "unavailable"


class DeadlineExceeded(RequestFailed, TimeoutError):
    """The answer did not come in time."""

    code_of_class = "deadline_exceeded"


class ConnectionFailed(UnsureError, ConnectionError):
    """There was no answer."""


class UnexpectedAnswer(UnsureError):
    """The answer is none that an unsure server gives."""


class ModelChanged(UnsureError):
    """Rows of one call were answered by different versions or policies of the model."""


BY_CODE: dict[str, type[RequestFailed]] = {
    kind.code_of_class: kind for kind in RequestFailed.__subclasses__()
}
"""The class of each code."""

BY_STATUS: dict[int, type[RequestFailed]] = {
    400: InvalidInput,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: NoDropout,
    429: Overloaded,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}
"""The class of a status whose answer has no code: it comes from a proxy."""
