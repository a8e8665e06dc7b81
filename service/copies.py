"""Copies of networks that hold nothing of the network they were made from.

`copy.deepcopy` takes functions for constants. One that a network keeps (in an attribute, a container, a hook,
or as the `forward` of an instance) goes on in the copy with the modules of the original in its closure, its
defaults or its method's object: it would compute with other weights, and look at another `training`. Here
such functions are made anew for the copy, weak references too; what cannot be (a global that a function
reads, a container that is not copied) is refused by name where it leads back to the original.
"""

import dis
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import _lru_cache_wrapper, lru_cache, partial
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import CallableProxyType, ProxyType, ReferenceType, proxy, ref

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from service.errors import ModelRefused, words_of

_LEAVES = (type, CodeType, str, bytes, int, float, complex, RemovableHandle, torch.Generator)
_CONTAINERS = (list, tuple, set, frozenset, deque)
_REGISTERED = ("_modules", "_parameters", "_buffers")
_PROXIES = (ProxyType, CallableProxyType)
_SHARED = (ModuleType, torch.jit.ScriptFunction, type(threading.Lock()), type(threading.RLock()))
"""What deepcopy cannot copy, and a copy may have in common with its original; it is not looked into."""


class Reached:
    """All that can be reached from a network by what it and its functions hold.

    Args:
        network: where to begin.
        apart: objects that are not looked into.

    Attributes:
        objects: by identity; kept, so that none is another's meanwhile.
        own: identities of what it holds itself, and not by way of a class or of a global.
    """

    def __init__(self, network: nn.Module, apart: Iterable[object] = ()) -> None:
        self.objects: dict[int, Any] = {id(network): network}
        self._paths = {id(network): ""}
        self._holders: dict[int, list[int]] = {}
        self._apart = {id(one) for one in apart}
        self._walk([network], _parts)
        self.own = frozenset(self.objects)
        self._walk(list(self.objects.values()), _outside)

    def _walk(self, begin: Iterable[Any], first: Callable[[Any], Iterable[tuple[str, Any]]]) -> None:
        """Go on from these objects, by `first` from themselves, to all that has not been met."""
        waiting = deque((holder, first) for holder in begin)
        while waiting:
            holder, parts = waiting.popleft()
            for label, part in parts(holder):
                if part is None or isinstance(part, _LEAVES) or id(part) in self._apart:
                    continue
                self._holders.setdefault(id(part), []).append(id(holder))
                if id(part) not in self.objects:
                    self.objects[id(part)] = part
                    self._paths[id(part)] = self._paths[id(holder)] + label
                    waiting.append((part, _parts))
                    if first is _outside:
                        waiting.append((part, _outside))

    @property
    def modules(self) -> list[nn.Module]:
        """Its own modules, those too that no module has registered."""
        return [one for key, one in self.objects.items() if key in self.own and _is_module(one)]

    @property
    def weights(self) -> list[Tensor]:
        """The parameters and buffers of its own modules, and parameters that it has elsewhere."""
        buffers = {id(one) for module in self.modules for one in module.buffers(recurse=False)}
        own = [(key, one) for key, one in self.objects.items() if key in self.own]
        return [one for key, one in own if isinstance(one, nn.Parameter) or key in buffers]

    def path(self, one: object) -> str:
        """Say in words where something was found."""
        return self._paths[id(one)].removeprefix(".") or "the model itself"

    def holder(self, one: object) -> object:
        """Give what something was first found in; nothing holds the network itself."""
        return self.objects[self._holders[id(one)][0]]

    def leading_to(self, targets: Iterable[int]) -> set[int]:
        """Give what leads to any of these objects, and these, all by identity."""
        found, waiting = set(targets), list(targets)
        while waiting:
            for holder in self._holders.get(waiting.pop(), ()):
                if holder not in found:
                    found.add(holder)
                    waiting.append(holder)
        return found


