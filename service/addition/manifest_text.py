"""The text of a model.toml."""

import json
from collections.abc import Mapping
from typing import Any

from service.errors import AdditionRefused


def manifest_text(values: Mapping[str, Any]) -> str:
    """Write TOML: keys, then tables, then arrays of tables, in the order given.

    Raises:
        AdditionRefused: a value is one that TOML does not have.
    """
    plain = {key: value for key, value in values.items() if not _is_table(value) and not _are_tables(value)}
    parts = [_lines(plain)]
    for key, value in values.items():
        if _is_table(value):
            parts.append(f"[{key}]\n{_lines(value)}")
        elif _are_tables(value):
            parts += [f"[[{key}]]\n{_lines(table)}" for table in value]
    return "\n".join(parts)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(map(_is_table, value))


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_quoted(key)} = {_value(value)}\n" for key, value in table.items() if value is not None)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _string(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            inside = ", ".join(f"{_quoted(key)} = {_value(one)}" for key, one in value.items())
            return f"{{ {inside} }}" if inside else "{}"
    raise AdditionRefused(f"model.toml cannot hold {value!r}: TOML has no such value; leave it out")


def _quoted(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").replace("-", "").isalnum() else _string(key)


def _string(text: str) -> str:
    # JSON's strings are TOML's, but for one control character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
