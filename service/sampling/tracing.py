"""Tracing beside other threads that run models."""

from collections.abc import Callable
from functools import wraps
from threading import get_ident
from typing import Any

from torch.fx._symbolic_trace import _Patcher

_as_torch_does = _Patcher.patch_method


def keep_tracing_to_its_thread() -> None:
    """Let torch.fx, while it traces in one thread, leave modules as they are for all others.

    It replaces `nn.Module.__call__` for everybody, and a model that runs in another thread meanwhile fails
    with "module is not installed as a submodule". Compiling traces many times over.
    """
    _Patcher.patch_method = _patch_method  # type: ignore[assignment,method-assign]  # that is what it is for


def _patch_method(
    patcher: _Patcher, cls: type, name: str, new: Callable[..., Any], deduplicate: bool = True
) -> None:
    own, before = get_ident(), getattr(cls, name)

    @wraps(new)
    def here_alone(*args: Any, **kwargs: Any) -> Any:
        return (new if get_ident() == own else before)(*args, **kwargs)

    _as_torch_does(patcher, cls, name, here_alone, deduplicate)
