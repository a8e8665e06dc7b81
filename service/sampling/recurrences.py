"""Recurrent nets that a model writes itself: one weight, used at step after step of a sequence.

A weight that is used again on what it has made is not enough: layers that share their weights do so too. A
recurrent net is also given another piece of the same sequence each time.
"""

from collections import defaultdict
from collections.abc import Sequence

from service.sampling.flow import Value

_PIECES = frozenset({"narrow", "select", "slice", "split", "split_with_sizes", "unbind", "unsafe_split"})


def mark_recurrences(values: Sequence[Value]) -> None:
    """Call linear operations recurrent where they are steps of a recurrent net."""
    uses: dict[int, list[Value]] = defaultdict(list)
    for value in values:
        if value.operation == "linear" and value.varies:
            for weight in value.weights:
                uses[weight].append(value)
    steps = [value for used in uses.values() if len(used) > 1 and _recur(*used[:2]) for value in used]
    for value in steps:
        value.operation = "recurrent"


def _recur(first: Value, second: Value) -> bool:
    behind_first, behind_second = _behind(first), _behind(second)
    if first not in behind_second:
        return False
    before, fed = _pieces(behind_first), _pieces(behind_second - behind_first)
    return bool(before & fed)


def _behind(value: Value) -> set[Value]:
    seen: set[Value] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += [given for given in one.inputs if given.number < value.number]
    return seen


def _pieces(values: set[Value]) -> set[Value]:
    """The sequences of which pieces are among the values."""
    return {value.inputs[0] for value in values if value.name in _PIECES and value.inputs and value.varies}
