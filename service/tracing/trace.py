"""The request that is traced, for whoever works for it; where nobody traces, there is none.

What a span carries are names, numbers and codes of errors: never an input, and no text that may repeat one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from service.errors import RequestError

Fact = str | int | float | bool

NOTHING = nullcontext()

_current: ContextVar["Trace | None"] = ContextVar("trace", default=None)


@dataclass(eq=False)
class Turn:
    """A batch that rows of a request ran in.

    Args:
        name: of what was done.
        facts: about it.
        beside: the other requests whose rows ran in it, as far as they are traced.
        started: in seconds, as `monotonic` counts them.
        ended: likewise; None while it runs.
        error: its code, where it failed.
    """

    name: str
    facts: dict[str, Fact]
    beside: Sequence["Trace"]
    started: float
    ended: float | None = None
    error: str | None = None


@dataclass(eq=False)
class Trace(ABC):
    """One request that is traced.

    Attributes:
        turns: the batches that its rows ran in, in their order; written by the thread that computes.
    """

    turns: list[Turn] = field(default_factory=list, init=False)

    @abstractmethod
    def note(self, **facts: Fact) -> None:
        """Add facts to the request's own span."""

    @abstractmethod
    def answered(self, status: int, error: str | None = None) -> None:
        """Tell what the request was answered with."""

    @abstractmethod
    def tell(
        self,
        name: str,
        started: float,
        ended: float,
        facts: Mapping[str, Fact],
        *,
        beside: Sequence["Trace"] = (),
        error: str | None = None,
    ) -> None:
        """Add a span below the request's own, when it is over.

        Args:
            name: of what was done.
            started: in seconds, as `monotonic` counts them.
            ended: likewise.
            facts: about it.
            beside: the requests that it was done for as well.
            error: its code, where it failed.
        """


class Tracing(Protocol):
    """Traces requests."""

    def request(
        self, name: str, headers: Mapping[str, str], request_id: str
    ) -> AbstractContextManager[Trace]:
        """Trace a request while it is answered.

        Args:
            name: of what is asked, the same for all requests of a kind.
            headers: may name a trace that it belongs to.
            request_id: that its answer and its log lines have.
        """

    def close(self) -> None:
        """Send what is not sent yet, as far as that goes quickly."""


@contextmanager
def tracing_as(trace: Trace | None) -> Iterator[None]:
    """Have all that is done within belong to a request."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


def current_trace() -> Trace | None:
    """Give the request that is worked for, if it is traced."""
    return _current.get()


def note(**facts: Fact) -> None:
    """Add facts to the span of the request that is worked for."""
    trace = _current.get()
    if trace is not None:
        trace.note(**facts)


def span(name: str, **facts: Fact) -> AbstractContextManager[None]:
    """Tell when something begins and ends that is done for a request."""
    trace = _current.get()
    if trace is None:
        return NOTHING
    return timed(lambda started, ended, error: trace.tell(name, started, ended, facts, error=error))


@contextmanager
def timed(tell: Callable[[float, float, str | None], None]) -> Iterator[None]:
    """Tell, once it is over, when something began and ended, and the code of the error that ended it."""
    started, error = monotonic(), None
    try:
        yield
    except BaseException as cause:
        error = code_of(cause)
        raise
    finally:
        tell(started, monotonic(), error)


def code_of(error: BaseException) -> str:
    """Name an error without its text, which may repeat what was asked."""
    return error.code if isinstance(error, RequestError) else type(error).__name__
