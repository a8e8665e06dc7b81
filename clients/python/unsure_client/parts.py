"""Rows of one call, in as many requests as it takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unsure_client.rows import Rows
from unsure_client.writing import written


@dataclass(frozen=True)
class Batching:
    """How the rows of one call are divided among requests.

    A request that the server finds too large all the same is halved until it does not.

    Args:
        rows: most rows of a request.
        body_bytes: most bytes of its rows, unless one row alone has more.
        in_flight: most requests of one call at a time, of an AsyncClient.
    """

    rows: int = 256
    body_bytes: int = 8_000_000
    in_flight: int = 4

    def __post_init__(self) -> None:
        if min(self.rows, self.body_bytes, self.in_flight) < 1:
            raise ValueError(f"each figure of {self} must be at least 1")


@dataclass(frozen=True)
class Part:
    """Rows of one request.

    Args:
        names: of the model's inputs; empty for its one input.
        first: number of the first row among those of the call.
        rows: each as JSON, one text an input.
        suffix: tells the request from the others of its call; empty where it is the only one.
    """

    names: tuple[str, ...]
    first: int
    rows: tuple[tuple[bytes, ...], ...]
    suffix: str = ""

    @property
    def numbers(self) -> range:
        """The numbers of its rows among those of the call."""
        return range(self.first, self.first + len(self.rows))

    def body(self, beside: Mapping[str, Any]) -> bytes:
        """Write the body of the request.

        Args:
            beside: what it holds besides the rows.
        """
        arrays = [b"[%b]" % b",".join(texts) for texts in zip(*self.rows, strict=True)]
        inputs = arrays[0] if not self.names else _object(dict(zip(self.names, arrays, strict=True)))
        return _object({"inputs": inputs} | {name: written(value) for name, value in beside.items()})

    def halves(self) -> tuple["Part", "Part"]:
        """Divide it."""
        middle = len(self.rows) // 2
        return (
            Part(self.names, self.first, self.rows[:middle], f"{self.suffix}.0"),
            Part(self.names, self.first + middle, self.rows[middle:], f"{self.suffix}.1"),
        )


def divided(rows: Rows, batching: Batching) -> Iterator[Part]:
    """Divide rows, as they are asked for: no more of them are written than are about to be sent."""
    first = 0
    while first < rows.count:
        held, end = _held(rows, first, batching)
        whole = not first and end == rows.count
        yield Part(rows.names, first, tuple(held), "" if whole else f".{first}")
        first = end


def _held(rows: Rows, first: int, batching: Batching) -> tuple[list[tuple[bytes, ...]], int]:
    """Give rows that fit a request, and the number of the first that does not."""
    held: list[tuple[bytes, ...]] = []
    size = 0
    for number in range(first, min(first + batching.rows, rows.count)):
        row = rows.encoded(number)
        size += sum(map(len, row))
        if held and size > batching.body_bytes:
            break
        held.append(row)
    return held, first + len(held)


def _object(members: Mapping[str, bytes]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (written(name), text) for name, text in members.items())
