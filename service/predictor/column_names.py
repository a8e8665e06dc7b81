"""Names of columns, held against those that a model has."""

import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

_NAMED = 5  # names in a sentence
_LETTERS = 60  # of a name


def mismatch(columns: Sequence[str], present: Sequence[str], *, others: bool = False) -> str | None:
    """Say how names differ from the columns of a model, in whatever order they stand.

    Args:
        columns: the model's, each once.
        present: what stands in a row or in the head of a file.
        others: whether further columns may stand beside those of the model.

    Returns:
        What is doubled, missing and unknown, in words that follow "row 3 " or "it "; None where each column
        stands there once.
    """
    counts, wanted = Counter(present), set(columns)
    doubled = [name for name, count in counts.items() if count > 1 and (not others or name in wanted)]
    missing = [name for name in columns if name not in counts]
    unknown = [name for name in counts if name not in wanted]
    alike = _alike(missing, unknown)
    lacking = [name for name in missing if name not in alike]
    strange = [] if others else [name for name in unknown if name not in alike.values()]
    faults = [
        *([f"has {listed(doubled)} more than once"] if doubled else []),
        *(f"has {quoted(alike[name])} (did you mean {quoted(name)}?)" for name in list(alike)[:_NAMED]),
        *([f"and {len(alike) - _NAMED} more that differ so"] if len(alike) > _NAMED else []),
        *([f"lacks the column{'s' * (len(lacking) > 1)} {listed(lacking)}"] if lacking else []),
        *([f"has {listed(strange)}, unknown to the model"] if strange else []),
    ]
    return "; ".join(faults) or None


def listed(names: Collection[str]) -> str:
    """Quote some names; of many the first."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(quoted(name) for name in list(names)[:_NAMED]) + more


def quoted(name: str) -> str:
    """Quote a name, cut where it is long; what cannot be printed is escaped."""
    return repr(name if len(name) <= _LETTERS else f"{name[:_LETTERS]}…")


def _alike(missing: Sequence[str], unknown: Sequence[str]) -> dict[str, str]:
    """Pair missing names with unknown ones that differ in case, spaces or punctuation alone."""
    if not missing:
        return {}
    by_letters: dict[str, str] = {}
    for name in unknown:
        by_letters.setdefault(_letters(name), name)
    pairs = ((name, by_letters.pop(_letters(name), None)) for name in missing)
    return {name: other for name, other in pairs if other is not None}


def _letters(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name[: 4 * _LETTERS]).casefold()
    return "".join(letter for letter in folded if letter.isalnum()) or folded
