"""What msgspec finds wrong with a file, in the file's own words."""

from collections.abc import Mapping
from difflib import get_close_matches

from msgspec import Struct


def in_words(message: str, tables: Mapping[str, type[Struct]], ways_out: Mapping[str, str]) -> str:
    """Put the key first: "Expected `int`, got `str` - at `$.sampling.seed`" begins with "sampling.seed:".

    Args:
        message: of msgspec.
        tables: what each table may hold, by its key without numbers; "" for the file itself.
        ways_out: what a key may be, by its end.
    """
    text, _, where = message.partition(" - at `$")
    key = where.rstrip("`").lstrip(".")
    for found, kind in (("contains unknown field", "unknown key"), ("missing required field", "missing key")):
        if found in text:
            name = text.split("`")[1]
            known = (
                _alternatives(tables.get(key.partition("[")[0], tables[""]), name)
                if kind == "unknown key"
                else ""
            )
            return f"{kind} {f'{key}.{name}' if key else name}{known}"
    for end, way_out in ways_out.items():
        if key.endswith(end):
            text += f"; {way_out}"
    return f"{key}: {text[0].lower()}{text[1:]}" if key else text


def _alternatives(table: type[Struct], name: str) -> str:
    """Tell what may have been meant by an unknown key of a table."""
    fields = table.__struct_fields__
    if not fields:
        return "; there is none beside kind"
    near = get_close_matches(name, fields, 1)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(fields)}"
