"""Settings that all models of a process share, most of them torch's, kept whatever one model does."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from service.errors import ModelRefused

_DTYPE = "default dtype"


def _working_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  # with each pass: no object is made of it
    except FileNotFoundError:  # it was removed
        return None


def _go_to(directory: str | None) -> None:
    with suppress(OSError):
        os.chdir(directory or os.curdir)


_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    _DTYPE: (torch.get_default_dtype, torch.set_default_dtype),
    "number of threads": (torch.get_num_threads, torch.set_num_threads),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "precision of matrix products": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "working directory": (_working_directory, _go_to),  # where the repository and the queue may be looked for
}
_READERS = tuple(read for read, _ in _SETTINGS.values())
_loading: list[str] = []  # whose code runs elsewhere, and will have what it sets undone


def shared_settings() -> tuple[Any, ...]:
    """Read them."""
    return tuple(read() for read in _READERS)


def changed_by_one_that_loads() -> bool:
    """Tell whether settings that differ may be those of code that is loaded on another thread meanwhile."""
    return bool(_loading)


def restore(before: tuple[Any, ...]) -> list[str]:
    """Set those again that are others now; gives their names, with what they were set to."""
    changed = []
    for (name, (_, write)), was, now in zip(_SETTINGS.items(), before, shared_settings(), strict=True):
        if was != now:
            write(was)
            changed.append(f"{name} ({now})")
    return changed


@contextmanager
def preserve_settings(whose: str) -> Iterator[None]:
    """Undo what somebody's code sets for all models.

    Raises:
        ModelRefused: it has set the dtype or the device of new tensors, which it may rest on.
    """
    before, device = shared_settings(), torch.get_default_device()
    _loading.append(whose)
    try:
        yield
    finally:
        _loading.remove(whose)
        changed = [one for one in restore(before) if one.startswith(_DTYPE)]
        if (now := torch.get_default_device()) != device:
            torch.set_default_device(device)
            changed.append(f"default device ({now})")
    if changed:
        raise ModelRefused(
            f"{whose} sets what all models of a process share: torch's {', '.join(changed)}; give dtype and "
            "device to the tensors and modules themselves"
        )