def copied(
    source: Reached, network: nn.Module, weight: Callable[[Tensor], Tensor], apart: Iterable[object] = ()
) -> nn.Module:
    """Copy a network.

    Args:
        source: what the network reaches.
        network: to copy.
        weight: gives what stands in the copy for a parameter or buffer.
        apart: objects that the copy has in common with the network.

    Raises:
        ModelRefused: it cannot be copied, or the copy would hold something of the network that it must not.
    """
    weights = {id(one): weight(one) for one in source.weights}
    replaced = {key for key, one in weights.items() if one is not source.objects[key]}
    targets = {id(module) for module in source.modules} | replaced
    memo = _Memo(source.objects, source.leading_to(targets))
    memo.update((id(one), one) for one in apart)
    memo.update(weights)
    for key, one in source.objects.items():
        if isinstance(one, _SHARED):
            memo[key] = one
        elif isinstance(one, Tensor) and key not in memo and (one.grad_fn is not None or one.is_inference()):
            memo[key] = one.detach().clone()  # such as the weight that an old weight norm has computed
    try:
        copy: nn.Module = deepcopy(network, memo)
    except Exception as cause:
        raise ModelRefused(
            f"the model's modules cannot be copied ({words_of(cause)}); see copy.deepcopy"
        ) from cause
    _check_apart(source, Reached(copy, apart), targets)
    return copy


def _check_apart(source: Reached, copy: Reached, targets: set[int]) -> None:
    """Refuse a copy that reaches what is the original's alone."""
    if found := next((one for key, one in copy.objects.items() if key in targets), None):
        what = source.path(found)
        raise ModelRefused(
            f"{copy.path(found)} leads to {type(found).__name__} {what} of the network that it was copied "
            "from, and not to the copy's; networks are copied to be sampled: let it reach what it needs "
            "through self, by an attribute, a list or a closure, and not by a global, a class or an object "
            "that copies itself as itself"
        )


class _Memo(dict[int, Any]):
    """What deepcopy asks for what it has copied: functions and references are made anew when it does.

    Args:
        objects: by identity.
        leading: identities of those that must be made anew.
    """

    def __init__(self, objects: Mapping[int, Any], leading: set[int]) -> None:
        super().__init__()
        self._objects = objects
        self._leading = leading
        self._cells: dict[int, CellType] = {}

    def get(self, key: int, default: Any = None) -> Any:
        """Give a copy."""
        if key not in self and key in self._leading:
            self._follow(key, self._objects[key])
        return super().get(key, default)

    def _follow(self, key: int, held: Any) -> None:
        made: Any
        if type(held) in _PROXIES:
            made = proxy(deepcopy(_referent(held), self))
        elif isinstance(held, ReferenceType):
            made = ref(deepcopy(_referent(held), self))
        elif isinstance(held, FunctionType):
            made = self._function(key, held)
        elif isinstance(held, MethodType):
            made = MethodType(deepcopy(held.__func__, self), deepcopy(held.__self__, self))
        elif isinstance(held, BuiltinMethodType):
            made = getattr(deepcopy(held.__self__, self), held.__name__)
        elif isinstance(held, _lru_cache_wrapper):
            made = lru_cache(**held.cache_parameters())(deepcopy(held.__wrapped__, self))
        else:
            return
        self.setdefault(key, made)

    def _function(self, key: int, held: FunctionType) -> FunctionType:
        fresh: list[CellType] = []
        cells = tuple(self._cell(cell, fresh) for cell in held.__closure__ or ())
        function = FunctionType(held.__code__, held.__globals__, held.__name__, None, cells)
        self[key] = function
        for name in ("__module__", "__qualname__", "__doc__", "__annotations__"):
            setattr(function, name, getattr(held, name))
        for old, new in zip(held.__closure__ or (), cells, strict=True):
            if any(new is one for one in fresh):
                new.cell_contents = deepcopy(old.cell_contents, self)
        function.__defaults__ = self._of(held.__defaults__)
        function.__kwdefaults__ = self._of(held.__kwdefaults__)
        vars(function).update({name: self._of(value) for name, value in vars(held).items()})
        return function

    def _cell(self, cell: CellType, fresh: list[CellType]) -> CellType:
        """Give a cell of its own for what leads to the original: one for all functions that share it."""
        if id(_content(cell)) not in self._leading:
            return cell
        if id(cell) not in self._cells:
            self._cells[id(cell)] = CellType()
            fresh.append(self._cells[id(cell)])
        return self._cells[id(cell)]

    def _of(self, value: Any) -> Any:
        return deepcopy(value, self) if id(value) in self._leading else value


