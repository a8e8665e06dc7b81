"""Waiting for the device, and running on it with rows of others: as the request and as the batch see it."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic

from service.tracing.trace import NOTHING, Trace, Turn, current_trace, timed

_UNTRACED: AbstractContextManager[Sequence[Turn | None]] = nullcontext(())


def scheduled() -> AbstractContextManager[None]:
    """Tell, once rows of the current request have run, how long they waited and which batches they ran in."""
    trace = current_trace()
    if trace is None:
        return NOTHING
    return timed(lambda submitted, ended, error: _tell(trace, submitted, ended, error))


def _tell(trace: Trace, submitted: float, ended: float, error: str | None) -> None:
    # The thread that computes may go on for nobody; and requests that ran together must not keep each other.
    turns, trace.turns = trace.turns, []
    begun = turns[0].started if turns else ended
    trace.tell("queue", submitted, begun, {}, error=None if turns else error)
    for turn in turns:
        failure = turn.error if turn.ended else error
        trace.tell(
            turn.name, turn.started, turn.ended or ended, turn.facts, beside=turn.beside, error=failure
        )


def batch(
    name: str, traces: Sequence[Trace | None], rows: Sequence[int]
) -> AbstractContextManager[Sequence[Turn | None]]:
    """Run rows of several requests together.

    Args:
        name: of what is done.
        traces: of the requests; None for each that is not traced.
        rows: of each.

    Returns:
        What gives the turn of each request; nothing where none is traced.
    """
    return _batch(name, traces, rows) if any(traces) else _UNTRACED


@contextmanager
def _batch(name: str, traces: Sequence[Trace | None], rows: Sequence[int]) -> Iterator[Sequence[Turn | None]]:
    started, every = monotonic(), list(dict.fromkeys(trace for trace in traces if trace))
    together = {"batch_rows": sum(rows), "batch_requests": len(rows)}
    turns = [
        Turn(name, {"rows": one, **together}, _others(every, trace), started) if trace else None
        for trace, one in zip(traces, rows, strict=True)
    ]
    for trace, turn in zip(traces, turns, strict=True):
        if trace and turn:
            trace.turns.append(turn)
    with timed(lambda _started, ended, error: _end(turns, ended, error)):
        yield turns


def _end(turns: Sequence[Turn | None], ended: float, error: str | None) -> None:
    for turn in filter(None, turns):
        turn.error, turn.ended = error, ended


def _others(every: Sequence[Trace], trace: Trace) -> Sequence[Trace]:
    return [one for one in every if one is not trace]
