"""Functions with a gradient of their own, `torch.autograd.Function`, run by vmap.

torch refuses to batch one that was not written for it. Nothing is differentiated while samples run, so what
such a function gives is what its forward gives, and that is made of torch's own operations.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd import Function

_local = threading.local()


@contextmanager
def forward_alone() -> Iterator[None]:
    """While this thread is inside, custom functions that vmap would refuse are their forward."""
    before = getattr(_local, "inside", False)
    _local.inside = True
    try:
        yield
    finally:
        _local.inside = before


class _NoBackward:
    """Stands for the context of a forward, and forgets what it keeps for a backward pass."""

    def __init__(self, arguments: int) -> None:
        self.needs_input_grad = (False,) * arguments

    def _forget(self, *_args: object) -> None:
        pass

    save_for_backward = save_for_forward = mark_dirty = mark_non_differentiable = set_materialize_grads = (
        _forget
    )


_apply: Any = Function.__dict__["apply"].__func__


def _applied(cls: Any, *args: Any, **kwargs: Any) -> Any:
    if not getattr(_local, "inside", False) or not torch._C._are_functorch_transforms_active():  # noqa: SLF001
        return _apply(cls, *args, **kwargs)
    without_context = cls.setup_context is not Function.setup_context
    if without_context and (cls.generate_vmap_rule or cls.vmap is not Function.vmap):
        return _apply(cls, *args, **kwargs)
    return (
        cls.forward(*args, **kwargs)
        if without_context
        else cls.forward(_NoBackward(len(args)), *args, **kwargs)
    )


# No mode sees a call of `apply`, and a network may keep it under any name: it is replaced once, when this is
# imported, and does what it did everywhere but in a pass of this engine.
Function.apply = classmethod(_applied)  # type: ignore[method-assign,assignment]
