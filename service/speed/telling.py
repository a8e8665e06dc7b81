"""What was measured, for people and for programs."""

import msgspec

from service.inspection import aligned, milliseconds
from service.predictor.answers import EXACT
from service.speed.measuring import Speed, Timed


def as_json(speed: Speed) -> str:
    """Give it to programs."""
    return msgspec.json.format(msgspec.json.encode(speed)).decode()


def as_text(speed: Speed) -> str:
    """Give it to people: a line for each number of rows."""
    drawn = "no samples, in closed form" if speed.samples == EXACT else f"{speed.samples} samples a row"
    threads = f"{speed.threads} thread{'s' if speed.threads > 1 else ''}"
    table = aligned(_HEADS, [_cells(one) for one in speed.timed])
    return (
        f"{speed.model}, version {speed.version}: {drawn}, on {speed.device} with {threads}, milliseconds\n\n"
        f"{table}\n\n{_NOTE}"
    )


_HEADS = ("rows", "prediction", "usual loop", "served", "times faster", "rows a second", "by")
_NOTE = (
    "usual loop: as many calls in training mode. served: samples, measures and flags as the server computes\n"
    "them; HTTP and JSON come on top."
)


def _cells(one: Timed) -> tuple[str, ...]:
    faster = "-" if one.usual_loop is None else f"{one.usual_loop / one.served:.1f}"
    by = f"{one.plan}, compiled" if one.compiled else one.plan or "closed form"
    times = (milliseconds(one.prediction), milliseconds(one.usual_loop), milliseconds(one.served))
    return str(one.rows), *times, faster, f"{one.rows / one.served:.0f}", by
