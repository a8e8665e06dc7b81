"""Building a model's network by the function that its manifest names, from the allowed packages only."""

import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from importlib import import_module
from weakref import WeakValueDictionary

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from service.copies import Reached, copied
from service.errors import FactoryError, words_of
from service.repository.manifest import FactorySource


def build(source: FactorySource, allowed: Sequence[str]) -> nn.Module:
    """Call a factory; the network is its own, whatever the factory has given before or keeps.

    Args:
        source: names the function and its arguments.
        allowed: packages and modules whose functions may be called.

    Raises:
        FactoryError: it is not allowed, not there, raised, or gave no module.
        ModelRefused: it gave again what it had given before, and that cannot be copied.
    """
    made = _called(_function(source.factory, allowed), source)
    if not isinstance(made, nn.Module):
        raise FactoryError(
            f"source.factory {source.factory} gave a {type(made).__name__}, not a torch.nn.Module"
        )
    return _given.own(made)


class _Given:
    """What factories have given, while it is there.

    A factory may keep what it made, or a part of it, and give that again: the next version's weights must not
    become this one's. What is new goes out as it is, since a copy is never quite what was written.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._modules: WeakValueDictionary[int, nn.Module] = WeakValueDictionary()
        self._tensors: WeakValueDictionary[int, Tensor] = WeakValueDictionary()

    def own(self, made: nn.Module) -> nn.Module:
        """Give a network, or where it shares anything with what was given before a copy of it."""
        with self._lock:
            reached = Reached(made)
            if self._is_shared(reached):
                made = copied(reached, made, deepcopy)
                reached = Reached(made)
            self._modules.update((id(module), module) for module in reached.modules)
            self._tensors.update((id(tensor), tensor) for tensor in reached.weights)
            return made

    def _is_shared(self, reached: Reached) -> bool:
        if any(self._modules.get(id(module)) is module for module in reached.modules):
            return True
        memory = {key for tensor in list(self._tensors.values()) if (key := _memory(tensor))}
        return not memory.isdisjoint(map(_memory, reached.weights))


def _memory(tensor: Tensor) -> int | None:
    """Tell where a tensor's numbers lie: parameters that are two objects may be of one memory."""
    if is_lazy(tensor) or tensor.is_meta or not tensor.numel():
        return None
    return tensor.untyped_storage().data_ptr()


_given = _Given()


def _function(factory: str, allowed: Sequence[str]) -> Callable[..., object]:
    module_name, function_name = factory.split(":")
    if not _is_inside(module_name, allowed):
        raise FactoryError(
            f"source.factory {factory} is not in an allowed package ({', '.join(allowed) or 'none'}); "
            "the operator can add its package to UNSURE_FACTORIES"
        )
    try:
        function: object = getattr(import_module(module_name), function_name, None)
    except KeyboardInterrupt:
        raise
    except BaseException as cause:  # a script's exit, or a panic of native code, must not be the server's
        way_out = (
            "; install its package here, or name its folder in PYTHONPATH"
            if _is_missing(module_name, cause)
            else ""
        )
        raise FactoryError(
            f"source.factory {factory}: importing {module_name} raised {cause!r}{way_out}"
        ) from cause
    # What an allowed module has imported is not thereby allowed.
    if not callable(function) or not _is_inside(getattr(function, "__module__", None) or "", allowed):
        raise FactoryError(f"source.factory {factory}: {module_name} defines no function {function_name}")
    return function


def _is_missing(module: str, cause: BaseException) -> bool:
    """Tell whether it is the module itself that is not found, and not one that it imports."""
    return isinstance(cause, ModuleNotFoundError) and _is_inside(module, [cause.name or ""])


def _is_inside(module: str, allowed: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in allowed)


def _called(function: Callable[..., object], source: FactorySource) -> object:
    try:
        return function(**source.arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as cause:
        raise FactoryError(
            f"source.factory {source.factory} with source.arguments {source.arguments} raised "
            f"{words_of(cause)}"
        ) from cause
