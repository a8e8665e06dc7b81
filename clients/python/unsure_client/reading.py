"""JSON as dataclasses: what they do not name is left out, since a server may add fields."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from unsure_client.errors import UnexpectedAnswer

Read = TypeVar("Read")


def read(kind: type[Read], given: Any) -> Read:
    """Read a JSON object as a dataclass; fields that have a default may be missing, and None reads as it.

    Raises:
        UnexpectedAnswer: a field is missing.
    """
    hints = _hints(kind)  # type: ignore[arg-type]  # of a class, mypy does not see that it is hashable
    try:
        return kind(**{name: _read(hint, given[name]) for name, hint in hints.items() if name in given})
    except (TypeError, KeyError, AttributeError) as cause:
        raise UnexpectedAnswer(
            f"the answer is no {kind.__name__}: {cause}; check the server's version"
        ) from cause


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _read(hint: Any, given: Any) -> Any:
    if given is None:
        return None
    if get_origin(hint) is tuple:
        return tuple(_read(get_args(hint)[0], one) for one in given)
    if get_origin(hint) in (UnionType, Union):
        return _read_one_of(get_args(hint), given)
    if hasattr(hint, "__dataclass_fields__"):
        return read(hint, given)
    return given


def _read_one_of(hints: tuple[Any, ...], given: Any) -> Any:
    kind = next((hint for hint in hints if hasattr(hint, "__dataclass_fields__")), None)
    if kind is not None and isinstance(given, Mapping):
        return read(kind, given)
    tuples = next((hint for hint in hints if get_origin(hint) is tuple), None)
    return _read(tuples, given) if tuples is not None and isinstance(given, list) else given