def _parts(holder: Any) -> Iterable[tuple[str, Any]]:
    """Give what an object holds, each with the words that lead there from it."""
    if type(holder) in _PROXIES or isinstance(holder, ReferenceType):
        referent = _referent(holder)
        return [("", referent)] if _is_module(referent) or isinstance(referent, Tensor) else []
    if isinstance(holder, (Tensor, *_SHARED)):
        return []
    if isinstance(holder, FunctionType):
        return _parts_of_function(holder)
    for kind, names in _HELD_BY.items():
        if isinstance(holder, kind):
            return [*(("", getattr(holder, name)) for name in names), *_attributes(holder)]
    return [*_elements(holder), *_attributes(holder)]


_HELD_BY: Mapping[Any, tuple[str, ...]] = {
    MethodType: ("__func__", "__self__"),
    BuiltinMethodType: ("__self__",),
    partial: ("func", "args", "keywords"),
    property: ("fget", "fset"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
}


def _elements(holder: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(holder, dict):
        for key, value in list(holder.items()):
            yield f"[{repr(key) if isinstance(key, str | int) else type(key).__name__}]", value
            yield " (a key)", key
    elif isinstance(holder, _CONTAINERS):
        yield from ((f"[{place}]", part) for place, part in enumerate(list(holder)))


def _attributes(holder: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(holder, MethodType | BuiltinMethodType):
        return
    try:
        held = dict(object.__getattribute__(holder, "__dict__"))
    except (AttributeError, TypeError):
        held = {}
    if _is_module(holder):
        for registered in _REGISTERED:
            yield from ((f".{name}", part) for name, part in (held.pop(registered, None) or {}).items())
    yield from ((f".{name}", part) for name, part in held.items())
    for kind in type(holder).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            descriptor = vars(kind).get(f"_{kind.__name__.lstrip('_')}{name}" if private else name)
            try:
                yield f".{name}", descriptor.__get__(holder)  # type: ignore[union-attr]
            except (AttributeError, TypeError):  # it has no value yet
                continue


def _parts_of_function(held: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(held.__code__.co_freevars, held.__closure__ or (), strict=True):
        yield f", its variable {name}", _content(cell)
    yield ", a default", held.__defaults__
    yield ", a default", held.__kwdefaults__
    if not _is_torchs(held):  # whose compiler keeps on them what it has seen of any network
        yield from ((f".{name}", part) for name, part in vars(held).items())


def _outside(holder: Any) -> Iterator[tuple[str, Any]]:
    """Give what is not an object's own: what a module's classes hold, and globals that a function reads."""
    if _is_module(holder):
        for kind in type(holder).__mro__:
            if kind is not object and not _is_torchs(kind):
                # No pass and no copy runs __init__: what it makes an attribute is the copy's there.
                held = [(name, part) for name, part in vars(kind).items() if name != "__init__"]
                yield from ((f".{name}", part) for name, part in held)
    elif isinstance(holder, FunctionType) and not _is_torchs(holder):
        for name in _globals_read(holder.__code__):
            part = holder.__globals__.get(name)
            if isinstance(part, FunctionType) and _is_torchs(part):
                continue
            if _is_module(part) or isinstance(part, _FROM_GLOBALS):
                yield f", its global {name}", part


def _is_torchs(defined: Any) -> bool:
    return (defined.__module__ or "").partition(".")[0] == "torch"


_FROM_GLOBALS = (Tensor, FunctionType, torch.jit.ScriptFunction, list, tuple, dict)


@lru_cache(maxsize=4096)
def _globals_read(code: CodeType) -> frozenset[str]:
    """Name the globals that a function reads, and the functions in it."""
    found = {
        line.argval for line in dis.get_instructions(code) if line.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _globals_read(constant)
    return frozenset(found)


def _is_module(one: object) -> bool:
    return issubclass(type(one), nn.Module)  # a weak proxy says it is an instance of what it stands for


def _referent(reference: Any) -> Any:
    if type(reference) in _PROXIES:
        try:
            return reference.__reduce_ex__.__self__
        except ReferenceError:
            return None
    return reference()


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None
