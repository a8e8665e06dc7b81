"""Names that stand twice in one object of JSON, of which a decoder takes the last without a word."""

import msgspec
from msgspec import Raw

DEEPEST = 4
"""Objects and arrays within each other; nothing is read that has names further in."""


class _Name:
    """A name that is no other's equal: a mapping of such keeps all."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


_OBJECT = msgspec.json.Decoder(dict[_Name, Raw], dec_hook=lambda _, text: _Name(text))
_ARRAY = msgspec.json.Decoder(list[Raw])
_FLAT = msgspec.json.Decoder(dict[str, Raw] | list[dict[str, Raw]])


def doubled_name(text: bytes, depth: int = DEEPEST) -> str | None:
    """Find a name that stands twice in one object.

    Args:
        text: JSON that has been decoded without an error.
        depth: how many objects and arrays within each other are looked into, at least 1.

    Returns:
        The first; None where there is none.
    """
    try:
        return _doubled(text, depth)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # what is not read yet, and will be told by its reader


def _doubled(text: bytes, depth: int) -> str | None:
    text = text.lstrip()
    if _has_as_many_colons_as_names(text):
        return None
    if text.startswith(b"{"):
        named = _OBJECT.decode(text)
        seen = set[str]()
        for name in named:
            if name.text in seen:
                return name.text
            seen.add(name.text)
        parts = list(named.values())
    elif text.startswith(b"["):
        parts = _ARRAY.decode(text)
    else:
        return None
    for part in map(bytes, parts) if depth > 1 else ():
        if b"{" in part and (found := _doubled(part, depth - 1)) is not None:
            return found
    return None


def _has_as_many_colons_as_names(text: bytes) -> bool:
    """Tell of an object, or an array of such, that no name stands twice: a tenth of a look at each name."""
    colons = text.count(b":")
    if not colons:
        return True
    try:
        flat = _FLAT.decode(text)
    except msgspec.ValidationError:  # an array of something else
        return False
    return (len(flat) if isinstance(flat, dict) else sum(map(len, flat))) == colons
