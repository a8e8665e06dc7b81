"""The generators of Python and numpy, of which a process has one each, for all of its threads."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

_PYTHONS = random.random.__self__  # type: ignore[attr-defined]  # of a bound method
_LOOKS = 5  # that another thread, which draws from numpy's now and then, would all have to meet


def generators() -> object:
    """Tell where they stand."""
    return random.getstate(), _numpys()


def draws_itself(run: Callable[[], object]) -> bool:
    """Tell whether something draws from them whenever it runs.

    That they have moved meanwhile is no proof: threads of libraries move them too, such as one that waits at
    random before it tries again. From Python's, this thread is seen to draw; numpy's shows its place alone.
    """
    return all(_draws(run) for _ in range(_LOOKS))


def _draws(run: Callable[[], object]) -> bool:
    before = _numpys()
    with _watched() as drawn:
        run()
    return bool(drawn) or _numpys() != before


@contextmanager
def _watched() -> Iterator[list[str]]:
    """Give what this thread calls of Python's generator."""
    drawn: list[str] = []

    def watch(_frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and getattr(called, "__self__", None) is _PYTHONS:
            drawn.append(called.__name__)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield drawn
    finally:
        sys.setprofile(before)


def _numpys() -> str:
    return repr(np.random.get_state(legacy=False))
