"""Labels from elsewhere: a JSON object a line, each about one item."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from service.errors import InvalidInput
from service.json_names import doubled_name
from service.labels import label_text
from service.review.items import Value
from service.review.steps import Verdict

_MOST_TOLD = 10


class _Line(Struct, forbid_unknown_fields=True):
    id: str
    label: Annotated[str, Meta(min_length=1, max_length=1000)] | bool | int | float | None = None
    value: Value | None = None
    note: Annotated[str, Meta(max_length=10_000)] = ""
    reviewer: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET


@dataclass(frozen=True)
class Labelled:
    """What one line says.

    Args:
        line: its number, from 1.
        id: of the item.
        reviewer: whose word it is.
        verdict: what is right.
    """

    line: int
    id: str
    reviewer: str
    verdict: Verdict


class Problems:
    """Collects what is wrong with lines, so that all of it is told at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, line: int, problem: object) -> None:
        """Note a problem."""
        self._found.append(f"line {line}: {problem}")

    def check(self) -> None:
        """Refuse the whole, if there are any.

        Raises:
            InvalidInput: the text names the lines.
        """
        if self._found:
            more = len(self._found) - _MOST_TOLD
            told = [*self._found[:_MOST_TOLD], *([f"and {more} more"] if more > 0 else [])]
            raise InvalidInput(f"nothing was imported: {'; '.join(told)}")


def read_labels(lines: Iterable[bytes], reviewer: str | None) -> list[Labelled]:
    """Read labels; blank lines are passed over.

    Args:
        lines: such as {"id": "…", "label": "benign", "note": "clear", "reviewer": "ann"}.
        reviewer: of the lines that do not say.

    Raises:
        InvalidInput: the text names the lines that are wrong, and how.
    """
    labels: dict[str, Labelled] = {}
    problems = Problems()
    for number, text in enumerate(lines, 1):
        if text.strip():
            try:
                one = _read(number, text, reviewer)
                _check_once(one, labels)
            except InvalidInput as problem:
                problems.add(number, problem)
            else:
                labels[one.id] = one
    problems.check()
    return list(labels.values())


def _read(number: int, text: bytes, reviewer: str | None) -> Labelled:
    try:
        line = msgspec.json.decode(text, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise InvalidInput(str(cause)) from cause
    twice = doubled_name(text)
    if twice is not None:
        raise InvalidInput(f"it has {twice[:40]!r} twice; give it once")
    whose = reviewer if line.reviewer is UNSET else line.reviewer
    if not whose:
        raise InvalidInput("it names no reviewer; name one there, or with --reviewer")
    label = None if line.label is None else label_text(line.label)
    if "\0" in f"{whose}{label}{line.note}":
        raise InvalidInput("it must not hold a null character")
    return Labelled(number, line.id, whose, Verdict(label, line.value, line.note))


def _check_once(one: Labelled, labels: dict[str, Labelled]) -> None:
    if one.id in labels:
        raise InvalidInput(f"review {one.id} stands on line {labels[one.id].line} already")
