"""Names of a table's columns, and where the model's columns stand among them."""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from unsure_client.errors import InvalidInput

_NAMED = 5  # names in a sentence


def column_names(rows: Any) -> tuple[Hashable, ...] | None:
    """Give the names of a table's columns: of pandas, polars, pyarrow or narwhals, or an array of structures.

    Returns:
        None of what is no table, or has but numbers that count its columns, as pandas makes them.
    """
    # pyarrow calls its names column_names, and has the columns themselves under `columns`.
    for holder, attribute in (
        (rows, "column_names"),
        (rows, "columns"),
        (getattr(rows, "dtype", None), "names"),
    ):
        names = getattr(holder, attribute, None)
        if names is not None:
            found = tuple(names)
            return None if found == tuple(range(len(found))) else found
    return None


def order(columns: Sequence[str], present: Sequence[Hashable]) -> list[int]:
    """Give where each of the model's columns stands in a table.

    Args:
        columns: the model's.
        present: the table's.

    Raises:
        InvalidInput: the table has not each of them once, or others.
    """
    counts, wanted = Counter(present), set(columns)
    letters = {_letters(name): name for name in columns if name not in counts}
    faults = {
        "has more than once": [repr(name) for name, count in counts.items() if count > 1],
        "lacks": [repr(name) for name in columns if name not in counts],
        "has, unknown to the model,": [
            f"{name!r} (did you mean {letters[_letters(name)]!r}?)"
            if _letters(name) in letters
            else repr(name)
            for name in counts
            if name not in wanted
        ],
    }
    phrases = [f"{fault} {_listed(names)}" for fault, names in faults.items() if names]
    if phrases:
        raise InvalidInput(
            f"the table {'; it '.join(phrases)}. The model's columns are "
            f"{_listed([*map(repr, columns)])}; each must be there once, in any order, and no other"
        )
    places = {name: place for place, name in enumerate(present)}
    return [places[name] for name in columns]


def _letters(name: Hashable) -> str:
    """Leave out what is easily written in another way: case, spaces and punctuation."""
    return "".join(letter for letter in str(name).casefold() if letter.isalnum())


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
