"""Labels as people and files write them → classes of a model: one reading for whatever takes labels.

`unsure train` names classes by the same text, in models/training/targets.py: neither package imports the
other.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal

Reading = Literal["names", "indices"]
"""What labels in a file are: names of classes, or their numbers in the model's list."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?", re.ASCII)
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:.*)?", re.ASCII)
_MOST_DIGITS = 40
_SHOWN = 40  # letters of a label, in an error


def label_text(value: Any) -> str:
    """Write a value as a label: true and false, whole numbers without a fraction, bytes as the text they are.

    Args:
        value: of Python or numpy; not a missing one.

    Raises:
        ValueError: bytes that are no UTF-8.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal) and _is_whole(value):
        return str(int(value))
    return label_text(value.item()) if hasattr(value, "item") else str(value)


def is_missing(value: Any) -> bool:
    """Tell whether a value stands for none: null, NaN, or an empty text."""
    if value is None or (isinstance(value, str | bytes) and not value.strip()):
        return True
    return bool(value != value)  # NaN, and what libraries have for dates


class Labels:
    """The labels of a model.

    Args:
        names: one a class, each once.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._exact = {name: index for index, name in enumerate(names)}
        self._alike: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            self._alike.setdefault(_plain(name), []).append(index)

    def find(self, value: Any) -> int | None:
        """Find a class by its name; None where there is none.

        A name as it is written comes first; then one that says the same: "True" is true, 1.0 and "01" are 1,
        blanks around a text are nothing, and an accented letter may be written as one character or as two.

        Raises:
            ValueError: it says the same as several names, and is none of them.
        """
        text = label_text(value)
        if text in self._exact:
            return self._exact[text]
        alike = self._alike.get(_plain(text), ())
        if len(alike) > 1:
            several = " or ".join(repr(self.names[index]) for index in alike)
            raise ValueError(f"is {text[:_SHOWN]!r}, which may be {several}; write it as one of these")
        return alike[0] if alike else None

    def classes(
        self, values: Sequence[Any], reading: Reading | None, place: Callable[[int], str]
    ) -> list[int]:
        """Find the class of each value.

        A value may be a name, or a class index. Where a reading fits all values, and no value has another
        meaning by the other reading, it is taken. Texts that are names, all of them, are names.

        Args:
            values: texts, whole numbers, booleans or dates.
            reading: None where nobody says which.
            place: names a value by its number, for people.

        Raises:
            ValueError: a value is missing, is none of the model's, or may be one class or another.
        """
        meanings: dict[Any, tuple[int | None, int | None]] = {}
        named: list[int | None] = []
        indices: list[int | None] = []
        for number, value in enumerate(values):
            kind = (type(value), value)  # 1, 1.0 and True are one key otherwise
            if kind not in meanings:
                if is_missing(value):
                    raise ValueError(f"{place(number)} is empty; write what it is, or leave the row out")
                try:
                    name = None if reading == "indices" else self.find(value)
                except ValueError as cause:
                    raise ValueError(f"{place(number)} {cause}") from cause
                meanings[kind] = name, None if reading == "names" else _index(value)
            named.append(meanings[kind][0])
            indices.append(meanings[kind][1])
        by_name = [index for index in named if index is not None]
        by_index = [index for index in indices if index is not None and index < len(self.names)]
        texts = [isinstance(value, str | bytes) for value in values]
        if len(by_name) == len(values) and (any(texts) or len(by_index) < len(values)):
            return by_name
        if len(by_index) == len(values):
            self._refuse_differing(values, named if reading is None else by_index, indices, place)
            return by_index
        one_way = named
        if reading is None and by_name:
            # Numbers among names, of which none means both.
            one_way = [
                index if name is None and not text and index is not None and index < len(self.names) else name
                for name, index, text in zip(named, indices, texts, strict=True)
            ]
            found = [index for index in one_way if index is not None]
            if len(found) == len(values):
                numbers = [None if text else index for index, text in zip(indices, texts, strict=True)]
                self._refuse_differing(values, named, numbers, place)
                return found
        numbered = None not in indices and not by_name
        if reading == "indices" or numbered:
            one_way = [index if index is None or index < len(self.names) else None for index in indices]
        wrong = next(number for number, index in enumerate(one_way) if index is None)
        # Whole numbers of which one is a name are names.
        numbered |= not any(name is not None and not text for name, text in zip(named, texts, strict=True))
        raise ValueError(f"{place(wrong)} {self._unknown(values[wrong], indices[wrong], reading, numbered)}")

    def _unknown(self, value: Any, index: int | None, reading: Reading | None, numbered: bool) -> str:
        """Say why a value is none of the model's; `numbered` is whether whole numbers are class indices."""
        if index is not None and (reading == "indices" or numbered) and index >= len(self.names):
            return f"is {value}, and class indices are 0 to {len(self.names) - 1}"
        if reading == "indices":
            return f"is {label_text(value)[:_SHOWN]!r}, and no class index"
        return f"is {label_text(value)[:_SHOWN]!r}; the model's are: {', '.join(self.names)}"

    def _refuse_differing(
        self,
        values: Sequence[Any],
        named: Sequence[int | None],
        indices: Sequence[int | None],
        place: Callable[[int], str],
    ) -> None:
        truths = [self._alike.get(text, [None])[0] for text in ("false", "true")]
        for number, (name, index) in enumerate(zip(named, indices, strict=True)):
            if name is None and index is not None and index < len(truths) and None not in truths:
                name = truths[index]  # as which much writes 0 and 1
            if name is not None and index is not None and name != index:
                raise ValueError(
                    f"{place(number)} is {label_text(values[number])[:_SHOWN]!r}: as a name that is the "
                    f"label {self.names[name]!r}, and as a class index {self.names[index]!r}; say "
                    "--labels-are names or --labels-are indices"
                )


def _is_whole(value: float | Decimal) -> bool:
    return value == value and abs(value) != float("inf") and value == int(value)  # not of NaN


def _index(value: Any) -> int | None:
    """Read a class index; None where a value is none."""
    if isinstance(value, bool):
        return None
    text = _plain(label_text(value))
    return int(text) if text.isascii() and text.isdigit() else None


def _plain(text: str) -> str:
    """Write alike what says the same; an accented letter may be one character or two."""
    text = unicodedata.normalize("NFC", text.strip())
    if text.lower() in ("true", "false"):
        return text.lower()
    if _NUMBER.fullmatch(text):
        number = Decimal(text)
        if abs(number.adjusted()) < _MOST_DIGITS:
            return str(int(number)) if number == int(number) else format(number.normalize(), "f")
        return text
    try:
        if _DATE.fullmatch(text):
            moment = datetime.fromisoformat(text)
            midnight = moment.tzinfo is None and moment.time() == time()
            return str(date.fromordinal(moment.toordinal()) if midnight else moment)
        if _TIME.fullmatch(text):
            return str(time.fromisoformat(text))
    except ValueError:
        pass
    return text
